"""The numbers that the paper reports on AffectNet, and ours beside them (§4.3, §5.2, §5.3, Table 1)."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from experiments.study.run import Run
from experiments.study.vote import accuracy_interval, confusion_counts, scores
from fer_jax.explanation import METHOD_NAMES
from fer_jax.expressions import EXPRESSIONS
from fer_jax.figures.style import MISSING, number

# Accuracies of §5.2. The paper trained the members twice: to 90 % training accuracy, and for 30 epochs.
ACCURACY = {
    "ensemble_simple_vote": 0.49,
    "ensemble_weighted_vote": 0.50,
    "multiclass": 0.54,
    "finetuned_simple_vote": 0.43,
    "finetuned_weighted_vote": 0.44,
}
FIXED_EPOCHS = {"ensemble_simple_vote": 0.48, "ensemble_weighted_vote": 0.49}
# §4.3: 22 people, Pearson's r over the 56 ordered pairs.
PEOPLE_ACCURACY = 0.839
CORRELATIONS = {"r_clicks_time": 0.93, "r_clicks_accuracy": -0.56, "r_time_accuracy": -0.65}
# §5.3: Pearson's r of people's confusions and a model's, over all 64 cells. The text cites Fig. 5b for .92 and for .80,
# of which the second must be 6b.
CONFUSIONS = {"ensemble_simple_vote": 0.93, "ensemble_weighted_vote": 0.92, "multiclass": 0.91}
CONFUSIONS_FIXED_EPOCHS = {"ensemble_simple_vote": 0.91, "ensemble_weighted_vote": 0.80}
DICE_F, CATEGORY_F = 85.45, 1.34  # §5.3
TUKEY_T = {
    ("extremal_perturbation", "cam"): 10.31,
    ("extremal_perturbation", "grad_cam"): 12.12,
    ("cam", "grad_cam"): 1.81,
}
FIXED = 30  # epochs of the paper's second ensemble
_CORRELATED = {
    "r_clicks_time": "clicks and time",
    "r_clicks_accuracy": "clicks and accuracy",
    "r_time_accuracy": "time and accuracy",
}


def accuracy_of(run: Run, model: str) -> float | None:
    """Return the paper's accuracy of a model trained as this run's, None where the run has other categories."""
    if run.categories != EXPRESSIONS:
        return None
    return _accuracies_of_paper(run)[model]


def _accuracies_of_paper(run) -> dict[str, float]:
    """Return the paper's accuracies, of the ensemble that was trained as this run's."""
    return ACCURACY | ({} if run.config.stop_accuracy else FIXED_EPOCHS)


def beside_ours(run: Run, summary: dict, names: dict[str, str]) -> pd.DataFrame:
    """Return every number of the paper beside ours.

    Args:
      run: any.
      summary: what `summary.json` says.
      names: model -> its name in a table.

    Returns:
      One row a number: section, statistic, paper, ours, 95 % interval and our n. Without people only those of networks.
    """
    rows = [*_accuracies(run, names)]
    if run.provenance.has_people:
        rows = [*_people(summary), *rows, *_confusions(run, summary, names), *_dice(run, summary)]
    return pd.DataFrame(rows, columns=["section", "statistic", "paper", "ours", "95 % interval", "our n"])


def _row(section, statistic, paper, ours, interval=(np.nan, np.nan), n="", digits=3):
    known = np.isfinite([np.nan if end is None else end for end in interval]).all()
    between = " to ".join(number(end, digits) for end in interval) if known else MISSING
    reported = max(2, len(str(paper).partition(".")[2]))
    return section, statistic, number(paper, reported), number(ours, digits), between, n


def _people(summary) -> Iterator[tuple]:
    people = summary["people"]
    yield _row("4.3", "people's accuracy", PEOPLE_ACCURACY, people["accuracy"], n=f"{people['trials']} trials")
    for name, value in CORRELATIONS.items():
        yield _row("4.3", f"r of {_CORRELATED[name]}", value, people[name], n="ordered pairs", digits=2)


def _accuracies(run, names) -> Iterator[tuple]:
    for model, paper in _accuracies_of_paper(run).items():
        if "finetuned" in model and not run.provenance.has_people:
            continue
        counts = confusion_counts(run, model)
        ours = np.trace(counts) / counts.sum()
        pictures = f"{counts.sum():,} pictures"
        yield _row("5.2", f"accuracy, {names[model]}", paper, ours, accuracy_interval(counts), pictures)
        if len(set(counts.sum(1))) > 1:  # the paper's pictures are equally many of each expression
            balanced = scores(run, model)["balanced_accuracy"]
            yield _row("", f"balanced accuracy, {names[model]}", paper, balanced, n=pictures)


def _confusions(run, summary, names) -> Iterator[tuple]:
    for model, paper in (CONFUSIONS | ({} if run.config.stop_accuracy else CONFUSIONS_FIXED_EPOCHS)).items():
        found = summary["confusion_correlation"][model]
        cells = len(run.categories)
        yield _row("5.3", f"r of confusions, {names[model]}", paper, found["r_all"], n=f"{cells**2} cells", digits=2)
        off = f"{cells * (cells - 1)} cells"
        yield _row("", f"the same off the diagonal, {names[model]}", None, found["r_off_diagonal"], n=off, digits=2)


def _dice(run, summary) -> Iterator[tuple]:
    pairs = f"{int(run.folder.read_table('dice').groupby('method')['dice'].count().max())} pairs"
    yield _row("5.3", "F of the method, Dice", DICE_F, summary["anova"]["F"], n=pairs, digits=2)
    tukey = {(row["a"], row["b"]): row["t"] for row in summary["tukey"]}
    for (a, b), paper in TUKEY_T.items():
        ours = tukey[(a, b)] if (a, b) in tukey else None if tukey[(b, a)] is None else -tukey[(b, a)]
        yield _row("5.3", f"Tukey's t, {METHOD_NAMES[a]} less {METHOD_NAMES[b]}", paper, ours, n=pairs, digits=2)
    effect = summary["category_effect"]
    ours = effect["F"] if effect else None
    yield _row("5.3", "F of the expression, Dice", CATEGORY_F, ours, n="ordered pairs", digits=2)
