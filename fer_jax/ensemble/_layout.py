"""Layouts of members: one after another, mapped, vmapped, and spread over devices.

Contract: a member function takes one member's tree first and arrays for that member after it. `over_members` lifts it
to trees and arrays with a leading axis M.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax import placement
from fer_jax.errors import UsageError, check_one_of

OVER_MEMBERS = ("loop", "map", "vmap")


def default_over_members(platform: str | None = None, *, over_devices: str = "none") -> str:
    """Return the fastest layout: "loop" on an unsplit CPU (measured), "map" otherwise (reasoned).

    Example:
      >>> default_over_members("cpu"), default_over_members("gpu")
      ('loop', 'map')
    """
    platform = platform or jax.default_backend()
    return "loop" if platform == "cpu" and over_devices == "none" else "map"


def over_members(
    function: Callable,
    *,
    over_members: str | None = None,
    chunk: int = 1,
    over_devices: str = "none",
    devices: int | None = None,
    data_devices: int = 1,
    in_place: bool = False,
) -> Callable:
    """Lift a function of one member to a function of the stack.

    Args:
      function: (member tree, *arrays) -> tree of arrays. It is pure and knows no leading member axis.
      over_members: "loop" calls one jitted function for each member (quickest to compile, cannot be traced cheaply),
        "map" is `lax.map`, "vmap" batches. Default: by platform. Each wants its own lowering of convolutions, see
        `models.default_lowering`.
      chunk: with "map", so many members at once are batched as by "vmap", between its memory and its speed.
      over_devices: "none", "shard_map", or "pmap", which splits members over devices and applies `over_members`
        inside. The number of members is padded to a multiple of the devices and cut again.
      devices: how many devices to use. All of them by default.
      data_devices: of them, so many share each member's first array, see `placement.over_grid`.
      in_place: the function's last argument is a flag, its result replaces the member's tree where the flag is True,
        and "map" writes each result into the stack that it is given (`lax.map` would keep a second one).

    Returns:
      A function of (stack, *arrays), each with leading axis M, giving outputs with leading axis M.

    Raises:
      UsageError: an unknown layout, a chunk without map, more devices than there are, "loop" inside a device split, or
        `data_devices` that do not divide the devices or come without shard_map.

    Example:
      >>> double = over_members(lambda member, x: member * x, over_members="vmap")
      >>> double(jnp.asarray([1.0, 2.0]), jnp.asarray([10.0, 10.0])).tolist()
      [10.0, 20.0]
    """
    how = over_members or default_over_members(over_devices=over_devices)
    check_one_of("over_members", how, OVER_MEMBERS)
    check_one_of("over_devices", over_devices, placement.OVER_DEVICES)
    if chunk < 1 or (chunk > 1 and how != "map"):
        raise UsageError(f"`chunk`: wanted at least 1, and more with map only, got {chunk} with {how}.")
    if how == "loop" and over_devices != "none":
        raise UsageError("`over_members`: wanted map or vmap inside a split over devices, got 'loop'.")
    if data_devices > 1 and over_devices != "shard_map":
        raise UsageError(f"`data_devices`: wanted 1 unless over_devices is shard_map, got {data_devices}.")
    lifted = _mapped_in_place(function) if in_place and how == "map" else _on_one_device(function, how, chunk)
    if data_devices > 1:
        return placement.over_grid(lifted, data_argument=1, data_devices=data_devices, devices=devices)
    return placement.over_devices(lifted, how=over_devices, devices=devices)


def _on_one_device(function, how, chunk):
    if how == "vmap":
        return jax.vmap(function)
    if how == "map" and chunk > 1:
        return lambda *stack: lax.map(lambda one: function(*one), stack, batch_size=chunk)
    if how == "map":
        return lambda *stack: lax.map(lambda one: function(*one), stack)
    # Programs of their own: leaf by leaf, taking rows and joining them would cost a small network more than its work.
    single, row = jax.jit(function), jax.jit(lambda stack, index: jax.tree.map(lambda leaf: leaf[index], stack))
    join = jax.jit(lambda rows: jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows))

    def loop(*stack):
        members = jax.tree.leaves(stack)[0].shape[0]
        return join([single(*row(stack, index)) for index in range(members)])

    return loop


def _mapped_in_place(function):
    """Take one row after another and put each back. A row whose flag is False costs nothing."""

    def lifted(stack, *arrays):
        def one(row, stack):
            tree, *rest, on = jax.tree.map(
                lambda leaf: lax.dynamic_index_in_dim(leaf, row, keepdims=False), (stack, *arrays)
            )
            new = lax.cond(on, lambda: function(tree, *rest, jnp.bool_(True)), lambda: tree)
            return jax.tree.map(lambda leaf, of_row: lax.dynamic_update_index_in_dim(leaf, of_row, row, 0), stack, new)

        return lax.fori_loop(0, arrays[-1].shape[0], one, stack)

    return lifted
