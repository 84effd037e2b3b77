"""Gradient-weighted class activation maps (Selvaraju et al. 2017, arXiv 1610.02391)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.errors import UsageError
from fer_jax.saliency._score import check_features, check_target, class_score, output_shape


def grad_cam(
    head_fn: Callable[[jax.Array], jax.Array],
    features: jax.Array,
    target,
    *,
    rectify: bool = True,
    score: str = "logit",
) -> jax.Array:
    """Grad-CAM of any layer: Σ_k α_k F_k(u), with α_k the mean over space of d score / d F_k.

    For global average pooling and one linear layer the signed map is CAM / (h w). Only the head is differentiated.

    Args:
      head_fn: from the features (h, w, C) of one image to its logits (classes,).
      features: float (h, w, C), the feature map at the layer in question.
      target: index of the class; may be traced.
      rectify: keep positive evidence only, as published; False for the signed map.
      score: "logit", "difference" or "probability", see `class_score`.

    Returns:
      float (h, w), raw.

    Raises:
      UsageError: features of a batch, a head that does not fit them or returns no (classes,), or a bad target.
    """
    check_features(features)
    shape = output_shape(head_fn, features, "head_fn", "features (h, w, C)")
    if len(shape) != 1:
        raise UsageError(f"`head_fn`: wanted logits (classes,) for one image, it returned shape {shape}.")
    check_target(target, shape[0])
    gradient = jax.grad(lambda f: class_score(head_fn(f), target, score=score).astype(f.dtype))(features)
    heat = jnp.tensordot(features, gradient.mean((0, 1)), 1, precision=lax.Precision.HIGHEST)
    return jax.nn.relu(heat) if rectify else heat
