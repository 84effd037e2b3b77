"""Smooth masks from few parameters: a smooth maximum of shifted bumps (Fong, Patrick and Vedaldi 2019).

Contract: parameters are (K, h, w) in [0, 1], one for every `step` pixels of the image. Masks are (K, H, W) in [0, 1],
or larger where the margin is kept. A parameter of 1 opens a disc of radius `sigma` / 2 with a Gaussian fall around it.

How it is computed: the bump's weights repeat with period `step`, so a mask is held phase by phase as
(step², K · cells) and the (2r + 1)² neighbours ("taps") are scanned, with a closed-form backward pass. No array of
taps × pixels is ever made.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fer_jax.arrays import as_floating, vary_over, varying_axes
from fer_jax.errors import UsageError, check_count, check_one_of

POOLINGS = ("smooth_max", "sum", "sigmoid")
COLDNESS = 20.0  # the smooth maximum's inverse temperature

_LARGE_MASK = 4096  # pixels

# exp(coldness * v) is formed without a shift, as v <= 1. float32 overflows at exp(88).
_LARGEST_COLDNESS = 80.0


class Axis(NamedTuple):
    """One axis of a mask: which cells of `step` pixels are made, and which of their pixels are kept.

    Attributes:
      grid: parameters along the axis.
      cells: cells computed.
      low: zero parameters in front of the grid (negative: parameters left out).
      high: zero parameters behind it.
      start: first pixel kept among cells * step.
      length: pixels kept.
      image: first pixel of the image among those kept.
    """

    grid: int
    cells: int
    low: int
    high: int
    start: int
    length: int
    image: int


def grid_shape(size: tuple[int, int], *, step: int) -> tuple[int, int]:
    """Return (h, w) of the parameters of a mask of `size` (H, W).

    Example:
      >>> grid_shape((224, 100), step=7)
      (32, 15)
    """
    return math.ceil(size[0] / step), math.ceil(size[1] / step)


def axis(length: int, *, step: int, sigma: float, margin: bool) -> Axis:
    """Lay out one axis of a mask.

    Args:
      length: pixels of the image along the axis.
      step: pixels between parameters.
      sigma: width of a bump, pixels.
      margin: keep the margin of about `sigma` pixels on both sides, into which the bumps of the border reach. Where
        the published margin is too short for the image (72 px, step 6, sigma 9) it is extended.

    Returns:
      The layout.
    """
    grid = math.ceil(length / step)
    radius, padding = _radius(step, sigma), _padding(step, sigma)
    offset = round(sigma)
    if margin:
        first, image = 0, offset
        needed = math.ceil((offset + length - 1) / step) + 1
        cells = max(grid + 2 * padding - 2 * radius, needed)
        start, kept = 0, step * (cells - 1) + 1
    else:
        first, image = offset // step, 0
        cells = (offset + length - 1) // step - first + 1
        start, kept = offset - first * step, length
    low = padding - first
    return Axis(grid, cells, low, cells + 2 * radius - low - grid, start, kept, image)


@functools.cache
def tap_weights(step: int, sigma: float) -> np.ndarray:
    """Return a bump's height at every tap and phase: exp(-2 max(0, d / sigma - 1/2)²), d the distance in pixels.

    Returns:
      float64 (taps, step²), taps = (2r + 1)² row by row, phases row by row. Read-only.
    """
    taps = np.arange(2 * _radius(step, sigma) + 1) - _padding(step, sigma)
    apart = np.arange(step)[None, :] - sigma - step * taps[:, None]
    distance = np.hypot(apart[:, None, :, None], apart[None, :, None, :])
    weights = np.exp(-2 * np.maximum(0, distance / sigma - 0.5) ** 2).reshape(len(taps) ** 2, step**2)
    weights.setflags(write=False)
    return weights


def smooth_mask(
    parameters: jax.Array,
    size: tuple[int, int],
    *,
    step: int = 7,
    sigma: float = 21.0,
    margin: bool = False,
    pooling: str = "smooth_max",
    coldness: float = COLDNESS,
) -> jax.Array:
    """Turn low-resolution parameters into smooth masks.

    Args:
      parameters: float (K, h, w) in [0, 1], with h and w of `grid_shape`.
      size: (H, W) of the image.
      step: pixels between parameters.
      sigma: width of a bump, pixels. It need not be whole.
      margin: return the mask with its margin, of about `sigma` pixels on each side.
      pooling: how bumps v_j join: "smooth_max", Σ v e^(c v) / Σ e^(c v), "sum", Σ v, or "sigmoid",
        sigmoid(c Σ v - 3). The last two are clipped to [0, 1], with a gradient of 1 at the very bounds.
      coldness: c above, at most 80.

    Returns:
      float (K, H, W), or (K, H', W') with the margin.

    Raises:
      UsageError: parameters of another shape, or an option that cannot be used.

    Example:
      >>> mask = smooth_mask(jnp.zeros((1, 3, 3)).at[0, 1, 1].set(1.0), (12, 12), step=4, sigma=4.0)
      >>> mask.shape, bool(mask[0, 4, 4] > 0.9), bool(mask[0, 11, 11] < 0.1)
      ((1, 12, 12), True, True)
    """
    _check_options(step, sigma, pooling, coldness)
    parameters = as_floating("parameters", parameters)
    rows = axis(size[0], step=step, sigma=sigma, margin=margin)
    columns = axis(size[1], step=step, sigma=sigma, margin=margin)
    if parameters.ndim != 3 or parameters.shape[1:] != (rows.grid, columns.grid):
        raise UsageError(
            f"`parameters`: wanted (K, {rows.grid}, {columns.grid}) for {size[0]} x {size[1]} px at step {step}, "
            f"got {parameters.shape}."
        )
    masks = parameters.shape[0]
    neighbours = _neighbours(parameters, rows, columns, 2 * _radius(step, sigma) + 1)
    if pooling == "smooth_max":
        pooled = _smooth_max(neighbours, step, float(sigma), float(coldness))
    else:
        weights = jnp.asarray(tap_weights(step, float(sigma)), parameters.dtype)
        pooled = jnp.einsum("tp,tc->pc", weights, neighbours, precision=lax.Precision.HIGHEST)
        pooled = jax.nn.sigmoid(coldness * pooled - 3) if pooling == "sigmoid" else pooled
    # From phases and cells to pixels.
    pooled = pooled.reshape(step, step, masks, rows.cells, columns.cells).transpose(2, 3, 0, 4, 1)
    mask = pooled.reshape(masks, rows.cells * step, columns.cells * step)
    mask = mask[:, rows.start : rows.start + rows.length, columns.start : columns.start + columns.length]
    # jnp.clip would halve the gradient at the bounds, where sparse parameters put many pixels.
    return jnp.where(mask < 0, 0, jnp.where(mask > 1, 1, mask))


def _neighbours(parameters, rows, columns, window):
    """Gather each cell's window of parameters: (window², K · cells)."""
    edges = [(0, 0, 0), (rows.low, rows.high, 0), (columns.low, columns.high, 0)]
    padded = lax.pad(parameters, jnp.zeros((), parameters.dtype), edges)
    across = jnp.stack([padded[:, :, k : k + columns.cells] for k in range(window)])
    both = jnp.stack([across[:, :, k : k + rows.cells] for k in range(window)])
    return both.reshape(window**2, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _smooth_max(neighbours, step, sigma, coldness):
    """Pool taps by their smooth maximum: (taps, N) -> (step², N)."""
    return _smooth_max_forward(neighbours, step, sigma, coldness)[0]


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _smooth_max_forward(neighbours, step, sigma, coldness):
    weights = jnp.asarray(tap_weights(step, sigma), neighbours.dtype)

    def tap(sums, weight_and_row):
        bumps = _outer(*weight_and_row)
        powers = jnp.exp(coldness * bumps)
        return (sums[0] + bumps * powers, sums[1] + powers), None

    zero = vary_over(jnp.zeros((step**2, neighbours.shape[1]), neighbours.dtype), varying_axes(neighbours))
    unroll = _unroll(step, sigma, zero.size)
    (numerator, denominator), _ = lax.scan(tap, (zero, zero), (weights, neighbours), unroll=unroll)
    mask = numerator / denominator
    return mask, (neighbours, mask, denominator)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _smooth_max_backward(step, sigma, coldness, saved, cotangent):
    """Differentiate m: with s_j the softmax weight of bump v_j, dm/dv_j = s_j (1 + c (v_j - m))."""
    neighbours, mask, denominator = saved
    weights = jnp.asarray(tap_weights(step, sigma), neighbours.dtype)
    shared = cotangent / denominator
    constant, slope = shared * (1 - coldness * mask), shared * coldness

    def tap(_, weight_and_row):
        bumps = _outer(*weight_and_row)
        terms = weight_and_row[0][:, None] * jnp.exp(coldness * bumps) * (constant + slope * bumps)
        # Written out before it is summed: inside a reduction XLA's CPU compiler does not vectorise the exponential.
        return None, lax.optimization_barrier(terms).sum(0)

    _, gradient = lax.scan(tap, None, (weights, neighbours))
    return (gradient,)


_smooth_max.defvjp(_smooth_max_forward, _smooth_max_backward)


def _outer(weight, row):
    return weight[:, None] * row[None, :]


def _unroll(step, sigma, pixels):
    """Take one row of the window at a time where fewer passes over the running sums outweigh a longer program."""
    return 2 * _radius(step, sigma) + 1 if pixels > _LARGE_MASK else 1


def _radius(step, sigma):
    return 1 + math.ceil(sigma / step)


def _padding(step, sigma):
    return 1 + math.ceil(2 * sigma / step)


def _check_options(step, sigma, pooling, coldness):
    check_count("step", step, 1)
    if not sigma > 0:
        raise UsageError(f"`sigma`: wanted a width above 0 px, got {sigma!r}.")
    check_one_of("pooling", pooling, POOLINGS)
    if not 0 < coldness <= _LARGEST_COLDNESS:
        raise UsageError(f"`coldness`: wanted a number in (0, {_LARGEST_COLDNESS:g}], got {coldness!r}.")
