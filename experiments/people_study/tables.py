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
      categories: what rows and columns are.
      people: real, simulated, mixed or unknown.
      left_out: what could not be measured -> why.
    """

    tables: Mapping[str, pd.DataFrame]
    counts: np.ndarray
    categories: Categories
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
      config: seed, resamples, halves, trials_used and aligned.

    Raises:
      DataError: nobody is left, or answers that contradict each other.
    """
    samples = {sample: _canonical(trials) for sample, trials in samples.items()}
    everybody = list(samples.values())[-1]
    for sample, trials in samples.items():
        if human.trials.answers(trials.trials).notna().sum() == 0:
            raise DataError(f"`--people`: wanted at least one answer, got none from {sample}.")
    people = _KINDS.get(kind := human.trials.simulated(everybody), kind)
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


def _measure(trials, study, categories, config, left_out):
    """Return the counts of answers and the tables of one sample. Add to `left_out` what has none."""
    chance = {"seed": config.seed, "resamples": config.resamples}
    _, counts = human.behaviour.confusion(trials, categories=categories)
    tables = {
        "people": _persons(trials),
        "overall": compare.people.overall(trials, **chance),
        "confusion": _long(counts, categories),
    }
    tables["blocks"], tables["learning"] = compare.people.learning(trials, **chance)
    if study.empty:
        left_out["clicks and time by ordered pair, and their correlations"] = (
            "the trials have no foil, so that no answer belongs to an ordered pair; accuracies by ordered pair are "
            "those among the answers that named one of the two"
        )
        pairs = human.behaviour.forced_pairs(counts, categories=categories)
        tables["pairs"] = pairs.assign(reason=np.where(pairs["n"] > 0, "", "no answers"))
    else:
        images = human.behaviour.image_table(trials, study)
        tables["images"] = images.assign(reason=_lacking(images))
        tables["pairs"], tables["correlations"] = compare.people.pair_measures(
            trials, study, categories=categories, **chance
        )
    found = human.behaviour.sensitivity(tables["pairs"], categories=categories)
    lacking = np.where(found["d_prime"].isna(), "a category of the pair was never answered", "")
    tables["sensitivity"] = found.assign(correction="log-linear", reason=lacking)
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
    size, radius = (_only(trials.trials[name]) for name in ("image_px", "reveal_radius_px"))
    reason = ""
    if trials.clicks.empty:
        reason = "there are no clicks"
    elif not chosen.any():
        reason = "a program chose where to open the picture, so clicks do not say where people look"
    elif size is None:
        reason = "the trials do not give one size of the pictures (image_px)"
    if reason or radius is None:
        left_out["reliability of attention maps"] = (
            reason or "the trials do not give one radius of the discs (reveal_radius_px)"
        )
    else:
        tables["reliability"] = human.reliability.attention_reliability(
            trials, study, image_px=size, radius=radius, seed=config.seed, halves=config.halves,
            trials_used=config.trials_used,
        )  # fmt: skip
    if reason or not config.aligned:
        left_out["regions of first and last clicks"] = (
            reason
            or "nothing says where the faces stand in the pictures; --aligned says that they stand in the standard crop"
        )
    else:
        tables["regions"] = compare.people.region_tests(
            trials, study, image_px=size, seed=config.seed, permutations=config.resamples
        )


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
