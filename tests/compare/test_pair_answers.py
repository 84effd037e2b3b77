"""People against members on the same images: the statistics of `confusion` and of numpy, and people without answers."""

import itertools

import numpy as np
import pytest

from fer_jax.categories import Categories
from fer_jax.compare import confusion, pair_answers
from fer_jax.errors import UsageError

FOUR = Categories(("neutral", "happy", "sad", "anger"))
CELLS = np.repeat(np.arange(12), 5)


def _answers(seed, people=6):
    """Images differ in how hard they are, for people and members alike."""
    random = np.random.default_rng(seed)
    ease = random.uniform(0.4, 1, 60)
    answered = (random.random((people, 60)) < ease).astype(float)
    answered[random.random(answered.shape) < 0.1] = np.nan
    return answered, random.random(60) < ease


def _table(people, members, **options):
    settings = {"seed": 0, "resamples": 200, "categories": FOUR} | options
    return pair_answers.compare_answers(people, members, CELLS, **settings).set_index("statistic")


@pytest.mark.parametrize("seed", range(5))
def test_statistics_are_those_of_other_code(seed):
    people, members = _answers(seed)
    table = _table(people, members)
    accuracy = np.array([np.nanmean(people[:, cell == CELLS]) for cell in range(12)])
    other = np.array([members[cell == CELLS].mean() for cell in range(12)])
    assert table["value"]["accuracy of people"] == pytest.approx(accuracy.mean(), rel=1e-10)
    assert table["value"]["people less members"] == pytest.approx(accuracy.mean() - other.mean(), abs=1e-12)
    assert table["value"]["r of accuracies"] == pytest.approx(np.corrcoef(accuracy, other)[0, 1], rel=1e-10)
    matrices = np.zeros((2, 4, 4))
    for cell, pair in enumerate(FOUR.ordered_pairs):
        matrices[(slice(None), *pair)] = accuracy[cell], other[cell]
    r, p = confusion.qap(*matrices)
    assert (r, p) == pytest.approx((table["value"]["r of accuracies"], table["p_qap"]["r of accuracies"]))
    for name, twos in (
        ("κ of people with members", [(one, np.where(members, 1.0, 0.0)) for one in people]),
        ("κ of people with people", list(itertools.combinations(people, 2))),
    ):
        found = [confusion.error_consistency(*two) for two in twos]
        for column, key in (("value", "kappa"), ("least", "low"), ("most", "high")):
            assert table[column][name] == pytest.approx(np.mean([one[key] for one in found]), rel=1e-10)
        assert table["n"][name] == len(twos)
    known = table["value"].notna()
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"]))[known & (table["n"] > 1)].sum() >= 6


def test_the_interval_of_the_accuracy_is_that_of_the_pigeonhole_bootstrap():
    people, members = _answers(0, people=20)
    low, high = _table(people, members, resamples=1500).loc["accuracy of people", ["low", "high"]]
    random, means = np.random.default_rng(9), []
    for _ in range(500):
        drawn = people[random.integers(0, 20, 20)]
        within = np.concatenate([random.choice(np.flatnonzero(cell == CELLS), 5) for cell in range(12)])
        means.append(np.mean([np.nanmean(drawn[:, within[place : place + 5]]) for place in range(0, 60, 5)]))
    np.testing.assert_allclose([low, high], np.percentile(means, [2.5, 97.5]), atol=0.015)


def test_members_who_answer_as_people_do_agree_wholly():
    people, _ = _answers(1)
    one = np.where(np.isnan(people[0]), 1, people[0])
    table = _table(np.stack([one, one]), one)
    assert table["value"][["r of accuracies", "rank r of accuracies"]].to_numpy() == pytest.approx(1)
    assert table["value"][["κ of people with members", "κ of people with people"]].to_numpy() == pytest.approx(1)


def test_degenerate_answers_have_a_reason():
    people, members = _answers(2)
    alone = _table(people[:1], members)
    assert alone["value"].drop("κ of people with people").notna().all()
    assert alone[["low", "high"]].isna().all(axis=None) and alone["reason"].ne("").all()
    right = _table(np.ones((3, 60)), members)
    assert np.isnan(right["value"]["r of accuracies"])
    assert right["reason"]["r of accuracies"] == "the same accuracy in every ordered pair: people"
    assert right["reason"]["κ of people with people"].startswith("3 twos of people without κ")
    nobody = _table(np.zeros((0, 60)), members)
    assert nobody["value"].isna().all() and nobody["reason"].ne("").all()
    gone = people.copy()
    gone[:, CELLS == 4] = np.nan
    table = _table(gone, members)
    assert table["n"]["r of accuracies"] == 11
    assert table["reason"]["r of accuracies"] == "1 of 12 ordered pairs without answers"
    assert np.isnan(table["p_qap"]["r of accuracies"])
    with pytest.raises(UsageError, match="`people`: wanted 1 right, 0 wrong, NaN for no answer, got 2"):
        _table(people + 1, members)
    with pytest.raises(UsageError, match=r"wanted \(S, T\), \(T,\) and \(T,\), got \(6, 60\), \(59,\) and \(60,\)"):
        _table(people, members[:59])
