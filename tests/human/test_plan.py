import pytest

from fer_jax import human
from fer_jax.errors import UsageError


def test_everybody_sees_every_image_once_in_four_blocks_of_seventy(study):
    first, second = (human.plan.draw_plan(study, participant=p, seed=0) for p in (0, 1))
    for plan in (first, second):
        assert sorted(plan["image"]) == sorted(study["image"])
        assert plan["trial"].tolist() == list(range(1, 281))
        assert plan.groupby("block").size().tolist() == [70] * 4
        assert (plan.groupby("block")["trial_in_block"].max() == 70).all()
        foil = study.set_index("image")["false_label"]
        assert (foil[plan["image"]].to_numpy() == plan["false_label"].to_numpy()).all()
    assert first["image"].tolist() != second["image"].tolist()
    assert first.equals(human.plan.draw_plan(study, participant=0, seed=0))
    assert not first.equals(human.plan.draw_plan(study, participant=0, seed=1))


def test_sides(study):
    def left_is_true(side):
        plan = human.plan.draw_plan(study, participant=2, seed=0, side=side)
        pairs = plan[["left_label", "right_label"]].to_numpy()
        assert all({*row} == {t, f} for row, t, f in zip(pairs, plan["true_label"], plan["false_label"], strict=True))
        return (plan["left_label"] == plan["true_label"]).groupby(plan["block"]).sum()

    assert left_is_true("balanced").tolist() == [35] * 4
    assert 100 < left_is_true("random").sum() < 180
    assert left_is_true("fixed").sum() == 140  # each of 28 pairs in both directions
    plan = human.plan.draw_plan(study, participant=2, seed=0, side="fixed")
    assert not (set(zip(plan["left_label"], plan["right_label"], strict=True)) & {("happy", "neutral")})


def test_sides_of_odd_blocks_differ_by_one(small_study):
    plan = human.plan.draw_plan(small_study, participant=0, seed=0, blocks=5)
    assert plan.groupby("block").size().tolist() == [12, 11, 11, 11, 11]
    left = (plan["left_label"] == plan["true_label"]).groupby(plan["block"]).sum()
    assert left[1] == 6
    assert set(left[2:]) <= {5, 6}


@pytest.mark.parametrize("blocks", [3, 4, 7])
def test_stratified_blocks_hold_expressions_evenly(study, blocks):
    plan = human.plan.draw_plan(study, participant=0, seed=0, blocks=blocks, order="stratified")
    counts = plan.groupby(["block", "true_label"]).size().unstack()
    assert (counts.max() - counts.min() <= 1).all()
    assert sorted(plan["image"]) == sorted(study["image"])


def test_unknown_options(study):
    for wrong in ({"order": "sorted"}, {"side": "left"}, {"blocks": 0}):
        with pytest.raises(UsageError, match=f"`{next(iter(wrong))}`"):
            human.plan.draw_plan(study, participant=0, seed=0, **wrong)
