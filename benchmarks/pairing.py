"""Rows of a benchmark: two things timed in turns, so that whatever else the machine does meets both."""

import dataclasses
import operator
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

from experiments.harness.text_table import aligned
from fer_jax.errors import UsageError

_COMPARISONS = {">=": operator.ge, "<=": operator.le}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a benchmark's table. The fields are the keys of its JSON.

    Attributes:
      name: what was measured.
      ours: our figure.
      theirs: the peer's, or what ours is held against, None where there is none.
      unit: of both.
      ratio: how the two compare, as the row's name or goal says. None where ours itself is held against the goal.
      goal: such as ">= 1.6", of the ratio or else of ours, empty for a figure without one.
      holds: whether the goal is met, None without one.
    """

    name: str
    ours: float
    theirs: float | None
    unit: str
    ratio: float | None
    goal: str
    holds: bool | None


def row(name: str, ours, theirs, unit: str, *, ratio=None, goal: str = "") -> Row:
    """Return a row that says whether its goal holds."""
    ours, theirs, ratio = (None if value is None else float(value) for value in (ours, theirs, ratio))
    holds = None
    if goal:
        sign, bound = goal.split()
        holds = bool(_COMPARISONS[sign](ours if ratio is None else ratio, float(bound)))
    return Row(name, ours, theirs, unit, ratio, goal, holds)


def speed_row(
    name: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    *,
    repeats: int,
    goal: str = "",
    parts: tuple[float, float] = (1, 1),
    cost: bool = False,
) -> Row:
    """Time two calls in turns, A B A B.

    Args:
      name: of the row.
      ours: a call. Its result is waited for.
      theirs: the peer's call.
      repeats: pairs timed, after one of each to warm up.
      goal: of the ratio.
      parts: pieces of work (images × iterations) in a call of ours and of theirs. Milliseconds are given for one.
      cost: the ratio is ours / theirs, else theirs / ours, a speed.

    Returns:
      Medians in ms, and the median of the pairs' ratios.
    """
    for call in (ours, theirs):
        jax.block_until_ready(call())
    pairs = [(_seconds(ours) / parts[0], _seconds(theirs) / parts[1]) for _ in range(repeats)]
    ratios = [a / b if cost else b / a for a, b in pairs]
    mine, other = (1e3 * statistics.median(column) for column in zip(*pairs, strict=True))
    return row(name, mine, other, "ms", ratio=statistics.median(ratios), goal=goal)


def chosen(suite: dict[str, Callable], only: str) -> list[Callable]:
    """Return what measures the groups of rows whose name holds a text, or whose name begins that of a row.

    Args:
      suite: name of a group -> what measures it.
      only: the text, such as "small members" or a row's whole name. An empty one takes all.

    Raises:
      UsageError: no group fits.
    """
    found = [group for group in suite if only in group]
    if not found:  # a row's whole name: it is in the group of the longest name that it begins with
        found = sorted((group for group in suite if only.startswith(group)), key=len)[-1:]
    if not found:
        raise UsageError(f"`--only`: wanted part of one of these names: {'; '.join(suite)}; got {only!r}.")
    return [suite[group] for group in found]


def table(rows: list[Row]) -> str:
    """Return rows as aligned text."""
    head = ("name", "ours", "theirs", "unit", "ratio", "goal", "holds")
    return aligned([head, *(tuple(_shown(value) for value in dataclasses.astuple(each)) for each in rows)])


def _seconds(call):
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def _shown(value):
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.4g}" if isinstance(value, float) else value
