"""What was compiled once is not compiled again: the second call with equal shapes compiles nothing."""

import contextlib
import gc
import weakref

import jax
import numpy as np
import pytest

from fer_jax import ensemble, saliency

from .calls import CALLS, NET, OTHERS, PICTURES, STACK, public

# Two iterations do not reach their area. The warning has a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::fer_jax.errors.AreaWarning")


@contextlib.contextmanager
def counting():
    """Names of the events of compiling, as they come."""
    seen = []

    def listen(event, *_, **__):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_every_public_function_has_an_example():
    assert set(public()) == set(CALLS) | OTHERS


# Its score is a new function in each call. `saliency.extremal_area` shows what happens to one that stays.
NEW_SCORE = "saliency.extremal_perturbation"


# The fast ones are those with a loop or a program of their own; the rest are single operations, which JAX keeps.
LOOPS = (
    "saliency.area_term", "saliency.extremal_area",
    "saliency.integrated_gradients", "saliency.rise", "saliency.smooth_grad",
    "saliency.smooth_mask", "metrics.kendall", "metrics.fit_temperature", "ensemble.init",
    *(name for name in CALLS if name.startswith("saliency.faithfulness")),
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in LOOPS else pytest.mark.slow) for name in CALLS if name != NEW_SCORE],
)
def test_a_second_call_with_equal_shapes_compiles_nothing(name):
    call, *arrays = CALLS[name]
    # Concrete values: as users call, and so that checks of values run.
    first, second = ([array[device] for array in arrays] for device in range(2))
    jax.block_until_ready(call(*first))
    with counting() as compiled:
        jax.block_until_ready(call(*second))
    assert not compiled


@pytest.mark.parametrize("how", ensemble.OVER_MEMBERS)
def test_an_ensemble_compiles_once_in_every_layout(how):
    for _ in range(2):
        with counting() as compiled:
            jax.block_until_ready(ensemble.apply(NET, STACK, PICTURES, over_members=how))
    assert not compiled


@pytest.mark.parametrize("split", ["none", "shard_map", "pmap"])
def test_over_images_compiles_once_for_a_function(split):
    def brightest(image):
        return image.max((0, 1))

    for shift in range(2):
        with counting() as compiled:
            out = saliency.over_images(brightest, PICTURES + shift, chunk=1, over_devices=split, devices=2)
    assert not compiled
    np.testing.assert_allclose(out, PICTURES.max((1, 2)) + 1, rtol=1e-6)


class Weights(np.ndarray):
    """An array that can be referred to weakly."""


def test_what_was_made_of_a_function_ends_with_it():
    weights = np.ones(3).view(Weights)
    alive = weakref.ref(weights)

    def explain(kept):
        return saliency.integrated_gradients(lambda image: image.sum() * kept[0], PICTURES[0], steps=2)

    jax.block_until_ready(explain(weights))
    del weights
    gc.collect()
    assert alive() is None
