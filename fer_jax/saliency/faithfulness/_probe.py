"""Checks of a map, replacements of a removed pixel, and scoring in chunks, as every probe of a map uses them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.arrays import as_floating
from fer_jax.errors import UsageError
from fer_jax.saliency._perturbation import gaussian_blur
from fer_jax.saliency._score import check_image

BASELINES = ("zero", "mean", "blur")

BLUR_SIGMA = 5.0  # RISE (Petsiuk et al. 2018), of its insertion game at 224 px. Its kernel ends at 5 px.


def check_map(image, heat) -> tuple[jax.Array, jax.Array]:
    """Return one float image and one map of its size as arrays, or raise. Also, where known, for a NaN."""
    image = check_image(image)
    if jnp.shape(heat) != image.shape[:2]:
        raise UsageError(
            f"`heat`: wanted (H, W) of the image, {image.shape[:2]}, got {jnp.shape(heat)}; see saliency.resize."
        )
    heat = as_floating("heat", heat)
    if not isinstance(heat, jax.core.Tracer) and bool(jnp.isnan(heat).any()):
        raise UsageError(f"`heat`: wanted numbers, got {int(jnp.isnan(heat).sum())} NaN; leave this map out.")
    return image, heat


def check_share(name: str, share) -> None:
    """Raise unless this is a number strictly between 0 and 1."""
    if not 0 < share < 1:
        raise UsageError(f"`{name}`: wanted a share of the pixels in (0, 1), got {share!r}.")


def has_order(heat: jax.Array) -> jax.Array:
    """Return whether a map's pixels can be told apart: it is finite and not constant."""
    return (heat.max() > heat.min()) & jnp.isfinite(heat).all()


def replacement(image: jax.Array, baseline, *, blur_sigma: float = BLUR_SIGMA) -> jax.Array:
    """Return what a removed pixel becomes, (H, W, C): an image of the user's, or one of `BASELINES`."""
    if not isinstance(baseline, str):
        if jnp.shape(baseline) != image.shape:
            raise UsageError(f"`baseline`: wanted an image {image.shape}, got shape {jnp.shape(baseline)}.")
        return jnp.asarray(baseline, image.dtype)
    if baseline == "zero":
        return jnp.zeros_like(image)
    if baseline == "mean":
        return jnp.broadcast_to(image.mean((0, 1), keepdims=True), image.shape)
    if baseline == "blur":
        if not blur_sigma > 0:
            raise UsageError(f"`blur_sigma`: wanted a width above 0 px, got {blur_sigma!r}.")
        return gaussian_blur(image, sigma=blur_sigma, edges="reflect")
    raise UsageError(f"`baseline`: wanted an image or one of {', '.join(BASELINES)}, got {baseline!r}.")


def in_chunks(fn: Callable, items, chunk: int):
    """Map over the leading axis of a pytree, at most `chunk` entries at once."""
    count = len(jax.tree.leaves(items)[0])
    groups = -(-count // chunk)
    size = -(-count // groups)
    # Equal groups, padded with the last entry: a smaller last one would have `fn` compiled a second time.
    at = jnp.minimum(jnp.arange(groups * size), count - 1)
    out = lax.map(fn, jax.tree.map(lambda leaf: leaf[at], items), batch_size=size)
    return jax.tree.map(lambda leaf: leaf[:count], out)
