"""Maps against a region: whether the maximum, the mass or the top pixels of a map lie in it."""

import jax
import jax.numpy as jnp

from fer_jax.metrics._binary import most_salient


def pointing_game(heat: jax.Array, region: jax.Array, *, tolerance: float = 0.0) -> jax.Array:
    """Whether a map's maximum (the first of equals) lies in a region, or strictly nearer to it than `tolerance` px.

    Args:
      heat: float (H, W).
      region: bool (H, W).
      tolerance: pixels; 15 in the published game, 0 for none.

    Returns:
      A bool; False for an empty region.
    """
    row, column = jnp.unravel_index(jnp.argmax(heat), heat.shape)
    rows, columns = jnp.arange(heat.shape[0])[:, None], jnp.arange(heat.shape[1])[None, :]
    squared = (rows - row) ** 2 + (columns - column) ** 2
    return jnp.any(region & ((squared < tolerance**2) | (squared == 0)))


def energy_pointing(heat: jax.Array, region: jax.Array) -> jax.Array:
    """Share of a non-negative map's mass inside a region; NaN if the map is 0 everywhere."""
    total = heat.sum()
    return jnp.where(region, heat, 0).sum() / jnp.where(total == 0, jnp.nan, total)


def relevance_rank(heat: jax.Array, region: jax.Array) -> jax.Array:
    """Share of the n most salient pixels that lie inside a region of n pixels; NaN if the region is empty."""
    size = region.sum()
    return (most_salient(heat, size) & region).sum() / jnp.where(size > 0, size, jnp.nan)
