import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from fer_jax import saliency
from fer_jax.errors import UsageError
from fer_jax.saliency._smooth_mask import axis, tap_weights


def direct_mask(parameters, size, *, step, sigma, first=0, pixels=None):
    """The definition, pixel by pixel: bumps at image pixel step * i + (sigma - round(sigma)), cut at the window."""
    radius, padding = 1 + int(np.ceil(sigma / step)), 1 + int(np.ceil(2 * sigma / step))
    mask = np.zeros(size)
    for y, x in np.ndindex(size):
        u = np.asarray([y, x]) + round(sigma)
        start = u // step - padding
        values = np.zeros((2 * radius + 1,) * 2)
        for k in np.ndindex(values.shape):
            i = start + np.asarray(k)
            if (i >= 0).all() and (i < parameters.shape).all():
                distance = np.hypot(*(u - sigma - step * i))
                values[k] = np.exp(-2 * max(0, distance / sigma - 0.5) ** 2) * parameters[tuple(i)]
        powers = np.exp(20 * values)
        mask[y, x] = (values * powers).sum() / powers.sum()
    return mask


@pytest.fixture(scope="module")
def arrays(goldens):
    return goldens("smoothmask")


@pytest.mark.parametrize("case", "abcd")
def test_values_and_gradients_equal_the_reference(arrays, case):
    height, width, step, sigma = arrays[f"{case}_config_f64"]
    parameters = jnp.asarray(arrays[f"{case}_pmask"][:, 0])

    @jax.jit
    def everything(parameters):
        def make(p, margin):
            size = (int(height), int(width))
            return saliency.smooth_mask(p, size, step=int(step), sigma=float(sigma), margin=margin)

        image, pull_image = jax.vjp(lambda p: make(p, False), parameters)
        full, pull_full = jax.vjp(lambda p: make(p, True), parameters)
        return image, full, pull_image(jnp.ones_like(image))[0], pull_full(full)[0]

    image, full, to_sum, to_squares = everything(parameters)
    np.testing.assert_allclose(image, arrays[f"{case}_cropped"][:, 0], atol=1e-5, rtol=0)
    np.testing.assert_allclose(full.mean((1, 2)), arrays[f"{case}_full_mean"], atol=1e-5, rtol=0)
    if case != "d":
        np.testing.assert_allclose(full, arrays[f"{case}_full"][:, 0], atol=1e-5, rtol=0)
    for got, name in ((to_sum, "grad_sum_cropped"), (to_squares, "grad_halfsq_full")):
        wanted = arrays[f"{case}_{name}"][:, 0]
        np.testing.assert_allclose(got, wanted, atol=5e-5 * abs(wanted).max(), rtol=0)


@pytest.mark.parametrize("case", "abcd")
def test_geometry_equals_the_reference(arrays, case):
    height, width, step, sigma = arrays[f"{case}_config_f64"]
    wanted = arrays[f"{case}_geometry"]
    rows = axis(int(height), step=int(step), sigma=float(sigma), margin=True)
    columns = axis(int(width), step=int(step), sigma=float(sigma), margin=True)
    got = [rows.grid, columns.grid, rows.cells, columns.cells, rows.length, columns.length, rows.image]
    np.testing.assert_array_equal(got, wanted[[2, 3, 4, 5, 8, 9, 10]])


def test_weights_equal_the_reference(arrays):
    tiled = np.tile(tap_weights(4, 8.0).reshape(49, 4, 4), (1, 8, 8))[:, :29, :29]
    np.testing.assert_allclose(tiled, arrays["c_weight"], atol=1e-6)


@pytest.mark.parametrize("pooling", ["sum", "sigmoid"])
def test_other_poolings_equal_the_reference(arrays, pooling):
    parameters = jnp.asarray(arrays["b_pmask"][:, 0])
    got = saliency.smooth_mask(parameters, (64, 64), step=4, sigma=8.0, pooling=pooling)
    np.testing.assert_allclose(got, arrays[f"b_{pooling}_cropped"][:, 0], atol=1e-5)


@pytest.mark.parametrize(("size", "step", "sigma"), [((18, 25), 6, 9.0), ((13, 9), 4, 4.5), ((10, 11), 3, 2.2)])
def test_float64_equals_the_definition_at_any_size(x64, size, step, sigma):
    parameters = np.random.default_rng(0).random(saliency.grid_shape(size, step=step))
    wanted = direct_mask(parameters, size, step=step, sigma=sigma)
    for margin in (False, True):
        make = functools.partial(saliency.smooth_mask, size=size, step=step, sigma=sigma, margin=margin)
        got = jax.jit(make)(jnp.asarray(parameters)[None])[0]
        top, left = (axis(n, step=step, sigma=sigma, margin=margin).image for n in size)
        np.testing.assert_allclose(got[top : top + size[0], left : left + size[1]], wanted, atol=1e-10, rtol=0)


def test_gradient_is_the_slope(x64):
    parameters = jnp.asarray(np.random.default_rng(1).random((2, 4, 3)))
    make = jax.jit(lambda p: saliency.smooth_mask(p, (14, 10), step=4, sigma=6.0))
    check_grads(make, (parameters,), order=1, modes=["rev"], rtol=1e-5)


@pytest.mark.parametrize("length", [48, 50, 63, 72, 100, 225])
def test_the_margin_always_holds_the_image(length):
    """The reference fails for about a tenth of these."""
    for step in range(2, 12):
        for sigma in (2.0, 4.5, 9.0, 13.0, 21.0, 29.0):
            full = axis(length, step=step, sigma=sigma, margin=True)
            assert full.image + length <= full.length
            crop = axis(length, step=step, sigma=sigma, margin=False)
            assert crop.length == length
            assert crop.start + length <= crop.cells * step


def test_masks_stay_in_range_and_near_the_largest_bump():
    parameters = jax.random.uniform(jax.random.key(0), (3, 8, 6))
    make = jax.jit(lambda p: saliency.smooth_mask(p, (48, 36), step=6, sigma=12.0))
    mask = make(parameters)
    assert mask.shape == (3, 48, 36)
    assert mask.min() >= 0
    assert mask.max() <= 1
    # A bump has height 1 where its parameter sits; the smooth maximum lies at most ln(taps) / coldness below.
    assert (mask[:, ::6, ::6] >= parameters - np.log(49) / 20).all()
    np.testing.assert_array_equal(make(jnp.zeros((3, 8, 6))), 0)


def test_moving_a_parameter_moves_the_mask():
    alone = jnp.zeros((1, 12, 12)).at[0, 5, 5].set(1.0)
    here = saliency.smooth_mask(alone, (48, 48), step=4, sigma=6.0)
    there = saliency.smooth_mask(jnp.roll(alone, (1, 2), (1, 2)), (48, 48), step=4, sigma=6.0)
    np.testing.assert_allclose(jnp.roll(here, (4, 8), (1, 2)), there, atol=1e-6)


def test_a_batch_is_a_loop():
    parameters = jax.random.uniform(jax.random.key(1), (3, 2, 4, 4))

    def make(p):
        return saliency.smooth_mask(p, (16, 16), step=4, sigma=6.0)

    looped = jnp.stack([make(p) for p in parameters])
    np.testing.assert_allclose(jax.jit(jax.vmap(make))(parameters), looped, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 0}, "`step`: wanted a whole number"),
        ({"sigma": -1.0}, "`sigma`: wanted a width above 0"),
        ({"pooling": "mean"}, "`pooling`: wanted one of smooth_max, sum, sigmoid, got 'mean'"),
        ({"coldness": 200.0}, "`coldness`: wanted a number in"),
        ({"step": 5}, r"`parameters`: wanted \(K, 4, 4\) for 16 x 16 px at step 5, got \(1, 2, 2\)"),
    ],
)
def test_bad_calls_name_the_argument(options, message):
    with pytest.raises(UsageError, match=message):
        saliency.smooth_mask(jnp.zeros((1, 2, 2)), (16, 16), **options)
