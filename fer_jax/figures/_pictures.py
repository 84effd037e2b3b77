"""Figures made of pictures: stimuli, click sequences, saliency maps (paper Figs 1, 4, 9)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from fer_jax.figures._style import marked, new_figure, styled

_HEAT = "inferno"


def draw_stimuli(
    sharp: np.ndarray,
    veiled: np.ndarray,
    revealed: np.ndarray,
    names: Sequence[str],
    *,
    simulated: bool = False,
    synthetic: bool = False,
) -> Figure:
    """One study image of each expression: as it is, as it starts, as it was when decided (paper Fig. 1).

    Args:
      sharp: uint8 (N, H, W, 3).
      veiled: uint8 (N, H, W, 3).
      revealed: uint8 (N, H, W, 3).
      names: N column titles.
      simulated: say that the people are simulated.
      synthetic: say that the faces are.

    Returns:
      A new figure.
    """
    rows = (("picture", sharp), ("at the start", veiled), ("at the decision", revealed))
    with styled():
        figure = new_figure(1.25 * len(names) + 0.4, 4.4)
        axes = figure.subplots(3, len(names), squeeze=False)
        for line, (label, pictures) in zip(axes, rows, strict=True):
            for ax, picture in zip(line, pictures, strict=True):
                _picture(ax, picture)
            line[0].set_ylabel(label)
        for ax, name in zip(axes[0], names, strict=True):
            ax.set_title(name, fontsize=9)
        figure.suptitle(marked("Stimuli", simulated=simulated, synthetic=synthetic), fontsize=10)
    return figure


def draw_click_sequence(
    panels: Sequence[tuple[np.ndarray, str]], *, simulated: bool = False, synthetic: bool = False
) -> Figure:
    """Pictures beside the order of the clicks on them (paper Fig. 4).

    Args:
      panels: pairs of a picture (H, W, 3) and its caption.
      simulated: say that the people are simulated.
      synthetic: say that the faces are.

    Returns:
      A new figure.
    """
    with styled():
        figure = new_figure(2.3 * len(panels), 3.2)
        for ax, (picture, caption) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            _picture(ax, picture)
            ax.set_xlabel(caption, fontsize=8)
        figure.suptitle(marked("Click sequences", simulated=simulated, synthetic=synthetic), fontsize=10)
    return figure


def draw_saliency(
    image: np.ndarray, maps: dict[str, np.ndarray], *, simulated: bool = False, synthetic: bool = False
) -> Figure:
    """One picture, and each map laid over it (paper Fig. 9).

    Args:
      image: uint8 (H, W, 3).
      maps: name -> (H, W); each is scaled from its own minimum to its own maximum.
      simulated: say that the people are simulated.
      synthetic: say that the faces are.

    Returns:
      A new figure.
    """
    return draw_saliency_grid([(image, maps, "")], simulated=simulated, synthetic=synthetic)


def draw_saliency_grid(
    rows: Sequence[tuple[np.ndarray, dict[str, np.ndarray], str]], *, simulated: bool = False, synthetic: bool = False
) -> Figure:
    """Several pictures, one a row, each with its maps laid over it.

    Args:
      rows: image uint8 (H, W, 3), maps by name as for `draw_saliency`, and the row's label.
      simulated: say that the people are simulated.
      synthetic: say that the faces are.

    Returns:
      A new figure.
    """
    names = list(rows[0][1])
    with styled():
        figure = new_figure(1.75 * (len(names) + 1) + 0.6, 1.75 * len(rows) + 0.8)
        axes = figure.subplots(len(rows), len(names) + 1, squeeze=False)
        for line, (image, maps, label) in zip(axes, rows, strict=True):
            _picture(line[0], image)
            line[0].set_ylabel(label, fontsize=8)
            for ax, name in zip(line[1:], names, strict=True):
                shown = _overlay(ax, image, maps[name])
        for ax, name in zip(axes[0], ["picture", *names], strict=True):
            ax.set_title(name, fontsize=9)
        bar = figure.colorbar(shown, ax=axes[:, -1].tolist(), shrink=min(1.0, 2.2 / len(rows) + 0.2), pad=0.03)
        bar.set_ticks([0, 1], labels=["lowest", "highest"])
        figure.suptitle(marked("Where the evidence lies", simulated=simulated, synthetic=synthetic), fontsize=10)
    return figure


def _overlay(ax, image, heat):
    heat = np.asarray(heat, float)
    low, span = np.nanmin(heat), np.ptp(heat[np.isfinite(heat)])
    scaled = (heat - low) / span if span > 0 else np.zeros_like(heat)
    ax.imshow(np.asarray(image).mean(-1), cmap="gray", vmin=0, vmax=255)
    shown = ax.imshow(scaled, cmap=_HEAT, vmin=0, vmax=1, alpha=0.6, interpolation="bilinear")
    _bare(ax)
    return shown


def _picture(ax, picture):
    ax.imshow(picture)
    _bare(ax)


def _bare(ax):
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
