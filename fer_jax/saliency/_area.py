"""The area term of extremal perturbation without a sort.

The published term sorts a mask's values and compares them with a step function of the wanted area. Sorting only moves
values about, so the same number comes from comparing the mask, in place, with the indicator of its k largest pixels.
The k-th largest value is found by bisection in some thirty counting passes.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.arrays import as_float, as_map, vary_over, varying_axes
from fer_jax.errors import UsageError


def ones_wanted(pixels: int, area: float) -> int:
    """Count the `pixels` that an area opens: all but the first int(pixels (1 - area)) of the sorted values."""
    return pixels - int(pixels * (1 - area))


@functools.partial(jax.jit, static_argnums=1)
def largest(values: jax.Array, count: int) -> jax.Array:
    """Mark the `count` largest values. Among equals the later ones win, as after a stable ascending sort.

    Args:
      values: float, any shape, read in row-major order.
      count: how many, 0..values.size.

    Returns:
      bool, of the same shape, with exactly `count` True.
    """
    keys = _ordered_keys(lax.stop_gradient(as_float("values", values).reshape(-1)))
    if count == 0:
        return jnp.zeros(values.shape, bool)
    # The largest key that at least `count` values reach. Invariant: low is reached by enough, high + 1 by too few.
    low, _ = lax.while_loop(
        lambda bounds: bounds[0] < bounds[1],
        lambda bounds: _halve(bounds, lambda key: jnp.sum(keys >= key) >= count),
        (keys.min(), keys.max()),
    )
    above, tied = keys > low, keys == low
    missing = count - jnp.sum(above)
    # The first index whose tied successors (itself included) are few enough. Without surplus ties this loop is empty.
    index = jnp.arange(keys.size)
    surplus = jnp.sum(tied) > missing
    start, _ = lax.while_loop(
        lambda bounds: bounds[0] < bounds[1],
        lambda bounds: _halve(bounds, lambda first: jnp.sum(tied & (index >= first)) >= missing),
        vary_over(
            (jnp.zeros((), index.dtype), jnp.where(surplus, keys.size - 1, 0).astype(index.dtype)), varying_axes(keys)
        ),
    )
    return (above | (tied & (index >= start))).reshape(values.shape)


def area_term(mask: jax.Array, *, area: float, within: tuple[slice, slice] | None = None) -> jax.Array:
    """Measure the distance of a mask from an area: mean of (sorted mask - step function)².

    Args:
      mask: float (H, W) in [0, 1].
      area: share of the mask's pixels that should be 1, the rest 0, strictly between 0 and 1.
      within: rows and columns of an image inside a larger mask (ours). The share is then the image's: as many pixels
        of it should be 1, and around it those that exceed the smallest of these. So opening the margin costs no area,
        and a soft edge costs as much in the margin as in the image.

    Returns:
      A non-negative scalar. Its gradient equals that of the sorted form.

    Raises:
      UsageError: an area outside (0, 1).

    Example:
      >>> float(area_term(jnp.asarray([[1.0, 0.0], [0.0, 1.0]]), area=0.25))
      0.25
    """
    check_area(area)
    mask = as_map("mask", mask)
    image = mask if within is None else mask[within]
    wanted = largest(image, ones_wanted(image.size, area))
    if within is not None:
        least = jnp.where(wanted, image, jnp.inf).min()
        wanted = (mask > lax.stop_gradient(least)).at[within].set(wanted)
    return jnp.mean((mask - wanted.astype(mask.dtype)) ** 2)


def check_area(area) -> None:
    """Raise unless `area` is a number strictly between 0 and 1."""
    try:
        inside = 0 < float(area) < 1
    except TypeError:
        inside = False
    if not inside:
        raise UsageError(
            f"`area`: wanted a share strictly between 0 and 1, known when the program is traced (or a tuple of them), "
            f"got {area!r}."
        )


def _ordered_keys(values):
    """Return integers in the order of the floats: sign times the bits of the magnitude, so that -0 equals 0."""
    integer, smallest = {4: (jnp.int32, -(2**31)), 8: (jnp.int64, -(2**63))}[values.dtype.itemsize]
    bits = lax.bitcast_convert_type(values, integer)
    return jnp.where(bits < 0, jnp.asarray(smallest, integer) - bits, bits)


def _halve(bounds, enough):
    """Take one bisection step towards the largest integer that is `enough`, its middle rounded up."""
    low, high = bounds
    # (low + high + 1) // 2 without overflow.
    middle = (low >> 1) + (high >> 1) + ((low | high) & 1)
    good = enough(middle)
    return jnp.where(good, middle, low), jnp.where(good, high, middle - 1)
