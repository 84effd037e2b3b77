"""Figures of eight by eight cells: confusions and measures of (true, foil) pairs (paper Figs 2, 3, 5 to 8)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fer_jax.expressions import EXPRESSIONS
from fer_jax.figures._style import BLUE, GREY, axes_or_new, marked, styled


def draw_confusion(
    counts: np.ndarray, ax: Axes | None = None, *, title: str, simulated: bool = False, synthetic: bool = False
) -> Axes:
    """A confusion matrix: colours by the square root of the row share, the share itself printed (paper Fig. 2).

    Args:
      counts: (8, 8), rows true; an empty row stays blank.
      ax: where to draw; a new figure by default.
      title: first line of the title.
      simulated: say that the people are simulated.
      synthetic: say that the faces are.

    Returns:
      The axes.
    """
    counts = np.asarray(counts, float)
    totals = counts.sum(1, keepdims=True)
    share = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    with styled():
        ax = axes_or_new(ax, 5.2, 5.0)
        _cells(ax, np.sqrt(share), [[_share(value) for value in row] for row in share], vmax=1)
        ax.set(xlabel="answer", ylabel="true expression")
        ax.set_title(marked(title, simulated=simulated, synthetic=synthetic, n=f"n = {int(counts.sum())}"))
    return ax


def draw_pair_matrix(
    table: pd.DataFrame,
    value: str,
    ax: Axes | None = None,
    *,
    title: str,
    fmt: str = "{:.2f}",
    simulated: bool = False,
    synthetic: bool = False,
) -> Axes:
    """A measure of each ordered pair of true label and foil, the diagonal empty (paper Fig. 3).

    Args:
      table: true_label, false_label, n and the measure's column, one row a pair.
      value: name of that column.
      ax: where to draw; a new figure by default.
      title: first line of the title.
      fmt: how a number is printed.
      simulated: say that the people are simulated.
      synthetic: say that the faces are.

    Returns:
      The axes.
    """
    cells = np.full((len(EXPRESSIONS),) * 2, np.nan)
    for row in table.itertuples():
        cells[EXPRESSIONS.index(row.true_label), EXPRESSIONS.index(row.false_label)] = getattr(row, value)
    with styled():
        ax = axes_or_new(ax, 5.2, 5.0)
        low, high = (np.nanmin(cells), np.nanmax(cells)) if np.isfinite(cells).any() else (0, 1)
        span = (high - low) or 1
        texts = [["" if np.isnan(v) else fmt.format(v) for v in row] for row in cells]
        _cells(ax, (cells - low) / span * 0.85 + 0.05, texts, vmax=1)
        ax.set(xlabel="false label (foil)", ylabel="true expression")
        ax.set_title(marked(title, simulated=simulated, synthetic=synthetic, n=f"n = {int(table['n'].sum())} answers"))
    return ax


def draw_confusion_scatter(
    human: np.ndarray, model: np.ndarray, ax: Axes | None = None, *, simulated: bool = False, synthetic: bool = False
) -> Axes:
    """Error cells of people against those of a network; the cells most apart are named.

    Args:
      human: (8, 8) row shares.
      model: (8, 8) row shares.
      ax: where to draw; a new figure by default.
      simulated: say that the people are simulated.
      synthetic: say that the faces are.

    Returns:
      The axes.
    """
    human, model = np.asarray(human, float), np.asarray(model, float)
    off = ~np.eye(len(human), dtype=bool)
    with styled():
        ax = axes_or_new(ax, 5.6, 4.6)
        ax.scatter(human[off], model[off], s=18, color=BLUE, alpha=0.75, linewidths=0)
        for true, given in _largest(np.where(off, np.nan_to_num(model), -1), 5):
            text = f"{EXPRESSIONS[true]} → {EXPRESSIONS[given]}"
            point = (human[true, given], model[true, given])
            ax.annotate(text, point, textcoords="offset points", xytext=(5, 3), fontsize=7, color=GREY)
        ax.set(
            xlabel="share of people's answers (foil shown in 1/7 of trials)", ylabel="share of the network's answers"
        )
        ax.margins(x=0.18)
        ax.set_title(
            marked("Error cells, people and network", simulated=simulated, synthetic=synthetic, n="n = 56 cells")
        )
    return ax


def _largest(values, count):
    order = np.argsort(values, axis=None)[::-1][:count]
    return [tuple(int(i) for i in np.unravel_index(index, values.shape)) for index in order]


def _cells(ax, colours, texts, *, vmax):
    ax.imshow(np.ma.masked_invalid(colours), cmap="Blues", vmin=0, vmax=vmax)
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            dark = np.isfinite(colours[i, j]) and colours[i, j] > 0.62 * vmax
            ax.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    ticks = range(len(EXPRESSIONS))
    ax.set_xticks(ticks, EXPRESSIONS, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(ticks, EXPRESSIONS)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _share(value):
    if np.isnan(value):
        return ""
    if value == 0:
        return "0"
    return "1" if round(value, 2) == 1 else f"{value:.2f}".removeprefix("0")
