"""Stage `vote`: the logits of every network for every picture, and the votes on them (paper §5.2)."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import scipy

from experiments.study.run import Run
from fer_jax import ensemble, metrics
from fer_jax.compare import decisions

VOTES = {"simple_vote": ensemble.simple_vote, "weighted_vote": ensemble.weighted_vote}


def vote(run: Run) -> None:
    """Predict evaluation and study images. Write logits, votes and the members' validation accuracy.

    Columns:
      validation_accuracy: on evaluation pictures of the member's own two expressions, 0 to 1.
      validation_images: how many those are.
    """
    evaluation, shown = run.evaluation_pictures, run.study_pictures
    members, multiclass = run.load_ensemble(), run.load_multiclass()
    logits = run.ensemble_logits(members, evaluation.images)
    eight = run.multiclass_logits(multiclass, evaluation.images)
    run.folder.write_arrays(
        "predictions",
        ensemble_logits=logits,
        multiclass_logits=eight,
        labels=evaluation.labels,
        names=evaluation.names,
        study_ensemble_logits=run.ensemble_logits(members, shown.images),
        study_multiclass_logits=run.multiclass_logits(multiclass, shown.images),
        study_labels=shown.labels,
    )
    write_votes(run, "ensemble", logits, evaluation.labels)
    write_confusion(run, "multiclass", eight.argmax(-1), evaluation.labels)
    table = run.folder.read_table("members")
    table["validation_accuracy"] = decisions.member_accuracy(logits, evaluation.labels)
    table["validation_images"] = [int(np.isin(evaluation.labels, pair).sum()) for pair in run.categories.pairs]
    run.folder.write_table("members_validated", table)


def write_votes(run: Run, name: str, logits: np.ndarray, labels: np.ndarray) -> None:
    """Write both votes' confusion counts, as tables named after the ensemble."""
    for rule, decide in VOTES.items():
        write_confusion(run, f"{name}_{rule}", np.asarray(decide(logits)), labels)


def write_confusion(run: Run, name: str, predicted: np.ndarray, labels: np.ndarray) -> None:
    """Write the confusion counts of a model on the evaluation pictures.

    Columns:
      true: the expression of the pictures in this row.
      EXPRESSION: pictures that the model called so.
    """
    counts = np.asarray(metrics.confusion(labels, predicted, classes=len(run.categories)))
    frame = pd.DataFrame(counts, columns=list(run.categories))
    frame.insert(0, "true", run.categories)
    run.folder.write_table(f"confusion_{name}", frame)


def confusion_counts(run: Run, name: str) -> np.ndarray:
    """Return (K, K) counts, rows true, of "ensemble_simple_vote", "multiclass", "finetuned_weighted_vote", ..."""
    return run.folder.read_table(f"confusion_{name}")[list(run.categories)].to_numpy()


def decided(run: Run) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return what each model of a run with people called the evaluation pictures, (N,) each, and their labels (N,)."""
    saved = run.folder.read_arrays("predictions")
    tuned = run.folder.read_arrays("predictions_finetuned")
    ensembles = {"ensemble": saved["ensemble_logits"], "finetuned": tuned["ensemble_logits"]}
    found = {
        f"{name}_{rule}": np.asarray(decide(logits))
        for name, logits in ensembles.items()
        for rule, decide in VOTES.items()
    }
    return found | {"multiclass": saved["multiclass_logits"].argmax(-1)}, saved["labels"]


def accuracy_interval(counts: np.ndarray) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the accuracy in confusion counts (K, K), pictures taken as independent."""
    interval = scipy.stats.binomtest(int(np.trace(counts)), int(counts.sum())).proportion_ci(method="wilson")
    return interval.low, interval.high


def near_chance(right: np.ndarray, images: np.ndarray) -> bool:
    """Tell if a member is not shown to beat guessing: the 95 % interval of its balanced accuracy reaches 50 % or below.

    The interval is put together from Wilson's of the two recalls (Newcombe 1998). Raw accuracy would not do: to call
    everything by the commoner label is right for most pictures, and a guess.

    Args:
      right: pictures of its first and of its second label that it names rightly, (2,).
      images: pictures of either label, (2,).
    """
    if not np.all(images):
        return True
    below = 0.0
    for count, total in zip(np.asarray(right).tolist(), np.asarray(images).tolist(), strict=True):
        below += ((count / total - scipy.stats.binomtest(count, total).proportion_ci(method="wilson").low) / 2) ** 2
    return bool(np.mean(np.asarray(right) / images) - below**0.5 <= 0.5)


def named_by_members(logits: np.ndarray, labels: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return of each member the pictures of its two labels that it names rightly, and all of them: int (M, 2) each.

    Args:
      logits: (M, N, 2). Pictures without finite ones do not count.
      labels: (N,).
      pairs: (M, 2), the members' labels.
    """
    own = (np.asarray(pairs)[:, :, None] == labels) & np.isfinite(logits).all(-1)[:, None]
    right = own & (logits.argmax(-1)[:, None] == np.arange(2)[:, None])
    return right.sum(-1), own.sum(-1)


def scores(run: Run, name: str) -> dict:
    """Return accuracy, balanced accuracy and recall by category of a model (see `confusion_counts`)."""
    counts = jnp.asarray(confusion_counts(run, name))
    return {
        "accuracy": metrics.confusion_accuracy(counts).item(),
        "balanced_accuracy": metrics.balanced_accuracy(counts).item(),
        "recall": dict(zip(run.categories, metrics.recall(counts).tolist(), strict=True)),
    }
