"""The memory that a process can still take: what Linux has available, within the limits of its control groups."""

import os
import pathlib

# Files of a control group by the version of its hierarchy: limits, use, and what of it the kernel would give up.
_GROUP_FILES = {
    "cgroup2": (("memory.max", "memory.high"), "memory.current", "inactive_file"),
    "cgroup": (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
}


def available_memory(root: str | os.PathLike[str] = "/") -> int:
    """Return the bytes that this process can still take.

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
