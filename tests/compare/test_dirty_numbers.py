"""What people really have: gaps, constants, words for truths. A number, a NaN with its reason, or an error."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import fer_jax as fer
from fer_jax.categories import DROP
from fer_jax.compare import confusion, decisions, dice, effects, face_cells, gaze, intervals, localisation, statistics
from fer_jax.errors import UsageError
from fer_jax.human import behaviour


def _counts(seed=0, n=8):
    return np.random.default_rng(seed).integers(1, 20, (n, n)) + 40 * np.eye(n, dtype=int)


def test_an_expression_never_shown_has_no_correlation_and_says_so():
    counts = _counts()
    counts[4] = 0
    human, model = confusion.shares(counts), confusion.shares(_counts(1))
    assert np.isnan(human[4]).all()
    np.testing.assert_allclose(np.delete(human, 4, 0).sum(1), 1)
    r, p = confusion.qap(human, model)
    assert math.isnan(r)
    assert math.isnan(p)  # was 0
    found = confusion.correlation(human, model)
    assert all(math.isnan(found[name]) for name in ("r_all", "r_off_diagonal", "spearman_off_diagonal", "p_qap"))
    assert (found["n"], found["reason"]) == (49, "no answers: row 4 of human")
    assert confusion.correlation(model, human)["reason"] == "no answers: row 4 of model"
    # Without the label in both, the others compare.
    kept = np.delete(np.arange(8), 4)
    assert 0 < confusion.qap(human[np.ix_(kept, kept)], model[np.ix_(kept, kept)])[1] <= 1


def test_errors_that_differ_by_rounding_are_flat():
    flat = np.full((6, 6), 0.1 + 0.2) + np.eye(6)
    flat[0, 1] = 0.3  # 0.1 + 0.2 is 0.30000000000000004
    found = confusion.correlation(flat, confusion.shares(_counts(2, 6)))
    assert math.isnan(found["r_off_diagonal"])
    assert math.isnan(found["spearman_off_diagonal"])
    assert found["reason"] == "flat errors: human"


@pytest.mark.parametrize(
    ("matrix", "told"),
    [
        (np.full((3, 3), np.inf), "infinity"),
        ([["a", "b"], ["c", "d"]], "matrix of numbers"),
        (np.ones((1, 1)), "wanted 2 classes or more"),
        (np.ones(4), r"matrix \(n, n\), got \(4,\)"),
    ],
)
def test_matrices_that_are_none(matrix, told):
    with pytest.raises(UsageError, match=told):
        confusion.qap(matrix, matrix)


def test_shares_refuse_what_are_no_counts():
    for counts in (-np.eye(3), np.full((3, 3), np.nan)):
        with pytest.raises(UsageError, match="`counts`: wanted numbers from 0"):
            confusion.shares(counts)


MISSING = [None, float("nan"), pd.NA]


@pytest.mark.parametrize("missing", MISSING)
def test_an_answer_that_is_missing_is_neither_right_nor_wrong(missing):
    one, other = [True, False, True, True, missing], [True, False, False, True, True]
    found = confusion.error_consistency(one, other)
    assert (found["n"], found["missing"], found["reason"]) == (4, 1, "")
    expected = confusion.error_consistency(one[:4], other[:4])
    assert found["kappa"] == expected["kappa"] == pytest.approx(0.5)  # agreement .75, by chance .5
    nobody = confusion.error_consistency([missing] * 3, other[:3])
    assert math.isnan(nobody["kappa"])
    assert (nobody["n"], nobody["reason"]) == (0, "no image that both answered")


@pytest.mark.parametrize("word", ["False", "true", "", 2, 0.5, -1])
def test_what_says_neither_right_nor_wrong_is_refused(word):
    with pytest.raises(UsageError, match=r"`other`: wanted True or False .* got"):
        confusion.error_consistency([True, False], [True, word])


def test_numbers_and_nullable_booleans_are_answers():
    one, other = np.array([1, 0, 1, 1]), np.array([1, 0, 0, 1])
    expected = confusion.error_consistency(one.astype(bool), other.astype(bool))
    for kind in ("boolean", "Int64", "float64"):
        assert confusion.error_consistency(pd.Series(one).astype(kind), pd.array(other, dtype=kind)) == expected


def test_consistency_of_few_images():
    always = confusion.error_consistency([True] * 4, [True] * 4)
    assert always["reason"] == "both always right, or both always wrong"
    opposite = confusion.error_consistency([True, False], [False, True])
    assert opposite["kappa"] == -1
    assert math.isnan(opposite["unbiased"])  # was -inf
    alone = confusion.error_consistency([True], [False])
    assert alone["kappa"] == 0
    assert math.isnan(alone["unbiased"])


CONSTANT = {"a": np.full(28, 0.1), "b": np.full(28, 0.3), "c": np.full(28, 0.7)}


@pytest.mark.parametrize("design", ["between", "repeated"])
def test_groups_that_do_not_vary_have_no_f(design):
    found = statistics.anova(CONSTANT, design=design)
    assert math.isnan(found["F"])  # was 1e33
    assert math.isnan(found["p"])
    assert found["reason"] == "nothing varies but the group means: the error term is zero"
    assert found["eta2"] == 1
    same = statistics.anova({name: np.full(28, 0.1) for name in "abc"}, design=design)
    assert math.isnan(same["F"])
    assert math.isnan(same["eta2"])
    assert same["reason"] == "all values are equal"


def test_small_but_true_spread_counts():
    random = np.random.default_rng(0)
    groups = {name: 0.5 + 1e-9 * random.normal(shift, 1, 12) for name, shift in (("a", 0), ("b", 1), ("c", 0))}
    expected = stats.f_oneway(*groups.values())
    np.testing.assert_allclose(statistics.anova(groups)["F"], expected.statistic, rtol=1e-6)
    assert statistics.anova(groups)["reason"] == ""


def test_nothing_follows_from_groups_that_do_not_vary():
    tukey = statistics.tukey(CONSTANT)
    assert tukey[["t", "p", "d"]].isna().all(axis=None)
    np.testing.assert_allclose(tukey["difference"], [-0.2, -0.6, -0.4])
    assert tukey["reason"].str.contains("error term").all()
    contrasts = statistics.contrasts(CONSTANT, seed=0, resamples=20)
    assert contrasts[["p", "p_holm"]].isna().all(axis=None)
    equal = statistics.friedman({name: np.arange(5.0) for name in "abc"})
    assert math.isnan(equal["chi2"])
    assert equal["reason"] == "no unit differs between groups"


def test_a_shift_of_all_units_alike_has_no_t():
    values = np.random.default_rng(1).random(20)
    row = statistics.contrasts({"a": values + 0.1, "b": values}, seed=0, resamples=20).iloc[0]
    assert math.isnan(row["p"])  # the differences vary by rounding only
    assert row["difference"] == pytest.approx(0.1)


def test_groups_of_other_shapes_are_refused():
    with pytest.raises(UsageError, match="wanted numbers"):
        statistics.anova({"a": ["x", "y"], "b": [1, 2]})
    with pytest.raises(UsageError, match="lists of numbers"):
        statistics.anova({"a": np.ones((2, 2)), "b": np.ones((2, 2))})
    with pytest.raises(UsageError, match=r"p values in \[0, 1\], or NaN, got 3"):
        statistics.holm([0.5, 3])


def test_one_pair_has_a_difference_but_no_interval():
    table = pd.DataFrame({"method": ["a", "b"], "pair": 0, "picture": 0, "auc": [0.9, 0.6]})
    row = localisation.contrasts(table, [("a", "b")], seed=0, scores=["auc"]).iloc[0]
    assert row["difference"] == pytest.approx(0.3)
    assert row[["ci_low", "ci_high", "p"]].isna().all()
    mean = localisation.summarise(table, seed=0, scores=["auc"])
    assert mean[["ci_low", "ci_high"]].isna().all(axis=None)
    with pytest.raises(UsageError, match="finite numbers"):
        localisation.per_pair(table.assign(auc=[0.9, np.inf]), scores=["auc"])


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32])
def test_masks_of_numbers_are_refused(kind):
    mask = np.eye(4, dtype=bool)
    with pytest.raises(UsageError, match="wanted a boolean mask"):
        dice.dice(255 * mask.astype(kind), mask)  # int masks 255 and 2 gave 0
    with pytest.raises(UsageError, match="masks of one size"):
        dice.dice(mask, np.eye(5, dtype=bool))


def test_one_bad_pixel_costs_its_own_image_only():
    random = np.random.default_rng(0)
    human, model = random.random((2, 12, 8, 9))
    pairs = np.repeat([0, 1, 2], 4)
    whole, base = dice.dice_per_pair(human, model, pairs), dice.baselines(human, pairs)
    spoilt = human.copy()
    spoilt[0, 3, 3] = np.nan
    table = dice.dice_per_pair(spoilt, model, pairs)
    assert table["n_images"].tolist() == [3, 4, 4]
    assert table["n_missing"].tolist() == [1, 0, 0]
    pd.testing.assert_frame_equal(table[1:], whole[1:])
    rest = dice.dice_per_pair(human[1:], model[1:], pairs[1:])
    assert table["dice"][0] == rest["dice"][0]
    found = dice.baselines(spoilt, pairs)
    pd.testing.assert_frame_equal(found, dice.baselines(human[1:], pairs[1:]))
    assert (found["n"] == 3).all()  # were 0
    assert (found["baseline"] == base["baseline"]).all()
    # The model's bad pixel costs the same image.
    model[0, 0, 0] = np.inf
    pd.testing.assert_frame_equal(dice.dice_per_pair(human, model, pairs), table)


def test_a_pair_without_maps_says_why():
    human, model = np.random.default_rng(0).random((2, 6, 5, 5))
    pairs = np.repeat([0, 1, 2], 2)
    human[:2], model[2:4], human[4], model[5] = np.nan, np.nan, np.nan, np.nan
    table = dice.dice_per_pair(human, model, pairs)
    assert table["reason"].tolist() == ["no human map", "no model map", "no image with both maps"]
    assert table[["dice", "area_human", "chance", "corrected"]].isna().all(axis=None)
    assert dice.baselines(np.full((3, 5, 5), np.nan), np.zeros(3, int))["dice"].isna().all()
    assert dice.dice_grid(human, model, pairs)["n"].eq(0).all()


def test_other_pairs_leave_no_rounding_behind():
    human = np.zeros((4, 6, 6))
    human[:2] = np.random.default_rng(0).random((2, 6, 6)) * 0.1  # the other pair's maps are empty
    base = dice.baselines(human, np.repeat([0, 1], 2)).set_index("baseline")
    # Of the two pairs one has no human map that varies, the other no map of other pairs: nothing to compare.
    assert base.loc["other pairs", "n"] == 0
    assert math.isnan(base.loc["other pairs", "dice"])


def test_maps_and_pairs_of_other_kinds():
    maps = np.zeros((2, 3, 3))
    with pytest.raises(UsageError, match=r"wanted whole numbers \(2,\)"):
        dice.dice_per_pair(maps, maps, np.array([0.5, 1]))
    with pytest.raises(UsageError, match="at least one"):
        dice.baselines(np.zeros((0, 3, 3)), np.zeros(0, int))
    with pytest.raises(UsageError, match="maps of numbers"):
        dice.binary_maps(np.full((1, 2, 2), "x"))


def test_a_map_whose_sum_is_negative_is_not_turned_upside_down():
    evidence = np.random.default_rng(0).normal(-1, 1, (3, 6, 6))  # a CAM of images against the class
    evidence[2] = np.abs(evidence[2])
    scaled = dice.unit_means(evidence, np.arange(3), per_image="sum")
    np.testing.assert_allclose(scaled.sum((1, 2)), 1)
    for before, after in zip(evidence, scaled, strict=True):
        np.testing.assert_array_equal(np.argsort(before, axis=None), np.argsort(after, axis=None))  # was reversed
    np.testing.assert_allclose(scaled[2], evidence[2] / evidence[2].sum())
    table = dice.dice_per_pair(evidence, evidence + 5, np.zeros(3, int), dice.DiceOptions(per_image="sum"))
    assert table["dice"].notna().all()


def _members(spoilt=()):
    random = np.random.default_rng(0)
    labels = np.arange(24) % 3
    logits = random.normal(size=(3, 24, 2)) + 2 * np.eye(2)[(labels == np.array([[1], [2], [2]])).astype(int)]
    logits[:, list(spoilt)] = np.nan
    return logits.astype(np.float32), labels


@pytest.mark.parametrize("make", ["ensemble_decisions", "all_member_decisions", "multiclass_decisions"])
def test_logits_that_are_not_finite_decide_nothing(make):
    lost = [2, 5, 11]
    rest = np.delete(np.arange(24), lost)
    half = np.arange(24) % 2 == 0

    def made(logits, labels, half):
        if make == "all_member_decisions":
            return decisions.all_member_decisions(logits, [0, 1, 2])
        if make == "multiclass_decisions":
            return decisions.multiclass_decisions(np.concatenate(logits[:2], -1)[:, :3], labels, half)
        return decisions.ensemble_decisions(logits, labels, half)

    logits, labels = _members(lost)
    found, wanted = made(logits, labels, half), made(logits[:, rest], labels[rest], half[rest])
    for rule, each in found.items():
        assert (each.predicted[lost] == DROP).all()  # was the first label
        np.testing.assert_array_equal(each.predicted[rest], wanted[rule].predicted)
    three = fer.Categories(("neutral", "happy", "sad"))
    rule = next(iter(found))
    one, other = (
        decisions.score({"simple_vote": decisions.Decisions(each[rule].predicted, None)}, truth, resamples=5, seed=0,
                        categories=three)
        for each, truth in ((found, labels), (wanted, labels[rest]))
    )  # fmt: skip
    columns = ["rule", "measure", "value", "n"]
    pd.testing.assert_frame_equal(one[columns], other[columns])


def test_members_count_the_pictures_that_they_answer():
    lost = [2, 5, 11]
    rest = np.delete(np.arange(24), lost)
    logits, labels = _members(lost)
    found = decisions.member_accuracy(logits, labels)
    np.testing.assert_array_equal(found, decisions.member_accuracy(logits[:, rest], labels[rest]))
    assert np.isnan(decisions.member_accuracy(np.full_like(logits, np.nan), labels)).all()  # was about .5
    three, half = fer.Categories(("neutral", "happy", "sad")), np.arange(24) % 2 == 0
    table = decisions.member_table(logits, labels, half, three)
    pd.testing.assert_frame_equal(
        table, decisions.member_table(logits[:, rest], labels[rest], half[rest], three), rtol=1e-5
    )


@pytest.mark.parametrize("label", [-2, 3])
def test_decisions_outside_the_categories_are_refused(label):
    three = fer.Categories(("neutral", "happy", "sad"))
    rules = {"simple_vote": decisions.Decisions(np.array([0, 1, label]), None)}
    with pytest.raises(UsageError, match="`simple_vote`: wanted labels"):  # counted as another label's
        decisions.score(rules, np.array([0, 1, 2]), resamples=5, seed=0, categories=three)


def test_a_fit_of_a_number_that_is_missing_is_missing():
    limit, half = gaze.fit_reliability(np.array([1, 2, 4]), np.array([[0.5, np.nan, 0.7], [0.5, 0.6, 0.7]]))
    assert np.isnan([limit[0], half[0]]).all()  # half was .001
    assert np.isfinite([limit[1], half[1]]).all()
    assert np.isnan(gaze.people_needed(np.array([-0.2, 0.0]), np.array([2.0, 2.0]), 0.1)).all()  # was 1


SILENT = [
    (lambda: gaze.people_needed(np.array([0.5]), np.array([2.0]), 0), "`tolerance`"),
    (lambda: localisation.chance(1.5), "`region_share`"),
    (lambda: face_cells.agreement(np.arange(9.0), np.arange(9.0), top=2), "`top`"),
    (lambda: dice.DiceOptions(threshold=300), "`threshold`"),
    (lambda: effects.share_of_variance(2.0, 2, 9, observations=0), "`observations`"),
    (lambda: statistics.category_effect({"a": np.arange(6.0)}, ["x", None, "x", "y", "y", "y"]), "none of 1"),
    (lambda: statistics.category_effect({"a": np.arange(4.0)}, [0, np.nan, 0, 1], effect="oneway"), "none of 1"),
    (lambda: behaviour.forced_pairs(-np.eye(8)), "`counts`"),
    (lambda: behaviour.forced_pairs(np.full((8, 8), 0.5)), "`counts`"),
    (lambda: behaviour.forced_pairs(np.zeros((3, 3))), "`counts`"),
    (
        lambda: intervals.crossed_means(np.array([[np.inf]]), np.array([0]), np.ones((1, 1)), np.ones((1, 1))),
        "got infinity",
    ),
]


@pytest.mark.parametrize("place", range(len(SILENT)))
def test_what_gave_a_number_silently_is_refused(place):
    call, told = SILENT[place]
    with pytest.raises(UsageError, match=told):
        call()
