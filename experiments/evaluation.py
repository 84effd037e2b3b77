"""The decisions of a run's logits under every rule, and the calibration of its networks.

Contract: ensemble logits are (M, N, 2), multiclass logits (N, K), labels (N,) in 0..K-1, `half` bool (N,): temperatures
fitted on the pictures of one half temper those of the other.
"""

import dataclasses
import functools

import jax
import numpy as np
import pandas as pd

from fer_jax import ensemble, metrics
from fer_jax.categories import Categories, pairs_of
from fer_jax.streams import stream

_STREAM = 0  # of the seed

_fit = jax.jit(jax.vmap(lambda logits, labels, where: metrics.fit_temperature(logits, labels, where=where)))
_member_ece = jax.jit(
    jax.vmap(lambda logits, y, own: metrics.expected_calibration_error(jax.nn.softmax(logits), y, where=own))
)
_member_loss = jax.jit(jax.vmap(lambda logits, y, own: metrics.negative_log_likelihood(logits, y, where=own)))


@dataclasses.dataclass(frozen=True)
class Decisions:
    """The decisions of one rule on every picture.

    Attributes:
      predicted: (N,) labels.
      shares: (N, 8) rows summing to 1, None where the rule has no probabilities.
    """

    predicted: np.ndarray
    shares: np.ndarray | None


def split_halves(labels: np.ndarray, seed: int) -> np.ndarray:
    """Draw a random half of the pictures, of each expression and of all, to within one picture: bool (N,)."""
    order = stream(seed, _STREAM).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    half = np.zeros(len(labels), bool)
    half[order[1::2]] = True
    return half


def cross_tempered(logits, labels, where, half) -> tuple[np.ndarray, np.ndarray]:
    """Divide logits by temperatures that were fitted on the other half.

    Args:
      logits: (M, N, K).
      labels: (M, N), each network's classes.
      where: bool (M, N), the pictures a network is fitted on.
      half: bool (N,).

    Returns:
      The tempered logits (M, N, K), and the temperatures (2, M) fitted where `half` is False and where it is True
      (1 where there are pictures of fewer than two classes).
    """
    fitted = np.stack([_temperatures(logits, labels, where & side) for side in (~half, half)])
    other = np.where(half, fitted[0][:, None], fitted[1][:, None])
    return (logits / other[..., None]).astype(np.float32), fitted


def ensemble_decisions(logits: np.ndarray, labels: np.ndarray, half: np.ndarray) -> dict[str, Decisions]:
    """Decide by every vote of M members (paper §5.2: the first two)."""
    own, sides = _own_pictures(labels, len(logits))
    tempered, _ = cross_tempered(logits, sides, own, half)
    return {
        "simple_vote": _decide(ensemble.simple_vote, ensemble.ballots, logits),
        "weighted_vote": _decide(ensemble.weighted_vote, None, logits),  # its ballots may be negative
        "weighted_vote_softmax": _weighted("softmax", logits),
        "weighted_vote_margin": _weighted("margin", logits),
        "probability_vote": _decide(ensemble.probability_vote, ensemble.probability_ballots, logits),
        "calibrated_probability_vote": _decide(ensemble.probability_vote, ensemble.probability_ballots, tempered),
    }


def multiclass_decisions(logits: np.ndarray, labels: np.ndarray, half: np.ndarray) -> dict[str, Decisions]:
    """Decide by the multiclass network, as it is and at the temperature of the other half."""
    tempered, _ = cross_tempered(logits[None], labels[None], np.ones((1, len(labels)), bool), half)
    return {
        name: Decisions(values.argmax(-1), np.asarray(jax.nn.softmax(values)))
        for name, values in (("multiclass", logits), ("calibrated_multiclass", tempered[0]))
    }


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
    """
    own, sides = _own_pictures(labels, len(logits))
    tempered, fitted = cross_tempered(logits, sides, own, half)
    count = own.sum(1)
    right = ((logits.argmax(-1) == sides) & own).sum(1)
    return pd.DataFrame(
        {
            "pair": [categories.pair_name(pair) for pair in range(categories.num_pairs)],
            "n": count,
            "accuracy": np.where(count > 0, right / np.maximum(count, 1), np.nan),
            "ece": _member_ece(logits, sides, own),
            "ece_calibrated": _member_ece(tempered, sides, own),
            "nll": _member_loss(logits, sides, own),
            "nll_calibrated": _member_loss(tempered, sides, own),
            "temperature": _temperatures(logits, sides, own),
            "temperature_a": fitted[0],
            "temperature_b": fitted[1],
        }
    )


def _decide(vote, ballots, logits):
    shares = None if ballots is None else np.asarray(ensemble.ballot_shares(ballots(logits)))
    return Decisions(np.asarray(vote(logits)), shares)


def _weighted(weight, logits):
    ballots = functools.partial(ensemble.weighted_ballots, weight=weight)
    return _decide(functools.partial(ensemble.weighted_vote, weight=weight), ballots, logits)


def _temperatures(logits, labels, where):
    """Fit temperatures (M,), 1 where pictures of fewer than two classes say nothing of doubt."""
    several = [len(np.unique(row[counted])) > 1 for row, counted in zip(labels, where, strict=True)]
    return np.where(several, _fit(logits, labels, where), 1.0)


def _own_pictures(labels, members):
    """Return which pictures are of a member's two categories, and on which side, 0 or 1, of its pair, (M, N) both."""
    first, second = (np.asarray(pairs_of(members))[:, side, None] for side in range(2))
    return (labels == first) | (labels == second), (labels == second).astype(np.int32)
