"""Where members run: one after another, mapped, vmapped, and spread over devices.

Contract: a member function takes one member's tree first and arrays for that member after it; `over_members` lifts it
to trees and arrays with a leading axis M.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fer_jax import placement
from fer_jax.errors import UsageError

OVER_MEMBERS = ("loop", "map", "vmap")


def default_over_members(platform: str | None = None, *, over_devices: str = "none") -> str:
    """Return the fastest layout: "loop" on an unsplit CPU (measured), "map" otherwise (reasoned)."""
    platform = platform or jax.default_backend()
    return "loop" if platform == "cpu" and over_devices == "none" else "map"


def over_members(
    function: Callable,
    *,
    over_members: str | None = None,
    chunk: int = 1,
    over_devices: str = "none",
    devices: int | None = None,
) -> Callable:
    """Lift a function of one member to a function of the stack.

    Args:
      function: (member tree, *arrays) -> tree of arrays; pure, no leading member axis.
      over_members: "loop" calls one jitted function for each member (quickest to compile, cannot be traced cheaply);
        "map" is `lax.map`; "vmap" batches. Default: by platform. Each wants its own lowering of convolutions, see
        `models.default_lowering`.
      chunk: with "map", so many members at once are batched as by "vmap", between its memory and its speed.
      over_devices: "none", "shard_map", or "pmap", which splits members over devices and applies `over_members`
        inside. The number of members is padded to a multiple of the devices and cut again.
      devices: how many of the local devices to use; all of them by default.

    Returns:
      A function of (stack, *arrays), each with leading axis M, giving outputs with leading axis M.

    Raises:
      UsageError: an unknown layout, a chunk without map, more devices than there are, or "loop" inside a device split.
    """
    how = over_members or default_over_members(over_devices=over_devices)
    if how not in OVER_MEMBERS:
        raise UsageError(f"`over_members`: wanted one of {', '.join(OVER_MEMBERS)}, got {how!r}.")
    if chunk < 1 or (chunk > 1 and how != "map"):
        raise UsageError(f"`chunk`: wanted at least 1, and more with map only, got {chunk} with {how}.")
    lifted = placement.over_devices(_on_one_device(function, how, chunk), how=over_devices, devices=devices)
    if how == "loop" and over_devices != "none":
        raise UsageError("`over_members`: wanted map or vmap inside a split over devices, got 'loop'.")
    return lifted


def _on_one_device(function, how, chunk):
    if how == "vmap":
        return jax.vmap(function)
    if how == "map" and chunk > 1:
        return lambda *stack: jax.lax.map(lambda one: function(*one), stack, batch_size=chunk)
    if how == "map":
        return lambda *stack: jax.lax.map(lambda one: function(*one), stack)
    # Programs of their own: leaf by leaf, taking rows and joining them would cost a small network more than its work.
    single, row = jax.jit(function), jax.jit(lambda stack, index: jax.tree.map(lambda leaf: leaf[index], stack))
    join = jax.jit(lambda rows: jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows))

    def loop(*stack):
        members = jax.tree.leaves(stack)[0].shape[0]
        return join([single(*row(stack, index)) for index in range(members)])

    return loop
