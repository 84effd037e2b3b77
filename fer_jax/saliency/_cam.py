"""Class activation maps (Zhou et al. 2016, arXiv 1512.04150)."""

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.arrays import as_floating
from fer_jax.errors import UsageError
from fer_jax.saliency._score import check_features, check_target, take_class


def cam(features: jax.Array, weights: jax.Array, target=None) -> jax.Array:
    """Compute the evidence for a class at every place: CAM_c(u) = Σ_k W_kc F_k(u), signed and without the bias.

    Its mean over space plus the bias is the class's logit, for a head of global average pooling and one linear layer.

    Args:
      features: float (h, w, C), the last feature map of one image.
      weights: float (C, classes), the kernel of the linear head.
      target: index of a class, which may be traced. None for all classes.

    Returns:
      float (h, w), or (h, w, classes) where no target is given. Raw values, neither rectified nor normalised. NaN
      for a traced target outside the classes.

    Raises:
      UsageError: features of a batch, weights that do not fit the features, or a target outside the classes.

    Example:
      >>> features = jnp.asarray([[[1.0, 0.0], [0.0, 4.0]]])  # one row of two places
      >>> cam(features, jnp.eye(2), 1).tolist()
      [[0.0, 4.0]]
    """
    features, weights = check_features(features), as_floating("weights", weights)
    if jnp.ndim(weights) != 2 or weights.shape[0] != features.shape[-1]:
        raise UsageError(
            f"`weights`: wanted ({features.shape[-1]}, classes) to fit features {features.shape}, "
            f"got {jnp.shape(weights)}."
        )
    if target is not None:
        check_target(target, weights.shape[1])
        weights = take_class(weights, target)
    return jnp.tensordot(features, weights, 1, precision=lax.Precision.HIGHEST)
