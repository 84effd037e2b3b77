"""What training minimises.

Contract: logits (B, classes) float32 before any softmax, labels (B,) int32 indices into those classes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from fer_jax.errors import UsageError

REDUCTIONS = ("weighted_mean", "mean")


def cross_entropy(
    *, class_weights=None, reduction: str = "weighted_mean"
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Softmax cross-entropy, each class counting as much as its weight (paper §5.2 for the multiclass model).

    Args:
      class_weights: (classes,) or None for equal weights; the paper's are w_i = N / (8 n_i).
      reduction: "weighted_mean" divides by the weights in the batch (ours: the paper does not say), "mean" by B.

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
        total = weights.sum() if reduction == "weighted_mean" else jnp.float32(losses.size)
        return (weights * losses).sum() / total

    return objective
