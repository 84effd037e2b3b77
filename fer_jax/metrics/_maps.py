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
    """Return the Pearson correlation of two maps.

    Args:
      heat: the model's map, (H, W).
      human: people's map, (H, W).

    Returns:
      A scalar. 0 if only the model's map is constant (benchmark), NaN if the human one is.

    Example:
      >>> heat = jnp.asarray([[0.0, 1.0, 2.0]])
      >>> round(float(cc(heat, 5 - heat)), 3)
      -1.0
    """
    heat, human = as_map_pair(heat=heat, human=human)
    correlation, undefined = _correlation(heat, human)
    by_convention = is_constant(heat) & ~is_constant(human) & jnp.isfinite(human).all()
    return jnp.where(by_convention, 0, correlation * jnp.where(undefined & ~by_convention, jnp.nan, 1))


def pearson(first: jax.Array, second: jax.Array) -> jax.Array:
    """Return the Pearson correlation of two arrays of one shape. NaN if either is constant or not finite.

    Example:
      >>> first = jnp.asarray([0.0, 1.0, 2.0])
      >>> round(float(pearson(first, 3 * first)), 3)
      1.0
    """
    correlation, undefined = _correlation(*_as_pair(first=first, second=second))
    return correlation * jnp.where(undefined, jnp.nan, 1)


def spearman(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Return the rank correlation of two maps, ties sharing their mean rank.

    Args:
      heat: the model's map, (H, W).
      human: people's map, (H, W).

    Returns:
      A scalar. NaN if either map is constant or not finite.

    Example:
      >>> heat = jnp.asarray([[0.0, 1.0, 2.0]])
      >>> round(float(spearman(heat, heat**3)), 3)
      1.0
    """
    heat, human = _as_pair(heat=heat, human=human)
    known = jnp.isfinite(heat).all() & jnp.isfinite(human).all()
    ranks = (rankdata(values.reshape(-1)).astype(values.dtype) for values in (heat, human))
    return jnp.where(known, pearson(*ranks), jnp.nan)


def kendall(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Return the rank correlation of two maps by pairs of pixels: Kendall's tau-b, whose scale leaves ties out.

    Args:
      heat: float (H, W). All pairs are compared, a block of pixels at a time: thin out or shrink maps much larger
        than 64 x 64.
      human: float (H, W).

    Returns:
      A scalar in [-1, 1]. NaN if either map is constant or not finite.

    Example:
      >>> round(float(kendall(jnp.asarray([[1.0, 2.0, 3.0]]), jnp.asarray([[1.0, 3.0, 2.0]]))), 3)
      0.333
    """
    return _kendall(*_as_pair(heat=heat, human=human))


@jax.jit
def _kendall(heat, human):
    # At one scale, as tiny differences would be flushed to 0 and become ties.
    first, second = (unit_scale(values.reshape(-1))[0] for values in (heat, human))

    def against_all(pair):
        ahead, above = jnp.sign(pair[0] - first), jnp.sign(pair[1] - second)
        return jnp.stack([(ahead * above).sum(), jnp.abs(ahead).sum(), jnp.abs(above).sum()])

    # Each row's count is a whole number that float32 holds exactly. Only their sum is rounded.
    agreement, apart, differing = lax.map(against_all, (first, second), batch_size=_KENDALL_BLOCK).sum(0)
    scale = jnp.sqrt(apart) * jnp.sqrt(differing)
    return agreement / jnp.where(_undefined(heat) | _undefined(human), jnp.nan, scale)


def sim(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Return the similarity Σ min(P', Q') of two maps as densities, in [0, 1].

    Example:
      >>> float(sim(jnp.asarray([[1.0, 0.0]]), jnp.asarray([[1.0, 1.0]])))
      0.5
    """
    heat, human = as_map_pair(heat=heat, human=human)
    return jnp.minimum(density(heat), density(human)).sum()


def kl(heat: jax.Array, human: jax.Array) -> jax.Array:
    """Return the Kullback-Leibler divergence Σ Q' ln(ε + Q' / (P' + ε)) of model P' from people Q', in nats.

    Example:
      >>> round(float(kl(jnp.asarray([[1.0, 1.0]]), jnp.asarray([[1.0, 0.0]]))), 3)
      0.693
    """
    model, people = (density(values) for values in as_map_pair(heat=heat, human=human))
    return (people * jnp.log(_EPSILON + people / (model + _EPSILON))).sum()


def density(heat: jax.Array) -> jax.Array:
    """Scale a map to sum 1: shifted by its minimum only if that is negative. Uniform if nothing is left.

    Args:
      heat: float (H, W).

    Returns:
      float (H, W). NaN everywhere if the map is not finite.

    Example:
      >>> density(jnp.asarray([[1.0, 3.0]])).tolist()
      [[0.25, 0.75]]
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
    """Return deviations from the mean in standard deviations. 0 everywhere if the map is constant."""
    deviation = _deviation(heat)
    variance = jnp.where(is_constant(heat), 1, (deviation**2).mean())
    return jnp.where(is_constant(heat), 0, deviation / jnp.sqrt(variance))


def _correlation(first, second):
    """Return Pearson's r and a flag for undefined. There r is a number, so that derivatives stay finite."""
    # Asked of the values: rounding of the mean can leave a constant map a tiny deviation.
    undefined = _undefined(first) | _undefined(second)
    first, second = _deviation(first), _deviation(second)
    squares = [jnp.where(undefined, 1, (deviation**2).sum()) for deviation in (first, second)]
    return (first * second).sum() / (jnp.sqrt(squares[0]) * jnp.sqrt(squares[1])), undefined


def _deviation(values):
    """Return deviations from the mean, at a scale at which squares neither overflow nor vanish."""
    (values,) = unit_scale(values)
    return values - values.mean()


def _undefined(values):
    return is_constant(values) | ~jnp.isfinite(values).all()


def _as_pair(**arrays):
    """Return two named arrays of one shape, at least float32."""
    (first, _), (second, _) = arrays.items()
    one, other = (as_float(name, values) for name, values in arrays.items())
    if one.shape != other.shape:
        raise UsageError(f"`{second}`: wanted the shape of `{first}`, {one.shape}, got {other.shape}.")
    return one, other
