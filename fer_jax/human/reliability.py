"""How far attention maps repeat: split halves, the Spearman-Brown formula and leave-one-out ceilings.

Contract: maps are float (S, N), one row a person, N values of one image or of several. A row that is NaN stands for a
person without a map, and takes part in nothing. Every correlation has two names: `correlation` says which, `scaling`
says what was done to each person's map before. Both change the numbers, so a table carries them in every row.
"""

import dataclasses
import math

import numpy as np
import pandas as pd
import scipy

from fer_jax.errors import UsageError, check_count, check_one_of
from fer_jax.human.attention import person_maps
from fer_jax.human.behaviour import varies
from fer_jax.human.trials import Trials
from fer_jax.streams import stream

CORRELATIONS = ("pearson", "spearman")
SCALINGS = ("over_mean", "none")
HALVES = 200


def scaled(maps: np.ndarray, scaling: str = "over_mean") -> np.ndarray:
    """Scale the map of each person.

    Args:
      maps: float (S, N), 0 or more.
      scaling: "over_mean" divides by the mean and subtracts 1, so that everybody weighs alike. "none" changes nothing.

    Returns:
      float64 (S, N). A map that is zero throughout becomes NaN under "over_mean".

    Raises:
      UsageError: an unknown scaling, or maps of another shape.

    Example:
      >>> scaled(np.array([[0.0, 1.0, 2.0]])).tolist()
      [[-1.0, 0.0, 1.0]]
    """
    check_one_of("scaling", scaling, SCALINGS)
    maps = np.asarray(maps, np.float64)
    if maps.ndim != 2:
        raise UsageError(f"`maps`: wanted (people, values), got shape {maps.shape}.")
    if scaling == "none":
        return maps
    means = maps.mean(1, keepdims=True)
    return maps / np.where(means > 0, means, np.nan) - 1


def spearman_brown(r: float) -> float:
    """Return the reliability of the whole from the correlation of its halves: 2r/(1 + r).

    Args:
      r: correlation of two halves.

    Returns:
      At most 1. NaN at r = −1, where the formula has no value.

    Example:
      >>> spearman_brown(0.5)
      0.6666666666666666
    """
    return 2 * r / (1 + r) if r > -1 else math.nan


def split_half(
    maps: np.ndarray,
    *,
    seed: int,
    halves: int = HALVES,
    correlation: str = "pearson",
    scaling: str = "over_mean",
) -> float:
    """Return the mean correlation between the mean maps of two random halves of the people.

    Args:
      maps: float (S, N).
      seed: whole number from 0, of the halves.
      halves: how many random divisions. Of an odd number of people the second half has one more.
      correlation: a name of `CORRELATIONS`.
      scaling: a name of `SCALINGS`.

    Returns:
      −1 to 1, NaN with fewer than two maps, or where a half's mean map does not vary.

    Raises:
      UsageError: an unknown name, no division, or maps of another shape.

    Example:
      >>> split_half(np.array([[0.0, 1, 2], [0, 1, 2], [0, 1, 2]]), seed=0)
      1.0
    """
    return _split_half(_people_of(maps, scaling, correlation), seed, halves)


def first_halves(random: np.random.Generator, people: int, *, halves: int) -> np.ndarray:
    """Draw random halves of the people. Of an odd number the other half has one more.

    Args:
      random: the source of chance.
      people: S.
      halves: how many random divisions.

    Returns:
      bool (halves, S), who is in the first half.
    """
    first = np.zeros((halves, people), bool)
    order = np.argsort(random.random((halves, people)), axis=1, kind="stable")
    np.put_along_axis(first, order[:, : people // 2], True, axis=1)
    return first


def leave_one_out(maps: np.ndarray, *, correlation: str = "pearson", scaling: str = "over_mean") -> tuple[float, float]:
    """Return the bounds of the score that a perfect prediction of the group reaches on one person.

    Args:
      maps: float (S, N).
      correlation: a name of `CORRELATIONS`.
      scaling: a name of `SCALINGS`.

    Returns:
      Lower bound, the mean correlation of each person with the mean of the others. Upper bound, the mean correlation of
      each person with the mean of all, the person included. NaN with fewer than two maps or a map that does not vary.

    Raises:
      UsageError: an unknown name, or maps of another shape.

    Example:
      >>> lower, upper = leave_one_out(np.array([[0.0, 1, 2], [0, 2, 1], [1, 0, 2]]))
      >>> round(lower, 2), round(upper, 2)
      (0.33, 0.67)
    """
    return _leave_one_out(_people_of(maps, scaling, correlation))


def attention_reliability(
    trials: Trials,
    study: pd.DataFrame,
    *,
    image_px: int | tuple[int, int],
    radius: int,
    seed: int,
    halves: int = HALVES,
    trials_used: str = "correct",
    correlation: str = "pearson",
    scaling: str = "over_mean",
) -> pd.DataFrame:
    """Return how far the attention map of each image repeats in other people.

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.
      image_px: side of the stimuli, or (height, width).
      radius: of the disc a click opens, pixels.
      seed: whole number from 0, of the halves.
      halves: as for `split_half`.
      trials_used: "correct" or "all".
      correlation: a name of `CORRELATIONS`.
      scaling: a name of `SCALINGS`.

    Returns:
      T rows in the study's order.

    Columns:
      image, true_label: of the study table. false_label where the study table has foils.
      n: people with a map.
      split_half: mean correlation of the mean maps of two halves.
      spearman_brown: reliability of the mean map of all, from split_half.
      best_score: square root of spearman_brown, the best expected correlation with the mean map.
      loo_lower, loo_upper: as `leave_one_out` returns them.
      correlation, scaling: their names.
      reason: why values are NaN, else empty.

    Raises:
      UsageError, DataError: as for `attention.attention_maps`.
    """
    rows = []
    named = {"correlation": correlation, "scaling": scaling}
    for maps in person_maps(trials, study, image_px=image_px, radius=radius, trials_used=trials_used):
        flat = maps.reshape(len(maps), maps.shape[1] * maps.shape[2])
        uncovering = flat[flat.any(1)] if len(flat) else flat
        people = (_discs_of if correlation == "pearson" else _people_of)(uncovering, scaling, correlation)
        half = _split_half(people, seed, halves)
        lower, upper = _leave_one_out(people)
        whole = spearman_brown(half)
        few = f"{len(uncovering)} people uncovered anything" if len(uncovering) < 2 else ""
        rows.append(
            {
                "n": len(uncovering),
                "split_half": half,
                "spearman_brown": whole,
                "best_score": math.sqrt(whole) if whole >= 0 else math.nan,
                "loo_lower": lower,
                "loo_upper": upper,
                **named,
                "reason": few or _lacking(half, whole, lower, upper),
            }
        )
    labels = [name for name in ("image", "true_label", "false_label") if name in study]
    return pd.concat([study[labels].reset_index(drop=True), pd.DataFrame(rows)], axis=1)


@dataclasses.dataclass(frozen=True, eq=False)
class _People:
    """The maps of S people, and all that correlations of their means follow from.

    Attributes:
      maps: float (S, N), scaled, kept for rank correlations. None for Pearson's, which need no map.
      products: float64 (S, S), sums over values of the products of two people's maps less their means.
      least: what is left of a mean map that does not vary, but for rounding.
    """

    maps: np.ndarray | None
    products: np.ndarray
    least: float


def _people_of(maps, scaling, correlation) -> _People:
    """Return the people who have a map."""
    check_one_of("correlation", correlation, CORRELATIONS)
    maps = scaled(maps, scaling)
    maps = maps[np.isfinite(maps).all(1)]
    centred = maps - maps.mean(1, keepdims=True)
    least = maps.shape[1] * (np.finfo(np.float64).eps * 64 * np.abs(maps).max(initial=0)) ** 2
    return _People(maps if correlation == "spearman" else None, centred @ centred.T, least)


def _discs_of(maps, scaling, correlation) -> _People:
    """Return people whose maps are 0 and 1, for Pearson's: products are counts of pixels that both uncovered."""
    check_one_of("correlation", correlation, CORRELATIONS)
    check_one_of("scaling", scaling, SCALINGS)
    count = maps.shape[1]
    # Counts are exact in float32 up to 2^24 pixels, beyond which float64 counts.
    ones = maps.astype(np.float32 if count < 1 << 24 else np.float64)
    products = (ones @ ones.T).astype(np.float64)
    sums = products.diagonal()
    products = products - np.outer(sums, sums) / count
    largest = 1.0
    if scaling == "over_mean":
        known = sums > 0
        means = sums[known] / count
        products = products[np.ix_(known, known)] / np.outer(means, means)
        largest = max(1.0, (1 / means - 1).max(initial=0))
    return _People(None, products, count * (np.finfo(np.float64).eps * 64 * largest) ** 2)


def _lacking(half, whole, lower, upper) -> str:
    if not np.isfinite([half, lower, upper]).all():
        return "a map does not vary"
    return "the halves disagree, so nothing is the best score" if not whole >= 0 else ""


def _split_half(people: _People, seed, halves) -> float:
    count = len(people.products)
    check_count("halves", halves, 1)
    if count < 2:
        return math.nan
    first = first_halves(stream(seed), count, halves=halves)
    return float(np.mean(_agreement(people, first, ~first)))


def _leave_one_out(people: _People) -> tuple[float, float]:
    if len(people.products) < 2:
        return math.nan, math.nan
    one = np.eye(len(people.products), dtype=bool)
    lower = _agreement(people, one, ~one)
    upper = _agreement(people, one, np.ones_like(one))
    return float(np.mean(lower)), float(np.mean(upper))


def _agreement(people: _People, first, second) -> np.ndarray:
    """Correlate mean maps of groups of people: `first` and `second` are bool (R, S), the answer is (R,)."""
    a, b = (group / group.sum(1, keepdims=True) for group in (first, second))
    if people.maps is not None:
        pairs = zip(a @ people.maps, b @ people.maps, strict=True)
        return np.array([_ranked(one, other) for one, other in pairs])
    # All correlations follow from the products of the people's maps: no mean map is made.
    both, own, other = ((one @ people.products * two).sum(1) for one, two in ((a, b), (a, a), (b, b)))
    known = (own > people.least) & (other > people.least)
    return np.clip(both / np.sqrt(np.where(known, own * other, np.nan)), -1, 1)


def _ranked(one, other) -> float:
    if not (varies(one) and varies(other)):
        return math.nan
    ranks = (scipy.stats.rankdata(np.round(values, 12)) for values in (one, other))
    return float(np.corrcoef(*ranks)[0, 1])
