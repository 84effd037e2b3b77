"""The tables of a click study: every measure with and without exclusions, and what could not be measured.

Contract: every table has the columns `sample` (after exclusions, everybody) and `people` (real, simulated, mixed or
unknown) in front. What is left out stands in `left_out` with its reason, never as an empty table without a word.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from fer_jax import compare, human
from fer_jax.categories import Categories
from fer_jax.errors import DataError
from fer_jax.expressions import canonical_name, paper_first
from fer_jax.human.trials import Trials
from fer_jax.provenance import Provenance

_KINDS = {"all": "simulated", "none": "real"}


@dataclasses.dataclass(frozen=True)
class Measured:
    """All numbers of an analysis.

    Attributes:
      tables: by name, with all samples.
      counts: (K, K) answers after exclusions, rows true.
      categories: what rows and columns are, None where nobody answered.
      people: real, simulated, mixed or unknown.
      left_out: what could not be measured -> why.
    """

    tables: Mapping[str, pd.DataFrame]
    counts: np.ndarray
    categories: Categories | None
    people: str
    left_out: Mapping[str, str]

    @property
    def provenance(self) -> Provenance:
        """What figures say of the people. Of pictures, trials say nothing."""
        people = "real" if self.people == "unknown" else self.people
        return Provenance(pictures="unknown", people=people)

    def of(self, name: str, sample: str = "after exclusions") -> pd.DataFrame:
        """Return the rows of one sample, without the two columns in front."""
        table = self.tables.get(name, pd.DataFrame(columns=["sample", "people"]))
        return table[table["sample"] == sample].drop(columns=["sample", "people"]).reset_index(drop=True)


def measure(samples: Mapping[str, Trials], exclusions: pd.DataFrame, config) -> Measured:
    """Measure every sample.

    Args:
      samples: what each is called -> its trials. The first is the one of the page, the last is everybody.
      exclusions: as `human.exclusion.exclude` returns them.
      config: seed, resamples, halves, trials_used, aligned, time_trials, rt_rule and time_from.

    Raises:
      DataError: nobody is left, or answers that contradict each other.
    """
    samples = {sample: _canonical(trials) for sample, trials in samples.items()}
    everybody = list(samples.values())[-1]
    people = _KINDS.get(kind := human.trials.simulated(everybody), kind)
    if human.trials.answers(everybody.trials).notna().sum() == 0:
        return _unanswered(samples, exclusions, people, config)
    for sample, trials in samples.items():
        if human.trials.answers(trials.trials).notna().sum() == 0:
            raise DataError(f"`--people`: wanted at least one answer, got none from {sample}.")
    categories = _categories(everybody.trials)
    study = human.study.from_trials(everybody.trials)
    parts: dict[str, list[pd.DataFrame]] = {}
    left_out: dict[str, str] = {}
    counts = {}
    for sample, trials in samples.items():
        counts[sample], tables = _measure(trials, study, categories, config, left_out)
        for name, table in tables.items():
            parts.setdefault(name, []).append(_front(table, sample, people))
    tables = {name: pd.concat(each, ignore_index=True) for name, each in parts.items()}
    rows = exclusions.sort_values(["reason", "participant"], ignore_index=True)
    tables["exclusions"] = _front(rows, "after exclusions", people)
    return Measured(tables, counts[next(iter(samples))], categories, people, left_out)


def _unanswered(samples, exclusions, people, config) -> Measured:
    """Measure people of whom no answer is known: where they clicked or looked."""
    left_out = {"accuracy, confusion, ordered pairs, times and learning": "the trials have no answers"}
    parts: dict[str, list[pd.DataFrame]] = {}
    config = dataclasses.replace(config, trials_used="all")
    for sample, trials in samples.items():
        tables = {"people": _persons(trials)}
        _measure_clicks(trials, _shown(trials, pd.DataFrame()), tables, config, left_out)
        for name, table in tables.items():
            parts.setdefault(name, []).append(_front(table, sample, people))
    tables = {name: pd.concat(each, ignore_index=True) for name, each in parts.items()}
    tables["exclusions"] = _front(exclusions, "after exclusions", people)
    return Measured(tables, np.zeros((0, 0), np.int64), None, people, left_out)


def _measure(trials, study, categories, config, left_out):
    """Return the counts of answers and the tables of one sample. Add to `left_out` what has none."""
    chance = {"seed": config.seed, "resamples": config.resamples}
    timed = {**chance, "time_trials": config.time_trials}
    if config.time_from == "onset":
        table = trials.trials
        trials = dataclasses.replace(trials, trials=table.assign(rt_decision_ms=table["rt_total_ms"]))
    times = compare.people.times(trials, **timed)
    if config.rt_rule == "none":
        times = times[:1].drop(columns="n_marked")
    elif config.rt_rule == "drop":
        trials = human.behaviour.without_marked_times(trials)
    _, counts = human.behaviour.confusion(trials, categories=categories)
    tables = {
        "people": _persons(trials),
        "overall": compare.people.overall(trials, **timed),
        "times": times,
        "confusion": _long(counts, categories),
    }
    tables["blocks"], tables["learning"] = compare.people.learning(trials, **timed)
    if study.empty:
        left_out["clicks and time by ordered pair, and their correlations"] = (
            "the trials have no foil, so that no answer belongs to an ordered pair; accuracies by ordered pair are "
            "those among the answers that named one of the two"
        )
        pairs = human.behaviour.forced_pairs(counts, categories=categories)
        tables["pairs"] = pairs.assign(reason=np.where(pairs["n"] > 0, "", "no answers"))
    else:
        images = human.behaviour.image_table(trials, study, time_trials=config.time_trials)
        tables["images"] = images.assign(reason=_lacking(images))
        tables["pairs"], tables["correlations"] = compare.people.pair_measures(
            trials, study, categories=categories, **timed
        )
    pooled, own = compare.sensitivity.sensitivities(trials, tables["pairs"], categories=categories, **chance)
    tables["sensitivity"] = pooled.assign(correction="log-linear")
    tables["sensitivity_people"] = own.assign(correction="log-linear")
    _measure_clicks(trials, _shown(trials, study), tables, config, left_out)
    return counts, tables


def _persons(trials) -> pd.DataFrame:
    """Return the table of people, each with whether a program answered."""
    table = human.behaviour.person_table(trials)
    simulated = trials.participants.set_index("participant")["simulated"]
    table = table.assign(simulated=table["participant"].map(simulated).astype("boolean"))
    return table.assign(reason=_lacking(table))


def _lacking(table) -> np.ndarray:
    """Return in words which of accuracy, clicks and time each row lacks, "" where it has all."""
    lacks = [table[name].isna() for name in ("accuracy", "clicks", "time_ms")]
    return np.select(lacks, ["no answers", "no numbers of clicks", "no times from first click to answer"], "")


def _measure_clicks(trials, study, tables, config, left_out) -> None:
    """Add the tables of attention maps and of regions, or the reason that there are none."""
    chosen = trials.clicks["chosen"].fillna(False)
    shapes, radius = shapes_of(trials.trials), _only(trials.trials["reveal_radius_px"])
    reason = ""
    if trials.clicks.empty:
        reason = "there are no clicks"
    elif not chosen.any():
        reason = "a program chose where to open the picture, so clicks do not say where people look"
    elif not trials.clicks["image"][chosen.to_numpy(bool)].isin(shapes).all():
        reason = "the trials do not give every picture one size (image_px)"
    elif config.trials_used == "correct" and not human.trials.answers(trials.trials).fillna(False).any():
        reason = "nobody was right about any picture; --trials_used=all takes all trials"
    if reason or radius is None:
        left_out["reliability of attention maps"] = (
            reason or "the trials do not give one radius of the discs (reveal_radius_px); --reveal_radius gives it"
        )
    else:
        tables["reliability"] = _reliability(trials, study, shapes, radius, config)
    whole = set(shapes.values())
    sides = {side for shape in whole for side in shape}
    if not reason:
        lacking = {
            "the trials have no answers": human.trials.answers(trials.trials).isna().all(),
            "nothing says where the faces stand in the pictures; --aligned says that they stand in the standard crop": (
                not config.aligned
            ),
            "the standard crop is square, and all pictures have its size, which these have not": len(sides) != 1,
        }
        reason = next((why for why, holds in lacking.items() if holds), "")
    if reason:
        left_out["regions of first and last clicks"] = reason
    else:
        tables["regions"] = compare.people.region_tests(
            trials, study, image_px=sides.pop(), seed=config.seed, permutations=config.resamples
        )


def shapes_of(table) -> dict[str, tuple[int, int]]:
    """Return height and width of each image whose trials agree on them."""
    shown = table[["image", "image_px", "image_height_px"]].dropna(subset=["image", "image_px"]).drop_duplicates()
    shown = shown[~shown["image"].duplicated(keep=False)]
    heights = shown["image_height_px"].fillna(shown["image_px"])
    return {
        image: (int(height), int(width))
        for image, height, width in zip(shown["image"], heights, shown["image_px"], strict=True)
    }


def _reliability(trials, study, shapes, radius, config) -> pd.DataFrame:
    """Return the reliability of each image's map, made in the shape of the image."""
    parts = []
    for shape in sorted(set(shapes.values())):
        own = study[study["image"].map(shapes.get) == shape]
        shown = dataclasses.replace(trials, trials=trials.trials[trials.trials["image"].isin(own["image"])])
        found = human.reliability.attention_reliability(
            shown, own, image_px=shape, radius=radius, seed=config.seed, halves=config.halves,
            trials_used=config.trials_used,
        )  # fmt: skip
        parts.append(found.set_index(own.index))
    return pd.concat(parts).sort_index(ignore_index=True)


def _canonical(trials) -> Trials:
    """Return the trials with the paper's names for its expressions."""
    labels = {
        name: trials.trials[name].map(canonical_name, na_action="ignore").astype("str")
        for name in ("true_label", "false_label", "response")
    }
    return dataclasses.replace(trials, trials=trials.trials.assign(**labels))


def _categories(table) -> Categories:
    """Return all labels that were shown, offered or given, in the paper's order."""
    named = {label for column in ("true_label", "false_label", "response") for label in table[column].dropna()}
    named |= {label for options in table["options"].dropna() for label in options.split("|")}
    names = paper_first(map(canonical_name, named))
    if len(names) < 2:
        raise DataError(f"`--people`: wanted trials of two categories or more, got {', '.join(names) or 'none'}.")
    return Categories(names)


def _shown(trials, study) -> pd.DataFrame:
    """Return the images as a study table. Without foils the images alone, with their truth."""
    if len(study):
        return study
    shown = trials.trials[["image", "true_label"]].dropna(subset=["image"]).drop_duplicates("image")
    return shown.sort_values("image", ignore_index=True)


def _only(column) -> int | None:
    values = column.dropna().unique()
    return int(values[0]) if len(values) == 1 else None


def _long(counts, categories) -> pd.DataFrame:
    """Return a confusion matrix as one row a cell."""
    totals = counts.sum(1)
    rows = [
        (categories[true], categories[given], int(counts[true, given]), int(totals[true]))
        for true, given in np.ndindex(counts.shape)
    ]
    table = pd.DataFrame(rows, columns=["true_label", "response", "count", "n"])
    return table.assign(
        share=table["count"] / table["n"].where(table["n"] > 0),
        reason=np.where(table["n"] > 0, "", "no answers"),
    )


def _front(table, sample, people) -> pd.DataFrame:
    table = table.copy()
    table.insert(0, "sample", sample)
    table.insert(1, "people", people)
    return table
