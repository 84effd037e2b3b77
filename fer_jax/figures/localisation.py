"""Maps against a known truth: scores of methods beside chance, and pair by pair."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from fer_jax.errors import UsageError
from fer_jax.figures import style
from fer_jax.provenance import UNKNOWN, Provenance

_COLUMNS = ("method", "kind", "score", "mean", "ci_low", "ci_high", "chance")
_A_ROW = 3  # panels
_LINE = 0.24  # inches a method


@style.styled
def draw_localisation(
    table: pd.DataFrame,
    *,
    names: Mapping[str, str] | None = None,
    title: str = "Which maps find the evidence",
    notes: Sequence[str] = (),
    provenance: Provenance = UNKNOWN,
) -> Figure:
    """Draw a panel for each score: methods below one another, means with intervals, chance as a line.

    Args:
      table: long, one row a method and score: method (name), kind (what methods of one colour share), score, mean,
        ci_low, ci_high, chance (NaN for none). Methods and scores are drawn in their order.
      names: score -> title of its panel. The title of a score that is not in it is the score.
      title: of the figure.
      notes: written below the title, such as n.
      provenance: what pictures and people are, for the heading.

    Returns:
      A figure of one panel a score.

    Raises:
      UsageError: a column is missing, or there is no row.
    """
    style.need_columns("table", table, _COLUMNS)
    scores = list(dict.fromkeys(table["score"]))
    if not scores:
        raise UsageError("`table`: wanted at least one row, got none.")
    lines, columns = -(-len(scores) // _A_ROW), min(len(scores), _A_ROW)
    methods = len(set(table["method"]))
    width = 2.2 + 2.6 * columns
    figure = style.new_figure(width, 1.3 + lines * (0.6 + _LINE * methods))
    panels = figure.subplots(lines, columns, squeeze=False)
    for ax in panels.flat[len(scores) :]:
        ax.set_axis_off()
    for place, (ax, score) in enumerate(zip(panels.flat, scores, strict=False)):
        draw_localisation_score(table, score, ax)
        ax.set_title((names or {}).get(score, score), x=0, ha="left")
        ax.set_xlabel("")
        if place % columns:
            ax.set_yticklabels([])
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    letters = int(style.LETTERS_AN_INCH * width)
    return style.set_heading(figure, title, notes, provenance=provenance, width=letters)


@style.styled
def draw_localisation_score(
    table: pd.DataFrame,
    score: str,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw one score of every method, with its interval and chance.

    Args:
      table: see `draw_localisation`.
      score: which.
      ax: where to draw, a new figure if None.
      title: what is shown, the score's name if None.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: a column is missing, or the score is not in the table.
    """
    style.need_columns("table", table, _COLUMNS)
    own = table[table["score"] == score]
    if own.empty:
        raise UsageError(f"`score`: wanted one of {', '.join(dict.fromkeys(table['score']))}, got {score!r}.")
    ax = style.axes_of(ax, 6.4, 1.3 + _LINE * len(own))
    places = np.arange(len(own))
    chance = own["chance"].iloc[0]
    if np.isfinite(chance):
        ax.axvline(chance, color=style.INK, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1, label="chance")
    for kind, colour, marker in zip(dict.fromkeys(own["kind"]), style.PALETTE, style.MARKERS, strict=False):
        at = (own["kind"] == kind).to_numpy()
        part = own[at]
        ax.hlines(places[at], part["ci_low"], part["ci_high"], color=colour, linewidth=1.8, zorder=2)
        ax.scatter(part["mean"], places[at], marker=marker, s=30, color=colour, zorder=3, label=kind)
    ends = np.append(own[["mean", "ci_low", "ci_high"]].to_numpy(np.float64), [[0.0, 1.0, 0.0]])
    low, high = np.nanmin(ends), np.nanmax(ends)
    ax.set_xlim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    ax.set_yticks(places, [str(name) for name in own["method"]])
    ax.set_ylim(len(own) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(True, axis="x")
    ax.set_xlabel(f"{score}, mean over pairs")
    return style.set_heading(ax, title or score, provenance=provenance)


@style.styled
def draw_pair_scores(
    table: pd.DataFrame,
    score: str,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw one score of every pair and method as a matrix, the easiest pairs over all methods on top.

    Args:
      table: one row a pair and method: pair_name, method (name), and the score. NaN is shown as empty.
      score: its column.
      ax: where to draw, a new figure if None.
      title: what is shown, the score's name if None.
      notes: written below the title, such as n.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: a column is missing, or a pair is there twice under one method.
    """
    style.need_columns("table", table, ("pair_name", "method", score))
    if table.duplicated(["pair_name", "method"]).any():
        raise UsageError("`table`: wanted each pair once a method, got one twice; average first.")
    methods = list(dict.fromkeys(table["method"]))
    wide = table.pivot(index="pair_name", columns="method", values=score)[methods]
    wide = wide.loc[wide.mean(axis=1).sort_values(ascending=False, kind="stable").index]
    values = wide.to_numpy(np.float64)
    width = max(5.0, 2.4 + 0.52 * len(methods))
    ax = style.axes_of(ax, width, 2.6 + 0.235 * len(wide))
    norm = Normalize(min(0.0, float(np.nanmin(values, initial=0))), max(1.0, float(np.nanmax(values, initial=1))))
    words = [[style.number(value) for value in row] for row in values]
    style.draw_cells(ax, values, words, norm, rows=list(wide.index), columns=methods, size=8)
    ax.set_aspect("auto")
    letters = int(style.LETTERS_AN_INCH * (width - 1.6))
    return style.set_heading(ax, title or score, notes, provenance=provenance, width=letters)
