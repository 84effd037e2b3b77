"""The number and place of members that train side by side: as asked, as the platform likes, as memory allows."""

import functools
from collections.abc import Callable, Mapping

import jax

from experiments.config import StudyConfig
from experiments.harness.command import sparing_flags
from experiments.harness.hosts import ALONE, Hosts
from experiments.study.run import Run
from fer_jax import ensemble, models, placement, training
from fer_jax.errors import UsageError
from fer_jax.host_memory import available_memory

GIB = 2**30
# Nothing is compiled for where a rough guess takes less than this share of memory: states, and as activations so many
# times the bytes of a batch (a ResNet-50's took 550 times).
_SMALL, _ACTIVATIONS = 0.1, 600


def training_network(run: Run, num_classes: int):
    """Return the network lowered for its layout, with batch statistics over the devices that share a batch."""
    axis = placement.DATA if run.config.data_devices > 1 else None
    # Parts of a batch are a loop.
    place = "map" if run.config.accumulate > 1 and layout(run.config) == "loop" else layout(run.config)
    network = run.network(num_classes, lowering=models.default_lowering(place))
    return network.clone(axis_name=axis, remat=run.config.remat)


def layout(config: StudyConfig) -> str:
    """Return the layout of slots on a device: "loop", "map" or "vmap"."""
    return config.over_members or ensemble.default_over_members(over_devices=config.over_devices)


def layout_of(config: StudyConfig) -> dict:
    """Return the arguments of `training.make_slots` and `training.slots_memory` that say where slots run."""
    return {
        "over_members": layout(config),
        "over_devices": config.over_devices,
        "devices": config.devices or None,
        "data_devices": config.data_devices,
    }


def slots_of(
    config: StudyConfig,
    step: Callable,
    like: training.MemberState,
    batch: Mapping,
    *,
    members: int,
    hosts: Hosts = ALONE,
    memory: Callable[[], training.SlotsMemory] | None = None,
    pictures: Mapping[str, jax.Array] | None = None,
    room: int | None = None,
) -> dict:
    """Return the arguments of `training.Trainer` that say where members run.

    Args:
      config: its slots, over_members, over_devices, devices, data_devices and memory_gb.
      step: one member's step.
      like: a member's state, or its shapes.
      batch: one batch.
      members: how many are to be trained.
      hosts: the processes that train them together.
      memory: tells what slots take, where the caller asks for it as well. By default it is compiled for when wanted.
      pictures: on the device already, of which a batch has rows.
      room: bytes that slots may take, by default all that training may.

    Raises:
      UsageError: more slots were asked for than memory holds, or it does not hold one.
    """
    everything = members if jax.default_backend() == "cpu" else 1
    where = layout_of(config)
    memory = memory or functools.partial(training.slots_memory, step, like, batch, pictures=pictures, **where)
    if pictures is not None:  # as a step sees it
        shown = {
            name: jax.ShapeDtypeStruct((len(batch["row"]), *leaf.shape[1:]), leaf.dtype)
            for name, leaf in pictures.items()
        }
        batch = {**batch, **shown}
    rows = placement.num_devices(config.over_devices, where["devices"]) // config.data_devices
    wanted, room = config.slots or max(everything, rows), memory_of(config) if room is None else room
    width, at_once = _affordable(config, wanted, rows, like, batch, memory, room)
    several = {"width": min(hosts.exchange(width)), "meet": lambda: hosts.exchange("compiled")}
    return {**several, "at_once": at_once, **where}


def _affordable(config, width, rows, like, batch, memory, budget) -> tuple[int, int]:
    """Return as many slots as wanted, or fewer where nobody asked for a number, and how many step at once in a loop."""
    at_once = training.default_at_once(width)
    state, fed = (sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)) for tree in (like, batch))
    working = {"vmap": width, "loop": at_once}.get(layout(config), rows)
    if width * (state + fed) + working * _ACTIVATIONS * fed < _SMALL * budget:
        return width, at_once
    taken = memory()
    most = taken.slots_within(budget)
    if most < 1 or config.slots > most:
        wanted = taken.needed(config.slots or 1) / GIB
        lower = "--batch_size" if most < 1 else f"--slots to {most} or --batch_size"
        raise UsageError(
            f"`--slots`: {config.slots or 1} want {wanted:.1f} GiB, {budget / GIB:.1f} GiB are free; lower "
            f"{lower}, give {sparing_flags()}, or say with --memory_gb what training may take."
        )
    width = min(width, most)
    return width, min(at_once, taken.at_once_within(budget, width))


def roughly_at_once(config: StudyConfig, batch: Mapping) -> int:
    """Return how many members surely may step at the same time in a loop, without a compilation.

    Args:
      config: its slots and memory_gb.
      batch: one batch.
    """
    each = _ACTIVATIONS * sum(leaf.nbytes for leaf in jax.tree.leaves(batch))
    fitting = int(_SMALL * memory_of(config)) // each
    return max(1, min(training.default_at_once(config.slots or fitting), fitting))


def memory_of(config: StudyConfig) -> int:
    """Return the bytes that training may take of a device."""
    return int(config.memory_gb * GIB) or free_memory()


def free_memory() -> int:
    """Return the bytes that this device, or the machine of a CPU, can still give."""
    said = jax.local_devices()[0].memory_stats()
    if said and "bytes_limit" in said:
        return said["bytes_limit"] - said.get("bytes_in_use", 0)
    return available_memory()
