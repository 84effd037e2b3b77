"""Maps of people and of networks who saw different faces, compared over the cells of one face.

Contract: a face is cut into R rows of C square cells, and a map has one value a cell, NaN where the face reaches beyond
the picture. People's maps are float (S, K, N), one for each of S people and K categories (or pairs) over N cells. Maps
of a network are float (T, N), one for each of T pictures, and `units` int (T,) says which of the K each belongs to.
Cells that are NaN in any map count nowhere.
"""

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy

from fer_jax.compare import _map_scores, intervals
from fer_jax.compare.statistics import holm
from fer_jax.errors import UsageError, check_range
from fer_jax.frame import transform
from fer_jax.human.reliability import spearman_brown, split_half

SCORES = ("pearson", "spearman", "dice")
TOP = 0.25  # ours: share of the cells that counts as salient for Dice
SAMPLES = 10  # points a cell and side, where a map is read
_MOST_LABELS = 8


def cell_means(maps: np.ndarray, matrix: np.ndarray, *, rows: int, columns: int, cell_px: float) -> np.ndarray:
    """Average maps within the cells of a face.

    Args:
      maps: float (T, H, W).
      matrix: (2, 3), from pixels of the face to pixels of the maps (see `frame.points_matrix`), pixel centres at whole
        numbers.
      rows: R.
      columns: C.
      cell_px: side of a cell, pixels of the face.

    Returns:
      float64 (T, R * C), row by row. NaN in a cell that is not wholly inside the maps.

    Raises:
      UsageError: maps or a matrix of another shape.

    Example:
      >>> maps = np.repeat([[[0.0, 1.0]]], 8, axis=1).repeat(8, axis=2)
      >>> same = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
      >>> cell_means(maps, same, rows=1, columns=2, cell_px=8).round(1).tolist()
      [[0.0, 1.0]]
    """
    maps, matrix = np.asarray(maps, np.float64), np.asarray(matrix, np.float64)
    if maps.ndim != 3 or matrix.shape != (2, 3):
        raise UsageError(f"`maps`, `matrix`: wanted (T, H, W) and (2, 3), got {maps.shape} and {matrix.shape}.")
    inside = (np.arange(SAMPLES) + 0.5) / SAMPLES
    y, x = ((np.arange(count)[:, None] + inside).ravel() * cell_px - 0.5 for count in (rows, columns))
    points = transform(np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1), matrix)[..., ::-1]
    height, width = maps.shape[1:]
    there = ((points >= -0.5) & (points <= np.array([height, width]) - 0.5)).all(-1)
    places = np.moveaxis(points, -1, 0)
    sampled = np.stack([scipy.ndimage.map_coordinates(each, places, order=1, mode="nearest") for each in maps])
    sampled = np.where(there, sampled, np.nan).reshape(len(maps), rows, SAMPLES, columns, SAMPLES)
    return sampled.mean((2, 4)).reshape(len(maps), rows * columns)


def agreement(human: np.ndarray, model: np.ndarray, *, top: float = TOP) -> dict[str, np.ndarray]:
    """Score pairs of maps.

    Args:
      human: float (..., N).
      model: float (..., N).
      top: share of the cells that counts as salient for Dice.

    Returns:
      For each of `SCORES` float (...): Pearson's correlation, Spearman's, and the Dice of the `top` cells of each (its
      expectation for unrelated maps is `top`). NaN where a map does not vary.

    Raises:
      UsageError: `top` is no share above 0.

    Example:
      >>> same = np.array([0.0, 1.0, 2.0, 5.0])
      >>> {name: float(value.round(6)) for name, value in agreement(same, same).items()}
      {'pearson': 1.0, 'spearman': 1.0, 'dice': 1.0}
    """
    check_range("top", top, 0, 1, open_low=True)
    human, model = np.broadcast_arrays(np.asarray(human, np.float64), np.asarray(model, np.float64))
    known = np.isfinite(human) & np.isfinite(model)
    known = known.all(tuple(range(human.ndim - 1)))
    if known.sum() < 3:
        return {name: np.full(human.shape[:-1], np.nan) for name in SCORES}
    human, model = human[..., known], model[..., known]
    ranks = [scipy.stats.rankdata(np.round(each, 12), axis=-1) for each in (human, model)]
    on = [_map_scores.top(each, top) for each in ranks]
    flat = np.isnan(_pearson(*ranks))
    return {
        "pearson": _pearson(human, model),
        "spearman": _pearson(*ranks),
        "dice": np.where(flat, np.nan, (on[0] & on[1]).sum(-1) / on[0].sum(-1)),
    }


def summarise(
    human: np.ndarray,
    models: Mapping[str, np.ndarray],
    units: np.ndarray,
    *,
    references: Mapping[str, np.ndarray] | None = None,
    top: float = TOP,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average the agreement with people over the units, with intervals over people and pictures, and differences.

    Args:
      human: float (S, K, N), scaled so that everybody weighs alike (see `human.reliability.scaled`).
      models: maps float (T, N) by method.
      units: int (T,).
      references: maps float (K, N) by name that ask no network. "people's map of the other expressions" is added:
        the mean map of people over the other units.
      top: as in `agreement`.

    Returns:
      One row a method or reference and score: method, kind ("method" or "reference"), score, value, low, high (95 %,
      see `intervals.jackknife_spread`), n_units, n_people, n_pictures, reason. And one row a score and two of them,
      methods against each other and against references: first, second, score, difference, low, high, p (two-sided, of
      the normal distribution), p_holm (over the rows of a score).

    Raises:
      UsageError: maps that do not fit each other.

    Example:
      >>> random = np.random.default_rng(0)
      >>> truth = random.random((2, 12))
      >>> human = truth + 0.1 * random.random((5, 2, 12))
      >>> units = np.array([0, 0, 1, 1])
      >>> table, _ = summarise(human, {"good": truth[units]}, units)
      >>> bool(table["value"].iloc[0] > 0.9), table["method"].unique().tolist()
      (True, ['good', "people's map of the other expressions"])
    """
    human, units = _checked(human, models, units, references or {})
    people, count = human.shape[:2]
    # Row 0 has everybody, one row lacks each person, and one each picture.
    who = np.concatenate([np.ones((1, people)), 1 - np.eye(people), np.ones((len(units), people))])
    which = np.concatenate([np.ones((1 + people, len(units))), 1 - np.eye(len(units))])
    seen = _means(human.transpose(1, 0, 2), who)
    values = {}
    for name, maps in models.items():
        of_units = [_means(maps[units == unit][None], which[:, units == unit])[:, 0] for unit in range(count)]
        values[name] = _mean_scores(seen, np.stack(of_units, 1), top)
    others = (seen.sum(1, keepdims=True) - seen) / max(count - 1, 1)
    for name, maps in {**(references or {}), OTHERS: others}.items():
        values[name] = _mean_scores(seen, np.broadcast_to(maps, seen.shape), top)
    rows = []
    for (name, found), score in itertools.product(values.items(), SCORES):
        value, low, high, _ = _estimate(found[score], people, units)
        row = {"method": name, "kind": "method" if name in models else "reference", "score": score, "value": value}
        row |= {"low": low, "high": high, "n_units": count, "n_people": people}
        reason = "a map does not vary, or no cell is in every map" if np.isnan(value) else ""
        if np.isnan(low) and not reason:
            reason = "no interval: fewer than two people, or a unit of one picture"
        rows.append(row | {"n_pictures": len(units) if name in models else 0, "reason": reason})
    two = [(one, other) for one, other in itertools.combinations(values, 2) if one in models]
    differences = []
    for score, (one, other) in itertools.product(SCORES, two):
        found = _estimate(values[one][score] - values[other][score], people, units)
        row = dict(zip(("difference", "low", "high", "p"), found, strict=True))
        differences.append({"first": one, "second": other, "score": score, **row})
    table = pd.DataFrame(differences)
    table["p_holm"] = table.groupby("score")["p"].transform(lambda p: holm(p.to_numpy()))
    return pd.DataFrame(rows), table


OTHERS = "people's map of the other expressions"  # a reference: the mean map of people over the other units


def specificity(human: np.ndarray, models: Mapping[str, np.ndarray], units: np.ndarray) -> pd.DataFrame:
    """Test whether the map of a unit fits people's map of that unit better than of others: all K! ways to match them.

    Args:
      human: float (S, K, N), K at most 8.
      models: maps float (T, N) by method.
      units: int (T,).

    Returns:
      One row a method: method, matched (mean Pearson correlation of the unit's two maps), others (of a unit's map with
      the maps of other units), difference, p (share of matchings with a mean as high, at least 1 / K!), n_units and
      reason.

    Raises:
      UsageError: maps that do not fit each other, or more than 8 units.

    Example:
      >>> maps = np.eye(3)
      >>> specificity(maps[None], {"same": maps}, np.arange(3)).round(2).values.tolist()
      [['same', 1.0, -0.5, 1.5, 0.17, 3, '']]
    """
    human, units = _checked(human, models, units, {})
    count = human.shape[1]
    if not 2 <= count <= _MOST_LABELS:
        raise UsageError(f"`human`: wanted 2 to {_MOST_LABELS} categories for an exact test, got {count}.")
    order = np.asarray(list(itertools.permutations(range(count))))
    rows = []
    for name, maps in models.items():
        means = np.stack([maps[units == unit].mean(0) for unit in range(count)])
        scores = agreement(human.mean(0)[:, None], means[None])["pearson"]
        reason = "" if np.isfinite(scores).all() else "a map does not vary, or no cell is in every map"
        matched = scores[np.arange(count), order].mean(1)
        others = scores[~np.eye(count, dtype=bool)].mean()
        p = math.nan if reason else float((matched >= matched[0] - 1e-12).mean())
        row = {"method": name, "matched": matched[0], "others": others, "difference": matched[0] - others, "p": p}
        rows.append(row | {"n_units": count, "reason": reason})
    return pd.DataFrame(rows)


def ceiling(human: np.ndarray, *, seed: int, halves: int = 200) -> pd.DataFrame:
    """Return how well people's map of each unit repeats in other people.

    Args:
      human: float (S, K, N).
      seed: of the halves.
      halves: random divisions of the people.

    Returns:
      One row a unit: unit, split_half (mean Pearson correlation of the mean maps of two halves), spearman_brown (of the
      map of all), best_score (its square root, the highest correlation that a model can be expected to reach) and
      n_people.

    Example:
      >>> maps = np.array([[[0.0, 1.0, 2.0]], [[0.0, 1.0, 2.0]]])
      >>> ceiling(maps, seed=0, halves=2)["best_score"].round(6).tolist()
      [1.0]
    """
    human = np.asarray(human, np.float64)
    human = human[..., np.isfinite(human).all((0, 1))]
    rows = []
    for unit in range(human.shape[1]):
        r = split_half(human[:, unit], seed=seed, halves=halves, scaling="none")
        whole = spearman_brown(r)
        best = math.sqrt(whole) if whole >= 0 else math.nan
        rows.append((unit, r, whole, best, len(human)))
    return pd.DataFrame(rows, columns=["unit", "split_half", "spearman_brown", "best_score", "n_people"])


def _checked(human, models, units, references):
    human, units = np.asarray(human, np.float64), np.asarray(units)
    if human.ndim != 3:
        raise UsageError(f"`human`: wanted (people, units, cells), got {human.shape}.")
    count, cells = human.shape[1:]
    shapes = {name: np.shape(maps) for name, maps in models.items()}
    if not models or set(shapes.values()) != {(len(units), cells)}:
        raise UsageError(f"`models`: wanted maps ({len(units)}, {cells}) of every method, got {shapes}.")
    if any(np.shape(maps) != (count, cells) for maps in references.values()):
        raise UsageError(f"`references`: wanted maps ({count}, {cells}), one a unit, got others.")
    if not np.issubdtype(units.dtype, np.integer) or set(units.tolist()) != set(range(count)):
        raise UsageError(f"`units`: wanted each of 0..{count - 1} at least once, got {sorted(set(units.tolist()))}.")
    return human, units


def _means(maps, counts) -> np.ndarray:
    """Return the mean maps (R, G, N) of groups (G, n, N) whose n members count as often as `counts` (R, n) says."""
    total = counts.sum(1, keepdims=True)
    return np.einsum("rn,gnc->rgc", counts / np.where(total > 0, total, np.nan), maps)


def _mean_scores(human, model, top) -> dict[str, np.ndarray]:
    """Return each score (R,), the mean over units of maps (R, K, N)."""
    return {name: value.mean(1) for name, value in agreement(human, model, top=top).items()}


def _estimate(values, people, units) -> tuple[float, float, float, float]:
    """Return a value with its interval and p, from the rows of `summarise`."""
    of_images = intervals.within_labels(values[1 + people :], units)
    spread = float(intervals.jackknife_spread(values[1 : 1 + people], *of_images))
    value = float(values[0])
    p = float(2 * scipy.stats.norm.sf(abs(value) / spread)) if spread > 0 else math.nan
    return value, *intervals.normal_interval(value, spread), p


def _pearson(one, other) -> np.ndarray:
    one, other = (each - each.mean(-1, keepdims=True) for each in (one, other))
    # Rounding alone is no variation.
    spans = [np.sqrt((each**2).sum(-1)) for each in (one, other)]
    flat = (spans[0] <= 1e-12) | (spans[1] <= 1e-12)
    return np.where(flat, np.nan, (one * other).sum(-1) / np.where(flat, 1, spans[0] * spans[1]))
