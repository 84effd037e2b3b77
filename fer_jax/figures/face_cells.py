"""Maps over the cells of one face, and where that face lies on the pictures.

Contract: a map is float (R, C), NaN in a cell that counts nowhere.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from fer_jax.figures import style
from fer_jax.figures.people import scale_bar
from fer_jax.provenance import UNKNOWN, Provenance

_COLOURS = "cividis"
_PANEL = 1.15  # inches


@style.styled
def draw_face_cells(
    maps: Mapping[str, np.ndarray],
    columns: Sequence[str],
    *,
    title: str = "Which parts of the face count",
    notes: Sequence[str] = (),
    provenance: Provenance = UNKNOWN,
) -> Figure:
    """Draw maps in a grid: a row for people and for each method, a column for each category.

    Args:
      maps: (K, R, C) by name of the row. Each map is coloured from its smallest to its largest value.
      columns: names of the K categories.
      title: of the figure.
      notes: written below the title, such as n.
      provenance: what pictures and people are, for the heading.

    Returns:
      A figure.
    """
    height, width = next(iter(maps.values())).shape[1:]
    sides = 1.1 + _PANEL * len(columns), 1.1 + _PANEL * len(maps) * height / width
    figure = style.new_figure(*sides)
    panels = figure.subplots(len(maps), len(columns), squeeze=False)
    colours = colormaps[_COLOURS].with_extremes(bad=style.PALE)
    for line, (name, row) in zip(panels, maps.items(), strict=True):
        for ax, each in zip(line, row, strict=True):
            ax.imshow(np.ma.masked_invalid(each), cmap=colours, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        line[0].set_ylabel(name)
    for ax, column in zip(panels[0], columns, strict=True):
        ax.set_title(column, fontsize=9)
    scale = ScalarMappable(Normalize(0, 1), _COLOURS)
    scale_bar(figure, panels, scale, ("least", "most"), 0.5)
    return style.set_heading(figure, title, notes, provenance=provenance, width=int(style.LETTERS_AN_INCH * sides[0]))


@style.styled
def draw_face_frame(
    picture: np.ndarray,
    points: np.ndarray,
    ax: Axes | None = None,
    *,
    cell_px: float,
    shape: tuple[int, int],
    title: str = "The face on the pictures",
    notes: Sequence[str] = (),
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw a face's cells over a picture that lies in its frame, with the points that were laid on each other.

    Args:
      picture: (H, W), grey, of the whole face.
      points: (3, 2), eyes and mouth, pixels of the face.
      ax: where to draw, a new figure if None.
      cell_px: side of a cell, pixels of the face.
      shape: rows and columns of cells.
      title: what is shown.
      notes: written below the title.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.
    """
    rows, columns = shape
    width, height = columns * cell_px, rows * cell_px
    ax = style.axes_of(ax, 4.6, 5.6)
    ax.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
    for line in range(columns + 1):
        ax.axvline(line * cell_px, color=style.SKY, linewidth=0.8)
    for line in range(rows + 1):
        ax.axhline(line * cell_px, color=style.SKY, linewidth=0.8)
    ax.scatter(*(np.asarray(points) + 0.5).T, marker="+", s=140, linewidth=2, color=style.VERMILLION)
    ax.set(xlim=(0, width), ylim=(height, 0), xlabel="pixels of people's face")
    return style.set_heading(ax, title, notes, provenance=provenance, width=52)
