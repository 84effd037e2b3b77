import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from fer_jax.errors import UsageError
from fer_jax.models import LOWERINGS, conv2d, default_lowering
from fer_jax.models._conv import max_pool

CASES = [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 2, 1), (7, 2, 3), (5, 3, 2), (2, 1, 0)]


def _by_definition(image, kernel, stride, padding):
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding), (0, 0))).astype(np.float64)
    windows = sliding_window_view(padded, kernel.shape[:2], (1, 2))[:, ::stride, ::stride]
    return np.einsum("bhwcij,ijco->bhwo", windows, kernel.astype(np.float64))


# "frozen" chooses its backward pass by the map's cells and the input's channels.
SHAPES = [(13, 12, 3), (9, 10, 17), (18, 17, 3)]


@pytest.mark.parametrize(("size", "stride", "padding"), CASES)
@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_lowering_equals_the_definition_and_its_gradients_are_adjoint(shape, lowering, size, stride, padding):
    random = np.random.default_rng(size * 10 + stride)
    image, other_image = random.normal(size=(2, 2, *shape)).astype(np.float32)
    kernel, other_kernel = random.normal(size=(2, size, size, shape[-1], 4)).astype(np.float32)

    @jax.jit
    def both(image, kernel, cotangent):
        out, pull = jax.vjp(lambda x, k: conv2d(x, k, stride=stride, padding=padding, lowering=lowering), image, kernel)
        return out, *pull(cotangent)

    expected = _by_definition(image, kernel, stride, padding)
    cotangent = random.normal(size=expected.shape).astype(np.float32)
    got, to_image, to_kernel = both(image, kernel, cotangent)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    # A convolution is linear in each argument, so <y, conv(x')> = <pull(y), x'> fixes the gradient completely.
    for moved, gradient, other in (
        (_by_definition(other_image, kernel, stride, padding), to_image, other_image),
        (_by_definition(image, other_kernel, stride, padding), to_kernel, other_kernel),
    ):
        np.testing.assert_allclose(
            (moved * cotangent).sum(), (np.asarray(gradient, np.float64) * other).sum(), rtol=1e-4, atol=1e-3
        )


def test_an_unknown_lowering_is_named():
    with pytest.raises(UsageError, match=r"`lowering`: wanted one of native, dots, matmul, frozen, got 'fft'"):
        conv2d(jnp.zeros((1, 4, 4, 1)), jnp.zeros((1, 1, 1, 1)), lowering="fft")
    with pytest.raises(UsageError, match=r"`lowering`: wanted one of native, dots, matmul, frozen, got 'fft'"):
        max_pool(jnp.zeros((1, 4, 4, 1)), lowering="fft")


def test_the_lowering_follows_place_and_platform():
    assert [default_lowering(place, platform="cpu") for place in ("top", "loop", "map", "vmap", "frozen")] == [
        "dots", "dots", "matmul", "matmul", "frozen",
    ]  # fmt: skip
    assert [default_lowering(place, platform="gpu") for place in ("top", "loop", "map", "vmap", "frozen")] == [
        "native", "native", "native", "matmul", "native",
    ]  # fmt: skip
    assert default_lowering("top") == "dots"  # the tests' platform is a CPU
    with pytest.raises(UsageError, match="`place`: wanted one of top, loop, map, vmap, frozen, got 'scan'"):
        default_lowering("scan")


def test_a_strided_convolution_is_differentiated_forward_and_twice():
    """With as many input channels as the product for the input's gradient wants."""
    image = jax.random.normal(jax.random.key(0), (1, 5, 4, 16))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 16, 2))

    def energy(lowering):
        return lambda x, k: (conv2d(x, k, stride=2, padding=1, lowering=lowering) ** 2).sum()

    ours, native = (jax.jit(jax.hessian(energy(name), (0, 1))) for name in ("dots", "native"))
    jax.tree.map(
        lambda found, wanted: np.testing.assert_allclose(found, wanted, atol=1e-4),
        ours(image, kernel),
        native(image, kernel),
    )


@pytest.mark.parametrize("sides", [(12, 12), (9, 14), (1, 5), (1, 1)], ids=str)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=str)
@pytest.mark.parametrize("levels", [3, 256])
def test_maxima_of_shifted_copies_are_those_of_windows(sides, dtype, levels):
    """Also where many pixels of a window are equal, and of one that is not a number."""
    image = jax.random.randint(jax.random.key(2), (2, *sides, 3), 0, levels).astype(dtype)
    found, pull = jax.vjp(lambda x: max_pool(x, lowering="dots"), image)
    wanted, pull_native = jax.vjp(lambda x: max_pool(x, lowering="native"), image)
    np.testing.assert_array_equal(found, wanted)
    cotangent = jax.random.randint(jax.random.key(3), found.shape, -8, 9).astype(dtype)  # whose sums are exact
    np.testing.assert_array_equal(*pull(cotangent), *pull_native(cotangent))
    hole = image.at[0, 0, 0].set(jnp.nan)
    with_hole = (max_pool(hole, lowering=lowering).astype(jnp.float32) for lowering in ("dots", "native"))
    np.testing.assert_array_equal(*with_hole)


@pytest.mark.parametrize(("of", "convolutions", "products"), [(0, 1, 1), (1, 2, 0), ((0, 1), 2, 1)], ids=str)
def test_a_strided_convolution_computes_the_gradients_that_are_asked_for(of, convolutions, products):
    def energy(image, kernel):
        return (conv2d(image, kernel, stride=2, padding=1, lowering="dots") ** 2).sum()

    program = jax.jit(jax.grad(energy, of)).lower(jnp.ones((4, 16, 16, 16)), jnp.ones((3, 3, 16, 8))).as_text()
    assert (program.count("stablehlo.convolution"), program.count("stablehlo.dot_general")) == (convolutions, products)
