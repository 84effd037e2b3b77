"""How alike two confusion matrices are, with and without the diagonal that any two decent observers share.

Contract: matrices are float (n, n), rows true, entries shares of the row. A row of a label that was never shown is NaN,
and so is every number made of it. The off-diagonal correlation with its exact permutation test is the headline. The
paper's correlation over all cells (§5.3) stands beside it.
"""

import functools
import itertools

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from fer_jax.errors import UsageError
from fer_jax.human.behaviour import varies

_TIE = 1e-12


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
    totals = counts.sum(1, keepdims=True)
    return counts / np.where(totals > 0, totals, np.nan)


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
        "r_all": _pearson(human.ravel(), model.ravel()),
        "r_off_diagonal": r_off,
        # A rank may stand for a NaN, a correlation may not.
        "spearman_off_diagonal": np.nan if gaps else _pearson(_ranks(human[off]), _ranks(model[off])),
        "p_qap": p,
        "n": int((off & np.isfinite(human) & np.isfinite(model)).sum()),
        "reason": reason,
    }


def qap(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Test the off-diagonal Pearson correlation by exact permutation.

    Rows and columns of one matrix are relabelled by the same permutation, all n! of them (40,320 for eight), the
    identity among them, so p is at least 1 / n!. Nothing is symmetrised.

    Args:
      one: (n, n), n at most 9.
      other: (n, n).

    Returns:
      r, and p = share of relabellings whose |r| is at least as large. Both are NaN where a matrix is flat or has a NaN.

    Raises:
      UsageError: matrices that do not fit, that are infinite, or n outside 2..9.

    Example:
      >>> one, other = np.array([[8, 1, 1], [2, 7, 1], [0, 3, 7]]), np.array([[6, 2, 2], [3, 6, 1], [1, 3, 6]])
      >>> r, p = qap(one, other)
      >>> round(r, 2), round(p, 2)
      (0.87, 0.33)
    """
    one, other = _checked(one, other)
    n = len(one)
    if not 2 <= n <= 9:
        raise UsageError(f"`one`: wanted 2 to 9 classes for an exact test, got {n}.")
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


@functools.cache
def _permutations(n) -> np.ndarray:
    """List all permutations, the identity first."""
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
    return stats.rankdata(np.round(values, 12))


def _pearson(x, y) -> float:
    if not (varies(x) and varies(y)):
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x**2).sum() * (y**2).sum()))


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
