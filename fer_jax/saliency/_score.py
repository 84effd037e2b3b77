"""One number from a network's outputs: what an explanation explains.

Contract: outputs are logits (..., classes). Leading axes are places of a spatial output and are averaged.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fer_jax.arrays import as_array, as_float_image, as_floating, vary_over, varying_axes
from fer_jax.errors import UsageError, check_one_of

ScoreFn = Callable[[jax.Array], jax.Array]  # of one image (H, W, C), to a scalar
SCORES = ("logit", "difference", "probability")


def class_score(logits: jax.Array, target, *, score: str = "logit") -> jax.Array:
    """Score one class.

    Args:
      logits: float (classes,), or (..., classes), averaged over the places in front.
      target: index of the class. It may be traced.
      score: "logit", y_c (the reward called simple by the reference of Extremal Perturbation), "difference", y_c - max
        of the others (called contrastive there), or "probability", softmax(y)_c.

    Returns:
      A scalar. NaN, and so its gradient, for a traced target outside the classes.

    Raises:
      UsageError: an unknown score, no class axis, a target outside the classes, or a comparison of fewer than two.

    Example:
      >>> logits = jnp.asarray([1.0, 3.0, 2.0])
      >>> float(class_score(logits, 1)), float(class_score(logits, 1, score="difference"))
      (3.0, 1.0)
    """
    check_one_of("score", score, SCORES)
    logits = as_floating("logits", logits)
    if logits.ndim == 0:
        raise UsageError("`logits`: wanted (classes,), got a scalar; explain a scalar function by itself.")
    classes = logits.shape[-1]
    check_target(target, classes)
    own = take_class(logits, target)
    if score == "logit":
        return own.mean()
    if classes < 2:
        raise UsageError(f"`logits`: a {score} wants at least two classes, got {logits.shape}.")
    is_target = (jnp.arange(classes) == target).reshape((1,) * (logits.ndim - 1) + (-1,))
    others = jnp.where(jnp.broadcast_to(is_target, logits.shape), -jnp.inf, logits)
    if score == "difference":
        return (own - others.max(-1)).mean()
    # softmax(y)_c, written so that the slope p (1 - p) of a confident network keeps its digits.
    return jnp.exp(jax.nn.log_sigmoid(own - jax.nn.logsumexp(others, -1))).mean()


def take_class(values: jax.Array, target) -> jax.Array:
    """Take the values of one class along the last axis: NaN, and so their gradient, where a traced target is none."""
    inside = (target >= 0) & (target < values.shape[-1])
    taken = jnp.take(values, jnp.where(inside, target, 0), axis=-1)
    return taken * jnp.where(inside, 1, jnp.nan).astype(values.dtype)


def check_target(target, classes: int) -> None:
    """Raise unless `target` is one integer, and inside 0..classes - 1 where its value is known."""
    if jnp.ndim(target) != 0 or not jnp.issubdtype(jnp.result_type(target), jnp.integer):
        raise UsageError(f"`target`: wanted one whole number (jax.vmap for more), got {target!r}.")
    if not isinstance(target, jax.core.Tracer) and not 0 <= int(target) < classes:
        raise UsageError(f"`target`: wanted a class in 0..{classes - 1}, got {int(target)}.")


def check_image(image) -> jax.Array:
    """Return one float image (H, W, C) as an array, or raise a UsageError for what is none."""
    if jnp.ndim(image) != 3:
        raise UsageError(
            f"`image`: wanted (H, W, C) of one image, got shape {jnp.shape(image)}; "
            + ("use jax.vmap for a batch." if jnp.ndim(image) > 3 else "image[..., None] for a grey one.")
        )
    return as_float_image("image", image)


def check_features(features) -> jax.Array:
    """Return the float map (h, w, C) of one image as an array, or raise a UsageError for what is none."""
    shape = jnp.shape(features)
    if len(shape) != 3:
        hint = "use jax.vmap for a batch"
        if len(shape) == 2:
            hint = "tokens of a transformer: leave out the class token and reshape (N, C) to their grid (h, w, C)"
        raise UsageError(f"`features`: wanted (h, w, C) of one image, got shape {shape}; {hint}.")
    features = as_array("features", features)
    if not jnp.issubdtype(features.dtype, jnp.floating):
        raise UsageError(f"`features`: wanted floating point, got {features.dtype}; features.astype('float32').")
    return features


def slope(score_fn: ScoreFn, at: jax.Array) -> jax.Array:
    """Return d score / d `at`, of the dtype of `at`.

    Inside a caller's `jax.shard_map` the score may differ between devices where `at` does not: each device gets the
    derivative of its own score, never their sum.
    """
    own = vary_over(at, varying_axes(jax.eval_shape(score_fn, at)))
    return jax.grad(lambda x: score_fn(x).astype(x.dtype))(own)


def output_shape(fn: Callable, argument: jax.Array, name: str, wanted: str) -> tuple[int, ...]:
    """Return the shape of what a user's function returns, without running it. The error names one that does not fit."""
    try:
        out = jax.eval_shape(fn, argument)
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise UsageError(
            f"`{name}`: wanted a function of {wanted}, it failed on {argument.shape}: {reason[0]}"
        ) from error
    if not hasattr(out, "shape") or not jnp.issubdtype(out.dtype, jnp.floating):
        raise UsageError(f"`{name}`: wanted a function of {wanted} that returns one float array, it returned {out!r}.")
    return out.shape


def check_score(score_fn: ScoreFn, image: jax.Array) -> None:
    """Raise unless `score_fn` makes one number of one image."""
    shape = output_shape(score_fn, image, "score_fn", "one image (H, W, C)")
    if shape != ():
        raise UsageError(f"`score_fn`: wanted a scalar for one image, it returned shape {shape}.")
