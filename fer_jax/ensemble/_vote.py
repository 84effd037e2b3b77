"""How the two-way decisions of all pairs become one of K labels (paper §5.2).

Contract: logits are float (M, B, 2), one member for each pair of K labels in the order of `Categories.pairs`, so
M = K(K-1)/2. The paper has K = 8 and M = 28. Class 0 is the pair's smaller label. An image outside a member's pair
still gets that member's vote, as in the paper. An image for which a logit is not finite has no ballots (NaN) and no
label (`categories.DROP`).
"""

import jax
import jax.numpy as jnp
import numpy as np

from fer_jax.arrays import as_float
from fer_jax.categories import DROP, num_categories, pairs_of
from fer_jax.errors import UsageError, check_one_of

WEIGHTS = ("max_logit", "softmax", "margin")
TIES = ("weighted", "first")


def ballots(logits: jax.Array) -> jax.Array:
    """Count the votes for each label: one from each of the M members, for its larger logit.

    Args:
      logits: float (M, B, 2).

    Returns:
      float32 (B, K) of whole numbers, each row summing to M.

    Example:
      >>> logits = jnp.asarray([[[2.0, 1.0]], [[3.0, 0.0]], [[0.0, 1.0]]])  # pairs 0-1, 0-2 and 1-2 of three labels
      >>> ballots(logits).tolist()
      [[2.0, 0.0, 1.0]]
    """
    logits = _checked(logits)
    return _tally(logits, jnp.ones(logits.shape[:2], jnp.float32))


def weighted_ballots(logits: jax.Array, *, weight: str = "max_logit") -> jax.Array:
    """Sum the votes for each label, each weighted by the member's certainty.

    Args:
      logits: float (M, B, 2).
      weight: "max_logit" (the paper's: the larger logit itself, which is uncalibrated and may be negative),
        "softmax" (the larger probability) or "margin" (the difference of the two logits). The last two are ours.

    Returns:
      float32 (B, K).

    Raises:
      UsageError: an unknown weight or logits of another shape.

    Example:
      >>> logits = jnp.asarray([[[2.0, 1.0]], [[3.0, 0.0]], [[0.0, 1.0]]])  # pairs 0-1, 0-2 and 1-2 of three labels
      >>> weighted_ballots(logits).tolist()
      [[5.0, 0.0, 1.0]]
    """
    logits = _checked(logits)
    check_one_of("weight", weight, WEIGHTS)
    amounts = {
        "max_logit": lambda: logits.max(-1),
        "softmax": lambda: jax.nn.softmax(logits).max(-1),
        "margin": lambda: jnp.abs(logits[..., 0] - logits[..., 1]),
    }
    return _tally(logits, amounts[weight]())


def probability_ballots(logits: jax.Array, *, temperatures: jax.Array | None = None) -> jax.Array:
    """Sum the members' probabilities for each label: no member decides, both its labels get a share (ours).

    Divided by M this is the voting estimate of Hastie and Tibshirani (1998, Classification by pairwise coupling).

    Args:
      logits: float (M, B, 2).
      temperatures: float (M,), what each member's logits are divided by before the softmax, such as those of
        `metrics.fit_temperature`. None: 1.

    Returns:
      float32 (B, K) in [0, K - 1], each row summing to M.

    Raises:
      UsageError: logits or temperatures of another shape.

    Example:
      >>> logits = jnp.asarray([[[2.0, 1.0]], [[3.0, 0.0]], [[0.0, 1.0]]])  # pairs 0-1, 0-2 and 1-2 of three labels
      >>> [round(votes, 2) for votes in probability_ballots(logits)[0].tolist()]
      [1.68, 0.54, 0.78]
    """
    logits = _checked(logits)
    if temperatures is not None:
        if temperatures.shape != logits.shape[:1]:
            raise UsageError(f"`temperatures`: wanted ({len(logits)},), one for each member, got {temperatures.shape}.")
        logits = logits / temperatures[:, None, None]
    shares = jax.nn.softmax(logits)
    first, second = (jnp.broadcast_to(_pairs(logits)[:, side, None], shares.shape[:2]) for side in range(2))
    return _defined(logits, _by_label(first, shares[..., 0]) + _by_label(second, shares[..., 1]))


def ballot_shares(votes: jax.Array) -> jax.Array:
    """Return ballots as probabilities: each label's part of all votes for an image.

    A label stands in K - 1 of the K(K-1)/2 pairs, so its part of simple, softmax or probability ballots stays near or
    below 2/K (1/4 for eight) however sure the members are. Read as probabilities such shares are underconfident by
    construction.

    Args:
      votes: float (B, K), from any of the ballots.

    Returns:
      float (B, K), rows summing to 1. NaN in a row with a negative vote (`max_logit` can give one), a NaN or none.

    Example:
      >>> ballot_shares(jnp.asarray([[2.0, 1.0, 1.0]])).tolist()
      [[0.5, 0.25, 0.25]]
    """
    total = votes.sum(-1, keepdims=True)
    sound = (votes >= 0).all(-1, keepdims=True) & (total > 0)
    return votes / jnp.where(sound, total, jnp.nan)


def simple_vote(logits: jax.Array, *, tie: str = "weighted") -> jax.Array:
    """Return the label that most members voted for.

    Args:
      logits: float (M, B, 2).
      tie: what decides between labels with equally many votes (the paper is silent): "weighted", the weighted
        ballots among them (ours), or "first", the smallest label.

    Returns:
      int32 (B,), labels 0..K-1, or `DROP` where a logit is not finite.

    Raises:
      UsageError: an unknown rule or logits of another shape.

    Example:
      >>> logits = jnp.asarray([[[2.0, 1.0]], [[3.0, 0.0]], [[0.0, 1.0]]])  # pairs 0-1, 0-2 and 1-2 of three labels
      >>> simple_vote(logits).tolist()
      [0]
    """
    check_one_of("tie", tie, TIES)
    votes = ballots(logits)
    if tie == "first":
        return _winner(votes)
    tied = votes == votes.max(-1, keepdims=True)
    return jnp.where(_known(votes), _winner(jnp.where(tied, weighted_ballots(logits), -jnp.inf)), DROP)


def weighted_vote(logits: jax.Array, *, weight: str = "max_logit") -> jax.Array:
    """Return the label with the largest sum of weighted votes.

    Args:
      logits: float (M, B, 2).
      weight: see `weighted_ballots`.

    Returns:
      int32 (B,), labels 0..K-1, or `DROP` where a logit is not finite.

    Example:
      >>> logits = jnp.asarray([[[2.0, 1.0]], [[3.0, 0.0]], [[0.0, 1.0]]])  # pairs 0-1, 0-2 and 1-2 of three labels
      >>> weighted_vote(logits).tolist()
      [0]
    """
    return _winner(weighted_ballots(logits, weight=weight))


def probability_vote(logits: jax.Array, *, temperatures: jax.Array | None = None) -> jax.Array:
    """Return the label with the largest sum of the members' probabilities (ours).

    Args:
      logits: float (M, B, 2).
      temperatures: see `probability_ballots`.

    Returns:
      int32 (B,), labels 0..K-1, or `DROP` where a logit is not finite.

    Example:
      >>> logits = jnp.asarray([[[2.0, 1.0]], [[3.0, 0.0]], [[0.0, 1.0]]])  # pairs 0-1, 0-2 and 1-2 of three labels
      >>> probability_vote(logits).tolist()
      [0]
    """
    return _winner(probability_ballots(logits, temperatures=temperatures))


def _tally(logits, amounts):
    """Sum amounts (M, B) by the label each member chose."""
    chosen = jnp.take_along_axis(_pairs(logits)[:, None, :], logits.argmax(-1)[..., None], 2)[..., 0]
    return _defined(logits, _by_label(chosen, amounts))


def _defined(logits, votes):
    """Return votes (B, K), NaN for an image with a logit that is not finite, as that member's vote is unknown."""
    return jnp.where(jnp.isfinite(logits).all((0, 2))[:, None], votes, jnp.nan)


def _winner(votes):
    return jnp.where(_known(votes), votes.argmax(-1), DROP).astype(jnp.int32)


def _known(votes):
    return ~jnp.isnan(votes).any(-1)


def _by_label(labels, amounts):
    """Sum amounts (M, B) by label (M, B)."""
    return (jax.nn.one_hot(labels, num_categories(len(labels))) * amounts[..., None]).sum(0)


def _pairs(logits):
    return jnp.asarray(np.asarray(pairs_of(len(logits))), jnp.int32)


def _checked(logits):
    logits = as_float("logits", logits)
    if logits.ndim != 3 or logits.shape[2] != 2:
        raise UsageError(f"`logits`: wanted (M, B, 2), one member for each pair of labels, got {logits.shape}.")
    num_categories(len(logits))
    return logits
