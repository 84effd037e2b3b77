"""Sanity checks (Adebayo et al. 2018): a map that ignores the weights explains the picture, not the model."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.errors import UsageError
from fer_jax.metrics import SSIM_WINDOW, spearman, ssim
from fer_jax.saliency._normalise import normalise
from fer_jax.saliency._once import compiled

DRAWS = ("permute", "normal")

Path = tuple[str, ...]


class Cascade(NamedTuple):
    """Maps under more and more randomised weights, and how like the original each still is.

    Attributes:
      heats: float (S + 1, H, W), the original first.
      spearman: float (S,), rank correlation with the original. NaN if either map is constant.
      absolute: float (S,), rank correlation of the absolute values. NaN if either is constant.
      ssim: float (S,), structural similarity of the maps, each scaled to [0, 1]. NaN if either is constant.
    """

    heats: jax.Array
    spearman: jax.Array
    absolute: jax.Array
    ssim: jax.Array


def cascading_randomisation(
    key: jax.Array,
    explain_fn: Callable[[Any], jax.Array],
    variables,
    layers: Sequence[Path | Callable[[Path], bool]],
    *,
    draw: str | Callable[[jax.Array, jax.Array], jax.Array] = "permute",
) -> Cascade:
    """Randomise a network from the top down, layer after layer, and compare its maps with the original (§3).

    A map that depends on what was learnt loses its likeness to the original: all three similarities should fall
    towards 0. Normalisation statistics are only drawn anew where a layer names them too.

    Args:
      key: typed random key of the weights.
      explain_fn: from variables to a map (H, W) of a certain image and target, at least 11 x 11 (see
        `saliency.resize`).
      variables: a pytree of arrays, such as those of a Flax module.
      layers: S of them, the top first: each the start of a key path, such as ("params", "fc"), or a function that
        says of a whole path, such as ("params", "fc", "kernel"), whether it belongs. Layers drawn anew stay so.
      draw: what takes the place of a leaf: "permute", its values in another order (ours: every leaf keeps its
        distribution, so variances stay positive), "normal", of its mean and standard deviation, or a function of key
        and leaf, such as the initialiser (as published).

    Returns:
      A `Cascade`, stage by stage.

    Raises:
      UsageError: no layer, one that holds no floating-point leaf of its own, an unknown draw, or an explanation that
        is not one map of at least 11 x 11.

    Example:
      >>> variables = {"fc": jnp.arange(12.0), "stem": jnp.arange(12.0)}
      >>> explain = lambda weights: jnp.outer(weights["fc"], weights["stem"])
      >>> cascading_randomisation(jax.random.key(0), explain, variables, [("fc",), ("stem",)]).heats.shape
      (3, 12, 12)
    """
    _check_explanation(explain_fn, variables)
    redraw = _draws(draw)
    leaves, structure = jax.tree.flatten(variables)
    stages = _stages(variables, layers)
    keys = jax.random.split(key, len(leaves))
    anew = [leaf if stage is None else redraw(k, leaf) for k, leaf, stage in zip(keys, leaves, stages, strict=True)]
    program = compiled(_compare, explain_fn, structure=structure, stages=tuple(stages), count=len(layers))
    return program(leaves, anew)


def _compare(explain_fn, leaves, anew, *, structure, stages, count):
    """Compute the `Cascade` of weights drawn anew, stage after stage."""

    def explain(stage):
        mixed = [
            leaf if first is None else jnp.where(stage > first, new, leaf)
            for leaf, new, first in zip(leaves, anew, stages, strict=True)
        ]
        return explain_fn(jax.tree.unflatten(structure, mixed))

    # One after another, so that the stages need one network's memory and `explain_fn` is compiled once.
    heats = lax.map(explain, jnp.arange(count + 1))
    original = heats[0]

    def alike(heat):
        scaled = ssim(normalise(heat), normalise(original), data_range=1.0)
        constant = (heat.max() == heat.min()) | (original.max() == original.min())
        absolute = spearman(jnp.abs(heat), jnp.abs(original))
        return spearman(heat, original), absolute, jnp.where(constant, jnp.nan, scaled)

    return Cascade(heats, *lax.map(alike, heats[1:]))


def _draws(draw):
    """Return the function of key and leaf that `draw` names."""
    if callable(draw):
        return draw
    if draw == "permute":
        return lambda key, leaf: jax.random.permutation(key, leaf.reshape(-1)).reshape(leaf.shape)
    if draw == "normal":
        return lambda key, leaf: leaf.mean() + leaf.std() * jax.random.normal(key, leaf.shape, leaf.dtype)
    raise UsageError(f"`draw`: wanted a function of key and leaf or one of {', '.join(DRAWS)}, got {draw!r}.")


def _stages(variables, layers):
    """Return for each leaf the index of the first layer that holds it, None where none does."""
    if not layers:
        raise UsageError("`layers`: wanted at least one, the top of the network first, got none.")
    paths = [
        (tuple(jax.tree_util.keystr((entry,), simple=True) for entry in path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
    ]
    stages = [
        next((index for index, layer in enumerate(layers) if _floating(leaf) and _holds(layer, path)), None)
        for path, leaf in paths
    ]
    for index, layer in enumerate(layers):
        if index not in stages:
            some = ", ".join("/".join(path) for path, _ in paths[:3])
            raise UsageError(
                f"`layers`: wanted leaves no earlier layer holds, got none for {layer!r} of paths such as {some}."
            )
    return stages


def _holds(layer, path):
    return bool(layer(path)) if callable(layer) else path[: len(layer)] == tuple(layer)


def _floating(leaf):
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def _check_explanation(explain_fn, variables):
    try:
        heat = jax.eval_shape(explain_fn, variables)
    except (TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise UsageError(f"`explain_fn`: wanted a function of `variables`, it failed: {reason[0]}") from error
    shape = getattr(heat, "shape", None)
    if shape is None or len(shape) != 2 or min(shape) < SSIM_WINDOW or not _floating(heat):
        raise UsageError(
            f"`explain_fn`: wanted a float map (H, W), at least {SSIM_WINDOW} x {SSIM_WINDOW}, it returned {heat!r}; "
            "upsample it with saliency.resize."
        )
