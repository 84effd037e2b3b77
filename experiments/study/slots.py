"""The number and place of members that train side by side: as asked, as the platform likes, as memory allows."""

import os
import pathlib
from collections.abc import Callable, Mapping

import jax

from experiments.config import StudyConfig
from experiments.study.run import Run
from fer_jax import ensemble, models, placement, training
from fer_jax.errors import UsageError

GIB = 2**30
# Nothing is compiled for where a rough guess takes less than this share of memory: states, and as activations so many
# times the bytes of a batch (a ResNet-50's took 550 times).
_SMALL, _ACTIVATIONS = 0.1, 600


def training_network(run: Run, num_classes: int):
    """Return the network lowered for its layout, with batch statistics over the devices that share a batch."""
    axis = placement.DATA if run.config.data_devices > 1 else None
    return run.network(num_classes, lowering=models.default_lowering(layout(run.config))).clone(axis_name=axis)


def layout(config: StudyConfig) -> str:
    """Return the layout of slots on a device: "loop", "map" or "vmap"."""
    return config.over_members or ensemble.default_over_members(over_devices=config.over_devices)


def slots_of(config: StudyConfig, step: Callable, like: training.MemberState, batch: Mapping, *, members: int) -> dict:
    """Return the arguments of `training.Trainer` that say where members run.

    Args:
      config: its slots, over_members, over_devices, devices, data_devices and memory_gb.
      step: one member's step.
      like: a member's state, or its shapes.
      batch: one batch.
      members: how many are to be trained.

    Raises:
      UsageError: more slots were asked for than memory holds, or it does not hold one.
    """
    everything = members if jax.default_backend() == "cpu" else 1
    where = {
        "over_members": layout(config),
        "over_devices": config.over_devices,
        "devices": config.devices or None,
        "data_devices": config.data_devices,
    }
    rows = placement.num_devices(config.over_devices, where["devices"]) // config.data_devices
    width = _affordable(config, config.slots or max(everything, rows), rows, step, like, batch, where)
    return {"width": width, **where}


def _affordable(config, width, rows, step, like, batch, where) -> int:
    """Return as many slots as wanted, or fewer where nobody asked for a number."""
    budget = int(config.memory_gb * GIB) or free_memory()
    state, fed = (sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)) for tree in (like, batch))
    at_once = width if where["over_members"] == "vmap" else rows
    if width * (state + fed) + at_once * _ACTIVATIONS * fed < _SMALL * budget:
        return width
    memory = training.slots_memory(step, like, batch, **where)
    most = memory.slots_within(budget)
    if most < 1 or config.slots > most:
        wanted = memory.needed(config.slots or 1) / GIB
        flags = "--batch_size" if most < 1 else f"--slots={most} at most, --batch_size"
        raise UsageError(
            f"`--slots`: {config.slots or 1} want {wanted:.1f} GiB, {budget / GIB:.1f} GiB are free; lower {flags}, or "
            "say with --memory_gb what training may take."
        )
    return min(width, most)


def free_memory() -> int:
    """Return the bytes that this device, or the machine of a CPU, can still give."""
    said = jax.local_devices()[0].memory_stats()
    if said and "bytes_limit" in said:
        return said["bytes_limit"] - said.get("bytes_in_use", 0)
    return machine_memory()


def machine_memory(root: str | os.PathLike[str] = "/") -> int:
    """Return the bytes that this process can still take: those Linux has available, or fewer in a control group.

    Args:
      root: where `proc` and the control groups' file systems lie.
    """
    proc = pathlib.Path(root, "proc")
    try:
        told = dict(line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines() if ":" in line)
        free = int(told["MemAvailable"].split()[0]) * 1024  # caches count as free: the kernel gives them up
    except (OSError, KeyError, ValueError):  # no Linux: all there is must do
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(0, min([free, *_left_in_groups(pathlib.Path(root), proc / "self")]))


# Files of a control group by the version of its hierarchy: limits, use, and what of it the kernel would give up.
_GROUP_FILES = {
    "cgroup2": (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    "cgroup": (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


def _left_in_groups(root, process):
    """Yield the bytes that each control group around a process has left. A limit binds all groups below."""
    try:
        mounts = (process / "mountinfo").read_text().splitlines()
        lines = [line.split(":", 2) for line in (process / "cgroup").read_text().splitlines()]
    except OSError:
        return
    paths = {"cgroup" if kinds else "cgroup2": path for _, kinds, path in lines if kinds in ("", *_memory_kinds(kinds))}
    for mount in mounts:
        place, _, system = (part.split() for part in mount.partition(" - "))
        kind = system[0]
        if kind not in paths or (kind == "cgroup" and "memory" not in system[-1].split(",")):
            continue
        # A container sees its own group as the root of the file system, and may see its path outside as well.
        top, path = root / place[4].lstrip("/"), paths[kind]
        inside = path[len(place[3]) :] if place[3] != "/" and path.startswith(place[3]) else path
        group = top / inside.strip("/")
        for one in (group, *(parent for parent in group.parents if parent.is_relative_to(top))):
            yield from _left(one, *_GROUP_FILES[kind])


def _memory_kinds(kinds):
    return [kinds] if "memory" in kinds.split(",") else []


def _left(group, limits, use, spare):
    try:
        used = int((group / use).read_text())
        given_up = dict(line.split() for line in (group / "memory.stat").read_text().splitlines()).get(spare, "0")
    except (OSError, ValueError):  # no such group here, or one without a count
        return
    for name in limits:
        try:
            yield int((group / name).read_text()) - used + int(given_up)
        except (OSError, ValueError):  # "max": no limit
            continue
