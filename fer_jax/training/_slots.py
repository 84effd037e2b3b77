"""A fixed number of slots in which members train side by side, whichever way the platform likes best.

Contract: one compiled step. Members come and go through `load` and `take` without another compilation, and each
member's numbers are the same whatever its neighbours are. Devices exchange nothing but the sums of a shared batch: a
program in which they met by the way could wait for ever for one of them. Only where they belong to several processes
do these also exchange the counters, for all of them must know which members leave.
"""

import collections
import concurrent.futures
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fer_jax import compiler, placement
from fer_jax.cores import usable_cores
from fer_jax.ensemble import default_over_members
from fer_jax.ensemble import over_members as lift
from fer_jax.errors import UsageError, check_count
from fer_jax.training._calls import stepping, steps_in
from fer_jax.training._step import MemberState

_KEY = jax.eval_shape(lambda: jax.random.key(0))
_FLAG = jax.ShapeDtypeStruct((), bool)
_COUNT = jax.ShapeDtypeStruct((), np.int32)
# Calls that may wait on the device where nothing else holds the host back: a program that is to stop ends them first.
_CALLS_WAITING = 2


def _program(step, lift, pictures):
    """Return a call's program: (states, batches, keys, active), with pictures (..., keys, steps, active, pictures)."""
    if pictures is None:
        return lift(step)
    one = stepping(step)

    def call(states, batches, keys, steps, active, pictures):
        return lift(lambda *own: one(*own, pictures))(states, batches, keys, steps, active)

    return call


class _Waiting:
    """Keeps the host no more than some calls before the device."""

    def __init__(self):
        self._calls = collections.deque()
        self._copy = jax.jit(lambda leaf: leaf + 0)  # the states themselves are donated to the next call

    def add(self, states: MemberState) -> None:
        """Note the states that a call returned, and wait for those of an older call."""
        self._calls.append(self._copy(states.step))
        if len(self._calls) > _CALLS_WAITING:
            jax.block_until_ready(self._calls.popleft())


class LoopSlots:
    """Slots as separate trees, stepped by one jitted function of one member. Idle slots cost nothing.

    On a CPU the operators of a small network are too short for several cores. So some members step at the same time,
    each from a thread of its own, with the program and the bits that it would have alone.

    Nothing is donated: updating a ResNet-50 and its Adam in place took a third more time on a CPU than into fresh
    arrays, and saves only one member's.

    Args:
      step: one member's step.
      at_once: members that step at the same time.
      pictures: on the device, see `make_slots`.
    """

    def __init__(self, step: Callable, at_once: int = 1, pictures: Mapping | None = None):
        program, self._pictures = _program(step, lambda function: function, pictures), pictures
        self._step = jax.jit(program, compiler_options=compiler.options())
        self._waiting = _Waiting()
        self._states: dict[int, MemberState] = {}
        self._at_once, self._is_compiled = at_once, False
        self._pool = concurrent.futures.ThreadPoolExecutor(at_once) if at_once > 1 else None
        # Steps that are not known to have ended, the oldest first. No more than two for each thread wait or run, so
        # that a program that wants to stop soon can.
        self._going: dict[int, concurrent.futures.Future] = {}

    def holds(self, slot: int) -> bool:
        """Tell if a slot is on devices of this process, as all are here."""
        del slot
        return True

    def load(self, slot: int, state: MemberState) -> None:
        """Put a member into a slot."""
        self._end(slot)
        self._states[slot] = state

    def take(self, slot: int) -> MemberState:
        """Return the member in a slot, as it is now. It stays as it is while the slot goes on."""
        self._end(slot)
        return self._states[slot]

    def counters(self, slot: int) -> tuple[int, int, float, bool]:
        """Read the counters of a member: correct, seen, loss, bad."""
        return _counters(self.take(slot), lambda leaf: leaf)

    def step(self, batches: Sequence[dict | None], keys: Sequence[jax.Array]) -> None:
        """Step every slot that has a batch. None marks an idle one."""
        for slot, batch in enumerate(batches):
            if batch is None:
                continue
            self._end(slot)
            arguments = self._states[slot], batch, keys[slot], True
            if self._pictures is not None:
                arguments = *arguments[:-1], steps_in(batch), True, self._pictures
            if self._pool is None or not self._is_compiled:  # threads that come first at once would all compile
                self._states[slot], self._is_compiled = self._step(*arguments), True
                if self._pictures is not None:
                    self._waiting.add(self._states[slot])
                continue
            if len(self._going) == 2 * self._at_once:
                self._end(next(iter(self._going)))
            self._going[slot] = self._pool.submit(lambda *given: jax.block_until_ready(self._step(*given)), *arguments)

    def _end(self, slot):
        """Wait for a slot's step, if one is under way."""
        going = self._going.pop(slot, None)
        if going is not None:
            self._states[slot] = going.result()

    def compiled(self, state: MemberState, batch: Mapping) -> jax.stages.Compiled:
        """Return the program of a step, from one member's state and batch or their shapes."""
        return self._step.lower(*_call_like(state, dict(batch), self._pictures)).compile()


class StackedSlots:
    """Slots as one stacked tree on one device, stepped by one program under `lax.map` or `vmap`.

    Idle slots keep their state. Under "map" they cost nothing (a real branch), under "vmap" as much as running ones.
    Both update the stack in place.
    """

    def __init__(self, step: Callable, width: int, how: str, pictures: Mapping | None = None):
        lifted = functools.partial(lift, over_members=how, in_place=True)
        program = _program(step, lifted, pictures)
        self._step = jax.jit(program, donate_argnums=0, compiler_options=compiler.options())
        self._pictures, self._waiting = pictures, _Waiting()
        self._load = jax.jit(placement.set_row("none"), donate_argnums=0)
        self._take = jax.jit(lambda s, i: jax.tree.map(lambda a: a[i], s))
        self._width, self._states = width, None

    def holds(self, slot: int) -> bool:
        """Tell if a slot is on devices of this process, as all are here."""
        del slot
        return True

    def load(self, slot: int, state: MemberState) -> None:
        """Put a member into a slot."""
        if self._states is None:
            self._states = jax.tree.map(self._repeated, state)
        self._states = self._load(self._states, np.int32(slot), state)

    def _repeated(self, leaf):
        return np.broadcast_to(np.asarray(leaf), (self._width, *leaf.shape))

    def take(self, slot: int) -> MemberState:
        """Return the member in a slot, as it is now."""
        return self._take(self._states, np.int32(slot))

    def counters(self, slot: int) -> tuple[int, int, float, bool]:
        """Read the counters of a member: correct, seen, loss, bad."""
        return _counters(self._states, lambda leaf: placement.host_row(leaf, slot))

    def step(self, batches: Sequence[dict | None], keys: Sequence[jax.Array]) -> None:
        """Step every slot that has a batch. An idle one is fed a neighbour's and keeps its state."""
        filler = next(batch for batch in batches if batch is not None)
        full = placement.host_stack([filler if batch is None else batch for batch in batches])
        active = np.asarray([batch is not None for batch in batches])
        if self._pictures is None:
            self._states = self._step(self._states, full, jnp.stack(keys), active)
            return
        steps = np.asarray([0 if batch is None else steps_in(batch) for batch in batches], np.int32)
        self._states = self._step(self._states, full, jnp.stack(keys), steps, active, self._pictures)
        self._waiting.add(self._states)

    def compiled(self, state: MemberState, batch: Mapping) -> jax.stages.Compiled:
        """Return the program of a step of all slots, from one member's state and batch or their shapes."""
        stacked = functools.partial(_rows_like, width=self._width)
        return self._step.lower(*_call_like(state, dict(batch), self._pictures, stacked)).compile()


class DealtSlots:
    """Slots as one stacked tree whose rows are dealt out to devices, perhaps of several processes.

    On each device it is as in `StackedSlots`. Every process calls the same methods in the same order.

    Args:
      step: one member's step.
      width: how many members train side by side. Slots beyond it, up to a multiple of the devices, stay idle.
      how: "map" or "vmap".
      over_devices: "shard_map" or "pmap".
      devices: how many devices to use. All of them by default.
      data_devices: of them, so many share each member's batch.
      meet: waits until all processes are here.
      pictures: on all devices, see `make_slots`.
    """

    def __init__(
        self,
        step: Callable,
        width: int,
        how: str,
        *,
        over_devices: str,
        devices: int | None,
        data_devices: int,
        meet: Callable[[], object] | None = None,
        pictures: Mapping | None = None,
    ):
        where = {"devices": devices, "data_devices": data_devices}
        split = functools.partial(lift, over_members=how, over_devices=over_devices, in_place=True, **where)
        lifted, self._pictures, self._waiting = _program(step, split, pictures), pictures, _Waiting()
        self._rows = placement.row_sharding(over_devices, **where)
        self._batches = placement.row_sharding(over_devices, batch=True, **where)
        # Every program leaves the slots where the next one expects them: moving them would compile it anew.
        keep_there = functools.partial(jax.jit, donate_argnums=0, out_shardings=self._rows)
        self._step = keep_there(lifted, compiler_options=compiler.options())
        self._load = keep_there(placement.set_row(over_devices, **where))
        self._everywhere = placement.everywhere(self._rows)
        self._owners, self._data_devices = placement.num_devices(over_devices, devices) // data_devices, data_devices
        self._width = math.ceil(width / self._owners) * self._owners
        self._held = placement.held_rows(self._rows, self._width)
        self._several, self._meet = jax.process_count() > 1, meet
        self._program: Callable | None = None
        self._counted: Sequence[np.ndarray] | None = None
        self._keys: tuple[list, Any] = ([], None)
        self._states: Any = None

    def holds(self, slot: int) -> bool:
        """Tell if a slot is on devices of this process, so that its state and its batches are to be given here."""
        return slot in self._held

    def load(self, slot: int, state: MemberState) -> None:
        """Put a member into a slot. Where another process holds the slot its state's shapes are enough."""
        state, self._counted = jax.device_get(_filled(state)), None
        if self._states is None:
            self._states = self._put(lambda row: state)
        owner, others = slot // (self._width // self._owners), jax.tree.map(np.zeros_like, state)
        new = placement.put_rows(lambda row: state if row == owner else others, self._owners, self._rows)
        self._states = self._load(self._states, np.int32(slot), new)

    def take(self, slot: int) -> MemberState | None:
        """Return the member in a slot on the host, as it is now.

        None where another process is to give it: the one with the first of the devices that hold it.
        """
        if placement.host_row(self._states.step, slot) is None:
            return None
        return jax.tree.map(lambda leaf: placement.host_row(leaf, slot), self._states)

    def counters(self, slot: int) -> tuple[int, int, float, bool]:
        """Read the counters of a member: correct, seen, loss, bad. All processes read them after the same step."""
        if not self._several:
            return _counters(self._states, lambda leaf: placement.host_row(leaf, slot))
        if self._counted is None:
            self._counted = jax.device_get(self._everywhere(_counters_in(self._states)))
        correct, seen, loss, bad = (leaf[slot].item() for leaf in self._counted)
        return correct, seen, loss, bad

    def step(self, batches: Sequence[dict | None], keys: Sequence[jax.Array]) -> None:
        """Step every slot that has a batch. An idle one (None) is fed a neighbour's and keeps its state.

        Where another process holds a slot the shapes of its batch are enough.
        """
        spare = self._width - len(batches)
        given = [batch for batch in batches if batch is not None]
        filler = _filled(next((batch for batch in given if not _is_shapes(batch)), given[0]))
        full = [filler if batch is None else batch for batch in [*batches, *[None] * spare]]
        active = np.asarray([batch is not None for batch in batches] + [False] * spare)
        arguments = (
            self._states,
            placement.put_rows(lambda row: self._with_positions(full[row]), self._width, self._batches),
            self._placed_keys([*keys, *[keys[0]] * spare]),
            *([] if self._pictures is None else [self._put(lambda row: steps_in(full[row]))]),
            self._put(lambda row: active[row]),
            *([] if self._pictures is None else [self._pictures]),
        )
        self._counted = None
        if self._program is None:
            self._program = self._compiled_together(arguments) if self._several else self._step
        self._states = self._program(*arguments)
        if self._pictures is not None:
            self._waiting.add(self._states)

    def _put(self, row_of):
        return placement.put_rows(row_of, self._width, self._rows)

    def _compiled_together(self, arguments):
        """Compile before processes first wait for each other in a program: some take longer, and waiting is limited."""
        program = self._step.lower(*arguments).compile()
        if self._meet is not None:
            self._meet()
        jax.block_until_ready(self._everywhere(_counters_in(self._states)))
        return program

    def _placed_keys(self, keys):
        """Put the members' keys where their slots are. They change only when a member comes."""
        known, placed = self._keys
        if len(known) != len(keys) or any(one is not other for one, other in zip(known, keys, strict=True)):
            bits = np.asarray(jax.random.key_data(jnp.stack(keys)))
            placed = jax.random.wrap_key_data(self._put(lambda row: bits[row]), impl=jax.random.key_impl(keys[0]))
            self._keys = list(keys), placed
        return placed

    def compiled(self, state: MemberState, batch: Mapping) -> jax.stages.Compiled:
        """Return the program of a step of all slots, from one member's state and batch or their shapes."""
        rows = functools.partial(_rows_like, width=self._width, sharding=self._rows)
        fed = functools.partial(_rows_like, width=self._width, sharding=self._batches)
        like = _call_like(state, self._with_positions(dict(batch)), self._pictures, rows, fed)
        return self._step.lower(*like).compile()

    def _with_positions(self, batch):
        """Add each picture's place in the whole batch where devices share it."""
        if self._data_devices == 1:
            return batch
        shape = batch["labels"].shape  # of a call with several steps (B, K)
        places = np.arange(shape[0], dtype=np.int32).reshape(-1, *[1] * (len(shape) - 1))
        return batch | {"position": np.broadcast_to(places, shape)}


def _counters_in(state):
    return state.correct, state.seen, state.loss, state.bad


def _counters(state, of):
    correct, seen, loss, bad = (np.asarray(of(leaf)).item() for leaf in _counters_in(state))
    return correct, seen, loss, bad


def _is_shapes(tree) -> bool:
    return any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(tree))


def _filled(tree):
    """Fill shapes with zeros. Arrays stay."""
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype) if _is_shapes(leaf) else leaf, tree)


def _call_like(state, batch, pictures, rows=lambda tree: tree, fed=None):
    """Return the shapes of a call's arguments. Pictures are there already."""
    own, shown = ((_KEY, _FLAG), ()) if pictures is None else ((_KEY, _COUNT, _FLAG), (pictures,))
    return rows(state), (fed or rows)(batch), *rows(own), *shown


def _rows_like(tree, width, sharding=None):
    """Return the shapes of a stack of trees."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((width, *leaf.shape), leaf.dtype, sharding=sharding), tree)


def default_at_once(width: int, platform: str | None = None) -> int:
    """Return how many members step at the same time in a loop: two for each core of a CPU, one elsewhere.

    Two, as one alone leaves cores idle between its operators (measured).

    Args:
      width: slots, of which no more can step.
      platform: such as "cpu". The default backend's if None.
    """
    if (platform or jax.default_backend()) != "cpu":
        return 1
    return max(1, min(width, 2 * usable_cores()))


def make_slots(
    step: Callable,
    width: int,
    *,
    over_members: str | None = None,
    over_devices: str = "none",
    devices: int | None = None,
    data_devices: int = 1,
    at_once: int | None = None,
    meet: Callable[[], object] | None = None,
    pictures: Mapping[str, jax.Array] | None = None,
) -> LoopSlots | StackedSlots | DealtSlots:
    """Make empty slots for a step function.

    Args:
      step: one member's step, see `make_step`.
      width: how many members train side by side.
      over_members: "loop", "map" or "vmap". Default by platform, "map" where slots are split over devices.
      over_devices: "none", "shard_map" or "pmap", see `placement.over_devices`. Slots beyond `width`, up to a multiple
        of the devices, stay idle.
      devices: how many devices to use. All of them by default.
      data_devices: of them, so many share each member's batch. The step's model then has axis_name `placement.DATA`.
      at_once: with "loop", members that step at the same time, each in working memory of its own. It changes no bit.
        `default_at_once` if None.
      meet: where devices of several processes are split over, waits until all processes are here. Called once, between
        compiling and the first step.
      pictures: a dict of arrays with a leading N, of `placement.put_whole` with the same devices. A batch then is that
        of a call (B, K, ...): `row` int32 (B, K) says which of them each of up to K steps sees, -1 marks columns after
        the last step. The step's own batch has these pictures under their names.

    Returns:
      An object with `holds`, `load`, `take`, `counters` and `step`.

    Raises:
      UsageError: a width or `at_once` below one, an unknown layout, "loop" with a split, more devices than there are,
        or `data_devices` that do not divide them or come without shard_map. Also, pictures with pmap.
    """
    check_count("width", width, 1, what="a number of slots")
    if at_once is None:
        at_once = default_at_once(width)
    check_count("at_once", at_once, 1, what="a number of members")
    how = over_members or default_over_members(over_devices=over_devices)
    if over_devices == "none" and data_devices == 1:
        if how == "loop":
            return LoopSlots(step, at_once, pictures)
        return StackedSlots(step, width, how, pictures)
    if pictures is not None and over_devices == "pmap":
        raise UsageError("`pictures`: wanted none on the device with over_devices='pmap'; use shard_map.")
    where = {"over_devices": over_devices, "devices": devices, "data_devices": data_devices}
    return DealtSlots(step, width, how, meet=meet, pictures=pictures, **where)
