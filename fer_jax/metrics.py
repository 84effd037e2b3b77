"""How well maps agree with maps and with clicks, and labels with labels.

Contract: a map is float (H, W) of any scale; a region or binary map is bool (H, W). Where two maps play different
parts the model's comes first and the people's second. Clicks are float (N, 2), x then y in image pixels, as in
`fer_jax.masks`; a click with a NaN coordinate or outside the image is left out, so lists can be padded. What is
undefined is NaN, never a silent zero; the few zeros by convention are named. Formulas and constants are those of the
MIT saliency benchmark (Bylinskii et al., arXiv 1604.03605). One pair of maps is the unit: batch with `jax.vmap`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import rankdata

from fer_jax.errors import UsageError

NORMALISATIONS = ("minmax", "max")
ROUNDINGS = ("floor", "round")
COMPARISONS = ("gt", "ge")
EMPTY = ("nan", "one")

PAPER_THRESHOLD = 50  # of 255, §5.3: "values over 50" are 1

_EPSILON = 2.2204e-16  # the benchmark's constant in KL


def to_bytes(heat: jax.Array, *, normalise: str = "minmax", integer: str = "floor") -> jax.Array:
    """Scale a map to whole numbers 0..255 (paper §5.3, which leaves both options open).

    Args:
      heat: float (H, W).
      normalise: "minmax", or "max" (divided by the maximum, negative values to 0).
      integer: "floor" or "round" (halves to even).

    Returns:
      float (H, W) of whole numbers 0..255, so that NaN can be said: everywhere for a constant map under "minmax" or
      one without a positive value under "max".

    Raises:
      UsageError: an unknown option.
    """
    _check(normalise=(normalise, NORMALISATIONS), integer=(integer, ROUNDINGS))
    low = heat.min() if normalise == "minmax" else jnp.zeros((), heat.dtype)
    span = heat.max() - low
    scaled = jnp.clip(255 * ((heat - low) / jnp.where(span > 0, span, jnp.nan)), 0, 255)
    return jnp.floor(scaled) if integer == "floor" else jnp.round(scaled)


def threshold(values: jax.Array, level: float = PAPER_THRESHOLD, *, compare: str = "gt") -> jax.Array:
    """Which pixels are on: above the level ("gt", "over 50" in the paper) or at least at it ("ge"); never where NaN."""
    _check(compare=(compare, COMPARISONS))
    return values > level if compare == "gt" else values >= level


def dice(first: jax.Array, second: jax.Array, *, empty: str = "nan") -> jax.Array:
    """Dice coefficient 2|A ∩ B| / (|A| + |B|) of two binary maps.

    Args:
      first: bool (H, W).
      second: bool (H, W).
      empty: what two empty maps score: "nan" or "one".

    Returns:
      A scalar in [0, 1].

    Raises:
      UsageError: maps that are not boolean or of unlike shape, or an unknown option.
    """
    _check_binary(first, second, empty)
    return _share(2 * jnp.sum(first & second), jnp.sum(first) + jnp.sum(second), empty)


def iou(first: jax.Array, second: jax.Array, *, empty: str = "nan") -> jax.Array:
    """Intersection over union (Jaccard index) of two binary maps; arguments as in `dice`."""
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
    """The paper's Dice (§5.3): both maps to whole numbers 0..255, binary at a level, compared.

    Args:
      first: float (H, W).
      second: float (H, W).
      level: 50 in the paper.
      compare: see `threshold`.
      normalise: see `to_bytes`.
      integer: see `to_bytes`.
      empty: see `dice`.

    Returns:
      A scalar in [0, 1]; NaN where `to_bytes` has no answer for one of the maps.
    """
    maps = [to_bytes(heat, normalise=normalise, integer=integer) for heat in (first, second)]
    agreement = dice(*(threshold(heat, level, compare=compare) for heat in maps), empty=empty)
    return jnp.where(jnp.isnan(maps[0]).any() | jnp.isnan(maps[1]).any(), jnp.nan, agreement)


def dice_at_area(first: jax.Array, second: jax.Array, count, *, empty: str = "nan") -> jax.Array:
    """Dice of the `count` most salient pixels of each map: free of the advantage of diffuse maps.

    Args:
      first: float (H, W).
      second: float (H, W).
      count: pixels on in both; may be traced, such as the size of a binary human map.
      empty: see `dice`.

    Returns:
      A scalar in [0, 1]; NaN if a map holds a NaN or is constant, as its pixels have no order.
    """
    agreement = dice(most_salient(first, count), most_salient(second, count), empty=empty)
    orderless = [jnp.isnan(heat).any() | (heat.min() == heat.max()) for heat in (first, second)]
    return jnp.where(orderless[0] | orderless[1], jnp.nan, agreement)


def most_salient(heat: jax.Array, count) -> jax.Array:
    """The `count` largest pixels of a map, bool (H, W); among equals the earlier in row-major order."""
    order = jnp.argsort(heat.reshape(-1), descending=True, stable=True)
    rank = jnp.zeros(heat.size, jnp.int32).at[order].set(jnp.arange(heat.size, dtype=jnp.int32))
    return (rank < count).reshape(heat.shape)


def cc(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Pearson correlation of two maps; 0 if only the model's is constant (benchmark), NaN if the human map is."""
    correlation = _pearson(heat, human)
    return jnp.where(_constant(heat) & ~_constant(human), 0, correlation)


def spearman(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Rank correlation of two maps, ties sharing their mean rank; NaN if either is constant."""
    return _pearson(rankdata(heat.reshape(-1)).astype(heat.dtype), rankdata(human.reshape(-1)).astype(heat.dtype))


def sim(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Similarity Σ min(P', Q') of two maps as densities, in [0, 1]."""
    return jnp.minimum(density(heat), density(human)).sum()


def kl(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Kullback-Leibler divergence of the model's density from the people's, Σ Q' ln(ε + Q' / (P' + ε)), in nats."""
    model, people = density(heat), density(human)
    return (people * jnp.log(_EPSILON + people / (model + _EPSILON))).sum()


def density(heat: jax.Array) -> jax.Array:
    """A map that sums to 1: shifted by its minimum only if that is negative; uniform if nothing is left."""
    heat = heat - jnp.minimum(heat.min(), 0)
    total = heat.sum()
    return jnp.where(total > 0, heat / jnp.where(total > 0, total, 1), 1 / heat.size)


def nss(heat: jax.Array, clicks: jax.Array) -> jax.Array:
    """Normalised scanpath saliency: mean standardised value at the clicks; 0 if the map is constant (benchmark)."""
    values, valid = at_clicks(heat, clicks)
    spread = jnp.where(_constant(heat), 1, heat.std())
    return _mean((values - heat.mean()) / spread * jnp.where(_constant(heat), 0, 1), valid)


def auc_judd(heat: jax.Array, clicks: jax.Array, *, jitter: float = 0.0, key: jax.Array | None = None) -> jax.Array:
    """Area under the ROC curve, un-clicked pixels as negatives, thresholds at the clicked values only.

    Args:
      heat: float (H, W).
      clicks: float (N, 2).
      jitter: height of uniform noise against ties (the official code adds 1e-7).
      key: typed key of that noise.

    Returns:
      A scalar in [0, 1]; NaN without clicks, or where every pixel is clicked.

    Raises:
      UsageError: jitter without a key.
    """
    if jitter:
        if key is None:
            raise UsageError("`key`: wanted a typed random key (jax.random.key) for `jitter`, got None.")
        heat = heat + jitter * jax.random.uniform(key, heat.shape, heat.dtype)
    values, valid = at_clicks(heat, clicks)
    rows, columns, _ = _pixels(heat.shape, clicks)
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
    return jnp.where((count > 0) & (others > 0), area, jnp.nan)


def auc_uniform(heat: jax.Array, clicks: jax.Array) -> jax.Array:
    """Area under the ROC curve with every pixel as a negative: P(clicked > any) + P(equal) / 2; NaN without clicks."""
    values, valid = at_clicks(heat, clicks)
    return _rank_auc(values, valid, heat.reshape(-1), jnp.ones(heat.size, bool))


def auc_shuffled(heat: jax.Array, clicks: jax.Array, other_clicks: jax.Array) -> jax.Array:
    """Area under the ROC curve with clicks on other images as negatives, which takes the centre bias out.

    Args:
      heat: float (H, W).
      clicks: float (N, 2), on this image.
      other_clicks: float (M, 2), on others, in this image's pixels.

    Returns:
      A scalar in [0, 1]; NaN without clicks of either kind.
    """
    return _rank_auc(*at_clicks(heat, clicks), *at_clicks(heat, other_clicks))


def information_gain(heat: jax.Array, baseline: jax.Array, clicks: jax.Array) -> jax.Array:
    """Bits a click by which a density predicts better than a baseline: mean log2 P'(x) - log2 B'(x).

    Args:
      heat: float (H, W), made a density.
      baseline: float (H, W), made a density: the centre bias, from other images' clicks.
      clicks: float (N, 2).

    Returns:
      A scalar, -inf where the model gave a clicked pixel no mass; NaN without clicks.
    """
    model, valid = at_clicks(density(heat), clicks)
    prior, _ = at_clicks(density(baseline), clicks)
    return _mean(jnp.log2(model) - jnp.log2(prior), valid)


def at_clicks(heat: jax.Array, clicks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A map's values at clicks (N,), and which clicks count (N,): those inside the image."""
    if clicks.ndim != 2 or clicks.shape[1] != 2:
        raise UsageError(f"`clicks`: wanted (N, 2), x then y, got {clicks.shape}.")
    rows, columns, valid = _pixels(heat.shape, clicks)
    return heat[rows, columns], valid


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


def accuracy(labels: jax.Array, predictions: jax.Array) -> jax.Array:
    """Share of predictions (N,) equal to their labels (N,); NaN without any."""
    return _mean((labels == predictions).astype(jnp.float32), jnp.ones(labels.shape, bool))


def confusion(labels: jax.Array, predictions: jax.Array, *, classes: int = 8) -> jax.Array:
    """Counts of (true, predicted), which merge by adding.

    Args:
      labels: int (N,).
      predictions: int (N,).
      classes: how many there are.

    Returns:
      int32 (classes, classes), rows true. A trial with a label or prediction outside 0..classes - 1 (such as
      `expressions.DROP`) is not counted.
    """
    inside = (labels >= 0) & (labels < classes) & (predictions >= 0) & (predictions < classes)
    cell = jnp.where(inside, labels * classes + predictions, 0)
    return jnp.zeros(classes**2, jnp.int32).at[cell].add(inside.astype(jnp.int32)).reshape(classes, classes)


def row_shares(counts: jax.Array) -> jax.Array:
    """A confusion matrix with rows that sum to 1; NaN in the row of a class that never came."""
    total = counts.sum(-1, keepdims=True)
    return counts / jnp.where(total > 0, total, jnp.nan)


def recall(counts: jax.Array) -> jax.Array:
    """Share right of each class (classes,), from a confusion matrix; NaN for a class that never came."""
    return jnp.diagonal(row_shares(counts))


def confusion_accuracy(counts: jax.Array) -> jax.Array:
    """Share right of all trials in a confusion matrix; NaN if it is empty."""
    total = counts.sum()
    return jnp.trace(counts) / jnp.where(total > 0, total, jnp.nan)


def balanced_accuracy(counts: jax.Array) -> jax.Array:
    """Mean recall over the classes that came; NaN if none did."""
    shares = recall(counts)
    return _mean(jnp.nan_to_num(shares), ~jnp.isnan(shares))


def _share(part, whole, empty):
    absent = jnp.nan if empty == "nan" else 1.0
    return jnp.where(whole > 0, part / jnp.maximum(whole, 1), absent)


def _mean(values, valid):
    count = valid.sum()
    return jnp.where(valid, values, 0).sum() / jnp.where(count > 0, count, jnp.nan)


def _constant(heat):
    return heat.max() == heat.min()


def _pearson(first, second):
    # Asked of the values: rounding of the mean can leave a constant map a tiny deviation.
    undefined = _constant(first) | _constant(second)
    first, second = first - first.mean(), second - second.mean()
    scale = jnp.sqrt((first**2).sum()) * jnp.sqrt((second**2).sum())
    return (first * second).sum() / jnp.where(undefined, jnp.nan, scale)


def _pixels(shape, clicks):
    """(row, column, valid) of each click; invalid ones point at pixel (0, 0)."""
    corner = jnp.floor(clicks)
    column, row = corner[:, 0], corner[:, 1]
    valid = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    return jnp.where(valid, row, 0).astype(jnp.int32), jnp.where(valid, column, 0).astype(jnp.int32), valid


def _rank_auc(positives, live, negatives, against):
    """P(positive > negative) + P(equal) / 2 over the valid ones."""
    ordered = jnp.sort(jnp.where(against, negatives, jnp.inf))
    below = jnp.searchsorted(ordered, positives, side="left")
    upto = jnp.minimum(jnp.searchsorted(ordered, positives, side="right"), against.sum())
    count = against.sum()
    return _mean((below + upto) / 2 / jnp.where(count > 0, count, jnp.nan), live)


def _check(**options):
    for name, (value, known) in options.items():
        if value not in known:
            raise UsageError(f"`{name}`: wanted one of {', '.join(known)}, got {value!r}.")


def _check_binary(first, second, empty):
    _check(empty=(empty, EMPTY))
    for name, mask in (("first", first), ("second", second)):
        if mask.dtype != np.bool_:
            raise UsageError(f"`{name}`: wanted a boolean map, got {mask.dtype}; see `threshold`.")
    if first.shape != second.shape:
        raise UsageError(f"`second`: wanted the shape of `first`, {first.shape}, got {second.shape}.")
