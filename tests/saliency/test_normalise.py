import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import saliency
from fer_jax.errors import UsageError


@pytest.mark.parametrize("size", [(224, 224), (50, 30), (3, 4)])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("torch_bilinear", "bilinear"),
        ("cv2_linear", "bilinear"),
        ("torch_nearest", "nearest"),
        ("torch_bicubic", "bicubic"),
    ],
)
def test_resizing_equals_the_reference(goldens, name, how, size):
    arrays = goldens("resize")
    key = f"{name}_{size[0]}x{size[1]}"
    if key not in arrays:
        assert how == "bicubic"  # not given for downscaling
        return
    np.testing.assert_allclose(saliency.resize(jnp.asarray(arrays["map"]), size, how=how), arrays[key], atol=2e-5)


@pytest.mark.parametrize(("how", "theirs"), [("bilinear", "linear"), ("bicubic_keys", "cubic")])
def test_resizing_equals_jax_inside(how, theirs):
    """jax.image renormalises at the edge where we, as torch, repeat it; for bilinear that is the same."""
    heat = jax.random.normal(jax.random.key(0), (2, 9, 6))
    ours = saliency.resize(heat, (36, 30), how=how)
    wanted = jax.image.resize(heat, (2, 36, 30), theirs, antialias=False)
    np.testing.assert_allclose(ours[:, 8:-8, 10:-10], wanted[:, 8:-8, 10:-10], atol=1e-5)


@pytest.mark.parametrize("how", saliency.RESIZINGS)
def test_resizing_keeps_constants_and_identity(how):
    heat = jax.random.normal(jax.random.key(1), (5, 6))
    assert saliency.resize(heat, (5, 6), how=how) is heat
    np.testing.assert_allclose(saliency.resize(jnp.full((5, 6), 0.7), (11, 3), how=how), 0.7, atol=1e-6)


@pytest.mark.parametrize("how", saliency.NORMALISATIONS)
@pytest.mark.parametrize("value", [-2.0, 0.0, 3.0])
def test_a_constant_map_never_gives_nan(how, value):
    flat = jnp.full((4, 5), value)
    assert jnp.isfinite(saliency.normalise(flat, how=how)).all()
    assert jnp.isfinite(jax.grad(lambda m: saliency.normalise(m, how=how).sum())(flat)).all()


def test_normalising_one_map_of_a_batch_at_a_time():
    heats = jax.random.normal(jax.random.key(2), (3, 6, 7)) * jnp.asarray([1.0, 10.0, 0.1]).reshape(3, 1, 1)
    unit = saliency.normalise(heats)
    np.testing.assert_array_equal(unit.min((1, 2)), 0)
    np.testing.assert_array_equal(unit.max((1, 2)), 1)
    np.testing.assert_array_equal(saliency.normalise(heats, how="max").max((1, 2)), 1)
    density = saliency.normalise(heats, how="sum")
    np.testing.assert_allclose(density.sum((1, 2)), 1, rtol=1e-6)
    assert (density >= 0).all()
    assert saliency.normalise(heats, how="none") is heats


def test_sum_leaves_non_negative_maps_unshifted_and_max_keeps_signs():
    heat = jnp.asarray([[1.0, 3.0]])
    np.testing.assert_array_equal(saliency.normalise(heat, how="sum"), [[0.25, 0.75]])
    np.testing.assert_allclose(saliency.normalise(-heat, how="max"), [[-1 / 3, -1.0]], rtol=1e-6)
    np.testing.assert_array_equal(saliency.normalise(jnp.zeros((1, 4)), how="sum"), 0.25)


@pytest.mark.parametrize("convention", saliency.CONVENTIONS)
def test_conventions_agree_where_a_map_is_positive_and_in_range(convention):
    """A 0..1 map with both ends: every peer returns it, up to its 8-bit scale and its interpolation."""
    heat = jnp.asarray([[0.0, 0.2], [0.6, 1.0]])
    scale = 255 if convention == "cam_script" else 1
    np.testing.assert_allclose(saliency.postprocess(heat, (2, 2), convention=convention) / scale, heat, atol=1e-6)
    peers_with_nan = ("cam_script", "pair", "flax_gradcam")
    flat = saliency.postprocess(jnp.full((2, 2), -1.0), (4, 4), convention=convention)
    assert bool(jnp.isnan(flat).any()) == (convention in peers_with_nan)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: saliency.normalise(x, how="l2"), "`how`: wanted one of minmax, max, sum, none, got 'l2'"),
        (lambda x: saliency.resize(x, (4, 4), how="area"), "`how`: wanted one of bilinear, nearest"),
        (lambda x: saliency.postprocess(x, (4, 4), convention="ours"), "`convention`: wanted one of cam_script"),
    ],
)
def test_bad_calls_name_the_argument(call, message):
    with pytest.raises(UsageError, match=message):
        call(jnp.zeros((3, 3)))
