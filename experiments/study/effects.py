"""Tests on Dice for every reading of what a unit is: effects of the method and of the category, and contrasts."""

import numpy as np
import pandas as pd

from experiments.study.run import Run
from fer_jax import compare as comparing
from fer_jax.explanation import METHODS

UNITS = ("pair", "ordered pair", "image")
# Design and reading of each test of the category: the paper does not say how it came to F = 1.34.
_CATEGORY = (
    ("main", "between"),
    ("main", "repeated"),
    ("oneway", "between"),
    ("interaction", "between"),
    ("interaction", "repeated"),
    ("per_method", "between"),
)


def write_effects(run: Run, human: np.ndarray, maps: dict[str, np.ndarray]) -> None:
    """Write what the method and the category of a picture explain of Dice, and the methods two by two.

    Columns:
      unit: whose mean maps have a Dice: the 28 pairs, the 56 ordered pairs, or the images. The paper does not say.
      test: "one-way", "repeated", "Welch" or "category". Of two methods "Tukey", "Games-Howell" or "paired" (t over the
        same units, p corrected by Holm).
      effect: the method's, or which of the category's.
      design: "between" (the paper's) or "repeated".
      F, df1, df2: of the effect, and its degrees of freedom.
      p: of F or of t.
      low, high: of an effect the 95 % interval of the share of variance. Of a paired difference its bootstrap interval.
      t, df: of the difference, and its degrees of freedom.
    """
    effects, contrasts = [], []
    for unit in UNITS:
        dice, labels = _dice(run, human, maps, unit)
        kept = dice.notna().all(axis=1)
        groups = {method: dice.loc[kept, method].to_numpy() for method in METHODS}
        effects += _effects(groups, labels[kept.to_numpy()], unit)
        contrasts += _contrasts(groups, unit, run.config.seed)
    run.folder.write_table("effects", pd.DataFrame(effects))
    run.folder.write_table("contrasts", pd.DataFrame(contrasts))


def cells_of(run: Run) -> np.ndarray:
    """Return the ordered pair of each study image, a place in `Categories.ordered_pairs`, int (T,)."""
    place = {pair: cell for cell, pair in enumerate(map(tuple, run.categories.ordered_pairs))}
    columns = (run.study_table[name].map(run.categories.index_of) for name in ("true_label", "false_label"))
    return np.asarray([place[pair] for pair in zip(*columns, strict=True)])


def _dice(run, human, maps, unit):
    """Return Dice by unit and method, and the category of each unit (of a pair: none, -1)."""
    truth = np.asarray([run.categories.index_of(label) for label in run.study_table["true_label"]])
    pairs = run.study_pairs
    units = {"pair": pairs, "ordered pair": cells_of(run), "image": np.arange(len(pairs))}[unit]
    tables = {name: comparing.dice.dice_per_pair(human, maps[name], pairs, unit=units) for name in METHODS}
    first = np.unique(units, return_index=True)[1]
    labels = np.full(len(first), -1) if unit == "pair" else truth[first]
    return pd.DataFrame({name: table["dice"] for name, table in tables.items()}), labels


def _effects(groups, labels, unit):
    n = len(labels)
    row = {"unit": unit, "test": "", "effect": "method", "design": "between", "method": ""}
    reason = f"{n} units have a Dice for every method" if n < 2 else ""
    tests = [("one-way", "between"), ("repeated", "repeated"), ("Welch", "between")]
    for test, design in tests:
        found = {"F": np.nan, "df": (np.nan, np.nan), "p": np.nan, "reason": reason}
        if not reason:
            analyse = comparing.statistics.welch if test == "Welch" else comparing.statistics.anova
            found = analyse(groups, **({} if test == "Welch" else {"design": design}))
        yield row | {"test": test, "design": design} | _sized(found, *found["df"], n * len(groups), n)
    count = len(np.unique(labels))
    reason = reason or ("a category has no unit of its own" if not 2 <= count < n else "")
    for effect, design in _CATEGORY if unit != "pair" else ():
        shared = row | {"test": "category", "effect": effect, "design": design}
        if reason:
            yield shared | _sized({"F": np.nan, "p": np.nan, "reason": reason}, np.nan, np.nan, np.nan, n)
            continue
        table = comparing.statistics.category_effect(groups, labels, effect=effect, design=design)
        for found in table.to_dict("records"):
            own = shared | {"method": found["method"]}
            yield own | _sized(found, found["df1"], found["df2"], found["observations"], n)


def _sized(found, df1, df2, observations, n):
    known = np.isfinite(found["F"])
    observations = observations if known else np.nan
    sizes = comparing.effects.share_of_variance(
        found["F"], df1 if known else 1, df2 if known else 1, observations=observations
    )
    tested = {"F": found["F"], "df1": df1, "df2": df2, "p": found["p"]}
    return tested | sizes | {"observations": observations, "n": n, "reason": found["reason"]}


def _contrasts(groups, unit, seed):
    n = len(next(iter(groups.values())))
    if n < 2:
        return
    tukey, howell = comparing.statistics.tukey(groups), comparing.statistics.games_howell(groups)
    paired = comparing.statistics.contrasts(groups, seed=seed).assign(p=lambda table: table["p_holm"])
    paired["reason"] = paired["p"].isna().map({True: "all units differ alike", False: ""})
    tests = {"Tukey": tukey.assign(df=len(groups) * (n - 1)), "Games-Howell": howell, "paired": paired}
    for test, table in tests.items():
        for row in table.to_dict("records"):
            t, df = row.get("t", np.nan), row.get("df", np.nan)
            # d is in standard deviations of the error term, which only Tukey's test shares among all methods.
            size = comparing.effects.standardised_difference(
                t if test == "Tukey" else np.nan, df if np.isfinite(df) else 1, scale=np.sqrt(2 / n)
            )
            yield {
                "unit": unit,
                "test": test,
                **{name: row[name] for name in ("a", "b", "difference")},
                "low": row.get("ci_low", np.nan),
                "high": row.get("ci_high", np.nan),
                "t": t,
                "df": df,
                "p": row["p"],
                **size,
                "n": n,
                "reason": row["reason"],
            }
