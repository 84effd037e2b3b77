"""Facial action units: their order, which of them an expression has, and where each shows in a face.

Contract: an AU vector is float32 (2, 21). Side 0 is image-left, columns follow `ACTION_UNITS`, 0 is absent, 1 the full
action, and nothing exceeds `MAX_INTENSITY`. FACS (Ekman, Friesen & Hager 2002) defines the units. Du, Tao & Martinez
(2014, 10.1073/pnas.1322355111) list the units an expression shares. The magnitudes are ours.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fer_jax.errors import check_index, check_one_of, check_range
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
    """Units added to a prototype: with `probability` the first table, else the second."""

    probability: float
    chosen: Ranges
    otherwise: Ranges = {}  # noqa: RUF012 (never written to)


class Prototype(NamedTuple):
    """Uniform ranges of an expression: on both sides, on one random side, and in branches drawn independently."""

    both: Ranges
    one_side: Ranges = {}  # noqa: RUF012 (never written to)
    branches: tuple[Branch, ...] = ()


# The units of an expression in drawn faces.
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


# Mean intensity of the consistent units of each expression, 0..1, for faces whose units are not known (set by eye).
# Those of contempt act on one side, hence halved.
TYPICAL_UNITS = {
    "neutral": {},
    "happy": {6: 0.9, 12: 0.9, 25: 0.5},
    "sad": {1: 0.9, 4: 0.7, 15: 0.9, 17: 0.4},
    "surprise": {1: 0.9, 2: 0.9, 5: 0.8, 25: 1.0, 26: 0.9},
    "fear": {1: 0.85, 2: 0.5, 4: 0.65, 5: 0.95, 20: 0.9, 25: 0.85, 26: 0.3},
    "disgust": {4: 0.4, 6: 0.3, 7: 0.6, 9: 0.9, 10: 0.7, 15: 0.3, 17: 0.4},
    "anger": {4: 1.0, 5: 0.4, 7: 0.7, 10: 0.15, 17: 0.3, 24: 0.8},
    "contempt": {12: 0.45, 14: 0.45},
}

# How strongly a unit shows in (set by eye): one eye with its brow, mouth, nose, glabella, chin, one cheek.
UNIT_SHOWS = {
    1: (0.8, 0.0, 0.0, 0.5, 0.0, 0.0),
    2: (0.8, 0.0, 0.0, 0.0, 0.0, 0.0),
    4: (0.6, 0.0, 0.0, 1.0, 0.0, 0.0),
    5: (0.6, 0.0, 0.0, 0.0, 0.0, 0.0),
    6: (0.3, 0.0, 0.0, 0.0, 0.0, 0.5),
    7: (0.3, 0.0, 0.0, 0.0, 0.0, 0.0),
    9: (0.0, 0.3, 1.0, 0.6, 0.0, 0.0),
    10: (0.0, 0.7, 0.4, 0.0, 0.0, 0.0),
    12: (0.0, 1.0, 0.0, 0.0, 0.0, 0.4),
    14: (0.0, 0.6, 0.0, 0.0, 0.0, 0.2),
    15: (0.0, 0.7, 0.0, 0.0, 0.1, 0.0),
    17: (0.0, 0.3, 0.0, 0.0, 0.7, 0.0),
    20: (0.0, 0.9, 0.0, 0.0, 0.0, 0.0),
    24: (0.0, 0.7, 0.0, 0.0, 0.0, 0.0),
    25: (0.0, 0.8, 0.0, 0.0, 0.0, 0.0),
    26: (0.0, 0.6, 0.0, 0.0, 0.9, 0.0),
}


def zeros() -> np.ndarray:
    """Return the AU vector of a face at rest."""
    return np.zeros((2, NUM_ACTION_UNITS), np.float32)


def vector(units: dict[int, float], *, side: int | None = None) -> np.ndarray:
    """Return an AU vector from numbers by unit.

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
        check_one_of("units", unit, ACTION_UNITS)
        check_range(f"units[{unit}]", intensity, 0, MAX_INTENSITY)
        au[slice(None) if side is None else side, COLUMN[unit]] = intensity
    return au


def sample(rng: np.random.Generator, expression: int, *, intensity: float = 1.0) -> np.ndarray:
    """Draw the units of one expression from its prototype.

    Args:
      rng: a stream for these numbers alone.
      expression: an index into `EXPRESSIONS`.
      intensity: scales all units, 0..1.2.

    Returns:
      float32 (2, 21).

    Raises:
      UsageError: no such expression, or an intensity out of range.
    """
    check_index("expression", expression, len(EXPRESSIONS))
    check_range("intensity", intensity, 0, MAX_INTENSITY)
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
    """Draw the small movements of a living face that belong to no expression, alike on both sides.

    Args:
      rng: a stream for these numbers alone.
      nuisance: 0..1.5. The standard deviation is .05 times this, cut at .15.

    Returns:
      float32 (2, 21).
    """
    amount = np.minimum(np.abs(rng.normal(0.0, 1.0, len(_RESTLESS))) * 0.05 * nuisance, _MAX_STIR)
    return vector(dict(zip(_RESTLESS, amount.tolist(), strict=True)))


def sample_open_set(rng: np.random.Generator, *, intensity: float = 1.0, count: int = 4) -> np.ndarray:
    """Draw a few random units, of random strength on each side, that form none of the eight expressions.

    Args:
      rng: a stream for these numbers alone.
      intensity: scales all units, 0..1.2.
      count: how many units act.

    Returns:
      float32 (2, 21).
    """
    au = zeros()
    columns = rng.choice(NUM_ACTION_UNITS, count, replace=False)
    au[:, columns] = rng.uniform(0.3, 1.0, (2, count))
    return au * np.float32(intensity)
