"""From raw maps to pictures: normalising and resizing, separate from the methods, with the peers' conventions by name.

Contract: a map is float (..., h, w), of any sign and scale. No function here turns a constant map into NaN unless its
convention is that of a peer that does (`postprocess`, marked there). A map that is not finite is NaN once normalised.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fer_jax.arrays import as_float, as_floating, is_finite, unit_scale
from fer_jax.errors import UsageError, check_one_of

NORMALISATIONS = ("minmax", "max", "sum", "none")
RESIZINGS = ("bilinear", "nearest", "bicubic", "bicubic_keys")

# Slope at the far neighbours of the cubic kernel: torch and OpenCV, and Keys (1981), whom TensorFlow and JAX follow.
_CUBIC_SLOPES = {"bicubic": -0.75, "bicubic_keys": -0.5}


def normalise(heat: jax.Array, *, how: str = "minmax") -> jax.Array:
    """Bring a map to a common scale, each map of a batch by itself.

    Args:
      heat: float (..., h, w).
      how: "minmax", to [0, 1], a constant map to 0. "max", divided by its maximum, or by its largest magnitude if no
        value is positive, a map of zeros left so. "sum", to a density that sums to 1, shifted by its minimum only if
        that is negative, and uniform if the sum is 0. Or "none".

    Returns:
      float (..., h, w).

    Raises:
      UsageError: an unknown way, or what is no map.

    Example:
      >>> normalise(jnp.asarray([[-1.0, 0.0, 3.0]])).tolist()
      [[0.0, 0.25, 1.0]]
    """
    check_one_of("how", how, NORMALISATIONS)
    values, dtype = _as_maps(heat)
    if how == "none":
        return heat
    known = is_finite(values)
    values = _at_unit_scale(values)
    if how == "minmax":
        low = _least(values)
        scaled = _ratio(values - low, _largest(values) - low)
    elif how == "max":
        top = _largest(values)
        scaled = _ratio(values, jnp.where(top > 0, top, _largest(jnp.abs(values))))
    else:
        values = values - jnp.minimum(_least(values), 0)
        total = values.sum((-2, -1), keepdims=True)
        uniform = 1 / (values.shape[-2] * values.shape[-1])
        scaled = jnp.where(total > 0, _ratio(values, total), uniform)
    return jnp.where(known, scaled, jnp.nan).astype(dtype)


def resize(heat: jax.Array, size: tuple[int, int], *, how: str = "bilinear") -> jax.Array:
    """Resize a map without antialiasing.

    Args:
      heat: float (..., h, w).
      size: (height, width) wanted.
      how: "bilinear" and "bicubic" with half-pixel centres as in torch and OpenCV (cubic slope -0.75), "bicubic_keys"
        with slope -0.5 as in TensorFlow, "nearest" as floor(index × scale) in torch and OpenCV.

    Returns:
      float (..., height, width).

    Raises:
      UsageError: an unknown way.

    Example:
      >>> resize(jnp.asarray([[0.0, 1.0]]), (1, 4)).tolist()
      [[0.0, 0.25, 0.75, 1.0]]
    """
    check_one_of("how", how, RESIZINGS)
    values, dtype = _as_maps(heat)
    (h, w), (height, width) = values.shape[-2:], size
    if (h, w) == (height, width):
        return heat
    if how == "nearest":
        rows = np.arange(height) * h // height
        columns = np.arange(width) * w // width
        return jnp.asarray(heat)[..., rows, :][..., columns]
    down = jnp.asarray(_sampling(h, height, how), values.dtype)
    across = jnp.asarray(_sampling(w, width, how), values.dtype)
    values = jnp.einsum("ij,...jw->...iw", down, values, precision=lax.Precision.HIGHEST)
    return jnp.einsum("ij,...hj->...hi", across, values, precision=lax.Precision.HIGHEST).astype(dtype)


def postprocess(heat: jax.Array, size: tuple[int, int], *, convention: str) -> jax.Array:
    """Rectify, normalise and resize a raw signed map as one of this library's peers would.

    Args:
      heat: float (h, w), raw and signed.
      size: (height, width) of the image.
      convention: "cam_script" (the published CAM script), "torchray", "captum", "pytorch_grad_cam", "torch_cam",
        "xplique", "pair" or "flax_gradcam". The first and the last two give NaN for a constant or an all-negative
        map, as their originals do.

    Returns:
      float (height, width), or (h, w) for "flax_gradcam".

    Raises:
      UsageError: an unknown convention.

    Example:
      >>> postprocess(jnp.asarray([[-1.0, 4.0]]), (1, 2), convention="torchray").tolist()
      [[0.0, 4.0]]
    """
    check_one_of("convention", convention, CONVENTIONS)
    return CONVENTIONS[convention](as_float("heat", heat), size)


def _cam_script(heat, size):
    # In floating point. The script rounds again after resizing.
    shifted = heat - _least(heat)
    return resize(jnp.floor(255 * (shifted / _largest(shifted))), size)


def _pytorch_grad_cam(heat, size):
    return _scaled(resize(_scaled(jax.nn.relu(heat), 1e-7), size), 1e-7)


def _torch_cam(heat, size):
    return resize(_scaled(jax.nn.relu(heat), 1e-8), size)


def _over_maximum(heat):
    return jax.nn.relu(heat) / _largest(jax.nn.relu(heat))


CONVENTIONS = {
    "cam_script": _cam_script,
    "torchray": lambda heat, size: resize(jax.nn.relu(heat), size),
    "captum": lambda heat, size: resize(heat, size, how="nearest"),
    "pytorch_grad_cam": _pytorch_grad_cam,
    "torch_cam": _torch_cam,
    "xplique": lambda heat, size: resize(jax.nn.relu(heat), size, how="bicubic_keys"),
    "pair": lambda heat, size: resize(_over_maximum(heat), size),
    "flax_gradcam": lambda heat, size: _over_maximum(heat),
}


def _as_maps(heat):
    """Return maps (..., h, w) at least in float32, and the dtype of the answer: that of a floating-point `heat`."""
    values = as_floating("heat", heat)
    if values.ndim < 2:
        raise UsageError(f"`heat`: wanted a map (h, w) or several (..., h, w), got shape {values.shape}.")
    return as_float("heat", values), values.dtype


def _at_unit_scale(heat):
    """Scale each map by itself."""
    flat = heat.reshape(-1, *heat.shape[-2:])
    return jax.vmap(lambda one: unit_scale(one)[0])(flat).reshape(heat.shape)


def _least(heat):
    return heat.min((-2, -1), keepdims=True)


def _largest(heat):
    return heat.max((-2, -1), keepdims=True)


def _ratio(values, scale):
    """Divide, with 0 where the scale is 0. It is safe to differentiate."""
    positive = scale > 0
    return jnp.where(positive, values / jnp.where(positive, scale, 1), 0)


def _scaled(heat, epsilon):
    shifted = heat - _least(heat)
    return shifted / (epsilon + _largest(shifted))


@functools.cache
def _sampling(old: int, new: int, how: str) -> np.ndarray:
    """Return interpolation along one axis as a matrix (new, old), float64. The edge is repeated outside."""
    position = (np.arange(new) + 0.5) * old / new - 0.5
    first = np.floor(position).astype(int)
    matrix = np.zeros((new, old))
    for shift in (0, 1) if how == "bilinear" else (-1, 0, 1, 2):
        distance = np.abs(position - first - shift)
        weight = 1 - distance if how == "bilinear" else _cubic(distance, _CUBIC_SLOPES[how])
        np.add.at(matrix, (np.arange(new), np.clip(first + shift, 0, old - 1)), weight)
    matrix.setflags(write=False)
    return matrix


def _cubic(distance, slope):
    near = (slope + 2) * distance**3 - (slope + 3) * distance**2 + 1
    far = slope * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return np.where(distance <= 1, near, far)
