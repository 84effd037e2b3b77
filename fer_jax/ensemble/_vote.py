"""How 28 two-way decisions become one of eight labels (paper §5.2).

Contract: logits are float (28, B, 2) in the order of `EXPRESSIONS.pairs`, class 0 the pair's smaller label. An image
outside a member's pair still gets that member's vote, as in the paper. An image for which a logit is not finite has
no ballots (NaN) and no label (`expressions.DROP`).
"""

import jax
import jax.numpy as jnp
import numpy as np

from fer_jax.arrays import as_float
from fer_jax.errors import UsageError
from fer_jax.expressions import DROP, EXPRESSIONS

WEIGHTS = ("max_logit", "softmax", "margin")
TIES = ("weighted", "first")


def ballots(logits: jax.Array) -> jax.Array:
    """The votes each label gets: one from each of the 28 members, for its larger logit.

    Args:
      logits: float (28, B, 2).

    Returns:
      float32 (B, 8) of whole numbers, each row summing to 28.
    """
    logits = _checked(logits)
    return _tally(logits, jnp.ones(logits.shape[:2], jnp.float32))


def weighted_ballots(logits: jax.Array, *, weight: str = "max_logit") -> jax.Array:
    """The votes each label gets, each counting as much as its member is sure.

    Args:
      logits: float (28, B, 2).
      weight: "max_logit" (the paper's: the larger logit itself, which is uncalibrated and may be negative),
        "softmax" (the larger probability) or "margin" (the difference of the two logits); the last two are ours.

    Returns:
      float32 (B, 8).

    Raises:
      UsageError: an unknown weight or logits of another shape.
    """
    logits = _checked(logits)
    if weight not in WEIGHTS:
        raise UsageError(f"`weight`: wanted one of {', '.join(WEIGHTS)}, got {weight!r}.")
    amounts = {
        "max_logit": lambda: logits.max(-1),
        "softmax": lambda: jax.nn.softmax(logits).max(-1),
        "margin": lambda: jnp.abs(logits[..., 0] - logits[..., 1]),
    }
    return _tally(logits, amounts[weight]())


def probability_ballots(logits: jax.Array, *, temperatures: jax.Array | None = None) -> jax.Array:
    """The votes each label gets when no member decides: its probabilities go to both of its labels (ours).

    Divided by 28 this is the voting estimate of Hastie and Tibshirani (1998, Classification by pairwise coupling).

    Args:
      logits: float (28, B, 2).
      temperatures: float (28,), what each member's logits are divided by before the softmax, such as those of
        `metrics.fit_temperature`; None: 1.

    Returns:
      float32 (B, 8) in [0, 7], each row summing to 28.

    Raises:
      UsageError: logits or temperatures of another shape.
    """
    logits = _checked(logits)
    if temperatures is not None:
        if temperatures.shape != (EXPRESSIONS.num_pairs,):
            raise UsageError(
                f"`temperatures`: wanted ({EXPRESSIONS.num_pairs},), one for each member, got {temperatures.shape}."
            )
        logits = logits / temperatures[:, None, None]
    shares = jax.nn.softmax(logits)
    first, second = (jnp.broadcast_to(_pairs()[:, side, None], shares.shape[:2]) for side in range(2))
    return _defined(logits, _by_label(first, shares[..., 0]) + _by_label(second, shares[..., 1]))


def ballot_shares(votes: jax.Array) -> jax.Array:
    """Ballots as probabilities: each label's part of all votes for an image.

    A label stands in 7 of the 28 pairs, so its part of simple, softmax or probability ballots stays near or below
    1/4 however sure the members are: read as probabilities such shares are underconfident by construction.

    Args:
      votes: float (B, 8), from any of the ballots.

    Returns:
      float (B, 8), rows summing to 1; NaN in a row with a negative vote (`max_logit` can give one), a NaN or none.
    """
    total = votes.sum(-1, keepdims=True)
    sound = (votes >= 0).all(-1, keepdims=True) & (total > 0)
    return votes / jnp.where(sound, total, jnp.nan)


def simple_vote(logits: jax.Array, *, tie: str = "weighted") -> jax.Array:
    """The label most members voted for.

    Args:
      logits: float (28, B, 2).
      tie: what decides between labels with equally many votes (the paper is silent): "weighted", the weighted
        ballots among them (ours), or "first", the smallest label.

    Returns:
      int32 (B,), indices into `expressions.EXPRESSIONS`; `DROP` where a logit is not finite.

    Raises:
      UsageError: an unknown rule or logits of another shape.
    """
    if tie not in TIES:
        raise UsageError(f"`tie`: wanted one of {', '.join(TIES)}, got {tie!r}.")
    votes = ballots(logits)
    if tie == "first":
        return _winner(votes)
    tied = votes == votes.max(-1, keepdims=True)
    return jnp.where(_known(votes), _winner(jnp.where(tied, weighted_ballots(logits), -jnp.inf)), DROP)


def weighted_vote(logits: jax.Array, *, weight: str = "max_logit") -> jax.Array:
    """The label with the largest sum of weighted votes.

    Args:
      logits: float (28, B, 2).
      weight: see `weighted_ballots`.

    Returns:
      int32 (B,), indices into `expressions.EXPRESSIONS`; `DROP` where a logit is not finite.
    """
    return _winner(weighted_ballots(logits, weight=weight))


def probability_vote(logits: jax.Array, *, temperatures: jax.Array | None = None) -> jax.Array:
    """The label with the largest sum of the members' probabilities (ours).

    Args:
      logits: float (28, B, 2).
      temperatures: see `probability_ballots`.

    Returns:
      int32 (B,), indices into `expressions.EXPRESSIONS`; `DROP` where a logit is not finite.
    """
    return _winner(probability_ballots(logits, temperatures=temperatures))


def _tally(logits, amounts):
    """Sum amounts (28, B) by the label each member chose."""
    chosen = jnp.take_along_axis(_pairs()[:, None, :], logits.argmax(-1)[..., None], 2)[..., 0]
    return _defined(logits, _by_label(chosen, amounts))


def _defined(logits, votes):
    """Votes (B, 8), NaN for an image with a logit that is not finite: nobody knows what that member would say."""
    return jnp.where(jnp.isfinite(logits).all((0, 2))[:, None], votes, jnp.nan)


def _winner(votes):
    return jnp.where(_known(votes), votes.argmax(-1), DROP).astype(jnp.int32)


def _known(votes):
    return ~jnp.isnan(votes).any(-1)


def _by_label(labels, amounts):
    """Sum amounts (28, B) by label (28, B)."""
    return (jax.nn.one_hot(labels, len(EXPRESSIONS)) * amounts[..., None]).sum(0)


def _pairs():
    return jnp.asarray(np.asarray(EXPRESSIONS.pairs), jnp.int32)


def _checked(logits):
    logits = as_float("logits", logits)
    if logits.ndim != 3 or logits.shape[0] != EXPRESSIONS.num_pairs or logits.shape[2] != 2:
        raise UsageError(
            f"`logits`: wanted ({EXPRESSIONS.num_pairs}, B, 2), one member for each pair, got {logits.shape}."
        )
    return logits
