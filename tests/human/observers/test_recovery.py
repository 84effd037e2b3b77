"""The analysis gives back the numbers that simulated people were made with."""

import dataclasses

import numpy as np
import pytest

from fer_jax import human
from fer_jax.compare import people, sensitivity
from fer_jax.human import observers, regions
from fer_jax.human.observers.regions import MOUTH, NUM_REGIONS
from tests.human.conftest import pool

SIZE, PEOPLE = 64, 12


@pytest.fixture(scope="module")
def study():
    return human.study.make_study(*pool(14), seed=3, per_ordered_pair=2)


def simulated(study, profile="typical", **dynamics):
    return observers.simulate(
        study,
        seed=3,
        image_px=SIZE,
        participants=PEOPLE,
        with_dropouts=False,
        profile=profile,
        dynamics=dataclasses.replace(observers.Dynamics(), **dynamics),
    )


def test_shares_of_regions_are_those_of_the_bias(study):
    """Without habits and evidence a first click is a choice among regions by their bias alone.

    Clicks scatter around a region's centre, so some of the mouth's lie nearer to the chin or nose.
    """
    bias = np.zeros(NUM_REGIONS)
    bias[MOUTH] = np.log(6)
    profile = observers.Profile(habit=0.0, seek=0.0, bias=tuple(bias))
    ends = regions.first_and_last(simulated(study, profile), study, image_px=SIZE)
    share = (ends["first"] == regions.REGIONS[MOUTH]).mean()
    true = 6 / (6 + NUM_REGIONS - 1)
    print(f"mouth: true {true:.3f}, recovered {share:.3f}")
    assert share == pytest.approx(true, abs=0.05)


def test_the_share_of_guesses_is_what_accuracy_loses(study):
    def accuracy(lapse):
        overall = people.overall(simulated(study, lapse=lapse), seed=0, resamples=10)
        return overall.set_index("measure").loc["accuracy", "value"]

    without, guessing = accuracy(0.0), accuracy(0.3)
    lapse = (without - guessing) / (without - 0.5)
    print(f"lapse: true 0.300, recovered {lapse:.3f}")
    assert lapse == pytest.approx(0.3, abs=0.06)


def test_a_higher_threshold_is_more_clicks_and_its_size_is_recovered(study):
    """Mean clicks at known thresholds tell the threshold of people who were drawn anew."""

    def clicks(threshold, seed=3):
        found = observers.simulate(
            study, seed=seed, image_px=SIZE, participants=PEOPLE, with_dropouts=False,
            dynamics=observers.Dynamics(threshold=threshold),
        )  # fmt: skip
        return people.overall(found, seed=0, resamples=10).set_index("measure").loc["clicks", "value"]

    known = np.array([1.4, 2.1, 2.8, 3.5, 4.2])
    seen = np.array([clicks(threshold) for threshold in known])
    assert (np.diff(seen) > 0).all()
    recovered = np.interp(clicks(2.6, seed=5), seen, known)
    print(f"threshold: true 2.600, recovered {recovered:.3f}")
    assert recovered == pytest.approx(2.6, rel=0.15)


def test_guesses_have_no_sensitivity(study):
    trials = simulated(study, lapse=1.0)
    pooled, own = sensitivity.sensitivities(trials, human.behaviour.pair_table(trials, study), seed=0, resamples=100)
    print(f"d': true 0.000, recovered {pooled['d_prime'].mean():.3f}")
    assert pooled["d_prime"].mean() == pytest.approx(0, abs=0.1)
    assert own["d_prime"].mean() == pytest.approx(0, abs=0.1)
    typical = simulated(study)
    better, _ = sensitivity.sensitivities(typical, human.behaviour.pair_table(typical, study), seed=0, resamples=100)
    assert better["d_prime"].mean() > 1


def test_permuted_people_and_images_change_nothing(study):
    """Names of people and images are only names: shuffled rows give the same tables."""
    trials = simulated(study)
    order = np.random.default_rng(0).permutation(len(trials.trials))
    mixed = dataclasses.replace(trials, trials=trials.trials.iloc[order].reset_index(drop=True))
    for measure in (people.times, people.overall):
        one, other = (measure(each, seed=1, resamples=20) for each in (trials, mixed))
        numbers = [table.select_dtypes("number").to_numpy(float) for table in (one, other)]
        np.testing.assert_allclose(*numbers, rtol=1e-12, atol=1e-12)
    pairs = human.behaviour.pair_table(trials, study)
    for one, other in zip(
        *(sensitivity.sensitivities(t, pairs, seed=1, resamples=20) for t in (trials, mixed)), strict=True
    ):
        numbers = [table.select_dtypes("number").to_numpy(float) for table in (one, other)]
        np.testing.assert_allclose(*numbers, rtol=0, atol=1e-12)
