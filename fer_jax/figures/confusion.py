"""Matrices over the categories: confusions (paper Figs 2, 5–8) and values per true and false label (Fig. 3).

Contract: rows are the true label, in the order of the categories.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from fer_jax.categories import Categories
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS, canonical_name
from fer_jax.figures import style
from fer_jax.provenance import UNKNOWN, Provenance


@style.styled
def draw_confusion(
    counts: np.ndarray,
    ax: Axes | None = None,
    *,
    title: str = "Confusion matrix",
    interval: tuple[float, float] | None = None,
    categories: Categories = EXPRESSIONS,
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw a confusion matrix: colours by the square root of a row's share, shares printed plain (paper Fig. 2).

    Args:
      counts: whole numbers (K, K), rows true, columns given. A row without answers is shown as empty.
      ax: where to draw, a new figure if None.
      title: what the matrix is of.
      interval: 95 % interval of the accuracy, to be printed. None is computed here, since answers of the same
        people are not independent.
      categories: what rows and columns are.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: not (K, K), or not whole numbers from 0.
    """
    counts = np.asarray(counts)
    size = len(categories)
    if counts.shape != (size, size):
        raise UsageError(f"`counts`: wanted shape ({size}, {size}), one row a category, got {counts.shape}.")
    if not np.isfinite(counts).all() or (counts < 0).any() or (counts != np.floor(counts)).any():
        raise UsageError("`counts`: wanted whole numbers from 0, got others; pass counts, not shares.")
    totals = counts.sum(1)
    shares = np.where(totals[:, None] > 0, counts / np.maximum(totals, 1)[:, None], np.nan)
    words = [[style.number(share) if share else "0" for share in row] for row in shares]
    ax = style.axes_of(ax, *_size(categories))
    _draw(ax, np.sqrt(shares), words, Normalize(0, 1), categories, "answer")
    for row, total in enumerate(totals):
        ax.text(size - 0.35, row, style.count(total), ha="left", va="center", fontsize=8, color=style.GREY)
    ax.text(size - 0.35, -0.72, "n", ha="left", va="center", fontsize=8, color=style.GREY)
    total = counts.sum()
    notes = [f"n = {style.count(total)}"]
    if total:
        said = f"accuracy {style.number(np.trace(counts) / total)}"
        if interval is not None:
            said += f" (95 % {style.number(interval[0])}–{style.number(interval[1])})"
        notes += [said, f"mean of rows {style.number(float(np.nanmean(np.diagonal(shares))))}"]
    return style.set_heading(ax, title, notes, provenance=provenance, width=_letters(categories))


@style.styled
def draw_pair_matrix(
    table: pd.DataFrame,
    value: str,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    fmt: str = "{:.2f}",
    categories: Categories = EXPRESSIONS,
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw a value for each true and false label, the diagonal empty (paper Fig. 3).

    Args:
      table: K(K-1) rows (fewer leave cells empty): true_label and false_label (names or numbers), n and `value`.
      value: the column to show. NaN is shown as empty.
      ax: where to draw, a new figure if None.
      title: what is shown, the column's name if None.
      fmt: how a value is printed, as for `str.format`.
      categories: what rows and columns are.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: a column is missing, or a cell is there twice or on the diagonal.
    """
    style.need_columns("table", table, ("true_label", "false_label", "n", value))
    cells = np.full((len(categories), len(categories)), np.nan)
    seen = set()
    for true, false, one in zip(table["true_label"], table["false_label"], table[value], strict=True):
        cell = _index(true, categories), _index(false, categories)
        if cell in seen or cell[0] == cell[1]:
            raise UsageError(f"`table`: wanted two labels, each pair of them once, got {true}, {false}; average first.")
        seen.add(cell)
        cells[cell] = one
    words = [[style.MISSING if np.isnan(cell) else _plain(fmt.format(cell)) for cell in row] for row in cells]
    for same in range(len(categories)):
        words[same][same] = ""
    ax = style.axes_of(ax, *_size(categories))
    known = cells[~np.isnan(cells)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    norm = Normalize(low - (0.15 * (high - low) or 1.0), high)
    _draw(ax, cells, words, norm, categories, "false label (foil)")
    n = table["n"].fillna(0)
    notes = [f"n = {style.count(n.sum())} answers"]
    if len(known):
        notes += [
            f"{'–'.join(dict.fromkeys((style.count(n.min()), style.count(n.max()))))} a cell",
            f"mean {_plain(fmt.format(known.mean()))}",
        ]
    return style.set_heading(ax, title or value, notes, provenance=provenance, width=_letters(categories))


def _draw(ax, values, words, norm, categories, across):
    style.draw_cells(ax, values, words, norm, rows=list(categories), columns=list(categories))
    ax.set_xlabel(across)
    ax.set_ylabel("true label")


def _size(categories) -> tuple[float, float]:
    """Return inches that give every cell as much room as eight have in the paper's figures, below the heading."""
    return max(4.6, 2.4 + 0.5 * len(categories)), max(3.6, 1.9 + 0.5 * len(categories))


def _letters(categories) -> int:
    """Return how many letters of a heading go beside the matrix without widening the figure."""
    return round(10 * _size(categories)[0])


def _index(label, categories):
    return int(label) if isinstance(label, int | np.integer) else categories.index_of(canonical_name(label))


def _plain(text):
    return text.replace("0.", ".", 1) if text.startswith("0.") else text.replace("-", "−")
