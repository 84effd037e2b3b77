"""A fixed number of slots in which members train side by side, whichever way the platform likes best.

Contract: one compiled step. Members come and go through `load` and `take` without another compilation, and each
member's numbers are the same whatever its neighbours are. Devices exchange nothing but the sums of a shared batch: a
program in which they met by the way could wait for ever for one of them.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fer_jax import placement
from fer_jax.ensemble import default_over_members
from fer_jax.ensemble import over_members as lift
from fer_jax.errors import check_count
from fer_jax.training._step import MemberState

_KEY = jax.eval_shape(lambda: jax.random.key(0))
_FLAG = jax.ShapeDtypeStruct((), bool)


class LoopSlots:
    """Slots as separate trees, stepped one after another by one jitted function. Idle slots cost nothing.

    Nothing is donated: updating a ResNet-50 and its Adam in place took a third more time on a CPU than into fresh
    arrays, and saves only one member's.
    """

    def __init__(self, step: Callable):
        self._step = jax.jit(step)
        self._states: dict[int, MemberState] = {}

    def load(self, slot: int, state: MemberState) -> None:
        """Put a member into a slot."""
        self._states[slot] = state

    def take(self, slot: int) -> MemberState:
        """Return the member in a slot, as it is now. It stays as it is while the slot goes on."""
        return self._states[slot]

    def counters(self, slot: int) -> tuple[int, int, float, bool]:
        """Read the counters of a member: correct, seen, loss, bad."""
        return _counters(self._states[slot], lambda leaf: leaf)

    def step(self, batches: Sequence[dict | None], keys: Sequence[jax.Array]) -> None:
        """Step every slot that has a batch. None marks an idle one."""
        for slot, batch in enumerate(batches):
            if batch is not None:
                self._states[slot] = self._step(self._states[slot], batch, keys[slot], True)

    def compiled(self, state: MemberState, batch: Mapping) -> jax.stages.Compiled:
        """Return the program of a step, from one member's state and batch or their shapes."""
        return self._step.lower(state, dict(batch), _KEY, _FLAG).compile()


class StackedSlots:
    """Slots as one stacked tree, stepped by one program under `lax.map` or `vmap`, on one device or dealt out to many.

    Idle slots keep their state. Under "map" they cost nothing (a real branch), under "vmap" as much as running ones.
    Both update the stack in place.
    """

    def __init__(
        self,
        step: Callable,
        width: int,
        how: str,
        *,
        over_devices: str = "none",
        devices: int | None = None,
        data_devices: int = 1,
    ):
        lifted = lift(
            step,
            over_members=how,
            over_devices=over_devices,
            devices=devices,
            data_devices=data_devices,
            in_place=True,
        )
        # Every program leaves the slots where the next one expects them: moving them would compile it anew.
        place = functools.partial(placement.row_sharding, over_devices, devices, data_devices=data_devices)
        write = placement.set_row(over_devices, devices, data_devices=data_devices)
        self._rows, self._batches, self._data_devices = place(), place(batch=True), data_devices
        keep_there = functools.partial(jax.jit, donate_argnums=0, out_shardings=self._rows)
        self._step = keep_there(lifted)
        self._load = keep_there(write)
        self._take = jax.jit(lambda s, i: jax.tree.map(lambda a: a[i], s))
        count = placement.num_devices(over_devices, devices) // data_devices
        self._width = math.ceil(width / count) * count
        self._states = None

    def load(self, slot: int, state: MemberState) -> None:
        """Put a member into a slot."""
        if self._rows is not None:
            state = jax.device_get(state)
        if self._states is None:
            self._states = _placed(jax.tree.map(self._repeated, state), self._rows)
        self._states = self._load(self._states, np.int32(slot), state)

    def take(self, slot: int) -> MemberState:
        """Return the member in a slot, as it is now. On the host where slots are dealt out to devices."""
        if self._rows is None:
            return self._take(self._states, np.int32(slot))
        return jax.tree.map(lambda leaf: placement.host_row(leaf, slot), self._states)

    def counters(self, slot: int) -> tuple[int, int, float, bool]:
        """Read the counters of a member: correct, seen, loss, bad."""
        return _counters(self._states, lambda leaf: placement.host_row(leaf, slot))

    def _repeated(self, leaf):
        return np.broadcast_to(np.asarray(leaf), (self._width, *leaf.shape))

    def step(self, batches: Sequence[dict | None], keys: Sequence[jax.Array]) -> None:
        """Step every slot that has a batch. An idle one is fed a neighbour's and keeps its state."""
        filler = next(batch for batch in batches if batch is not None)
        spare = self._width - len(batches)
        full = [filler if batch is None else batch for batch in [*batches, *[None] * spare]]
        stacked = self._with_positions(placement.host_stack(full))
        active = np.asarray([batch is not None for batch in batches] + [False] * spare)
        every = _placed((jnp.stack([*keys, *[keys[0]] * spare]), active), self._rows)
        self._states = self._step(self._states, _placed(stacked, self._batches), *every)

    def compiled(self, state: MemberState, batch: Mapping) -> jax.stages.Compiled:
        """Return the program of a step of all slots, from one member's state and batch or their shapes."""

        def rows(tree, sharding):
            return jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct((self._width, *leaf.shape), leaf.dtype, sharding=sharding), tree
            )

        batches = rows(self._with_positions(dict(batch)), self._batches)
        return self._step.lower(rows(state, self._rows), batches, *rows((_KEY, _FLAG), self._rows)).compile()

    def _with_positions(self, batch):
        """Add each picture's place in the whole batch where devices share it."""
        if self._data_devices == 1:
            return batch
        shape = batch["labels"].shape
        return batch | {"position": np.broadcast_to(np.arange(shape[-1], dtype=np.int32), shape)}


def _counters(state, of):
    correct, seen, loss, bad = (
        np.asarray(of(leaf)).item() for leaf in (state.correct, state.seen, state.loss, state.bad)
    )
    return correct, seen, loss, bad


def _placed(tree, sharding):
    return tree if sharding is None else jax.device_put(tree, sharding)


def make_slots(
    step: Callable,
    width: int,
    *,
    over_members: str | None = None,
    over_devices: str = "none",
    devices: int | None = None,
    data_devices: int = 1,
) -> LoopSlots | StackedSlots:
    """Make empty slots for a step function.

    Args:
      step: one member's step, see `make_step`.
      width: how many members train side by side.
      over_members: "loop", "map" or "vmap". Default by platform, "map" where slots are split over devices.
      over_devices: "none", "shard_map" or "pmap", see `placement.over_devices`. Slots beyond `width`, up to a multiple
        of the devices, stay idle.
      devices: how many of the local devices to use. All of them by default.
      data_devices: of them, so many share each member's batch. The step's model then has axis_name `placement.DATA`.

    Returns:
      An object with `load`, `take`, `counters` and `step`.

    Raises:
      UsageError: a width below one, an unknown layout, "loop" with a split, more devices than there are, or
        `data_devices` that do not divide them or come without shard_map.
    """
    check_count("width", width, 1, what="a number of slots")
    how = over_members or default_over_members(over_devices=over_devices)
    if how == "loop" and over_devices == "none" and data_devices == 1:
        return LoopSlots(step)
    return StackedSlots(step, width, how, over_devices=over_devices, devices=devices, data_devices=data_devices)
