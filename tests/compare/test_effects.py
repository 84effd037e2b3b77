"""Sizes of effects against other ways to the same numbers."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from fer_jax.compare import effects, statistics
from fer_jax.errors import UsageError


def _noncentral_f(f, df1, df2, noncentrality):
    """The distribution as its definition has it: a mixture of central ones with Poisson weights."""
    terms = np.arange(4000)
    weights = stats.poisson.pmf(terms, noncentrality / 2)
    return float(weights @ special.betainc(df1 / 2 + terms, df2 / 2, df1 * f / (df1 * f + df2)))


def _noncentral_t(t, df, noncentrality):
    """P(Z + noncentrality <= t √(chi²/df)), integrated over chi²."""
    integral = integrate.quad(
        lambda u: stats.norm.cdf(t * np.sqrt(stats.chi2.ppf(u, df) / df) - noncentrality), 0, 1, limit=400
    )
    return integral[0]


@pytest.mark.parametrize(("f", "df1", "df2"), [(85.45, 2, 81), (1.34, 7, 144), (3.1, 2, 54), (6.0, 14, 96)])
def test_the_ends_of_a_share_leave_a_fortieth_on_either_side(f, df1, df2):
    found, n = effects.share_of_variance(f, df1, df2), df1 + df2 + 1
    for name, tail in (("", 0.025), ("_90", 0.05)):
        for end, wanted in (("low", 1 - tail), ("high", tail)):
            share = found[f"{end}{name}"]
            left = _noncentral_f(f, df1, df2, n * share / (1 - share))
            assert left == pytest.approx(wanted, abs=1e-7) if share else left <= wanted
    assert found["low"] <= found["low_90"] <= max(found["omega2"], 0) <= found["high_90"] == found["bound"]
    assert found["bound"] < found["high"]


@pytest.mark.parametrize(("t", "df"), [(1.81, 81), (-2.5, 20), (0.0, 54), (12.12, 81), (-14.924, 837)])
def test_the_ends_of_d_leave_a_fortieth_on_either_side(t, df):
    found = effects.standardised_difference(t, df, scale=0.25)
    for name, tail in (("", 0.025), ("_90", 0.05)):
        for end, wanted in (("low", 1 - tail), ("high", tail)):
            assert _noncentral_t(t, df, found[f"d_{end}{name}"] / 0.25) == pytest.approx(wanted, abs=1e-5)
    assert found["d"] == t * 0.25
    mirrored = effects.standardised_difference(-t, df, scale=0.25)
    assert (mirrored["d_low"], mirrored["d_high"]) == pytest.approx((-found["d_high"], -found["d_low"]))
    assert mirrored["d_bound"] == pytest.approx(found["d_bound"])


def test_sizes_are_those_of_the_analysis_of_variance():
    random = np.random.default_rng(0)
    for _ in range(50):
        groups = {name: random.normal(size=int(random.integers(3, 30))) for name in "abc"}
        found = statistics.anova(groups)
        sizes = effects.share_of_variance(found["F"], *found["df"])
        np.testing.assert_allclose([sizes["eta2"], sizes["omega2"]], [found["eta2"], found["omega2"]], rtol=1e-10)
    groups = {name: random.normal(size=12) for name in "ab"}
    row = statistics.tukey(groups).iloc[0]
    found = effects.standardised_difference(row["t"], 22, scale=np.sqrt(2 / 12))
    assert found["d"] == pytest.approx(row["d"], rel=1e-12)


@pytest.mark.parametrize("seed", range(50))
def test_omega_of_repeated_methods_is_that_of_the_components_of_variance(seed):
    random = np.random.default_rng(seed)
    n, k = int(random.integers(3, 30)), int(random.integers(2, 5))
    table = random.normal(size=(n, k)) + 3 * random.normal(size=(n, 1)) + random.uniform(0, 1.5) * np.arange(k)
    found = statistics.anova(dict(zip("abcd", table.T, strict=False)), design="repeated")
    rows, columns, grand = table.mean(1), table.mean(0), table.mean()
    ms_method = n * ((columns - grand) ** 2).sum() / (k - 1)
    ms_error = sum((table[i, j] - rows[i] - columns[j] + grand) ** 2 for i in range(n) for j in range(k)) / (
        (n - 1) * (k - 1)
    )
    # Expected mean squares: σ² + n Σ τ²/(k - 1), and σ². The variance of the true means is Σ τ²/k.
    of_means = (k - 1) * (ms_method - ms_error) / (n * k)
    assert found["omega2"] == pytest.approx(of_means / (of_means + ms_error), rel=1e-9)
    sizes = effects.share_of_variance(found["F"], *found["df"], observations=n * k)
    assert sizes["omega2"] == pytest.approx(found["omega2"], rel=1e-9)


@pytest.mark.slow
def test_the_interval_of_the_share_covers_it_in_repeated_designs():
    tau, covered, n = np.array([0.0, 0.3, 0.9]), 0, 28
    truth = tau.var() / (tau.var() + 1)
    for seed in range(500):
        random = np.random.default_rng(seed)
        table = random.normal(size=(n, 3)) + 2 * random.normal(size=(n, 1)) + tau
        found = statistics.anova(dict(zip("abc", table.T, strict=True)), design="repeated")
        sizes = effects.share_of_variance(found["F"], *found["df"], observations=3 * n)
        covered += sizes["low"] <= truth <= sizes["high"]
    assert 0.93 <= covered / 500 <= 0.97


def test_what_has_no_number_has_none_and_mistakes_are_named():
    assert np.isnan(list(effects.share_of_variance(np.nan, 2, 10).values())).all()
    assert np.isnan(list(effects.standardised_difference(np.nan, 10, scale=1).values())).all()
    less_than_chance = effects.share_of_variance(0.01, 2, 10)
    assert less_than_chance["omega2"] < 0 == less_than_chance["low"] == less_than_chance["high"]
    with pytest.raises(UsageError, match="`f`: wanted F from 0, got -1"):
        effects.share_of_variance(-1, 2, 10)
    with pytest.raises(UsageError, match="`df2`: wanted degrees of freedom above 0, got 0"):
        effects.share_of_variance(1, 2, 0)
    with pytest.raises(UsageError, match="`scale`: wanted d / t, above 0, got 0"):
        effects.standardised_difference(1, 2, scale=0)
