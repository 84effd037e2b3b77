"""The house style of all figures: palette, sizes, titles that say whose data it is, numbers as text, and saving.

Contract: sizes are inches. A share is printed without its leading zero (.49), a missing value as an en dash.
"""

import contextlib
import contextvars
import functools
import pathlib
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar, cast

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from fer_jax.errors import StorageError, UsageError, check_one_of
from fer_jax.provenance import Provenance

# Okabe and Ito (2008): distinct with any common colour blindness.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
# A method has one colour in all figures.
_METHODS = {"CAM": BLUE, "Grad-CAM": VERMILLION, "Extremal Perturbation": GREEN}
MARKERS = ("o", "s", "^", "D", "v", "P")
INK, GREY, PALE = "#222222", "#6b6b6b", "#e9e9e9"

DPI = 150
LETTERS_AN_INCH = 12  # of a heading
SMALLEST_PT = 8  # of any text in a figure
MISSING = "–"

RC = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same picture on every machine
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
}
Drawn = TypeVar("Drawn", Axes, Figure)
Draws = TypeVar("Draws", bound=Callable)
FORMATS = ("png", "svg", "pdf", "eps")
MM_AN_INCH = 25.4
_changes: contextvars.ContextVar[Mapping] = contextvars.ContextVar("changes", default=types.MappingProxyType({}))


def styled(draw: Draws) -> Draws:
    """Return a function that draws in the house style, and leaves the settings of its caller as they were."""

    @functools.wraps(draw)
    def drawn(*args, **kwargs):
        with matplotlib.rc_context({**RC, **_changes.get()}):
            return draw(*args, **kwargs)

    return cast(Draws, drawn)


@contextlib.contextmanager
def restyled(name: str) -> Iterator[None]:
    """Draw in the house style with changes, until the context ends.

    Args:
      name: "house" for none, a style of matplotlib such as "grayscale", or the path of a .mplstyle file.

    Raises:
      UsageError: no such style.
    """
    try:
        changes = {} if name == "house" else _changes_of(name)
    except (OSError, ValueError, SyntaxError) as error:
        known = ", ".join(["house", *sorted(matplotlib.style.available)])
        raise UsageError(f"`style`: wanted one of {known}, or a .mplstyle file, got {name!r} ({error}).") from None
    token = _changes.set(changes)
    try:
        yield
    finally:
        _changes.reset(token)


def _changes_of(name) -> Mapping:
    if name in matplotlib.style.library:
        return matplotlib.style.library[name]
    return matplotlib.rc_params_from_file(name, fail_on_error=True, use_default_template=False)


def resize(figure: Figure, width_mm: float) -> float:
    """Bring a figure to a width, its shape kept. Text, lines and marks shrink and grow with it.

    Args:
      figure: drawn by a function of this room.
      width_mm: millimetres.

    Returns:
      The size of its smallest text, points.

    Raises:
      UsageError: a width outside 20 to 1,000.
    """
    if not 20 <= width_mm <= 1000:
        raise UsageError(f"`width_mm`: wanted 20 to 1,000 millimetres, got {width_mm}.")
    width, height = figure.get_size_inches()
    scale = width_mm / MM_AN_INCH / width
    figure.set_size_inches(width * scale, height * scale)
    texts = figure.findobj(Text)
    for text in texts:
        text.set_fontsize(text.get_fontsize() * scale)
    for line in figure.findobj(Line2D):
        line.set_linewidth(line.get_linewidth() * scale)
        line.set_markersize(line.get_markersize() * scale)
    for dots in figure.findobj(PathCollection):
        dots.set_sizes(np.asarray(dots.get_sizes()) * scale**2)
    return float(min(text.get_fontsize() for text in texts if text.get_text()))


def new_figure(width: float, height: float) -> Figure:
    """Create an empty figure of the given size in inches, known to no window system."""
    return Figure(figsize=(width, height), layout="constrained")


def axes_of(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the axes given, or those of a new figure of the given size in inches."""
    return new_figure(width, height).add_subplot() if ax is None else ax


def method_colours(names: Iterable[str]) -> list[str]:
    """Return a colour for each method: its own, or for other names one that none of these has."""
    names = list(names)
    free = iter(colour for colour in PALETTE * len(names) if colour not in {_METHODS.get(name) for name in names})
    return [_METHODS.get(name) or next(free) for name in names]


def figure_of(drawn: Axes | Figure) -> Figure:
    """Return the figure that was drawn, or that axes belong to."""
    return drawn if isinstance(drawn, Figure) else cast(Figure, drawn.figure)


def heading(title: str, notes: Iterable[str] = (), *, provenance: Provenance, width: int = 64) -> str:
    """Return the title, and below it whose data it is and further notes, broken into lines.

    Args:
      title: what the figure shows.
      notes: such as "n = 3,720".
      provenance: what pictures and people are.
      width: characters a line.

    Returns:
      Text of one or more lines.
    """
    # A note is not torn apart: its spaces are replaced by ones that do not break.
    parts = [part.replace(" ", "\x1f") for part in (*provenance.warnings, *notes) if part]
    below = textwrap.wrap(" · ".join(parts), width, break_long_words=False, break_on_hyphens=False)
    return "\n".join([*textwrap.wrap(title, width), *(line.removesuffix(" ·") for line in below)]).replace("\x1f", " ")


def set_heading(
    drawn: Drawn, title: str, notes: Iterable[str] = (), *, provenance: Provenance, width: int = 64
) -> Drawn:
    """Put a heading, whose arguments these are, above axes or all panels of a figure. Return what was given."""
    put = drawn.suptitle if isinstance(drawn, Figure) else drawn.set_title
    x, text = 0.01 if isinstance(drawn, Figure) else 0, heading(title, notes, provenance=provenance, width=width)
    put(text, x=x, ha="left", fontsize=10, linespacing=1.35)
    return drawn


def draw_cells(
    ax: Axes,
    values: np.ndarray,
    words: Sequence[Sequence[str]],
    norm: Normalize,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    size: float = 9,
) -> None:
    """Draw a matrix: cells coloured by value, words in a readable colour on them. A NaN cell is grey.

    Args:
      ax: where to draw.
      values: (R, C).
      words: the text of each cell.
      norm: from values to colours.
      rows: names of the R rows.
      columns: names of the C columns.
      size: of the words, in points.
    """
    colours = colormaps["Blues"].with_extremes(bad=PALE)
    ax.imshow(np.ma.masked_invalid(values), cmap=colours, norm=norm, interpolation="nearest")
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        red, green, blue, _ = colours(float(norm(value))) if np.isfinite(value) else (1.0, 1.0, 1.0, 1.0)
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
        ink = "white" if dark else GREY if words[row][column] in ("0", MISSING) else INK
        ax.text(column, row, words[row][column], ha="center", va="center", fontsize=size, color=ink)
    ax.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), rows)
    ax.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    ax.tick_params(which="both", length=0)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.spines[:].set_visible(False)


def number(value: float | None, decimals: int = 2) -> str:
    """Return a value as text: .49, −.56, 1.00, and an en dash for NaN or None."""
    if value is None or not np.isfinite(value):
        return MISSING
    text = f"{value:.{decimals}f}"
    if text.lstrip("-").startswith("0."):
        text = text.replace("0.", ".", 1)
    return text.replace("-", "−")


def count(value: float) -> str:
    """Return a whole number with separators between thousands: 3,720, and an en dash for NaN."""
    return f"{int(value):,}" if np.isfinite(value) else MISSING


def need_columns(name: str, table: pd.DataFrame, columns: Iterable[str]) -> None:
    """Raise `UsageError` unless the table holds the columns."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise UsageError(
            f"`{name}`: wanted columns {', '.join(columns)}, lacks {', '.join(missing)}; "
            f"got {', '.join(map(str, table.columns))}."
        )


def spread(values: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Return places for labels: as near the values as a distance of `gap` between neighbours within [low, high] allows.

    Args:
      values: (n,), in any order.
      gap: least distance between two labels. Labels that do not fit are set evenly.
      low: lowest place.
      high: highest place.

    Returns:
      (n,), in the order of `values`.
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        return values
    gap = min(gap, (high - low) / max(len(values) - 1, 1))
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    # Less their steps, places need only not fall: least squares under that order is isotonic regression.
    places = np.clip(_isotonic(values[order] - steps), low, max(low, high - steps[-1]))
    result = np.empty(len(values))
    result[order] = places + steps
    return result


def save(
    drawn: Axes | Figure, path: str | pathlib.Path, *, formats: Sequence[str] = ("png", "svg"), dpi: int = DPI
) -> tuple[pathlib.Path, ...]:
    """Write a figure and close it. The same drawing gives the same bytes.

    Args:
      drawn: a figure, or axes of it.
      path: without suffix. Missing folders are made.
      formats: some of `FORMATS`.
      dpi: dots an inch of a PNG.

    Returns:
      The path of each file, in the order of the formats.

    Raises:
      UsageError: an unknown format.
      StorageError: the files cannot be written.
    """
    for name in formats:
        check_one_of("formats", name, FORMATS)
    path, figure = pathlib.Path(path), figure_of(drawn)
    files = tuple(path.with_name(f"{path.name}.{name}") for name in formats)
    # Text of a PDF stays text. Text of an SVG is drawn, so that it looks the same without the font.
    fixed = {"svg.hashsalt": "fer_jax", "svg.fonttype": "path", "pdf.fonttype": 42, "ps.fonttype": 42}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context(RC | fixed):
            _settle(figure)
            for name, file in zip(formats, files, strict=True):
                figure.savefig(file, dpi=dpi, metadata=_UNDATED[name])
    except OSError as error:
        raise StorageError(f"`path`: cannot write the figure {path}: {error.strerror or error}.") from error
    finally:
        plt.close(figure)
    return files


_UNDATED = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "eps": {"Creator": "fer_jax"},
}


def _settle(figure):
    """Lay the figure out and keep it so: every further drawing would move things a little."""
    for _ in range(2):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


def _isotonic(values):
    """Return the nearest sequence that does not fall, by pooling neighbours that do."""
    blocks: list[list[float]] = []  # [mean, size]
    for value in values:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, size = blocks.pop()
            blocks[-1][0] = (blocks[-1][0] * blocks[-1][1] + mean * size) / (blocks[-1][1] + size)
            blocks[-1][1] += size
    return np.asarray([mean for mean, size in blocks for _ in range(int(size))])
