"""What training minimises.

Contract: logits (B, classes) float32 before any softmax, labels (B,) int32 indices into those classes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import lax

from fer_jax.errors import UsageError

REDUCTIONS = ("weighted_mean", "mean")


def cross_entropy(
    *, class_weights=None, reduction: str = "weighted_mean", axis_name: str | None = None
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Softmax cross-entropy, each class counting as much as its weight (paper §5.2 for the multiclass model).

    Args:
      class_weights: (classes,) or None for equal weights, such as `fer_jax.data.class_weights` (ours: the paper weighs
        and gives no formula).
      reduction: "weighted_mean" divides by the weights in the batch (ours: the paper does not say), "mean" by B.
      axis_name: mapped axis over which the batch is split; the mean over it of what is returned is the loss of the
        whole batch.

    Returns:
      A function (logits, labels) -> scalar loss.

    Raises:
      UsageError: an unknown reduction.
    """
    if reduction not in REDUCTIONS:
        raise UsageError(f"`reduction`: wanted one of {', '.join(REDUCTIONS)}, got {reduction!r}.")

    def objective(logits, labels):
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        if class_weights is None:
            return losses.mean()
        weights = jnp.asarray(class_weights, jnp.float32)[labels]
        if reduction == "mean":
            return (weights * losses).mean()
        # Shares of a batch hold different weights: each is divided by their mean, so that the shares' mean is right.
        total = weights.sum() if axis_name is None else lax.pmean(weights.sum(), axis_name)
        return (weights * losses).sum() / total

    return objective
