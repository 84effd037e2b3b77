"""Labels against labels: accuracy, and the confusion matrix with what is read from it."""

import jax
import jax.numpy as jnp

from fer_jax.arrays import as_whole
from fer_jax.errors import UsageError


def accuracy(labels: jax.Array, predictions: jax.Array) -> jax.Array:
    """Return the share of predictions (N,) equal to their labels (N,). NaN without any.

    Example:
      >>> float(accuracy(jnp.asarray([0, 1]), jnp.asarray([0, 0])))
      0.5
    """
    labels, predictions = _as_labels(labels, predictions)
    return mean_where((labels == predictions).astype(jnp.float32), jnp.ones(labels.shape, bool))


def confusion(labels: jax.Array, predictions: jax.Array, *, classes: int = 8) -> jax.Array:
    """Count (true, predicted) in a matrix. Such matrices merge by adding.

    Args:
      labels: int (N,).
      predictions: int (N,).
      classes: how many there are.

    Returns:
      int32 (classes, classes), rows true. A trial with a label or prediction outside 0..classes - 1 (such as
      `expressions.DROP`) is not counted.

    Example:
      >>> confusion(jnp.asarray([0, 1, 1]), jnp.asarray([0, 0, 1]), classes=2).tolist()
      [[1, 0], [1, 1]]
    """
    labels, predictions = _as_labels(labels, predictions)
    inside = (labels >= 0) & (labels < classes) & (predictions >= 0) & (predictions < classes)
    cell = jnp.where(inside, labels * classes + predictions, 0)
    return jnp.zeros(classes**2, jnp.int32).at[cell].add(inside.astype(jnp.int32)).reshape(classes, classes)


def row_shares(counts: jax.Array) -> jax.Array:
    """Return a confusion matrix with rows that sum to 1. NaN in the row of a class that never came.

    Example:
      >>> row_shares(jnp.asarray([[1, 3], [0, 2]])).tolist()
      [[0.25, 0.75], [0.0, 1.0]]
    """
    total = counts.sum(-1, keepdims=True)
    return counts / jnp.where(total > 0, total, jnp.nan)


def recall(counts: jax.Array) -> jax.Array:
    """Return the share right of each class (classes,), from a confusion matrix. NaN for a class that never came.

    Example:
      >>> recall(jnp.asarray([[1, 3], [0, 2]])).tolist()
      [0.25, 1.0]
    """
    return jnp.diagonal(row_shares(counts))


def confusion_accuracy(counts: jax.Array) -> jax.Array:
    """Return the share right of all trials in a confusion matrix. NaN if it is empty.

    Example:
      >>> float(confusion_accuracy(jnp.asarray([[1, 3], [0, 4]])))
      0.625
    """
    total = counts.sum()
    return jnp.trace(counts) / jnp.where(total > 0, total, jnp.nan)


def balanced_accuracy(counts: jax.Array) -> jax.Array:
    """Return the mean recall over the classes that came. NaN if none did.

    Example:
      >>> float(balanced_accuracy(jnp.asarray([[1, 3], [0, 2]])))
      0.625
    """
    shares = recall(counts)
    return mean_where(jnp.nan_to_num(shares), ~jnp.isnan(shares))


def precision(counts: jax.Array) -> jax.Array:
    """Return the share right of each predicted class (classes,). NaN for one never predicted.

    Example:
      >>> precision(jnp.asarray([[1, 3], [0, 1]])).tolist()
      [1.0, 0.25]
    """
    return recall(counts.T)


def f1(counts: jax.Array) -> jax.Array:
    """Return the harmonic mean of precision and recall of each class (classes,), from a confusion matrix.

    Args:
      counts: int (classes, classes), rows true.

    Returns:
      2 right / (true + predicted) in [0, 1]: 0 for a class that came and was never predicted or the reverse, NaN for
      one that neither came nor was predicted.

    Example:
      >>> f1(jnp.asarray([[1, 0], [2, 1]])).tolist()
      [0.5, 0.5]
    """
    total = counts.sum(0) + counts.sum(1)
    return 2 * jnp.diagonal(counts) / jnp.where(total > 0, total, jnp.nan)


def macro_f1(counts: jax.Array) -> jax.Array:
    """Return the mean F1 over the classes that came or were predicted. NaN if none did.

    Example:
      >>> float(macro_f1(jnp.asarray([[1, 0], [2, 1]])))
      0.5
    """
    scores = f1(counts)
    return mean_where(jnp.nan_to_num(scores), ~jnp.isnan(scores))


def _as_labels(labels, predictions):
    """Return both as int32, where `labels * classes` cannot overflow."""
    labels, predictions = as_whole("labels", labels), as_whole("predictions", predictions)
    if labels.shape != predictions.shape:
        raise UsageError(f"`predictions`: wanted {labels.shape}, one for each label, got {predictions.shape}.")
    return labels, predictions


def mean_where(values, valid):
    count = valid.sum()
    return jnp.where(valid, values, 0).sum() / jnp.where(count > 0, count, jnp.nan)
