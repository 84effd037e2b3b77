"""The agreement of people's and a network's confusions: cell against cell, and correlations of all models (§5.3)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fer_jax.categories import Categories
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.figures import style
from fer_jax.provenance import UNKNOWN, Provenance

_NAMED = 6  # cells


@style.styled
def draw_confusion_scatter(
    human: np.ndarray,
    model: np.ndarray,
    ax: Axes | None = None,
    *,
    title: str = "Errors of people and of the network, cell by cell",
    human_name: str = "people",
    model_name: str = "network",
    categories: Categories = EXPRESSIONS,
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw the K(K-1) error cells of two confusion matrices against each other. The largest are named.

    Args:
      human: shares (K, K), rows true.
      model: shares (K, K), rows true.
      ax: where to draw, a new figure if None.
      title: the caller's, with r where it is known.
      human_name: for the horizontal axis.
      model_name: for the vertical axis.
      categories: what rows and columns are.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: a matrix is not (K, K).
    """
    human, model = np.asarray(human, np.float64), np.asarray(model, np.float64)
    size = len(categories)
    for name, matrix in (("human", human), ("model", model)):
        if matrix.shape != (size, size):
            raise UsageError(f"`{name}`: wanted shares of shape ({size}, {size}), got {matrix.shape}.")
    known = ~np.eye(size, dtype=bool) & np.isfinite(human) & np.isfinite(model)
    rows, columns = np.nonzero(known)
    x, y = human[known], model[known]
    ax = style.axes_of(ax, 6.4, 5.4)
    right, top = 1.12 * x.max(initial=0.01), 1.12 * y.max(initial=0.01)
    limit = 1 / (size - 1)  # a row of two-choice answers offers each foil in as many of its trials
    if 0.42 * limit < x.max(initial=0) <= limit + 1e-9 and size > 2:
        right = 1.1 * limit
        ax.axvline(
            limit, color=style.GREY, linewidth=1, linestyle=":", label=f"most that one foil can draw, 1/{size - 1}"
        )
    ax.plot([0, 1], [0, 1], color=style.GREY, linewidth=1, linestyle="--", label="equal shares")
    ax.scatter(x, y, s=30, color=style.BLUE, alpha=0.75, linewidth=0)
    _name_largest(ax, categories, rows, columns, x, y, right, top)
    ax.set_xlim(-0.02 * right, right)
    ax.set_ylim(-0.02 * top, top)
    ax.grid(True)
    ax.set_xlabel(f"share of the true label's answers, {provenance.who.removesuffix('people')}{human_name}")
    ax.set_ylabel(f"share of the true label's answers, {model_name}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)
    notes = [f"n = {len(x)} error cells", "true → answer"]
    return style.set_heading(ax, title, notes, provenance=provenance)


@style.styled
def draw_correlations(
    table: pd.DataFrame,
    ax: Axes | None = None,
    *,
    categories: Categories = EXPRESSIONS,
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw the correlation of each model's confusions with people's, with and without the diagonal, side by side.

    Args:
      table: one row a model: model (name), r_all, r_off_diagonal, p_qap, with NaN where undefined. With ci_low and
        ci_high also the interval of r_off_diagonal.
      ax: where to draw, a new figure if None.
      categories: whose confusions they are.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: a column is missing.
    """
    style.need_columns("table", table, ("model", "r_all", "r_off_diagonal", "p_qap"))
    ax = style.axes_of(ax, 7.4, 1.9 + 0.42 * len(table))
    values = table[["r_all", "r_off_diagonal"]].to_numpy(np.float64)
    places = np.arange(len(table))
    ax.axvline(0, color=style.GREY, linewidth=1)
    ax.hlines(places, values[:, 0], values[:, 1], color=style.PALE, linewidth=3, zorder=1)
    with_ends = "ci_low" in table and bool(table["ci_low"].notna().any())
    if with_ends:
        ax.hlines(places, table["ci_low"], table["ci_high"], color=style.VERMILLION, linewidth=1.2, zorder=1)
    kinds = (
        (f"all {len(categories) ** 2} cells, as in the paper", "s", style.SKY),
        (f"{len(categories.ordered_pairs)} error cells", "o", style.VERMILLION),
    )
    for column, (label, marker, colour) in enumerate(kinds):
        ax.scatter(values[:, column], places, marker=marker, s=46, color=colour, label=label, zorder=2)
    texts = [
        (22, "all", [style.number(r) for r in values[:, 0]]),
        (60, "errors", [style.number(r) for r in values[:, 1]]),
        (98, "p", [_p(p) for p in table["p_qap"]]),
    ]
    for across, head, words in texts:
        _beside(ax, -0.8, across, head, 8, style.GREY)
        for place, word in zip(places, words, strict=True):
            _beside(ax, place, across, word, 8.5, style.INK)
    ax.set_yticks(places, [str(name) for name in table["model"]])
    lowest = np.append(values, table["ci_low"] if with_ends else ())
    ax.set_xlim(min(-0.25, float(np.nanmin(lowest, initial=0)) - 0.1), 1.03)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(True, axis="x")
    ax.set_xlabel(f"correlation with {provenance.who}'s confusions (r)")
    ax.figure.legend(loc="outside lower center", ncols=2)
    notes = ["p: exact permutation test over the error cells"]
    notes += ["lines: 95 % interval over people, images and pictures"] * with_ends
    return style.set_heading(ax, "Confusions of people and networks", notes, provenance=provenance)


def _beside(ax, place, across, words, size, colour):
    """Write words right of the axes, a fixed number of points off, where the layout counts them in."""
    at = {"xy": (1, place), "xycoords": ax.get_yaxis_transform(), "xytext": (across, 0), "textcoords": "offset points"}
    ax.annotate(words, **at, ha="center", va="center", fontsize=size, color=colour, annotation_clip=False)


def _p(p):
    return "< .001" if p < 0.001 else style.number(p, 3)


def _name_largest(ax, categories, rows, columns, x, y, right, top):
    """Write names beside the cells farthest out, moved apart where they would overlap."""
    far = np.argsort(-((x / right) ** 2) - (y / top) ** 2, kind="stable")[:_NAMED]
    heights = style.spread(y[far], 0.05 * top, 0, 0.97 * top)
    for cell, height in zip(far, heights, strict=True):
        left = x[cell] > 0.55 * right
        ax.annotate(
            f"{categories[rows[cell]]} → {categories[columns[cell]]}",
            (x[cell], y[cell]),
            (x[cell] + (-0.02 if left else 0.02) * right, height),
            ha="right" if left else "left",
            va="center",
            fontsize=8,
        )
