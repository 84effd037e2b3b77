"""The Dice protocol: people's attention maps against a network's saliency maps (paper §5.3).

Contract: maps are float (T, H, W), one for each study image; `pairs` is int (T,), the unordered pair 0..27 of each.
Maps are averaged within a unit, scaled to whole numbers 0..255, thresholded and compared. What the paper leaves open
is an option; the first value is the default.
"""

import itertools

import numpy as np
import pandas as pd

from fer_jax.compare import reference_maps
from fer_jax.errors import UsageError

THRESHOLD = 50  # §5.3: "over 50" is on, "below 50" is off
PER_IMAGE = ("none", "minmax", "sum")
NORMALISE = ("minmax", "max")
INTEGER = ("floor", "round")
COMPARE = ("gt", "ge")
EMPTY = ("nan", "one")


def binary_maps(
    maps: np.ndarray,
    *,
    normalise: str = "minmax",
    integer: str = "floor",
    threshold: float = THRESHOLD,
    compare: str = "gt",
) -> tuple[np.ndarray, np.ndarray]:
    """Scale maps to whole numbers 0..255 and threshold them.

    Args:
      maps: float (N, H, W).
      normalise: "minmax" or "max" (negative values count as 0 under "max"); the paper only says normalised.
      integer: "floor" or "round" to whole numbers.
      threshold: of 255.
      compare: on where value "gt" or "ge" threshold; 50 itself is open.

    Returns:
      bool (N, H, W), and bool (N,): which maps could be scaled. A constant or non-finite map cannot.

    Raises:
      UsageError: an unknown option.
    """
    _check("normalise", normalise, NORMALISE)
    _check("integer", integer, INTEGER)
    _check("compare", compare, COMPARE)
    maps = np.asarray(maps, np.float64)
    if normalise == "minmax":
        low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    else:
        low, high = np.zeros((len(maps), 1, 1)), maps.max((1, 2), keepdims=True)
    span = high - low
    usable = (np.isfinite(span) & (span > 0))[:, 0, 0]
    scaled = np.clip((maps - low) / np.where(usable[:, None, None], span, 1), 0, 1) * 255
    whole = np.floor(scaled) if integer == "floor" else np.rint(scaled)
    on = whole > threshold if compare == "gt" else whole >= threshold
    return on & usable[:, None, None], usable


def dice(one: np.ndarray, other: np.ndarray, *, empty: str = "nan") -> np.ndarray:
    """Dice coefficient 2 |A and B| / (|A| + |B|) of binary maps.

    Args:
      one: bool (..., H, W).
      other: bool (..., H, W).
      empty: value where both are empty: "nan" or "one".

    Returns:
      float64 (...).
    """
    _check("empty", empty, EMPTY)
    both = (one & other).sum((-2, -1), dtype=np.int64)
    total = one.sum((-2, -1), dtype=np.int64) + other.sum((-2, -1), dtype=np.int64)
    value = np.where(total > 0, 2 * both / np.maximum(total, 1), np.nan if empty == "nan" else 1.0)
    return np.asarray(value, np.float64)


def dice_per_pair(
    human: np.ndarray,
    model: np.ndarray,
    pairs: np.ndarray,
    *,
    unit: np.ndarray | None = None,
    per_image: str = "none",
    normalise: str = "minmax",
    integer: str = "floor",
    threshold: float = THRESHOLD,
    compare: str = "gt",
    empty: str = "nan",
) -> pd.DataFrame:
    """Dice of people's and a network's mean maps, one row for each unit.

    Args:
      human: (T, H, W) attention maps.
      model: (T, H, W) saliency maps of the same images.
      pairs: int (T,) the unordered pair of each image.
      unit: int (T,) what to average within, if not the pair: the ordered pair or the image itself.
      per_image: scaling of each map before averaging: "none", "minmax" or "sum" (ours: with "none" few images with
        large values may rule a pair).
      normalise: see `binary_maps`.
      integer: see `binary_maps`.
      threshold: see `binary_maps`.
      compare: see `binary_maps`.
      empty: see `dice`.

    Returns:
      A table with columns unit, dice, area_human, area_model (shares of the image), chance (the Dice 2ab/(a+b)
      expected of independent maps of these areas), corrected ((dice - chance)/(1 - chance)), n_images, reason (why
      dice is missing, else empty).

    Raises:
      UsageError: maps of different shapes or an unknown option.
    """
    human, model, pairs = np.asarray(human), np.asarray(model), np.asarray(pairs)
    if human.shape != model.shape or human.ndim != 3 or len(pairs) != len(human):
        raise UsageError(
            f"`human`, `model`, `pairs`: wanted (T, H, W), (T, H, W) and (T,), got {human.shape}, {model.shape} and "
            f"{pairs.shape}."
        )
    _check("per_image", per_image, PER_IMAGE)
    groups = pairs if unit is None else np.asarray(unit)
    units = np.unique(groups)
    options = {"normalise": normalise, "integer": integer, "threshold": threshold, "compare": compare}
    on_human, ok_human = binary_maps(_means(human, groups, units, per_image), **options)
    on_model, ok_model = binary_maps(_means(model, groups, units, per_image), **options)
    value = np.where(ok_human & ok_model, dice(on_human, on_model, empty=empty), np.nan)
    a, b = on_human.mean((1, 2)), on_model.mean((1, 2))
    chance = np.where(a + b > 0, 2 * a * b / np.where(a + b > 0, a + b, 1), np.nan)
    reason = np.select(
        [~ok_human, ~ok_model, np.isnan(value)], ["constant human map", "constant model map", "both empty"], ""
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        corrected = np.where(chance < 1, (value - chance) / (1 - chance), np.nan)
    return pd.DataFrame(
        {
            "unit": units,
            "dice": value,
            "area_human": a,
            "area_model": b,
            "chance": chance,
            "corrected": corrected,
            "n_images": [(groups == one).sum() for one in units],
            "reason": reason,
        }
    )


def dice_grid(human: np.ndarray, model: np.ndarray, pairs: np.ndarray) -> pd.DataFrame:
    """Mean Dice over pairs under every combination of the options the paper leaves open.

    Args:
      human: (T, H, W).
      model: (T, H, W).
      pairs: int (T,).

    Returns:
      One row a combination: per_image, normalise, integer, compare, dice, corrected, n.
    """
    rows = []
    for per_image, normalise, integer, compare in itertools.product(PER_IMAGE, NORMALISE, INTEGER, COMPARE):
        options = {"per_image": per_image, "normalise": normalise, "integer": integer, "compare": compare}
        table = dice_per_pair(human, model, pairs, **options)
        known = table["dice"].notna()
        means = table.loc[known, ["dice", "corrected"]].mean()
        rows.append(options | {"dice": means["dice"], "corrected": means["corrected"], "n": int(known.sum())})
    return pd.DataFrame(rows)


def baselines(human: np.ndarray, pairs: np.ndarray) -> pd.DataFrame:
    """What maps that know nothing of the network reach under the same protocol.

    Args:
      human: (T, H, W) attention maps.
      pairs: int (T,).

    Returns:
      One row a baseline: baseline, dice (mean over pairs), corrected, n. "centre" is a Gaussian in the middle with
      σ = W/4 (ours), "other pairs" the mean human map of all other pairs, "neighbouring pair" the human maps of the
      next pair, and "uniform" everything on.
    """
    human, pairs = np.asarray(human, np.float64), np.asarray(pairs)
    centre = reference_maps.centre(*human.shape[1:])
    units = np.unique(pairs)
    means = np.stack([human[pairs == one].mean(0) for one in units])
    place = np.searchsorted(units, pairs)
    total, count = human.sum(0), len(human)
    sizes = np.asarray([(pairs == one).sum() for one in units])
    rest = np.maximum(count - sizes, 1)
    others = (total[None] - means * sizes[:, None, None]) / rest[:, None, None]
    candidates = {"centre": np.broadcast_to(centre, human.shape)}
    if len(units) > 1:
        candidates["other pairs"] = others[place]
        candidates["neighbouring pair"] = np.roll(means, 1, 0)[place]
    rows = []
    for name, maps in candidates.items():
        table = dice_per_pair(human, maps, pairs)
        rows.append({"baseline": name, **table[["dice", "corrected"]].mean(), "n": int(table["dice"].notna().sum())})
    on, usable = binary_maps(means)
    everything = dice(on[usable], np.ones_like(on[usable]))
    rows.append(
        {
            "baseline": "uniform",
            "dice": everything.mean() if usable.any() else np.nan,
            "corrected": 0.0,
            "n": int(usable.sum()),
        }
    )
    return pd.DataFrame(rows)


def _means(maps, groups, units, per_image):
    """Mean map of each unit, in float64, every image's map scaled first if asked."""
    maps = np.asarray(maps, np.float64)
    if per_image == "minmax":
        low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
        maps = (maps - low) / np.where(high > low, high - low, 1)
    elif per_image == "sum":
        total = maps.sum((1, 2), keepdims=True)
        maps = maps / np.where(total != 0, total, 1)
    return np.stack([maps[groups == one].mean(0) for one in units])


def _check(name, value, choices):
    if value not in choices:
        raise UsageError(f"`{name}`: wanted one of {', '.join(choices)}, got {value!r}.")
