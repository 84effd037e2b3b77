"""Deletion and insertion curves, and how a score fares when only what the map shows is left."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fer_jax.errors import UsageError, check_count
from fer_jax.metrics import salience_rank
from fer_jax.saliency._normalise import normalise
from fer_jax.saliency._once import compiled
from fer_jax.saliency._score import ScoreFn, check_score
from fer_jax.saliency.faithfulness._probe import (
    BLUR_SIGMA,
    check_map,
    has_order,
    in_chunks,
    replacement,
)


class Curve(NamedTuple):
    """A score along a path between an image and a baseline. All but the fractions are NaN where the map has no order.

    Attributes:
      fractions: float (S + 1,), share of the pixels changed, from 0 to 1.
      scores: float (S + 1,).
      area: scalar, trapezoid area under the scores over the fractions.
    """

    fractions: jax.Array
    scores: jax.Array
    area: jax.Array


def deletion(
    score_fn: ScoreFn,
    image: jax.Array,
    heat: jax.Array,
    *,
    steps: int = 32,
    baseline: str | jax.Array = "zero",
    blur_sigma: float = BLUR_SIGMA,
    chunk: int = 32,
) -> Curve:
    """Measure how fast a score falls while the most salient pixels are removed first (RISE, §4.1). Lower is better.

    Args:
      score_fn: from one image (H, W, C) to a scalar. RISE takes the probability of the class.
      image: float (H, W, C).
      heat: float (H, W).
      steps: S, equal ones (to a whole pixel) from the untouched image to the baseline. 32 is ours, RISE takes 224.
      baseline: what a removed pixel becomes: "zero" (RISE: the data mean of a normalised image), "mean" of the
        image, "blur", or an image (H, W, C).
      blur_sigma: of "blur", pixels. Scale it with the image.
      chunk: images scored at once, which bounds the memory.

    Returns:
      A `Curve` from the score of the image to that of the baseline.

    Raises:
      UsageError: a batch, an integer image, a map of another size or (outside `jax.jit`) with a NaN, a score that is
        no scalar, fewer than one step or more than pixels, or a bad baseline.

    Example:
      >>> image = jnp.asarray([[[1.0], [3.0]]])
      >>> deletion(lambda view: view.sum(), image, image[..., 0], steps=2).scores.tolist()
      [4.0, 1.0, 0.0]
    """
    return _curve(score_fn, image, heat, steps, baseline, blur_sigma, chunk, inserting=False)


def insertion(
    score_fn: ScoreFn,
    image: jax.Array,
    heat: jax.Array,
    *,
    steps: int = 32,
    baseline: str | jax.Array = "blur",
    blur_sigma: float = BLUR_SIGMA,
    chunk: int = 32,
) -> Curve:
    """Measure how fast a score rises while the most salient pixels are put in first (RISE, §4.1). Higher is better.

    Arguments and errors are those of `deletion`. RISE takes "blur" as the baseline here.

    Returns:
      A `Curve` from the score of the baseline to that of the image.

    Example:
      >>> image = jnp.asarray([[[1.0], [3.0]]])
      >>> insertion(lambda view: view.sum(), image, image[..., 0], steps=2, baseline="zero").scores.tolist()
      [0.0, 3.0, 4.0]
    """
    return _curve(score_fn, image, heat, steps, baseline, blur_sigma, chunk, inserting=True)


def masked_image(
    image: jax.Array,
    heat: jax.Array,
    *,
    how: str = "max",
    baseline: str | jax.Array = "zero",
    blur_sigma: float = BLUR_SIGMA,
) -> jax.Array:
    """Weigh an image by its map, for `average_drop` and `increase`: most of it is kept where the map is highest.

    Args:
      image: float (H, W, C).
      heat: float (H, W).
      how: of `saliency.normalise`. Values outside [0, 1] are then clipped.
      baseline: what stands where the weight is 0, as in `deletion`.
      blur_sigma: of "blur", pixels.

    Returns:
      float (H, W, C). The baseline itself for a map without a positive value.

    Raises:
      UsageError: as `deletion`.

    Example:
      >>> masked_image(jnp.full((1, 2, 1), 4.0), jnp.asarray([[1.0, 2.0]])).ravel().tolist()
      [2.0, 4.0]
    """
    image, heat = check_map(image, heat)
    background = replacement(image, baseline, blur_sigma=blur_sigma)
    weight = jnp.clip(normalise(heat, how=how), 0, 1)[..., None]
    return (background + weight * (image - background)).astype(image.dtype)


def average_drop(score_full: jax.Array, score_masked: jax.Array) -> jax.Array:
    """Average the share of the score lost when only the salient part is left (Grad-CAM++, §4.1). Lower is better.

    Args:
      score_full: float (N,), probabilities of the class in N whole images.
      score_masked: float (N,), in the same images masked, see `masked_image`.

    Returns:
      A scalar mean(max(0, p - p') / p) in [0, 1], times 100 the published per cent. NaN if a score of a whole image
      is not positive, as a logit may be, or without images.

    Raises:
      UsageError: scores of unlike shape.

    Example:
      >>> float(average_drop(jnp.asarray([0.5, 0.5]), jnp.asarray([0.25, 0.75])))
      0.25
    """
    _check_scores(score_full, score_masked)
    lost = jnp.maximum(score_full - score_masked, 0)
    return (lost / jnp.where(score_full > 0, score_full, jnp.nan)).sum() / _number(score_full)


def increase(score_full: jax.Array, score_masked: jax.Array) -> jax.Array:
    """Count the share of images whose score rises when only the salient part is left. Higher is better.

    Arguments and errors are those of `average_drop`.

    Returns:
      A scalar in [0, 1]. NaN if a score is NaN, or without images.

    Example:
      >>> float(increase(jnp.asarray([0.5, 0.5]), jnp.asarray([0.25, 0.75])))
      0.5
    """
    _check_scores(score_full, score_masked)
    undefined = jnp.isnan(score_full) | jnp.isnan(score_masked)
    return jnp.where(undefined, jnp.nan, score_masked > score_full).sum() / _number(score_full)


def _curve(score_fn, image, heat, steps, baseline, blur_sigma, chunk, *, inserting):
    image, heat = check_map(image, heat)
    check_score(score_fn, image)
    steps = check_count("steps", steps, 1)
    chunk = check_count("chunk", chunk, 1)
    if steps > heat.size:
        raise UsageError(f"`steps`: wanted at most the pixels of the image, {heat.size}, got {steps}.")
    other = replacement(image, baseline, blur_sigma=blur_sigma)
    before, after = (other, image) if inserting else (image, other)
    return compiled(_changing, score_fn, steps=steps, chunk=chunk)(before, after, heat)


def _changing(score_fn, before, after, heat, *, steps, chunk):
    """Follow the `Curve` from one image to another, the most salient pixels first."""
    rank = salience_rank(heat)[..., None]
    changed = [(2 * step * heat.size + steps) // (2 * steps) for step in range(steps + 1)]

    def score(count):
        return score_fn(jnp.where(rank < count, after, before))

    scores = in_chunks(score, jnp.asarray(changed), chunk)
    scores = jnp.where(has_order(heat), scores, jnp.nan)
    fractions = jnp.asarray([count / heat.size for count in changed], scores.dtype)
    area = (jnp.diff(fractions) * (scores[1:] + scores[:-1])).sum() / 2
    return Curve(fractions, scores, area)


def _check_scores(score_full, score_masked):
    if jnp.shape(score_full) != jnp.shape(score_masked) or jnp.ndim(score_full) != 1:
        raise UsageError(
            f"`score_masked`: wanted (N,), one for each of `score_full`, got {jnp.shape(score_masked)} "
            f"for {jnp.shape(score_full)}."
        )


def _number(scores):
    return len(scores) or jnp.nan
