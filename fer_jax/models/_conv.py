"""One convolution, four ways to compute it, and the max-pool of a stem, two ways.

Contract: activations (B, H, W, C), kernels (kh, kw, in, out). Results agree to float rounding whatever the lowering.

Which way is fast depends on where the convolution stands, not on its numbers (measured on x86 CPUs). `default_lowering`
alone decides:

* `"native"`: `lax.conv_general_dilated` throughout. For accelerators with one member at a time (reasoned).
* `"dots"`: 1×1 kernels as matrix products, the rest native, but for the input gradient of a strided one of 16 or more
  input channels, a matrix product too (and so is its tangent in forward mode, which is slower than a native one). Top
  level, unstacked, on a CPU.
* `"matmul"`: every kernel as one matrix product over shifted copies. Under `vmap` over kernels, where a native
  convolution becomes a slow grouped one, and inside loops on a CPU.
* `"frozen"`: native forward, and an input gradient that is itself a native convolution in the fast layout. For
  frozen networks inside loops (extremal perturbation), where autodiff's own backward is 7 to 17× slower on a CPU
  (jax-ml/jax issue 12868).
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from fer_jax.errors import check_one_of

LOWERINGS = ("native", "dots", "matmul", "frozen")
# place -> (on a CPU, elsewhere). See the top of this file
_FASTEST = {
    "top": ("dots", "native"),
    "loop": ("dots", "native"),
    "map": ("matmul", "native"),
    "vmap": ("matmul", "matmul"),
    "frozen": ("frozen", "native"),
}
_NUMBERS = ("NHWC", "HWIO", "NHWC")

# Below this many input channels (a picture has 3) a product with the kernel is too thin to be fast.
_FEW_CHANNELS = 16
# Up to this many cells turning a kernel round, which a loop would do again and again, costs as much as using it.
_FEW_CELLS = 256


def default_lowering(place: str, *, platform: str | None = None) -> str:
    """Return the lowering that suits a place on a platform.

    Args:
      place: "top" for a network by itself. "loop", "map" or "vmap" for members in that layout. "frozen" for a network
        that is differentiated towards its input inside a compiled loop.
      platform: such as "cpu". The default backend's if None.

    Returns:
      One of `LOWERINGS`.

    Raises:
      UsageError: an unknown place.
    """
    check_one_of("place", place, _FASTEST)
    on_cpu, elsewhere = _FASTEST[place]
    return on_cpu if (platform or jax.default_backend()) == "cpu" else elsewhere


def conv2d(image: jax.Array, kernel: jax.Array, *, stride: int = 1, padding: int = 0, lowering: str | None = None):
    """Convolve with symmetric zero padding (never SAME: that shifts strided layers against the reference weights).

    Args:
      image: (B, H, W, in).
      kernel: (kh, kw, in, out).
      stride: step in both directions.
      padding: zeros on each side.
      lowering: one of `LOWERINGS`. None takes `default_lowering("top")`.

    Returns:
      (B, h, w, out) with h = (H + 2 padding - kh) // stride + 1.

    Raises:
      UsageError: an unknown lowering.
    """
    if lowering is None:
        lowering = default_lowering("top")
    check_one_of("lowering", lowering, LOWERINGS)
    pointwise = kernel.shape[:2] == (1, 1) and padding == 0
    if lowering != "native" and pointwise:
        return _product(image[:, ::stride, ::stride], kernel[0, 0])
    if lowering == "matmul":
        return _as_matmul(image, kernel, stride, padding)
    if lowering == "frozen":
        return _frozen(image, kernel, stride, padding)
    if lowering == "dots" and stride > 1 and kernel.shape[2] >= _FEW_CHANNELS:
        return _strided(image, kernel, stride, padding)
    return _native(image, kernel, stride, padding)


def max_pool(image: jax.Array, *, lowering: str | None = None) -> jax.Array:
    """Return the maxima of 3×3 windows at every second pixel of (B, H, W, C), the border padded by one.

    Of equal pixels of a window the first one, row by row, gets the gradient.

    Args:
      image: (B, H, W, C).
      lowering: as of `conv2d`. Of all but "native" the maximum is that of shifted copies, whose gradient a CPU computes
        in a fifth of the time.

    Returns:
      (B, h, w, C) with h = (H + 1) // 2.

    Raises:
      UsageError: an unknown lowering.
    """
    if lowering is None:
        lowering = default_lowering("top")
    check_one_of("lowering", lowering, LOWERINGS)
    if lowering == "native":
        return nn.max_pool(image, (3, 3), (2, 2), [(1, 1), (1, 1)])
    padded = jnp.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    for axis in (2, 1):  # rows come first where pixels are equal
        last = padded.shape[axis] - 2  # of a window's first pixels
        shifted = [lax.slice_in_dim(padded, start, start + last, 2, axis) for start in range(3)]
        padded = functools.reduce(_larger, shifted)
    return padded


def _larger(first, second):
    """Return the maximum, of equals the first: `jnp.maximum` shares its gradient, and flat areas are full of equals."""
    return jnp.where((first >= second) | jnp.isnan(first), first, second)


def _native(image, kernel, stride, padding):
    return lax.conv_general_dilated(
        image, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=_NUMBERS
    )


def _as_matmul(image, kernel, stride, padding):
    kh, kw, channels, out = kernel.shape
    padded = jnp.pad(image, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    h = (padded.shape[1] - kh) // stride + 1
    w = (padded.shape[2] - kw) // stride + 1
    taps = [
        padded[:, i : i + (h - 1) * stride + 1 : stride, j : j + (w - 1) * stride + 1 : stride]
        for i in range(kh)
        for j in range(kw)
    ]
    return _product(jnp.concatenate(taps, -1), kernel.reshape(kh * kw * channels, out))


def _product(image, matrix):
    """Return (B, H, W, in) times (in, out), as a product of two matrices.

    Of one with four axes XLA turns the operands of the kernel's gradient round in memory: 1.3× the time of a whole
    training step of a ResNet-50 on a CPU.
    """
    return (image.reshape(-1, image.shape[-1]) @ matrix).reshape(*image.shape[:-1], matrix.shape[-1])


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _strided(image, kernel, stride, padding):
    return _native(image, kernel, stride, padding)


def _strided_tangent(stride, padding, primals, tangents):
    """Return value and tangent. Transposed, the input's gradient is a matrix product, not a convolution with holes."""
    (image, kernel), (of_image, of_kernel) = primals, tangents
    out = _strided(image, kernel, stride, padding)
    tangent = jnp.zeros_like(out)
    if not isinstance(of_image, SymbolicZero):
        tangent += _as_matmul(of_image, kernel, stride, padding)
    if not isinstance(of_kernel, SymbolicZero):
        tangent += _native(image, of_kernel, stride, padding)
    return out, tangent


# A zero that is known as one costs nothing: pictures are no variables in training, kernels none in an explanation.
_strided.defjvp(_strided_tangent, symbolic_zeros=True)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _frozen(image, kernel, stride, padding):
    return _native(image, kernel, stride, padding)


def _frozen_forward(image, kernel, stride, padding):
    return _native(image, kernel, stride, padding), (image, kernel)


def _frozen_backward(stride, padding, saved, cotangent):
    image, kernel = saved
    if stride == 1 and cotangent.shape[1] * cotangent.shape[2] > _FEW_CELLS:
        turned = kernel[::-1, ::-1].swapaxes(2, 3)
        edges = [(size - 1 - padding,) * 2 for size in kernel.shape[:2]]
        to_image = lax.conv_general_dilated(cotangent, turned, (1, 1), edges, dimension_numbers=_NUMBERS)
    elif stride > 1 and kernel.shape[2] < _FEW_CHANNELS:
        to_image = _gradient_by_phases(cotangent, kernel, stride, padding, image.shape)
    else:
        to_image = jax.linear_transpose(lambda x: _as_matmul(x, kernel, stride, padding), image)(cotangent)[0]
    # A frozen network asks for no kernel gradient: correct, not fast, and short to trace.
    return to_image, jax.linear_transpose(lambda k: _native(image, k, stride, padding), kernel)(cotangent)[0]


def _gradient_by_phases(cotangent, kernel, stride, padding, shape):
    """Return a strided convolution's input gradient by a dense one to stride² times the channels, then unfolded.

    Padded pixel stride * m + r has gradient Σ_q cotangent[m - q] kernel[stride * q + r], for each phase r.
    """
    taps = -(-max(kernel.shape[:2]) // stride)
    channels, out = kernel.shape[2:]
    missing = [(0, taps * stride - size) for size in kernel.shape[:2]]
    phases = jnp.pad(kernel, (*missing, (0, 0), (0, 0))).reshape(taps, stride, taps, stride, channels, out)
    phases = phases[::-1, :, ::-1].transpose(0, 2, 5, 1, 3, 4).reshape(taps, taps, out, stride**2 * channels)
    spread = lax.conv_general_dilated(cotangent, phases, (1, 1), [(taps - 1,) * 2] * 2, dimension_numbers=_NUMBERS)
    batch, h, w, _ = spread.shape
    spread = spread.reshape(batch, h, w, stride, stride, channels).transpose(0, 1, 3, 2, 4, 5)
    spread = spread.reshape(batch, h * stride, w * stride, channels)
    # Pixels behind the last window, which no output has seen, get zeros.
    behind = [(0, max(0, padding + size - have)) for size, have in zip(shape[1:3], spread.shape[1:3], strict=True)]
    spread = jnp.pad(spread, ((0, 0), *behind, (0, 0)))
    return spread[:, padding : padding + shape[1], padding : padding + shape[2]]


_frozen.defvjp(_frozen_forward, _frozen_backward)
