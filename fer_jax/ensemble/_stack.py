"""Many networks of one architecture as one model: every leaf of their variables has a leading axis M.

Contract: `variables` is a pytree whose leaves are (M, ...); images are normalised floats, either (B, H, W, 3), shown
to all members, or (M, B, H, W, 3), one batch for each.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from fer_jax.ensemble._placement import OVER_MEMBERS, default_over_members
from fer_jax.ensemble._placement import over_members as lift
from fer_jax.errors import UsageError, check_count
from fer_jax.expressions import EXPRESSIONS
from fer_jax.models import default_lowering


def init(key: jax.Array, model, *, members: int = EXPRESSIONS.num_pairs, image_size: int = 32) -> Any:
    """Fresh variables for every member.

    Member i is initialised from `jax.random.fold_in(key, i)`, so it equals a member initialised alone.

    Args:
      key: typed random key.
      model: a Linen module called with images (B, H, W, 3).
      members: how many, M; the 28 pairs by default (paper §5.1).
      image_size: side of the picture the shapes are traced with, pixels.

    Returns:
      The module's variables, each leaf with a leading M.
    """
    members = check_count("members", members, 1)
    image_size = check_count("image_size", image_size, 1)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(members))
    return _initialiser(model, int(image_size))(keys)


def apply(model, variables, images: jax.Array, *, over_members: str | None = None, over_devices: str = "none"):
    """Every member's output for a batch, in evaluation mode.

    Args:
      model: a Linen module returning a tree, such as `models.Output`.
      variables: stacked variables.
      images: float (B, H, W, 3) for all members or (M, B, H, W, 3), one batch for each.
      over_members: layout, see `over_members`.
      over_devices: split over devices, see `over_members`.

    Returns:
      The module's output with a leading M: logits (M, B, classes), features (M, B, h, w, C).

    Raises:
      UsageError: images of another rank, or as many batches as there are not members.
    """
    members = num_members(variables)
    images = jnp.asarray(images)
    if images.ndim == 4:
        images = jnp.broadcast_to(images, (members, *images.shape))
    if images.ndim != 5 or images.shape[0] != members:
        raise UsageError(f"`images`: wanted (B, H, W, 3) or ({members}, B, H, W, 3), got {images.shape}.")
    return _applied(model, over_members, over_devices)(variables, images)


# A network is a value: equal ones share their compiled programs, so that a second call compiles nothing.
@functools.lru_cache(maxsize=64)
def _initialiser(model, image_size):
    sample = (1, image_size, image_size, 3)
    return jax.jit(jax.vmap(lambda key: model.init(key, jnp.zeros(sample))))


@functools.lru_cache(maxsize=64)
def _applied(model, over_members, over_devices):
    layout = over_members or default_over_members(over_devices=over_devices)
    # A network of ours that names no lowering; an unknown layout is refused below.
    if getattr(model, "lowering", "another's") is None and layout in OVER_MEMBERS:
        model = model.clone(lowering=default_lowering(layout))
    call = lift(lambda v, x: model.apply(v, x), over_members=layout, over_devices=over_devices)
    return jax.jit(call) if layout != "loop" and over_devices == "none" else call


def num_members(variables) -> int:
    """How many members a stack holds.

    Args:
      variables: a tree whose leaves are (M, ...).

    Returns:
      M.

    Raises:
      UsageError: leaves that disagree on their first axis.
    """
    sizes = {leaf.shape[0] if leaf.ndim else None for leaf in jax.tree.leaves(variables)}
    members = next(iter(sizes)) if len(sizes) == 1 else None
    if members is None:
        raise UsageError(
            f"`variables`: wanted one leading member axis on every leaf, got sizes {sorted(map(str, sizes))}."
        )
    return members


def stack(members) -> Any:
    """Single members' trees as one stack, in the order given."""
    members = list(members)
    if not members:
        raise UsageError("`members`: wanted at least one tree, got none.")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def member(variables, index) -> Any:
    """One member's tree out of a stack.

    Args:
      variables: a tree whose leaves are (M, ...).
      index: which member, 0..M - 1; may be traced.

    Returns:
      The tree without the leading axis. Its floats are NaN for a traced index that is none.

    Raises:
      UsageError: an index that is none, or leaves that disagree on their first axis.
    """
    members = num_members(variables)
    if not jnp.issubdtype(jnp.result_type(index), jnp.integer) or jnp.ndim(index):
        raise UsageError(f"`index`: wanted one whole number (jax.vmap for more), got {index!r}.")
    if not isinstance(index, jax.core.Tracer):
        if not 0 <= index < members:
            raise UsageError(f"`index`: wanted a member in 0..{members - 1}, got {index}.")
        return jax.tree.map(lambda leaf: leaf[index], variables)
    inside = (index >= 0) & (index < members)

    def one(leaf):
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.where(inside, leaf[index], jnp.nan) if floating else leaf[index]

    return jax.tree.map(one, variables)


def unstack(variables) -> list:
    """A stack as a list of single members' trees."""
    return [member(variables, index) for index in range(num_members(variables))]
