"""Objectives: the scalars that training minimises.

Contract: an objective takes an `ForwardPass` and the batch, a dict of arrays with a leading B, and returns a scalar.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from fer_jax.errors import check_one_of

REDUCTIONS = ("weighted_mean", "mean")


class ForwardPass(NamedTuple):
    """The arrays of one forward pass that an objective can use.

    Attributes:
      logits: float32 (B, classes), before any softmax.
      features: float (B, h, w, C), the last feature map, or None where the model returns none.
      images: float32 (B, H, W, 3), the normalised images that the model saw.
    """

    logits: jax.Array
    features: jax.Array | None
    images: jax.Array


def cross_entropy(
    *, class_weights=None, reduction: str = "weighted_mean", axis_name: str | None = None
) -> Callable[[ForwardPass, Mapping], jax.Array]:
    """Return softmax cross-entropy as an objective, with class weights for the multiclass model (paper §5.2).

    Where a batch holds `votes`, the loss is the cross-entropy against these shares (Barsoum et al. 2016, arXiv
    1608.01041), and each share has the weight of its class (ours). A single vote gives the loss of its label.

    Args:
      class_weights: (classes,) or None for equal weights, such as `fer_jax.data.class_weights` (ours: the paper weighs
        and gives no formula).
      reduction: "weighted_mean" divides by the weights in the batch (ours: the paper does not say), "mean" by B.
      axis_name: mapped axis over which the batch is split. The mean of the returned values over this axis is the loss
        of the whole batch.

    Returns:
      A function (output, batch) -> scalar loss. The batch holds `labels`, int32 (B,) indices into the classes, and
      perhaps `votes`, float32 (B, classes), rows that sum to 1.

    Raises:
      UsageError: an unknown reduction.
    """
    check_one_of("reduction", reduction, REDUCTIONS)

    def objective(output, batch):
        if "votes" in batch:
            return against_votes(output.logits, batch["votes"])
        labels = batch["labels"]
        losses = optax.softmax_cross_entropy_with_integer_labels(output.logits, labels)
        if class_weights is None:
            return losses.mean()
        weights = jnp.asarray(class_weights, jnp.float32)[labels]
        if reduction == "mean":
            return (weights * losses).mean()
        return (weights * losses).sum() / whole(weights)

    def against_votes(logits, votes):
        if class_weights is None:
            return optax.softmax_cross_entropy(logits, votes).mean()
        weighed = jnp.asarray(class_weights, jnp.float32)[None] * votes
        losses = optax.softmax_cross_entropy(logits, weighed)
        return losses.mean() if reduction == "mean" else losses.sum() / whole(weighed)

    def whole(weights):
        # Shares of a batch hold different weights: each is divided by their mean, so that the shares' mean is right.
        return weights.sum() if axis_name is None else lax.pmean(weights.sum(), axis_name)

    return objective
