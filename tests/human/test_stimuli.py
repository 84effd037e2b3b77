import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import human, masks
from fer_jax.errors import DataError, UsageError


@pytest.mark.parametrize(("size", "k"), [(96, 70), (48, 15), (33, 1)])
def test_blurred_is_what_the_device_computes(size, k):
    sharp = np.random.default_rng(k).integers(0, 256, (2, size, size, 3), np.uint8)
    veiled = human.stimuli.blurred(sharp, k)
    assert veiled.dtype == np.uint8
    np.testing.assert_array_equal(veiled, masks.blurred(jnp.asarray(sharp), size=k))
    np.testing.assert_array_equal(human.stimuli.blurred(sharp[0], k), veiled[0])


@pytest.mark.parametrize("radius", [0, 4, 20])
def test_discs_are_those_of_the_device_and_of_opencv(radius):
    rng = np.random.default_rng(radius)
    points = rng.uniform(-5, 75, (12, 2)).astype(np.float32)
    points[3] = np.nan
    mask = human.stimuli.reveal_mask(points, (60, 70), radius)
    np.testing.assert_array_equal(mask, masks.reveal(jnp.asarray(points), (60, 70), radius=radius))
    drawn = np.zeros((60, 70), np.uint8)
    for x, y in np.floor(np.delete(points, 3, 0)).astype(int).tolist():
        cv2.circle(drawn, (x, y), radius, 1, -1)
    np.testing.assert_array_equal(mask, drawn.astype(bool))
    y, x = np.mgrid[:60, :70]
    px, py = np.floor(points[0])
    alone = human.stimuli.reveal_mask(points[:1], (60, 70), radius)
    np.testing.assert_array_equal(alone, (x - px) ** 2 + (y - py) ** 2 <= radius**2)


def test_composite_is_that_of_the_device():
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (40, 40, 3), np.uint8)
    veiled = human.stimuli.blurred(sharp, 12)
    mask = human.stimuli.reveal_mask(np.array([[10.5, 20.5]]), (40, 40), 6)
    shown = human.stimuli.composite(sharp, veiled, mask)
    np.testing.assert_array_equal(shown, masks.composite(jnp.asarray(sharp), jnp.asarray(veiled), jnp.asarray(mask)))
    assert (shown[~mask] == veiled[~mask]).all()


def test_bad_pictures():
    with pytest.raises(DataError, match="wanted uint8"):
        human.stimuli.blurred(np.zeros((4, 4, 3), np.float32), 3)
    with pytest.raises(DataError, match="wanted uint8"):
        human.stimuli.blurred(np.zeros((4, 4), np.uint8), 3)
    with pytest.raises(UsageError, match="`k`"):
        human.stimuli.blurred(np.zeros((4, 4, 3), np.uint8), 0)


@pytest.mark.parametrize("radius", [-1, 2.5, "4", None, True])
def test_a_radius_is_a_whole_number_on_both_sides(radius):
    points = np.array([[8.0, 8.0]])
    with pytest.raises(UsageError, match="`radius`: wanted whole pixels from 0, got"):
        human.stimuli.reveal_mask(points, (16, 16), radius)
    with pytest.raises(UsageError, match="`radius`: wanted whole pixels from 0, got"):
        masks.reveal(jnp.asarray(points), (16, 16), radius=radius)  # -1 opened a disc of radius 1


def test_discs_far_away_open_nothing():
    points = np.array([[1e12, 5.0], [-1e12, 5.0], [np.inf, 5.0], [5.0, -1e300], [18.0, 8.0]])
    mask = human.stimuli.reveal_mask(points, (16, 16), 3)
    np.testing.assert_array_equal(mask, human.stimuli.reveal_mask(points[4:], (16, 16), 3))
    assert mask.any()


def test_a_blur_of_half_pixels_is_refused():
    with pytest.raises(UsageError, match=r"`k`: wanted a window of whole pixels from 1, got 2\.5"):
        human.stimuli.blurred(np.zeros((4, 4, 3), np.uint8), 2.5)
    for size in (0, -5, 48.0):
        with pytest.raises(UsageError, match="`image_px`"):
            masks.reveal_radius(size)
