"""Training the members: a pure step, what it minimises and sees, slots to run many at once, and the host's loop."""

from fer_jax.training._loop import EpochEnded, Job, MemberLeft, MemberStarted, Stepped, StopRule, Trainer
from fer_jax.training._memory import SlotsMemory, slots_memory
from fer_jax.training._objectives import ForwardPass, cross_entropy
from fer_jax.training._slots import LoopSlots, StackedSlots, default_at_once, make_slots
from fer_jax.training._statistics import population_statistics
from fer_jax.training._step import MemberState, init_state, make_step, variables_of
from fer_jax.training._views import augmented_view, plain_view, revealed_view

__all__ = [
    "EpochEnded",
    "ForwardPass",
    "Job",
    "LoopSlots",
    "MemberLeft",
    "MemberStarted",
    "MemberState",
    "SlotsMemory",
    "StackedSlots",
    "Stepped",
    "StopRule",
    "Trainer",
    "augmented_view",
    "cross_entropy",
    "default_at_once",
    "init_state",
    "make_slots",
    "make_step",
    "plain_view",
    "population_statistics",
    "revealed_view",
    "slots_memory",
    "variables_of",
]
