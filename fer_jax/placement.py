"""A leading axis of members or images, dealt out to devices. Meshes and shardings are made here and nowhere else.

Contract: rows never talk, so no split needs a collective. It is always a `shard_map` (or `pmap`) and never left to
`jit`: partitioning a vmapped member axis automatically returns wrong 1×1 convolutions without a word (openxla/xla
issues 47945 and 48086).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from fer_jax.errors import UsageError

OVER_DEVICES = ("none", "shard_map", "pmap")


def over_devices(function: Callable, *, how: str, devices: int | None = None) -> Callable:
    """Split a function of rows over devices.

    Args:
      function: (*trees) -> tree of arrays, every leaf with leading axis N, for any N: row i of the result depends on
        row i of the arguments only. What it closes over goes to every device.
      how: "none", "shard_map" or "pmap".
      devices: how many of the local devices to use; all of them by default.

    Returns:
      The same function. N is padded to a multiple of the devices by repeating the first row, and cut again.

    Raises:
      UsageError: an unknown split, or more devices than there are.
    """
    if how not in OVER_DEVICES:
        raise UsageError(f"`over_devices`: wanted one of {', '.join(OVER_DEVICES)}, got {how!r}.")
    if how == "none":
        return function
    count = num_devices(how, devices)
    return _padded((_shard_mapped if how == "shard_map" else _pmapped)(function, count), count)


def num_devices(how: str, devices: int | None = None) -> int:
    """How many devices a split uses: 1 for "none".

    Raises:
      UsageError: more devices than there are.
    """
    if how == "none":
        return 1
    count = jax.local_device_count() if devices is None else devices
    if not 1 <= count <= jax.local_device_count():
        raise UsageError(f"`devices`: wanted 1..{jax.local_device_count()}, got {devices}.")
    return count


def row_sharding(how: str, devices: int | None = None) -> NamedSharding | None:
    """Where a split keeps its rows, to place arguments and results there beforehand; None where nothing is split.

    It only places: what splits the computation is `over_devices`.
    """
    return None if how == "none" else NamedSharding(_mesh(num_devices(how, devices)), PartitionSpec("row"))


def _mesh(count):
    return jax.make_mesh((count,), ("row",), axis_types=(AxisType.Auto,), devices=jax.local_devices()[:count])


def _shard_mapped(function, count):
    spec = PartitionSpec("row")

    def split(*trees):
        # Loops inside start from constants, which the check would want marked as differing from device to device.
        return jax.shard_map(function, mesh=_mesh(count), in_specs=spec, out_specs=spec, check_vma=False)(*trees)

    return jax.jit(split)


def _pmapped(function, count):
    mapped = jax.pmap(lambda trees: function(*trees), axis_name="row", devices=jax.local_devices()[:count])

    def split(*trees):
        dealt = jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), trees)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), mapped(dealt))

    return split


def _padded(split, count):
    def call(*trees):
        rows = jax.tree.leaves(trees)[0].shape[0]
        spare = -rows % count
        index = jnp.concatenate([jnp.arange(rows), jnp.zeros(spare, jnp.int32)])
        full = jax.tree.map(lambda leaf: jnp.take(jnp.asarray(leaf), index, axis=0), trees) if spare else trees
        return jax.tree.map(lambda leaf: leaf[:rows], split(*full))

    return call
