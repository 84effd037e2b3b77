"""What a mask does to an image: it chooses, pixel by pixel, a level of a pyramid of weaker and weaker perturbation.

Contract: images are float (H, W, C) of any range. Pyramids are (L, H, W, C), level 0 the strongest perturbation and
level L - 1 the untouched image. Masks are (K, H, W) in [0, 1], 1 = keep.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fer_jax.arrays import as_float_image, as_floating
from fer_jax.errors import UsageError, check_one_of

PERTURBATIONS = ("blur", "fade")
EDGES = ("zero", "reflect", "replicate")

# Keeps a width of 0 finite: the kernel is then a single tap of weight 1.
_SMALLEST_WIDTH = 1.19e-7


def gaussian_blur(image: jax.Array, *, sigma: float, edges: str = "zero") -> jax.Array:
    """Blur with a Gaussian cut at 4 sigma.

    Args:
      image: float (..., H, W, C).
      sigma: standard deviation, pixels. 0 changes nothing. The kernel may be longer than the image.
      edges: what lies outside: "zero" (no division by the covered weight, so borders darken), "reflect" (mirrored
        without repeating the edge) or "replicate".

    Returns:
      float (..., H, W, C).

    Raises:
      UsageError: a negative sigma or unknown edges.

    Example:
      >>> gaussian_blur(jnp.ones((1, 5, 1)), sigma=0.5, edges="replicate").shape
      (1, 5, 1)
    """
    image = as_float_image("image", image)
    if not sigma >= 0:
        raise UsageError(f"`sigma`: wanted a width of at least 0 px, got {sigma!r}.")
    check_one_of("edges", edges, EDGES)
    down = jnp.asarray(_blur_matrix(image.shape[-3], sigma, edges), image.dtype)
    across = jnp.asarray(_blur_matrix(image.shape[-2], sigma, edges), image.dtype)
    image = jnp.einsum("ij,...jwc->...iwc", down, image, precision=lax.Precision.HIGHEST)
    return jnp.einsum("ij,...hjc->...hic", across, image, precision=lax.Precision.HIGHEST)


def pyramid(image: jax.Array, *, kind: str = "blur", levels: int = 8, max_blur: float = 20.0) -> jax.Array:
    """Perturb an image at several strengths.

    Args:
      image: float (H, W, C).
      kind: "blur", level l blurred by sigma = (1 - l / (L - 1)) max_blur with zeros outside the image. Or "fade", the
        image times l / (L - 1), towards 0 (the data mean of normalised images).
      levels: L, at least 2.
      max_blur: sigma of the strongest level, pixels.

    Returns:
      float (L, H, W, C).

    Raises:
      UsageError: an unknown kind, fewer than two levels, or a negative blur.

    Example:
      >>> pyramid(jnp.full((1, 1, 1), 4.0), kind="fade", levels=3).ravel().tolist()
      [0.0, 2.0, 4.0]
    """
    image = as_float_image("image", image)
    check_one_of("perturbation", kind, PERTURBATIONS)
    if levels < 2:
        raise UsageError(f"`levels`: wanted at least 2, got {levels!r}.")
    if not max_blur >= 0:
        raise UsageError(f"`max_blur`: wanted a width of at least 0 px, got {max_blur!r}.")
    shares = [level / (levels - 1) for level in range(levels)]
    if kind == "fade":
        return jnp.stack([share * image for share in shares[:-1]] + [image])
    return jnp.stack([gaussian_blur(image, sigma=(1 - share) * max_blur) for share in shares[:-1]] + [image])


def perturb(levels: jax.Array, masks: jax.Array) -> jax.Array:
    """Perturb one image by each of K masks: linear interpolation between neighbouring levels of its pyramid.

    The slope at a level itself is that towards the next weaker one, and 0 at a mask of exactly 1.

    Args:
      levels: float (L, H, W, C), from `pyramid`.
      masks: float (K, H, W) in [0, 1].

    Returns:
      float (K, H, W, C).

    Raises:
      UsageError: masks that are not (K, H, W) of the image's size.

    Example:
      >>> levels = pyramid(jnp.full((1, 1, 1), 4.0), kind="fade", levels=3)
      >>> perturb(levels, jnp.asarray([[[0.25]], [[1.0]]])).ravel().tolist()
      [1.0, 4.0]
    """
    masks = as_floating("masks", masks)
    if masks.ndim != 3 or masks.shape[1:] != levels.shape[1:3]:
        raise UsageError(f"`masks`: wanted (K, {levels.shape[1]}, {levels.shape[2]}), got {masks.shape}.")
    top = levels.shape[0] - 1
    position = masks * top
    below = jnp.floor(lax.stop_gradient(position))[..., None]
    lower, rise = jnp.zeros((), levels.dtype), jnp.zeros((), levels.dtype)
    # Choosing among the few levels is far faster than gathering pixels, and leaves the gradient one product.
    for level in range(top):
        here = below == level
        lower = jnp.where(here, levels[level][None], lower)
        rise = jnp.where(here, (levels[level + 1] - levels[level])[None], rise)
    lower = jnp.where(below == top, levels[top][None], lower)
    return lower + (position[..., None] - below) * rise


def _blur_matrix(length: int, sigma: float, edges: str) -> np.ndarray:
    """Return a one-dimensional blur as a matrix (length, length), float64."""
    reach = math.ceil(4 * sigma)
    offsets = np.arange(-reach, reach + 1)
    taps = np.exp(-((offsets / (math.sqrt(2) * sigma + _SMALLEST_WIDTH)) ** 2))
    taps /= taps.sum()
    source = np.arange(length)[:, None] + offsets[None, :]
    taps = np.broadcast_to(taps, source.shape)
    if edges == "zero":
        taps = np.where((source >= 0) & (source < length), taps, 0)
        source = np.clip(source, 0, length - 1)
    elif edges == "replicate" or length == 1:
        source = np.clip(source, 0, length - 1)
    else:
        period = 2 * (length - 1)
        source = np.abs(source) % period
        source = np.where(source < length, source, period - source)
    matrix = np.zeros((length, length))
    np.add.at(matrix, (np.arange(length)[:, None], source), taps)
    return matrix
