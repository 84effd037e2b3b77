"""RISE: a score under thousands of random masks (Petsiuk, Das and Saenko 2018, arXiv 1806.07421)."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.errors import UsageError, check_count
from fer_jax.saliency._normalise import resize
from fer_jax.saliency._once import compiled
from fer_jax.saliency._score import ScoreFn, check_image, check_score


def rise(
    key: jax.Array,
    score_fn: ScoreFn,
    image: jax.Array,
    *,
    samples: int = 4000,
    cells: int = 7,
    probability: float = 0.5,
    chunk: int = 32,
) -> jax.Array:
    """Return the mean score of randomly masked images at every pixel that their masks leave open (eq. 6).

    No gradient is taken, so the score may be any function. A masked pixel is 0, the data mean of a normalised image.

    Args:
      key: typed random key of the masks.
      score_fn: from one image (H, W, C) to a scalar. The source takes the probability of the class.
      image: float (H, W, C).
      samples: N masks. The source takes 4,000 for VGG-16 and 8,000 for ResNet-50.
      cells: side of the coarse grid that is drawn and enlarged, 7 in the source.
      probability: that a cell is open, .5 in the source.
      chunk: images scored at once, which bounds the memory.

    Returns:
      float (H, W), Σ_i f(I ⊙ M_i) M_i(u) / (p N), at least float32, raw. NaN everywhere if a score is.

    Raises:
      UsageError: a batch, bytes, a score that is no scalar, or an option out of range.

    Example:
      >>> image = jnp.ones((8, 8, 1))
      >>> heat = rise(jax.random.key(0), lambda x: x[:4, :4].mean(), image, samples=200, cells=2)
      >>> bool(heat[:4, :4].mean() > heat[4:, 4:].mean())
      True
    """
    image = check_image(image)
    check_score(score_fn, image)
    samples = check_count("samples", samples, 1)
    cells = check_count("cells", cells, 1)
    chunk = check_count("chunk", chunk, 1)
    if not 0 < probability < 1:
        raise UsageError(f"`probability`: wanted a number strictly between 0 and 1, got {probability!r}.")
    program = compiled(_weighed, score_fn, samples=samples, cells=cells, probability=probability, chunk=chunk)
    return program(key, image)


def _weighed(score_fn, key, image, *, samples, cells, probability, chunk):
    dtype = jnp.promote_types(image.dtype, jnp.float32)

    def weighted_masks(keys_and_counts):
        keys, counts = keys_and_counts
        masks = jax.vmap(lambda k: random_mask(k, image.shape[:2], cells, probability, dtype))(keys)
        scores = jax.vmap(score_fn)((image[None] * masks[..., None]).astype(image.dtype)).astype(dtype)
        return jnp.tensordot(jnp.where(counts, scores, 0), masks, 1, precision=lax.Precision.HIGHEST)

    groups = math.ceil(samples / chunk)
    size = math.ceil(samples / groups)
    keys = jax.random.split(key, samples)[jnp.minimum(jnp.arange(groups * size), samples - 1)]
    counts = jnp.arange(groups * size) < samples
    sums = lax.map(weighted_masks, (keys.reshape(groups, size), counts.reshape(groups, size)))
    return sums.sum(0) / (probability * samples)


def random_mask(key, size: tuple[int, int], cells: int, probability: float, dtype) -> jax.Array:
    """Return one smooth mask (H, W) in [0, 1]: a coarse grid of open cells, enlarged and shifted (§3.2)."""
    for_cells, for_shift = jax.random.split(key)
    grid = jax.random.bernoulli(for_cells, probability, (cells, cells)).astype(dtype)
    # Rounded up, where the article rounds down: with that the shifted crop could leave the enlarged grid.
    cell = [math.ceil(length / cells) for length in size]
    enlarged = resize(grid, ((cells + 1) * cell[0], (cells + 1) * cell[1]))
    shift = jax.random.randint(for_shift, (2,), 0, jnp.asarray(cell))
    return lax.dynamic_slice(enlarged, (shift[0], shift[1]), size)
