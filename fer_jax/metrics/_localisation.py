"""A map against a known truth: whether it finds the pixels where the evidence lies, by five scores at once."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fer_jax.arrays import as_map, as_map_pair
from fer_jax.errors import UsageError
from fer_jax.metrics._binary import dice, most_salient
from fer_jax.metrics._clicks import auc_region
from fer_jax.metrics._maps import is_constant, spearman
from fer_jax.metrics._regions import energy_pointing, pointing_game


class Localisation(NamedTuple):
    """Scores of a map against a truth, each the better the higher. 1 is perfect.

    Attributes:
      pointing: whether the map's maximum lies in the evident region, 0 or 1. By chance the region's share.
      energy: share of the map's positive mass in the region. By chance the region's share.
      auc: area under the ROC curve of the map against the region. By chance .5.
      dice: Dice of the region and as many of the map's largest pixels. By chance the region's share.
      spearman: rank correlation of the map with the truth itself, region or not. By chance 0.
    """

    pointing: jax.Array
    energy: jax.Array
    auc: jax.Array
    dice: jax.Array
    spearman: jax.Array


def evident_region(truth: jax.Array, *, area: float = 0.1) -> jax.Array:
    """Mark the `area` share of pixels with the highest truth. Fewer if fewer are positive.

    Args:
      truth: float (H, W), 0 where there is no evidence.
      area: share of the pixels, in (0, 1).

    Returns:
      bool (H, W) of round(area H W) pixels, at least one. Among equals the earlier in row-major order. Fewer where
      fewer are above 0, none in a truth that holds a NaN.

    Raises:
      UsageError: an area out of range, or a truth that is no map.

    Example:
      >>> evident_region(jnp.asarray([[0.0, 1.0, 3.0, 2.0]]), area=0.5).tolist()
      [[False, False, True, True]]
    """
    truth = as_map("truth", truth)
    if not 0 < area < 1:
        raise UsageError(f"`area`: wanted a share strictly between 0 and 1, got {area}.")
    count = max(1, round(area * truth.size))
    return most_salient(truth, count) & (truth > 0) & jnp.isfinite(truth).all()


def localisation(heat: jax.Array, truth: jax.Array, *, area: float = 0.1) -> Localisation:
    """Score a map against a truth, such as `faces.oracle`'s.

    All but energy depend on the order of a map's values alone, so they are the same for every increasing function of
    it. Ties are broken as elsewhere here: the first maximum points, the earlier of equals belongs to the top.

    Args:
      heat: float (H, W), of any scale. Energy takes values below 0 as 0: they speak against.
      truth: float (H, W), 0 or more.
      area: share of the pixels that counts as evident, see `evident_region`.

    Returns:
      Five float scalars. All NaN for a map that is constant or not finite, which points nowhere, and for a truth
      that has no region. Energy is NaN also for a map that is nowhere above 0.

    Raises:
      UsageError: shapes that differ, or an area out of range.

    Example:
      >>> truth = jnp.asarray([[0.0, 1.0, 3.0, 2.0]])
      >>> localisation(truth, truth, area=0.5).auc.item()
      1.0
    """
    truth, heat = as_map_pair(truth=truth, heat=heat)
    region = evident_region(truth, area=area)
    known = jnp.isfinite(heat).all() & ~is_constant(heat) & region.any()
    scores = Localisation(
        pointing=pointing_game(heat, region),
        energy=energy_pointing(jnp.maximum(heat, 0), region),
        auc=auc_region(heat, region),
        dice=dice(most_salient(heat, region.sum()), region),
        spearman=spearman(heat, truth),
    )
    return Localisation(*(jnp.where(known, score, jnp.nan) for score in scores))
