import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_jax import ensemble
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS


def _logits(seed, batch=5):
    return np.random.default_rng(seed).normal(size=(28, batch, 2)).astype(np.float32)


def _count(logits, amount):
    """The votes, counted one by one."""
    votes = np.zeros((logits.shape[1], 8))
    for pair, row in zip(EXPRESSIONS.pairs, logits, strict=True):
        for image, values in enumerate(row):
            votes[image, pair[int(values[1] > values[0])]] += amount(values)
    return votes


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_votes_equal_counting_by_hand(seed):
    logits = _logits(seed)
    np.testing.assert_array_equal(ensemble.ballots(logits), _count(logits, lambda v: 1))
    np.testing.assert_allclose(ensemble.weighted_ballots(logits), _count(logits, max), rtol=1e-4, atol=1e-5)
    margins = ensemble.weighted_ballots(logits, weight="margin")
    np.testing.assert_allclose(margins, _count(logits, lambda v: abs(v[0] - v[1])), rtol=1e-4, atol=1e-5)
    sure = ensemble.weighted_ballots(logits, weight="softmax")
    expected = _count(logits, lambda v: 1 / (1 + np.exp(-abs(v[0] - v[1]))))
    np.testing.assert_allclose(sure, expected, rtol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 4, 7, 8])
def test_any_number_of_labels_is_counted_by_hand(count):
    pairs = list(itertools.combinations(range(count), 2))
    logits = np.random.default_rng(count).normal(size=(len(pairs), 6, 2)).astype(np.float32)
    votes, weights = np.zeros((2, 6, count))
    for pair, row in zip(pairs, logits, strict=True):
        for image, values in enumerate(row):
            votes[image, pair[values.argmax()]] += 1
            weights[image, pair[values.argmax()]] += values.max()
    np.testing.assert_array_equal(ensemble.ballots(logits), votes)
    np.testing.assert_array_equal(ensemble.weighted_vote(logits), weights.argmax(-1))
    np.testing.assert_allclose(ensemble.probability_ballots(logits).sum(-1), len(pairs), rtol=1e-5)


def test_every_image_gets_28_votes():
    np.testing.assert_array_equal(ensemble.ballots(_logits(0)).sum(-1), 28)


@pytest.mark.parametrize("label", range(8))
def test_a_label_that_wins_all_its_pairs_is_voted_for(label):
    logits = _logits(label, batch=3)
    for pair, row in zip(EXPRESSIONS.pairs, logits, strict=True):
        if label in pair:
            row[:, pair.index(label)] = 9.0
            row[:, 1 - pair.index(label)] = -9.0
    np.testing.assert_array_equal(ensemble.simple_vote(logits), label)
    np.testing.assert_array_equal(ensemble.weighted_vote(logits), label)


def test_ties_go_to_the_weightier_or_to_the_first():
    # A cycle neutral > happy > sad > neutral, everything else lost by all three to nobody: each wins as often.
    logits = np.zeros((28, 1, 2), np.float32)
    for row, (first, _) in zip(logits, EXPRESSIONS.pairs, strict=True):
        row[0, 0] = 1.0 if first < 3 else 0.5
    logits[EXPRESSIONS.pairs.index((0, 2))] = [[0.0, 4.0]]
    votes = np.asarray(ensemble.ballots(logits))[0]
    assert votes[0] == votes[1] == votes[2] == votes.max()
    assert ensemble.simple_vote(logits, tie="first")[0] == 0
    assert ensemble.simple_vote(logits, tie="weighted")[0] == 2


def _probabilities(logits, temperatures):
    """Both probabilities of every member, counted one by one in float64."""
    votes = np.zeros((logits.shape[1], 8))
    for pair, row, temperature in zip(EXPRESSIONS.pairs, logits.astype(float), temperatures, strict=True):
        for image, (first, second) in enumerate(row / temperature):
            votes[image, pair[0]] += 1 / (1 + np.exp(second - first))
            votes[image, pair[1]] += 1 / (1 + np.exp(first - second))
    return votes


@pytest.mark.parametrize("seed", range(3))
def test_probability_ballots_equal_counting_by_hand(seed):
    logits = 3 * _logits(seed)
    temperatures = np.random.default_rng(seed).uniform(0.2, 5, 28).astype(np.float32)
    np.testing.assert_allclose(ensemble.probability_ballots(logits), _probabilities(logits, np.ones(28)), rtol=1e-5)
    tempered = _probabilities(logits, temperatures)
    np.testing.assert_allclose(ensemble.probability_ballots(logits, temperatures=temperatures), tempered, rtol=1e-5)
    np.testing.assert_array_equal(ensemble.probability_vote(logits, temperatures=temperatures), tempered.argmax(-1))


def test_sure_members_vote_by_probability_as_they_vote_by_hand():
    logits = 1e4 * _logits(4, batch=20)
    np.testing.assert_allclose(ensemble.probability_ballots(logits), ensemble.ballots(logits), atol=1e-5)


def test_a_member_heated_enough_says_nothing():
    logits, quiet = 5 * _logits(5), 5 * _logits(5)
    quiet[3] = 0
    temperatures = np.ones(28, np.float32)
    temperatures[3] = 1e9
    np.testing.assert_allclose(
        ensemble.probability_ballots(logits, temperatures=temperatures), ensemble.probability_ballots(quiet), rtol=1e-6
    )


def test_ballot_shares_are_probabilities_where_votes_are_not_negative():
    logits = _logits(6)
    for votes in (ensemble.ballots(logits), ensemble.probability_ballots(logits)):
        shares = np.asarray(ensemble.ballot_shares(votes))
        np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-6)
        np.testing.assert_allclose(28 * shares, votes, rtol=1e-6)
        assert shares.max() <= 1 / 4  # a label stands in 7 of 28 pairs
    odd = np.float32([[1, 3, 0, 0, 0, 0, 0, 0], [-1, 3, 0, 0, 0, 0, 0, 0], [0] * 8])
    np.testing.assert_array_equal(ensemble.ballot_shares(odd)[0, :2], [0.25, 0.75])
    assert np.isnan(ensemble.ballot_shares(odd)[1:]).all()


def test_votes_compile():
    logits = _logits(7)
    temperatures = np.full(28, 2, np.float32)
    compiled = jax.jit(lambda z, t: ensemble.probability_vote(z, temperatures=t))(logits, temperatures)
    np.testing.assert_array_equal(compiled, ensemble.probability_vote(logits, temperatures=temperatures))


def test_errors_teach():
    with pytest.raises(UsageError, match=r"`members`: wanted one for each pair of K categories.*got 27\."):
        ensemble.simple_vote(_logits(0)[:27])
    with pytest.raises(UsageError, match=r"`weight`: wanted one of max_logit, softmax, margin, got 'votes'"):
        ensemble.weighted_vote(_logits(0), weight="votes")
    with pytest.raises(UsageError, match=r"`tie`: wanted one of weighted, first, got 'coin'"):
        ensemble.simple_vote(_logits(0), tie="coin")
    with pytest.raises(UsageError, match=r"`temperatures`: wanted \(28,\), one for each member, got \(28, 1\)"):
        ensemble.probability_vote(_logits(0), temperatures=np.ones((28, 1), np.float32))
    with pytest.raises(UsageError, match=r"`logits`: wanted \(M, B, 2\), .* got \(28, 5, 8\)"):
        ensemble.probability_ballots(np.zeros((28, 5, 8), np.float32))
