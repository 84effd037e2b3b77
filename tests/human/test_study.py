import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_jax import human
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS


def pool(each):
    labels = np.repeat(np.arange(8), each)
    return labels, np.array([f"{i}.png" for i in range(len(labels))])


@settings(max_examples=12, deadline=None)
@given(each=st.integers(1, 4), spare=st.integers(0, 9), seed=st.integers(0, 2**32))
def test_every_ordered_pair_is_shown_equally_often(each, spare, seed):
    labels, images = pool(7 * each + spare)
    shuffle = np.random.default_rng(seed).permutation(len(labels))
    table = human.study.make_study(labels[shuffle], images[shuffle], seed=seed, per_ordered_pair=each)
    counts = table.groupby(["true_label", "false_label"]).size()
    assert len(table) == 56 * each
    assert len(counts) == 56
    assert set(counts) == {each}
    assert table["image"].is_unique
    truth = dict(zip(images[shuffle], labels[shuffle], strict=True))
    assert all(EXPRESSIONS[truth[i]] == label for i, label in zip(table["image"], table["true_label"], strict=True))
    assert human.study.check_study(table, each) == each == human.study.check_study(table)


def test_the_seed_decides_and_another_expressions_images_do_not():
    labels, images = pool(40)
    first = human.study.make_study(labels, images, seed=3)
    pd.testing.assert_frame_equal(first, human.study.make_study(labels, images, seed=3))
    assert not first.equals(human.study.make_study(labels, images, seed=4))
    more = human.study.make_study(np.append(labels, [7] * 9), np.append(images, [f"x{i}" for i in range(9)]), seed=3)
    pd.testing.assert_frame_equal(more[more["true_label"] != "contempt"], first[first["true_label"] != "contempt"])


def test_expressions_are_drawn_independently():
    labels, images = pool(50)
    table = human.study.make_study(labels, images, seed=0)
    drawn = {tuple(int(name[:-4]) % 50 for name in own) for _, own in table.groupby("true_label")["image"]}
    assert len(drawn) == 8


@pytest.mark.parametrize(("rarest", "share", "expected"), [(95, 0.6, 5), (26, 0.6, 2), (35, 1.0, 5), (12, 0.6, 1)])
def test_the_largest_balanced_study_leaves_images_for_evaluation(rarest, share, expected):
    labels = np.concatenate([np.repeat(np.arange(7), 200), np.repeat(7, rarest)])
    assert human.study.largest_balanced(labels, max_share=share) == expected
    human.study.make_study(labels, [str(i) for i in range(len(labels))], seed=0, per_ordered_pair=expected)


def test_a_pool_without_enough_names_the_expression():
    labels = np.concatenate([np.repeat(np.arange(7), 200), np.repeat(7, 9)])
    with pytest.raises(DataError, match="got 9 of contempt"):
        human.study.largest_balanced(labels)
    with pytest.raises(DataError, match="wanted 35 images of each category"):
        human.study.make_study(labels, [str(i) for i in range(len(labels))], seed=0)
    with pytest.raises(DataError, match="different names"):
        human.study.make_study(labels, ["a"] * len(labels), seed=0)
    with pytest.raises(DataError, match=r"wanted 0\.\.7"):
        human.study.make_study(labels + 1, [str(i) for i in range(len(labels))], seed=0)
    with pytest.raises(UsageError, match="max_share"):
        human.study.largest_balanced(labels, max_share=0)


def test_check_study_finds_each_fault(small_study):
    def broken(**cells):
        table = small_study.copy()
        for column, value in cells.items():
            table.loc[5, column] = value
        return table

    with pytest.raises(DataError, match="row 5: wanted the name of a category"):
        human.study.check_study(broken(true_label=" "))
    with pytest.raises(DataError, match="row 5: wanted a foil"):
        human.study.check_study(broken(false_label=small_study["true_label"][5]))
    with pytest.raises(DataError, match="more than once"):
        human.study.check_study(broken(image=small_study["image"][0]))
    with pytest.raises(DataError, match=r"wanted every ordered pair 1 times, got [02]"):
        human.study.check_study(broken(false_label=small_study["false_label"][4]))
    with pytest.raises(DataError, match="none named false_label"):
        human.study.check_study(small_study.drop(columns="false_label"))
    with pytest.raises(DataError, match="wanted every ordered pair 5 times"):
        human.study.check_study(small_study, human.study.PER_ORDERED_PAIR)
    with pytest.raises(DataError, match="at least one image"):
        human.study.check_study(small_study[:0])


def test_a_study_of_two_expressions_passes():
    table = pd.DataFrame(
        {"image": list("abcd"), "true_label": ["fear", "fear", "sad", "sad"], "false_label": ["sad"] * 2 + ["fear"] * 2}
    )
    assert human.study.check_study(table) == 2
    with pytest.raises(DataError, match="ordered pair"):
        human.study.check_study(table[:2])


def test_files_are_decoded(tmp_path):
    table = pd.DataFrame({"image": ["a.png", "b.png"], "true_label": ["fear", "sad"], "false_label": ["sad", "fear"]})
    for name in table["image"]:
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    assert human.study.check_study(table, folder=tmp_path) == 1
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.png"):
        human.study.check_study(table, folder=tmp_path)


def test_positions(small_study):
    shuffled = small_study.sample(frac=1, random_state=0)
    rows = human.study.positions(small_study, shuffled["image"])
    assert (rows == shuffled.index).all()
    assert human.study.positions(small_study, pd.Series(["nowhere.png"])).tolist() == [-1]


def test_a_study_table_is_had_back_from_its_trials(small_cohort, small_study):
    mixed = small_cohort.trials.sample(frac=1, random_state=0)
    found = human.study.from_trials(mixed)
    assert sorted(map(tuple, found.to_numpy())) == sorted(map(tuple, small_study.to_numpy()))
    pd.testing.assert_frame_equal(found, human.study.from_trials(small_cohort.trials))
    assert human.study.from_trials(mixed.assign(false_label=None)).empty


def test_an_image_with_two_foils_is_no_study(small_cohort):
    first = small_cohort.trials.iloc[[0]].assign(participant="other", false_label="something else")
    with pytest.raises(DataError, match="wanted every image once"):
        human.study.from_trials(pd.concat([small_cohort.trials, first]))
