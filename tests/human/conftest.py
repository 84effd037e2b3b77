"""A balanced study of 280 images and one simulated cohort, shared by the tests of this folder."""

import numpy as np
import pytest

from fer_jax import human


def pool(each: int) -> tuple[np.ndarray, list[str]]:
    labels = np.repeat(np.arange(8), each)
    return labels, [f"face_{i:04d}.png" for i in range(len(labels))]


@pytest.fixture(scope="session")
def study():
    return human.study.make_study(*pool(60), seed=0)


@pytest.fixture(scope="session")
def cohort(study):
    return human.observers.simulate(study, seed=0, image_px=224)


@pytest.fixture(scope="session")
def small_study():
    return human.study.make_study(*pool(10), seed=1, per_ordered_pair=1)


@pytest.fixture(scope="session")
def small_cohort(small_study):
    return human.observers.simulate(small_study, seed=1, image_px=64, participants=6)
