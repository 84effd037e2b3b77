import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import saliency
from fer_jax.errors import UsageError

PYRAMIDS = {
    "blur_L8_b20": {},
    "blur_L4_b10": {"levels": 4, "max_blur": 10.0},
    "fade_L8": {"kind": "fade"},
}


@pytest.fixture(scope="module")
def arrays(goldens):
    return goldens("pyramid")


def nhwc(array):
    return array.transpose(0, 2, 3, 1)


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, atol=1e-5 * abs(wanted).max(), rtol=0)


@pytest.mark.parametrize("name", PYRAMIDS)
def test_pyramid_interpolation_and_gradient_equal_the_reference(arrays, name):
    levels = saliency.pyramid(jnp.asarray(nhwc(arrays["x"])[0]), **PYRAMIDS[name])
    masks = jnp.asarray(arrays[f"{name}_mask"][:, 0])
    close(levels, nhwc(arrays[f"{name}_pyramid"]))
    close(saliency.perturb(levels, masks), nhwc(arrays[f"{name}_apply"]))
    gradient = jax.grad(lambda m: 0.5 * (saliency.perturb(levels, m) ** 2).sum())(masks[:1])
    close(gradient, arrays[f"{name}_grad_mask0"])


@pytest.mark.parametrize("edges", saliency.EDGES)
def test_blur_equals_the_reference(arrays, edges):
    image = jnp.asarray(nhwc(arrays["x"])[0])
    close(saliency.gaussian_blur(image, sigma=5.0, edges=edges), nhwc(arrays[f"imsmooth_{edges}"])[0])


def test_float64_blur_equals_direct_convolution(x64):
    image = np.random.default_rng(0).random((9, 14, 2))
    taps = np.arange(-12, 13)
    kernel = np.exp(-((taps / (np.sqrt(2) * 3.0 + 1.19e-7)) ** 2))
    kernel /= kernel.sum()
    wanted = np.apply_along_axis(lambda line: np.convolve(line, kernel)[12:-12], 0, image)
    wanted = np.apply_along_axis(lambda line: np.convolve(line, kernel)[12:-12], 1, wanted)
    np.testing.assert_allclose(saliency.gaussian_blur(jnp.asarray(image), sigma=3.0), wanted, atol=1e-12)


@pytest.mark.parametrize("kind", saliency.PERTURBATIONS)
def test_grid_values_give_the_levels_themselves(kind):
    image = jax.random.normal(jax.random.key(0), (10, 13, 3))
    levels = saliency.pyramid(image, kind=kind, levels=5, max_blur=4.0)
    masks = jnp.stack([jnp.full((10, 13), k / 4) for k in range(5)])
    np.testing.assert_array_equal(saliency.perturb(levels, masks), levels)
    np.testing.assert_array_equal(levels[-1], image)


def test_slope_is_towards_the_weaker_level_and_zero_at_one():
    levels = jnp.asarray([0.0, 1.0, 5.0]).reshape(3, 1, 1, 1)
    slope = jax.vmap(jax.grad(lambda m: saliency.perturb(levels, m.reshape(1, 1, 1)).sum()))
    np.testing.assert_array_equal(slope(jnp.asarray([0.0, 0.25, 0.5, 0.75, 1.0])), [2.0, 2.0, 8.0, 8.0, 0.0])


def test_blur_keeps_the_image_where_sigma_is_zero_and_constants_with_replicated_edges():
    image = jax.random.normal(jax.random.key(1), (1, 7, 3))
    np.testing.assert_allclose(saliency.gaussian_blur(image, sigma=0.0), image, atol=1e-6)
    for edges in ("replicate", "reflect"):
        ones = saliency.gaussian_blur(jnp.ones((1, 7, 3)), sigma=20.0, edges=edges)
        np.testing.assert_allclose(ones, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: saliency.pyramid(x, kind="noise"), "`perturbation`: wanted one of blur, fade, got 'noise'"),
        (lambda x: saliency.pyramid(x, levels=1), "`levels`: wanted at least 2, got 1"),
        (lambda x: saliency.pyramid(x, max_blur=-1.0), "`max_blur`: wanted a width of at least 0"),
        (lambda x: saliency.gaussian_blur(x, sigma=-1.0), "`sigma`: wanted a width of at least 0"),
        (lambda x: saliency.gaussian_blur(x, sigma=1.0, edges="wrap"), "`edges`: wanted one of zero, reflect"),
    ],
)
def test_bad_calls_name_the_argument(call, message):
    with pytest.raises(UsageError, match=message):
        call(jnp.zeros((4, 4, 3)))
