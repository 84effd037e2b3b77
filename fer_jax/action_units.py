"""Facial action units: their order, the expression prototypes, and how intensities are drawn.

Contract: an AU vector is float32 (2, 21), side 0 is image-left, columns follow `ACTION_UNITS`, 0 is absent, 1 the full
action, and nothing exceeds `MAX_INTENSITY`. FACS (Ekman, Friesen & Hager 2002) says what a unit does; Du, Tao &
Martinez (2014, 10.1073/pnas.1322355111) which units an expression shares; the magnitudes are ours.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS

ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 16, 17, 20, 23, 24, 25, 26, 27, 43, 64)
NUM_ACTION_UNITS = len(ACTION_UNITS)
COLUMN = {unit: column for column, unit in enumerate(ACTION_UNITS)}
MAX_INTENSITY = 1.2

# Units that stir a little in every face, and the most they stir (ours).
_RESTLESS = (1, 2, 4, 5, 6, 7, 12, 15, 17, 20, 23, 25)
_MAX_STIR = 0.15

Ranges = dict[int, tuple[float, float]]


class Branch(NamedTuple):
    """One way on from a prototype: with `probability` the first table is added, else the second."""

    probability: float
    chosen: Ranges
    otherwise: Ranges = {}  # noqa: RUF012 (never written to)


class Prototype(NamedTuple):
    """Uniform ranges of an expression: on both sides, on one random side, and in branches drawn independently."""

    both: Ranges
    one_side: Ranges = {}  # noqa: RUF012 (never written to)
    branches: tuple[Branch, ...] = ()


# The one table of what an expression is.
PROTOTYPES = {
    "neutral": Prototype({}),
    "happy": Prototype(
        {6: (0.6, 1.0), 12: (0.75, 1.05)},
        branches=(Branch(0.72, {25: (0.5, 1.0)}), Branch(0.35, {26: (0.15, 0.5)})),
    ),
    "sad": Prototype(
        {1: (0.75, 1.05), 4: (0.55, 0.9), 15: (0.7, 1.05), 7: (0.0, 0.3), 64: (0.0, 0.6)},
        branches=(Branch(0.7, {17: (0.1, 0.7)}),),
    ),
    "surprise": Prototype({1: (0.8, 1.05), 2: (0.8, 1.05), 5: (0.6, 1.0), 25: (1.0, 1.0), 26: (0.7, 1.2)}),
    "fear": Prototype(
        {
            1: (0.7, 1.0),
            2: (0.35, 0.65),
            4: (0.5, 0.8),
            5: (0.8, 1.1),
            20: (0.7, 1.05),
            25: (0.7, 1.0),
            26: (0.1, 0.5),
            7: (0.1, 0.4),
        }
    ),
    "disgust": Prototype(
        {9: (0.85, 1.1), 10: (0.65, 1.0), 4: (0.3, 0.6), 7: (0.2, 0.5), 6: (0.1, 0.3), 15: (0.1, 0.5)},
        branches=(Branch(0.5, {17: (0.5, 0.9)}, {16: (0.4, 0.8), 25: (0.5, 0.9)}),),
    ),
    "anger": Prototype(
        {4: (0.85, 1.1), 5: (0.5, 0.9), 7: (0.5, 0.9)},
        branches=(
            Branch(
                0.65,
                {23: (0.6, 1.0), 24: (0.4, 1.0), 17: (0.1, 0.5)},
                {10: (0.4, 0.7), 16: (0.4, 0.7), 25: (0.7, 1.0), 23: (0.3, 0.5), 26: (0.1, 0.45)},
            ),
        ),
    ),
    "contempt": Prototype({43: (0.0, 0.15)}, one_side={12: (0.25, 0.45), 14: (0.85, 1.15), 2: (0.0, 0.3)}),
}


def zeros() -> np.ndarray:
    """A face at rest: float32 (2, 21) of zeros."""
    return np.zeros((2, NUM_ACTION_UNITS), np.float32)


def vector(units: dict[int, float], *, side: int | None = None) -> np.ndarray:
    """An AU vector from numbers by unit.

    Args:
      units: intensity of each unit that acts, 0..1.2.
      side: 0 for image-left alone, 1 for image-right alone, None for both.

    Returns:
      float32 (2, 21).

    Raises:
      UsageError: an unknown unit, or an intensity outside 0..1.2.
    """
    au = zeros()
    for unit, intensity in units.items():
        if unit not in COLUMN:
            raise UsageError(f"`units`: wanted units among {', '.join(map(str, ACTION_UNITS))}, got {unit}.")
        if not 0 <= intensity <= MAX_INTENSITY:
            raise UsageError(f"`units`: wanted intensities in 0..{MAX_INTENSITY}, got {intensity} for AU {unit}.")
        au[slice(None) if side is None else side, COLUMN[unit]] = intensity
    return au


def sample(rng: np.random.Generator, expression: int, *, intensity: float = 1.0) -> np.ndarray:
    """Draw the units of one expression from its prototype.

    Every number a prototype may need is drawn whatever the branch, so that two calls with equal generators spend
    equal amounts of randomness on equal expressions.

    Args:
      rng: its own stream.
      expression: an index into `EXPRESSIONS`.
      intensity: scales all units, 0..1.2.

    Returns:
      float32 (2, 21).

    Raises:
      UsageError: no such expression, or an intensity out of range.
    """
    if not 0 <= expression < len(EXPRESSIONS):
        raise UsageError(f"`expression`: wanted an index in 0..{len(EXPRESSIONS) - 1}, got {expression}.")
    if not 0 <= intensity <= MAX_INTENSITY:
        raise UsageError(f"`intensity`: wanted a number in 0..{MAX_INTENSITY}, got {intensity}.")
    prototype = PROTOTYPES[EXPRESSIONS[expression]]
    au = zeros()
    side = int(rng.integers(2))
    _draw_ranges(rng, au, prototype.both, (0, 1))
    _draw_ranges(rng, au, prototype.one_side, (side,))
    for branch in prototype.branches:
        chosen = rng.random() < branch.probability
        _draw_ranges(rng, au, branch.chosen if chosen else branch.otherwise, (0, 1))
    return np.minimum(au * np.float32(intensity), np.float32(MAX_INTENSITY))


def _draw_ranges(rng: np.random.Generator, au: np.ndarray, ranges: Ranges, sides: Sequence[int]) -> None:
    for unit, (low, high) in ranges.items():
        value = rng.uniform(low, high)
        for side in sides:
            au[side, COLUMN[unit]] = value


def stir(rng: np.random.Generator, nuisance: float) -> np.ndarray:
    """The small movements of a living face that belong to no expression: float32 (2, 21), alike on both sides.

    Args:
      rng: its own stream.
      nuisance: 0..1.5; the standard deviation is .05 times this, cut at .15.
    """
    amount = np.minimum(np.abs(rng.normal(0.0, 1.0, len(_RESTLESS))) * 0.05 * nuisance, _MAX_STIR)
    return vector(dict(zip(_RESTLESS, amount.tolist(), strict=True)))


def sample_open_set(rng: np.random.Generator, *, intensity: float = 1.0, count: int = 4) -> np.ndarray:
    """Draw units that form none of the eight expressions: a few random ones, each side on its own.

    Args:
      rng: its own stream.
      intensity: scales all units, 0..1.2.
      count: how many units act.

    Returns:
      float32 (2, 21).
    """
    au = zeros()
    columns = rng.choice(NUM_ACTION_UNITS, count, replace=False)
    au[:, columns] = rng.uniform(0.3, 1.0, (2, count))
    return au * np.float32(intensity)
