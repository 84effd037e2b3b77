"""Bootstrap intervals: the one place that resamples units, be they pairs, pictures or people.

Contract: a resample is a row of positions into the units, drawn with replacement. A statistic of R resamples is float
(R,), and its interval lies between two of its percentiles. Crossed data of S people and T images resample both. The
generator comes first, from `fer_jax.streams.stream`.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import scipy

from fer_jax.errors import UsageError, check_count

LEVEL = 95  # percent of the resamples that an interval holds
RESAMPLES = 2000
_BLOCK = 1 << 20  # positions drawn at once


def resample(random: np.random.Generator, count: int, *, resamples: int = RESAMPLES) -> np.ndarray:
    """Draw resamples of units.

    Args:
      random: the source of chance.
      count: n, the number of units.
      resamples: R, the number of resamples.

    Returns:
      int (R, n), positions 0..n-1.

    Raises:
      UsageError: fewer than one resample.

    Example:
      >>> from fer_jax.streams import stream
      >>> resample(stream(0), 3, resamples=2).shape
      (2, 3)
    """
    return random.integers(0, count, (check_count("resamples", resamples, 1), count))


def resample_within(
    random: np.random.Generator, labels: np.ndarray, *, resamples: int = RESAMPLES
) -> Iterator[np.ndarray]:
    """Draw resamples of units within each label, so that every resample holds as many units of a label.

    Args:
      random: the source of chance.
      labels: int (n,), from 0.
      resamples: R, the number of resamples.

    Yields:
      Blocks int (b, n) of positions, R rows in all: as many at once as fit into a few megabytes. The size of the
      blocks does not change the numbers.

    Example:
      >>> from fer_jax.streams import stream
      >>> labels = np.array([1, 0, 1, 1])
      >>> (drawn,) = resample_within(stream(0), labels, resamples=3)
      >>> labels[drawn].sum(1).tolist()
      [3, 3, 3]
    """
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    starts, sizes = (np.repeat(each, sizes) for each in (np.cumsum(sizes) - sizes, sizes))
    block = max(1, _BLOCK // len(labels))
    for first in range(0, resamples, block):
        count = min(block, resamples - first)
        yield order[starts + random.integers(sizes, size=(count, len(labels)))]


def percentile_interval(values: np.ndarray, *, method: Literal["linear", "nearest"] = "linear") -> tuple[float, float]:
    """Return the ends of the `LEVEL` % percentile interval.

    Args:
      values: float (R,), a statistic of each resample.
      method: of `np.percentile`. "nearest" for whole numbers, or infinite ones, between which nothing lies.

    Returns:
      Low and high.

    Example:
      >>> low, high = percentile_interval(np.arange(201))
      >>> round(low, 3), round(high, 3)
      (5.0, 195.0)
    """
    tail = (100 - LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail], method=method)
    return float(low), float(high)


def mean_interval(
    random: np.random.Generator, values: np.ndarray, *, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Return the interval of a mean: it speaks of other units of the same kind.

    Args:
      random: the source of chance.
      values: float (n,), one of each unit.
      resamples: the number of resamples.

    Returns:
      Low and high, NaN with fewer than two units.

    Raises:
      UsageError: fewer than one resample.

    Example:
      >>> from fer_jax.streams import stream
      >>> low, high = mean_interval(stream(0), np.array([0.1, 0.2, 0.6]))
      >>> 0.1 <= low < 0.3 < high <= 0.6
      True
    """
    if len(values) < 2:
        return np.nan, np.nan
    return percentile_interval(values[resample(random, len(values), resamples=resamples)].mean(1))


def crossed_counts(
    random: np.random.Generator, people: int, cells: np.ndarray, *, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Draw people and, within each cell, images: the pigeonhole bootstrap of crossed data (Owen 2007).

    Where answers are noisy, as right and wrong are, its intervals hold the truth at least as often as their level says.
    Where little but people differs, 22 of them are few: 95 % intervals then hold it in 91 % of studies.

    Args:
      random: the source of chance.
      people: S, the number of people.
      cells: int (T,), from 0, the cell of each image.
      resamples: R, the number of resamples.

    Returns:
      How often each person was drawn, int (R, S), and each image, int (R, T). An interval of people alone takes ones
      in place of the images' counts, an interval of images alone ones in place of the people's.

    Raises:
      UsageError: fewer than one resample.

    Example:
      >>> from fer_jax.streams import stream
      >>> drawn, shown = crossed_counts(stream(0), 3, np.array([0, 0, 1]), resamples=2)
      >>> drawn.sum(1).tolist(), shown[:, :2].sum(1).tolist(), shown[:, 2].tolist()
      ([3, 3], [2, 2], [1, 1])
    """
    of_people = _counts(resample(random, people, resamples=resamples), people)
    of_images = [_counts(block, len(cells)) for block in resample_within(random, cells, resamples=resamples)]
    return of_people, np.concatenate(of_images)


def crossed_means(
    values: np.ndarray, cells: np.ndarray, people_counts: np.ndarray, image_counts: np.ndarray
) -> np.ndarray:
    """Return the mean of each cell in each resample.

    Args:
      values: float (S, T), one row a person, NaN where there is no answer.
      cells: int (T,), 0..C-1, the cell of each image.
      people_counts: (R, S).
      image_counts: (R, T).

    Returns:
      float (R, C), NaN where a resample has no answer in a cell.

    Raises:
      UsageError: a value is infinite.

    Example:
      >>> values = np.array([[1.0, 0.0], [1.0, np.nan]])
      >>> crossed_means(values, np.array([0, 0]), np.array([[1, 1], [2, 0]]), np.ones((2, 2))).round(2).tolist()
      [[0.67], [0.5]]
    """
    known = ~np.isnan(values)
    if np.isinf(values).any():
        raise UsageError("`values`: wanted numbers, or NaN where there is no answer, got infinity.")
    in_cell = np.eye(int(cells.max()) + 1)[cells]
    sums, numbers = (
        ((people_counts @ each) * image_counts) @ in_cell
        for each in (np.where(known, values, 0.0), known.astype(np.float64))
    )
    return sums / np.where(numbers > 0, numbers, np.nan)


def jackknife_parts(without: np.ndarray) -> np.ndarray:
    """Return what each of n units adds to a number, from the numbers without each: (n - 1) (mean - number).

    Args:
      without: float (n, ...).

    Returns:
      float (n, ...), of mean 0. A unit without which there is no number (NaN) adds 0.

    Example:
      >>> jackknife_parts(np.array([1.0, 2.0, 3.0])).tolist()  # of the mean of 4, 2 and 0
      [2.0, 0.0, -2.0]
    """
    known = np.isfinite(without)
    number = known.sum(0)
    mean = np.where(known, without, 0).sum(0) / np.maximum(number, 1)
    return np.where(known, (number - 1) * (mean - without), 0)


def jackknife_spread(*groups: np.ndarray) -> np.ndarray:
    """Return the standard error of a number over people, images and what else varies, from leaving out one at a time.

    For the correlation of mean maps or of confusions, and what else a second drawing biases: means over people who are
    drawn again are noisier than those over all, so that bootstrapped correlations are lower than the one seen, and
    their intervals too narrow or in the wrong place. The variances of the groups add up, which errs to the safe side.

    Args:
      groups: float (n, ...) each, the numbers without each unit of a group: all people, or the images of one cell.

    Returns:
      float (...), NaN with a group of fewer than two, or where a number is NaN.

    Example:
      >>> people = np.array([0.2, 0.4, 0.6])  # of the mean of three people with 0.8, 0.4 and 0 this is s / sqrt(3)
      >>> jackknife_spread(people, np.zeros(2), np.zeros(2)).round(3)
      np.float64(0.231)
    """
    known = np.all([np.isfinite(each).all(0) & (len(each) > 1) for each in groups], 0)
    squares = [
        (jackknife_parts(each) ** 2).sum(0) / (len(each) * max(len(each) - 1, 1)) for each in groups if len(each)
    ]
    return np.where(known, np.sqrt(sum(squares)), np.nan)[()]


def within_labels(values: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Split numbers (n, ...) by their labels, int (n,) from 0: one array a label, in their order.

    Example:
      >>> [part.tolist() for part in within_labels(np.array([0.1, 0.2, 0.3]), np.array([1, 0, 1]))]
      [[0.2], [0.1, 0.3]]
    """
    return [values[labels == label] for label in np.unique(labels)]


def normal_interval(value: np.ndarray | float, spread: np.ndarray | float) -> tuple:
    """Return the ends of the `LEVEL` % interval of a number with a standard error, by the normal distribution.

    Example:
      >>> low, high = normal_interval(1.0, 0.5)
      >>> round(low, 2), round(high, 2)
      (0.02, 1.98)
    """
    reach = float(scipy.stats.norm.ppf(0.5 + LEVEL / 200)) * spread
    return value - reach, value + reach


def _counts(drawn, units) -> np.ndarray:
    """Count how often each unit stands in each row of positions."""
    rows = np.arange(len(drawn))[:, None] * units
    return np.bincount((drawn + rows).ravel(), minlength=len(drawn) * units).reshape(len(drawn), units)
