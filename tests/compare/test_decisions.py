"""Decisions made up here: intervals as wide as they must be, halves that keep their temperatures apart."""

import numpy as np
import pandas as pd
import pytest

from fer_jax.compare import decisions, intervals
from fer_jax.expressions import EXPRESSIONS

N = 120


def predictions(seed=0, count=N, sharpness=4.0):
    """Members and a multiclass network that know something, and are too sure of it by `sharpness`."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(8).repeat(4), rng.choice(8, count - 32, p=np.arange(8, 0, -1) / 36)])
    labels = rng.permutation(labels).astype(np.int32)
    evidence = rng.normal(size=(count, 8)) + 1.2 * np.eye(8)[labels]
    logits = np.stack([evidence[:, pair] for pair in np.asarray(EXPRESSIONS.pairs)]) + 0.3 * rng.normal(
        size=(28, count, 2)
    )
    return {
        "ensemble_logits": (sharpness * logits).astype(np.float32),
        "multiclass_logits": (sharpness * evidence).astype(np.float32),
        "labels": labels,
        "names": np.asarray([f"face/{index:03d}" for index in range(count)]),
    }


def test_an_interval_has_the_width_of_the_stratified_binomial():
    made = predictions(seed=3, count=600)
    labels = made["labels"]
    half = decisions.split_halves(labels, 0)
    made_by = decisions.ensemble_decisions(made["ensemble_logits"], labels, half)
    table = decisions.score(made_by, labels, resamples=2000, seed=0, categories=EXPRESSIONS).set_index(
        ["rule", "measure"]
    )
    right = made_by["simple_vote"].predicted == labels
    within = [right[labels == label] for label in range(8)]
    error = np.sqrt(sum(group.size * group.var() for group in within)) / 600
    _, low, high, _ = table.loc[("simple_vote", "accuracy")]
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.08)
    error = np.sqrt(within[2].var() / within[2].size)
    _, low, high, _ = table.loc[("simple_vote", "recall_sad")]
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_halves_are_even_and_no_picture_is_tempered_by_itself():
    labels = predictions()["labels"]
    half = decisions.split_halves(labels, 5)
    assert abs(half.sum() - (~half).sum()) <= 1
    for label in range(8):
        assert abs(half[labels == label].sum() - (~half)[labels == label].sum()) <= 1
    assert (half != decisions.split_halves(labels, 6)).any()
    logits = predictions()["multiclass_logits"][None]
    whole, changed = np.ones((1, N), bool), np.where(half, (labels + 1) % 8, labels)
    before, fitted = decisions.cross_tempered(logits, labels[None], whole, half)
    after, refitted = decisions.cross_tempered(logits, changed[None], whole, half)
    np.testing.assert_array_equal(before[:, half], after[:, half])  # other labels here change the other half only
    assert fitted[0] == refitted[0] and fitted[1] != refitted[1]
    np.testing.assert_allclose(before[0, half] * fitted[0], logits[0, half], rtol=1e-6)


def test_blocks_do_not_change_the_resamples(monkeypatch):
    made = predictions()
    made_by = decisions.multiclass_decisions(made["multiclass_logits"], made["labels"], np.arange(N) % 2 == 0)
    made_by = {decisions.REFERENCE: made_by["multiclass"]}
    whole = decisions.score(made_by, made["labels"], resamples=50, seed=4, categories=EXPRESSIONS)
    monkeypatch.setattr(intervals, "_BLOCK", 7 * N)
    told = []
    pd.testing.assert_frame_equal(
        decisions.score(made_by, made["labels"], resamples=50, seed=4, categories=EXPRESSIONS, tell=told.append),
        whole,
    )
    assert told == [7, 14, 21, 28, 35, 42, 49, 50]


def test_all_members_among_all_categories_decide_as_the_votes_do():
    made = predictions(count=300)
    whole = decisions.ensemble_decisions(made["ensemble_logits"], made["labels"], np.zeros(300, bool))
    found = decisions.all_member_decisions(made["ensemble_logits"], range(8))
    for rule in ("simple_vote", "weighted_vote", "probability_vote"):
        np.testing.assert_array_equal(found[f"all_members_{rule}"].predicted, whole[rule].predicted)


def test_members_of_shared_pairs_are_those_of_the_fewer_categories():
    kept = [1, 3, 4, 6]
    pairs = decisions.shared_pairs(kept, EXPRESSIONS)
    fewer = EXPRESSIONS.select(EXPRESSIONS[label] for label in kept)
    assert [EXPRESSIONS.pair_name(pair) for pair in pairs] == [fewer.pair_name(pair) for pair in range(6)]
    found = decisions.all_member_decisions(predictions()["ensemble_logits"], kept)
    for each in found.values():
        assert set(each.predicted) <= {0, 1, 2, 3}
        if each.shares is not None:
            np.testing.assert_allclose(each.shares.sum(1), 1, rtol=1e-6)
