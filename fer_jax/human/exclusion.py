"""Who is analysed: exclusions by the paper's two rules (§4.1) and by what the study itself recorded.

Contract: every exclusion is a row with its reason, and can be written into the participants' table.
"""

import math

import pandas as pd

from fer_jax.errors import DataError, UsageError, check_count, check_one_of
from fer_jax.human.behaviour import of_study, person_table, varies
from fer_jax.human.trials import TABLE_NAMES, Trials, refuse, refuse_doubles

# §4.1: one person lay more than 3 standard deviations below the sample's mean accuracy.
OUTLIER_SD = 3.0

# Complete is who answered at least as many trials, in as many blocks, as most people did: for studies that show each
# person some of their images (ours).
USUAL = "usual"

# Reasons that the rules here give. Any other recorded reason is the study's decision.
_RULES = ("incomplete", "too many trials", "outlier")
_RECORDED = "recorded"


def exclude(
    trials: Trials,
    *,
    study: pd.DataFrame | None = None,
    n_expected: int | str | None = None,
    sd_ddof: int = 1,
    outlier_sample: str = "complete",
) -> tuple[Trials, pd.DataFrame]:
    """Leave out people as the paper does (§4.1): the incomplete first, then the outlier rule once.

    Whom the participants' table excludes already stays out and counts in no mean, unless a rule here was the reason.

    Args:
      trials: of everybody.
      study: the study table. Trials of other images, such as practice, then count for nobody, and an image that a
        person answered twice is an error. None takes all trials.
      n_expected: answered trials of a complete person. None takes the images of `study` or, without one, the
        number that most people have who answered at all (ours, of two equally frequent ones the larger). Where these
        saw different images, as people do who stopped early, and somebody answered every image, it is all images.
        Complete people have the number of blocks that most of them have. "usual" takes the
        number that most people have with a `study`, too, and more is no fault.
      sd_ddof: 1 divides the variance by n − 1, 0 by n (the paper does not say).
      outlier_sample: whose mean and deviation count: "complete" people or "all". The candidate is always among them.

    Returns:
      The trials of those kept, and one row for each exclusion. Where the sample is so small that the rule can never
      fire, one row without a participant says so.

    Columns:
      participant: who was left out.
      reason: "recorded", "incomplete", "too many trials" or "outlier".
      detail: in words.
      accuracy: of that person, 0 to 1.
      z: that accuracy in standard deviations from the mean.

    Raises:
      UsageError: an unknown option or a number out of range.
      DataError: nobody took part, a trial or an image is there twice, or answers contradict each other.
    """
    check_one_of("outlier_sample", outlier_sample, ("complete", "all"))
    if isinstance(sd_ddof, bool) or sd_ddof not in (0, 1):
        raise UsageError(f"`sd_ddof`: wanted 0 or 1, got {sd_ddof!r}.")
    at_least = n_expected == USUAL
    if n_expected is None or at_least:
        n_expected = None if study is None or at_least else len(study)
    else:
        n_expected = check_count("n_expected", n_expected, 1, what="a number of trials")
    for name in ("participants", "trials"):
        refuse_doubles(getattr(trials, name), name, TABLE_NAMES[name])
    counted = trials if study is None else _each_image_once(of_study(trials, study))
    people = person_table(counted)
    if people.empty:
        raise DataError("`trials`: wanted at least one participant, got none.")
    recorded = people["participant"].map(_recorded(trials.participants))
    considered = recorded.isna()
    expected = n_expected or _expected(counted, people[considered], at_least=at_least)
    blocks = _most_frequent(people["n_blocks"][considered & (people["n_trials"] == expected)])
    complete = considered & (people["n_trials"] == expected) & (people["n_blocks"] == blocks)
    if at_least:
        complete = considered & (people["n_trials"] >= expected) & (people["n_blocks"] >= blocks)
    told = zip(people["participant"][~considered], recorded[~considered], strict=True)
    rows = [(name, _RECORDED, why) for name, why in told]
    odd = people[considered & ~complete]
    rows += [
        (
            name,
            "too many trials" if answered > expected else "incomplete",
            f"{answered} of {expected} trials, {met} of {blocks} blocks",
        )
        for name, answered, met in zip(odd["participant"], odd["n_trials"], odd["n_blocks"], strict=True)
    ]
    sample = people["accuracy"][considered if outlier_sample == "all" else complete].dropna()
    deviation = sample.std(ddof=sd_ddof) if len(sample) > sd_ddof and varies(sample) else math.nan
    people["z"] = (people["accuracy"] - sample.mean()) / deviation
    outliers = people[complete & (people["z"] < -OUTLIER_SD)]
    rows += [
        (name, "outlier", f"more than {OUTLIER_SD:g} SD below the mean of {len(sample)} people")
        for name in outliers["participant"]
    ]
    table = pd.DataFrame(rows, columns=["participant", "reason", "detail"]).astype("str")
    table = table.merge(people[["participant", "accuracy", "z"]], on="participant", how="left")
    largest = largest_z(len(sample), sd_ddof=sd_ddof)
    if largest <= OUTLIER_SD:
        detail = f"among {len(sample)} people no z can exceed {largest:.2f}: the outlier rule never excludes anybody"
        note = pd.DataFrame({"participant": [None], "reason": ["rule cannot fire"], "detail": [detail]})
        table = pd.concat([table, note.astype({"participant": "str"})], ignore_index=True)
    return trials.of(people["participant"][~people["participant"].isin(table["participant"])]), table


def without_recorded(trials: Trials) -> Trials:
    """Return the tables without the people whom the participants' table excludes, unless a rule of `exclude` did."""
    out = _recorded(trials.participants).index
    people = trials.participants["participant"]
    return trials.of(people[~people.isin(out)]) if len(out) else trials


def mark_excluded(trials: Trials, exclusions: pd.DataFrame) -> Trials:
    """Write into the participants' table whom `exclude` left out, and why. `exclude` finds the same people again.

    Args:
      trials: of everybody.
      exclusions: as `exclude` returns them.

    Returns:
      The same tables with excluded and exclusion_reason filled for everybody.
    """
    out = exclusions[exclusions["participant"].notna()].set_index("participant")
    people = trials.participants
    reasons = (out["reason"] + ": " + out["detail"]).where(out["reason"] != _RECORDED)
    told = people["participant"].map(reasons).astype("str")
    excluded = people["participant"].isin(out.index)
    people = people.assign(
        excluded=excluded.astype("boolean"),
        exclusion_reason=told.fillna(people["exclusion_reason"]).where(excluded),
    )
    return Trials(people, trials.trials, trials.clicks, trials.events)


def _recorded(people) -> pd.Series:
    """Return why the participants' table excludes people, without those whom a rule of `exclude` put there."""
    why = people["exclusion_reason"].fillna("")
    by_rule = why.map(lambda text: text.startswith(tuple(f"{rule}: " for rule in _RULES))).astype(bool)
    out = people["excluded"].fillna(False).to_numpy(bool) & ~by_rule.to_numpy()
    reasons = why.where(why != "", "no reason given")
    return pd.Series(reasons.to_numpy()[out], index=people["participant"].to_numpy()[out], dtype="str")


def _expected(trials, people, *, at_least) -> int:
    """Return the number of answers of a complete person, where no study says it."""
    common = _most_frequent(people["n_trials"][people["n_trials"] > 0])
    table = trials.trials
    alike = table["participant"].isin(people["participant"][people["n_trials"] == common])
    if at_least or table["image"][alike].nunique() <= common:
        return common
    shown = table["image"].nunique()  # those who answered equally many saw different images: they may have stopped
    return shown if people["n_trials"].eq(shown).any() else common


def _each_image_once(trials) -> Trials:
    table = trials.trials
    refuse(
        TABLE_NAMES["trials"], table, table.duplicated(["participant", "image"]), "image",
        "each image once for a person; keep one of the two",
    )  # fmt: skip
    return trials


def _most_frequent(counts) -> int:
    return int(counts.mode().max()) if len(counts) else 0


def largest_z(n: int, *, sd_ddof: int = 1) -> float:
    """Return the largest z that any of n values can have: (n − 1)/√n with the n − 1 deviation."""
    return math.sqrt((n - 1) * (n - sd_ddof) / n) if n > sd_ddof else 0.0
