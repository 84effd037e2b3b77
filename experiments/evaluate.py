"""Score a run's decisions again, without its networks: other votes, intervals, calibration (paper §5.2, Figs 5-8).

    python -m experiments.evaluate --run=runs/first
    python -m experiments.evaluate --run=runs/ferplus --finetuned --resamples=10000 --out=scores

Reads the logits that stage `vote` left (with --finetuned also those of stage `finetune`), so a run may be read while
it goes on. Rules: the paper's two votes, votes weighted by probability or by margin, the sum of the members'
probabilities, and the same with a temperature for each member (ours), and the multiclass network, with and without one.
Temperatures are cross-fitted: the evaluation pictures are halved at random within each expression, and each half is
scored with temperatures fitted on the other. Intervals are 95 % percentile bootstraps over pictures, drawn within each
expression. Writes scores.csv (rule, measure, value, low, high, n), members.csv and settings.json, and prints the
tables. A few seconds on two CPU cores. The paper's numbers on AffectNet: simple and weighted vote 49 and 50 %,
multiclass 54 %.
"""

import contextlib
import dataclasses
import pathlib
import sys

import numpy as np
import pandas as pd

from experiments.harness import command
from experiments.harness.command import option
from experiments.harness.locked_folder import LockedFolder
from experiments.harness.progress import Progress
from experiments.harness.text_table import aligned
from experiments.study.run_folder import FinishedFiles, sha256, versions
from fer_jax.errors import StorageError, UsageError

SCHEMA = 1
_RECORD = "settings.json"
_OURS = ("LOCK", "members.csv", "scores.csv", _RECORD)
_STAGES = {"predictions": "vote", "predictions_finetuned": "finetune"}


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """The flags of a scoring."""

    run: str = option("", "Run folder of experiments.reproduce whose decisions are scored.")
    out: str = option("", "Folder for the tables; none given: the run's own, evaluation/.")
    resamples: int = option(2000, "Bootstrap resamples of the pictures.", low=40, high=1_000_000)
    seed: int = option(0, "Seed of the resamples and of the halves for temperatures.", low=0, high=2**63 - 1)
    finetuned: bool = option(False, "Score the fine-tuned ensemble as well.")


def evaluate(config: EvaluateConfig) -> None:
    """Score every rule, write the tables, and print them and their folder."""
    if not config.run:
        raise UsageError("`--run`: wanted a run folder, such as --run=runs/first, got none.")
    command.check_bounds(config)
    sources = {"predictions": read_predictions(config.run, "predictions")}
    if config.finetuned:
        sources["predictions_finetuned"] = read_predictions(config.run, "predictions_finetuned")
        first, second = (arrays["labels"] for arrays in sources.values())
        if not np.array_equal(first, second):
            raise StorageError(
                f"`{config.run}/predictions_finetuned.npz`: its labels are not those of predictions.npz."
            )
    out = pathlib.Path(config.out or pathlib.Path(config.run) / "evaluation")
    with contextlib.closing(LockedFolder(out, record=_RECORD, holds="scores", leftovers=_OURS)) as folder:
        scores, members = _tables(sources, FinishedFiles(config.run).categories, config)
        folder.write_text("scores.csv", _as_csv(scores))
        folder.write_text("members.csv", _as_csv(members))
        folder.write_json(_RECORD, _record(sources, config))
    print(f"{_page(scores, members)}\n\n{out}")


def read_predictions(run: str, name: str) -> dict[str, np.ndarray]:
    """Read the logits of a run's evaluation pictures.

    Args:
      run: the run folder.
      name: "predictions" or "predictions_finetuned".

    Returns:
      ensemble_logits (M, N, 2), labels (N,) int32 and, of the first, multiclass_logits (N, K).

    Raises:
      UsageError: no run folder, or a stage that has not ended.
      StorageError: a file that is damaged or was made by another version.
    """
    folder, file = FinishedFiles(run), pathlib.Path(run) / f"{name}.npz"
    if not folder.has(file.name):
        if not folder.has("run.json"):
            raise UsageError(
                f"`--run`: wanted a run folder of experiments.reproduce, got {run}, which has no run.json."
            )
        what = "fine-tuned predictions" if name == "predictions_finetuned" else "predictions"
        raise UsageError(
            f"`--run`: {run} has no {what} yet (stage {_STAGES[name]}); finish it: "
            f"python -m experiments.reproduce --flagfile={run}/flags.txt --out={run}"
        )
    saved, categories = folder.read_arrays(name), folder.categories
    try:
        count = len(saved["labels"])
        wanted = {"ensemble_logits": (categories.num_pairs, count, 2), "labels": (count,)}
        if name == "predictions":
            wanted["multiclass_logits"] = (count, len(categories))
        arrays = {each: saved[each] for each in wanted}
    except (KeyError, TypeError) as error:
        raise StorageError(f"`{file}`: cannot be read: {type(error).__name__}: {error}.") from error
    for each, shape in wanted.items():
        if arrays[each].shape != shape or not count:
            raise StorageError(f"`{file}`: wanted {each} {shape}, N > 0 pictures, got {arrays[each].shape}.")
    labels = arrays["labels"]
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(categories):
        raise StorageError(f"`{file}`: wanted labels in 0..{len(categories) - 1}, got {labels.min()}..{labels.max()}.")
    for each in wanted:
        if not np.isfinite(arrays[each]).all():
            raise StorageError(f"`{file}`: wanted finite {each}, got NaN or infinity: a network failed. Train it anew.")
    return arrays


def _tables(sources, categories, config):
    """Return scores of all rules, and of all members."""
    from fer_jax.compare import decisions as deciding

    first = sources["predictions"]
    labels = first["labels"]
    half = deciding.split_halves(labels, config.seed)
    decisions = deciding.ensemble_decisions(first["ensemble_logits"], labels, half)
    members = [deciding.member_table(first["ensemble_logits"], labels, half, categories).assign(ensemble="trained")]
    decisions |= deciding.multiclass_decisions(first["multiclass_logits"], labels, half)
    if "predictions_finetuned" in sources:
        logits = sources["predictions_finetuned"]["ensemble_logits"]
        tuned = deciding.ensemble_decisions(logits, labels, half)
        decisions |= {f"finetuned_{rule}": made for rule, made in tuned.items()}
        members.append(deciding.member_table(logits, labels, half, categories).assign(ensemble="finetuned"))
    progress = Progress("resampling", config.resamples, unit="resamples")
    scores = deciding.score(
        decisions, labels, resamples=config.resamples, seed=config.seed, categories=categories, tell=progress.update
    )
    progress.finish(f"{len(labels)} pictures, {len(decisions)} rules")
    table = pd.concat(members, ignore_index=True)
    return scores, table[["ensemble", *table.columns.drop("ensemble")]]


def _record(sources, config):
    return {
        "schema": SCHEMA,
        "run": str(pathlib.Path(config.run).resolve()),
        "sha256": {name: sha256(pathlib.Path(config.run) / f"{name}.npz") for name in sources},
        "resamples": config.resamples,
        "seed": config.seed,
        "interval": "95 % percentile bootstrap over pictures, drawn within each category, temperatures as fitted; "
        "ece has none",
        "temperatures": "fitted on one random half of the pictures (halved within each category), used on the other",
        "vote_probabilities": "ballots over their sum: at most about 2/K, so underconfident by construction",
        "versions": versions(),
    }


def _as_csv(table):
    return table.to_csv(index=False, lineterminator="\n", float_format="%.6f")


def _page(scores, members):
    """Return what is printed: scores with intervals in percent, recalls, and what temperatures did to the members."""
    cells = scores.set_index(["rule", "measure"])
    rules = list(dict.fromkeys(scores["rule"]))

    def column(measure, scale=100.0, interval=True):
        return [_cell(cells, (rule, measure), scale, interval) for rule in rules]

    main = {
        "accuracy %": column("accuracy"),
        "less simple_vote": column("accuracy_minus_simple_vote"),
        "balanced %": column("balanced_accuracy"),
        "macro-F1 %": column("macro_f1"),
        "ECE %": column("ece", interval=False),
        "Brier": column("brier", scale=1.0, interval=False),
    }
    measures = scores.loc[scores["rule"] == rules[0], "measure"]
    names = list(measures[measures.str.startswith("recall_")].str.removeprefix("recall_"))
    recalls = {name: column(f"recall_{name}", interval=False) for name in names}
    count = cells.loc[(rules[0], "accuracy"), "n"]
    sizes = ", ".join(f"{name} {cells.loc[(rules[0], f'recall_{name}'), 'n']}" for name in names)
    lines = [f"{count} pictures; in brackets 95 % intervals over pictures", _table(rules, main), ""]
    lines += [f"Recall, % (pictures: {sizes})", _table(rules, recalls)]
    for name, table in members.groupby("ensemble", sort=False):
        accuracy, ece, after = table[["accuracy", "ece", "ece_calibrated"]].mean()
        lines += [
            "",
            f"Members ({name}), means over pairs: accuracy {accuracy:.1%}, ECE {ece:.1%}, with temperatures "
            f"{after:.1%}; median temperature {table['temperature'].median():.2f}",
        ]
    return "\n".join(lines)


def _cell(cells, key, scale, interval):
    if key not in cells.index or np.isnan(cells.loc[key, "value"]):
        return "-"
    value, low, high = (scale * cells.loc[key, name] for name in ("value", "low", "high"))
    digits = 1 if scale > 1 else 3
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]" if interval else f"{value:.{digits}f}"


def _table(rules, columns):
    lines = [["rule", *columns], *zip(rules, *columns.values(), strict=True)]
    return aligned(lines, right=True)


if __name__ == "__main__":
    sys.exit(command.run(evaluate, EvaluateConfig, usage=__doc__))
