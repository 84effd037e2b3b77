import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax.augment import Augmentation, augment
from fer_jax.errors import UsageError

NOTHING = Augmentation(flip=0, shift=0, scale=0, rotation=0, brightness=0, contrast=0)


@pytest.fixture
def picture():
    return jax.random.uniform(jax.random.key(1), (16, 20, 3), minval=0.2, maxval=0.8)


def test_no_range_no_change(picture):
    np.testing.assert_allclose(augment(jax.random.key(0), picture, NOTHING), picture, atol=1e-6)


def test_a_certain_flip_mirrors(picture):
    flipped = augment(jax.random.key(0), picture, dataclasses.replace(NOTHING, flip=1.0))
    np.testing.assert_allclose(flipped, picture[:, ::-1], atol=1e-6)


def test_half_of_the_flips_flip(picture):
    keys = jax.random.split(jax.random.key(2), 400)
    views = jax.vmap(lambda key: augment(key, picture, dataclasses.replace(NOTHING, flip=0.5)))(keys)
    flipped = (jnp.abs(views - picture[None, :, ::-1]).max((1, 2, 3)) < 1e-5).mean()
    assert 0.42 < flipped < 0.58


@pytest.mark.parametrize("name", ["shift", "scale", "rotation", "brightness", "contrast"])
def test_each_range_changes_the_picture_and_nothing_else_is_random(picture, name):
    ranges = dataclasses.replace(NOTHING, **{name: 0.3 if name != "rotation" else 20.0})
    one, same, other = (augment(jax.random.key(seed), picture, ranges) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert jnp.abs(one - other).max() > 1e-3
    assert jnp.abs(one - picture).max() > 1e-3


def test_views_stay_in_range_and_single_equals_batched(picture):
    keys = jax.random.split(jax.random.key(3), 8)
    wide = Augmentation(brightness=1.0, contrast=1.0)
    views = jax.vmap(lambda key: augment(key, picture, wide))(keys)
    assert views.min() >= 0
    assert views.max() <= 1
    np.testing.assert_allclose(views[5], augment(keys[5], picture, wide), atol=1e-5)


def test_a_range_that_cannot_be_is_named():
    with pytest.raises(UsageError, match=r"`flip`: wanted a number in \[0, 1\], got 1.5"):
        Augmentation(flip=1.5)
