"""The stacked ensemble: many members as one model, on one device or many, and their votes."""

from fer_jax.ensemble._layout import OVER_MEMBERS, default_over_members, over_members
from fer_jax.ensemble._stack import apply, init, member, num_members, stack, unstack
from fer_jax.ensemble._vote import (
    TIES,
    WEIGHTS,
    ballot_shares,
    ballots,
    probability_ballots,
    probability_vote,
    simple_vote,
    weighted_ballots,
    weighted_vote,
)

__all__ = [
    "OVER_MEMBERS",
    "TIES",
    "WEIGHTS",
    "apply",
    "ballot_shares",
    "ballots",
    "default_over_members",
    "init",
    "member",
    "num_members",
    "over_members",
    "probability_ballots",
    "probability_vote",
    "simple_vote",
    "stack",
    "unstack",
    "weighted_ballots",
    "weighted_vote",
]
