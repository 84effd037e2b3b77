"""Overlap of people's and networks' maps: one box a method, every pair a point, chance beside it (paper Fig. 10)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from fer_jax.figures import style
from fer_jax.provenance import UNKNOWN, Provenance


@style.styled
def draw_dice(
    table: pd.DataFrame,
    ax: Axes | None = None,
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    baselines: pd.DataFrame | None = None,
    title: str = "Overlap of people's and networks' maps (Dice)",
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw the Dice of every pair by method, the mean with its interval, and what chance and baselines reach.

    Args:
      table: long, one row a unit and method: unit, method (name), dice, chance (the Dice of unrelated masks of the same
        areas). Rows without dice are left out and not counted.
      ax: where to draw, a new figure if None.
      intervals: low and high end of each method's mean over pairs, such as `compare.intervals.mean_interval` gives.
        A method without a finite interval is drawn without.
      baselines: baseline (name), dice (mean under the same protocol).
      title: what is shown.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: a column is missing.
    """
    style.need_columns("table", table, ("unit", "method", "dice", "chance"))
    ax = style.axes_of(ax, 7.6, 5.0)
    intervals = {name: ends for name, ends in (intervals or {}).items() if np.isfinite(ends).all()}
    methods = list(dict.fromkeys(table["method"]))
    labels, colours = [], style.method_colours(methods)
    for place, method in enumerate(methods):
        own = table[(table["method"] == method) & table["dice"].notna()]
        values = own["dice"].to_numpy(np.float64)
        mean = _mean_and_interval(values, intervals.get(method))
        labels.append(f"{method}\n{mean}\nn = {len(values)} pair{'s' * (len(values) != 1)}")
        if len(values):
            _box(ax, place, values, colours[place], intervals.get(method))
            _chance(ax, place, own["chance"].mean())
    ax.set_xticks(range(len(methods)), labels, linespacing=1.35)
    ax.set_xlim(-0.5, max(len(methods), 1) - 0.4)
    ax.set_ylim(0, 1)
    ax.tick_params(axis="x", length=0)
    ax.grid(True, axis="y")
    ax.set_ylabel("Dice coefficient")
    if baselines is not None:
        _baselines(ax, baselines)
    notes = ["◆ mean" + ", 95 % interval over pairs" * bool(intervals), "- - chance"]
    return style.set_heading(ax, title, notes, provenance=provenance, width=80)


def _box(ax, place, values, colour, interval):
    line = {"color": colour}
    ax.boxplot(
        values,
        positions=[place],
        widths=0.4,
        showfliers=False,
        boxprops=line,
        whiskerprops=line,
        capprops=line,
        medianprops={"color": colour, "linewidth": 2},
        manage_ticks=False,
    )
    # Neighbouring values go to different sides, so equal ones stay apart. Nothing is drawn at random.
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    ax.scatter(
        place + 0.3 * ((ranks * 0.618034) % 1 - 0.5), values, s=16, color=colour, alpha=0.55, linewidth=0, zorder=3
    )
    if interval is not None:
        ax.plot([place - 0.28] * 2, interval, color=style.INK, linewidth=1.4, zorder=4)
    ax.scatter([place - 0.28], [values.mean()], marker="D", s=28, color=style.INK, zorder=5)


def _chance(ax, place, chance):
    if np.isfinite(chance):
        dashes = (0, (4, 2))
        ax.plot([place - 0.22, place + 0.26], [chance] * 2, color=style.INK, linewidth=1.3, linestyle=dashes, zorder=4)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        words = f"chance\n{style.number(chance)}"
        ax.text(place + 0.28, chance, words, fontsize=8, va="center", linespacing=1.1, bbox=box)


def _baselines(ax, table):
    style.need_columns("baselines", table, ("baseline", "dice"))
    table = table[table["dice"].notna()]
    values = table["dice"].to_numpy(np.float64)
    side = ax.get_yaxis_transform()
    for name, value, place in zip(table["baseline"], values, style.spread(values, 0.05, 0.02, 0.98), strict=True):
        ax.axhline(value, color=style.GREY, linewidth=1, linestyle=":", zorder=1)
        ax.plot([1, 1.025], [value, place], transform=side, color=style.GREY, linewidth=0.8, clip_on=False)
        words = f"{name} {style.number(value)}"
        ax.text(1.03, place, words, transform=side, fontsize=8, va="center", color=style.GREY)


def _mean_and_interval(values, interval):
    if not len(values):
        return style.MISSING
    if interval is None:
        return f"mean {style.number(values.mean())} (no interval)"
    low, high = interval
    return f"mean {style.number(values.mean())} ({style.number(low)}–{style.number(high)})"
