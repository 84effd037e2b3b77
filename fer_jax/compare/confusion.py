"""How alike two confusion matrices are, with and without the diagonal that any two decent observers share.

Contract: matrices are float (n, n), rows true, entries shares of the row. The off-diagonal correlation with its exact
permutation test is the headline; the paper's correlation over all cells (§5.3) stands beside it.
"""

import functools
import itertools

import numpy as np
from scipy import stats

from fer_jax.errors import UsageError

_TIE = 1e-12


def correlation(human: np.ndarray, model: np.ndarray) -> dict:
    """Correlations of two confusion matrices.

    Args:
      human: (n, n).
      model: (n, n).

    Returns:
      r_all (Pearson over all cells, as in the paper), r_off_diagonal, spearman_off_diagonal, p_qap (see `qap`), n (off
      the diagonal), reason (why a value is missing, else empty). NaN where a matrix does not vary.

    Raises:
      UsageError: matrices that are not square or of different sizes.
    """
    human, model = _checked(human, model)
    off = ~np.eye(len(human), dtype=bool)
    flat = [name for name, m in (("human", human), ("model", model)) if np.ptp(m[off]) == 0]
    r_off, p = qap(human, model)
    return {
        "r_all": _pearson(human.ravel(), model.ravel()),
        "r_off_diagonal": r_off,
        "spearman_off_diagonal": _pearson(stats.rankdata(human[off]), stats.rankdata(model[off])),
        "p_qap": p,
        "n": int(off.sum()),
        "reason": f"flat errors: {', '.join(flat)}" if flat else "",
    }


def qap(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Off-diagonal Pearson correlation with its exact permutation test.

    Rows and columns of one matrix are relabelled by the same permutation, all n! of them (40,320 for eight), the
    identity among them, so p is at least 1 / n!. Nothing is symmetrised.

    Args:
      one: (n, n), n at most 9.
      other: (n, n).

    Returns:
      r, and p = share of relabellings whose |r| is at least as large; both NaN where a matrix is flat.

    Raises:
      UsageError: matrices that do not fit, or n above 9.
    """
    one, other = _checked(one, other)
    n = len(one)
    if n > 9:
        raise UsageError(f"`one`: wanted at most 9 classes for an exact test, got {n}.")
    off = ~np.eye(n, dtype=bool)
    a, b = one[off] - one[off].mean(), other - other[off].mean()
    norm = np.sqrt((a**2).sum() * (b[off] ** 2).sum())
    if norm == 0:
        return float("nan"), float("nan")
    rows, columns = np.nonzero(off)
    order = _permutations(n)
    # Relabelling keeps the off-diagonal cells together, so mean and norm stay as they are.
    r = b[order[:, rows], order[:, columns]] @ a / norm
    return float(r[0]), float((np.abs(r) >= abs(r[0]) - _TIE).mean())


@functools.cache
def _permutations(n) -> np.ndarray:
    """All permutations, the identity first."""
    return np.asarray(list(itertools.permutations(range(n))), np.int8)


def error_consistency(one: np.ndarray, other: np.ndarray) -> dict:
    """Cohen's κ of who is right on which image (Geirhos et al. 2020, arXiv 2006.16736).

    Args:
      one: bool (N,), right or wrong.
      other: bool (N,), on the same images.

    Returns:
      kappa, expected (share of agreement by chance), low and high (bounds of κ at these accuracies), unbiased
      (nκ/(n - 1 + κ)), n. NaN where chance agreement is complete.

    Raises:
      UsageError: different lengths or no image.
    """
    one, other = np.asarray(one, bool), np.asarray(other, bool)
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise UsageError(f"`one`, `other`: wanted two equally long lists, got {one.shape} and {other.shape}.")
    n, p1, p2 = len(one), one.mean(), other.mean()
    q1, q2 = 1 - p1, 1 - p2
    expected = p1 * p2 + q1 * q2
    if expected >= 1:
        return {"kappa": np.nan, "expected": expected, "low": np.nan, "high": np.nan, "unbiased": np.nan, "n": n}
    kappa = ((one == other).mean() - expected) / (1 - expected)
    return {
        "kappa": kappa,
        "expected": expected,
        "low": (1 - min(p1, q2) - min(q1, p2) - expected) / (1 - expected),
        "high": (min(p1, p2) + min(q1, q2) - expected) / (1 - expected),
        "unbiased": n * kappa / (n - 1 + kappa),
        "n": n,
    }


def _pearson(x, y) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x**2).sum() * (y**2).sum())
    return float(x @ y / norm) if norm > 0 else float("nan")


def _checked(one, other):
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.ndim != 2 or one.shape[0] != one.shape[1] or one.shape != other.shape:
        raise UsageError(f"`human`, `model`: wanted two (n, n) matrices, got {one.shape} and {other.shape}.")
    return one, other
