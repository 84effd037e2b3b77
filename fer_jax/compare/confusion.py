"""How alike two confusion matrices are, with and without the diagonal that any two decent observers share.

Contract: matrices are float (n, n), rows true, entries shares of the row. A row of a label that was never shown is NaN,
and so is every number made of it. The off-diagonal correlation with its exact permutation test is the headline. The
paper's correlation over all cells (§5.3) stands beside it. Intervals speak of other people, other images of each
ordered pair, and other pictures of each category.
"""

import functools
import itertools
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

from fer_jax.categories import DROP, Categories
from fer_jax.compare import intervals
from fer_jax.compare.statistics import holm
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS, canonical_name
from fer_jax.human.behaviour import ROUNDING, varies
from fer_jax.human.study import positions
from fer_jax.human.trials import Trials, answers
from fer_jax.streams import stream

_TIE = 1e-12
EXACT = 9  # classes whose relabellings are all tried


def shares(counts: np.ndarray) -> np.ndarray:
    """Return the shares of each row's answers.

    Args:
      counts: (n, n), rows true, 0 or more.

    Returns:
      float64 (n, n), rows sum to 1. A row without answers is NaN throughout.

    Raises:
      UsageError: no square matrix, or a count that is missing or below 0.

    Example:
      >>> shares(np.array([[3, 1], [0, 0]])).tolist()
      [[0.75, 0.25], [nan, nan]]
    """
    counts = _matrix("counts", counts)
    if not (counts >= 0).all():
        raise UsageError("`counts`: wanted numbers from 0, got others.")
    return _shares(counts)


def correlation(human: np.ndarray, model: np.ndarray) -> dict:
    """Correlate two confusion matrices.

    Args:
      human: (n, n), with the NaN rows of `shares`.
      model: (n, n).

    Returns:
      A dict of what stands under Columns. NaN where a matrix does not vary, or has a row that is NaN. Leave such a
      label out of both matrices to compare the others.

    Columns:
      r_all: Pearson's correlation over all cells, as in the paper.
      r_off_diagonal: Pearson's correlation over the errors alone.
      spearman_off_diagonal: Spearman's correlation over the errors alone.
      p_qap: of r_off_diagonal, by exact permutation of the labels (see `qap`).
      n: known cells off the diagonal.
      reason: why a value is missing, else empty.

    Raises:
      UsageError: matrices that are not square, of different sizes, or infinite.

    Example:
      >>> human, model = shares(np.array([[8, 2], [3, 7]])), shares(np.array([[7, 3], [5, 5]]))
      >>> found = correlation(human, model)
      >>> round(found["r_all"], 3), round(found["r_off_diagonal"], 3), found["n"]
      (0.832, 1.0, 2)
    """
    human, model = _checked(human, model)
    off = ~np.eye(len(human), dtype=bool)
    named = (("human", human), ("model", model))
    gaps = [f"row {int(row)} of {name}" for name, m in named for row in np.flatnonzero(np.isnan(m).any(1))]
    flat = [name for name, m in named if not varies(m[off])]
    reason = f"flat errors: {', '.join(flat)}" if flat else ""
    if gaps:
        reason = f"no answers: {', '.join(gaps)}"
    r_off, p = qap(human, model)
    return {
        "r_all": float(_pearson(human.ravel(), model.ravel())),
        "r_off_diagonal": r_off,
        # A rank may stand for a NaN, a correlation may not.
        "spearman_off_diagonal": np.nan if gaps else float(_pearson(_ranks(human[off]), _ranks(model[off]))),
        "p_qap": p,
        "n": int((off & np.isfinite(human) & np.isfinite(model)).sum()),
        "reason": reason,
    }


def pair_matrix(values: np.ndarray, *, categories: Categories = EXPRESSIONS) -> np.ndarray:
    """Return numbers of ordered pairs, (K(K-1),), as a matrix (K, K) for `qap`, which looks at no diagonal: 0 there.

    Example:
      >>> pair_matrix(np.array([0.1, 0.2]), categories=fer.Categories(("genuine", "posed"))).tolist()
      [[0.0, 0.1], [0.2, 0.0]]
    """
    matrix = np.zeros((len(categories), len(categories)))
    matrix[tuple(np.transpose(categories.ordered_pairs))] = values
    return matrix


def qap(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Test the off-diagonal Pearson correlation by exact permutation.

    Rows and columns of one matrix are relabelled by the same permutation, all n! of them (of more than nine classes the
    identity and 40,319 drawn ones, ours), so p is at least 1 / n!. Nothing is symmetrised.

    Args:
      one: (n, n).
      other: (n, n).

    Returns:
      r, and p = share of relabellings whose |r| is at least as large. Both are NaN where a matrix is flat or has a NaN.

    Raises:
      UsageError: matrices that do not fit, that are infinite, or n below 2.

    Example:
      >>> one, other = np.array([[8, 1, 1], [2, 7, 1], [0, 3, 7]]), np.array([[6, 2, 2], [3, 6, 1], [1, 3, 6]])
      >>> r, p = qap(one, other)
      >>> round(r, 2), round(p, 2)
      (0.87, 0.33)
    """
    one, other = _checked(one, other)
    n = len(one)
    if n < 2:
        raise UsageError(f"`one`: wanted 2 classes or more, got {n}.")
    off = ~np.eye(n, dtype=bool)
    a, b = one[off] - one[off].mean(), other - other[off].mean()
    norm = np.sqrt((a**2).sum() * (b[off] ** 2).sum())
    if np.isnan(norm) or not (varies(one[off]) and varies(other[off])):
        return float("nan"), float("nan")
    rows, columns = np.nonzero(off)
    order = _permutations(n)
    # Relabelling keeps the off-diagonal cells together, so mean and norm stay as they are.
    r = b[order[:, rows], order[:, columns]] @ a / norm
    return float(r[0]), float((np.abs(r) >= abs(r[0]) - _TIE).mean())


def given_answers(trials: Trials, study: pd.DataFrame, *, categories: Categories = EXPRESSIONS) -> np.ndarray:
    """Return how often each person gave each answer to each image of a study: int (S, T, K), people sorted by name.

    Args:
      trials: of the people who are analysed. Trials without a response do not count.
      study: a study table of T images.
      categories: of the answers.

    Raises:
      DataError: an unknown label, or answers that contradict each other.

    Example:
      >>> from fer_jax import human
      >>> labels, names = np.repeat(np.arange(8), 7), [str(number) for number in range(56)]
      >>> study = human.study.make_study(labels, names, seed=0, per_ordered_pair=1)
      >>> people = human.observers.simulate(study, seed=0, image_px=64, participants=4, with_dropouts=False)
      >>> given = given_answers(people, study)
      >>> given.shape, given.sum()
      ((4, 56, 8), np.int64(224))
    """
    table = trials.trials
    rows = positions(study, table["image"])
    known = (table["response"].notna() & answers(table).notna()).to_numpy(bool) & (rows >= 0)
    names, who = np.unique(table["participant"].to_numpy(str), return_inverse=True)
    answered = np.array([categories.index_of(canonical_name(name)) for name in table["response"][known]], np.int64)
    counts = np.zeros((len(names), len(study), len(categories)), np.int64)
    np.add.at(counts, (who[known], rows[known], answered), 1)
    return counts


def offered_shares(counts: np.ndarray, cells: np.ndarray, *, categories: Categories = EXPRESSIONS) -> np.ndarray:
    """Return the shares of people's answers between two labels. An answer that was never on offer is NaN.

    Args:
      counts: (..., K, K), rows true.
      cells: int (T,), the ordered pair of each image, a place in `Categories.ordered_pairs`.
      categories: of rows and columns.

    Returns:
      float64 (..., K, K), NaN also in a row without answers.

    Example:
      >>> trio = fer.Categories(("neutral", "happy", "sad"))
      >>> offered_shares(np.array([[3, 1, 0], [0, 2, 2], [0, 0, 4]]), np.arange(1, 6), categories=trio)[0].tolist()
      [0.75, nan, 0.0]
    """
    offered = np.eye(len(categories), dtype=bool)
    offered[tuple(np.asarray(categories.ordered_pairs)[np.unique(cells)].T)] = True
    return np.where(offered, _shares(counts), np.nan)


def compare_models(
    given: np.ndarray,
    cells: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    labels: np.ndarray,
    *,
    categories: Categories = EXPRESSIONS,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Correlate the confusions of several models with people's, with intervals, and compare the models two by two.

    The intervals come from leaving out each person, each image of an ordered pair and each picture of a category (see
    `intervals.jackknife_spread`). That of r is computed of Fisher's z. They hold r as a study of as many people and
    images has it on average. With endlessly many of either, r is further from 0, as noise in a matrix hides likeness.

    Args:
      given: int (S, T, K), see `given_answers`.
      cells: int (T,), the ordered pair of each image, a place in `Categories.ordered_pairs`.
      predicted: for each model int (N,), what it called the pictures. All models saw the same. `categories.DROP` where
        it gave no label, as a vote with logits that are not finite does.
      labels: int (N,), what the pictures are.
      categories: of people and models.

    Returns:
      One row a model, and one row for each two.

    Columns:
      model: whose confusions are correlated with people's.
      ci_low, ci_high: 95 % interval of r_off_diagonal, or of the difference, over people, images and pictures.
      a, b: the models that are compared.
      difference: r_off_diagonal of a less that of b.
      p: of the difference, two-sided, by the normal distribution.
      p_holm: corrected over all differences.
      n: known cells off the diagonal.
      reason: why a number or an interval is missing, else empty.

    Further columns of the first table are those of `correlation`.

    Raises:
      UsageError: arrays that do not fit.

    Example:
      >>> trio = fer.Categories(("neutral", "happy", "sad"))
      >>> cells, chosen = np.repeat(np.arange(6), 2), np.random.default_rng(0).integers(0, 2, (9, 12))
      >>> given = np.eye(3, dtype=int)[np.take_along_axis(np.asarray(trio.ordered_pairs)[cells].T, chosen, 0)]
      >>> labels = np.repeat(np.arange(3), 8)
      >>> models = {"one": np.arange(24) % 3, "other": np.arange(24) // 5 % 3}
      >>> table, differences = compare_models(given, cells, models, labels, categories=trio)
      >>> bool((table["ci_low"] < table["r_off_diagonal"]).all()), len(differences)
      (True, 1)
    """
    given, cells, predicted, labels = _checked_answers(given, cells, predicted, labels, categories)
    truth, off = np.asarray(categories.ordered_pairs)[cells, 0], ~np.eye(len(categories), dtype=bool)
    counts = np.einsum("stk,tj->sjk", given, np.eye(len(categories), dtype=np.int64)[truth])
    whole, without_image = counts.sum(0), np.repeat(counts.sum(0)[None], len(cells), 0)
    without_image[np.arange(len(cells)), truth] -= given.sum(0)
    human = offered_shares(whole, cells, categories=categories)
    # Row 0 has everything, one row lacks each person, and one each image.
    several = offered_shares(np.concatenate([whole[None], whole - counts, without_image]), cells, categories=categories)
    rows, groups = [], {}
    for model, answered in predicted.items():
        own = np.zeros_like(whole)
        decided = answered != DROP
        np.add.at(own, (labels[decided], answered[decided]), 1)
        # Pictures of one label and one answer are alike: what is left without them is the same. The last row stands
        # for those that the model gave no label.
        cell = np.where(decided, labels * len(categories) + answered, own.size)
        less = own - np.eye(own.size + 1, own.size, dtype=np.int64).reshape(-1, *own.shape)
        left = _shares(np.maximum(less, 0))[:, off]
        of_people = _pearson(several[:, off], shares(own)[off])
        of_pictures = _pearson(left, human[off])[cell]
        groups[model] = [
            of_people[1 : 1 + len(counts)],
            *intervals.within_labels(of_people[1 + len(counts) :], cells),
            *intervals.within_labels(of_pictures, labels),
        ]
        rows.append({"model": model, **correlation(human, shares(own))})
    lacking = _lacking(len(counts), cells, labels)
    r = {row["model"]: row["r_off_diagonal"] for row in rows}
    for row in rows:
        z, low, high = _fisher(r[row["model"]]), math.nan, math.nan
        if np.isfinite(z):
            spread = intervals.jackknife_spread(*(_fisher(each) for each in groups[row["model"]]))
            low, high = np.tanh(intervals.normal_interval(z, spread))
        row |= {"ci_low": low, "ci_high": high, "reason": row.pop("reason") or _reason(low, lacking)}
    differences = []
    for a, b in itertools.combinations(predicted, 2):
        difference = r[a] - r[b]
        spread = intervals.jackknife_spread(*(x - y for x, y in zip(groups[a], groups[b], strict=True)))
        low, high = intervals.normal_interval(difference, spread)
        p = float(2 * scipy.stats.norm.sf(abs(difference) / spread)) if spread > 0 else math.nan
        reason = next(filter(None, (row["reason"] for row in rows if row["model"] in (a, b))), "")
        row = {"a": a, "b": b, "difference": difference, "ci_low": low, "ci_high": high, "p": p, "p_holm": math.nan}
        differences.append(
            row
            | {
                "n": int(np.isfinite(human[off]).sum()),
                "reason": reason or ("no p: both answer alike" if spread == 0 else _reason(p, lacking)),
            }
        )
    columns = ["a", "b", "difference", "ci_low", "ci_high", "p", "p_holm", "n", "reason"]
    compared = pd.DataFrame(differences, columns=columns)
    return pd.DataFrame(rows), compared.assign(p_holm=holm(compared["p"].to_numpy(np.float64)))


def _shares(counts):
    """Return shares of counts (..., n, n), rows without any NaN."""
    totals = counts.sum(-1, keepdims=True)
    return counts / np.where(totals > 0, totals, np.nan)


def _fisher(r):
    """Return Fisher's z, NaN where |r| is 1 and z infinite."""
    return np.arctanh(np.where(np.abs(r) < 1 - _TIE, r, np.nan))


def _lacking(people, cells, labels) -> str:
    """Return why nothing can be left out, "" where it can."""
    if people < 2:
        return "no interval: fewer than two people"
    if np.bincount(cells)[np.unique(cells)].min() < 2:
        return "no interval: an ordered pair of one image"
    if np.bincount(labels)[np.unique(labels)].min() < 2:
        return "no interval: a category of one picture"
    return ""


def _reason(number, lacking) -> str:
    if np.isfinite(number):
        return ""
    return lacking or "no interval: without one person, image or picture r is not known or 1"


def _checked_answers(given, cells, predicted, labels, categories):
    given, cells, labels = np.asarray(given), np.asarray(cells), np.asarray(labels)
    if given.ndim != 3 or cells.shape != given.shape[1:2] or given.shape[2] != len(categories) or not given.size:
        raise UsageError(
            f"`given`, `cells`: wanted (S, T, {len(categories)}) and (T,), got {given.shape} and {cells.shape}."
        )
    predicted = {name: np.asarray(each) for name, each in predicted.items()}
    pairs, most = len(categories.ordered_pairs) - 1, len(categories) - 1
    bounds = [("given", given, 0, given.max()), ("cells", cells, 0, pairs), ("labels", labels, 0, most)]
    bounds += [(f"predicted[{name!r}]", each, DROP, most) for name, each in predicted.items()]
    for name, values, low, high in bounds:
        whole = np.issubdtype(values.dtype, np.integer)
        if not whole or values.min(initial=low) < low or values.max(initial=low) > high:
            raise UsageError(f"`{name}`: wanted whole numbers from {low} to {high}, got others.")
    shapes = {name: each.shape for name, each in predicted.items()}
    if labels.ndim != 1 or not len(labels) or set(shapes.values()) != {labels.shape}:
        raise UsageError(f"`predicted`: wanted {labels.shape} of every model, as many as labels, got {shapes}.")
    return given, cells, predicted, labels


@functools.cache
def _permutations(n) -> np.ndarray:
    """List all permutations, the identity first, of more than `EXACT` as many as eight have."""
    if n > EXACT:
        drawn = stream(n).permuted(np.tile(np.arange(n), (math.factorial(8) - 1, 1)), axis=1)
        return np.concatenate([np.arange(n)[None], drawn]).astype(np.int8)
    return np.asarray(list(itertools.permutations(range(n))), np.int8)


def error_consistency(one: npt.ArrayLike, other: npt.ArrayLike) -> dict:
    """Compute Cohen's κ of who is right on which image (Geirhos et al. 2020, arXiv 2006.16736).

    Args:
      one: (N,), right or wrong: truth values, or the numbers 0 and 1. None, NA and NaN mean that there was no answer.
      other: (N,), on the same images.

    Returns:
      kappa, expected (share of agreement by chance), low and high (bounds of κ at these accuracies), unbiased
      (nκ/(n - 1 + κ), NaN for n = 1), n (images that both answered), missing (images left out, since either did not),
      reason (why κ is NaN, else ""). NaN where chance agreement is complete, or no image is left.

    Raises:
      UsageError: different lengths, no image, or values that say neither right nor wrong, such as the word 'False'.

    Example:
      >>> found = error_consistency([1, 1, 0, 0], [1, 0, 0, None])
      >>> round(float(found["kappa"]), 2), found["n"], found["missing"]
      (0.4, 3, 1)
    """
    (one, no_one), (other, no_other) = _answers("one", one), _answers("other", other)
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise UsageError(f"`one`, `other`: wanted two equally long lists, got {one.shape} and {other.shape}.")
    known = ~(no_one | no_other)
    one, other, n = one[known], other[known], int(known.sum())
    found = dict.fromkeys(("kappa", "expected", "low", "high", "unbiased"), np.nan)
    found |= {"n": n, "missing": int((~known).sum()), "reason": ""}
    if not n:
        return found | {"reason": "no image that both answered"}
    p1, p2 = one.mean(), other.mean()
    q1, q2 = 1 - p1, 1 - p2
    expected = p1 * p2 + q1 * q2
    if expected >= 1:
        return found | {"expected": expected, "reason": "both always right, or both always wrong"}
    kappa = ((one == other).mean() - expected) / (1 - expected)
    scale = n - 1 + kappa
    return found | {
        "kappa": kappa,
        "expected": expected,
        "low": (1 - min(p1, q2) - min(q1, p2) - expected) / (1 - expected),
        "high": (min(p1, p2) + min(q1, q2) - expected) / (1 - expected),
        "unbiased": n * kappa / scale if n > 1 and scale > 0 else np.nan,
    }


def _answers(name, values) -> tuple[np.ndarray, np.ndarray]:
    """Return right or wrong as bool, and where there was no answer (False in the first)."""
    cells = np.asarray(values, object)
    missing = np.asarray(pd.isna(cells), bool).reshape(cells.shape)
    kinds = (bool, np.bool_, int, float, np.integer, np.floating)
    for cell in cells[~missing]:
        if not isinstance(cell, kinds) or cell not in (0, 1):
            raise UsageError(f"`{name}`: wanted True or False (or 1 and 0, or NaN for no answer), got {cell!r}.")
    return np.where(missing, False, cells).astype(bool), missing


def _ranks(values) -> np.ndarray:
    """Rank values, those that differ by rounding alone tied."""
    return scipy.stats.rankdata(np.round(values, 12))


def _pearson(rows, other) -> np.ndarray:
    """Correlate rows (..., C) with one (C,): (...), NaN where either is flat but for rounding, or has a NaN."""
    known = varies(other) & (np.ptp(rows, -1) > ROUNDING * np.abs(rows).max(-1))
    x, y = rows - rows.mean(-1, keepdims=True), other - other.mean()
    squares = (x**2).sum(-1) * (y**2).sum()
    return np.where(known, x @ y / np.sqrt(np.where(known, squares, 1)), np.nan)[()]


def _checked(one, other):
    one, other = _matrix("human", one), _matrix("model", other)
    if one.shape != other.shape:
        raise UsageError(f"`human`, `model`: wanted two (n, n) matrices, got {one.shape} and {other.shape}.")
    return one, other


def _matrix(name, values):
    try:
        matrix = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"`{name}`: wanted a matrix of numbers: {error}.") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise UsageError(f"`{name}`: wanted a matrix (n, n), got {matrix.shape}.")
    if np.isinf(matrix).any():
        raise UsageError(f"`{name}`: wanted finite numbers, or NaN in rows without answers, got infinity.")
    return matrix
