"""The regions of first and last clicks, on points whose region is known."""

import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.human import regions
from fer_jax.human.columns import typed
from fer_jax.human.observers.regions import region_centres

STUDY = pd.DataFrame({"image": ["a", "b"], "true_label": ["happy", "sad"], "false_label": ["sad", "happy"]})


def clicked(points, **columns):
    """One answer to image a with these clicks."""
    n = len(points)
    answer = {"participant": "P1", "trial": 1, "image": "a", "true_label": "happy", "false_label": "sad"}
    trials = typed("trials", pd.DataFrame([{**answer, "response": "happy", "n_clicks": n}]))
    x, y = np.reshape(points, (-1, 2)).T
    places = {"participant": ["P1"] * n, "trial": [1] * n, "click": range(1, n + 1), "x_px": x, "y_px": y}
    clicks = typed("clicks", {**places, "inside": [True] * n, "chosen": [True] * n, **columns})
    return human.Trials(typed("participants", {"participant": ["P1"]}), trials, clicks, typed("events", {}))


def test_a_click_on_a_centre_belongs_to_its_region():
    centres, _ = region_centres(1, image_px=100)
    found = regions.first_and_last(clicked(centres[0]), STUDY, image_px=100)
    assert found[["first", "last"]].to_numpy().tolist() == [[regions.REGIONS[0], regions.REGIONS[-1]]]
    assert found["accuracy"].tolist() == [1]


def test_a_single_click_is_first_and_last_and_a_far_one_is_elsewhere():
    found = regions.first_and_last(clicked([(0.0, 0.0)]), STUDY, image_px=100)
    assert found[["first", "last"]].to_numpy().tolist() == [["elsewhere", "elsewhere"]]


def test_landmarks_move_the_regions():
    landmarks = np.random.default_rng(0).uniform(20, 80, (2, 68, 2))
    centres, _ = region_centres(2, image_px=100, landmarks=landmarks)
    found = regions.first_and_last(clicked([centres[0, 2], centres[0, 0]]), STUDY, image_px=100, landmarks=landmarks)
    assert found[["first", "last"]].to_numpy().tolist() == [["mouth", "eye_left"]]


@pytest.mark.parametrize("columns", [{"chosen": [False] * 2}, {"inside": [False] * 2}, {"chosen": [None] * 2}])
def test_what_no_person_opened_has_no_region(columns):
    found = regions.first_and_last(clicked([(50.0, 50.0)] * 2, **columns), STUDY, image_px=100)
    assert found.empty
    assert regions.image_shares(found, "first").empty


def test_shares_of_an_image_sum_to_1(small_cohort, small_study):
    ends = regions.first_and_last(small_cohort, small_study, image_px=64)
    for which in ("first", "last"):
        shares = regions.image_shares(ends, which)
        assert shares.columns.tolist() == list(regions.NAMES)
        np.testing.assert_allclose(shares.sum(axis=1), 1)
