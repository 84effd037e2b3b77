"""Maps over faces: what a network needs and where people looked, side by side (paper Fig. 9).

Contract: images are (H, W, 3), maps float (h, w) of any range. Each map is scaled by itself.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from fer_jax.errors import UsageError
from fer_jax.figures import style
from fer_jax.figures.people import bare, scale_bar
from fer_jax.provenance import UNKNOWN, Provenance

_HEAT = "inferno"
_ALPHA = (0.15, 0.75)  # how much of the face a low and a high value cover
_LINE = 0.2  # of a heading, in inches


@style.styled
def draw_saliency(
    image: np.ndarray,
    maps: Mapping[str, np.ndarray],
    *,
    title: str = "One picture, explained",
    notes: Sequence[str] = ("n = 1 picture",),
    provenance: Provenance = UNKNOWN,
) -> Figure:
    """Draw a picture and its maps in one row (paper Fig. 9).

    Args:
      image: uint8 (H, W, 3), or float in [0, 1].
      maps: name -> (h, w), stretched over the picture. A map that does not vary is named as such, not drawn.
      title: of the figure.
      notes: written below the title, such as what the network predicts.
      provenance: what pictures and people are, for the heading.

    Returns:
      A figure of 1 + len(maps) panels.

    Raises:
      UsageError: no map, or shapes that do not fit.
    """
    return _panels([(image, maps, "")], 1.75, title, notes, provenance)


@style.styled
def draw_saliency_grid(
    rows: Sequence[tuple[np.ndarray, Mapping[str, np.ndarray], str]],
    *,
    outlines: Sequence[np.ndarray] | None = None,
    title: str = "One picture of each category, explained",
    provenance: Provenance = UNKNOWN,
) -> Figure:
    """Draw several pictures and their maps, one row a picture.

    Args:
      rows: (image and maps as for `draw_saliency`, caption), with the same names of maps in every row.
      outlines: bool (h, w) for each row, a region such as a known truth, whose border is drawn on that row's maps.
      title: of the figure.
      provenance: what pictures and people are, for the heading.

    Returns:
      A figure of len(rows) × (1 + number of maps) panels.

    Raises:
      UsageError: no row, or names or shapes that do not fit.
    """
    figure = _panels(rows, 1.3, title, (f"n = {len(rows)} picture{'s' * (len(rows) > 1)}",), provenance)
    if outlines is not None:
        _outline(figure, rows, outlines)
    return figure


def _outline(figure, rows, outlines):
    if len(outlines) != len(rows):
        raise UsageError(f"`outlines`: wanted one region a row, {len(rows)}, got {len(outlines)}.")
    columns = 1 + len(rows[0][1])
    for line, (row, region) in enumerate(zip(rows, outlines, strict=True)):
        region = np.asarray(region)
        if region.ndim != 2 or region.dtype != np.bool_:
            raise UsageError(f"`outlines`: wanted boolean maps (h, w), got {region.dtype} {region.shape}.")
        height, width = np.shape(row[0])[:2]
        y, x = (
            (np.arange(count) + 0.5) * side / count - 0.5
            for count, side in zip(region.shape, (height, width), strict=True)
        )
        for ax in figure.axes[line * columns + 1 : (line + 1) * columns]:
            ax.contour(x, y, region, levels=[0.5], colors=[style.SKY], linewidths=0.9)


def _panels(rows, side, title, notes, provenance):
    if not len(rows) or not rows[0][1]:
        raise UsageError("`maps`: wanted at least one picture with at least one map, got none.")
    names = list(rows[0][1])
    for image, maps, _ in rows:
        if list(maps) != names:
            raise UsageError(f"`rows`: wanted maps {', '.join(names)} in every row, got {', '.join(maps)}.")
        if np.ndim(image) != 3 or np.shape(image)[-1] != 3:
            raise UsageError(f"`image`: wanted shape (H, W, 3), got {np.shape(image)}.")
    width = side * (1 + len(names)) + 0.4
    letters = min(80, int(style.LETTERS_AN_INCH * width))
    said = (*notes, "each map by its own range")
    lines = style.heading(title, said, provenance=provenance, width=letters).count("\n")
    # A wide picture takes a low row.
    tall = side * sum(min(1, len(image) / np.shape(image)[1]) for image, _, _ in rows)
    figure = style.new_figure(width, tall + 1.25 + _LINE * max(0, lines - 1))
    panels = figure.subplots(len(rows), 1 + len(names), squeeze=False)
    for line, (image, maps, caption) in zip(panels, rows, strict=True):
        bare(line[0], image)
        line[0].set_ylabel(caption, fontsize=8.5)
        for ax, name in zip(line[1:], names, strict=True):
            _overlay(ax, np.asarray(image), name, np.asarray(maps[name], np.float64))
    for ax, name in zip(panels[0], ("picture", *names), strict=True):
        ax.set_title(str(name).replace(" ", "\n", 1), fontsize=9)
    scale_bar(figure, panels, ScalarMappable(Normalize(0, 1), _covering()), ("lowest", "highest"), 0.3)
    return style.set_heading(figure, title, said, provenance=provenance, width=letters)


def _overlay(ax, image, name, values):
    """Lay a map over the grey face: the higher, the lighter and the denser."""
    if values.ndim != 2:
        raise UsageError(f"`maps`: wanted {name} of shape (h, w), got {values.shape}.")
    bare(ax, image.mean(-1, keepdims=True).repeat(3, -1) / (255 if image.dtype == np.uint8 else 1))
    span = np.ptp(values)
    if not np.isfinite(span) or span == 0:
        said = "map does\nnot vary" if np.isfinite(span) else "no map"
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        ax.text(0.5, 0.5, said, transform=ax.transAxes, ha="center", va="center", fontsize=8.5, bbox=box)
        return
    height, width = image.shape[:2]
    place = (-0.5, width - 0.5, height - 0.5, -0.5)
    ax.imshow((values - values.min()) / span, cmap=_covering(), vmin=0, vmax=1, extent=place, interpolation="bilinear")


def _covering():
    colours = colormaps[_HEAT](np.linspace(0, 1, 256))
    colours[:, 3] = np.linspace(*_ALPHA, 256)
    return ListedColormap(colours)
