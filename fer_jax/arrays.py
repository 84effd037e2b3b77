"""What is asked of every array, in one place: floating point, finite, and as varied over devices as what it meets.

Contract: a map is (H, W) of numbers of any scale. Whole numbers and booleans are read as the floats they stand for, and
float16 and bfloat16 are computed in float32. An image or a feature map is floating point already: bytes are refused,
as their scale is the caller's to choose. A map that holds a NaN or an infinity is undefined, and so is what is
measured on it: NaN.
"""

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.errors import UsageError


def as_array(name: str, values) -> jax.Array:
    """Return what NumPy can make an array of as one. Raise a UsageError for anything else."""
    try:
        return jnp.asarray(values)
    except (TypeError, ValueError):
        raise UsageError(f"`{name}`: wanted an array of numbers, got {type(values).__name__}.") from None


def as_floating(name: str, values) -> jax.Array:
    """Return real numbers as they are if floating point, otherwise as float32. Raise a UsageError for what is none."""
    values = as_array(name, values)
    if jnp.issubdtype(values.dtype, jnp.floating):
        return values
    if not (jnp.issubdtype(values.dtype, jnp.integer) or values.dtype == jnp.bool_):
        raise UsageError(f"`{name}`: wanted real numbers, got {values.dtype}.")
    return values.astype(jnp.float32)


def as_float(name: str, values) -> jax.Array:
    """Return real numbers of any dtype as float32, or float64 where that came. Raise a UsageError for what is none."""
    values = as_floating(name, values)
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def as_map(name: str, heat) -> jax.Array:
    """Return one map as float (H, W), at least float32. Raise a UsageError for what is none."""
    heat = as_float(name, heat)
    if heat.ndim != 2:
        raise UsageError(f"`{name}`: wanted one map (H, W), got shape {heat.shape}; use jax.vmap over several.")
    return heat


def as_map_pair(**maps) -> list[jax.Array]:
    """Return two named maps as `as_map` does. Raise a UsageError where their shapes differ."""
    (first, _), (second, _) = maps.items()
    one, other = (as_map(name, heat) for name, heat in maps.items())
    if one.shape != other.shape:
        raise UsageError(f"`{second}`: wanted the shape of `{first}`, {one.shape}, got {other.shape}.")
    return [one, other]


def as_region(name: str, region, shape: tuple[int, ...]) -> jax.Array:
    """Return a region as bool (H, W). Raise a UsageError for another dtype or shape."""
    region = as_array(name, region)
    if region.dtype != jnp.bool_ or region.shape != shape:
        raise UsageError(f"`{name}`: wanted a boolean map {shape}, got {region.dtype} {region.shape}.")
    return region


def as_whole(name: str, values) -> jax.Array:
    """Return whole numbers as int32 (int64 where that came). Raise a UsageError for any other dtype."""
    values = as_array(name, values)
    if not jnp.issubdtype(values.dtype, jnp.integer) and values.dtype != jnp.bool_:
        raise UsageError(f"`{name}`: wanted whole numbers, got {values.dtype}.")
    return values.astype(jnp.promote_types(values.dtype, jnp.int32))


def as_float_image(name: str, image) -> jax.Array:
    """Return an image (..., H, W, C) that is floating point. Raise a UsageError for bytes, whose scale is open."""
    image = as_array(name, image)
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise UsageError(f"`{name}`: wanted floating point, got {image.dtype}; see fer_jax.images.to_float.")
    return _with_channels(name, image)


def as_byte_image(name: str, image) -> jax.Array:
    """Return an image (..., H, W, C) of bytes. Raise a UsageError for any other dtype."""
    image = as_array(name, image)
    if image.dtype != jnp.uint8:
        raise UsageError(f"`{name}`: wanted bytes (uint8, 0..255), got {image.dtype}.")
    return _with_channels(name, image)


def _with_channels(name, image):
    if image.ndim < 3:
        raise UsageError(
            f"`{name}`: wanted channels last, (H, W, C), got shape {image.shape}; image[..., None] for a grey one."
        )
    height, _, channels = image.shape[-3:]
    if height in (1, 3, 4) and channels > 4:
        raise UsageError(
            f"`{name}`: wanted channels last, (..., H, W, C), got shape {image.shape}, which looks like channels "
            "first; jnp.moveaxis(image, -3, -1)."
        )
    return image


def is_finite(heat: jax.Array) -> jax.Array:
    """Return whether each map (..., H, W) is finite everywhere, with the axes H and W kept as 1."""
    return jnp.isfinite(heat).all((-2, -1), keepdims=True)


def unit_scale(*arrays: jax.Array) -> list[jax.Array]:
    """Divide arrays by one power of two, which costs no digit, so that the largest magnitude lies in [1/2, 1).

    Squares and sums then neither overflow nor vanish, whatever the scale. Zeros stay.
    """
    top = lax.stop_gradient(jnp.stack([jnp.abs(array).max() for array in arrays]).max())
    _, exponent = jnp.frexp(top)
    return [jnp.ldexp(array, -exponent) for array in arrays]


def varying_axes(tree) -> frozenset:
    """Return the axes of a caller's `jax.shard_map` over which any leaf differs. Empty elsewhere."""
    axes = [getattr(jax.typeof(leaf), "manual_axis_type", None) for leaf in jax.tree.leaves(tree)]
    return frozenset().union(*(each.varying for each in axes if each is not None))


def vary_over(tree, axes: frozenset):
    """Mark a tree as differing over such axes, which changes no value.

    Inside a caller's `jax.shard_map` the derivative by what is equal on all devices is *summed* over them, and a loop
    must start as varied as it goes on.
    """

    def one(leaf):
        missing = tuple(sorted(axes - varying_axes(leaf)))
        return lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(one, tree)
