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

from experiments.config import Command, OfRun, Resampling
from experiments.harness import command
from experiments.harness.command import again, option
from experiments.harness.locked_folder import LockedFolder
from experiments.harness.progress import Progress
from experiments.predictions import read_predictions
from experiments.scores_page import page
from experiments.study.run_folder import FinishedFiles, sha256, versions
from fer_jax.errors import StorageError, UsageError

SCHEMA = 1
_RECORD = "settings.json"
_OURS = ("LOCK", "members.csv", "scores.csv", _RECORD)


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """The flags of a scoring."""

    run: str = again(OfRun, "run")
    out: str = option("", "Folder for the tables; none given: the run's own, evaluation/.")
    resamples: int = again(Resampling, "resamples")
    seed: int = again(Command, "seed")
    finetuned: bool = again(OfRun, "finetuned")


def main(config: EvaluateConfig) -> None:
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
    print(f"{page(scores, members)}\n\n{out}")


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


if __name__ == "__main__":
    sys.exit(command.run(main, EvaluateConfig, usage=__doc__))
