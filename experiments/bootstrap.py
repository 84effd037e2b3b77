"""Scores of decisions, with bootstrap intervals over the pictures that were decided on.

A resample draws each expression's pictures with replacement from among themselves: the mix of expressions was chosen
with the data, no expression is lost, and the intervals speak of other pictures in the same mix. All rules see the same
resamples, so that their differences have intervals too.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from experiments.evaluation import Decisions
from fer_jax import metrics
from fer_jax.categories import Categories
from fer_jax.compare import intervals
from fer_jax.streams import stream

REFERENCE = "simple_vote"
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1")  # given also as a difference from the reference's
_STREAM = 1  # of the seed


@jax.jit
@jax.vmap
def _measures(counts):
    return {
        "accuracy": metrics.confusion_accuracy(counts),
        "balanced_accuracy": metrics.balanced_accuracy(counts),
        "macro_f1": metrics.macro_f1(counts),
        "recall": metrics.recall(counts),
    }


_distances = jax.jit(jax.vmap(lambda shares, label: metrics.brier_score(shares[None], label[None])))


def score(
    decisions: dict[str, Decisions],
    labels: np.ndarray,
    *,
    resamples: int,
    seed: int,
    categories: Categories,
    tell: Callable[[int], None] = lambda done: None,
) -> pd.DataFrame:
    """Score rules on the same pictures, and on the same resamples of them.

    Args:
      decisions: by rule. `REFERENCE` must be one.
      labels: (N,) in 0..K-1.
      resamples: how many.
      seed: of the resamples.
      categories: what the labels are.
      tell: called with the number of resamples done.

    Returns:
      One row a rule and measure: rule, measure, value, low, high (percentile interval), n. `ece` has no interval, as
      a resample's is larger on average: its bins hold fewer different pictures.
    """
    whole = _spread(decisions, labels, categories, [np.arange(len(labels))[None]])
    values = {rule: {name: each.item() for name, each in found.items()} for rule, found in whole.items()}
    drawn = intervals.resample_within(stream(seed, _STREAM), labels, resamples=resamples)
    spreads = _spread(decisions, labels, categories, drawn, tell)
    for scored in (values, spreads):
        for rule in decisions.keys() - {REFERENCE}:
            for name in COMPARED:
                scored[rule][f"{name}_minus_{REFERENCE}"] = scored[rule][name] - scored[REFERENCE][name]
    for rule, made in decisions.items():
        if made.shares is not None:
            error = metrics.expected_calibration_error(jnp.asarray(made.shares), jnp.asarray(labels))
            values[rule]["ece"] = error.item()
    sizes = np.bincount(labels, minlength=len(categories))
    return pd.DataFrame(
        [row for rule in decisions for row in _rows(rule, values[rule], spreads[rule], sizes, categories)]
    )


def _spread(decisions, labels, categories, blocks, tell=lambda done: None):
    """Compute the measures of every rule, each (R,), on blocks (b, N) of picture numbers that make R resamples."""
    cells = {rule: labels.astype(np.int64) * len(categories) + made.predicted for rule, made in decisions.items()}
    distances = {
        rule: np.asarray(_distances(made.shares, labels), np.float64)
        for rule, made in decisions.items()
        if made.shares is not None
    }
    counts, briers, done = {rule: [] for rule in cells}, {rule: [] for rule in distances}, 0
    for rows in blocks:
        for rule, cell in cells.items():
            counts[rule].append(_counts(cell[rows], len(categories)))
        for rule, distance in distances.items():
            briers[rule].append(distance[rows].mean(1))
        done += len(rows)
        tell(done)
    found = {rule: _of_counts(np.concatenate(parts), categories) for rule, parts in counts.items()}
    for rule, parts in briers.items():
        found[rule]["brier"] = np.concatenate(parts)
    return found


def _counts(cells, classes):
    """Return confusion counts (R, K, K) of cells (R, N), numbered row by row."""
    size = classes**2
    numbered = cells + size * np.arange(len(cells))[:, None]
    return np.bincount(numbered.reshape(-1), minlength=size * len(cells)).reshape(-1, classes, classes)


def _of_counts(counts, categories):
    """Compute the measures of confusion counts (R, 8, 8), each (R,) in float64."""
    found = {name: np.asarray(values, np.float64) for name, values in _measures(counts.astype(np.int32)).items()}
    recalls = found.pop("recall")
    return found | {f"recall_{name}": recalls[:, label] for label, name in enumerate(categories)}


def _rows(rule, value, spread, sizes, categories):
    for name, number in value.items():
        low, high = intervals.percentile_interval(spread[name]) if name in spread else (np.nan, np.nan)
        n = sizes[categories.index(name.removeprefix("recall_"))] if name.startswith("recall_") else sizes.sum()
        yield {"rule": rule, "measure": name, "value": number, "low": low, "high": high, "n": int(n)}
