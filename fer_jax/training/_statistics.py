"""Batch statistics of a network whose weights have come to rest."""

import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp

from fer_jax.errors import UsageError
from fer_jax.models import BATCH_NORM_MOMENTUM


def population_statistics(model, variables: dict, batches: Iterable[jax.Array]) -> dict:
    """Replace running statistics by the mean over batches at the final weights.

    A member that stops after a few hundred steps carries statistics of weights it no longer has. The running average
    lags behind by some ten steps. One pass at fixed weights mends that.

    Args:
      model: a Linen module with BatchNorm of momentum `models.BATCH_NORM_MOMENTUM`.
      variables: of one network, params and batch_stats.
      batches: normalised float images (B, H, W, 3), at least one batch.

    Returns:
      Variables with the same parameters.

    Raises:
      UsageError: no batch.
    """
    total, count = None, 0
    for images in batches:
        fresh = _of_one_batch(model, variables, images)
        total = fresh if total is None else jax.tree.map(jnp.add, total, fresh)
        count += 1
    if total is None:
        raise UsageError("`batches`: wanted at least one batch of images, got none.")
    return variables | {"batch_stats": jax.tree.map(lambda leaf: leaf / count, total)}


@functools.partial(jax.jit, static_argnums=0)
def _of_one_batch(model, variables, images):
    """Return the statistics of one batch: from zero, a single update leaves (1 - momentum) of them."""
    zero = variables | {"batch_stats": jax.tree.map(jnp.zeros_like, variables["batch_stats"])}
    _, changed = model.apply(zero, images, train=True, mutable=["batch_stats"])
    return jax.tree.map(lambda leaf: leaf / (1 - BATCH_NORM_MOMENTUM), changed["batch_stats"])
