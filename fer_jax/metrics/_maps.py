"""Maps against maps, as values (correlations) or as densities (similarity, divergence)."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.stats import rankdata

_EPSILON = 2.2204e-16  # the benchmark's constant in KL
_KENDALL_BLOCK = 64  # pixels compared with all others at once


def cc(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Pearson correlation of two maps; 0 if only the model's is constant (benchmark), NaN if the human map is."""
    correlation = pearson(heat, human)
    return jnp.where(is_constant(heat) & ~is_constant(human), 0, correlation)


def pearson(first: jax.Array, second: jax.Array) -> jax.Array:
    """Pearson correlation of two arrays of one shape; NaN if either is constant."""
    # Asked of the values: rounding of the mean can leave a constant map a tiny deviation.
    undefined = is_constant(first) | is_constant(second)
    first, second = first - first.mean(), second - second.mean()
    scale = jnp.sqrt((first**2).sum()) * jnp.sqrt((second**2).sum())
    return (first * second).sum() / jnp.where(undefined, jnp.nan, scale)


def spearman(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Rank correlation of two maps, ties sharing their mean rank; NaN if either is constant."""
    return pearson(rankdata(heat.reshape(-1)).astype(heat.dtype), rankdata(human.reshape(-1)).astype(heat.dtype))


def kendall(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Rank correlation of two maps by pairs of pixels: Kendall's tau-b, whose scale leaves ties out.

    Args:
      heat: float (H, W). All pairs are compared, a block of pixels at a time: thin out or shrink maps much larger
        than 64 x 64.
      human: float (H, W).

    Returns:
      A scalar in [-1, 1]; NaN if either map is constant.
    """
    first, second = heat.reshape(-1), human.reshape(-1)

    def against_all(pair):
        ahead, above = jnp.sign(pair[0] - first), jnp.sign(pair[1] - second)
        return jnp.stack([(ahead * above).sum(), jnp.abs(ahead).sum(), jnp.abs(above).sum()])

    # Each row's count is a whole number that float32 holds exactly; only their sum is rounded.
    agreement, apart, differing = lax.map(against_all, (first, second), batch_size=_KENDALL_BLOCK).sum(0)
    scale = jnp.sqrt(apart) * jnp.sqrt(differing)
    return agreement / jnp.where(is_constant(heat) | is_constant(human), jnp.nan, scale)


def sim(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Similarity Σ min(P', Q') of two maps as densities, in [0, 1]."""
    return jnp.minimum(density(heat), density(human)).sum()


def kl(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Kullback-Leibler divergence of the model's density from the people's, Σ Q' ln(ε + Q' / (P' + ε)), in nats."""
    model, people = density(heat), density(human)
    return (people * jnp.log(_EPSILON + people / (model + _EPSILON))).sum()


def density(heat: jax.Array) -> jax.Array:
    """A map that sums to 1: shifted by its minimum only if that is negative; uniform if nothing is left."""
    heat = heat - jnp.minimum(heat.min(), 0)
    total = heat.sum()
    return jnp.where(total > 0, heat / jnp.where(total > 0, total, 1), 1 / heat.size)


def is_constant(heat):
    return heat.max() == heat.min()
