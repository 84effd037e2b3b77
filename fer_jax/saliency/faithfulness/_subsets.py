"""Fidelity: how well a map's mass in any set of pixels predicts the score lost without them."""

import jax
import jax.numpy as jnp

from fer_jax.errors import UsageError, check_count
from fer_jax.metrics import most_salient, pearson
from fer_jax.saliency._normalise import resize
from fer_jax.saliency._once import compiled
from fer_jax.saliency._score import ScoreFn, check_score
from fer_jax.saliency.faithfulness._probe import (
    BLUR_SIGMA,
    check_map,
    check_share,
    has_order,
    in_chunks,
    replacement,
)


def mu_fidelity(
    key: jax.Array,
    score_fn: ScoreFn,
    image: jax.Array,
    heat: jax.Array,
    *,
    subsets: int = 128,
    size_share: float = 0.1,
    grid: tuple[int, int] | None = None,
    baseline: str | jax.Array = "zero",
    blur_sigma: float = BLUR_SIGMA,
    chunk: int = 32,
) -> jax.Array:
    """Correlate the attribution removed with the score lost, over random subsets (Bhatt et al. 2020, §3.2).

    Args:
      key: typed random key of the subsets.
      score_fn: from one image (H, W, C) to a scalar.
      image: float (H, W, C).
      heat: float (H, W), signed attributions: their sum over a subset is compared.
      subsets: how many (ours).
      size_share: of the pixels (or cells) each subset removes, in (0, 1) (ours).
      grid: (rows, columns) of cells removed as wholes (ours: with many pixels, subsets of single ones are all
        alike). None for pixels, as published.
      baseline: what a removed pixel becomes, as in `deletion`.
      blur_sigma: of "blur", pixels.
      chunk: images scored at once, which bounds the memory.

    Returns:
      A scalar in [-1, 1], higher is better. NaN if every subset has the same mass, as in a constant map, or the same
      score, or if the map holds a NaN.

    Raises:
      UsageError: a batch, an integer image, a map of another size or (outside `jax.jit`) with a NaN, a score that is
        no scalar, fewer than two subsets, a share that removes nothing or everything, or a grid finer than the image.

    Example:
      >>> image = jnp.arange(16.0).reshape(4, 4, 1)
      >>> fidelity = mu_fidelity(jax.random.key(0), lambda view: view.sum(), image, image[..., 0], subsets=16)
      >>> round(float(fidelity), 4)
      1.0
    """
    image, heat = check_map(image, heat)
    check_score(score_fn, image)
    subsets = check_count("subsets", subsets, 1)
    chunk = check_count("chunk", chunk, 1)
    if subsets < 2:
        raise UsageError(f"`subsets`: wanted at least 2 to correlate over, got {subsets}.")
    check_share("size_share", size_share)
    height, width = heat.shape
    cells = (height, width) if grid is None else tuple(grid)
    if len(cells) != 2 or not (0 < cells[0] <= height and 0 < cells[1] <= width):
        raise UsageError(f"`grid`: wanted (rows, columns), at least 1 and at most {(height, width)}, got {grid!r}.")
    size = round(size_share * cells[0] * cells[1])
    if not 0 < size < cells[0] * cells[1]:
        raise UsageError(f"`size_share`: wanted some of the {cells[0]} x {cells[1]} cells removed, got {size_share!r}.")
    other = replacement(image, baseline, blur_sigma=blur_sigma)
    program = compiled(_correlation, score_fn, subsets=subsets, cells=cells, size=size, chunk=chunk)
    return program(key, image, heat, other)


def _correlation(score_fn, key, image, heat, other, *, subsets, cells, size, chunk):
    """Correlate the mass that subsets of the pixels hold with the score lost without them."""
    height, width = heat.shape

    def remove(key):
        chosen = most_salient(jax.random.uniform(key, cells), size)
        removed = resize(chosen, (height, width), how="nearest")
        return jnp.where(removed, heat, 0).sum(), score_fn(jnp.where(removed[..., None], other, image))

    mass, score = in_chunks(remove, jax.random.split(key, subsets), chunk)
    return jnp.where(has_order(heat), pearson(mass.astype(score.dtype), -score), jnp.nan)
