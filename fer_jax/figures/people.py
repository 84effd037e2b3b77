"""Pictures of what people saw and where they clicked: stimuli (paper Fig. 1) and click sequences (Fig. 4).

Contract: pictures are (H, W, 3), uint8 or float in [0, 1].
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from fer_jax.errors import UsageError
from fer_jax.figures import style
from fer_jax.provenance import UNKNOWN, Provenance

_ORDER_COLOURS = LinearSegmentedColormap.from_list("click_order", [(1, 0, 0), (1, 1, 0)])  # §4.3
_PANELS_A_ROW = 4


@style.styled
def draw_stimuli(
    sharp: np.ndarray,
    veiled: np.ndarray,
    revealed: np.ndarray,
    names: Sequence[str],
    *,
    title: str = "What a participant sees",
    provenance: Provenance = UNKNOWN,
) -> Figure:
    """Draw pictures as they are, as they first appear, and as uncovered, one column an expression (paper Fig. 1).

    Args:
      sharp: (N, H, W, 3).
      veiled: the same, blurred.
      revealed: the same, partly uncovered by clicks.
      names: N column titles.
      title: of the figure.
      provenance: what pictures and people are, for the heading.

    Returns:
      A figure of 3 × N panels.

    Raises:
      UsageError: the arrays are not one picture a name.
    """
    rows = {"picture": sharp, "at first": veiled, "uncovered": revealed}
    for name, pictures in zip(("sharp", "veiled", "revealed"), rows.values(), strict=True):
        shape = np.shape(pictures)
        if len(shape) != 4 or shape[-1] != 3 or shape[0] != len(names):
            raise UsageError(f"`{name}`: wanted ({len(names)}, H, W, 3), one picture a name, got {shape}.")
    figure = style.new_figure(1.15 * len(names) + 0.4, 1.18 * len(rows) + 0.75)
    panels = figure.subplots(len(rows), len(names), squeeze=False)
    for line, (label, pictures) in zip(panels, rows.items(), strict=True):
        for ax, picture in zip(line, pictures, strict=True):
            bare(ax, picture)
        line[0].set_ylabel(label)
    for ax, name in zip(panels[0], names, strict=True):
        ax.set_title(name, fontsize=9)
    notes = [f"n = {len(names)} pictures"]
    return style.set_heading(figure, title, notes, provenance=provenance)


@style.styled
def draw_click_sequence(
    pictures: Sequence[tuple[np.ndarray, str]],
    *,
    title: str = "Order of the clicks",
    provenance: Provenance = UNKNOWN,
) -> Figure:
    """Draw pictures side by side with a caption each, and the scale of the click colours (paper Fig. 4).

    Args:
      pictures: (picture, caption) for each panel. Clicks are painted in already, first red, last yellow.
      title: of the figure.
      provenance: what pictures and people are, for the heading.

    Returns:
      A figure with one panel a picture, at most four in a row.

    Raises:
      UsageError: no picture, or one that is not (H, W, 3).
    """
    if not len(pictures):
        raise UsageError("`pictures`: wanted at least one (picture, caption), got none.")
    columns = min(_PANELS_A_ROW, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = style.new_figure(max(2.1 * columns, 4.2), 2.6 * rows + 1.1)
    panels = figure.subplots(rows, columns, squeeze=False)
    for ax in panels.flat[len(pictures) :]:
        ax.set_axis_off()
    for ax, (picture, caption) in zip(panels.flat, pictures, strict=False):
        if np.ndim(picture) != 3 or np.shape(picture)[-1] != 3:
            raise UsageError(f"`pictures`: wanted pictures of shape (H, W, 3), got {np.shape(picture)}.")
        bare(ax, picture)
        ax.set_xlabel(caption, fontsize=8.5, linespacing=1.3)
    scale_bar(figure, panels, ScalarMappable(Normalize(0, 1), _ORDER_COLOURS), ("first click", "last click"), 0.4)
    return style.set_heading(figure, title, provenance=provenance)


def bare(ax, picture: np.ndarray) -> None:
    """Show a picture without ticks or frame."""
    ax.imshow(picture, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)


def scale_bar(figure: Figure, panels, scale: ScalarMappable, ends: tuple[str, str], shrink: float) -> None:
    """Draw a horizontal bar of colours below all panels, its two ends named."""
    bar = figure.colorbar(scale, ax=panels, orientation="horizontal", shrink=shrink, aspect=35, pad=0.02)
    bar.set_ticks([0, 1], labels=list(ends))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
