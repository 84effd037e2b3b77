import itertools
import time

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from fer_jax import human
from fer_jax.categories import Categories
from fer_jax.compare import confusion
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS


def _matrix(seed, n=8):
    random = np.random.default_rng(seed)
    errors = random.dirichlet(np.full(n - 1, 2.0), n)
    right = random.uniform(0.5, 0.9, n)
    out = np.zeros((n, n))
    out[~np.eye(n, dtype=bool)] = ((1 - right)[:, None] * errors).ravel()
    return out + np.diag(right)


def test_qap_equals_relabelling_one_by_one():
    one, other = _matrix(0, 5), _matrix(1, 5)
    off = ~np.eye(5, dtype=bool)
    r = np.corrcoef(one[off], other[off])[0, 1]
    larger = [
        abs(np.corrcoef(one[off], other[np.ix_(order, order)][off])[0, 1]) >= abs(r) - 1e-12
        for order in itertools.permutations(range(5))
    ]
    got_r, got_p = confusion.qap(one, other)
    np.testing.assert_allclose([got_r, got_p], [r, np.mean(larger)], rtol=1e-10)


def test_p_counts_whole_relabellings_and_a_copy_is_as_alike_as_can_be():
    matrix = _matrix(2)
    start = time.monotonic()
    r, p = confusion.qap(matrix, _matrix(3))
    assert time.monotonic() - start < 20
    assert -1 <= r <= 1
    count = p * 40_320
    np.testing.assert_allclose(count, round(count), atol=1e-6)
    assert count >= 1
    r, p = confusion.qap(matrix, matrix)
    np.testing.assert_allclose([r, p], [1, 1 / 40_320], rtol=1e-9)


def test_under_the_null_five_percent_are_below_five_percent():
    below = [confusion.qap(_matrix(2 * s, 6), _matrix(2 * s + 1, 6))[1] <= 0.05 for s in range(600)]
    assert 0.03 < np.mean(below) < 0.07


def test_correlation_over_all_cells_is_high_for_any_two_decent_matrices():
    result = confusion.correlation(_matrix(4), _matrix(5))
    np.testing.assert_allclose(result["r_all"], np.corrcoef(_matrix(4).ravel(), _matrix(5).ravel())[0, 1], rtol=1e-10)
    assert result["r_all"] > 0.8
    assert abs(result["r_off_diagonal"]) < 0.5
    assert result["n"] == 56


def test_flat_errors_give_nan_and_say_so():
    flat = np.full((8, 8), 0.02) + np.eye(8) * 0.84
    result = confusion.correlation(_matrix(0), flat)
    assert np.isnan(result["r_off_diagonal"])
    assert np.isnan(result["p_qap"])
    assert result["reason"] == "flat errors: model"
    assert result["r_all"] > 0.8


def test_error_consistency_by_hand():
    one = np.asarray([1, 1, 1, 0, 0, 1, 1, 1, 0, 1], bool)
    other = np.asarray([1, 1, 0, 0, 1, 1, 1, 1, 0, 1], bool)
    result = confusion.error_consistency(one, other)
    expected = 0.7 * 0.7 + 0.3 * 0.3
    np.testing.assert_allclose(result["kappa"], (0.8 - expected) / (1 - expected))
    np.testing.assert_allclose(result["high"], 1)
    assert result["low"] <= result["kappa"] <= result["high"]
    assert confusion.error_consistency(one, one)["kappa"] == 1
    assert np.isnan(confusion.error_consistency(np.ones(4, bool), np.ones(4, bool))["kappa"])


def test_of_many_classes_relabellings_are_drawn(monkeypatch):
    one = _matrix(0, 10)
    r, p = confusion.qap(one, one)
    assert r == pytest.approx(1) and p == 1 / 40320  # no drawn relabelling of ten maps them onto themselves
    exact = confusion.qap(_matrix(0, 7), _matrix(1, 7))
    confusion._permutations.cache_clear()
    monkeypatch.setattr(confusion, "EXACT", 6)
    drawn = confusion.qap(_matrix(0, 7), _matrix(1, 7))
    confusion._permutations.cache_clear()
    assert drawn[0] == exact[0] and drawn[1] == pytest.approx(exact[1], abs=0.01)


def test_errors_teach():
    with pytest.raises(UsageError, match=r"wanted two \(n, n\) matrices, got \(8, 8\) and \(7, 7\)"):
        confusion.correlation(_matrix(0), _matrix(0, 7))
    with pytest.raises(UsageError, match=r"wanted two equally long lists"):
        confusion.error_consistency([True], [True, False])


QUARTET = Categories(("neutral", "happy", "sad", "anger"))


def _study(seed, *, people=6, per_cell=2, pictures=12, categories=QUARTET):
    """Answers (S, T, K), cells, two models' labels of pictures, and what these are."""
    random, pairs = np.random.default_rng(seed), np.asarray(categories.ordered_pairs)
    cells = np.repeat(np.arange(len(pairs)), per_cell)
    hard = random.uniform(0.05, 0.6, len(pairs))[cells]
    wrong = random.random((people, len(cells))) < hard
    given = np.eye(len(categories), dtype=int)[np.where(wrong, pairs[cells, 1], pairs[cells, 0])]
    given[0, 0] = 0  # somebody did not answer
    labels = np.repeat(np.arange(len(categories)), pictures)
    answered = random.integers(0, len(categories), (2, len(labels)))
    told = random.random(answered.shape) < 0.4
    return given, cells, dict(zip("ab", np.where(told, labels, answered), strict=True)), labels


def _r_of(given, cells, answered, labels, categories=QUARTET):
    """r off the diagonal, answer by answer."""
    people, model = np.zeros((2, len(categories), len(categories)))
    for person in given:
        for cell, counts in zip(cells, person, strict=True):
            people[categories.ordered_pairs[cell][0]] += counts
    for label, answer in zip(labels, answered, strict=True):
        model[label, answer] += 1
    off = ~np.eye(len(categories), dtype=bool)
    shares = [(m / m.sum(1, keepdims=True))[off] for m in (people, model)]
    return np.corrcoef(*shares)[0, 1]


def test_intervals_come_from_leaving_out_each_person_image_and_picture():
    given, cells, predicted, labels = _study(0)
    table, differences = confusion.compare_models(given, cells, predicted, labels, categories=QUARTET)
    variances, of_groups = dict.fromkeys("ab", 0.0), {}
    for model, answered in predicted.items():
        people = [_r_of(np.delete(given, s, 0), cells, answered, labels) for s in range(len(given))]
        images = [_r_of(np.delete(given, t, 1), np.delete(cells, t), answered, labels) for t in range(len(cells))]
        pictures = [_r_of(given, cells, np.delete(answered, n), np.delete(labels, n)) for n in range(len(labels))]
        groups = [people, *np.reshape(images, (-1, 2)), *np.reshape(pictures, (4, -1))]
        of_groups[model] = groups
        for group in groups:
            z = np.arctanh(group)
            variances[model] += (len(z) - 1) / len(z) * ((z - z.mean()) ** 2).sum()
    reach = stats.norm.ppf(0.975)
    for row in table.itertuples():
        r = _r_of(given, cells, predicted[row.model], labels)
        z, error = np.arctanh(r), np.sqrt(variances[row.model])
        wanted = [r, *np.tanh([z - reach * error, z + reach * error])]
        np.testing.assert_allclose([row.r_off_diagonal, row.ci_low, row.ci_high], wanted, rtol=1e-10)
    gaps = [np.subtract(*both) for both in zip(*of_groups.values(), strict=True)]
    error = np.sqrt(sum((len(gap) - 1) / len(gap) * ((gap - gap.mean()) ** 2).sum() for gap in gaps))
    (row,) = differences.itertuples()
    difference = np.subtract(*table["r_off_diagonal"])
    wanted = [difference, difference - reach * error, difference + reach * error]
    np.testing.assert_allclose([row.difference, row.ci_low, row.ci_high], wanted, rtol=1e-10)
    np.testing.assert_allclose(row.p, 2 * stats.norm.sf(abs(difference) / error), rtol=1e-10)


def test_the_order_of_people_images_and_pictures_does_not_matter():
    given, cells, predicted, labels = _study(1)
    random = np.random.default_rng(2)
    people, images, pictures = (random.permutation(n) for n in (len(given), len(cells), len(labels)))
    whole = confusion.compare_models(given, cells, predicted, labels, categories=QUARTET)
    again = confusion.compare_models(
        given[people][:, images], cells[images], {name: each[pictures] for name, each in predicted.items()},
        labels[pictures], categories=QUARTET,
    )  # fmt: skip
    for one, other in zip(whole, again, strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-12)


def test_a_picture_without_a_label_counts_for_its_model_alone():
    given, cells, predicted, labels = _study(5)
    lost = np.array([3, 20, 21])
    spoilt = predicted | {"a": np.where(np.isin(np.arange(len(labels)), lost), -1, predicted["a"])}
    table, _ = confusion.compare_models(given, cells, spoilt, labels, categories=QUARTET)
    whole, _ = confusion.compare_models(given, cells, predicted, labels, categories=QUARTET)
    pd.testing.assert_series_equal(table.iloc[1], whole.iloc[1])
    r = _r_of(given, cells, np.delete(predicted["a"], lost), np.delete(labels, lost))
    np.testing.assert_allclose(table["r_off_diagonal"][0], r, rtol=1e-12)
    assert table["ci_low"][0] < r < table["ci_high"][0]


def test_what_has_no_interval_says_why():
    given, cells, predicted, labels = _study(3)
    both = confusion.compare_models(given[:1], cells, predicted, labels, categories=QUARTET)
    for table in both:
        assert table[["ci_low", "ci_high"]].isna().all(axis=None)
        assert (table["reason"] == "no interval: fewer than two people").all()
    assert both[0]["r_off_diagonal"].notna().all()
    table, _ = confusion.compare_models(given[:, ::2], cells[::2], predicted, labels, categories=QUARTET)
    assert (table["reason"] == "no interval: an ordered pair of one image").all()
    few = np.flatnonzero((labels > 0) | (np.arange(len(labels)) == 0))
    one = {name: each[few] for name, each in predicted.items()}
    table, _ = confusion.compare_models(given, cells, one, labels[few], categories=QUARTET)
    assert (table["reason"] == "no interval: a category of one picture").all()
    alike = {"a": predicted["a"], "b": predicted["a"]}
    _, differences = confusion.compare_models(given, cells, alike, labels, categories=QUARTET)
    row = differences.iloc[0]
    assert (row["difference"], row["ci_low"], row["ci_high"], row["reason"]) == (0, 0, 0, "no p: both answer alike")
    assert np.isnan(row["p"])
    table, differences = confusion.compare_models(
        given, cells, {"right": labels, **predicted}, labels, categories=QUARTET
    )
    assert table["reason"].tolist() == ["flat errors: model", "", ""]
    assert differences["reason"].tolist() == ["flat errors: model"] * 2 + [""]


def test_a_foil_that_was_never_offered_leaves_no_correlation():
    given, cells, predicted, labels = _study(4)
    kept = cells != 5
    table, _ = confusion.compare_models(given[:, kept], cells[kept], predicted, labels, categories=QUARTET)
    assert table["r_off_diagonal"].isna().all()
    assert (table["reason"] == "no answers: row 1 of human").all()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"given": np.zeros((2, 3, 4), int)}, r"`given`, `cells`: wanted \(S, T, 4\) and \(T,\)"),
        ({"cells": np.full(24, 12)}, "`cells`: wanted whole numbers from 0 to 11"),
        ({"labels": np.full(48, 0.5)}, "`labels`: wanted whole numbers from 0 to 3"),
        ({"predicted": {}}, "`predicted`: wanted"),
        ({"predicted": {"a": np.zeros(3, int)}}, r"`predicted`: wanted \(48,\) of every model"),
        ({"predicted": {"a": np.full(48, -2)}}, "wanted whole numbers from -1 to 3"),
    ],
)
def test_answers_that_do_not_fit_are_refused(changed, told):
    names = ("given", "cells", "predicted", "labels")
    with pytest.raises(UsageError, match=told):
        confusion.compare_models(**{**dict(zip(names, _study(0), strict=True)), **changed}, categories=QUARTET)


def test_answers_given_add_up_to_the_confusion_of_people():
    labels, names = np.repeat(np.arange(8), 14), [f"{number:03d}" for number in range(112)]
    study = human.study.make_study(labels, names, seed=0, per_ordered_pair=2)
    people = human.observers.simulate(study, seed=0, image_px=64, participants=5, with_dropouts=False)
    given = confusion.given_answers(people, study)
    truth = study["true_label"].map(EXPRESSIONS.index_of).to_numpy()
    counts = np.stack([given[:, truth == label].sum((0, 1)) for label in range(8)])
    np.testing.assert_array_equal(counts, human.behaviour.confusion(people)[1])
    assert (given.sum(2) <= 1).all()


def _odds(random, likeness):
    """Log odds of people's errors by ordered pair, and the shares of the answers of two models that are like them."""
    base, *others = random.normal(size=(3, 8, 8))
    off, shares = ~np.eye(8, dtype=bool), []
    for like, other in zip(likeness, others, strict=True):
        weight = np.where(off, np.exp(0.8 * (like * base + np.sqrt(1 - like**2) * other)), 0)
        shares.append(0.55 * np.eye(8) + 0.45 * weight / weight.sum(1, keepdims=True))
    return (0.8 * base - 1.8)[off], shares


@pytest.mark.slow
@pytest.mark.parametrize("likeness", [(0.8, 0.3), (0.95, 0.9), (0.0, 0.0)])
def test_intervals_of_r_and_of_its_differences_hold_what_such_studies_have_on_average(likeness):
    # 22 people, 5 images an ordered pair as in the paper, 60 pictures a category. Of 500 studies each: .95 to .99 of r,
    # .95 to .98 of differences. A percentile bootstrap of people, images and pictures holds r in .58 to .99 (300
    # studies each): it adds noise, which hides likeness.
    odds, shares = _odds(np.random.default_rng(1000), likeness)
    cells, pairs = np.repeat(np.arange(56), 5), np.asarray(EXPRESSIONS.ordered_pairs)
    labels = np.repeat(np.arange(8), 60)
    found, gaps = [], []
    for seed in range(200):
        random = np.random.default_rng(seed)
        moved = odds[cells] + 0.4 * random.normal(size=(22, 1)) + 0.8 * random.normal(size=(1, 280))
        wrong = random.random(moved.shape) < special.expit(moved)
        given = np.eye(8, dtype=int)[np.where(wrong, pairs[cells, 1], pairs[cells, 0])]
        at = random.random(len(labels))  # both models find the same half of the pictures easy
        ats = at, np.where(random.random(len(labels)) < 0.5, at, random.random(len(labels)))
        predicted = {
            name: (share.cumsum(1)[labels] < where[:, None]).sum(1).clip(0, 7)
            for name, share, where in zip("ab", shares, ats, strict=True)
        }
        table, differences = confusion.compare_models(given, cells, predicted, labels)
        found.append(table[["r_off_diagonal", "ci_low", "ci_high"]].to_numpy())
        gaps.append(differences[["difference", "ci_low", "ci_high"]].to_numpy())
    for each in (np.array(found), np.array(gaps)):
        truth = each[..., 0].mean(0)
        covered = ((each[..., 1] <= truth) & (truth <= each[..., 2])).mean(0)
        assert (covered >= 0.93).all()
