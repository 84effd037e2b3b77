import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fer_jax.compare import statistics
from fer_jax.errors import UsageError


def _groups(seed, n=14, k=3):
    random = np.random.default_rng(seed)
    return {f"g{index}": random.normal(0.3 * index, 1, n) for index in range(k)}


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 40))
def test_between_equals_scipy_and_t_belongs_to_f(seed, n):
    groups = _groups(seed, n)
    result = statistics.anova(groups)
    expected = stats.f_oneway(*groups.values())
    np.testing.assert_allclose([result["F"], result["p"]], [expected.statistic, expected.pvalue], rtol=1e-9)
    assert result["df"] == (2, 3 * (n - 1))
    t = statistics.tukey(groups)["t"]
    np.testing.assert_allclose((t**2).sum() / 3, result["F"], rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_tukey_equals_scipy(seed):
    groups = _groups(seed)
    expected = stats.tukey_hsd(*groups.values())
    for row in statistics.tukey(groups).itertuples():
        a, b = int(row.a[1]), int(row.b[1])
        np.testing.assert_allclose(row.p, expected.pvalue[a, b], atol=1e-6)
        np.testing.assert_allclose(row.difference, expected.statistic[a, b], rtol=1e-12)


def test_the_papers_three_t_values_force_its_f():
    # F = 85.45 and t = 10.31, 12.12, 1.81 (§5.3) agree within rounding.
    assert abs((10.31**2 + 12.12**2 + 1.81**2) / 3 - 85.45) < 0.12


@pytest.mark.parametrize("seed", range(5))
def test_repeated_with_two_methods_is_the_paired_t_test(seed):
    groups = _groups(seed, k=2)
    result = statistics.anova(groups, design="repeated")
    expected = stats.ttest_rel(*groups.values())
    np.testing.assert_allclose([result["F"], result["p"]], [expected.statistic**2, expected.pvalue], rtol=1e-10)
    np.testing.assert_allclose(result["epsilon"], 1, rtol=1e-10)


def test_repeated_by_hand():
    # Three methods, four units; sums of squares worked out on paper: methods 26, units 22, residual 6.
    table = np.asarray([[1.0, 3, 5], [2, 4, 4], [3, 6, 7], [4, 6, 9]])
    grand = table.mean()
    ss_method = 4 * ((table.mean(0) - grand) ** 2).sum()
    ss_units = 3 * ((table.mean(1) - grand) ** 2).sum()
    ss_residual = ((table - grand) ** 2).sum() - ss_method - ss_units
    result = statistics.anova(dict(zip("abc", table.T, strict=True)), design="repeated")
    np.testing.assert_allclose(result["F"], (ss_method / 2) / (ss_residual / 6), rtol=1e-10)
    assert result["df"] == (2, 6)
    covariance = np.cov(table, rowvar=False)
    k = 3
    # Box's formula from the covariance itself, without contrasts.
    top = k**2 * (np.trace(covariance) / k - covariance.mean()) ** 2
    bottom = (k - 1) * ((covariance**2).sum() - 2 * k * (covariance.mean(0) ** 2).sum() + k**2 * covariance.mean() ** 2)
    np.testing.assert_allclose(result["epsilon"], top / bottom, rtol=1e-9)


def test_friedman_equals_scipy_and_contrasts_hold_the_mean():
    groups = _groups(3)
    expected = stats.friedmanchisquare(*groups.values())
    result = statistics.friedman(groups)
    np.testing.assert_allclose([result["chi2"], result["p"]], [expected.statistic, expected.pvalue])
    table = statistics.contrasts(groups, seed=0)
    assert (table["ci_low"] < table["difference"]).all()
    assert (table["difference"] < table["ci_high"]).all()
    for row in table.itertuples():
        np.testing.assert_allclose(row.p, stats.ttest_rel(groups[row.a], groups[row.b]).pvalue, rtol=1e-9)


def test_holm_by_hand():
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03, np.nan]), [0.03, 0.06, 0.06, np.nan])
    np.testing.assert_allclose(statistics.holm([0.5, 0.9]), [1.0, 1.0])


def test_errors_teach():
    with pytest.raises(UsageError, match=r"`groups`: wanted two or more groups"):
        statistics.anova({"a": [1.0, 2.0]})
    with pytest.raises(UsageError, match=r"wanted the same units in every group, got sizes \[3, 2\]"):
        statistics.tukey({"a": [1.0, 2, 3], "b": [1.0, 2]})
    with pytest.raises(UsageError, match=r"wanted finite numbers"):
        statistics.anova({"a": [1.0, np.nan], "b": [1.0, 2]})
    with pytest.raises(UsageError, match=r"`design`: wanted one of between, repeated, got 'mixed'"):
        statistics.anova(_groups(0), design="mixed")
