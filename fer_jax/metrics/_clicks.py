"""Maps against clicks: standardised values, areas under the ROC curve (of a region too), bits over a baseline."""

import jax
import jax.numpy as jnp

from fer_jax.arrays import as_float, as_map, as_map_pair, as_region
from fer_jax.errors import UsageError
from fer_jax.metrics._labels import mean_where
from fer_jax.metrics._maps import density, standardised


def nss(heat: jax.Array, clicks: jax.Array) -> jax.Array:
    """Return normalised scanpath saliency, the mean standardised value at the clicks.

    Args:
      heat: the model's map, (H, W).
      clicks: (N, 2), as `at_clicks` takes them.

    Returns:
      A scalar. 0 if the map is constant (benchmark).

    Example:
      >>> float(nss(jnp.asarray([[0.0, 1.0]]), jnp.asarray([[1.0, 0.0]])))
      1.0
    """
    heat = as_map("heat", heat)
    values, valid = at_clicks(standardised(heat), clicks)
    return jnp.where(jnp.isfinite(heat).all(), mean_where(values, valid), jnp.nan)


def auc_judd(heat: jax.Array, clicks: jax.Array, *, jitter: float = 0.0, key: jax.Array | None = None) -> jax.Array:
    """Return the area under the ROC curve, un-clicked pixels as negatives, thresholds at the clicked values only.

    Args:
      heat: float (H, W).
      clicks: float (N, 2).
      jitter: height of uniform noise against ties (the official code adds 1e-7).
      key: typed key of that noise.

    Returns:
      A scalar in [0, 1]. NaN without clicks, where every pixel is clicked, or if the map is not finite.

    Raises:
      UsageError: jitter without a key.

    Example:
      >>> float(auc_judd(jnp.asarray([[0.0, 1.0], [0.2, 0.1]]), jnp.asarray([[1.0, 0.0]])))
      1.0
    """
    heat = as_map("heat", heat)
    if jitter:
        if key is None:
            raise UsageError("`key`: wanted a typed random key (jax.random.key) for `jitter`, got None.")
        heat = heat + jitter * jax.random.uniform(key, heat.shape, heat.dtype)
    values, valid = at_clicks(heat, clicks)
    rows, columns, _ = _pixels(heat.shape, as_float("clicks", clicks))
    clicked = jnp.zeros(heat.shape, bool).at[rows, columns].max(valid)
    positives = jnp.sort(jnp.where(valid, values, -jnp.inf))[::-1]
    negatives = jnp.sort(jnp.where(clicked, -jnp.inf, heat).reshape(-1))
    count, others = valid.sum(), heat.size - clicked.sum()
    # At each threshold, from high to low: shares of positives and of negatives that reach it. Padding ends at (1, 1).
    live = jnp.arange(len(positives)) < count
    hit = (len(positives) - jnp.searchsorted(positives[::-1], positives, side="left")) / count
    false = (heat.size - jnp.searchsorted(negatives, positives, side="left")) / others
    hit, false = jnp.where(live, hit, 1), jnp.where(live, false, 1)
    hit = jnp.concatenate([jnp.zeros(1, hit.dtype), hit, jnp.ones(1, hit.dtype)])
    false = jnp.concatenate([jnp.zeros(1, false.dtype), false, jnp.ones(1, false.dtype)])
    area = jnp.sum(jnp.diff(false) * (hit[1:] + hit[:-1])) / 2
    return jnp.where((count > 0) & (others > 0) & jnp.isfinite(heat).all(), area, jnp.nan)


def auc_uniform(heat: jax.Array, clicks: jax.Array) -> jax.Array:
    """Return the area under the ROC curve with all pixels as negatives: P(clicked > any) + P(equal) / 2.

    Args:
      heat: the model's map, (H, W).
      clicks: (N, 2), as `at_clicks` takes them.

    Returns:
      A scalar. NaN without clicks.

    Example:
      >>> float(auc_uniform(jnp.asarray([[0.0, 1.0]]), jnp.asarray([[1.0, 0.0]])))
      0.75
    """
    heat = as_map("heat", heat)
    return _rank_auc(heat, *at_clicks(heat, clicks), heat.reshape(-1), jnp.ones(heat.size, bool))


def auc_shuffled(heat: jax.Array, clicks: jax.Array, other_clicks: jax.Array) -> jax.Array:
    """Return the area under the ROC curve, clicks on other images as negatives, which takes the centre bias out.

    Args:
      heat: float (H, W).
      clicks: float (N, 2), on this image.
      other_clicks: float (M, 2), on others, in this image's pixels.

    Returns:
      A scalar in [0, 1]. NaN without clicks of either kind, or if the map is not finite.

    Example:
      >>> heat = jnp.asarray([[0.0, 1.0]])
      >>> float(auc_shuffled(heat, jnp.asarray([[1.0, 0.0]]), jnp.asarray([[0.0, 0.0]])))
      1.0
    """
    heat = as_map("heat", heat)
    return _rank_auc(heat, *at_clicks(heat, clicks), *at_clicks(heat, other_clicks))


def auc_region(heat: jax.Array, region: jax.Array) -> jax.Array:
    """Return the area under the ROC curve of a map against a region, all other pixels negatives.

    Args:
      heat: float (H, W).
      region: bool (H, W).

    Returns:
      A scalar in [0, 1]. NaN if the region is empty or the whole image, or if the map is not finite.

    Raises:
      UsageError: a region that is not boolean or of another shape than the map.

    Example:
      >>> float(auc_region(jnp.asarray([[0.0, 1.0]]), jnp.asarray([[False, True]])))
      1.0
    """
    heat = as_map("heat", heat)
    values, inside = heat.reshape(-1), as_region("region", region, heat.shape).reshape(-1)
    return _rank_auc(heat, values, inside, values, ~inside)


def information_gain(heat: jax.Array, baseline: jax.Array, clicks: jax.Array) -> jax.Array:
    """Return the bits a click by which a density beats a baseline: mean log2 P'(x) - log2 B'(x).

    Args:
      heat: float (H, W), made a density.
      baseline: float (H, W), made a density: the centre bias, from other images' clicks.
      clicks: float (N, 2).

    Returns:
      A scalar, -inf where the model gave a clicked pixel no mass. NaN without clicks.

    Example:
      >>> heat, even = jnp.asarray([[0.0, 1.0]]), jnp.ones((1, 2))
      >>> float(information_gain(heat, even, jnp.asarray([[1.0, 0.0]])))
      1.0
    """
    heat, baseline = as_map_pair(heat=heat, baseline=baseline)
    model, valid = at_clicks(density(heat), clicks)
    prior, _ = at_clicks(density(baseline), clicks)
    return mean_where(jnp.log2(model) - jnp.log2(prior), valid)


def at_clicks(heat: jax.Array, clicks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return a map's values at clicks (N,), and a mask (N,) of the clicks inside the image.

    Example:
      >>> values, valid = at_clicks(jnp.asarray([[0.0, 1.0]]), jnp.asarray([[1.0, 0.0], [9.0, 0.0]]))
      >>> values.tolist(), valid.tolist()
      ([1.0, 0.0], [True, False])
    """
    heat, clicks = as_map("heat", heat), as_float("clicks", clicks)
    if clicks.ndim != 2 or clicks.shape[1] != 2:
        raise UsageError(f"`clicks`: wanted (N, 2), x then y, got {clicks.shape}.")
    rows, columns, valid = _pixels(heat.shape, clicks)
    return heat[rows, columns], valid


def _pixels(shape, clicks):
    """Return (row, column, valid) of each click. Invalid ones point at pixel (0, 0)."""
    corner = jnp.floor(clicks)
    column, row = corner[:, 0], corner[:, 1]
    valid = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    return jnp.where(valid, row, 0).astype(jnp.int32), jnp.where(valid, column, 0).astype(jnp.int32), valid


def _rank_auc(heat, positives, live, negatives, against):
    """Return P(positive > negative) + P(equal) / 2 over the valid values of a map."""
    ordered = jnp.sort(jnp.where(against, negatives, jnp.inf))
    below = jnp.searchsorted(ordered, positives, side="left")
    upto = jnp.minimum(jnp.searchsorted(ordered, positives, side="right"), against.sum())
    count = against.sum()
    area = mean_where((below + upto) / 2 / jnp.where(count > 0, count, jnp.nan), live)
    return jnp.where(jnp.isfinite(heat).all(), area, jnp.nan)
