"""Maps against maps, as values (correlations) or as densities (similarity, divergence)."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.stats import rankdata

from fer_jax.arrays import as_float, as_map, as_map_pair, is_finite, unit_scale
from fer_jax.errors import UsageError

_EPSILON = 2.2204e-16  # the benchmark's constant in KL
_KENDALL_BLOCK = 64  # pixels compared with all others at once


def cc(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Pearson correlation of two maps; 0 if only the model's is constant (benchmark), NaN if the human map is."""
    heat, human = as_map_pair(heat=heat, human=human)
    correlation, undefined = _correlation(heat, human)
    by_convention = is_constant(heat) & ~is_constant(human) & jnp.isfinite(human).all()
    return jnp.where(by_convention, 0, correlation * jnp.where(undefined & ~by_convention, jnp.nan, 1))


def pearson(first: jax.Array, second: jax.Array) -> jax.Array:
    """Pearson correlation of two arrays of one shape; NaN if either is constant or not finite."""
    correlation, undefined = _correlation(*_as_pair(first=first, second=second))
    return correlation * jnp.where(undefined, jnp.nan, 1)


def spearman(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Rank correlation of two maps, ties sharing their mean rank; NaN if either is constant or not finite."""
    heat, human = _as_pair(heat=heat, human=human)
    known = jnp.isfinite(heat).all() & jnp.isfinite(human).all()
    ranks = (rankdata(values.reshape(-1)).astype(values.dtype) for values in (heat, human))
    return jnp.where(known, pearson(*ranks), jnp.nan)


def kendall(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Rank correlation of two maps by pairs of pixels: Kendall's tau-b, whose scale leaves ties out.

    Args:
      heat: float (H, W). All pairs are compared, a block of pixels at a time: thin out or shrink maps much larger
        than 64 x 64.
      human: float (H, W).

    Returns:
      A scalar in [-1, 1]; NaN if either map is constant or not finite.
    """
    return _kendall(*_as_pair(heat=heat, human=human))


@jax.jit
def _kendall(heat, human):
    # At one scale, as tiny differences would be flushed to 0 and become ties.
    first, second = (unit_scale(values.reshape(-1))[0] for values in (heat, human))

    def against_all(pair):
        ahead, above = jnp.sign(pair[0] - first), jnp.sign(pair[1] - second)
        return jnp.stack([(ahead * above).sum(), jnp.abs(ahead).sum(), jnp.abs(above).sum()])

    # Each row's count is a whole number that float32 holds exactly; only their sum is rounded.
    agreement, apart, differing = lax.map(against_all, (first, second), batch_size=_KENDALL_BLOCK).sum(0)
    scale = jnp.sqrt(apart) * jnp.sqrt(differing)
    return agreement / jnp.where(_undefined(heat) | _undefined(human), jnp.nan, scale)


def sim(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Similarity Σ min(P', Q') of two maps as densities, in [0, 1]."""
    heat, human = as_map_pair(heat=heat, human=human)
    return jnp.minimum(density(heat), density(human)).sum()


def kl(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Kullback-Leibler divergence of the model's density from the people's, Σ Q' ln(ε + Q' / (P' + ε)), in nats."""
    model, people = (density(values) for values in as_map_pair(heat=heat, human=human))
    return (people * jnp.log(_EPSILON + people / (model + _EPSILON))).sum()


def density(heat: jax.Array) -> jax.Array:
    """A map that sums to 1: shifted by its minimum only if that is negative; uniform if nothing is left.

    Args:
      heat: float (H, W).

    Returns:
      float (H, W); NaN everywhere if the map is not finite.
    """
    heat = as_map("heat", heat)
    known = is_finite(heat)
    (heat,) = unit_scale(heat)
    heat = heat - jnp.minimum(heat.min(), 0)
    total = heat.sum()
    shares = jnp.where(total > 0, heat / jnp.where(total > 0, total, 1), 1 / heat.size)
    return jnp.where(known, shares, jnp.nan)


def is_constant(heat):
    return heat.max() == heat.min()


def standardised(heat):
    """Deviations from the mean in standard deviations; 0 everywhere if the map is constant."""
    deviation = _deviation(heat)
    variance = jnp.where(is_constant(heat), 1, (deviation**2).mean())
    return jnp.where(is_constant(heat), 0, deviation / jnp.sqrt(variance))


def _correlation(first, second):
    """Pearson's r and whether it is undefined; there it is a number, so that derivatives stay finite."""
    # Asked of the values: rounding of the mean can leave a constant map a tiny deviation.
    undefined = _undefined(first) | _undefined(second)
    first, second = _deviation(first), _deviation(second)
    squares = [jnp.where(undefined, 1, (deviation**2).sum()) for deviation in (first, second)]
    return (first * second).sum() / (jnp.sqrt(squares[0]) * jnp.sqrt(squares[1])), undefined


def _deviation(values):
    """From the mean, at a scale at which squares neither overflow nor vanish."""
    (values,) = unit_scale(values)
    return values - values.mean()


def _undefined(values):
    return is_constant(values) | ~jnp.isfinite(values).all()


def _as_pair(**arrays):
    """Two named arrays of one shape, at least float32."""
    (first, _), (second, _) = arrays.items()
    one, other = (as_float(name, values) for name, values in arrays.items())
    if one.shape != other.shape:
        raise UsageError(f"`{second}`: wanted the shape of `{first}`, {one.shape}, got {other.shape}.")
    return one, other
