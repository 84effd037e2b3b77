"""Score tables reduced to means, intervals and differences."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fer_jax.compare import localisation
from fer_jax.errors import UsageError

PAIRS, EACH = 28, 4
OPTIONS = {"scores": ("dice",), "seed": 1}


def _table(methods=("a", "b"), lift=0.2, seed=0):
    """Scores of `a` lie higher than `b`'s by `lift`, up to noise; pairs differ much."""
    random = np.random.default_rng(seed)
    of_pair = random.normal(0.5, 0.3, PAIRS)
    rows = [
        (method, pair, pair * EACH + place, of_pair[pair] + lift * (method == "a") + random.normal(0, 0.05))
        for method in methods
        for pair in range(PAIRS)
        for place in range(EACH)
    ]
    return pd.DataFrame(rows, columns=["method", "pair", "picture", "dice"])


def test_a_mean_goes_over_pictures_then_over_pairs():
    table = _table()
    table = table.drop(table.index[(table["pair"] == 0) & (table["picture"] < 3)])  # pair 0 keeps one picture
    found = localisation.summarise(table, **OPTIONS).set_index("method")
    means = [
        np.mean([own["dice"].mean() for _, own in table[table["method"] == name].groupby("pair")]) for name in "ab"
    ]
    np.testing.assert_allclose(found.loc[["a", "b"], "mean"], means, rtol=1e-12)
    assert found.loc["a", "n_pairs"] == PAIRS and found.loc["a", "n_pictures"] == PAIRS * EACH - 3
    pairs = localisation.per_pair(table, scores=("dice",))
    assert list(pairs["n"])[:2] == [1, EACH] and len(pairs) == 2 * PAIRS


def test_intervals_speak_of_other_pairs():
    table = _table()
    row = localisation.summarise(table, **OPTIONS).iloc[0]
    values = localisation.per_pair(table, scores=("dice",)).query("method == 'a'")["dice"].to_numpy()
    wanted = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=2000, rng=np.random.default_rng(0))
    interval = wanted.confidence_interval
    np.testing.assert_allclose([row["ci_low"], row["ci_high"]], [interval.low, interval.high], atol=0.01)
    again = localisation.summarise(table.sample(frac=1, random_state=0).sort_values("method"), **OPTIONS).iloc[0]
    assert row["ci_low"] < row["mean"] < row["ci_high"] and again["mean"] == pytest.approx(row["mean"])


def test_differences_are_paired_and_so_narrower_than_the_means():
    table = _table(methods=("a", "b", "c"))
    summary = localisation.summarise(table, **OPTIONS).iloc[0]
    found = localisation.contrasts(table, [("a", "b"), ("b", "c")], **OPTIONS)
    first, second = found.to_dict("records")
    assert first["difference"] == pytest.approx(0.2, abs=0.02) and first["ci_low"] > 0.15
    assert first["ci_high"] - first["ci_low"] < (summary["ci_high"] - summary["ci_low"]) / 3
    assert second["ci_low"] < 0 < second["ci_high"]
    wide = localisation.per_pair(table, scores=("dice",)).pivot(index="pair", columns="method", values="dice")
    p = stats.ttest_rel(wide["a"], wide["b"]).pvalue
    np.testing.assert_allclose([first["p"], first["p_holm"]], [p, 2 * p], rtol=1e-8)
    assert second["p_holm"] == second["p"] > 0.05


def test_missing_scores_are_counted_and_left_out_of_both_sides():
    table = _table(lift=0.0)
    lost = (table["method"] == "a") & (table["picture"] % EACH == 0)
    table.loc[lost, "dice"] = np.nan
    table.loc[(table["method"] == "b") & (table["picture"] % EACH == 0), "dice"] = 1000.0
    summary = localisation.summarise(table, **OPTIONS).set_index("method")
    assert list(summary["missing"]) == [PAIRS, 0] and summary.loc["a", "n_pictures"] == PAIRS * (EACH - 1)
    row = localisation.contrasts(table, [("a", "b")], **OPTIONS).iloc[0]
    assert row["n_pictures"] == PAIRS * (EACH - 1) and abs(row["difference"]) < 0.05  # 1000 has no partner


def test_nothing_known_is_nan_not_zero():
    table = _table()
    table.loc[table["method"] == "a", "dice"] = np.nan
    row = localisation.summarise(table, **OPTIONS).iloc[0]
    assert np.isnan(row["mean"]) and row["n_pairs"] == 0 and row["missing"] == PAIRS * EACH
    contrast = localisation.contrasts(table, [("a", "b")], **OPTIONS).iloc[0]
    assert np.isnan(contrast["difference"]) and np.isnan(contrast["p_holm"]) and contrast["n"] == 0
    one = localisation.summarise(_table().query("pair == 3"), **OPTIONS).iloc[0]
    assert np.isfinite(one["mean"]) and np.isnan(one["ci_low"])


def test_wrong_tables_are_named():
    table = _table()
    with pytest.raises(UsageError, match="`table`: wanted columns method, pair, picture, dice, lacks picture"):
        localisation.per_pair(table.drop(columns="picture"), scores=("dice",))
    with pytest.raises(UsageError, match="picture 0 of pair 0 twice under a"):
        localisation.summarise(pd.concat([table, table.head(1)]), **OPTIONS)
    with pytest.raises(UsageError, match="`comparisons`: wanted methods among a, b, got 'd'"):
        localisation.contrasts(table, [("a", "d")], **OPTIONS)
