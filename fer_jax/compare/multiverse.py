"""The winner of the Dice comparison under every choice that the paper leaves open (paper §5.3).

Contract: maps are float (T, H, W), one for each study image, of people and of networks. A specification is one choice
of everything. Dice is that of `compare.dice`, averaged over the units.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fer_jax.compare import _map_scores, dice, reference_maps
from fer_jax.compare.agreement import TOP
from fer_jax.errors import UsageError

UNITS = ("pair", "ordered", "image")
MATCHED = "matched area"
BASELINES = ("centre", "other pairs")
# Cuts of a mean map: the paper's threshold under each open option, and the matched area, to which these do not apply.
_CUTS = [
    {"threshold": f"over {dice.THRESHOLD}", **dict(zip(("normalise", "integer", "compare"), values, strict=True))}
    for values in itertools.product(*(dice.CHOICES[name] for name in ("normalise", "integer", "compare")))
] + [{"threshold": MATCHED, "normalise": "", "integer": "", "compare": ""}]
DICE_CHOICES = ("unit", "per_image", "threshold", "normalise", "integer", "compare")

Choices = Mapping[str, Any]


def multiverse(
    people: Sequence[tuple[Choices, np.ndarray]],
    networks: Sequence[tuple[Choices, Mapping[str, np.ndarray]]],
    pairs: np.ndarray,
    ordered: np.ndarray,
) -> pd.DataFrame:
    """Compare the methods under every specification.

    An image that lacks a finite map in any version counts nowhere, so that all specifications speak of the same images.

    Args:
      people: each version of people's maps with its choices, such as ({"trials": "correct"}, maps).
      networks: each version of the networks' maps by method, with its choices. Two methods or more.
      pairs: int (T,) the unordered pair of each image.
      ordered: int (T,) the ordered pair of each image.

    Returns:
      One row a specification. Missing is what no unit has in common.

    Columns:
      unit: what maps are averaged within: pair, ordered pair or image.
      per_image: scaling of each map before averaging. Single images know no other than none.
      threshold: over 50 of 255, or the 10 % of the pixels that are highest in either map.
      normalise: how a mean map is scaled to 0 to 255, empty for the matched area.
      integer: how it becomes whole numbers, empty for the matched area.
      compare: whether the threshold itself counts, empty for the matched area.
      winner: the method with the highest mean Dice. Of equal ones the first, with a margin of 0.
      margin: its mean Dice less that of the next method.
      best_baseline: the best of centre and the mean of people's maps of the other pairs.
      over_baseline: the winner's mean Dice less that of the best baseline.
      n: units in which every method and baseline has a Dice.

    Further columns are the choices of `people` and `networks`, and `dice_` with the name of each method and baseline.

    Raises:
      UsageError: maps that do not fit each other, fewer than two methods, or versions with different choices.

    Example:
      >>> maps = np.random.default_rng(0).random((4, 8, 8))
      >>> people = [({"trials": "all"}, maps)]
      >>> networks = [({"area": 0.1}, {"good": maps + 0.1, "bad": 1 - maps})]
      >>> table = multiverse(people, networks, np.array([0, 0, 1, 1]), np.arange(4))
      >>> len(table), table["winner"].unique().tolist()
      (63, ['good'])
    """
    methods = _checked(people, networks, pairs, ordered)
    kept = np.all(
        [_finite(maps) for _, maps in people] + [_finite(m) for _, maps in networks for m in maps.values()], 0
    )
    if not kept.any():
        raise UsageError("`people`, `networks`: wanted an image with a finite map in every version, got none.")
    kept_once = _Once(lambda maps: np.asarray(maps, np.float64)[kept])
    people = [(chosen, kept_once(maps)) for chosen, maps in people]
    networks = [(chosen, {name: kept_once(each) for name, each in maps.items()}) for chosen, maps in networks]
    groups = {"pair": np.asarray(pairs)[kept], "ordered": np.asarray(ordered)[kept], "image": np.arange(kept.sum())}
    centre = reference_maps.centre(*people[0][1].shape[1:])[None].repeat(kept.sum(), 0)
    rows = []
    for unit, per_image in itertools.product(UNITS, dice.CHOICES["per_image"]):
        if unit == "image" and per_image != "none":
            continue  # one image's scale cancels
        within = groups[unit]
        means = _Once(functools.partial(dice.unit_means, groups=within, per_image=per_image))
        others = _Once(functools.partial(_means_of_others, groups=within, pairs=groups["pair"], per_image=per_image))
        for cut in _CUTS:
            masks = _Once(functools.partial(_cut, cut=cut))
            for chosen, human in people:
                seen = masks(means(human))
                references = {"centre": masks(means(centre)), "other pairs": masks(others(human))}
                for version, maps in networks:
                    each = {name: masks(means(map_)) for name, map_ in maps.items()} | references
                    each = {name: _dice_of(seen, mask) for name, mask in each.items()}
                    spec = {"unit": unit, "per_image": per_image, **cut, **chosen, **version}
                    rows.append(spec | _winner(each, methods))
    return pd.DataFrame(rows)


def sentences(table: pd.DataFrame, names: Mapping[str, str], *, paper: Mapping[str, Any]) -> list[str]:
    """Say in three sentences what the specifications have in common.

    Args:
      table: of `multiverse`.
      names: method -> its name in a sentence.
      paper: the choices of one specification, the one to name beside the others.

    Returns:
      Who wins how often and what turns the winner, what becomes of the baselines, and the paper's reading.

    Raises:
      UsageError: choices that fit no specification, or more than one.

    Example:
      >>> maps = np.random.default_rng(0).random((4, 8, 8))
      >>> people, networks = [({}, maps)], [({}, {"good": maps + 0.1, "bad": 1 - maps})]
      >>> table = multiverse(people, networks, np.array([0, 0, 1, 1]), np.arange(4))
      >>> spec = table.iloc[0][list(DICE_CHOICES)].to_dict()
      >>> sentences(table, {"good": "Good", "bad": "Bad"}, paper=spec)[0]
      'Good fits people best in all 63 specifications.'
    """
    known = table[table["winner"] != ""]
    rows = np.all([table[name] == value for name, value in paper.items()], 0)
    if rows.sum() != 1:
        raise UsageError(f"`paper`: wanted the choices of one specification, got those of {rows.sum()}.")
    if known.empty:
        return ["No specification has a Dice for every method, so nothing can be said of a winner."]
    counts = known["winner"].value_counts()
    first = counts.index[0]
    often = "all" if counts.iloc[0] == len(known) else f"{counts.iloc[0]:,} of"
    one = f"{names[first]} fits people best in {often} {len(known):,} specifications"
    if len(counts) > 1:
        rest = ", ".join(
            f"{names[name]} in {count:,}"
            for name, count in zip(counts.index[1:].astype(str), counts.iloc[1:], strict=True)
        )
        shares = turning(known)
        one += f" ({rest})"
        if len(shares):
            most = f"{shares.index[0]} ({100 * shares.iloc[0]:.0f} % of the variation of its lead)"
            one += f"; the choice that decides most is {most}"
    above = (known["over_baseline"] > 0).mean()
    base = known["best_baseline"].value_counts().index[0]
    many = {0.0: "in none", 1.0: "in all"}.get(above, f"in {100 * above:.0f} %")
    two = (
        f"The best method is above the best map that asks no network {many} of them (median difference "
        f"{known['over_baseline'].median():+.2f}, mostly against {dice.BASELINES.get(base, base)})"
    )
    row = table[rows].iloc[0]
    three = "The paper's reading has no Dice for every method"
    if row["winner"]:
        three = (
            f"Under the paper's reading {names[row['winner']]} leads by {row['margin']:.2f} (median of all "
            f"{known['margin'].median():.2f}) and is {abs(row['over_baseline']):.2f} "
            f"{'above' if row['over_baseline'] > 0 else 'below'} the best such map"
        )
    return [f"{one}.", f"{two}.", f"{three}."]


def turning(table: pd.DataFrame) -> pd.Series:
    """Return what each choice explains of the lead of the method that wins most often.

    Args:
      table: of `multiverse`.

    Returns:
      For each choice that is made in several ways its share of the variance of the lead (eta squared of this choice
      alone), the largest first. 0 where the lead does not vary.

    Example:
      >>> table = pd.DataFrame({"unit": ["a", "a", "b", "b"], "trials": ["x", "y", "x", "y"], "winner": "m"})
      >>> turning(table.assign(dice_m=[1.0, 1.0, 0.2, 0.2], dice_n=0.5)).round(3).to_dict()
      {'unit': 1.0, 'trials': 0.0}
    """
    first = table["winner"].value_counts().index[0]
    lead = _lead(table, first)
    total, shares = float(((lead - lead.mean()) ** 2).sum()), {}
    for name in choices_of(table):
        groups = lead.groupby(table[name])
        if groups.ngroups > 1:
            explained = float((groups.size() * (groups.mean() - lead.mean()) ** 2).sum())
            shares[name] = explained / total if total > 0 else 0.0
    return pd.Series(shares, dtype="float64").sort_values(ascending=False, kind="stable")


def choices_of(table: pd.DataFrame) -> list[str]:
    """Return the columns that are choices, those of Dice first.

    Example:
      >>> choices_of(pd.DataFrame({"area": [0.1], "unit": ["pair"], "winner": ["cam"], "dice_cam": [0.5]}))
      ['unit', 'area']
    """
    found = {"winner", "margin", "best_baseline", "over_baseline", "n"}
    names = [name for name in table.columns.astype(str) if name not in found and not name.startswith("dice_")]
    return [name for name in DICE_CHOICES if name in names] + [name for name in names if name not in DICE_CHOICES]


def _lead(table, method) -> pd.Series:
    """Return the mean Dice of a method less that of the best other one."""
    found = {f"dice_{name}" for name in BASELINES}
    every = [name for name in table.columns.astype(str) if name.startswith("dice_")]
    others = [name for name in every if name not in found | {f"dice_{method}"}]
    return table[f"dice_{method}"] - table[others].max(axis=1)


def _winner(each, methods) -> dict:
    common = np.all([np.isfinite(values) for values in each.values()], 0)
    means = {name: float(values[common].mean()) if common.any() else np.nan for name, values in each.items()}
    row: dict[str, Any] = {"winner": "", "margin": np.nan, "best_baseline": "", "over_baseline": np.nan}
    if common.any():
        order = sorted(methods, key=lambda name: -means[name])
        base = max(BASELINES, key=lambda name: means[name])
        lead = means[order[0]]
        row = {"winner": order[0], "margin": lead - means[order[1]], "best_baseline": base}
        row["over_baseline"] = lead - means[base]
    return row | {"n": int(common.sum())} | {f"dice_{name}": value for name, value in means.items()}


class _Once:
    """A function of arrays that computes for each array once. An array is known by its place in memory."""

    def __init__(self, compute: Callable[[np.ndarray], Any]):
        self._compute = compute
        # The array is kept beside what was made of it, so that no other takes its place.
        self._made: dict[int, tuple[np.ndarray, Any]] = {}

    def __call__(self, array: np.ndarray) -> Any:
        if id(array) not in self._made:
            self._made[id(array)] = (array, self._compute(array))
        return self._made[id(array)][1]


def _means_of_others(human, groups, pairs, per_image) -> np.ndarray:
    """Return for each unit the mean of people's maps of the other pairs (U, H, W)."""
    scaled = dice.unit_means(human, np.arange(len(human)), per_image=per_image)
    first = np.unique(groups, return_index=True)[1]  # all images of a unit are of one pair
    return reference_maps.of_other_pairs(scaled, pairs)[first]


def _cut(means, cut) -> tuple[np.ndarray, np.ndarray]:
    """Return masks (U, H, W) of mean maps, and which maps can be cut."""
    if cut["threshold"] == MATCHED:
        usable = np.isfinite(means).all((1, 2)) & (np.ptp(np.nan_to_num(means), axis=(1, 2)) > 0)
        on = _map_scores.top(np.nan_to_num(means).reshape(len(means), -1), TOP).reshape(means.shape)
        return on & usable[:, None, None], usable
    names = ("normalise", "integer", "compare")
    return dice.binary_maps(means, dice.DiceOptions(**{name: cut[name] for name in names}))


def _dice_of(masks, other) -> np.ndarray:
    """Return the Dice of every unit (U,), NaN where a map is missing or cannot be cut."""
    (on, usable), (on_other, usable_other) = masks, other
    return np.where(usable & usable_other, dice.dice(on, on_other), np.nan)


def _checked(people, networks, pairs, ordered):
    if not people or not networks:
        raise UsageError("`people`, `networks`: wanted one version of maps or more, got none.")
    shape = np.shape(people[0][1])
    methods = tuple(networks[0][1])
    if len(methods) < 2:
        raise UsageError(f"`networks`: wanted two methods or more, got {', '.join(methods) or 'none'}.")
    named = [("people", chosen, {"": maps}) for chosen, maps in people]
    named += [("networks", chosen, maps) for chosen, maps in networks]
    for name, _, maps in named:
        shapes = {np.shape(each) for each in maps.values()}
        if len(shape) != 3 or shapes != {shape}:
            raise UsageError(f"`{name}`: wanted maps (T, H, W) of one shape, got {sorted(shapes)} beside {shape}.")
        if name == "networks" and tuple(maps) != methods:
            raise UsageError(f"`networks`: wanted {', '.join(methods)} in every version, got {', '.join(maps)}.")
    for name, versions in (("people", people), ("networks", networks)):
        if len({tuple(chosen) for chosen, _ in versions}) > 1:
            raise UsageError(f"`{name}`: wanted the same choices in every version.")
    for name, values in (("pairs", pairs), ("ordered", ordered)):
        if np.shape(values) != shape[:1] or not np.issubdtype(np.asarray(values).dtype, np.integer):
            raise UsageError(f"`{name}`: wanted whole numbers ({shape[0]},), got {np.shape(values)}.")
    return methods


def _finite(maps) -> np.ndarray:
    return np.isfinite(maps).all((1, 2))
