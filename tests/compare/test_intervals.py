"""Resamples and their intervals, against scipy and against the numbers of earlier runs."""

import numpy as np
import pytest
from scipy import special, stats

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


def test_crossed_counts_draw_as_many_people_and_images_of_each_cell():
    cells = np.array([2, 0, 2, 1, 0, 2])
    people, images = intervals.crossed_counts(stream(1), 4, cells, resamples=30)
    assert people.shape == (30, 4)
    assert images.shape == (30, 6)
    assert (people.sum(1) == 4).all()
    np.testing.assert_array_equal(images @ np.eye(3)[cells], np.tile(np.bincount(cells), (30, 1)))


def test_crossed_means_weigh_every_answer_as_often_as_it_was_drawn():
    random = stream(2)
    values, cells = random.random((4, 6)), np.array([0, 1, 0, 1, 1, 0])
    values[1, 2] = np.nan
    people, images = intervals.crossed_counts(random, 4, cells, resamples=9)
    found = intervals.crossed_means(values, cells, people, images)
    for row, (of_people, of_images) in enumerate(zip(people, images, strict=True)):
        again = values.repeat(of_people, 0).repeat(of_images, 1)
        drawn = cells.repeat(of_images)
        np.testing.assert_allclose(found[row], [np.nanmean(again[:, drawn == cell]) for cell in (0, 1)])
    ones = intervals.crossed_means(values, cells, np.ones((1, 4)), np.ones((1, 6)))
    np.testing.assert_allclose(ones[0, 0], np.nanmean(values[:, cells == 0]))


def test_the_pigeonhole_interval_covers_the_truth_of_crossed_data():
    random, covered, cells = np.random.default_rng(0), 0, np.repeat(np.arange(8), 7)
    ease = np.linspace(0.7, 3.1, 8)  # log odds of a right answer
    # People and images move these odds: 22 people who are right about 84 % of 56 images, as in the paper.
    moved = np.hypot(0.4, 0.8) * np.random.default_rng(1).normal(size=(100_000, 1))
    truth = special.expit(ease + moved).mean()
    for run in range(500):
        odds = ease[cells] + 0.4 * random.normal(size=(22, 1)) + 0.8 * random.normal(size=(1, 56))
        right = (random.random((22, 56)) < special.expit(odds)).astype(float)
        drawn = intervals.crossed_counts(stream(run), 22, cells, resamples=300)
        low, high = intervals.percentile_interval(intervals.crossed_means(right, np.zeros(56, int), *drawn)[:, 0])
        covered += low <= truth <= high
    assert covered / 500 >= 0.93
