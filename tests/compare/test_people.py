"""What people did: means against the tables they come from, intervals, exact tests, and laws of order and of gaps."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fer_jax import human
from fer_jax.compare import intervals, people
from fer_jax.streams import stream
from tests.human.conftest import pool

SIZE = 48


@pytest.fixture(scope="module")
def study():
    return human.study.make_study(*pool(14), seed=1, per_ordered_pair=2)


@pytest.fixture(scope="module")
def trials(study):
    return human.observers.simulate(study, seed=1, image_px=SIZE, participants=8)


def shuffled(trials, seed=0):
    random = stream(seed)
    parts = {}
    for field in dataclasses.fields(trials):
        table = getattr(trials, field.name)
        parts[field.name] = table.iloc[random.permutation(len(table))].reset_index(drop=True)
    return human.Trials(**parts)


def with_trials(trials, **columns):
    return dataclasses.replace(trials, trials=trials.trials.assign(**columns))


def test_the_order_of_rows_changes_nothing(trials, study):
    mixed, told = shuffled(trials), {"seed": 3, "resamples": 50}
    for measure in (people.overall, people.learning, lambda t, **o: people.pair_measures(t, study, **o)):
        once, again = measure(trials, **told), measure(mixed, **told)
        tables = ([once], [again]) if isinstance(once, pd.DataFrame) else (once, again)
        for one, other in zip(*tables, strict=True):
            pd.testing.assert_frame_equal(one, other, rtol=1e-10, atol=1e-12)
    regions = [people.region_tests(each, study, image_px=SIZE, seed=3, permutations=40) for each in (trials, mixed)]
    pd.testing.assert_frame_equal(*regions, rtol=1e-10, atol=1e-12)


def test_overall_means_lie_in_their_intervals(trials):
    table = people.overall(trials, seed=0, resamples=200).set_index("measure")
    right = human.trials.answers(trials.trials)
    assert table.loc["accuracy", "value"] == pytest.approx(right.astype(float).mean())
    assert table.loc["clicks", "value"] == pytest.approx(trials.trials["n_clicks"].astype(float).mean())
    for over in ("", "_people", "_images"):
        assert (table[f"low{over}"] <= table["value"]).all()
        assert (table["value"] <= table[f"high{over}"]).all()
    both, alone = ((table[f"high{over}"] - table[f"low{over}"])["accuracy"] for over in ("", "_images"))
    assert both > alone
    assert table["reason"].tolist() == ["", "", ""]
    assert table["n_people"].tolist() == [8, 8, 8]


def test_one_person_and_single_images_have_no_interval(trials, study):
    one = people.overall(trials.of(["P01"]), seed=0, resamples=40)
    assert one["low"].isna().all()
    assert one["low_images"].notna().all()
    assert set(one["reason"]) == {"fewer than two people"}
    first = study.drop_duplicates(["true_label", "false_label"])
    few = with_trials(trials)
    few = dataclasses.replace(few, trials=few.trials[few.trials["image"].isin(first["image"])])
    alone = people.overall(few, seed=0, resamples=40)
    assert alone["low_images"].isna().all()
    assert alone["low"].notna().all()
    assert alone["reason"].str.contains("no cell of two images").all()


def test_missing_times_are_nan_with_a_reason(trials, study):
    silent = with_trials(trials, rt_decision_ms=np.nan)
    overall = people.overall(silent, seed=0, resamples=40).set_index("measure")
    assert np.isnan(overall.loc["time_ms", "value"])
    assert overall.loc["time_ms", "n"] == 0
    assert overall.loc["time_ms", "reason"] == "no times from first click to answer"
    pairs, related = people.pair_measures(silent, study, seed=0, resamples=40)
    assert pairs[["time_ms", "time_ms_low", "time_ms_high"]].isna().all(axis=None)
    assert set(pairs["reason"]) == {"no times from first click to answer"}
    missing = related["r"].isna()
    assert missing.tolist() == [True, True, False]
    assert set(related["reason"][missing]) == {"0 ordered pairs have both"}
    blocks, changed = people.learning(silent, seed=0, resamples=40)
    assert "time_ms" not in blocks.dropna()["measure"].tolist()
    lacking = changed.set_index("measure").loc["time_ms"]
    assert np.isnan(lacking["p"])
    assert lacking["reason"] == "0 people have times from first click to answer in two blocks"


def test_a_pair_without_an_answer_has_a_reason_and_costs_the_exact_test_only(trials, study):
    cell = study.iloc[0]
    there = trials.trials["true_label"].eq(cell["true_label"]) & trials.trials["false_label"].eq(cell["false_label"])
    less = dataclasses.replace(trials, trials=trials.trials[~there])
    pairs, related = people.pair_measures(less, study, seed=0, resamples=40)
    assert pairs["reason"].tolist() == ["no answers"] + [""] * 55
    assert related["n"].tolist() == [55, 55, 55]
    assert related["r"].notna().all()
    assert related["p_qap"].isna().all()
    assert set(related["reason"]) == {"no p_qap: an ordered pair lacks a measure"}


def test_correlations_are_those_of_the_behaviour_and_of_scipy(trials, study):
    pairs, related = people.pair_measures(trials, study, seed=0, resamples=100)
    table = human.behaviour.pair_table(trials, study)
    pd.testing.assert_frame_equal(pairs[table.columns], table)
    known = human.behaviour.correlations(table)
    for row in related.itertuples():
        other = {"time_ms": "time"}
        names = {
            f"r_{other.get(a, a)}_{other.get(b, b)}" for a, b in ((row.first, row.second), (row.second, row.first))
        }
        (name,) = names & set(known)
        assert row.r == pytest.approx(known[name], abs=1e-12)
        assert row.p == pytest.approx(stats.pearsonr(table[row.first], table[row.second]).pvalue)
        assert row.low < row.r < row.high
        assert (row.p_qap * 40_320) == pytest.approx(round(row.p_qap * 40_320))
        assert -1 <= row.within_people <= 1


def test_learning_is_a_slope_over_blocks(trials):
    better = with_trials(trials, n_clicks=(10 - trials.trials["block"]).astype("Int64"))
    clicks = dataclasses.replace(better, clicks=better.clicks[:0])
    blocks, changed = people.learning(clicks, seed=0, resamples=40)
    own = changed.set_index("measure").loc["clicks"]
    assert own["change"] == pytest.approx(-1)
    assert blocks[blocks["measure"] == "clicks"]["value"].tolist() == pytest.approx([9, 8, 7, 6])
    assert np.isnan(own["p"])  # everybody changed alike, so there is no error to test against


def test_regions_that_do_not_differ_have_p_1_and_those_that_do_a_small_one(trials, study):
    clicks = trials.clicks.assign(x_px=SIZE * 0.375, y_px=SIZE * 0.345)  # the left eye, always
    alike = people.region_tests(
        dataclasses.replace(trials, clicks=clicks), study, image_px=SIZE, seed=0, permutations=99
    )
    moved = alike[alike["comparison"] == "last - first"].set_index("region")
    assert moved.loc["eye_left", ["share", "other", "p"]].tolist() == [1, 1, 1]
    assert (moved["p"] == 1).all()
    last = trials.clicks.groupby(["participant", "trial"])["click"].transform("max") == trials.clicks["click"]
    clicks = clicks.assign(y_px=np.where(last, SIZE * 0.65, SIZE * 0.345), x_px=np.where(last, SIZE / 2, SIZE * 0.375))
    differ = people.region_tests(
        dataclasses.replace(trials, clicks=clicks), study, image_px=SIZE, seed=0, permutations=99
    )
    moved = differ[differ["comparison"] == "last - first"].set_index("region")
    assert moved.loc["mouth", "share"] == 1
    assert moved.loc["mouth", "p"] == pytest.approx(1 / 99)
    assert moved.loc["nose", "p"] == 1


def test_no_hard_image_is_told(trials, study):
    right = with_trials(trials, response=trials.trials["true_label"], correct=pd.array([True] * len(trials.trials)))
    table = people.region_tests(right, study, image_px=SIZE, seed=0, permutations=20)
    hard = table[table["comparison"] != "last - first"]
    assert hard["p"].isna().all()
    assert set(hard["reason"]) == {"no image in the first group"}


def test_few_images_are_flipped_in_every_way():
    differences = np.array([[0.2], [0.4], [0.1]])
    assert people._sign_flips(differences, 0, 7) == pytest.approx([2 / 8])


def test_crossed_intervals_cover_the_truth():
    """People, images and noise on one scale: 95 % intervals hold the truth, as wide as both call for."""
    held, runs = 0, 120
    for run in range(runs):
        random = stream(5, run)
        values = random.normal(size=(12, 1)) + random.normal(size=(1, 20)) + random.normal(size=(12, 20))
        counts = intervals.crossed_counts(random, 12, np.zeros(20, int), resamples=200)
        means = intervals.crossed_means(values, np.zeros(20, int), *counts)[:, 0]
        low, high = intervals.percentile_interval(means)
        held += low <= 0 <= high
    assert held / runs >= 0.9
