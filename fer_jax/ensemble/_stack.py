"""Many networks of one architecture as one model: every leaf of their variables has a leading axis M.

Contract: `variables` is a pytree whose leaves are (M, ...). Images are normalised floats, either (B, H, W, 3), shown
to all members, or (M, B, H, W, 3), one batch for each.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from fer_jax.ensemble._layout import OVER_MEMBERS, default_over_members
from fer_jax.ensemble._layout import over_members as lift
from fer_jax.errors import UsageError, check_count
from fer_jax.expressions import EXPRESSIONS
from fer_jax.models import default_lowering


def init(key: jax.Array, model, *, members: int = EXPRESSIONS.num_pairs, image_size: int = 32) -> Any:
    """Draw fresh variables for every member.

    Member i is initialised from `jax.random.fold_in(key, i)`, so it equals a member initialised alone.

    Args:
      key: typed random key.
      model: a Linen module called with images (B, H, W, 3).
      members: how many, M. The 28 pairs by default (paper §5.1).
      image_size: side of the picture the shapes are traced with, pixels.

    Returns:
      The module's variables, each leaf with a leading M.

    Example:
      >>> import flax.linen as nn
      >>> variables = init(jax.random.key(0), nn.Dense(2), members=3, image_size=1)
      >>> variables["params"]["kernel"].shape
      (3, 3, 2)
    """
    members = check_count("members", members, 1)
    image_size = check_count("image_size", image_size, 1)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(members))
    return _initialiser(model, int(image_size))(keys)


def apply(model, variables, images: jax.Array, *, over_members: str | None = None, over_devices: str = "none"):
    """Return every member's output for a batch, in evaluation mode.

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

    Example:
      >>> import flax.linen as nn
      >>> variables = init(jax.random.key(0), nn.Dense(2), members=3, image_size=1)
      >>> apply(nn.Dense(2), variables, jnp.zeros((4, 1, 1, 3))).shape
      (3, 4, 1, 1, 2)
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
    # A network of ours that names no lowering. An unknown layout is refused below.
    if getattr(model, "lowering", "another's") is None and layout in OVER_MEMBERS:
        model = model.clone(lowering=default_lowering(layout))
    call = lift(lambda v, x: model.apply(v, x), over_members=layout, over_devices=over_devices)
    return jax.jit(call) if layout != "loop" and over_devices == "none" else call


def num_members(variables) -> int:
    """Count the members of a stack.

    Args:
      variables: a tree whose leaves are (M, ...).

    Returns:
      M.

    Raises:
      UsageError: leaves that disagree on their first axis.

    Example:
      >>> num_members({"kernel": jnp.zeros((28, 3)), "bias": jnp.zeros(28)})
      28
    """
    sizes = {leaf.shape[0] if leaf.ndim else None for leaf in jax.tree.leaves(variables)}
    members = next(iter(sizes)) if len(sizes) == 1 else None
    if members is None:
        raise UsageError(
            f"`variables`: wanted one leading member axis on every leaf, got sizes {sorted(map(str, sizes))}."
        )
    return members


def stack(members) -> Any:
    """Stack single members' trees in the order given.

    Example:
      >>> stack([{"bias": jnp.asarray(1.0)}, {"bias": jnp.asarray(2.0)}])["bias"].tolist()
      [1.0, 2.0]
    """
    members = list(members)
    if not members:
        raise UsageError("`members`: wanted at least one tree, got none.")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def member(variables, index) -> Any:
    """Take one member's tree out of a stack.

    Args:
      variables: a tree whose leaves are (M, ...).
      index: which member, 0..M - 1. May be traced.

    Returns:
      The tree without the leading axis. Its floats are NaN for a traced index that is none.

    Raises:
      UsageError: an index that is none, or leaves that disagree on their first axis.

    Example:
      >>> member({"bias": jnp.asarray([1.0, 2.0])}, 1)["bias"].item()
      2.0
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
    """Return a stack as a list of single members' trees.

    Example:
      >>> [one["bias"].item() for one in unstack({"bias": jnp.asarray([1.0, 2.0])})]
      [1.0, 2.0]
    """
    return [member(variables, index) for index in range(num_members(variables))]
