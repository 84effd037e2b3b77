"""How many members fit into memory side by side, asked of the compiler."""

import dataclasses
from collections.abc import Callable, Mapping

import jax

from fer_jax import placement
from fer_jax.ensemble import default_over_members
from fer_jax.training._slots import make_slots
from fer_jax.training._step import MemberState


@dataclasses.dataclass(frozen=True)
class SlotsMemory:
    """What slots take in one layout, bytes on one device.

    Attributes:
      kept: for each slot: parameters, statistics, the optimiser's state and, in a stack, its batch.
      working: while one slot steps, beside it: activations, gradients and the state to come.
      together: whether all slots of a device step at the same time (vmap), each with `working` of its own.
      rows: devices that have slots of their own, at least 1.
      sharers: devices that share one memory: all of a CPU's, otherwise 1.
    """

    kept: int
    working: int
    together: bool = False
    rows: int = 1
    sharers: int = 1

    def needed(self, slots: int, *, at_once: int = 1) -> int:
        """Return the bytes that so many slots take of one memory, where a loop steps `at_once` at the same time."""
        own = -(-slots // self.rows)
        return self.sharers * (own * self.kept + (own if self.together else at_once) * self.working)

    def slots_within(self, budget: int) -> int:
        """Return how many slots a memory of `budget` bytes holds, perhaps none."""
        mine = budget // self.sharers
        own = mine // (self.kept + self.working) if self.together else (mine - self.working) // self.kept
        return self.rows * max(0, own)

    def at_once_within(self, budget: int, slots: int) -> int:
        """Return how many of `slots` members a loop may step at the same time in a memory of `budget` bytes."""
        spare = budget - self.needed(slots)
        return max(1, min(slots, 1 + spare // self.working if self.working else slots))


def slots_memory(
    step: Callable,
    state: MemberState,
    batch: Mapping,
    *,
    over_members: str | None = None,
    over_devices: str = "none",
    devices: int | None = None,
    data_devices: int = 1,
    pictures: Mapping[str, jax.Array] | None = None,
) -> SlotsMemory:
    """Compile a step of slots for its memory. Nothing is computed.

    Args:
      step: one member's step, see `make_step`.
      state: a member's state, or its `jax.ShapeDtypeStruct`s.
      batch: one batch, or its `jax.ShapeDtypeStruct`s.
      over_members: how slots run, see `make_slots`.
      over_devices: how they are split over devices, see `make_slots`.
      devices: how many devices to use.
      data_devices: of them, how many share each member's batch.
      pictures: on the device, of which a batch has rows, see `make_slots`. They are not counted.

    Returns:
      What slots of this layout take, as this platform's compiler lays it out (nothing for `working` where it does not
      tell).

    Raises:
      UsageError: a layout that cannot be.
    """
    used = placement.num_devices(over_devices, devices)
    rows = used // data_devices
    how = over_members or default_over_members(over_devices=over_devices)
    # Two slots a device: of one alone the compiler would make something else than a loop.
    slots = make_slots(
        step,
        2 * rows,
        over_members=how,
        over_devices=over_devices,
        devices=devices,
        data_devices=data_devices,
        pictures=pictures,
    )
    if pictures is not None:  # one step is as large as several
        batch = {
            name: jax.ShapeDtypeStruct((len(leaf), 1, *leaf.shape[1:]), leaf.dtype) for name, leaf in batch.items()
        }
    made = slots.compiled(state, batch).memory_analysis()
    kept, fed = _bytes(state), _bytes(batch)
    sharers = -(-used // jax.process_count()) if jax.default_backend() == "cpu" else 1
    if how == "loop":
        working = fed + made.temp_size_in_bytes + made.output_size_in_bytes if made else 0
        return SlotsMemory(kept, working)
    temporary = made.temp_size_in_bytes if made else 0
    together = how == "vmap"
    return SlotsMemory(kept + fed // data_devices, temporary // 2 if together else temporary, together, rows, sharers)


def _bytes(tree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
