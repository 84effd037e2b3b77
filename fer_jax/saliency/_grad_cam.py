"""Maps from a feature map and the gradient of a score by it: Grad-CAM, HiResCAM, Grad-CAM++ and LayerCAM.

Each weighs the features F_k(u) by the slopes g_k(u) = d score / d F_k(u) in its own way. Only the head is
differentiated. For global average pooling and one linear layer the signed maps of the first two are CAM / (h w).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.errors import UsageError
from fer_jax.saliency._score import check_features, check_target, class_score, output_shape, slope

Head = Callable[[jax.Array], jax.Array]


def grad_cam(head_fn: Head, features: jax.Array, target, *, rectify: bool = True, score: str = "logit") -> jax.Array:
    """Compute Grad-CAM of any layer: Σ_k α_k F_k(u), α_k the mean slope over space (Selvaraju et al. 2017, eq. 1-2).

    Args:
      head_fn: from the features (h, w, C) of one image to its logits (classes,).
      features: float (h, w, C), the feature map at the layer in question. A transformer's tokens are one, too, once
        they are reshaped to their grid, without the class token.
      target: index of the class. It may be traced.
      rectify: keep positive evidence only, as published. False for the signed map.
      score: "logit", "difference" or "probability", see `class_score`.

    Returns:
      float (h, w), raw. NaN for a traced target outside the classes.

    Raises:
      UsageError: features of a batch, a head that does not fit them or returns no (classes,), or a bad target.

    Example:
      >>> features = jnp.asarray([[[1.0, 0.0], [0.0, 4.0]]])  # one row of two places
      >>> grad_cam(lambda cells: cells.mean((0, 1)), features, 1).tolist()
      [[0.0, 2.0]]
    """
    features, gradient = _slopes(head_fn, features, target, score)
    heat = jnp.tensordot(features, gradient.mean((0, 1)), 1, precision=lax.Precision.HIGHEST)
    return jax.nn.relu(heat) if rectify else heat


def hires_cam(head_fn: Head, features: jax.Array, target, *, rectify: bool = True, score: str = "logit") -> jax.Array:
    """Compute HiResCAM of any layer: Σ_k g_k(u) F_k(u), each place with its own slopes (Draelos and Carin 2020).

    For any linear layer on the features, pooled or not, the signed map sums to the logit without its bias.
    Therefore the source (arXiv 2011.08891) calls the method faithful.

    Arguments and errors are those of `grad_cam`. Rectifying is ours here: False gives the published map.

    Returns:
      float (h, w), raw. NaN for a traced target outside the classes.

    Example:
      >>> features = jnp.asarray([[[1.0, 0.0], [0.0, 4.0]]])  # one row of two places
      >>> hires_cam(lambda cells: cells.mean((0, 1)), features, 1).tolist()
      [[0.0, 2.0]]
    """
    features, gradient = _slopes(head_fn, features, target, score)
    heat = (gradient * features).sum(-1)
    return jax.nn.relu(heat) if rectify else heat


def grad_cam_plus_plus(
    head_fn: Head, features: jax.Array, target, *, rectify: bool = True, score: str = "logit"
) -> jax.Array:
    """Compute Grad-CAM++ of any layer: Σ_k w_k F_k(u), w_k = Σ_u α_k(u) max(0, g_k(u)) (Chattopadhay et al. 2018).

    The published weights (arXiv 1710.11063, eq. 19) are those of exp(score). Their α = g² / (2 g² + g³ Σ_u F(u)) is
    computed as 1 / (2 + g Σ_u F(u)). The factor exp(score), common to all places, is left out: it overflows.

    Arguments and errors are those of `grad_cam`. Features are 0 or more, as after a ReLU: for others α has a
    pole, where the weight is set to 0.

    Returns:
      float (h, w), raw. NaN for a traced target outside the classes.

    Example:
      >>> features = jnp.asarray([[[1.0, 0.0], [0.0, 4.0]]])  # one row of two places
      >>> grad_cam_plus_plus(lambda cells: cells.mean((0, 1)), features, 1).tolist()
      [[0.0, 1.0]]
    """
    features, gradient = _slopes(head_fn, features, target, score)
    below = 2 + gradient * features.sum((0, 1), keepdims=True)
    shares = jnp.where(below == 0, 0, 1 / jnp.where(below == 0, 1, below))
    weights = (shares * jax.nn.relu(gradient)).sum((0, 1))
    heat = jnp.tensordot(features, weights, 1, precision=lax.Precision.HIGHEST)
    return jax.nn.relu(heat) if rectify else heat


def layer_cam(head_fn: Head, features: jax.Array, target, *, rectify: bool = True, score: str = "logit") -> jax.Array:
    """Compute LayerCAM of any layer: Σ_k max(0, g_k(u)) F_k(u) (Jiang et al. 2021, IEEE TIP 30).

    Arguments and errors are those of `grad_cam`. The method is meant for early, fine layers, too.

    Returns:
      float (h, w), raw. NaN for a traced target outside the classes.

    Example:
      >>> features = jnp.asarray([[[1.0, 0.0], [0.0, 4.0]]])  # one row of two places
      >>> layer_cam(lambda cells: cells.mean((0, 1)), features, 1).tolist()
      [[0.0, 2.0]]
    """
    features, gradient = _slopes(head_fn, features, target, score)
    heat = (jax.nn.relu(gradient) * features).sum(-1)
    return jax.nn.relu(heat) if rectify else heat


def _slopes(head_fn, features, target, score):
    """Return the features as an array, and d score / d features."""
    features = check_features(features)
    shape = output_shape(head_fn, features, "head_fn", "features (h, w, C)")
    if len(shape) != 1:
        raise UsageError(f"`head_fn`: wanted logits (classes,) for one image, it returned shape {shape}.")
    check_target(target, shape[0])
    return features, slope(lambda f: class_score(head_fn(f), target, score=score), features)
