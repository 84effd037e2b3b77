"""The Dice protocol: people's attention maps against a network's saliency maps (paper §5.3).

Contract: maps are float (T, H, W), one for each study image. `pairs` is int (T,), the unordered pair of each, from 0.
Maps are averaged within a unit, scaled to whole numbers 0..255, thresholded and compared. An image whose human or model
map is not finite (nobody's trial, a failed explanation) is left out of both means and counted.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pandas as pd

from fer_jax.compare import reference_maps
from fer_jax.errors import UsageError, check_one_of, check_range

THRESHOLD = 50  # §5.3: "over 50" is on, "below 50" is off
# Maps that know nothing of the network, and how a sentence names them.
BASELINES = {
    "centre": "a blob in the middle",
    "other pairs": "people's map of the other pairs",
    "neighbouring pair": "people's map of the next pair",
    "uniform": "a map that covers everything",
}
_OF_BASELINES = ["baseline", "unit", "dice", "corrected"]
# What the paper leaves open. The first value is the default.
CHOICES = {
    "per_image": ("none", "minmax", "sum"),
    "normalise": ("minmax", "max"),
    "integer": ("floor", "round"),
    "compare": ("gt", "ge"),
    "empty": ("nan", "one"),
}


@dataclasses.dataclass(frozen=True)
class DiceOptions:
    """The options of the protocol, the paper's by default where the paper says.

    Attributes:
      per_image: scaling of each map before averaging: "none", "minmax" or "sum" (ours: with "none" few images with
        large values may rule a pair). "sum" shifts a map by its minimum if that is negative, as the scores SIM and KL
        do: divided by a negative sum, a map would be upside down.
      normalise: "minmax" or "max" of a mean map (negative values count as 0 under "max"). The paper only says
        normalised.
      integer: "floor" or "round" to whole numbers.
      threshold: of 255.
      compare: on where a value is greater ("gt") than the threshold, or greater or equal ("ge"). The paper leaves 50
        open.
      empty: Dice of two maps that are empty: "nan" or "one".

    Raises:
      UsageError: an unknown option, or a threshold outside 0 to 255.
    """

    per_image: str = "none"
    normalise: str = "minmax"
    integer: str = "floor"
    threshold: float = THRESHOLD
    compare: str = "gt"
    empty: str = "nan"

    def __post_init__(self):
        for name, choices in CHOICES.items():
            check_one_of(name, getattr(self, name), choices)
        check_range("threshold", self.threshold, 0, 255)


DEFAULTS = DiceOptions()


def binary_maps(maps: np.ndarray, options: DiceOptions = DEFAULTS) -> tuple[np.ndarray, np.ndarray]:
    """Scale maps to whole numbers 0..255 and threshold them.

    Args:
      maps: float (N, H, W).
      options: of the protocol.

    Returns:
      bool (N, H, W), and bool (N,): which maps could be scaled. One that is not finite cannot, nor one that is constant
      ("minmax") or has no positive value ("max").

    Raises:
      UsageError: no maps.

    Example:
      >>> on, usable = binary_maps(np.array([[[0.0, 0.1], [0.3, 1.0]]]))
      >>> on[0].tolist(), usable.tolist()
      ([[False, False], [True, True]], [True])
    """
    maps = _maps("maps", maps)
    finite = _finite(maps)
    maps = np.where(finite[:, None, None], maps, 0)
    high = maps.max((1, 2), keepdims=True)
    low = maps.min((1, 2), keepdims=True) if options.normalise == "minmax" else np.zeros_like(high)
    span = high - low
    usable = finite & (span > 0)[:, 0, 0]
    scaled = np.clip((maps - low) / np.where(usable[:, None, None], span, 1), 0, 1) * 255
    whole = np.floor(scaled) if options.integer == "floor" else np.rint(scaled)
    on = whole > options.threshold if options.compare == "gt" else whole >= options.threshold
    return on & usable[:, None, None], usable


def dice(one: np.ndarray, other: np.ndarray, options: DiceOptions = DEFAULTS) -> np.ndarray:
    """Return the Dice coefficient 2 |A and B| / (|A| + |B|) of binary maps.

    Args:
      one: bool (..., H, W).
      other: bool (..., H, W).
      options: of the protocol, of which `empty` counts here.

    Returns:
      float64 (...).

    Raises:
      UsageError: masks that are not boolean (numbers say no threshold: write `mask > 0`), or of different sizes.

    Example:
      >>> one, other = np.array([[True, True, False]]), np.array([[False, True, False]])
      >>> round(float(dice(one, other)), 3)
      0.667
    """
    one, other = np.asarray(one), np.asarray(other)
    for name, mask in (("one", one), ("other", other)):
        if mask.dtype != np.bool_ or mask.ndim < 2:
            raise UsageError(
                f"`{name}`: wanted a boolean mask (..., H, W), got {mask.dtype} {mask.shape}; compare numbers with a "
                "threshold first, such as mask > 0."
            )
    if one.shape[-2:] != other.shape[-2:]:
        raise UsageError(f"`one`, `other`: wanted masks of one size, got {one.shape} and {other.shape}.")
    both = (one & other).sum((-2, -1), dtype=np.int64)
    total = one.sum((-2, -1), dtype=np.int64) + other.sum((-2, -1), dtype=np.int64)
    value = np.where(total > 0, 2 * both / np.maximum(total, 1), np.nan if options.empty == "nan" else 1.0)
    return np.asarray(value, np.float64)


def dice_per_pair(
    human: np.ndarray,
    model: np.ndarray,
    pairs: np.ndarray,
    options: DiceOptions = DEFAULTS,
    *,
    unit: np.ndarray | None = None,
) -> pd.DataFrame:
    """Compare people's and a network's mean maps by Dice, one row for each unit.

    Args:
      human: (T, H, W) attention maps.
      model: (T, H, W) saliency maps of the same images.
      pairs: int (T,) the unordered pair of each image.
      options: of the protocol.
      unit: int (T,) what to average within, if not the pair: the ordered pair or the image itself.

    Returns:
      A table. The areas are NaN where dice is missing for want of a map.

    Columns:
      unit: what was averaged within: the pair, by its number, unless `unit` says otherwise.
      dice: Dice of the two mean maps, 0 to 1, NaN with a reason.
      area_human: share of the image that people's mean map covers above the threshold.
      area_model: share of the image that the network's mean map covers above the threshold.
      chance: Dice 2ab/(a+b) expected of independent maps of these areas.
      corrected: (dice - chance)/(1 - chance).
      n_images: images used.
      n_missing: images left out, since a map is not finite.
      reason: why dice is missing, else empty.

    Raises:
      UsageError: maps of different shapes, or pairs or units that are no whole numbers (T,).

    Example:
      >>> maps = np.array([[[0.0, 1.0]], [[1.0, 0.0]], [[0.0, 1.0]]])
      >>> table = dice_per_pair(maps, maps[[0, 0, 0]], np.array([0, 1, 1]))
      >>> table["dice"].round(2).tolist()
      [1.0, nan]
      >>> table["reason"].tolist()
      ['', 'constant human map']
    """
    human, model = _maps("human", human), _maps("model", model)
    if human.shape != model.shape or len(pairs) != len(human):
        raise UsageError(
            f"`human`, `model`, `pairs`: wanted (T, H, W), (T, H, W) and (T,), got {human.shape}, {model.shape} and "
            f"{np.shape(pairs)}."
        )
    groups = _units("pairs", pairs, len(human)) if unit is None else _units("unit", unit, len(human))
    units = np.unique(groups)
    finite_human, finite_model = _finite(human), _finite(model)
    used = finite_human & finite_model
    on_human, ok_human = binary_maps(unit_means(human, groups, per_image=options.per_image, used=used), options)
    on_model, ok_model = binary_maps(unit_means(model, groups, per_image=options.per_image, used=used), options)
    count, no_human, no_model, left_out = (
        np.asarray([(kept & (groups == one)).sum() for one in units])
        for kept in (used, finite_human, finite_model, ~used)
    )
    value = np.where(ok_human & ok_model, dice(on_human, on_model, options), np.nan)
    a, b = (np.where(ok, on.mean((1, 2)), np.nan) for on, ok in ((on_human, ok_human), (on_model, ok_model)))
    chance = np.where(a + b > 0, 2 * a * b / np.where(a + b > 0, a + b, 1), np.nan)
    rules = {
        "no human map": no_human == 0,
        "no model map": no_model == 0,
        "no image with both maps": count == 0,
        "constant human map": ~ok_human,
        "constant model map": ~ok_model,
        "both empty": np.isnan(value),
    }
    reason = np.select(list(rules.values()), list(rules), "")
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
            "n_images": count,
            "n_missing": left_out,
            "reason": reason,
        }
    )


def unit_means(
    maps: np.ndarray, groups: np.ndarray, *, per_image: str = "none", used: np.ndarray | None = None
) -> np.ndarray:
    """Average the maps of each unit.

    Args:
      maps: (T, H, W).
      groups: int (T,), the unit of each.
      per_image: scaling of each map before averaging, see `DiceOptions`.
      used: bool (T,), the maps that count. None for all.

    Returns:
      float64 (U, H, W), the units in the order of their numbers, NaN for one without a map that counts.

    Example:
      >>> unit_means(np.array([[[1.0, 3.0]], [[3.0, 5.0]], [[0.0, 1.0]]]), np.array([7, 7, 9])).tolist()
      [[[2.0, 4.0]], [[0.0, 1.0]]]
    """
    check_one_of("per_image", per_image, CHOICES["per_image"])
    maps, units = np.asarray(maps, np.float64), np.unique(groups)
    used = np.ones(len(maps), bool) if used is None else used
    maps = np.where(used[:, None, None], maps, 0)
    if per_image == "minmax":
        low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
        maps = (maps - low) / np.where(high > low, high - low, 1)
    elif per_image == "sum":
        maps = maps - np.minimum(maps.min((1, 2), keepdims=True), 0)
        total = maps.sum((1, 2), keepdims=True)
        maps = maps / np.where(total > 0, total, 1)
    own = [used & (groups == one) for one in units]
    return np.stack([maps[rows].mean(0) if rows.any() else np.full(maps.shape[1:], np.nan) for rows in own])


def dice_grid(human: np.ndarray, model: np.ndarray, pairs: np.ndarray) -> pd.DataFrame:
    """Average Dice over pairs under every combination of the options that the paper leaves open.

    Args:
      human: (T, H, W).
      model: (T, H, W).
      pairs: int (T,).

    Returns:
      One row a combination.

    Columns:
      per_image: scaling of each map before averaging.
      normalise: how a mean map is scaled to 0 to 255.
      integer: how it becomes whole numbers.
      compare: whether the threshold itself counts.
      dice: mean Dice over pairs.
      corrected: mean over pairs of Dice corrected for chance.
      n: pairs with a number.

    Example:
      >>> maps = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
      >>> grid = dice_grid(maps, maps, np.array([0, 1]))
      >>> len(grid), grid["dice"].unique().tolist()
      (24, [1.0])
    """
    names, rows = list(CHOICES)[:4], []
    for values in itertools.product(*(CHOICES[name] for name in names)):
        options: dict[str, Any] = dict(zip(names, values, strict=True))
        table = dice_per_pair(human, model, pairs, DiceOptions(**options))
        known = table["dice"].notna()
        means = table.loc[known, ["dice", "corrected"]].mean()
        rows.append(options | {"dice": means["dice"], "corrected": means["corrected"], "n": int(known.sum())})
    return pd.DataFrame(rows)


def baselines(human: np.ndarray, pairs: np.ndarray, options: DiceOptions = DEFAULTS) -> pd.DataFrame:
    """Score maps that know nothing of the network by the same protocol.

    Args:
      human: (T, H, W) attention maps.
      pairs: int (T,).
      options: of the protocol.

    Returns:
      One row a baseline: the means of `baselines_per_pair`.

    Columns:
      baseline: of `baselines_per_pair`.
      dice: mean Dice over pairs.
      corrected: mean over pairs of Dice corrected for chance.
      n: pairs with a number.

    Raises:
      UsageError: no maps, or pairs that are no whole numbers (T,).

    Example:
      >>> maps = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
      >>> table = baselines(maps, np.array([0, 1])).set_index("baseline")
      >>> table["dice"].round(2).to_dict()
      {'centre': nan, 'other pairs': 0.0, 'neighbouring pair': 0.0, 'uniform': 0.67}
    """
    return over_pairs(baselines_per_pair(human, pairs, options))


def over_pairs(per_pair: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `baselines` from that of `baselines_per_pair`.

    Example:
      >>> table = pd.DataFrame({"baseline": ["centre"] * 2, "unit": [0, 1], "dice": [0.2, 0.4], "corrected": 0.1})
      >>> over_pairs(table).round(2).values.tolist()
      [['centre', 0.3, 0.1, 2]]
    """
    found = per_pair.groupby("baseline", sort=False)
    return found.agg(dice=("dice", "mean"), corrected=("corrected", "mean"), n=("dice", "count")).reset_index()


def baselines_per_pair(human: np.ndarray, pairs: np.ndarray, options: DiceOptions = DEFAULTS) -> pd.DataFrame:
    """Score maps that know nothing of the network by the same protocol, pair by pair.

    Args:
      human: (T, H, W) attention maps.
      pairs: int (T,).
      options: of the protocol.

    Returns:
      One row a baseline and pair. Images without a finite map are left out everywhere. A pair without any counts in
      no baseline, unless no pair has any: then all are there without a number.

    Columns:
      baseline: "centre" is a Gaussian in the middle with σ = W/4 (ours), "other pairs" the mean human map of all
        other pairs, "neighbouring pair" the human maps of the next pair, and "uniform" everything on.
      unit: the pair, by its number.
      dice: Dice of the two mean maps, NaN where one is constant.
      corrected: Dice corrected for chance.

    Raises:
      UsageError: no maps, or pairs that are no whole numbers (T,).

    Example:
      >>> maps = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
      >>> table = baselines_per_pair(maps, np.array([0, 1]))
      >>> table[table["baseline"] == "uniform"][["unit", "dice"]].round(2).values.tolist()
      [[0.0, 0.67], [1.0, 0.67]]
    """
    human = _maps("human", human)
    pairs = _units("pairs", pairs, len(human))
    kept = _finite(human)
    if not kept.any():
        none = pd.DataFrame({"unit": np.unique(pairs), "dice": np.nan, "corrected": np.nan})
        return pd.concat([none.assign(baseline=name) for name in BASELINES], ignore_index=True)[_OF_BASELINES]
    human, pairs = human[kept], pairs[kept]
    centre = reference_maps.centre(*human.shape[1:])
    units = np.unique(pairs)
    means = unit_means(human, pairs)
    place = np.searchsorted(units, pairs)
    candidates = {"centre": np.broadcast_to(centre, human.shape)}
    if len(units) > 1:
        candidates["other pairs"] = reference_maps.of_other_pairs(human, pairs)
        candidates["neighbouring pair"] = np.roll(means, 1, 0)[place]
    tables = [
        dice_per_pair(human, maps, pairs, options)[["unit", "dice", "corrected"]].assign(baseline=name)
        for name, maps in candidates.items()
    ]
    on, usable = binary_maps(means, options)
    everything = np.where(usable, dice(on, np.ones_like(on), options), np.nan)
    of_uniform = {"unit": units, "dice": everything, "corrected": np.where(usable, 0.0, np.nan)}
    tables.append(pd.DataFrame(of_uniform).assign(baseline="uniform"))
    return pd.concat(tables, ignore_index=True)[_OF_BASELINES]


def _maps(name, maps) -> np.ndarray:
    try:
        maps = np.asarray(maps, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"`{name}`: wanted maps of numbers: {error}.") from None
    if maps.ndim != 3 or not maps.size:
        raise UsageError(f"`{name}`: wanted maps (T, H, W), at least one, got {maps.shape}.")
    return maps


def _units(name, units, count) -> np.ndarray:
    units = np.asarray(units)
    if units.shape != (count,) or not np.issubdtype(units.dtype, np.integer):
        raise UsageError(f"`{name}`: wanted whole numbers ({count},), one a map, got {units.dtype} {units.shape}.")
    return units


def _finite(maps) -> np.ndarray:
    return np.isfinite(maps).all((1, 2))
