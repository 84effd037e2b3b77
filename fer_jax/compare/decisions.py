"""The decisions of an ensemble against labels: every vote, temperatures, accuracies with bootstrap intervals.

Contract: ensemble logits are (M, N, 2), multiclass logits (N, K), labels (N,) in 0..K-1. `half` is bool (N,):
temperatures fitted on the pictures of one half temper those of the other. A resample draws the pictures of each
category with replacement from among themselves: the mix of categories was chosen with the data, no category is lost,
and the intervals speak of other pictures in the same mix. All rules see the same resamples, so that their differences
have intervals too. A picture for which a logit is not finite has no label (`categories.DROP`) and counts nowhere.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from fer_jax import ensemble, metrics
from fer_jax.categories import DROP, Categories, pairs_of
from fer_jax.compare import intervals
from fer_jax.errors import UsageError
from fer_jax.streams import stream

REFERENCE = "simple_vote"
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1")  # given also as a difference from the reference's
_HALVES, _RESAMPLES = 0, 1  # streams of the seed

_fit = jax.jit(jax.vmap(lambda logits, labels, where: metrics.fit_temperature(logits, labels, where=where)))
_member_ece = jax.jit(
    jax.vmap(lambda logits, y, own: metrics.expected_calibration_error(jax.nn.softmax(logits), y, where=own))
)
_member_loss = jax.jit(jax.vmap(lambda logits, y, own: metrics.negative_log_likelihood(logits, y, where=own)))
_distances = jax.jit(jax.vmap(lambda shares, label: metrics.brier_score(shares[None], label[None])))


@jax.jit
@jax.vmap
def _measures(counts):
    return {
        "accuracy": metrics.confusion_accuracy(counts),
        "balanced_accuracy": metrics.balanced_accuracy(counts),
        "macro_f1": metrics.macro_f1(counts),
        "recall": metrics.recall(counts),
    }


@dataclasses.dataclass(frozen=True)
class Decisions:
    """The decisions of one rule on every picture.

    Attributes:
      predicted: (N,) labels, `DROP` where the rule has none.
      shares: (N, K) rows summing to 1, None where the rule has no probabilities.
    """

    predicted: np.ndarray
    shares: np.ndarray | None


def split_halves(labels: np.ndarray, seed: int) -> np.ndarray:
    """Draw a random half of the pictures, of each category and of all, to within one picture.

    Args:
      labels: int (N,).
      seed: whole number from 0.

    Returns:
      bool (N,).

    Example:
      >>> half = split_halves(np.array([0, 1, 0, 1]), 0)
      >>> int(half[[0, 2]].sum()), int(half[[1, 3]].sum())
      (1, 1)
    """
    order = stream(seed, _HALVES).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    half = np.zeros(len(labels), bool)
    half[order[1::2]] = True
    return half


def cross_tempered(
    logits: np.ndarray, labels: np.ndarray, where: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Divide logits by temperatures that were fitted on the other half.

    Args:
      logits: (M, N, K).
      labels: (M, N), each network's classes.
      where: bool (M, N), the pictures a network is fitted on.
      half: bool (N,).

    Returns:
      The tempered logits (M, N, K), and the temperatures (2, M) fitted where `half` is False and where it is True
      (1 where there are pictures of fewer than two classes).

    Example:
      >>> labels, logits = np.array([[0, 0, 1, 1]]), np.array([[[2.0, 0], [2, 0], [0, 2], [0, 2]]])
      >>> tempered, fitted = cross_tempered(logits, labels, labels >= 0, np.array([False, False, True, True]))
      >>> fitted.tolist()  # no half has pictures of both classes
      [[1.0], [1.0]]
    """
    fitted = np.stack([_temperatures(logits, labels, where & side) for side in (~half, half)])
    other = np.where(half, fitted[0][:, None], fitted[1][:, None])
    return (logits / other[..., None]).astype(np.float32), fitted


def ensemble_decisions(logits: np.ndarray, labels: np.ndarray, half: np.ndarray) -> dict[str, Decisions]:
    """Decide by every vote of M members (paper §5.2: the first two).

    Args:
      logits: (M, N, 2).
      labels: (N,), on which temperatures are fitted.
      half: bool (N,).

    Returns:
      Decisions by rule.

    Example:
      >>> logits = np.array([[[2.0, 0], [0, 1]], [[3, 0], [0, 1]], [[0, 1], [0, 1]]])  # two pictures, three members
      >>> made = ensemble_decisions(logits, np.array([0, 2]), np.array([False, True]))
      >>> made["simple_vote"].predicted.tolist()
      [0, 2]
    """
    own, sides = _own_pictures(labels, logits)
    tempered, _ = cross_tempered(logits, sides, own, half)
    return {
        "simple_vote": _decide(ensemble.simple_vote, ensemble.ballots, logits),
        "weighted_vote": _decide(ensemble.weighted_vote, None, logits),  # its ballots may be negative
        "weighted_vote_softmax": _weighted("softmax", logits),
        "weighted_vote_margin": _weighted("margin", logits),
        "probability_vote": _decide(ensemble.probability_vote, ensemble.probability_ballots, logits),
        "calibrated_probability_vote": _decide(ensemble.probability_vote, ensemble.probability_ballots, tempered),
    }


def shared_pairs(kept: Sequence[int], categories: Categories) -> np.ndarray:
    """Return the members whose two categories are both kept, in the order of the pairs of those kept.

    They are the ensemble that training with the kept categories alone would give, as a member learns from the pictures
    of its pair only.

    Args:
      kept: two or more labels, ascending.
      categories: what the labels are.

    Returns:
      int (K'(K'-1)/2,), indices into `categories.pairs`.

    Example:
      >>> shared_pairs([0, 2, 3], fer.Categories(("calm", "glad", "sad", "cross"))).tolist()
      [1, 2, 5]
    """
    return np.asarray([categories.pair_index(*pair) for pair in itertools.combinations(kept, 2)])


def all_member_decisions(logits: np.ndarray, kept: Sequence[int]) -> dict[str, Decisions]:
    """Decide among some of the categories by the votes of all M members.

    Votes for other categories are lost, and ties of the simple vote fall to the larger weighted vote.

    Args:
      logits: (M, N, 2).
      kept: labels to decide among, ascending.

    Returns:
      Decisions by rule, "all_members_simple_vote" and so on. Labels are positions in `kept`.

    Example:
      >>> logits = np.array([[[2.0, 0]], [[0, 3]], [[0, 1]]])  # pairs 0-1, 0-2 and 1-2: two members say 2
      >>> all_member_decisions(logits, [0, 1])["all_members_simple_vote"].predicted.tolist()
      [0]
    """
    values, columns = jnp.asarray(logits), np.asarray(kept)
    simple, weighted, probable = (
        np.asarray(count(values))[:, columns]
        for count in (ensemble.ballots, ensemble.weighted_ballots, ensemble.probability_ballots)
    )
    tied, known = simple == simple.max(1, keepdims=True), np.isfinite(weighted).all(1)
    return {
        "all_members_simple_vote": Decisions(
            np.where(known, np.where(tied, weighted, -np.inf).argmax(1), DROP),
            np.asarray(ensemble.ballot_shares(jnp.asarray(simple))),
        ),
        "all_members_weighted_vote": Decisions(_largest(weighted), None),  # its ballots may be negative
        "all_members_probability_vote": Decisions(
            _largest(probable), np.asarray(ensemble.ballot_shares(jnp.asarray(probable)))
        ),
    }


def multiclass_decisions(logits: np.ndarray, labels: np.ndarray, half: np.ndarray) -> dict[str, Decisions]:
    """Decide by the multiclass network, as it is and at the temperature of the other half.

    Args:
      logits: (N, K).
      labels: (N,), on which temperatures are fitted.
      half: bool (N,).

    Returns:
      Decisions by rule.

    Example:
      >>> made = multiclass_decisions(np.eye(3), np.arange(3), np.array([False, True, False]))
      >>> made["multiclass"].predicted.tolist()
      [0, 1, 2]
    """
    tempered, _ = cross_tempered(logits[None], labels[None], np.ones((1, len(labels)), bool), half)
    return {
        name: Decisions(_largest(values), np.asarray(jax.nn.softmax(values)))
        for name, values in (("multiclass", logits), ("calibrated_multiclass", tempered[0]))
    }


def member_accuracy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the accuracy of each member on the pictures of its two categories.

    Args:
      logits: (M, N, 2).
      labels: (N,).

    Returns:
      float64 (M,), NaN where neither category is there. Pictures whose logits are not finite do not count.

    Example:
      >>> member_accuracy(np.array([[[2.0, 0], [0, 1], [0, 1]]]), np.array([0, 1, 0])).round(2).tolist()
      [0.67]
    """
    own, sides = _own_pictures(labels, logits)
    right, count = ((logits.argmax(-1) == sides) & own).sum(1), own.sum(1)
    return np.where(count > 0, right / np.maximum(count, 1), np.nan)


def member_table(logits: np.ndarray, labels: np.ndarray, half: np.ndarray, categories: Categories) -> pd.DataFrame:
    """Score each member on the pictures of its two categories.

    Args:
      logits: (M, N, 2).
      labels: (N,).
      half: bool (N,).
      categories: what the labels are.

    Returns:
      M rows: pair, n, accuracy, ece and nll (as they are, and with the other half's temperature), temperature
      (fitted on all), temperature_a and temperature_b (where `half` is False, True). A temperature is 1 without
      pictures of both categories. Everything else is NaN without pictures.

    Example:
      >>> logits = np.array([[[2.0, 0], [0, 1], [0, 1], [2, 0]]])
      >>> smiles = fer.Categories(("genuine", "posed"))
      >>> table = member_table(logits, np.array([0, 1, 1, 0]), np.array([False, True, False, True]), smiles)
      >>> table[["pair", "n", "accuracy"]].to_dict("records")
      [{'pair': 'genuine-posed', 'n': 4, 'accuracy': 1.0}]
    """
    own, sides = _own_pictures(labels, logits)
    tempered, fitted = cross_tempered(logits, sides, own, half)
    return pd.DataFrame(
        {
            "pair": [categories.pair_name(pair) for pair in range(categories.num_pairs)],
            "n": own.sum(1),
            "accuracy": member_accuracy(logits, labels),
            "ece": _member_ece(logits, sides, own),
            "ece_calibrated": _member_ece(tempered, sides, own),
            "nll": _member_loss(logits, sides, own),
            "nll_calibrated": _member_loss(tempered, sides, own),
            "temperature": _temperatures(logits, sides, own),
            "temperature_a": fitted[0],
            "temperature_b": fitted[1],
        }
    )


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
      One row a rule and measure: rule, measure, value, low, high (percentile interval), n (pictures that have a
      label). `ece` has no interval, as a resample's is larger on average: its bins hold fewer different pictures.

    Raises:
      UsageError: labels or decisions that are none of the categories.

    Example:
      >>> rules = {"simple_vote": Decisions(np.array([0, 1, 1, 0]), None)}
      >>> smiles = fer.Categories(("genuine", "posed"))
      >>> table = score(rules, np.array([0, 1, 0, 0]), resamples=50, seed=0, categories=smiles)
      >>> table.set_index("measure")["value"].round(3).to_dict()
      {'accuracy': 0.75, 'balanced_accuracy': 0.833, 'macro_f1': 0.733, 'recall_genuine': 0.667, 'recall_posed': 1.0}
    """
    for name, values, low in [
        ("labels", labels, 0),
        *((rule, made.predicted, DROP) for rule, made in decisions.items()),
    ]:
        if np.shape(values) != np.shape(labels) or np.min(values) < low or np.max(values) >= len(categories):
            raise UsageError(
                f"`{name}`: wanted labels ({len(labels)},) from {low} to {len(categories) - 1}, got others."
            )
    whole = _spread(decisions, labels, categories, [np.arange(len(labels))[None]])
    values = {rule: {name: each.item() for name, each in found.items()} for rule, found in whole.items()}
    drawn = intervals.resample_within(stream(seed, _RESAMPLES), labels, resamples=resamples)
    spreads = _spread(decisions, labels, categories, drawn, tell)
    for scored in (values, spreads):
        for rule in decisions.keys() - {REFERENCE}:
            for name in COMPARED:
                scored[rule][f"{name}_minus_{REFERENCE}"] = scored[rule][name] - scored[REFERENCE][name]
    for rule, made in decisions.items():
        if made.shares is not None:
            error = metrics.expected_calibration_error(jnp.asarray(made.shares), jnp.asarray(labels))
            values[rule]["ece"] = error.item()
    rows = []
    for rule, made in decisions.items():
        sizes = np.bincount(labels[made.predicted != DROP], minlength=len(categories))
        rows += _rows(rule, values[rule], spreads[rule], sizes, categories)
    return pd.DataFrame(rows)


def _spread(decisions, labels, categories, blocks, tell=lambda done: None):
    """Compute the measures of every rule, each (R,), on blocks (b, N) of picture numbers that make R resamples."""
    numbered = labels.astype(np.int64) * len(categories)
    # Those without a label are numbered after all cells.
    cells = {
        rule: np.where(made.predicted == DROP, len(categories) ** 2, numbered + made.predicted)
        for rule, made in decisions.items()
    }
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
    """Return confusion counts (R, K, K) of cells (R, N), numbered row by row. The cell after the last is left out."""
    size = classes**2 + 1
    numbered = cells + size * np.arange(len(cells))[:, None]
    counts = np.bincount(numbered.reshape(-1), minlength=size * len(cells)).reshape(-1, size)
    return counts[:, :-1].reshape(-1, classes, classes)


def _of_counts(counts, categories):
    """Compute the measures of confusion counts (R, K, K), each (R,) in float64."""
    measures = _measures(counts.astype(np.int32))
    found: dict[str, np.ndarray] = {name: np.asarray(values, np.float64) for name, values in measures.items()}
    recalls = found.pop("recall")
    return found | {f"recall_{name}": recalls[:, label] for label, name in enumerate(categories)}


def _rows(rule, value, spread, sizes, categories):
    for name, number in value.items():
        low, high = intervals.percentile_interval(spread[name]) if name in spread else (np.nan, np.nan)
        n = sizes[categories.index(name.removeprefix("recall_"))] if name.startswith("recall_") else sizes.sum()
        yield {"rule": rule, "measure": name, "value": number, "low": low, "high": high, "n": int(n)}


def _decide(vote, ballots, logits):
    shares = None if ballots is None else np.asarray(ensemble.ballot_shares(ballots(logits)))
    return Decisions(np.asarray(vote(logits)), shares)


def _weighted(weight, logits):
    ballots = functools.partial(ensemble.weighted_ballots, weight=weight)
    return _decide(functools.partial(ensemble.weighted_vote, weight=weight), ballots, logits)


def _temperatures(logits, labels, where):
    """Fit temperatures (M,), 1 where pictures of fewer than two classes say nothing of doubt."""
    where = where & np.isfinite(logits).all(-1)
    several = [len(np.unique(row[counted])) > 1 for row, counted in zip(labels, where, strict=True)]
    return np.where(several, _fit(logits, labels, where), 1.0)


def _largest(values) -> np.ndarray:
    """Return the label of the largest value of each row, `DROP` where one is not finite."""
    values = np.asarray(values)
    return np.where(np.isfinite(values).all(-1), values.argmax(-1), DROP)


def _own_pictures(labels, logits):
    """Return which pictures are of a member's two categories, and on which side, 0 or 1, of its pair, (M, N) both.

    Pictures whose logits are not finite are none of them.
    """
    first, second = (np.asarray(pairs_of(len(logits)))[:, side, None] for side in range(2))
    own = ((labels == first) | (labels == second)) & np.isfinite(logits).all(-1)
    return own, (labels == second).astype(np.int32)
