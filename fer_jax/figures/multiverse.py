"""The specification curve: who leads under every choice, and which choices it hangs on."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fer_jax.errors import UsageError
from fer_jax.figures import style
from fer_jax.provenance import UNKNOWN, Provenance

_LINE = 0.17  # inches a value of a choice


@style.styled
def draw_multiverse(
    table: pd.DataFrame,
    methods: Mapping[str, str],
    choices: Sequence[str],
    *,
    paper: pd.Series | None = None,
    title: str = "Who fits people best, under every open choice",
    notes: Sequence[str] = (),
    provenance: Provenance = UNKNOWN,
) -> Figure:
    """Draw every specification as a column, sorted by the lead of the first method over the best other one.

    Args:
      table: one row a specification: the columns `choices`, and `dice_` with the name of each method, "centre" and
        "other pairs". Rows without a Dice of every method are left out.
      methods: method -> its name in the figure. The lead is that of the first.
      choices: columns to show below the curve, a line for each value that they take.
      paper: bool for each row, whose specification is marked as the paper's. None marks nothing.
      title: of the figure.
      notes: written below the title.
      provenance: what pictures and people are, for the heading.

    Returns:
      A figure of three panels: lead, mean Dice, choices.

    Raises:
      UsageError: a column is missing, or fewer than two methods.
    """
    columns = [f"dice_{name}" for name in methods]
    style.need_columns("table", table, [*columns, *choices])
    if len(columns) < 2:
        raise UsageError(f"`methods`: wanted two or more, got {', '.join(methods) or 'none'}.")
    first, *others = columns
    lead = table[first] - table[others].max(axis=1)
    table = table.assign(lead=lead, paper=False if paper is None else paper)
    table = table[table["lead"].notna()].sort_values(["lead", *choices], ignore_index=True)
    values = {name: [value for value in table[name].unique() if value != ""] for name in choices}
    values = {name: _sorted(each) for name, each in values.items() if len(each) > 1}
    lines = sum(map(len, values.values()))
    figure = style.new_figure(7.6, 4.2 + _LINE * (lines + len(values)))
    panels = figure.subplots(3, 1, sharex=True, height_ratios=[1.2, 1.6, max(_LINE * (lines + len(values)), 0.3)])
    place = np.arange(len(table))
    _draw_lead(panels[0], place, table, next(iter(methods.values())))
    for column, name, colour in zip(columns, methods.values(), style.method_colours(methods.values()), strict=True):
        panels[1].scatter(place, table[column], s=3, color=colour, linewidth=0, label=name, rasterized=True)
    for column, name, marker in (("dice_centre", "centre", "-"), ("dice_other pairs", "other pairs' map", "x")):
        if column in table:
            panels[1].scatter(
                place, table[column], s=4, color=style.GREY, linewidth=0.4 if marker == "x" else 0,
                marker=marker if marker == "x" else "o", label=name, rasterized=True,
            )  # fmt: skip
    panels[1].set_ylabel("mean Dice")
    panels[1].set_ylim(0, 1)
    panels[1].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=5, markerscale=3, handletextpad=0.2)
    _draw_choices(panels[2], place, table, values)
    panels[2].set_xlabel("specifications, sorted by the lead")
    for ax in panels[:2]:
        ax.grid(True, axis="y")
        for column in np.flatnonzero(table["paper"]):
            ax.axvline(column, color=style.INK, linewidth=0.9, linestyle=(0, (4, 2)))
    letters = int(style.LETTERS_AN_INCH * 7.6)
    notes = [f"{len(table):,} specifications", *notes, *["- - the paper's reading"] * (paper is not None)]
    return style.set_heading(figure, title, notes, provenance=provenance, width=letters)


def _draw_lead(ax, place, table, name):
    (own,) = style.method_colours([name])
    for above, colour in ((True, own), (False, style.GREY)):
        rows = (table["lead"] > 0) == above
        ax.scatter(place[rows], table["lead"][rows], s=3, color=colour, linewidth=0, rasterized=True)
    ax.axhline(0, color=style.INK, linewidth=0.8)
    ax.set_ylabel("lead in\nmean Dice")


def _draw_choices(ax, place, table, values):
    line, ticks, labels = 0, [], []
    for name, each in values.items():
        for value in each:
            rows = (table[name] == value).to_numpy()
            ax.scatter(
                place[rows], np.full(rows.sum(), line), s=6, marker="|", color=style.INK, linewidth=0.3, rasterized=True
            )
            ticks.append(line)
            labels.append(f"{name.replace('_', ' ')}: {value}")
            line += 1
        line += 1
    ax.set_yticks(ticks, labels, fontsize=style.SMALLEST_PT)
    ax.set_ylim(line - 0.5, -0.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xticks([])


def _sorted(values):
    return sorted(values) if all(isinstance(value, int | float) for value in values) else values
