"""Binary maps: from a map to pixels that are on, by level or by area, and how far two such overlap."""

import jax
import jax.numpy as jnp
import numpy as np

from fer_jax.arrays import as_float, as_map, as_map_pair, is_finite, unit_scale
from fer_jax.errors import UsageError, check_one_of

NORMALISATIONS = ("minmax", "max")
ROUNDINGS = ("floor", "round")
COMPARISONS = ("gt", "ge")
EMPTY = ("nan", "one")

PAPER_THRESHOLD = 50  # of 255, §5.3: "values over 50" are 1


def to_bytes(heat: jax.Array, *, normalise: str = "minmax", integer: str = "floor") -> jax.Array:
    """Scale a map to whole numbers 0..255 (paper §5.3, which leaves both options open).

    Args:
      heat: float (H, W).
      normalise: "minmax", or "max" (divided by the maximum, negative values to 0).
      integer: "floor" or "round" (halves to even).

    Returns:
      float (H, W) of whole numbers 0..255, so that NaN can be said: everywhere for a map that is not finite, a
      constant one under "minmax" or one without a positive value under "max".

    Raises:
      UsageError: an unknown option.

    Example:
      >>> to_bytes(jnp.asarray([[0.0, 0.5, 1.0]])).tolist()
      [[0.0, 127.0, 255.0]]
    """
    _check(normalise=(normalise, NORMALISATIONS), integer=(integer, ROUNDINGS))
    heat = as_map("heat", heat)
    known = is_finite(heat)
    (heat,) = unit_scale(heat)
    low = heat.min() if normalise == "minmax" else jnp.zeros((), heat.dtype)
    span = heat.max() - low
    scaled = jnp.clip(255 * ((heat - low) / jnp.where((span > 0) & known, span, jnp.nan)), 0, 255)
    return jnp.floor(scaled) if integer == "floor" else jnp.round(scaled)


def threshold(values: jax.Array, level: float = PAPER_THRESHOLD, *, compare: str = "gt") -> jax.Array:
    """Mark pixels above the level ("gt", "over 50" in the paper) or at least at it ("ge"), never a NaN.

    Example:
      >>> threshold(jnp.asarray([50.0, 51.0])).tolist()
      [False, True]
    """
    _check(compare=(compare, COMPARISONS))
    values = as_float("values", values)
    return values > level if compare == "gt" else values >= level


def dice(first: jax.Array, second: jax.Array, *, empty: str = "nan") -> jax.Array:
    """Return the Dice coefficient 2|A ∩ B| / (|A| + |B|) of two binary maps.

    Args:
      first: bool (H, W).
      second: bool (H, W).
      empty: what two empty maps score: "nan" or "one".

    Returns:
      A scalar in [0, 1].

    Raises:
      UsageError: maps that are not boolean or of unlike shape, or an unknown option.

    Example:
      >>> first, second = jnp.asarray([[True, True, False]]), jnp.asarray([[True, False, False]])
      >>> round(float(dice(first, second)), 3)
      0.667
    """
    _check_binary(first, second, empty)
    return _share(2 * jnp.sum(first & second), jnp.sum(first) + jnp.sum(second), empty)


def iou(first: jax.Array, second: jax.Array, *, empty: str = "nan") -> jax.Array:
    """Return the intersection over union (Jaccard index) of two binary maps. Arguments are as in `dice`.

    Example:
      >>> first, second = jnp.asarray([[True, True, False]]), jnp.asarray([[True, False, False]])
      >>> float(iou(first, second))
      0.5
    """
    _check_binary(first, second, empty)
    return _share(jnp.sum(first & second), jnp.sum(first | second), empty)


def dice_at_threshold(
    first: jax.Array,
    second: jax.Array,
    *,
    level: float = PAPER_THRESHOLD,
    compare: str = "gt",
    normalise: str = "minmax",
    integer: str = "floor",
    empty: str = "nan",
) -> jax.Array:
    """Return the paper's Dice (§5.3): both maps as whole numbers 0..255, made binary at a level, compared.

    Args:
      first: float (H, W).
      second: float (H, W).
      level: 50 in the paper.
      compare: see `threshold`.
      normalise: see `to_bytes`.
      integer: see `to_bytes`.
      empty: see `dice`.

    Returns:
      A scalar in [0, 1]. NaN where `to_bytes` has no answer for one of the maps.

    Example:
      >>> heat = jnp.asarray([[0.0, 1.0, 2.0]])
      >>> float(dice_at_threshold(heat, 10 * heat))
      1.0
    """
    maps = [to_bytes(heat, normalise=normalise, integer=integer) for heat in as_map_pair(first=first, second=second)]
    agreement = dice(*(threshold(heat, level, compare=compare) for heat in maps), empty=empty)
    return jnp.where(jnp.isnan(maps[0]).any() | jnp.isnan(maps[1]).any(), jnp.nan, agreement)


def dice_at_area(first: jax.Array, second: jax.Array, count, *, empty: str = "nan") -> jax.Array:
    """Return the Dice of the `count` most salient pixels of each map, free of the advantage of diffuse maps.

    Args:
      first: float (H, W).
      second: float (H, W).
      count: pixels on in both. May be traced, such as the size of a binary human map.
      empty: see `dice`.

    Returns:
      A scalar in [0, 1]. NaN if a map is not finite or is constant, as its pixels have no order.

    Example:
      >>> float(dice_at_area(jnp.asarray([[3.0, 2.0, 1.0]]), jnp.asarray([[9.0, 0.0, 8.0]]), 2))
      0.5
    """
    first, second = as_map_pair(first=first, second=second)
    agreement = dice(most_salient(first, count), most_salient(second, count), empty=empty)
    orderless = [~jnp.isfinite(heat).all() | (heat.min() == heat.max()) for heat in (first, second)]
    return jnp.where(orderless[0] | orderless[1], jnp.nan, agreement)


def most_salient(heat: jax.Array, count) -> jax.Array:
    """Mark the `count` largest pixels of a map. Among equals the earlier in row-major order.

    Args:
      heat: float (H, W).
      count: how many. May be traced.

    Returns:
      bool (H, W). None are on where the map is not finite.

    Example:
      >>> most_salient(jnp.asarray([[3.0, 1.0, 2.0]]), 2).tolist()
      [[True, False, True]]
    """
    return salience_rank(heat) < count


def salience_rank(heat: jax.Array) -> jax.Array:
    """Place of each pixel when a map is sorted: 0 the largest. Equals in row-major order.

    Args:
      heat: float (H, W).

    Returns:
      int32 (H, W). The number of pixels everywhere in a map that is not finite: none is among the most salient.

    Example:
      >>> salience_rank(jnp.asarray([[3.0, 1.0, 2.0]])).tolist()
      [[0, 2, 1]]
    """
    heat = as_map("heat", heat)
    order = jnp.argsort(heat.reshape(-1), descending=True, stable=True)
    rank = jnp.zeros(heat.size, jnp.int32).at[order].set(jnp.arange(heat.size, dtype=jnp.int32))
    return jnp.where(jnp.isfinite(heat).all(), rank.reshape(heat.shape), heat.size)


def _share(part, whole, empty):
    absent = jnp.nan if empty == "nan" else 1.0
    return jnp.where(whole > 0, part / jnp.maximum(whole, 1), absent)


def _check(**options):
    for name, (value, known) in options.items():
        check_one_of(name, value, known)


def _check_binary(first, second, empty):
    _check(empty=(empty, EMPTY))
    first, second = jnp.asarray(first), jnp.asarray(second)
    for name, mask in (("first", first), ("second", second)):
        if mask.dtype != np.bool_:
            raise UsageError(f"`{name}`: wanted a boolean map, got {mask.dtype}; see `threshold`.")
    if first.shape != second.shape:
        raise UsageError(f"`second`: wanted the shape of `first`, {first.shape}, got {second.shape}.")
