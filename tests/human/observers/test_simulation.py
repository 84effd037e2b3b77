import dataclasses

import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.errors import DataError, UsageError
from fer_jax.human import observers
from fer_jax.human.observers import regions

SEEDS = range(5)


def region_of(clicks, image_px=224):
    centres, _ = regions.region_centres(1, image_px=image_px)
    points = clicks[["x_px", "y_px"]].to_numpy()
    return np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)


@pytest.fixture(scope="module")
def cohorts():
    """Five studies, each with its 22 people who are analysed."""
    found = []
    for seed in SEEDS:
        labels = np.repeat(np.arange(8), 35)
        study = human.study.make_study(labels, [f"{i}.png" for i in range(280)], seed=seed)
        kept, exclusions = human.exclusion.exclude(observers.simulate(study, seed=seed, image_px=224), n_expected=280)
        assert exclusions["reason"].tolist() == ["incomplete", "outlier"]
        assert exclusions["participant"].tolist() == ["P24", "P23"]
        found.append((study, kept))
    return found


def test_the_mean_over_seeds_meets_the_papers_figures(cohorts):
    rows = []
    for study, kept in cohorts:
        found = human.behaviour.correlations(human.behaviour.pair_table(kept, study))
        correlations = [found["r_clicks_time"], found["r_clicks_accuracy"], found["r_time_accuracy"]]
        rows.append([kept.trials["correct"].mean(), *correlations])
    deviation = np.abs(np.mean(rows, 0) - [0.839, 0.93, -0.56, -0.65])
    assert (deviation <= [0.01, 0.03, 0.08, 0.08]).all()


def test_the_papers_confusions_are_among_the_eight_most_frequent(cohorts):
    accuracy = np.mean([human.behaviour.pair_table(kept, study)["accuracy"] for study, kept in cohorts], 0)
    table = human.behaviour.pair_table(cohorts[0][1], cohorts[0][0]).assign(accuracy=accuracy)
    worst = table.nsmallest(8, "accuracy")
    found = set(zip(worst["true_label"], worst["false_label"], strict=True))
    assert {("contempt", "neutral"), ("fear", "surprise"), ("anger", "disgust"), ("disgust", "contempt")} <= found


def test_people_look_at_the_left_eye_then_the_right_then_the_mouth_and_come_back_when_unsure(cohorts):
    gaps = []
    for study, kept in cohorts:
        region = region_of(kept.clicks)
        order = [np.bincount(region[kept.clicks["click"] == k], minlength=8).argmax() for k in (1, 2, 3)]
        assert order == [regions.EYE_LEFT, regions.EYE_RIGHT, regions.MOUTH]
        accuracy = human.behaviour.image_table(kept, study).set_index("image")["accuracy"]
        assert accuracy.max() == 1
        assert accuracy.min() <= 0.32
        last = kept.clicks.assign(left=region == regions.EYE_LEFT).groupby(["participant", "trial"]).tail(1)
        of_image = accuracy[last["image"]].to_numpy()
        gaps.append(last["left"][of_image < 0.6].mean() - last["left"][of_image > 0.95].mean())
    assert np.mean(gaps) >= 0.10


def test_rows_are_consistent(study, cohort):
    trials, clicks = cohort.trials, cohort.clicks
    assert trials["simulated"].all()
    assert cohort.participants["simulated"].all()
    assert (clicks["pointer_type"] == "simulated").all()
    assert len(trials) == 23 * 280 + 210
    assert cohort.participants["n_trials"].tolist() == [280] * 23 + [210]
    assert ((trials["response"] == trials["true_label"]) == trials["correct"]).all()
    assert ((trials["response"] == trials["left_label"]) | (trials["response"] == trials["right_label"])).all()
    assert trials["n_clicks"].between(2, 20).all()
    assert clicks[["x_px", "y_px"]].min().min() >= 0
    assert clicks[["x_px", "y_px"]].max().max() < 224
    grouped = clicks.groupby(["participant", "trial"])
    joined = trials.set_index(["participant", "trial"])
    assert (grouped.size() == joined["n_clicks"]).all()
    assert (grouped["t_ms"].first() == joined["rt_first_click_ms"]).all()
    assert (grouped["t_ms"].last() < joined["rt_total_ms"]).all()
    assert (grouped["t_ms"].diff().dropna() > 0).all()
    assert np.allclose(trials["rt_total_ms"] - trials["rt_first_click_ms"], trials["rt_decision_ms"], atol=0.01)
    foil = study.set_index("image")["false_label"]
    assert (foil[trials["image"]].to_numpy() == trials["false_label"].to_numpy()).all()
    assert trials[["image_px", "reveal_radius_px", "blur_k"]].drop_duplicates().to_numpy().tolist() == [[224, 20, 70]]


def test_a_person_is_the_same_in_a_cohort_of_any_size(small_study):
    few, many = (
        observers.simulate(small_study, seed=2, image_px=64, participants=n, with_dropouts=False) for n in (2, 5)
    )
    people = ["P01", "P02"]
    for table in ("participants", "trials", "clicks"):
        pd.testing.assert_frame_equal(getattr(few, table), getattr(many.of(people), table))
    other = observers.simulate(small_study, seed=3, image_px=64, participants=2, with_dropouts=False)
    assert not other.clicks.equals(few.clicks)


def test_profiles_look_where_their_name_says(small_study):
    def shares(profile, **options):
        found = observers.simulate(
            small_study, seed=0, image_px=224, participants=8, with_dropouts=False, profile=profile, **options
        )
        return np.bincount(region_of(found.clicks), minlength=8) / len(found.clicks), found

    typical, _ = shares("typical")
    eyes, _ = shares("eye_biased")
    mouth, _ = shares("mouth_biased")
    assert eyes[:2].sum() > typical[:2].sum() + 0.1
    assert mouth[regions.MOUTH] > typical[regions.MOUTH] + 0.1
    _, anywhere = shares("random")
    assert anywhere.clicks["x_px"].mean() == pytest.approx(112, abs=4)
    assert anywhere.clicks["x_px"].std() == pytest.approx(224 / 12**0.5, rel=0.05)
    _, centre = shares("centre")
    assert centre.clicks["y_px"].std() == pytest.approx(0.15 * 224, rel=0.05)
    only_chin = np.tile(np.eye(8)[regions.CHIN] + 1e-3, (len(small_study), 1))
    chin, _ = shares("oracle", evidence=only_chin)
    assert chin.argmax() == regions.CHIN


def test_clicks_follow_the_landmarks(small_study):
    unmoved = np.full((len(small_study), 68, 2), 0.0)
    unmoved[:, 36:42], unmoved[:, 42:48] = (20, 30), (40, 30)
    unmoved[:, 17:27] = unmoved[:, 27:36] = (30, 40)
    unmoved[:, 48:60] = unmoved[:, 8] = (30, 55)
    options = {"seed": 0, "image_px": 200, "participants": 3, "with_dropouts": False}
    here = observers.simulate(small_study, landmarks=unmoved, **options)
    there = observers.simulate(small_study, landmarks=unmoved + np.array([80, 60]), **options)
    inside = (here.clicks["x_px"] > 0) & (here.clicks["y_px"] > 0)
    pd.testing.assert_series_equal(here.clicks["x_px"][inside] + 80, there.clicks["x_px"][inside])
    pd.testing.assert_series_equal(here.clicks["y_px"][inside] + 60, there.clicks["y_px"][inside])
    assert inside.mean() > 0.95


def test_threshold_and_gain_can_be_told_from_behaviour(study):
    dynamics = observers.Dynamics(threshold_spread=0.4, gain_spread=0.4, noise_spread=0)

    def people(seed):
        found = observers.simulate(
            study, seed=seed, image_px=64, participants=50, with_dropouts=False, dynamics=dynamics
        )
        seen = human.behaviour.person_table(found)
        clicks, accuracy = np.log(seen["clicks"].to_numpy()), seen["accuracy"].to_numpy()
        features = np.column_stack([np.ones(50), clicks, accuracy, clicks**2, clicks * accuracy, accuracy**2])
        drawn = [observers.draw_observer(seed, person, dynamics) for person in range(50)]
        return features, np.log([(one.threshold, one.gain) for one in drawn])

    (features, truth), (new_features, new_truth) = people(1), people(2)
    recovered = new_features @ np.linalg.lstsq(features, truth, rcond=None)[0]
    assert np.corrcoef(recovered[:, 0], new_truth[:, 0])[0, 1] >= 0.9
    assert np.corrcoef(recovered[:, 1], new_truth[:, 1])[0, 1] >= 0.9


def test_dynamics_do_what_they_say(small_study):
    def simulated(**changes):
        dynamics = dataclasses.replace(observers.Dynamics(), **changes)
        found = observers.simulate(
            small_study, seed=0, image_px=64, participants=8, with_dropouts=False, dynamics=dynamics
        )
        return found.trials[["correct", "n_clicks", "rt_decision_ms"]].astype(float).mean()

    usual = simulated()
    assert simulated(threshold=4.0)["n_clicks"] > usual["n_clicks"] + 1
    assert simulated(gain=0.8)["correct"] > usual["correct"]
    assert simulated(lapse=1.0)["correct"] == pytest.approx(0.5, abs=0.07)
    assert simulated(click_s=1.5)["rt_decision_ms"] > 1.5 * usual["rt_decision_ms"]


def test_bad_arguments(small_study):
    def simulate(**options):
        return observers.simulate(small_study, **{"seed": 0, "image_px": 64, "participants": 3} | options)

    with pytest.raises(UsageError, match="wanted one of typical, eye_biased"):
        simulate(profile="sleepy")
    with pytest.raises(UsageError, match="`with_dropouts`"):
        simulate(participants=2)
    with pytest.raises(UsageError, match="`image_px`"):
        simulate(image_px=0)
    with pytest.raises(DataError, match=r"shape \(56, 8\), got \(56, 10\)"):
        simulate(evidence=np.ones((56, 10)))
    nothing = np.ones((56, 8))
    nothing[4] = 0
    with pytest.raises(DataError, match="got none in row 4"):
        simulate(evidence=nothing)
    with pytest.raises(DataError, match="`evidence`"):
        simulate(evidence=-np.ones((56, 8)))
    with pytest.raises(DataError, match="`landmarks`"):
        simulate(landmarks=np.zeros((56, 5, 2)))
