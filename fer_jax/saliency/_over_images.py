"""A function of one image mapped over many, a chunk at a time."""

from collections.abc import Callable

import jax
from jax import lax

from fer_jax import placement
from fer_jax.errors import UsageError, check_count
from fer_jax.saliency._once import once


def over_images(
    fn: Callable, *arguments: jax.Array, chunk: int, over_devices: str = "none", devices: int | None = None
):
    """Map a function over the leading axis of its arguments, a chunk at a time, in one program.

    The memory the function itself needs is that of one chunk a device, however many images there are.

    Args:
      fn: of one image (and one of each further argument), such as `lambda x, t: extremal_perturbation(...)[0]`. It is
        compiled once for each function object and shape, so it must be pure, and should not be made anew each time.
      *arguments: arrays or pytrees of arrays with a common leading axis.
      chunk: how many are in work at once on a device. The last chunk may be smaller.
      over_devices: "none", or "shard_map" or "pmap", which deal the images out as in `placement.over_devices`.
      devices: how many devices to use. All of them by default.

    Returns:
      What `fn` returns, with a leading axis.

    Raises:
      UsageError: no argument, a chunk below 1, an unknown split, more devices than there are.

    Example:
      >>> over_images(lambda image: image.max(), jnp.arange(6.0).reshape(3, 2), chunk=2).tolist()
      [1.0, 3.0, 5.0]
    """
    if not arguments:
        raise UsageError("`arguments`: wanted at least one array to map over, got none.")
    chunk = check_count("chunk", chunk, 1)
    return once(_mapped, fn, chunk=chunk, over_devices=over_devices, devices=devices)(*arguments)


def _mapped(fn, *, chunk, over_devices, devices):
    def mapped(*rows):
        return lax.map(lambda each: fn(*each), rows, batch_size=chunk)

    split = placement.over_devices(mapped, how=over_devices, devices=devices)
    return jax.jit(split) if over_devices == "none" else split
