"""Remove and debias (Rong et al. 2022): removed pixels are filled from around, so that no hole betrays the mask."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

from fer_jax.arrays import vary_over, varying_axes
from fer_jax.errors import UsageError, check_count
from fer_jax.metrics import salience_rank
from fer_jax.saliency._once import compiled
from fer_jax.saliency._score import ScoreFn, check_image, check_score
from fer_jax.saliency.faithfulness._probe import check_map, check_share, has_order, in_chunks

ROAD_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

# Weights of the neighbours of a removed pixel (appendix of the article).
_STRAIGHT, _DIAGONAL = 1 / 6, 1 / 12


class Road(NamedTuple):
    """Scores of an image with shares of its pixels removed and filled in. NaN where the map has no order.

    Attributes:
      most_first: float (S,), the most salient pixels removed (MoRF). Low is good.
      least_first: float (S,), the least salient removed (LeRF). High is good.
      score: scalar, the mean over the shares of (LeRF - MoRF) / 2. Higher is better.
    """

    most_first: jax.Array
    least_first: jax.Array
    score: jax.Array


def road(
    key: jax.Array,
    score_fn: ScoreFn,
    image: jax.Array,
    heat: jax.Array,
    *,
    shares: tuple[float, ...] = ROAD_SHARES,
    noise: float = 0.01,
    tolerance: float = 1e-6,
    chunk: int = 9,
) -> Road:
    """Score an image without its most, and without its least, salient pixels, each imputed.

    Args:
      key: typed random key of the noise.
      score_fn: from one image (H, W, C) to a scalar, such as the probability of the class.
      image: float (H, W, C).
      heat: float (H, W).
      shares: of the pixels removed, S of them in (0, 1).
      noise: see `noisy_linear_impute`.
      tolerance: see `noisy_linear_impute`.
      chunk: images imputed and scored at once, which bounds the memory.

    Returns:
      A `Road`.

    Raises:
      UsageError: a batch, an integer image, a map of another size or (outside `jax.jit`) with a NaN, a score that is
        no scalar, or a share outside (0, 1).

    Example:
      >>> image = jnp.zeros((8, 8, 1)).at[2:5, 2:5].set(1.0)
      >>> result = road(jax.random.key(0), lambda view: view.mean(), image, image[..., 0], shares=(0.2, 0.4))
      >>> result.most_first.shape, bool(result.score > 0)
      ((2,), True)
    """
    image, heat = check_map(image, heat)
    check_score(score_fn, image)
    chunk = check_count("chunk", chunk, 1)
    if not shares:
        raise UsageError("`shares`: wanted at least one share in (0, 1), got none.")
    for share in shares:
        check_share("shares", share)
    program = compiled(_imputed_scores, score_fn, shares=tuple(shares), chunk=chunk)
    return program(key, image, heat, noise, tolerance)


def _imputed_scores(score_fn, key, image, heat, noise, tolerance, *, shares, chunk):
    """Compute the `Road` of an image."""
    rank = salience_rank(heat)
    removed = jnp.asarray([round(share * rank.size) for share in shares])
    first = jnp.concatenate([removed, jnp.zeros_like(removed)])
    end = jnp.concatenate([jnp.full_like(removed, rank.size), rank.size - removed])

    def score(case):
        first, end, key = case
        keep = (rank >= first) & (rank < end)
        return score_fn(_impute(key, image, keep, noise, tolerance))

    scores = in_chunks(score, (first, end, jax.random.split(key, len(first))), chunk)
    scores = jnp.where(has_order(heat), scores, jnp.nan)
    most_first, least_first = scores[: len(shares)], scores[len(shares) :]
    return Road(most_first, least_first, (least_first - most_first).mean() / 2)


def noisy_linear_impute(
    key: jax.Array, image: jax.Array, keep: jax.Array, *, noise: float = 0.01, tolerance: float = 1e-6
) -> jax.Array:
    """Fill removed pixels: each the weighted mean of its eight neighbours, all at once, and a little noise.

    Straight neighbours weigh 1/6, diagonal ones 1/12, those outside the image nothing, and the weights of a pixel
    are brought to a sum of 1.

    Args:
      key: typed random key of the noise.
      image: float (H, W, C).
      keep: bool (H, W), False where a pixel is removed.
      noise: standard deviation of the Gaussian noise of every removed value, of the image's unit.
      tolerance: residual at which the solver stops, relative to the right-hand side (ours).

    Returns:
      float (H, W, C), untouched where kept. NaN everywhere if nothing is.

    Raises:
      UsageError: a batch, an integer image, a mask that is not boolean or of another size, or a negative noise or
        tolerance.

    Example:
      >>> image, keep = jnp.asarray([[[1.0], [9.0], [2.0]]]), jnp.asarray([[True, False, True]])
      >>> noisy_linear_impute(jax.random.key(0), image, keep, noise=0.0).ravel().tolist()
      [1.0, 1.5, 2.0]
    """
    image = check_image(image)
    if jnp.shape(keep) != image.shape[:2] or keep.dtype != jnp.bool_:
        raise UsageError(f"`keep`: wanted a boolean mask {image.shape[:2]}, got {keep.dtype} {jnp.shape(keep)}.")
    for name, value in (("noise", noise), ("tolerance", tolerance)):
        if not isinstance(value, jax.core.Tracer) and not value >= 0:
            raise UsageError(f"`{name}`: wanted at least 0, got {value!r}.")
    return _impute(key, image, jnp.asarray(keep), noise, tolerance)


@jax.jit
def _impute(key, image, keep, noise, tolerance):
    dtype = jnp.promote_types(image.dtype, jnp.float32)
    pixels, keep = jnp.asarray(image, dtype), keep[..., None]
    # Solving for the deviation from the mean starts near the answer and keeps the digits of a bright image.
    middle = jnp.where(keep, pixels, 0).sum((0, 1), keepdims=True) / keep.sum().astype(dtype)
    weight = _neighbours(jnp.ones_like(pixels[..., :1]))

    # Multiplied by the weight a pixel's neighbours have in all, the means are a graph Laplacian on the removed pixels:
    # two neighbours give one another the same weight, borders included. It is symmetric, and positive where anything
    # is kept, so conjugate gradients solve it. Kept pixels are rows of the identity.
    def laplacian(values):
        return jnp.where(keep, values, weight * values - _neighbours(jnp.where(keep, 0, values)))

    known = jnp.where(keep, 0, _neighbours(jnp.where(keep, pixels - middle, 0)))
    # All that the solver holds must differ over the devices of a caller's `jax.shard_map` if anything does.
    known, weight, tolerance = vary_over((known, weight, jnp.asarray(tolerance, dtype)), varying_axes((known, keep)))
    filled, _ = cg(laplacian, known, tol=tolerance, maxiter=20 * (image.shape[0] + image.shape[1]))
    filled = middle + filled + noise * jax.random.normal(key, image.shape, dtype)
    return jnp.where(keep, pixels, filled).astype(image.dtype)


def _neighbours(values):
    """Sum the weighted eight neighbours of each pixel, zero outside, (H, W, C)."""
    height, width, _ = values.shape
    rows = jnp.pad(values, ((1, 1), (0, 0), (0, 0)))
    vertical = rows[:height] + rows[2:]
    columns = jnp.pad(_STRAIGHT * values + _DIAGONAL * vertical, ((0, 0), (1, 1), (0, 0)))
    return _STRAIGHT * vertical + columns[:, :width] + columns[:, 2:]
