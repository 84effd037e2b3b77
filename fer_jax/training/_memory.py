"""How many members fit into memory side by side, asked of the compiler."""

import dataclasses
from collections.abc import Callable, Mapping

import jax

from fer_jax.training._step import MemberState


@dataclasses.dataclass(frozen=True)
class StepMemory:
    """What training one member takes, bytes.

    Attributes:
      state: kept for each member: parameters, statistics, the optimiser's state.
      working: while one steps, beside it: activations, gradients and the state to come.
    """

    state: int
    working: int

    def needed(self, slots: int, *, together: bool = False) -> int:
        """Bytes that so many slots take; `together`: they step at the same time (vmap), not one after another."""
        return slots * self.state + (slots if together else 1) * self.working

    def slots_within(self, budget: int, *, together: bool = False) -> int:
        """How many slots a budget of bytes holds, perhaps none."""
        if together:
            return max(0, budget // (self.state + self.working))
        return max(0, (budget - self.working) // self.state)


def step_memory(step: Callable, state: MemberState, batch: Mapping) -> StepMemory:
    """Compile a step for its memory; nothing is computed.

    Args:
      step: one member's step, see `make_step`; without a model that shares its batch over devices.
      state: a member's state, or its `jax.ShapeDtypeStruct`s.
      batch: one batch, or its `jax.ShapeDtypeStruct`s.

    Returns:
      What one member keeps and what its step takes, as this platform's compiler lays it out (0 for the latter where it
      does not tell).
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    flag = jax.ShapeDtypeStruct((), bool)
    made = jax.jit(step).lower(state, dict(batch), key, flag).compile().memory_analysis()
    kept = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return StepMemory(kept, made.temp_size_in_bytes + made.output_size_in_bytes if made else 0)
