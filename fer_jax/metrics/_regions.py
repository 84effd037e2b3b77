"""Maps against a region: whether the maximum, the mass or the top pixels of a map lie in it."""

import jax
import jax.numpy as jnp

from fer_jax.arrays import as_map, as_region, unit_scale
from fer_jax.metrics._binary import most_salient


def pointing_game(heat: jax.Array, region: jax.Array, *, tolerance: float = 0.0) -> jax.Array:
    """Score 1 where a map's maximum (the first of equals) lies in a region or strictly nearer than `tolerance` px.

    Args:
      heat: float (H, W).
      region: bool (H, W).
      tolerance: pixels. 15 in the published game, 0 for none.

    Returns:
      1 or 0 as a float. 0 for an empty region, NaN if the map is not finite.

    Example:
      >>> float(pointing_game(jnp.asarray([[0.0, 1.0]]), jnp.asarray([[False, True]])))
      1.0
    """
    heat = as_map("heat", heat)
    region = as_region("region", region, heat.shape)
    row, column = jnp.unravel_index(jnp.argmax(heat), heat.shape)
    rows, columns = jnp.arange(heat.shape[0])[:, None], jnp.arange(heat.shape[1])[None, :]
    squared = (rows - row) ** 2 + (columns - column) ** 2
    hit = jnp.any(region & ((squared < tolerance**2) | (squared == 0)))
    return jnp.where(jnp.isfinite(heat).all(), hit.astype(heat.dtype), jnp.nan)


def energy_pointing(heat: jax.Array, region: jax.Array) -> jax.Array:
    """Return the share of a map's mass in a region. NaN for a map of zeros, a negative value or one not finite.

    Example:
      >>> float(energy_pointing(jnp.asarray([[1.0, 3.0]]), jnp.asarray([[False, True]])))
      0.75
    """
    heat = as_map("heat", heat)
    region = as_region("region", region, heat.shape)
    defined = (heat.min() >= 0) & (heat.max() > 0) & jnp.isfinite(heat).all()
    (heat,) = unit_scale(heat)
    return jnp.where(region, heat, 0).sum() / jnp.where(defined, heat.sum(), jnp.nan)


def relevance_rank(heat: jax.Array, region: jax.Array) -> jax.Array:
    """Return the share of the n most salient pixels that lie inside a region of n pixels.

    Args:
      heat: float (H, W).
      region: bool (H, W).

    Returns:
      A scalar in [0, 1]. NaN if the region is empty or the map is not finite.

    Example:
      >>> float(relevance_rank(jnp.asarray([[3.0, 2.0, 1.0]]), jnp.asarray([[True, False, True]])))
      0.5
    """
    heat = as_map("heat", heat)
    region = as_region("region", region, heat.shape)
    size = region.sum()
    defined = (size > 0) & jnp.isfinite(heat).all()
    return (most_salient(heat, size) & region).sum() / jnp.where(defined, size, jnp.nan)
