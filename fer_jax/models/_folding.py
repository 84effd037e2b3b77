"""BatchNorm as part of the convolution before it: the same network in evaluation, with fewer operations.

Contract: γ (W x - μ) / √(σ² + ε) + β = (W a) x + (β - μ a) with a = γ / √(σ² + ε), one number for each output channel.
Leaves may have axes in front (a stack's members). Dtypes stay as they are.
"""

import jax.numpy as jnp

from fer_jax.errors import UsageError
from fer_jax.models._resnet import BATCH_NORM_EPSILON, ResNet


def fold_batch_norm(model: ResNet, variables) -> tuple[ResNet, dict]:
    """Fold BatchNorm into the convolutions: a network that equals `model` in evaluation.

    Args:
      model: a ResNet.
      variables: its {"params", "batch_stats"}, or a stack's with a leading member axis on every leaf.

    Returns:
      The folded model and its variables {"params"}, with the same leading axes. It cannot be trained.

    Raises:
      UsageError: a folded model or folded variables, or variables of another kind of network.
    """
    if model.folded:
        raise UsageError("`model`: wanted one with BatchNorm, got a folded one; fold once.")
    if set(variables) != {"params", "batch_stats"}:
        raise UsageError(f"`variables`: wanted params and batch_stats, got {', '.join(variables)}; fold once.")
    try:
        params = _folded(variables["params"], variables["batch_stats"])
    except KeyError as error:
        raise UsageError(f"`variables`: wanted those of a ResNet, in one place they have no {error}.") from None
    return model.clone(folded=True), {"params": params}


def _folded(params, stats):
    folded = {}
    for name, own in params.items():
        if "conv" in name:
            norm = name.replace("conv", "bn")
            folded[name] = _convolution(own["kernel"], params[norm], stats[norm])
        elif "bn" not in name:  # the head, which has no statistics, or a block
            folded[name] = _folded(own, stats[name]) if name in stats else own
    return folded


def _convolution(kernel, norm, stats):
    factor = norm["scale"] / jnp.sqrt(stats["var"] + BATCH_NORM_EPSILON)
    return {"kernel": kernel * factor[..., None, None, None, :], "bias": norm["bias"] - stats["mean"] * factor}
