"""Resamples and their intervals, against scipy and against the numbers of earlier runs."""

import numpy as np
import pytest
from scipy import stats

from fer_jax.compare import intervals
from fer_jax.errors import UsageError
from fer_jax.streams import stream

VALUES = np.linspace(0.2, 0.9, 28) ** 2


def test_an_interval_of_a_mean_is_scipys():
    wanted = stats.bootstrap((VALUES,), np.mean, method="percentile", n_resamples=4000, rng=np.random.default_rng(0))
    found = intervals.mean_interval(stream(5), VALUES, resamples=4000)
    np.testing.assert_allclose(found, wanted.confidence_interval, atol=0.005)
    assert found == intervals.mean_interval(stream(5), VALUES, resamples=4000)


def test_one_unit_has_no_interval():
    assert np.isnan(intervals.mean_interval(stream(0), VALUES[:1])).all()
    assert np.isnan(intervals.mean_interval(stream(0), VALUES[:0])).all()


def test_a_resample_within_labels_keeps_their_mix(monkeypatch):
    labels = np.array([2, 0, 2, 2, 0, 5])
    (whole,) = intervals.resample_within(stream(3, 1), labels, resamples=40)
    np.testing.assert_array_equal(np.sort(labels[whole]), np.tile(np.sort(labels), (40, 1)))
    assert len(np.unique(whole[:, labels[whole[0]] == 2])) == 3
    monkeypatch.setattr(intervals, "_BLOCK", 7 * len(labels))
    blocks = list(intervals.resample_within(stream(3, 1), labels, resamples=40))
    assert [len(block) for block in blocks] == [7, 7, 7, 7, 7, 5]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_no_resample_is_refused():
    with pytest.raises(UsageError, match="`resamples`: wanted a whole number from 1, got 0"):
        intervals.mean_interval(stream(0), VALUES, resamples=0)
