"""A leading axis of members or images, dealt out to devices. Meshes and shardings are made here and nowhere else.

Under `jax.distributed` the devices are those of all processes, and all of them call the same functions in the same
order. Rows lie on the devices of one process after those of another.

Contract: rows never talk, so no split needs a collective. It is always a `shard_map` (or `pmap`) and never left to
`jit`: partitioning a vmapped member axis automatically returns wrong 1×1 convolutions without a word
(tests/ensemble/test_stack.py reproduces it, and fails once it is mended).
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from fer_jax.errors import UsageError, check_one_of

OVER_DEVICES = ("none", "shard_map", "pmap")
ROW, DATA = "row", "data"  # axes of every mesh: members or images, and a member's batch


def over_devices(function: Callable, *, how: str, devices: int | None = None) -> Callable:
    """Split a function of rows over devices.

    Args:
      function: (*trees) -> tree of arrays, every leaf with leading axis N, for any N: row i of the result depends on
        row i of the arguments only. What it closes over goes to every device.
      how: "none", "shard_map" or "pmap".
      devices: how many devices to use. All of them by default.

    Returns:
      The same function. N is padded to a multiple of the devices by repeating the first row, and cut again. With
      "none", rows that lie dealt out on a caller's mesh stay there, one with Explicit axes (the default of
      `jax.make_mesh`) included.

    Raises:
      UsageError: an unknown split, or more devices than there are. Also, when called, a split of arrays that lie on a
        caller's mesh with Explicit axes.
    """
    check_one_of("over_devices", how, OVER_DEVICES)
    if how == "none":
        return _off_explicit_axes(function)
    count = num_devices(how, devices)
    return _padded((_shard_mapped if how == "shard_map" else _pmapped)(function, count), count)


def over_grid(function: Callable, *, data_argument: int, data_devices: int, devices: int | None = None) -> Callable:
    """Split rows, and the pictures of each row's batch, over a grid of devices by `shard_map`.

    Args:
      function: (*trees) -> tree. Every leaf has leading axis N, a multiple of the grid's rows. Inside, axis `DATA` is
        bound: results must be equal along it, by a `lax.pmean` of the loss *before* it is differentiated (afterwards
        the gradient would come out too large by the number of devices).
      data_argument: the argument whose leaves are (N, B, ...) and are split along B too.
      data_devices: devices that share a row's batch. B and the devices are multiples of it.
      devices: how many devices to use. All of them by default.

    Returns:
      The function, split.

    Raises:
      UsageError: devices that do not divide.
    """
    mesh = _grid(num_devices("shard_map", devices), data_devices)

    def split(*trees):
        specs = tuple(PartitionSpec(ROW, DATA) if i == data_argument else PartitionSpec(ROW) for i in range(len(trees)))
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(ROW))(*trees)

    return split


def num_devices(how: str, devices: int | None = None) -> int:
    """Count the devices that a split uses: 1 for "none".

    Raises:
      UsageError: more devices than there are, or some of those of several processes, or pmap over several.
    """
    if how == "none":
        return 1
    there = jax.device_count()
    count = there if devices is None else devices
    if not 1 <= count <= there:
        raise UsageError(f"`devices`: wanted 1..{there}, got {devices}.")
    if jax.process_count() > 1 and count < there:
        raise UsageError(f"`devices`: wanted all {there} of {jax.process_count()} processes, got {devices}.")
    if jax.process_count() > 1 and how == "pmap":
        raise UsageError(f"`over_devices`: wanted shard_map over {jax.process_count()} processes, got pmap.")
    return count


def row_sharding(how: str, devices: int | None = None, *, data_devices: int = 1, batch: bool = False) -> NamedSharding:
    """Return the sharding of a split's rows, to place arrays beforehand.

    It only places: what splits the computation is `over_devices` or `over_grid`.

    Args:
      how: "shard_map" or "pmap".
      devices: how many devices are used.
      data_devices: of them, those that share a row's batch.
      batch: the arrays are (N, B, ...), split along B too.
    """
    spec = PartitionSpec(ROW, DATA) if batch else PartitionSpec(ROW)
    return NamedSharding(_grid(num_devices(how, devices), data_devices), spec)


@functools.lru_cache(maxsize=64)  # asked for at every step
def held_rows(sharding: NamedSharding, rows: int) -> frozenset[int]:
    """Return the rows of an array of so many rows that lie on devices of this process, perhaps a share of each."""
    of_rows = NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[0]))
    parts = of_rows.addressable_devices_indices_map((rows,)).values()
    return frozenset(row for part in parts if part for row in range(*part[0].indices(rows)))


def put_rows(row_of: Callable[[int], Any], rows: int, sharding: NamedSharding) -> Any:
    """Put rows where a sharding wants them, each process those that its devices hold.

    Args:
      row_of: row -> a tree of NumPy arrays, asked once for each row that lies here.
      rows: how many there are.
      sharding: of `row_sharding`.

    Returns:
      A tree of arrays, each with leading axis `rows`.
    """
    held = {row: jax.tree.flatten(row_of(row)) for row in sorted(held_rows(sharding, rows))}
    leaves, tree = next(iter(held.values()))

    def put(at, like):
        def part(index):
            first, *rest = index
            return np.stack([np.asarray(held[row][0][at])[tuple(rest)] for row in range(*first.indices(rows))])

        return jax.make_array_from_callback((rows, *like.shape), sharding, part)

    return jax.tree.unflatten(tree, [put(at, leaf) for at, leaf in enumerate(leaves)])


def put_whole(
    parts: Iterable[np.ndarray], rows: int, how: str, devices: int | None = None, *, data_devices: int = 1
) -> jax.Array:
    """Put an array on every device of a split, part by part, so that the host never holds all of it.

    Args:
      parts: its rows, in order, as stacks (n, ...) of one kind. Every process gives the same ones.
      rows: how many there are, N.
      how: "none", "shard_map" or "pmap".
      devices: how many devices to use.
      data_devices: of them, those that share a row's batch.

    Returns:
      (N, ...), of the parts' type.

    Raises:
      UsageError: another number of rows than was said.
    """
    where = None
    if how != "none":
        where = NamedSharding(_grid(num_devices(how, devices), data_devices), PartitionSpec())
    fill = jax.jit(
        lambda whole, part, at: jax.lax.dynamic_update_slice_in_dim(whole, part, at, 0),
        donate_argnums=0,
        out_shardings=where,
    )
    empty = jax.jit(lambda shape, dtype: jnp.zeros(shape, dtype), static_argnums=(0, 1), out_shardings=where)
    whole, at = None, 0
    for part in parts:
        if whole is None:
            whole = empty((rows, *part.shape[1:]), part.dtype)
        if at + len(part) > rows:
            raise UsageError(f"`parts`: wanted {rows} rows, got more.")
        whole, at = jax.block_until_ready(fill(whole, part, np.int32(at))), at + len(part)
    if at != rows or whole is None:
        raise UsageError(f"`parts`: wanted {rows} rows, got {at}.")
    return whole


def set_row(how: str, devices: int | None = None, *, data_devices: int = 1) -> Callable:
    """Return a function (stack, row, new) -> stack that replaces one row of every leaf, each device by itself.

    Left to `jit`, an index that is known only at run time makes devices exchange their rows.

    Args:
      how: "none", "shard_map" or "pmap". Where rows are split `new` is a stack of one row for each device that has rows
        of its own, of which the device of the row takes its own.
      devices: how many devices hold the stack.
      data_devices: of them, those that share a row's batch, and so hold the same rows.
    """
    if how == "none":
        return lambda stack, row, new: jax.tree.map(lambda leaf, value: leaf.at[row].set(value), stack, new)

    def write(stack, row, new):
        def one(leaf, value):
            here = row - jax.lax.axis_index(ROW) * leaf.shape[0]
            # A row of another device's is written beyond the end, which drops it.
            return leaf.at[jnp.where(here < 0, leaf.shape[0], here)].set(value[0], mode="drop")

        return jax.tree.map(one, stack, new)

    rows, whole = PartitionSpec(ROW), PartitionSpec()
    mesh = _grid(num_devices(how, devices), data_devices)
    return jax.shard_map(write, mesh=mesh, in_specs=(rows, whole, rows), out_specs=rows, check_vma=False)


def everywhere(sharding: NamedSharding) -> Callable:
    """Return a program that gives each device all rows of a tree: the one in which devices exchange rows."""
    return jax.jit(lambda tree: tree, out_shardings=NamedSharding(sharding.mesh, PartitionSpec()))


def on_each_device(tree: Any, how: str, devices: int | None = None) -> list[tuple[jax.Device | None, Any]]:
    """Copy what all rows need to each device of this process that a split uses, for programs that run on one by itself.

    Args:
      tree: of arrays.
      how: "none", "shard_map" or "pmap". Either split is the same here.
      devices: how many devices to use.

    Returns:
      [(device, tree there)]. With "none" [(None, tree)], as it is.
    """
    check_one_of("over_devices", how, OVER_DEVICES)
    if how == "none":
        return [(None, tree)]
    return [(device, jax.device_put(tree, device)) for device in jax.local_devices()[: num_devices(how, devices)]]


def host_row(leaf: jax.Array, row: int) -> np.ndarray | None:
    """Copy one row of an array whose rows are dealt out, from the first device that holds it. No program runs.

    Returns:
      The row. None where that device is another process's.
    """
    if not 0 <= row < leaf.shape[0]:
        raise IndexError(f"row {row} of {leaf.shape[0]}")
    for shard in leaf.addressable_shards:
        first, last, _ = shard.index[0].indices(leaf.shape[0])
        if shard.replica_id == 0 and first <= row < last:
            return np.array(np.asarray(shard.data)[row - first])
    return None


def host_stack(trees: Sequence[Any]) -> Any:
    """Stack trees along a new first axis, on the host: no program brings together what is dealt out to devices."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _grid(count, data_devices=1):
    if data_devices < 1 or count % data_devices:
        raise UsageError(f"`data_devices`: wanted a divisor of the {count} devices, got {data_devices}.")
    shape = (count // data_devices, data_devices)
    return jax.make_mesh(shape, (ROW, DATA), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:count])


def _shard_mapped(function, count):
    spec = PartitionSpec(ROW)

    def split(*trees):
        # Loops inside start from constants, which the check would want marked as differing from device to device.
        return jax.shard_map(function, mesh=_grid(count), in_specs=spec, out_specs=spec, check_vma=False)(*trees)

    return jax.jit(split)


def _pmapped(function, count):
    mapped = jax.pmap(lambda trees: function(*trees), axis_name=ROW, devices=jax.local_devices()[:count])

    def split(*trees):
        dealt = jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), trees)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), mapped(dealt))

    return split


def _off_explicit_axes(function):
    """Leave a caller's Explicit axes to the compiler: loops and gathers cannot run along them."""

    def call(*trees):
        shardings = [jax.typeof(leaf).sharding for leaf in jax.tree.leaves(trees)]
        explicit = [sharding for sharding in shardings if _is_explicit(sharding)]
        if not explicit:
            return function(*trees)
        mesh = explicit[0].mesh
        rows = next((sharding.spec[0] for sharding in explicit if len(sharding.spec)), None)
        free = jax.sharding.auto_axes(function, out_sharding=NamedSharding(mesh, PartitionSpec(rows)))
        return free(*trees)

    return call


def _is_explicit(sharding):
    return AxisType.Explicit in getattr(sharding.mesh, "axis_types", ())


def _padded(split, count):
    def call(*trees):
        context = AxisType.Explicit in jax.sharding.get_abstract_mesh().axis_types
        if context or any(_is_explicit(jax.typeof(leaf).sharding) for leaf in jax.tree.leaves(trees)):
            raise UsageError(
                "`over_devices`: wanted arrays on no mesh of Explicit axes (the default of jax.make_mesh), as these "
                'are dealt out already; leave them there with over_devices="none", or hand them over as NumPy arrays '
                "outside jax.set_mesh."
            )
        rows = jax.tree.leaves(trees)[0].shape[0]
        spare = -rows % count
        index = jnp.concatenate([jnp.arange(rows), jnp.zeros(spare, jnp.int32)])
        full = jax.tree.map(lambda leaf: jnp.take(jnp.asarray(leaf), index, axis=0), trees) if spare else trees
        return jax.tree.map(lambda leaf: leaf[:rows], split(*full))

    return call
