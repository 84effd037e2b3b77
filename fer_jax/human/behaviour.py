"""Behaviour of people: accuracy, clicks and time per image, per pair and per person.

Contract: everything is a table. An ordered pair is (true, foil), in the order of `Categories.ordered_pairs`. A value
that cannot be computed is NaN, with the reason beside it where the table has one. A trial counts if it was answered, as
`human.trials.answers` says.
"""

import math
import statistics

import numpy as np
import numpy.typing as npt
import pandas as pd

from fer_jax.categories import Categories
from fer_jax.errors import UsageError, check_one_of
from fer_jax.expressions import EXPRESSIONS, canonical_name
from fer_jax.human.study import check_images, positions
from fer_jax.human.trials import TABLE_NAMES, Trials, answers, refuse

TIMES = ("mean", "median", "log")
TIME_TRIALS = ("clean", "all")
# Times that are marked: nobody decides faster, and beyond so many median absolute deviations of a person's log times.
SHORTEST_MS, MOST_MAD = 200.0, 3.0
_MAD_TO_SD = 1.4826  # of a normal distribution

# Of the largest value: means of a few hundred equal numbers differ from them by less.
ROUNDING = 64 * np.finfo(np.float64).eps


def person_table(trials: Trials) -> pd.DataFrame:
    """Return one row a person, in the order met. People without a trial stand last.

    Args:
      trials: of everybody.

    Returns:
      participant, n_trials (answered), n_blocks (with an answer), accuracy, clicks, time_ms (means over these trials).

    Raises:
      DataError: as for `pair_table`.
    """
    answered = _answered(trials.trials)
    order = pd.concat([trials.trials["participant"], trials.participants["participant"]]).dropna().drop_duplicates()
    found = answered.groupby("participant").agg(
        n_trials=("trial", "size"),
        n_blocks=("block", "nunique"),
        accuracy=("correct", "mean"),
        clicks=("n_clicks", "mean"),
        time_ms=("rt_decision_ms", "mean"),
    )
    found = found.reindex(pd.Index(order, name="participant", dtype="str"))
    kinds = {"n_trials": "int64", "n_blocks": "int64", "accuracy": "float64", "clicks": "float64"}
    return found.fillna({"n_trials": 0, "n_blocks": 0}).astype(kinds).reset_index()


def image_table(trials: Trials, study: pd.DataFrame, *, time: str = "mean", time_trials: str = "clean") -> pd.DataFrame:
    """Return accuracy, clicks and time of each image.

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.
      time: as for `pair_table`.
      time_trials: as for `pair_table`.

    Returns:
      The study's rows with accuracy, clicks, time_ms, n (answers) and n_times (answers with a time).

    Raises:
      UsageError, DataError: as for `pair_table`.
    """
    measured = _measured(of_study(trials, study), ["image"], time, time_trials)
    return _filled(study[["image", "true_label", "false_label"]].merge(measured, on="image", how="left"))


def pair_table(
    trials: Trials,
    study: pd.DataFrame,
    *,
    time: str = "mean",
    time_trials: str = "clean",
    categories: Categories = EXPRESSIONS,
) -> pd.DataFrame:
    """Return accuracy, clicks and time of each ordered pair: the cells of Fig. 3 of the paper.

    Args:
      trials: of the people who are analysed.
      study: a study table. Trials of other images do not count.
      time: "mean", "median", or "log" (geometric mean of those above 0) of the time from first click to answer.
      time_trials: "clean" leaves trials with a reload or a lost focus out of the times. "all" does not.
      categories: whose ordered pairs are the rows.

    Returns:
      K(K-1) rows, 56 for the paper's eight. NaN and n = 0 for empty cells.

    Columns:
      true_label: the picture's expression.
      false_label: the other answer on offer.
      accuracy: share of right answers, 0 to 1.
      clicks: mean number of clicks before the answer.
      time_ms: time from the first click to the answer, averaged, milliseconds.
      n: answers.
      n_times: answers with a time.

    Raises:
      UsageError: an unknown option.
      DataError: the first row that contradicts the study or itself, or a time or number of clicks below 0.
    """
    chosen = of_study(trials, study)
    measured = _measured(chosen, ["true_label", "false_label"], time, time_trials)
    cells = [(categories[true], categories[false]) for true, false in categories.ordered_pairs]
    table = pd.DataFrame(cells, columns=["true_label", "false_label"])
    return _filled(table.merge(measured, on=["true_label", "false_label"], how="left"))


def correlations(pairs: pd.DataFrame) -> dict[str, float | int | str]:
    """Return Pearson correlations over the cells of a `pair_table` (paper §4.3: .93, −.56, −.65 over 56 cells).

    Args:
      pairs: a pair table. Each correlation takes the cells that have both of its values: a missing time costs the
        correlation of clicks and accuracy nothing.

    Returns:
      A dict of what stands under Columns.

    Columns:
      r_clicks_time: Pearson's correlation of clicks and time over cells.
      r_clicks_accuracy: Pearson's correlation of clicks and accuracy over cells.
      r_time_accuracy: Pearson's correlation of time and accuracy over cells.
      n_clicks_time: cells that have clicks and a time.
      n_clicks_accuracy: cells that have clicks and an accuracy.
      n_time_accuracy: cells that have a time and an accuracy.
      reason: why correlations are NaN, else empty.
    """
    found: dict[str, float | int | str] = {}
    reasons = {}
    for first, second in (("clicks", "time"), ("clicks", "accuracy"), ("time", "accuracy")):
        both = pairs[[_COLUMN_OF.get(first, first), _COLUMN_OF.get(second, second)]].dropna().to_numpy(np.float64)
        constant = [name for name, values in zip((first, second), both.T, strict=True) if not varies(values)]
        name = f"{first}_{second}"
        found[f"r_{name}"] = math.nan if len(both) < 2 or constant else float(np.corrcoef(both.T)[0, 1])
        found[f"n_{name}"] = len(both)
        if len(both) < 2:
            reasons[f"{first} and {second}: {len(both)} cells have both"] = None
        elif constant:
            reasons[f"constant: {', '.join(constant)}"] = None
    return {**found, "reason": "; ".join(reasons)}


_COLUMN_OF = {"time": "time_ms"}


def confusion(trials: Trials, *, categories: Categories = EXPRESSIONS) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each category was given for each (Fig. 2 of the paper).

    Args:
      trials: of the people who are analysed. Trials without a response do not count.
      categories: what the rows and columns are.

    Returns:
      Shares of answers, float64 (K, K), whose rows are true categories and sum to 1 (NaN where never shown). And
      counts, int64 (K, K).

    Raises:
      DataError: an unknown label, or answers that contradict each other.
    """
    known = trials.trials["response"].notna() & answers(trials.trials).notna()
    answered = trials.trials[known]
    refuse(TABLE_NAMES["trials"], answered, answered["true_label"].isna(), "true_label", "the expression shown")
    number_of = {name: categories.index_of(canonical_name(name)) for name in _names(answered)}
    true, given = ([number_of[name] for name in answered[column]] for column in ("true_label", "response"))
    counts = np.zeros((len(categories), len(categories)), np.int64)
    np.add.at(counts, (true, given), 1)
    shown = counts.sum(1, keepdims=True).astype(np.float64)
    return counts / np.where(shown > 0, shown, np.nan), counts


def d_prime(hit_rate: float, false_alarm_rate: float) -> tuple[float, float]:
    """Return the yes/no sensitivity d′ = z(H) − z(F) and criterion c = −½ (z(H) + z(F)).

    Args:
      hit_rate: strictly inside (0, 1).
      false_alarm_rate: strictly inside (0, 1).

    Returns:
      d′ and c.

    Raises:
      UsageError: a rate that is not inside (0, 1). Correct it first, as `sensitivity` does.
    """
    for name, rate in (("hit_rate", hit_rate), ("false_alarm_rate", false_alarm_rate)):
        if not 0 < rate < 1:
            raise UsageError(f"`{name}`: wanted a rate inside (0, 1), where d′ is finite, got {rate!r}.")
    hit, false_alarm = (statistics.NormalDist().inv_cdf(rate) for rate in (hit_rate, false_alarm_rate))
    return hit - false_alarm, -0.5 * (hit + false_alarm)


def sensitivity(pairs: pd.DataFrame, *, categories: Categories = EXPRESSIONS) -> pd.DataFrame:
    """Return d′ and c of each unordered pair. The first category of the pair is the signal.

    One face and two labels make a yes/no task: H is the accuracy on faces of the first, F the error on faces of the
    second, both with the log-linear correction (count + ½)/(n + 1).

    Args:
      pairs: a pair table, of everybody or of one person.
      categories: whose pairs are the rows.

    Returns:
      K(K-1)/2 rows: pair, first, second, d_prime, criterion, n_first, n_second. NaN where a category was never
      answered.

    Raises:
      UsageError: a cell that is there twice, or an accuracy outside [0, 1].
    """
    if pairs.duplicated(["true_label", "false_label"]).any():
        raise UsageError("`pairs`: wanted each (true, foil) once, got one twice; average first.")
    if not pairs["accuracy"].dropna().between(0, 1).all():
        raise UsageError("`pairs`: wanted accuracies in [0, 1], got others.")
    # What was not answered has no accuracy, whatever n says.
    known = pairs[pairs["accuracy"].notna() & (pairs["n"] > 0)]
    columns = (known[name] for name in ("true_label", "false_label", "accuracy", "n"))
    cells = {(true, false): (share * n, int(n)) for true, false, share, n in zip(*columns, strict=True)}
    rows = []
    for number, (first, second) in enumerate(categories.pairs):
        names = categories[first], categories[second]
        hits, n_first = cells.get(names, (0, 0))
        rejections, n_second = cells.get(names[::-1], (0, 0))
        values = math.nan, math.nan
        if n_first and n_second:
            values = d_prime((hits + 0.5) / (n_first + 1), (n_second - rejections + 0.5) / (n_second + 1))
        rows.append((categories.pair_name(number), *names, *values, n_first, n_second))
    return pd.DataFrame(rows, columns=["pair", "first", "second", "d_prime", "criterion", "n_first", "n_second"])


def of_study(trials: Trials, study: pd.DataFrame) -> Trials:
    """Return the trials of a study's images.

    Args:
      trials: of anybody.
      study: a study table.

    Returns:
      The study's trials, missing labels filled from the study. The other tables are returned as they are.

    Raises:
      DataError: a study table that is none, or a trial with other labels or more options than the study has.
    """
    check_images(study)
    rows = positions(study, trials.trials["image"])
    table = trials.trials[rows >= 0]
    shown = study.iloc[rows[rows >= 0]]
    many = table["n_options"].fillna(2).ne(2)
    refuse(TABLE_NAMES["trials"], table, many, "n_options", "2 options; a trial of more has no foil")
    for column, meaning in (("true_label", "truth"), ("false_label", "foil")):
        wrong = table[column].notna().to_numpy() & (table[column].to_numpy() != shown[column].to_numpy())
        refuse(TABLE_NAMES["trials"], table, wrong, column, f"the {meaning} that the study gives the image")
        table = table.assign(**{column: shown[column].to_numpy()})
    return Trials(trials.participants, table, trials.clicks, trials.events)


def _names(answered) -> set[str]:
    return set(answered["true_label"]) | set(answered["response"])


def _answered(table) -> pd.DataFrame:
    """Return the answered trials, `correct` as a number."""
    for column in ("n_clicks", "rt_decision_ms"):
        values = table[column].astype("Float64")
        refuse(TABLE_NAMES["trials"], table, (values < 0).fillna(False), column, "a number from 0, or nothing")
    right = answers(table)
    answered = table.assign(correct=right.astype("Float64"), n_clicks=table["n_clicks"].astype("Float64"))
    return answered[right.notna()]


def answer_table(trials: Trials, *, time_trials: str = "clean") -> pd.DataFrame:
    """Return one row an answer: what all means of this module are means of.

    Args:
      trials: of the people who are analysed.
      time_trials: as for `pair_table`.

    Returns:
      participant, block, trial, image, true_label, false_label, accuracy (1 or 0), clicks, time_ms.

    Raises:
      UsageError, DataError: as for `pair_table`.
    """
    check_one_of("time_trials", time_trials, TIME_TRIALS)
    table = _answered(trials.trials)
    times = table["rt_decision_ms"]
    if time_trials == "clean":
        disturbed = table["resumed"].fillna(False) | table["focus_lost"].fillna(False)
        times = times.mask(disturbed.to_numpy(bool))
    kept = table[["participant", "block", "trial", "image", "true_label", "false_label"]]
    return kept.assign(accuracy=table["correct"], clicks=table["n_clicks"], time_ms=times)


def marked_times(trials: Trials) -> pd.Series:
    """Return why the time of each trial is suspicious, missing where it is not.

    Args:
      trials: of anybody.

    Returns:
      text, one a row of the trials' table: "time_under_200_ms", "time_beyond_3_mad" (of the person's log times, scaled
      to the standard deviation of a normal distribution), or both with | between.
    """
    times = trials.trials["rt_decision_ms"].astype("float64")
    logs = pd.Series(np.log(times.where(times > 0).to_numpy()), times.index)
    people = trials.trials["participant"]
    away = (logs - logs.groupby(people).transform("median")).abs()
    limit = MOST_MAD * _MAD_TO_SD * away.groupby(people).transform("median")
    # Where more than half of a person's times are equal, no deviation can be had.
    far = (away > limit) & (limit > 0)
    why = np.where(times < SHORTEST_MS, f"time_under_{SHORTEST_MS:g}_ms|", "") + np.where(
        far, f"time_beyond_{MOST_MAD:g}_mad|", ""
    )
    marks = pd.Series(why, trials.trials.index, dtype="str").str.removesuffix("|")
    return marks.where(marks != "")


def without_marked_times(trials: Trials) -> Trials:
    """Return the tables with the times missing that `marked_times` marks. Answers and clicks stay."""
    table = trials.trials
    times = table["rt_decision_ms"].mask(marked_times(trials).notna())
    return Trials(trials.participants, table.assign(rt_decision_ms=times), trials.clicks, trials.events)


def person_sensitivity(trials: Trials, *, categories: Categories = EXPRESSIONS) -> pd.DataFrame:
    """Return d′ and c of each pair for each person.

    Args:
      trials: of the people who are analysed. Without a foil, answers that named one of the two count.
      categories: whose pairs are the rows.

    Returns:
      participant, then the columns of `sensitivity`, people sorted by name.

    Raises:
      DataError: as for `pair_table`.
    """
    answered = _answered(trials.trials)
    parts = []
    for person, own in answered.groupby("participant"):
        if own["false_label"].isna().all():
            _, counts = confusion(Trials(trials.participants, own, trials.clicks, trials.events), categories=categories)
            pairs = forced_pairs(counts, categories=categories)
        else:
            cells = own.groupby(["true_label", "false_label"], as_index=False)
            pairs = cells.agg(accuracy=("correct", "mean"), n=("correct", "size")).astype({"accuracy": "float64"})
        parts.append(sensitivity(pairs, categories=categories).assign(participant=person))
    found = (
        pd.concat(parts, ignore_index=True)
        if parts
        else sensitivity(
            forced_pairs(np.zeros((len(categories), len(categories)), int), categories=categories),
            categories=categories,
        )[:0].assign(participant="")
    )
    return found[["participant", *found.columns.drop("participant")]]


def block_table(trials: Trials, *, time_trials: str = "clean") -> pd.DataFrame:
    """Return accuracy, clicks and time of each person in each block: what people learn, or how they tire.

    Args:
      trials: of the people who are analysed.
      time_trials: as for `pair_table`.

    Returns:
      One row a person and block: participant, block, accuracy, clicks, time_ms, n (answers). No row where the trials
      do not say their block.

    Raises:
      UsageError, DataError: as for `pair_table`.
    """
    found = _means(answer_table(trials, time_trials=time_trials), ["participant", "block"], "mean")
    return found.drop(columns="n_times").astype({"n": "int64"})


def forced_pairs(counts: np.ndarray, *, categories: Categories = EXPRESSIONS) -> pd.DataFrame:
    """Return the accuracy of each ordered pair in answers among more than two options.

    Args:
      counts: (K, K) answers, rows true.
      categories: what rows and columns are.

    Returns:
      K(K-1) rows: true_label, false_label, accuracy (of the answers that named one of the two, the share that named
      the truth), n (those answers). NaN where there are none.

    Raises:
      UsageError: counts that are no whole numbers from 0 (K, K).

    Example:
      >>> table = forced_pairs(np.array([[6, 2, 0], [0, 4, 0], [1, 1, 2]]), categories=Categories(["a", "b", "c"]))
      >>> table["accuracy"].tolist()[0], table["n"].tolist()[0]
      (0.75, 8)
    """
    counts, size = np.asarray(counts), len(categories)
    if counts.shape != (size, size) or not (np.isfinite(counts) & (counts >= 0) & (counts == np.floor(counts))).all():
        raise UsageError(f"`counts`: wanted whole numbers from 0 ({size}, {size}), got others or {counts.shape}.")
    rows = []
    for true, false in categories.ordered_pairs:
        right, n = int(counts[true, true]), int(counts[true, true] + counts[true, false])
        rows.append((categories[true], categories[false], right / n if n else math.nan, n))
    return pd.DataFrame(rows, columns=["true_label", "false_label", "accuracy", "n"])


def _measured(trials, by, time, time_trials) -> pd.DataFrame:
    check_one_of("time", time, TIMES)
    table = answer_table(trials, time_trials=time_trials)
    if time == "log":
        table["time_ms"] = np.log(table["time_ms"].where(table["time_ms"] > 0))
    found = _means(table, by, "median" if time == "median" else "mean")
    return found.assign(time_ms=np.exp(found["time_ms"])) if time == "log" else found


def _means(table, by, time) -> pd.DataFrame:
    """Return the means of an answer table within groups."""
    return (
        table[[*by, "accuracy", "clicks", "time_ms"]]
        .assign(n=1)
        .groupby(by)
        .agg(
            accuracy=("accuracy", "mean"),
            clicks=("clicks", "mean"),
            time_ms=("time_ms", time),
            n=("n", "sum"),
            n_times=("time_ms", "count"),
        )
        .astype({"accuracy": "float64", "clicks": "float64"})
        .reset_index()
    )


def _filled(table) -> pd.DataFrame:
    """Fill in counts of 0 where there was no answer."""
    return table.fillna({"n": 0, "n_times": 0}).astype({"n": "int64", "n_times": "int64"})


def varies(values: npt.ArrayLike) -> bool:
    """Return whether numbers (n,) differ by more than rounding, False if there are none."""
    values = np.asarray(values, np.float64)
    return bool(values.size and np.ptp(values) > ROUNDING * np.abs(values).max())
