"""What people did: who is analysed, and accuracy, clicks and time per image, per pair and per person.

Contract: everything is a table; an ordered pair is (true, foil), 56 rows in the order of `ORDERED_PAIRS`; a value that
cannot be computed is NaN, with the reason beside it where the table has one.
"""

import math
import statistics

import numpy as np
import pandas as pd

from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS, NUM_EXPRESSIONS, ORDERED_PAIRS, PAIRS, index_of, pair_name
from fer_jax.human.trials import Trials

# §4.1: one person lay more than 3 standard deviations below the sample's mean accuracy.
OUTLIER_SD = 3.0

TIMES = ("mean", "median", "log")
TIME_TRIALS = ("clean", "all")


def exclude(
    trials: Trials, *, sd_ddof: int = 1, outlier_sample: str = "complete", n_expected: int | None = None
) -> tuple[Trials, pd.DataFrame]:
    """Leave out people as the paper does (§4.1): the incomplete first, then the outlier rule once.

    Args:
      trials: of everybody.
      sd_ddof: 1 divides the variance by n − 1, 0 by n (the paper does not say).
      outlier_sample: whose mean and deviation count: "complete" people or "all"; the candidate is always among them.
      n_expected: trials of a complete person; None takes the most that anybody has (ours).

    Returns:
      The trials of those kept, and one row for each exclusion: participant, reason ("incomplete" or "outlier"), detail,
      accuracy, z. Where the sample is so small that the rule can never fire, one row without a participant says so.

    Raises:
      UsageError: an unknown option.
    """
    if outlier_sample not in ("complete", "all"):
        raise UsageError(f"`outlier_sample`: wanted complete or all, got {outlier_sample!r}.")
    if sd_ddof not in (0, 1):
        raise UsageError(f"`sd_ddof`: wanted 0 or 1, got {sd_ddof!r}.")
    people = person_table(trials)
    expected = int(people["n_trials"].max()) if n_expected is None else n_expected
    blocks = int(people["n_blocks"].max())
    complete = (people["n_trials"] == expected) & (people["n_blocks"] == blocks)
    rows = [
        (
            person.participant,
            "incomplete",
            f"{person.n_trials} of {expected} trials, {person.n_blocks} of {blocks} blocks",
        )
        for person in people[~complete].itertuples()
    ]
    sample = people["accuracy"] if outlier_sample == "all" else people["accuracy"][complete]
    deviation = sample.std(ddof=sd_ddof) if len(sample) > sd_ddof else math.nan
    people["z"] = (people["accuracy"] - sample.mean()) / (deviation if deviation > 0 else math.nan)
    outliers = people[complete & (people["z"] < -OUTLIER_SD)]
    rows += [
        (name, "outlier", f"more than {OUTLIER_SD:g} SD below the mean of {len(sample)} people")
        for name in outliers["participant"]
    ]
    table = pd.DataFrame(rows, columns=["participant", "reason", "detail"])
    table = table.merge(people[["participant", "accuracy", "z"]], on="participant", how="left")
    largest = largest_z(len(sample), sd_ddof=sd_ddof)
    if largest <= OUTLIER_SD:
        detail = f"among {len(sample)} people no z can exceed {largest:.2f}: the outlier rule never excludes anybody"
        note = pd.DataFrame({"participant": [None], "reason": ["rule cannot fire"], "detail": [detail]})
        table = pd.concat([table, note.astype({"participant": "str"})], ignore_index=True)
    return trials.of(people["participant"][~people["participant"].isin(table["participant"])]), table


def largest_z(n: int, *, sd_ddof: int = 1) -> float:
    """The largest z that any of n values can have: (n − 1)/√n with the n − 1 deviation."""
    return math.sqrt((n - 1) * (n - sd_ddof) / n) if n > sd_ddof else 0.0


def person_table(trials: Trials) -> pd.DataFrame:
    """One row a person, in the order met: participant, n_trials, n_blocks, accuracy, clicks, time_ms."""
    return (
        trials.trials.assign(correct=trials.trials["correct"].astype("Float64"))
        .groupby("participant", sort=False)
        .agg(
            n_trials=("trial", "size"),
            n_blocks=("block", "nunique"),
            accuracy=("correct", "mean"),
            clicks=("n_clicks", "mean"),
            time_ms=("rt_decision_ms", "mean"),
        )
        .astype({"accuracy": "float64", "clicks": "float64"})
        .reset_index()
    )


def image_table(trials: Trials, study: pd.DataFrame, *, time: str = "mean", time_trials: str = "clean") -> pd.DataFrame:
    """Accuracy, clicks and time of each image.

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.
      time: as for `pair_table`.
      time_trials: as for `pair_table`.

    Returns:
      The study's rows with accuracy, clicks, time_ms and n (answers).
    """
    measured = _measured(trials, ["image"], time, time_trials)
    table = study[["image", "true_label", "false_label"]].merge(measured, on="image", how="left")
    return table.assign(n=table["n"].fillna(0).astype("int64"))


def pair_table(trials: Trials, study: pd.DataFrame, *, time: str = "mean", time_trials: str = "clean") -> pd.DataFrame:
    """Accuracy, clicks and time of each ordered pair: the cells of Fig. 3 of the paper.

    Args:
      trials: of the people who are analysed.
      study: a study table; trials of other images do not count.
      time: "mean", "median", or "log" (geometric mean) of the time from first click to answer.
      time_trials: "clean" leaves trials with a reload or a lost focus out of the times; "all" does not.

    Returns:
      56 rows: true_label, false_label, accuracy (0..1), clicks, time_ms, n (answers); NaN and n = 0 for empty cells.

    Raises:
      UsageError: an unknown option.
    """
    of_study = trials.trials[trials.trials["image"].isin(study["image"])]
    chosen = Trials(trials.participants, of_study, trials.clicks, trials.events)
    measured = _measured(chosen, ["true_label", "false_label"], time, time_trials)
    cells = [(EXPRESSIONS[true], EXPRESSIONS[false]) for true, false in ORDERED_PAIRS]
    table = pd.DataFrame(cells, columns=["true_label", "false_label"])
    table = table.merge(measured, on=["true_label", "false_label"], how="left")
    return table.assign(n=table["n"].fillna(0).astype("int64"))


def correlations(pairs: pd.DataFrame) -> dict[str, float | int | str]:
    """Pearson correlations over the cells of a `pair_table` (paper §4.3: .93, −.56, −.65 over 56 cells).

    Args:
      pairs: a pair table; cells with a missing value are left out.

    Returns:
      r_clicks_time, r_clicks_accuracy, r_time_accuracy; n_cells; reason: why a correlation is NaN, or "".
    """
    filled = pairs[["accuracy", "clicks", "time_ms"]].dropna()
    values = {str(name): np.asarray(column, np.float64) for name, column in filled.items()}
    constant = [name for name, column in values.items() if len(column) < 2 or np.ptp(column) == 0]

    def pearson(first: str, second: str) -> float:
        if first in constant or second in constant:
            return math.nan
        return float(np.corrcoef(values[first], values[second])[0, 1])

    if len(filled) < 2:
        reason = f"only {len(filled)} cells have values"
    else:
        reason = f"constant: {', '.join(constant)}" if constant else ""
    return {
        "r_clicks_time": pearson("clicks", "time_ms"),
        "r_clicks_accuracy": pearson("clicks", "accuracy"),
        "r_time_accuracy": pearson("time_ms", "accuracy"),
        "n_cells": len(filled),
        "reason": reason,
    }


def confusion(trials: Trials) -> tuple[np.ndarray, np.ndarray]:
    """How often each expression was given for each (Fig. 2 of the paper).

    Args:
      trials: of the people who are analysed; trials without a response do not count.

    Returns:
      Shares of answers, float64 (8, 8), rows are true expressions and sum to 1 (NaN where never shown); and counts,
      int64 (8, 8).
    """
    answered = trials.trials[trials.trials["response"].notna()]
    true, given = ([index_of(name) for name in answered[column]] for column in ("true_label", "response"))
    counts = np.zeros((NUM_EXPRESSIONS, NUM_EXPRESSIONS), np.int64)
    np.add.at(counts, (true, given), 1)
    shown = counts.sum(1, keepdims=True).astype(np.float64)
    return counts / np.where(shown > 0, shown, np.nan), counts


def d_prime(hit_rate: float, false_alarm_rate: float) -> tuple[float, float]:
    """Yes/no sensitivity d′ = z(H) − z(F) and criterion c = −½ (z(H) + z(F)), both rates strictly inside (0, 1)."""
    hit, false_alarm = (statistics.NormalDist().inv_cdf(rate) for rate in (hit_rate, false_alarm_rate))
    return hit - false_alarm, -0.5 * (hit + false_alarm)


def sensitivity(pairs: pd.DataFrame) -> pd.DataFrame:
    """d′ and c of each unordered pair; the first expression of the pair is the signal.

    One face and two labels make a yes/no task: H is the accuracy on faces of the first, F the error on faces of the
    second, both with the log-linear correction (count + ½)/(n + 1).

    Args:
      pairs: a pair table, of everybody or of one person.

    Returns:
      28 rows: pair, first, second, d_prime, criterion, n_first, n_second; NaN where an expression was never shown.
    """
    cells = zip(pairs["true_label"], pairs["false_label"], strict=True)
    row_of = {cell: row for row, cell in enumerate(cells)}
    answers = np.asarray(pairs["n"], np.int64)
    right = np.asarray(pairs["accuracy"].fillna(0), np.float64) * answers
    rows = []
    for number, (first, second) in enumerate(PAIRS):
        names = EXPRESSIONS[first], EXPRESSIONS[second]
        signal, noise = row_of[names], row_of[names[::-1]]
        values = math.nan, math.nan
        if answers[signal] and answers[noise]:
            values = d_prime(
                float((right[signal] + 0.5) / (answers[signal] + 1)),
                float((answers[noise] - right[noise] + 0.5) / (answers[noise] + 1)),
            )
        rows.append((pair_name(number), *names, *values, answers[signal], answers[noise]))
    return pd.DataFrame(rows, columns=["pair", "first", "second", "d_prime", "criterion", "n_first", "n_second"])


def _measured(trials, by, time, time_trials) -> pd.DataFrame:
    if time not in TIMES:
        raise UsageError(f"`time`: wanted one of {', '.join(TIMES)}, got {time!r}.")
    if time_trials not in TIME_TRIALS:
        raise UsageError(f"`time_trials`: wanted one of {', '.join(TIME_TRIALS)}, got {time_trials!r}.")
    table = trials.trials
    times = table["rt_decision_ms"]
    if time_trials == "clean":
        disturbed = table["resumed"].fillna(False) | table["focus_lost"].fillna(False)
        times = times.mask(disturbed.to_numpy(bool))
    if time == "log":
        times = np.log(times.where(times > 0))
    grouped = table[by].assign(
        accuracy=table["correct"].astype("Float64"), clicks=table["n_clicks"].astype("Float64"), time_ms=times, n=1
    )
    found = (
        grouped.groupby(by)
        .agg(accuracy=("accuracy", "mean"), clicks=("clicks", "mean"),
             time_ms=("time_ms", "median" if time == "median" else "mean"), n=("n", "sum"))
        .astype({"accuracy": "float64", "clicks": "float64"})
        .reset_index()
    )  # fmt: skip
    return found.assign(time_ms=np.exp(found["time_ms"])) if time == "log" else found
