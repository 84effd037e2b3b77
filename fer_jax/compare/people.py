"""What people did in a click study, with intervals over people and images, and exact tests (paper §4.3).

Contract: every table says what a missing value is missing for, in its column `reason`. Intervals are 95 % percentile
bootstraps that resample people and images together. The same answers in another order give the same tables: people and
images are sorted by name first. Times are means of clean trials, in milliseconds.
"""

import itertools
import math

import numpy as np
import pandas as pd
import scipy

from fer_jax.categories import Categories
from fer_jax.compare import intervals
from fer_jax.compare.confusion import pair_matrix, qap
from fer_jax.compare.statistics import holm
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human import behaviour, regions
from fer_jax.human.behaviour import varies
from fer_jax.human.trials import Trials
from fer_jax.streams import stream

MEASURES = ("accuracy", "clicks", "time_ms")
_WORDS = {"accuracy": "answers", "clicks": "numbers of clicks", "time_ms": "times from first click to answer"}
# §4.3 compares images that fewer than 60 % named with those that more than 95 % named.
HARD, EASY = 0.60, 0.95
_PEOPLE, _SIGNS, _GROUPS = 0, 1, 2  # streams of the seed
_ALL_SIGNS = 16  # images up to which every choice of signs is tried
_MOST_LABELS = 9


def overall(
    trials: Trials, *, seed: int, resamples: int = intervals.RESAMPLES, time_trials: str = "clean"
) -> pd.DataFrame:
    """Return accuracy, clicks and time over all answers, with intervals over people, over images and over both.

    Args:
      trials: of the people who are analysed.
      seed: of the resampling.
      resamples: how many.
      time_trials: as for `behaviour.pair_table`.

    Returns:
      One row a measure.

    Columns:
      measure: accuracy, clicks or time_ms.
      value: mean over answers.
      low, high: interval over people and, within each ordered pair (true label where there is no foil), images.
      low_people, high_people: interval over people alone.
      low_images, high_images: interval over images alone.
      n: answers that have the measure.
      n_people, n_images: how many these answers are of.
      reason: why a value or an interval is missing, else empty.

    Example:
      >>> from fer_jax import human
      >>> labels, names = np.repeat(np.arange(8), 7), [str(number) for number in range(56)]
      >>> study = human.study.make_study(labels, names, seed=0, per_ordered_pair=1)
      >>> people = human.observers.simulate(study, seed=0, image_px=64, participants=4, with_dropouts=False)
      >>> overall(people, seed=0, resamples=40)["n"].tolist()
      [224, 224, 224]
    """
    answers = behaviour.answer_table(trials, time_trials=time_trials)
    rows = []
    for measure in MEASURES:
        values, cells, _ = _crossed(answers, measure)
        people, images = values.shape
        row = {"measure": measure, "value": math.nan, **dict.fromkeys(_BOUNDS, math.nan)}
        reason = f"no {_WORDS[measure]}"
        if values.size:
            row["value"] = float(answers[measure].astype("float64").mean())
            drawn = intervals.crossed_counts(stream(seed, _PEOPLE), people, cells, resamples=resamples)
            ones = np.ones_like(drawn[0]), np.ones_like(drawn[1])
            one_cell = np.zeros(images, int)
            for name, counts in {"": drawn, "_people": (drawn[0], ones[1]), "_images": (ones[0], drawn[1])}.items():
                means = intervals.crossed_means(values, one_cell, *counts)[:, 0]
                if people > 1 or name == "_images":
                    row[f"low{name}"], row[f"high{name}"] = _interval(means)
            alone = np.bincount(cells).max() < 2  # drawn again within its cell, a single image is the same image
            if alone:
                row["low_images"] = row["high_images"] = math.nan
            few = {"fewer than two people": people < 2, "no cell of two images, so none over images": alone}
            reason = ", ".join(words for words, holds in few.items() if holds)
        known = answers[answers[measure].notna()]
        counted = {"n": len(known), "n_people": known["participant"].nunique(), "n_images": known["image"].nunique()}
        rows.append({**row, **counted, "reason": reason})
    return pd.DataFrame(rows)


_BOUNDS = ("low", "high", "low_people", "high_people", "low_images", "high_images")


def pair_measures(
    trials: Trials,
    study: pd.DataFrame,
    *,
    seed: int,
    resamples: int = intervals.RESAMPLES,
    categories: Categories = EXPRESSIONS,
    time_trials: str = "clean",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return accuracy, clicks and time of each ordered pair, and how these correlate over the pairs (paper Fig. 3).

    Args:
      trials: of the people who are analysed.
      study: a study table.
      seed: of the resampling.
      resamples: how many.
      categories: whose ordered pairs are the rows.
      time_trials: as for `behaviour.pair_table`.

    Returns:
      The table of `behaviour.pair_table` with accuracy_low, accuracy_high, clicks_low and so on, and reason. And the
      correlations, three rows.

    Columns:
      first, second: the measures that are correlated.
      r: Pearson's correlation over ordered pairs, as in the paper.
      low, high: its interval over people and images.
      p: two-sided, of r, as if ordered pairs were independent, which they are not.
      p_qap: of r, by all relabellings of the categories.
      spearman: rank correlation over ordered pairs.
      within_people: mean over people of each person's correlation over answers.
      n: ordered pairs with both measures.
      reason: why a value is missing, else empty.

    Example:
      >>> from fer_jax import human
      >>> labels, names = np.repeat(np.arange(8), 7), [str(number) for number in range(56)]
      >>> study = human.study.make_study(labels, names, seed=0, per_ordered_pair=1)
      >>> people = human.observers.simulate(study, seed=0, image_px=64, participants=4, with_dropouts=False)
      >>> pairs, related = pair_measures(people, study, seed=0, resamples=40)
      >>> len(pairs), related["n"].tolist()
      (56, [56, 56, 56])
    """
    pairs = behaviour.pair_table(trials, study, categories=categories, time_trials=time_trials)
    answers = behaviour.answer_table(behaviour.of_study(trials, study), time_trials=time_trials)
    place = {(categories[true], categories[false]): cell for cell, (true, false) in enumerate(categories.ordered_pairs)}
    resampled = {}
    for measure in MEASURES:
        values, cells, ordered = _crossed(answers, measure, place)
        means = np.full((resamples, len(place)), np.nan)
        if values.size and len(values) > 1:
            drawn = intervals.crossed_counts(stream(seed, _PEOPLE), len(values), cells, resamples=resamples)
            means[:, ordered] = intervals.crossed_means(values, cells, *drawn)
        resampled[measure] = means
        low, high = np.transpose([_interval(column) for column in means.T])
        pairs = pairs.assign(**{f"{measure}_low": low, f"{measure}_high": high})
    lacking = [pairs["n"] == 0, pairs["clicks"].isna(), pairs["n_times"] == 0]
    lacking.append(pairs[[f"{measure}_low" for measure in MEASURES]].isna().any(axis=1))
    few = "fewer than two people" if answers["participant"].nunique() < 2 else "too few answers for an interval"
    pairs = pairs.assign(reason=np.select(lacking, [*(f"no {words}" for words in _WORDS.values()), few], ""))
    rows = [_related(pairs, answers, resampled, *two, categories) for two in itertools.combinations(MEASURES[::-1], 2)]
    return pairs, pd.DataFrame(rows)


def times(
    trials: Trials, *, seed: int, resamples: int = intervals.RESAMPLES, time_trials: str = "clean"
) -> pd.DataFrame:
    """Return times with and without those that `behaviour.marked_times` marks.

    Args:
      trials: of the people who are analysed.
      seed: of the resampling.
      resamples: how many.
      time_trials: as for `behaviour.pair_table`.

    Returns:
      Two rows.

    Columns:
      times: "all", or "without marked".
      value: mean, ms.
      median: mean over people of each one's median, ms.
      low, high: its interval over people.
      n: times.
      n_marked: times that are marked.
      reason: why a value is missing, else empty.

    Example:
      >>> from fer_jax import human
      >>> labels, names = np.repeat(np.arange(8), 7), [str(number) for number in range(56)]
      >>> study = human.study.make_study(labels, names, seed=0, per_ordered_pair=1)
      >>> people = human.observers.simulate(study, seed=0, image_px=64, participants=4, with_dropouts=False)
      >>> table = times(people, seed=0, resamples=40)
      >>> bool(table["n"][0] == table["n"][1] + table["n_marked"][0])
      True
    """
    rows = []
    everything = behaviour.answer_table(trials, time_trials=time_trials)["time_ms"]
    for name, each in (("all", trials), ("without marked", behaviour.without_marked_times(trials))):
        answers = behaviour.answer_table(each, time_trials=time_trials)
        known = answers[answers["time_ms"].notna()]
        medians = known.groupby("participant")["time_ms"].median().to_numpy(np.float64)
        low, high = intervals.mean_interval(stream(seed, _PEOPLE), medians, resamples=resamples)
        reason = f"no {_WORDS['time_ms']}" if known.empty else "fewer than two people" if len(medians) < 2 else ""
        value, median = (each.mean() if len(each) else math.nan for each in (known["time_ms"], medians))
        marked = int(everything.notna().sum()) - len(known) if name != "all" else 0
        rows.append((name, value, median, low, high, len(known), marked, reason))
    table = pd.DataFrame(rows, columns=["times", "value", "median", "low", "high", "n", "n_marked", "reason"])
    return table.assign(n_marked=table["n_marked"].max())


def learning(
    trials: Trials, *, seed: int, resamples: int = intervals.RESAMPLES, time_trials: str = "clean"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return accuracy, clicks and time by block, and whether they change from block to block.

    Args:
      trials: of the people who are analysed.
      seed: of the resampling.
      resamples: how many.
      time_trials: as for `behaviour.pair_table`.

    Returns:
      One row a measure and block: measure, block, value (mean over people), low, high (over people), n (people) and
      reason. And one row a measure: measure, change (mean over people of each one's slope, per block), low, high, p
      (two-sided t of the slopes), p_holm, n (people with two blocks or more) and reason.

    Example:
      >>> from fer_jax import human
      >>> labels, names = np.repeat(np.arange(8), 7), [str(number) for number in range(56)]
      >>> study = human.study.make_study(labels, names, seed=0, per_ordered_pair=1)
      >>> people = human.observers.simulate(study, seed=0, image_px=64, participants=4, with_dropouts=False)
      >>> learning(people, seed=0, resamples=40)[0]["n"].tolist()
      [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]
    """
    blocks = behaviour.block_table(trials, time_trials=time_trials)
    levels, changes = [], []
    for measure in MEASURES:
        table = blocks.pivot(index="participant", columns="block", values=measure).astype("float64").sort_index()
        for block in table:
            known = table[block].dropna().to_numpy()
            low, high = intervals.mean_interval(stream(seed, _PEOPLE), known, resamples=resamples)
            value = known.mean() if len(known) else math.nan
            reason = "" if len(known) > 1 else f"{len(known)} people have {_WORDS[measure]}"
            levels.append((measure, block, value, low, high, len(known), reason))
        slopes = np.array([slope for row in table.to_numpy() if np.isfinite(slope := _slope(table.columns, row))])
        low, high = intervals.mean_interval(stream(seed, _PEOPLE), slopes, resamples=resamples)
        alike = len(slopes) > 1 and not varies(slopes)
        changes.append(
            {
                "measure": measure,
                "change": slopes.mean() if len(slopes) else math.nan,
                "low": low,
                "high": high,
                "p": float(scipy.stats.ttest_1samp(slopes, 0).pvalue) if len(slopes) > 1 and not alike else math.nan,
                "n": len(slopes),
                "reason": "no p: everybody changed alike"
                if alike
                else ""
                if len(slopes) > 1
                else f"{len(slopes)} people have {_WORDS[measure]} in two blocks",
            }
        )
    changed = pd.DataFrame(changes)
    changed.insert(5, "p_holm", holm(changed["p"].to_numpy()))
    columns = ["measure", "block", "value", "low", "high", "n", "reason"]
    return pd.DataFrame(levels, columns=columns), changed


def region_tests(
    trials: Trials,
    study: pd.DataFrame,
    *,
    image_px: int,
    seed: int,
    landmarks: np.ndarray | None = None,
    permutations: int = intervals.RESAMPLES,
) -> pd.DataFrame:
    """Compare the regions of first and last clicks, and of last clicks on hard and easy images (paper §4.3).

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.
      image_px: side of the stimuli.
      seed: of the permutations.
      landmarks: (T, 68, 2), pixels. None takes the crop frame, which holds for aligned faces only.
      permutations: how many.

    Returns:
      Two rows a region.

    Columns:
      comparison: "last - first", or "last, hard - easy".
      region: of `regions.NAMES`.
      share: of the one, mean over images.
      other: of the other.
      difference: share less other.
      p: share of permutations with a difference as large, the one seen among them. Permuted are first and last within
        an image, or hard and easy over images.
      p_holm: corrected over the regions of one comparison.
      n: images.
      reason: why values are missing, else empty.

    Example:
      >>> from fer_jax import human
      >>> labels, names = np.repeat(np.arange(8), 7), [str(number) for number in range(56)]
      >>> study = human.study.make_study(labels, names, seed=0, per_ordered_pair=1)
      >>> people = human.observers.simulate(study, seed=0, image_px=64, participants=4, with_dropouts=False)
      >>> table = region_tests(people, study, image_px=64, seed=0, permutations=100)
      >>> table["comparison"].unique().tolist()
      ['last - first', 'last, hard - easy']
    """
    ends = regions.first_and_last(trials, study, image_px=image_px, landmarks=landmarks)
    first, last = (regions.image_shares(ends, which) for which in ("first", "last"))
    accuracy = (
        behaviour.answer_table(trials).groupby("image")["accuracy"].mean().reindex(last.index).to_numpy(np.float64)
    )
    hard, easy = accuracy < HARD, accuracy > EASY
    parts = []
    for name, one, other, p in (
        ("last - first", last, first, _sign_flips(last.to_numpy() - first.to_numpy(), seed, permutations)),
        ("last, hard - easy", last[hard], last[easy], _regrouped(last.to_numpy(), hard, easy, seed, permutations)),
    ):
        means = [part.mean().to_numpy() if len(part) else np.full(len(regions.NAMES), np.nan) for part in (one, other)]
        table = pd.DataFrame({"comparison": name, "region": regions.NAMES, "share": means[0], "other": means[1]})
        lacking = [word for word, part in (("first", one), ("second", other)) if not len(part)]
        n = len(one) if one.index.equals(other.index) else len(one) + len(other)
        reason = f"no image in the {' and the '.join(lacking)} group" if lacking else ""
        parts.append(table.assign(difference=means[0] - means[1], p=p, p_holm=holm(p), n=n, reason=reason))
    return pd.concat(parts, ignore_index=True)


def _crossed(answers, measure, place=None):
    """Return values (S, T) of people and images sorted by name, and the cell of each image.

    Cells are numbered from 0 without gaps. The third value is the number of each cell in `place` (ordered pairs).
    """
    known = answers[answers[measure].notna()].assign(**{measure: answers[measure].astype("float64")})
    table = known.pivot_table(index="participant", columns="image", values=measure, aggfunc="mean", sort=True)
    labels = known.drop_duplicates("image").set_index("image").reindex(table.columns)
    foil = labels["false_label"].fillna("")
    names = list(zip(labels["true_label"].fillna(""), foil, strict=True))
    place = {name: number for number, name in enumerate(sorted(set(names)))} if place is None else place
    ordered = sorted({place[name] for name in names})
    return table.to_numpy(), np.array([ordered.index(place[name]) for name in names], int), ordered


def _interval(values) -> tuple[float, float]:
    """Return the interval of the resamples that have a value, NaN where fewer than half have one."""
    known = values[np.isfinite(values)]
    return intervals.percentile_interval(known) if 2 * len(known) > len(values) else (math.nan, math.nan)


def _related(pairs, answers, resampled, first, second, categories) -> dict:
    one, other = (pairs[name].to_numpy(np.float64) for name in (first, second))
    both = np.isfinite(one) & np.isfinite(other)
    flat = [name for name, values in ((first, one[both]), (second, other[both])) if not varies(values)]
    found = {"first": first, "second": second, **dict.fromkeys(_RELATED, math.nan)}
    reason = (
        f"{both.sum()} ordered pairs have both" if both.sum() < 2 else f"constant: {', '.join(flat)}" if flat else ""
    )
    if not reason:
        # Two points lie on a line, of which no p can be had.
        found["r"], p = scipy.stats.pearsonr(one[both], other[both])
        found["p"] = float(p) if both.sum() > 2 else math.nan
        found["spearman"] = float(scipy.stats.spearmanr(np.round(one[both], 12), np.round(other[both], 12)).statistic)
        found["low"], found["high"] = _interval(_row_correlations(resampled[first], resampled[second]))
        if not both.all():
            reason = "no p_qap: an ordered pair lacks a measure"
        elif len(categories) > _MOST_LABELS:
            reason = f"no p_qap: more than {_MOST_LABELS} categories"
        else:
            found["p_qap"] = qap(*(pair_matrix(values, categories=categories) for values in (one, other)))[1]
    found["within_people"] = _within_people(answers, first, second)
    if not reason:
        gaps = {
            "two ordered pairs lie on a line, which has no p": "p",
            "too few answers for an interval": "low",
            "in nobody both vary": "within_people",
        }
        reason = ", ".join(why for why, name in gaps.items() if math.isnan(found[name]))
    return {**found, "n": int(both.sum()), "reason": reason}


_RELATED = ("r", "low", "high", "p", "p_qap", "spearman", "within_people")


def _row_correlations(one, other) -> np.ndarray:
    """Correlate the rows of two arrays (R, C) over the columns that both have."""
    known = np.isfinite(one) & np.isfinite(other)
    number = np.maximum(known.sum(1, keepdims=True), 1)
    centred = []
    for values in (one, other):
        values = np.where(known, values, 0.0)
        centred.append(np.where(known, values - values.sum(1, keepdims=True) / number, 0.0))
    a, b = centred
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return (a * b).sum(1) / np.where(scale > 0, scale, np.nan)


def _within_people(answers, first, second) -> float:
    """Return the mean over people of the correlation over their answers, of people in whom both vary."""
    found = []
    for _, own in answers.sort_values(["participant", "trial"]).groupby("participant"):
        both = own[[first, second]].astype("float64").dropna().to_numpy()
        if len(both) > 2 and varies(both[:, 0]) and varies(both[:, 1]):
            found.append(np.corrcoef(both.T)[0, 1])
    return float(np.mean(found)) if found else math.nan


def _slope(blocks, values) -> float:
    known = np.isfinite(values)
    x = np.asarray(blocks, np.float64)[known]
    return float(np.polyfit(x, values[known], 1)[0]) if known.sum() > 1 else math.nan


def _sign_flips(differences, seed, permutations) -> np.ndarray:
    """Return p (C,) of the means of differences (n, C) under all choices of signs, or `permutations` of them."""
    n = len(differences)
    if not n:
        return np.full(differences.shape[1], np.nan)
    if n <= _ALL_SIGNS:
        signs = 1 - 2 * ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1)
    else:
        signs = stream(seed, _SIGNS).choice([-1, 1], (permutations, n))
        signs[0] = 1
    return _share_as_large(signs @ differences / n)


def _regrouped(values, one, other, seed, permutations) -> np.ndarray:
    """Return p (C,) of the difference in means of two groups of rows, by dealing the rows into groups anew."""
    both = values[one | other]
    if not one.any() or not other.any():
        return np.full(values.shape[1], np.nan)
    weight = np.where(one[one | other], 1 / one.sum(), -1 / other.sum())
    order = np.argsort(stream(seed, _GROUPS).random((permutations, len(both))), axis=1, kind="stable")
    order[0] = np.arange(len(both))
    return _share_as_large(weight[order] @ both)


def _share_as_large(differences) -> np.ndarray:
    """Return the share of rows whose absolute value reaches the first row's."""
    return (np.abs(differences) >= np.abs(differences[0]) - 1e-12).mean(0)
