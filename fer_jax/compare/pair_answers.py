"""People against the members on the same task and the same images: is this face a, or b (paper §4 and §5)?

Contract: `people` is float (S, T), 1 right, 0 wrong, NaN where a person did not answer. `members` is (T,), right or
wrong of the member of the image's own pair. `cells` is int (T,), the ordered pair of each image, in the order of
`Categories.ordered_pairs`. Intervals resample people and, within each ordered pair, images, of people and members
alike.
"""

import math

import numpy as np
import pandas as pd
import scipy

from fer_jax.categories import Categories
from fer_jax.compare import intervals
from fer_jax.compare.confusion import pair_matrix, qap
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human.behaviour import varies
from fer_jax.human.study import positions
from fer_jax.human.trials import Trials, answers
from fer_jax.streams import stream

_RESAMPLED = 2  # stream of the seed
_MOST_LABELS = 9  # that an exact test permutes


def right_answers(trials: Trials, study: pd.DataFrame) -> np.ndarray:
    """Return who was right about which image: float (S, T), people sorted by name, NaN where there is no answer.

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.

    Example:
      >>> from fer_jax import human
      >>> labels, names = np.repeat(np.arange(8), 7), [str(number) for number in range(56)]
      >>> study = human.study.make_study(labels, names, seed=0, per_ordered_pair=1)
      >>> people = human.observers.simulate(study, seed=0, image_px=64, participants=4, with_dropouts=False)
      >>> right_answers(people, study).shape
      (4, 56)
    """
    table = trials.trials
    right = answers(table).astype("Float64").to_numpy(np.float64, na_value=np.nan)
    names, who = np.unique(table["participant"].to_numpy(str), return_inverse=True)
    rows = positions(study, table["image"])
    known = np.isfinite(right) & (rows >= 0)
    sums, numbers = np.zeros((2, len(names), len(study)))
    np.add.at(sums, (who[known], rows[known]), right[known])
    np.add.at(numbers, (who[known], rows[known]), 1)
    return sums / np.where(numbers > 0, numbers, np.nan)


def compare_answers(
    people: np.ndarray,
    members: np.ndarray,
    cells: np.ndarray,
    *,
    seed: int,
    resamples: int = intervals.RESAMPLES,
    categories: Categories = EXPRESSIONS,
) -> pd.DataFrame:
    """Compare accuracies over ordered pairs, and who is right on which image.

    Args:
      people: (S, T).
      members: (T,), true, false, or NaN for no answer.
      cells: int (T,), 0..K(K-1)-1.
      seed: of the resampling.
      resamples: how many.
      categories: whose ordered pairs the cells are.

    Returns:
      One row a statistic.

    Columns:
      statistic: accuracy of people, of members and their difference (means over the ordered pairs), r and rank r of
        the accuracies over ordered pairs, κ (error consistency) of people with members, the mean over people, and κ
        of people with people, the mean over two different people.
      value: as the name says.
      low, high: 95 % interval over people and images.
      p_qap: of r, by exact permutation of the categories (see `confusion.qap`).
      least, most: bounds of κ at these accuracies, averaged alike.
      n: ordered pairs, people, or twos of people.
      reason: why a number is missing, else empty.

    Raises:
      UsageError: arrays that do not fit, or values that are neither right nor wrong.

    Example:
      >>> people = np.array([[1, 1, 0, 1, 1, 0.0], [1, 0, 0, 1, 1, 1]])
      >>> trio = fer.Categories(("neutral", "happy", "sad"))
      >>> table = compare_answers(people, [1, 1, 0, 1, 0, 1], np.arange(6), seed=0, resamples=50, categories=trio)
      >>> table.set_index("statistic")["value"].round(2)[["r of accuracies", "κ of people with members"]].tolist()
      [0.32, 0.25]
    """
    people, members, cells = _checked(people, members, cells, categories)
    count, number = len(people), len(categories.ordered_pairs)
    drawn = intervals.crossed_counts(stream(seed, _RESAMPLED), max(count, 1), cells, resamples=resamples)
    # The first row resamples nothing.
    of_people, of_images = (np.r_[np.ones((1, counts.shape[1])), counts] for counts in drawn)
    both = np.full((2, resamples + 1, number), np.nan)
    if count:
        both[0, :, : cells.max() + 1] = intervals.crossed_means(people, cells, of_people, of_images)
        both[1, :, : cells.max() + 1] = intervals.crossed_means(
            members[None], cells, np.ones((resamples + 1, 1)), of_images
        )
    accuracy, other = both
    known = np.isfinite(accuracy) & np.isfinite(other)
    means = [_mean(values, known) for values in both]
    n = int(known[0].sum())
    lacking = "" if n == number else f"{number - n} of {number} ordered pairs without answers"
    rows = [
        _row("accuracy of people", means[0], n, count, lacking),
        _row("accuracy of members", means[1], n, count, lacking),
        _row("people less members", means[0] - means[1], n, count, lacking),
        *_correlated(accuracy, other, known, categories, count, lacking),
    ]
    kappas = _kappas(people, members, of_images)
    one, two = np.triu_indices(count, 1)
    for name, which, weights, unit in (
        ("κ of people with members", 0, of_people, "people"),
        ("κ of people with people", 1, of_people[:, one] * of_people[:, two] if count > 1 else None, "twos of people"),
    ):
        rows.append(_kappa_row(name, kappas[which], weights, count, unit))
    return pd.DataFrame(rows)


def _correlated(accuracy, other, known, categories, count, lacking):
    flat = [name for name, values in (("people", accuracy[0]), ("members", other[0])) if not varies(values[known[0]])]
    reason = f"the same accuracy in every ordered pair: {', '.join(flat)}" if flat else lacking
    for name, ranked in (("r of accuracies", False), ("rank r of accuracies", True)):
        r = np.array([_pearson(*pair, ranked) for pair in _rows_of(accuracy, other, known)])
        row = _row(name, r, int(known[0].sum()), count, reason)
        if not ranked and known[0].all() and not flat and len(categories) <= _MOST_LABELS:
            row["p_qap"] = qap(*(pair_matrix(values[0], categories=categories) for values in (accuracy, other)))[1]
        yield row


def _rows_of(accuracy, other, known):
    for one, two, both in zip(accuracy, other, known, strict=True):
        yield one[both], two[both]


def _pearson(one, other, ranked) -> float:
    if ranked:
        one, other = (scipy.stats.rankdata(np.round(values, 12)) for values in (one, other))
    return float(np.corrcoef(one, other)[0, 1]) if varies(one) and varies(other) else math.nan


def _kappas(people, members, of_images):
    """Return κ, its least and its most of every two, each (R, twos): people with members, and people with people."""
    one, two = np.triu_indices(len(people), 1)
    return (
        _kappa(people, np.broadcast_to(members, people.shape), of_images),
        _kappa(people[one], people[two], of_images),
    )


def _kappa(first, second, weights):
    """Return Cohen's κ and its bounds at the accuracies, of rows (N, T) under image weights (R, T), each (R, N)."""
    known = np.isfinite(first) & np.isfinite(second)
    one, two = np.where(known, first, 0), np.where(known, second, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = weights @ known.T.astype(float)
        p1, p2 = weights @ one.T / total, weights @ two.T / total
        observed = 1 - weights @ (known * np.abs(one - two)).T / total
        chance = p1 * p2 + (1 - p1) * (1 - p2)
        below = np.where(chance < 1 - 1e-12, 1 - chance, np.nan)
        least = 1 - np.minimum(p1, 1 - p2) - np.minimum(1 - p1, p2)
        most = np.minimum(p1, p2) + np.minimum(1 - p1, 1 - p2)
        return tuple((share - chance) / below for share in (observed, least, most))


def _kappa_row(name, kappas, weights, count, unit):
    values = kappas[0]
    n = int(np.isfinite(values[0]).sum()) if values.size else 0
    reason = "" if n == values.shape[1] else f"{values.shape[1] - n} {unit} without κ: always right, or always wrong"
    if not n:
        row = _row(name, np.full(len(values), np.nan), 0, count, reason or "fewer than two people")
        return row | {"least": math.nan, "most": math.nan}
    kappa, *bounds = (_mean(each, np.isfinite(each), weights) for each in kappas)
    return _row(name, kappa, n, count, reason) | {"least": bounds[0][0], "most": bounds[1][0]}


def _row(name, resampled, n, count, reason):
    """Return a statistic's row: the first is the value, the others are its resamples."""
    row = {"statistic": name, "value": resampled[0], "low": math.nan, "high": math.nan, "p_qap": math.nan}
    row |= {"least": math.nan, "most": math.nan, "n": n, "reason": reason}
    spread = resampled[1:][np.isfinite(resampled[1:])]
    if not np.isfinite(resampled[0]):
        return row | {"reason": reason or "no answers that both have"}
    if count < 2:
        return row | {"reason": ", ".join(filter(None, (reason, "no interval: one person")))}
    low, high = intervals.percentile_interval(spread)
    return row | {"low": low, "high": high}


def _mean(values, known, weights=None):
    weights = np.where(known, 1.0 if weights is None else weights, 0.0)
    total = weights.sum(1)
    return (np.where(known, values, 0) * weights).sum(1) / np.where(total > 0, total, np.nan)


def _checked(people, members, cells, categories):
    try:
        people, members = np.asarray(people, np.float64), np.asarray(members, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"`people`, `members`: wanted 1 right, 0 wrong, NaN for no answer: {error}.") from None
    cells, number = np.asarray(cells), len(categories.ordered_pairs)
    if people.ndim != 2 or members.shape != people.shape[1:] or cells.shape != members.shape or not members.size:
        raise UsageError(
            f"`people`, `members`, `cells`: wanted (S, T), (T,) and (T,), got {people.shape}, {members.shape} and "
            f"{cells.shape}."
        )
    for name, values in (("people", people), ("members", members)):
        other = values[np.isfinite(values) & ((values < 0) | (values > 1)) | np.isinf(values)]
        if other.size:
            raise UsageError(f"`{name}`: wanted 1 right, 0 wrong, NaN for no answer, got {other[0]:g}.")
    if not np.issubdtype(cells.dtype, np.integer) or cells.min() < 0 or cells.max() >= number:
        raise UsageError(
            f"`cells`: wanted whole numbers 0 to {number - 1}, ordered pairs, got {cells.min()} to {cells.max()}."
        )
    return people, members, cells
