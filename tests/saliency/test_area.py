import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import saliency
from fer_jax.errors import UsageError
from fer_jax.saliency._area import largest


def sorted_term(mask, area):
    """The published form."""
    values = jnp.sort(mask.reshape(-1))
    reference = jnp.arange(values.size) >= int(values.size * (1 - area))
    return jnp.mean((values - reference) ** 2)


@pytest.mark.parametrize("ties", ["", "tied_"])
@pytest.mark.parametrize("index", [0, 1])
def test_value_and_gradient_equal_the_reference(goldens, ties, index):
    arrays = goldens("area_reward")
    area = float(arrays["areas_f64"][index])
    value, gradient = jax.value_and_grad(lambda m: -300 * saliency.area_term(m, area=area))(
        jnp.asarray(arrays[f"{ties}full"][index, 0])
    )
    np.testing.assert_allclose(value, arrays[f"{ties}area_term"][index], rtol=1e-5)
    np.testing.assert_allclose(gradient, arrays[f"{ties}grad_energy"][index, 0], rtol=1e-5)


@pytest.mark.parametrize("levels", [2, 5, 1000])
@pytest.mark.parametrize("area", [0.01, 0.1, 0.5, 0.99])
def test_equals_sorting_with_and_without_ties(levels, area):
    mask = jnp.asarray(np.random.default_rng(levels).integers(0, levels, (31, 23)) / (levels - 1), jnp.float32)
    got, wanted = (
        jax.value_and_grad(term)(mask)
        for term in (lambda m: saliency.area_term(m, area=area), lambda m: sorted_term(m, area))
    )
    np.testing.assert_allclose(got[0], wanted[0], rtol=1e-6)
    np.testing.assert_allclose(got[1], wanted[1], atol=1e-9)


def test_float64_equals_sorting(x64):
    mask = jnp.asarray(np.random.default_rng(0).random((40, 30)))
    assert mask.dtype == jnp.float64
    np.testing.assert_allclose(saliency.area_term(mask, area=0.2), sorted_term(mask, 0.2), rtol=1e-12)


def test_largest_orders_every_float_and_lets_later_ties_win():
    values = jnp.asarray([-0.0, 3.0, -2.5, 0.0, 1e-40, -jnp.inf, jnp.inf, 3.0, -1e-3])
    order = np.argsort(values, stable=True)
    for count in range(len(values) + 1):
        wanted = np.zeros(len(values), bool)
        wanted[order[len(values) - count :]] = True
        np.testing.assert_array_equal(jax.jit(largest, static_argnums=1)(values, count), wanted)


def test_batched_selection_equals_one_by_one():
    masks = jnp.stack([jnp.ones((9, 9)), jnp.asarray(np.random.default_rng(1).random((9, 9)), jnp.float32)])
    batched = jax.vmap(lambda m: largest(m, 30))(masks)
    np.testing.assert_array_equal(batched, jnp.stack([largest(m, 30) for m in masks]))


def test_the_share_of_an_image_in_its_mask_is_counted_inside_and_goes_on_around_it():
    """By hand: inside as many ones as the area says; in the margin, ones where it is above the smallest of them."""
    mask = np.random.default_rng(2).random((14, 17), np.float32)
    within = (slice(2, 11), slice(3, 15))
    least = np.sort(mask[within], axis=None)[-22]  # .2 of 9 x 12 pixels, rounded up
    value, gradient = jax.value_and_grad(lambda m: saliency.area_term(m, area=0.2, within=within))(jnp.asarray(mask))
    np.testing.assert_allclose(value, ((mask - (mask >= least)) ** 2).mean(), rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * (mask - (mask >= least)) / mask.size, rtol=1e-5, atol=1e-9)
    whole = saliency.area_term(jnp.asarray(mask), area=0.2, within=(slice(None), slice(None)))
    assert whole == saliency.area_term(jnp.asarray(mask), area=0.2)
    # Where nothing is open inside, the margin is not opened either.
    assert saliency.area_term(jnp.zeros((14, 17)), area=0.2, within=within) == pytest.approx(22 / mask.size)


@pytest.mark.parametrize("area", [0, 1, -0.1, 1.5, float("nan"), "a", None])
def test_an_area_outside_the_unit_interval_is_refused(area):
    if isinstance(area, str):
        area = (0.1,)
    with pytest.raises(UsageError, match="`area`: wanted a share strictly between 0 and 1"):
        saliency.area_term(jnp.zeros((4, 4)), area=area)


def test_halves_and_bytes_are_read_as_numbers():
    mask = jnp.asarray(np.random.default_rng(2).integers(0, 2, (9, 9)), jnp.float32)
    for dtype in (jnp.bfloat16, jnp.float16, jnp.uint8, bool):
        assert saliency.area_term(mask.astype(dtype), area=0.2) == saliency.area_term(mask, area=0.2)
    assert jnp.isnan(saliency.area_term(mask.at[0, 0].set(jnp.nan), area=0.2))
