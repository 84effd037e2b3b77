import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import masks


@pytest.mark.parametrize("radius", [0, 1, 4, 6, 20, 57])
def test_a_disc_is_opencvs_circle_also_where_the_border_cuts_it(radius):
    points = np.asarray([[3.7, 5.2], [70.0, 40.9], [0.0, 89.99]], np.float32)
    expected = np.zeros((90, 80), np.uint8)
    for x, y in np.floor(points).astype(int):
        cv2.circle(expected, (int(x), int(y)), radius, 1, -1)
    np.testing.assert_array_equal(masks.reveal(jnp.asarray(points), (90, 80), radius=radius), expected.astype(bool))


def test_padding_with_nan_opens_nothing():
    points = jnp.asarray([[10.0, 12.0]])
    padded = jnp.concatenate([points, jnp.full((3, 2), jnp.nan)])
    np.testing.assert_array_equal(masks.reveal(padded, (32, 32), radius=5), masks.reveal(points, (32, 32), radius=5))
    assert not masks.reveal(jnp.full((2, 2), jnp.nan), (32, 32), radius=5).any()


@pytest.mark.parametrize("move", masks.SHIFTS)
def test_a_shift_moves_the_disc_and_closes_the_edge(move):
    rows, columns = move
    mask = masks.reveal(jnp.asarray([[15.0, 16.0]]), (32, 32), radius=6)
    expected = masks.reveal(jnp.asarray([[15.0 + columns, 16.0 + rows]]), (32, 32), radius=6)
    np.testing.assert_array_equal(masks.shift(mask, rows, columns), expected)
    full = masks.shift(jnp.ones((8, 8), bool), rows, columns)
    assert full.sum() == (8 - abs(rows)) * (8 - abs(columns))


def test_eight_different_shifts():
    assert len(set(masks.SHIFTS)) == 8
    assert (0, 0) not in masks.SHIFTS


def test_blurred_first_and_grey_second():
    sharp = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    expected = cv2.cvtColor(cv2.blur(sharp, (70, 70)), cv2.COLOR_RGB2GRAY)
    np.testing.assert_array_equal(masks.blurred(jnp.asarray(sharp), size=masks.PAPER_BLUR)[..., 0], expected)


def test_composite_takes_each_pixel_from_one_of_the_two():
    key = jax.random.key(0)
    sharp = jax.random.randint(key, (12, 12, 3), 1, 256).astype(jnp.uint8)
    veiled = jnp.zeros((12, 12, 1), jnp.uint8)
    mask = jax.random.bernoulli(key, shape=(12, 12))
    np.testing.assert_array_equal((masks.composite(sharp, veiled, mask) > 0).all(-1), mask)


def test_sizes_keep_their_proportion():
    assert (masks.blur_size(224), masks.reveal_radius(224)) == (70, 20)
    assert (masks.blur_size(48), masks.reveal_radius(48)) == (15, 4)
