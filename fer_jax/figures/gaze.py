"""Clicks against gaze: how a score grows with the number of people."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from fer_jax.errors import UsageError
from fer_jax.figures import style
from fer_jax.provenance import UNKNOWN, Provenance

_COLUMNS = ("source", "people", "score", "mean", "ci_low", "ci_high", "fitted")
_OF_PLAN = ("source", "tolerance", "people", "limit", "half_signal", "largest")


@style.styled
def draw_people_curve(
    table: pd.DataFrame,
    score: str,
    ax: Axes | None = None,
    *,
    plan: pd.DataFrame | None = None,
    tolerance: float = 0.03,
    floors: Mapping[str, float] | None = None,
    name: str | None = None,
    title: str | None = None,
    notes: Sequence[str] = (),
    provenance: Provenance = UNKNOWN,
) -> Axes:
    """Draw a score against the number of people whose map was scored, one line a source.

    Args:
      table: one row a source, size of group and score: source, people, score, mean, ci_low, ci_high, fitted (NaN for
        none).
      score: which.
      ax: where to draw, a new figure if None.
      plan: one row a source and tolerance: source, tolerance, people, limit, half_signal, largest. Its fit is drawn on
        beyond the largest group, as far as the people that `tolerance` wants. None ends the lines at the data.
      tolerance: which row of the plan.
      floors: name -> score, drawn as a line across.
      name: of the score, on the axis.
      title: what is shown.
      notes: written below the title, such as n.
      provenance: what pictures and people are, for the heading.

    Returns:
      The axes.

    Raises:
      UsageError: a column is missing, or the score is not in the table, or the tolerance not in the plan.
    """
    style.need_columns("table", table, _COLUMNS)
    own = table[table["score"] == score]
    if own.empty:
        raise UsageError(f"`score`: wanted one of {', '.join(dict.fromkeys(table['score']))}, got {score!r}.")
    ax = style.axes_of(ax, 6.8, 4.4)
    wanted = _wanted(plan, tolerance)
    ends = []
    for source, colour, marker in zip(dict.fromkeys(own["source"]), style.PALETTE, style.MARKERS, strict=False):
        part = own[own["source"] == source]
        ax.vlines(part["people"], part["ci_low"], part["ci_high"], color=colour, linewidth=1.8, zorder=2)
        ax.scatter(part["people"], part["mean"], color=colour, marker=marker, s=34, zorder=3, label=source)
        ax.plot(part["people"], part["fitted"].fillna(part["mean"]), color=colour, linewidth=1.2, zorder=1)
        ends.append(part["people"].max())
        if source in wanted.index and np.isfinite(wanted.loc[source, "people"]):
            ends.append(_beyond(ax, wanted.loc[source], colour, tolerance))
    for floor, value in (floors or {}).items():
        ax.axhline(value, color=style.GREY, linewidth=1, linestyle=":", zorder=0)
        ax.annotate(
            f"{floor} {style.number(value)}", (1, value), xycoords=("axes fraction", "data"), xytext=(0, 2),
            textcoords="offset points", ha="right", va="bottom", fontsize=8, color=style.GREY,
        )  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set_xlim(0.85, 1.35 * max(ends))
    ticks = sorted({int(2**power) for power in range(int(np.log2(max(ends))) + 1)})
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_xlabel("people whose places make the map")
    ax.set_ylabel(name or score)
    ax.grid(True, axis="y")
    ax.legend(loc="lower right" if not floors else "center right")
    return style.set_heading(ax, title or score, notes, provenance=provenance)


def _wanted(plan, tolerance):
    """Return the plan's row of each source at a tolerance."""
    if plan is None:
        return pd.DataFrame(columns=_OF_PLAN).set_index("source")
    style.need_columns("plan", plan, _OF_PLAN)
    rows = plan[np.isclose(plan["tolerance"], tolerance)]
    if rows.empty:
        known = ", ".join(f"{value:g}" for value in dict.fromkeys(plan["tolerance"]))
        raise UsageError(f"`tolerance`: wanted one of the plan's, {known}, got {tolerance:g}.")
    return rows.set_index("source")


def _beyond(ax, row, colour, tolerance):
    """Draw the fit on to the people that the plan wants, and their number. Return where it ends."""
    last = max(row["people"], row["largest"])
    people = np.geomspace(row["largest"], last, 50)
    ax.plot(people, row["limit"] * np.sqrt(people / (people + row["half_signal"])), color=colour, linestyle="--")
    reached = row["limit"] * np.sqrt(row["people"] / (row["people"] + row["half_signal"]))
    ax.scatter([row["people"]], [reached], facecolor="white", edgecolor=colour, s=40, zorder=4)
    words = f"{style.number(tolerance)} below its limit:\n{style.count(row['people'])} people"
    ax.annotate(
        words, (row["people"], reached), xytext=(0, -9), textcoords="offset points", ha="center", va="top",
        fontsize=8, color=colour,
    )  # fmt: skip
    return last
