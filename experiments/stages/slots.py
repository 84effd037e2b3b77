"""How many members train side by side, and where: as asked for, as the platform likes it, as memory allows."""

import os
from collections.abc import Callable, Mapping

import jax

from experiments.config import StudyConfig
from experiments.stages.study import Study
from fer_jax import placement, training
from fer_jax.errors import UsageError
from fer_jax.expressions import NUM_PAIRS

GIB = 2**30
# Members whose states take less than this share of memory all fit, whatever their activations: nothing to compile for.
_SMALL = 0.02


def training_network(study: Study, num_classes: int):
    """The network as it trains: where devices share a batch, it takes batch statistics over all of it."""
    axis = placement.DATA if study.config.data_devices > 1 else None
    return study.network(num_classes).clone(axis_name=axis)


def slots_of(config: StudyConfig, step: Callable, like: training.MemberState, batch: Mapping) -> dict:
    """Arguments of `training.Trainer` that say where members run.

    Args:
      config: its slots, over_members, over_devices, devices, data_devices and memory_gb.
      step: one member's step.
      like: a member's state, or its shapes.
      batch: one batch.

    Raises:
      UsageError: more slots were asked for than memory holds, or it does not hold one.
    """
    everything = NUM_PAIRS if jax.default_backend() == "cpu" else 1
    devices = config.devices or None
    rows = placement.num_devices(config.over_devices, devices) // config.data_devices
    width = config.slots or max(everything, rows)
    # A batch that devices share has no program for one of them alone to be measured.
    if config.data_devices == 1:
        width = _affordable(config, width, rows, step, like, batch)
    return {
        "width": width,
        "over_members": config.over_members,
        "over_devices": config.over_devices,
        "devices": devices,
        "data_devices": config.data_devices,
    }


def _affordable(config, width, rows, step, like, batch) -> int:
    """As many slots as wanted, or fewer where nobody asked for a number."""
    budget = int(config.memory_gb * GIB) or free_memory()
    kept = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(like))
    if width * kept < _SMALL * budget:
        return width
    memory = training.step_memory(step, like, batch)
    # On accelerators the budget is one device's, which holds its share of the slots; on a CPU they share one memory.
    share = 1 if jax.default_backend() == "cpu" else rows
    together = config.over_members == "vmap"
    most = share * memory.slots_within(budget, together=together)
    if most < 1 or config.slots > most:
        wanted = memory.needed(config.slots or 1, together=together) / GIB
        flags = "--batch_size" if most < 1 else f"--slots={most} at most, --batch_size"
        raise UsageError(
            f"`--slots`: {config.slots or 1} want {wanted:.1f} GiB, {budget / GIB:.1f} GiB are free; lower {flags}, or "
            "say with --memory_gb what training may take."
        )
    return min(width, most)


def free_memory() -> int:
    """Bytes that this device, or the machine of a CPU, has free."""
    said = jax.local_devices()[0].memory_stats()
    if said and "bytes_limit" in said:
        return said["bytes_limit"] - said.get("bytes_in_use", 0)
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
