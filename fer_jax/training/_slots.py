"""A fixed number of slots in which members train side by side, whichever way the platform likes best.

Contract: one compiled step; members come and go through `load` and `take` without another compilation, and each
member's numbers are the same whatever its neighbours are.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from fer_jax.ensemble import default_over_members
from fer_jax.errors import UsageError
from fer_jax.training._step import MemberState


class LoopSlots:
    """Slots as separate trees, stepped one after another by one jitted function; idle slots cost nothing."""

    def __init__(self, step: Callable, width: int):
        self._step = jax.jit(step, donate_argnums=0)
        self._states: list[MemberState | None] = [None] * width

    def load(self, slot: int, state: MemberState) -> None:
        """Put a member into a slot. Its buffers are copied: stepping donates them."""
        self._states[slot] = jax.tree.map(jnp.copy, state)

    def take(self, slot: int) -> MemberState:
        """The member in a slot, as it is now; safe to keep while the slot goes on."""
        return jax.tree.map(jnp.copy, self._states[slot])

    def step(self, batches: Sequence[dict | None], keys: Sequence[jax.Array]) -> None:
        """Step every slot that has a batch; None marks an idle one."""
        for slot, batch in enumerate(batches):
            if batch is not None:
                self._states[slot] = self._step(self._states[slot], batch, keys[slot], True)


class StackedSlots:
    """Slots as one stacked tree, stepped by one program under `lax.map` or `vmap`; idle slots are frozen."""

    def __init__(self, step: Callable, width: int, how: str):
        lift = jax.vmap(step) if how == "vmap" else lambda *stack: jax.lax.map(lambda one: step(*one), stack)
        self._step = jax.jit(lift, donate_argnums=0)
        self._load = jax.jit(lambda s, i, new: jax.tree.map(lambda a, b: a.at[i].set(b), s, new), donate_argnums=0)
        self._take = jax.jit(lambda s, i: jax.tree.map(lambda a: a[i], s))
        self._width = width
        self._states = None

    def load(self, slot: int, state: MemberState) -> None:
        """Put a member into a slot."""
        if self._states is None:
            self._states = jax.tree.map(lambda leaf: jnp.stack([leaf] * self._width), state)
        self._states = self._load(self._states, jnp.int32(slot), state)

    def take(self, slot: int) -> MemberState:
        """The member in a slot, as it is now."""
        return self._take(self._states, jnp.int32(slot))

    def step(self, batches: Sequence[dict | None], keys: Sequence[jax.Array]) -> None:
        """Step every slot that has a batch; an idle one is fed a neighbour's and keeps its state."""
        filler = next(batch for batch in batches if batch is not None)
        full = [batch if batch is not None else filler for batch in batches]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *full)
        active = jnp.asarray([batch is not None for batch in batches])
        self._states = self._step(self._states, stacked, jnp.stack(keys), active)


def make_slots(step: Callable, width: int, *, over_members: str | None = None) -> LoopSlots | StackedSlots:
    """Empty slots for a step function.

    Args:
      step: one member's step, see `make_step`.
      width: how many members train side by side.
      over_members: "loop", "map" or "vmap"; default by platform.

    Returns:
      An object with `load`, `take` and `step`.

    Raises:
      UsageError: a width below one or an unknown layout.
    """
    how = over_members or default_over_members()
    if width < 1:
        raise UsageError(f"`width`: wanted at least one slot, got {width}.")
    if how == "loop":
        return LoopSlots(step, width)
    if how in ("map", "vmap"):
        return StackedSlots(step, width, how)
    raise UsageError(f"`over_members`: wanted loop, map or vmap, got {how!r}.")
