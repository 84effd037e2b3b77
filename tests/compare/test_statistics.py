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


@pytest.mark.parametrize("p", [[0.01, 0.04, 0.03, np.nan], [0.5, 0.9], [np.nan], [0.2, 0.001, 0.2, 0.04, 1.0]])
def test_benjamini_hochberg_by_hand(p):
    known = np.sort(np.asarray(p)[~np.isnan(p)])
    steps = known * len(known) / np.arange(1, len(known) + 1)
    wanted = [np.nan if np.isnan(one) else min(1, min(steps[known >= one])) for one in p]
    np.testing.assert_allclose(statistics.benjamini_hochberg(p), wanted, rtol=1e-12)


def _unequal(seed):
    random = np.random.default_rng(seed)
    return {name: random.normal(0.4 * place, 1 + place, random.integers(3, 30)) for place, name in enumerate("abc")}


@pytest.mark.parametrize("seed", range(50))
def test_welch_and_games_howell_by_hand(seed):
    groups = _unequal(seed)
    sizes, means, variances = (
        np.array([measure(group) for group in groups.values()]) for measure in (len, np.mean, lambda g: g.var(ddof=1))
    )
    # Welch 1951, as printed.
    w = sizes / variances
    centre = (w * means).sum() / w.sum()
    lost = (((1 - w / w.sum()) ** 2) / (sizes - 1)).sum()
    f = (w * (means - centre) ** 2).sum() / 2 / (1 + 2 * (3 - 2) / (3**2 - 1) * lost)
    df2 = 1 / (3 / (3**2 - 1) * lost)
    found = statistics.welch(groups)
    np.testing.assert_allclose([found["F"], *found["df"]], [f, 2, df2], rtol=1e-10)
    np.testing.assert_allclose(found["p"], stats.f.sf(f, 2, df2), atol=1e-6)
    for row in statistics.games_howell(groups).itertuples():
        a, b = ("abc".index(name) for name in (row.a, row.b))
        parts = variances[[a, b]] / sizes[[a, b]]
        df = parts.sum() ** 2 / (parts**2 / (sizes[[a, b]] - 1)).sum()
        t = (means[a] - means[b]) / np.sqrt(parts.sum())
        np.testing.assert_allclose([row.t, row.df, row.difference], [t, df, means[a] - means[b]], rtol=1e-10)
        if seed < 5:  # the studentised range takes its time
            np.testing.assert_allclose(row.p, stats.studentized_range.sf(abs(t) * np.sqrt(2), 3, df), atol=1e-6)


def _explained(design, values):
    """Sum of squares that a design leaves unexplained, by least squares."""
    fitted = design @ np.linalg.lstsq(design, values)[0]
    return ((values - fitted) ** 2).sum(), np.linalg.matrix_rank(design)


def _f(values, small, large, whole):
    """F of what `large` has and `small` lacks, against what `whole` leaves."""
    (less, r0), (more, r1), (error, r2) = (_explained(design, values) for design in (small, large, whole))
    return (less - more) / (r1 - r0) / (error / (len(values) - r2)), r1 - r0, len(values) - r2


@pytest.mark.parametrize("seed", range(50))
def test_the_effect_of_the_category_is_that_of_nested_linear_models(seed):
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.repeat(np.arange(4), 2), random.integers(0, 4, random.integers(0, 9))])
    n, k = len(labels), 3
    groups = {name: random.normal(size=n) + 0.3 * labels for name in "abc"}
    values = np.concatenate(list(groups.values()))
    one, method = np.ones((n * k, 1)), np.repeat(np.eye(k), n, 0)
    category, unit = np.tile(np.eye(4)[labels], (k, 1)), np.tile(np.eye(n), (k, 1))
    both, cells = np.hstack([method, category]), np.einsum("ia,ib->iab", method, category).reshape(n * k, -1)
    wanted = {
        ("main", "between"): _f(values, method, both, cells),
        ("interaction", "between"): _f(values, both, cells, cells),
        ("oneway", "between"): _f(values, one, category, category),
        ("interaction", "repeated"): _f(
            values, np.hstack([both, unit]), np.hstack([cells, unit]), np.hstack([cells, unit])
        ),
    }
    means = np.mean(list(groups.values()), 0)
    wanted["main", "repeated"] = _f(means, np.ones((n, 1)), np.eye(4)[labels], np.eye(4)[labels])
    for (effect, design), (f, df1, df2) in wanted.items():
        row = statistics.category_effect(groups, labels, effect=effect, design=design).iloc[0]
        np.testing.assert_allclose([row["F"], row["df1"], row["df2"]], [f, df1, df2], rtol=1e-9)
        np.testing.assert_allclose(row["p"], stats.f.sf(f, df1, df2), atol=1e-6)
    table = statistics.category_effect(groups, labels, effect="per_method")
    for row in table.itertuples():
        expected = stats.f_oneway(*(groups[row.method][labels == label] for label in range(4)))
        np.testing.assert_allclose([row.F, row.p], [expected.statistic, expected.pvalue], rtol=1e-9)


def test_the_papers_f_of_the_expression_has_the_p_of_no_effect_under_every_reading():
    labels, groups = np.repeat(np.arange(8), 7), _groups(0, 56)
    readings = [("oneway", 160, 0.235), ("main", 144, 0.236), ("per_method", 48, 0.253)]
    for effect, df2, p in readings:
        row = statistics.category_effect(groups, labels, effect=effect).iloc[0]
        assert (row["df1"], row["df2"], row["n"]) == (7, df2, 56)
        assert stats.f.sf(1.34, row["df1"], row["df2"]) == pytest.approx(p, abs=5e-4)


def test_degenerate_groups_have_a_reason_or_an_error():
    flat = {"a": np.full(4, 0.3), "b": np.array([0.1, 0.2, 0.3, 0.4]), "c": np.array([0.2, 0.2, 0.4, 0.1])}
    assert statistics.welch(flat)["reason"] == "no spread in: a"
    assert np.isnan(statistics.welch(flat)["F"])
    table = statistics.games_howell(flat)
    assert table["reason"].eq("no spread in: a").all() and table[["t", "df", "p"]].isna().all(axis=None)
    same = {"a": np.full(8, 0.3), "b": np.full(8, 0.3)}
    row = statistics.category_effect(same, np.repeat([0, 1], 4)).iloc[0]
    assert np.isnan(row["F"]) and row["reason"] == "all values are equal"
    with pytest.raises(UsageError, match=r"`categories`: wanted two or more, fewer than the 8 units, got 8"):
        statistics.category_effect(same, np.arange(8))
    with pytest.raises(UsageError, match=r"`categories`: wanted one of each of the 8 units, got \(7,\)"):
        statistics.category_effect(same, np.arange(7))
    with pytest.raises(UsageError, match=r"wanted two or more methods for their interaction, got 1"):
        statistics.category_effect({"a": np.arange(4.0)}, [0, 0, 1, 1], effect="interaction")
    with pytest.raises(UsageError, match=r"`p`: wanted p values in \[0, 1\], or NaN, got 2"):
        statistics.benjamini_hochberg([0.1, 2])
    for test in (statistics.welch, statistics.games_howell):
        with pytest.raises(UsageError, match="wanted finite numbers"):
            test({"a": [1.0, np.nan], "b": [1.0, 2]})


def test_errors_teach():
    with pytest.raises(UsageError, match=r"`groups`: wanted two or more groups"):
        statistics.anova({"a": [1.0, 2.0]})
    with pytest.raises(UsageError, match=r"wanted the same units in every group, got sizes \[3, 2\]"):
        statistics.tukey({"a": [1.0, 2, 3], "b": [1.0, 2]})
    with pytest.raises(UsageError, match=r"wanted finite numbers"):
        statistics.anova({"a": [1.0, np.nan], "b": [1.0, 2]})
    with pytest.raises(UsageError, match=r"`design`: wanted one of between, repeated, got 'mixed'"):
        statistics.anova(_groups(0), design="mixed")
