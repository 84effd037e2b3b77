import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import images


def _noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 14, 15, 16, 17, 20, 30, 70])
def test_box_blur_is_opencvs(size):
    picture = _noise((64, 64, 3))
    np.testing.assert_array_equal(images.box_blur(jnp.asarray(picture), size), cv2.blur(picture, (size, size)))


def test_box_blur_at_the_papers_setting_is_opencvs():
    picture = _noise((224, 224, 3))
    np.testing.assert_array_equal(images.box_blur(jnp.asarray(picture), 70), cv2.blur(picture, (70, 70)))


def test_box_blur_takes_a_batch():
    batch = _noise((3, 20, 24, 3))
    expected = np.stack([cv2.blur(picture, (7, 7)) for picture in batch])
    np.testing.assert_array_equal(images.box_blur(jnp.asarray(batch), 7), expected)


def test_grayscale_is_opencvs():
    picture = _noise((50, 60, 3))
    np.testing.assert_array_equal(
        images.grayscale(jnp.asarray(picture))[..., 0], cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    )


@pytest.mark.parametrize("size", [(224, 224), (50, 30), (3, 4)])
def test_resize_is_opencvs_bilinear(size):
    picture = np.random.default_rng(0).random((7, 7, 2), np.float32)
    expected = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(images.resize(jnp.asarray(picture), size), expected, atol=2e-6)


def test_normalise_undoes_mean_and_deviation():
    picture = jnp.broadcast_to(jnp.asarray(images.IMAGENET_MEAN), (4, 4, 3))
    np.testing.assert_allclose(images.normalise(picture), 0, atol=1e-7)


def test_identity_warp_changes_nothing_and_a_shift_moves_whole_pixels():
    picture = jnp.asarray(np.random.default_rng(1).random((9, 12, 3), np.float32))
    identity = jnp.asarray([[1.0, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(images.affine_warp(picture, identity), picture, atol=1e-6)
    moved = images.affine_warp(picture, jnp.asarray([[1.0, 0, 2], [0, 1, 0]]))
    np.testing.assert_allclose(moved[:, :-2], picture[:, 2:], atol=1e-6)
    np.testing.assert_allclose(moved[:, -2:], jnp.broadcast_to(picture[:, -1:], (9, 2, 3)), atol=1e-6)


def test_warp_agrees_with_an_independent_bilinear_sampler():
    picture = jnp.asarray(np.random.default_rng(2).random((16, 16, 1), np.float32))
    matrix = jnp.asarray([[0.9, 0.2, 0.3], [-0.1, 1.1, -0.4]])
    centre = 7.5
    y, x = jnp.meshgrid(jnp.arange(16.0) - centre, jnp.arange(16.0) - centre, indexing="ij")
    rows = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] + centre
    columns = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] + centre
    expected = jax.scipy.ndimage.map_coordinates(picture[..., 0], [rows, columns], order=1, mode="nearest")
    np.testing.assert_allclose(images.affine_warp(picture, matrix)[..., 0], expected, atol=1e-5)
