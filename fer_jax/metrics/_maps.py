"""Maps against maps, as values (correlations) or as densities (similarity, divergence)."""

import jax
import jax.numpy as jnp
from jax.scipy.stats import rankdata

_EPSILON = 2.2204e-16  # the benchmark's constant in KL


def cc(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Pearson correlation of two maps; 0 if only the model's is constant (benchmark), NaN if the human map is."""
    correlation = _pearson(heat, human)
    return jnp.where(is_constant(heat) & ~is_constant(human), 0, correlation)


def spearman(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Rank correlation of two maps, ties sharing their mean rank; NaN if either is constant."""
    return _pearson(rankdata(heat.reshape(-1)).astype(heat.dtype), rankdata(human.reshape(-1)).astype(heat.dtype))


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


def _pearson(first, second):
    # Asked of the values: rounding of the mean can leave a constant map a tiny deviation.
    undefined = is_constant(first) | is_constant(second)
    first, second = first - first.mean(), second - second.mean()
    scale = jnp.sqrt((first**2).sum()) * jnp.sqrt((second**2).sum())
    return (first * second).sum() / jnp.where(undefined, jnp.nan, scale)
