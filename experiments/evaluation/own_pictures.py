"""The scores of a run on the evaluation pictures that it held out, from the logits that it left."""

import pathlib
from typing import Any

import numpy as np
import pandas as pd

from experiments.harness.progress import Progress
from experiments.predictions import read_predictions
from experiments.scores_page import page
from experiments.study.run_folder import FinishedFiles, sha256, versions
from fer_jax.errors import StorageError

SCHEMA = 1


def read(config: Any) -> dict[str, dict[str, np.ndarray]]:
    """Read the logits of the members, with `--finetuned` also those after fine-tuning.

    Raises:
      StorageError: the two are not of the same pictures.
    """
    sources = {"predictions": read_predictions(config.run, "predictions")}
    if config.finetuned:
        sources["predictions_finetuned"] = read_predictions(config.run, "predictions_finetuned")
        first, second = (arrays["labels"] for arrays in sources.values())
        if not np.array_equal(first, second):
            raise StorageError(
                f"`{config.run}/predictions_finetuned.npz`: its labels are not those of predictions.npz."
            )
    return sources


def score(sources: dict, config: Any) -> tuple[dict[str, pd.DataFrame], dict, str]:
    """Score every rule.

    Returns:
      Tables by name, the record of how they were made, and what is printed.
    """
    scores, members = _tables(sources, FinishedFiles(config.run).categories, config)
    return {"scores": scores, "members": members}, _record(sources, config), page(scores, members)


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
    table = pd.concat(members, ignore_index=True)
    return scored(decisions, labels, categories, config), table[["ensemble", *table.columns.drop("ensemble")]]


def scored(decisions: dict, labels: np.ndarray, categories: Any, config: Any) -> pd.DataFrame:
    """Score decisions against labels, with intervals, and show how far it is."""
    from fer_jax.compare import decisions as deciding

    progress = Progress("resampling", config.resamples, unit="resamples")
    table = deciding.score(
        decisions, labels, resamples=config.resamples, seed=config.seed, categories=categories, tell=progress.update
    )
    progress.finish(f"{len(labels)} pictures, {len(decisions)} rules")
    return table


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
