"""Where members run: one after another, mapped, vmapped, and spread over devices.

Contract: a member function takes one member's tree first and arrays for that member after it; `over_members` lifts it
to trees and arrays with a leading axis M. Meshes and shardings are made here and nowhere else.

Members never talk, so splitting them over devices needs no collective. The split is always a `shard_map` (or `pmap`)
and never left to `jit`: partitioning a vmapped member axis automatically returns wrong 1×1 convolutions without a
word (openxla/xla issues 47945 and 48086).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from fer_jax.errors import UsageError

OVER_MEMBERS = ("loop", "map", "vmap")
OVER_DEVICES = ("none", "shard_map", "pmap")


def default_over_members(platform: str | None = None) -> str:
    """The layout that is fastest on a platform: "loop" on a CPU (measured), "map" on GPU and TPU (reasoned)."""
    platform = platform or jax.default_backend()
    return "loop" if platform == "cpu" else "map"


def over_members(
    function: Callable, *, over_members: str | None = None, over_devices: str = "none", devices: int | None = None
) -> Callable:
    """Lift a function of one member to a function of the stack.

    Args:
      function: (member tree, *arrays) -> tree of arrays; pure, no leading member axis.
      over_members: "loop" calls one jitted function for each member (quickest to compile, cannot be traced cheaply);
        "map" is `lax.map`; "vmap" batches, and wants convolutions lowered to matrix products. Default: by platform.
      over_devices: "none", "shard_map", or "pmap", which splits members over devices and applies `over_members`
        inside. The number of members is padded to a multiple of the devices and cut again.
      devices: how many of the local devices to use; all of them by default.

    Returns:
      A function of (stack, *arrays), each with leading axis M, giving outputs with leading axis M.

    Raises:
      UsageError: an unknown layout, more devices than there are, or "loop" inside a device split.
    """
    how = over_members or default_over_members()
    if how not in OVER_MEMBERS:
        raise UsageError(f"`over_members`: wanted one of {', '.join(OVER_MEMBERS)}, got {how!r}.")
    if over_devices not in OVER_DEVICES:
        raise UsageError(f"`over_devices`: wanted one of {', '.join(OVER_DEVICES)}, got {over_devices!r}.")
    if over_devices == "none":
        return _on_one_device(function, how)
    if how == "loop":
        raise UsageError("`over_members`: wanted map or vmap inside a split over devices, got 'loop'.")
    count = jax.local_device_count() if devices is None else devices
    if not 1 <= count <= jax.local_device_count():
        raise UsageError(f"`devices`: wanted 1..{jax.local_device_count()}, got {devices}.")
    split = _shard_mapped if over_devices == "shard_map" else _pmapped
    return _padded(split(_on_one_device(function, how), count), count)


def _on_one_device(function, how):
    if how == "vmap":
        return jax.vmap(function)
    if how == "map":
        return lambda *stack: jax.lax.map(lambda one: function(*one), stack)
    single = jax.jit(function)

    def loop(*stack):
        members = jax.tree.leaves(stack)[0].shape[0]
        rows = [single(*jax.tree.map(lambda leaf, i=index: leaf[i], stack)) for index in range(members)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)

    return loop


def _shard_mapped(function, count):
    mesh = jax.make_mesh((count,), ("member",), axis_types=(AxisType.Auto,), devices=jax.local_devices()[:count])
    spec = PartitionSpec("member")

    def split(*stack):
        return jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec)(*stack)

    return jax.jit(split)


def _pmapped(function, count):
    mapped = jax.pmap(lambda stack: function(*stack), axis_name="member", devices=jax.local_devices()[:count])

    def split(*stack):
        dealt = jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), stack)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), mapped(dealt))

    return split


def _padded(split, count):
    """Members rounded up to a multiple of the devices by repeating the first; the copies are cut off again."""

    def call(*stack):
        members = jax.tree.leaves(stack)[0].shape[0]
        spare = -members % count
        index = jnp.concatenate([jnp.arange(members), jnp.zeros(spare, jnp.int32)])
        full = jax.tree.map(lambda leaf: jnp.take(jnp.asarray(leaf), index, axis=0), stack) if spare else stack
        return jax.tree.map(lambda leaf: leaf[:members], split(*full))

    return call
