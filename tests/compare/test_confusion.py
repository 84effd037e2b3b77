import itertools
import time

import numpy as np
import pytest

from fer_jax.compare import confusion
from fer_jax.errors import UsageError


def _matrix(seed, n=8):
    random = np.random.default_rng(seed)
    errors = random.dirichlet(np.full(n - 1, 2.0), n)
    right = random.uniform(0.5, 0.9, n)
    out = np.zeros((n, n))
    out[~np.eye(n, dtype=bool)] = ((1 - right)[:, None] * errors).ravel()
    return out + np.diag(right)


def test_qap_equals_relabelling_one_by_one():
    one, other = _matrix(0, 5), _matrix(1, 5)
    off = ~np.eye(5, dtype=bool)
    r = np.corrcoef(one[off], other[off])[0, 1]
    larger = [
        abs(np.corrcoef(one[off], other[np.ix_(order, order)][off])[0, 1]) >= abs(r) - 1e-12
        for order in itertools.permutations(range(5))
    ]
    got_r, got_p = confusion.qap(one, other)
    np.testing.assert_allclose([got_r, got_p], [r, np.mean(larger)], rtol=1e-10)


def test_p_counts_whole_relabellings_and_a_copy_is_as_alike_as_can_be():
    matrix = _matrix(2)
    start = time.monotonic()
    r, p = confusion.qap(matrix, _matrix(3))
    assert time.monotonic() - start < 20
    assert -1 <= r <= 1
    count = p * 40_320
    np.testing.assert_allclose(count, round(count), atol=1e-6)
    assert count >= 1
    r, p = confusion.qap(matrix, matrix)
    np.testing.assert_allclose([r, p], [1, 1 / 40_320], rtol=1e-9)


def test_under_the_null_five_percent_are_below_five_percent():
    below = [confusion.qap(_matrix(2 * s, 6), _matrix(2 * s + 1, 6))[1] <= 0.05 for s in range(600)]
    assert 0.03 < np.mean(below) < 0.07


def test_correlation_over_all_cells_is_high_for_any_two_decent_matrices():
    result = confusion.correlation(_matrix(4), _matrix(5))
    np.testing.assert_allclose(result["r_all"], np.corrcoef(_matrix(4).ravel(), _matrix(5).ravel())[0, 1], rtol=1e-10)
    assert result["r_all"] > 0.8
    assert abs(result["r_off_diagonal"]) < 0.5
    assert result["n"] == 56


def test_flat_errors_give_nan_and_say_so():
    flat = np.full((8, 8), 0.02) + np.eye(8) * 0.84
    result = confusion.correlation(_matrix(0), flat)
    assert np.isnan(result["r_off_diagonal"])
    assert np.isnan(result["p_qap"])
    assert result["reason"] == "flat errors: model"
    assert result["r_all"] > 0.8


def test_error_consistency_by_hand():
    one = np.asarray([1, 1, 1, 0, 0, 1, 1, 1, 0, 1], bool)
    other = np.asarray([1, 1, 0, 0, 1, 1, 1, 1, 0, 1], bool)
    result = confusion.error_consistency(one, other)
    expected = 0.7 * 0.7 + 0.3 * 0.3
    np.testing.assert_allclose(result["kappa"], (0.8 - expected) / (1 - expected))
    np.testing.assert_allclose(result["high"], 1)
    assert result["low"] <= result["kappa"] <= result["high"]
    assert confusion.error_consistency(one, one)["kappa"] == 1
    assert np.isnan(confusion.error_consistency(np.ones(4, bool), np.ones(4, bool))["kappa"])


def test_errors_teach():
    with pytest.raises(UsageError, match=r"wanted two \(n, n\) matrices, got \(8, 8\) and \(7, 7\)"):
        confusion.correlation(_matrix(0), _matrix(0, 7))
    with pytest.raises(UsageError, match=r"wanted 2 to 9 classes for an exact test, got 10"):
        confusion.qap(_matrix(0, 10), _matrix(0, 10))
    with pytest.raises(UsageError, match=r"wanted two equally long lists"):
        confusion.error_consistency([True], [True, False])
