"""Labels against probabilities: whether these mean what they say, and the one temperature that brings them nearer.

Contract: logits and probabilities are float (N, K), labels int (N,). A row counts if its label lies in 0..K - 1 and
`where`, bool (N,), does not leave it out: a member of the ensemble is judged by pictures of its own two expressions.
"""

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.arrays import as_float, as_whole, vary_over, varying_axes
from fer_jax.errors import UsageError, check_count
from fer_jax.metrics._labels import mean_where

TEMPERATURE_BOUNDS = (0.05, 20.0)
_HALVINGS = 36  # of the bounds' distance in log T: below what float32 can tell apart


def expected_calibration_error(
    probabilities: jax.Array, labels: jax.Array, *, bins: int = 15, where: jax.Array | None = None
) -> jax.Array:
    """Return the distance of confidence from accuracy, averaged over bins (Guo et al. 2017, eq. 3).

    Args:
      probabilities: float (N, K). A row's confidence is its maximum, of whatever else it sums to.
      labels: int (N,).
      bins: of equal width over [0, 1], each closed above. 15 in the source. It decides what is measured: few bins
        hide errors of both signs, many hold chance ones.
      where: bool (N,), the rows that count. None: all.

    Returns:
      A scalar in [0, 1]. NaN without rows, or if one that counts is not finite.

    Raises:
      UsageError: arrays of unlike length, or no bins.

    Example:
      >>> shares = jnp.asarray([[0.75, 0.25], [0.75, 0.25]])
      >>> float(expected_calibration_error(shares, jnp.asarray([0, 1])))
      0.25
    """
    probabilities, labels, counted = _counted(probabilities, labels, where, "probabilities")
    bins = check_count("bins", bins, 1)
    confidence = probabilities.max(-1)
    excess = jnp.where(counted, confidence - (probabilities.argmax(-1) == labels), 0)
    known = jnp.where(counted, jnp.isfinite(probabilities).all(-1), True).all()
    place = jnp.clip(jnp.ceil(confidence * bins) - 1, 0, bins - 1).astype(jnp.int32)
    gaps = jnp.zeros(bins, excess.dtype).at[place].add(excess)
    count = counted.sum()
    return jnp.abs(gaps).sum() / jnp.where((count > 0) & known, count, jnp.nan)


def negative_log_likelihood(logits: jax.Array, labels: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Return the mean of -log p(label) in nats, p the softmax of the logits.

    Args:
      logits: float (N, K).
      labels: int (N,).
      where: bool (N,), the rows that count. None: all.

    Returns:
      A scalar, at least 0. NaN without rows.

    Raises:
      UsageError: arrays of unlike length.

    Example:
      >>> round(float(negative_log_likelihood(jnp.zeros((1, 2)), jnp.asarray([0]))), 3)
      0.693
    """
    logits, label, counted = _counted(logits, labels, where, "logits")
    losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], 1)[:, 0]
    return mean_where(losses, counted)


def brier_score(probabilities: jax.Array, labels: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Return the mean squared distance of the probabilities from the truth over all K classes (Brier 1950).

    Args:
      probabilities: float (N, K).
      labels: int (N,).
      where: bool (N,), the rows that count. None: all.

    Returns:
      A scalar in [0, 2]. NaN without rows.

    Raises:
      UsageError: arrays of unlike length.

    Example:
      >>> float(brier_score(jnp.asarray([[0.5, 0.5]]), jnp.asarray([0])))
      0.5
    """
    probabilities, label, counted = _counted(probabilities, labels, where, "probabilities")
    truth = jax.nn.one_hot(label, probabilities.shape[1], dtype=probabilities.dtype)
    return mean_where(((probabilities - truth) ** 2).sum(-1), counted)


def fit_temperature(logits: jax.Array, labels: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Fit the temperature T at which softmax(logits / T) is likeliest (Guo et al. 2017, §4.2).

    The mean negative log-likelihood is convex in 1 / T, so the sign of its slope tells on which side of T the minimum
    lies: the interval of log T is halved a fixed number of times, which suits `jit` and `vmap`.

    Args:
      logits: float (N, K).
      labels: int (N,).
      where: bool (N,), the rows that count. None: all.

    Returns:
      A scalar in `TEMPERATURE_BOUNDS`, constant to differentiation. It is the lower bound where every row is right, so
      that no T is sharp enough, or where the logits say nothing, and the upper one where they mislead. NaN without
      rows, or if one that counts is not finite.

    Raises:
      UsageError: arrays of unlike length.

    Example:
      >>> logits, labels = jnp.asarray([[2.0, 0.0]] * 4), jnp.asarray([0, 0, 0, 1])
      >>> round(float(fit_temperature(logits, labels)), 2)
      1.82
    """
    logits, label, counted = _counted(logits, labels, where, "logits")
    return _likeliest_temperature(lax.stop_gradient(logits), label, counted)


@jax.jit
def _likeliest_temperature(logits, label, counted):
    lead = logits - jnp.take_along_axis(logits, label[:, None], 1)  # over the label's own logit

    def slope(log_temperature):
        """Return the slope of the loss in 1 / T."""
        shares = jax.nn.softmax(lead * jnp.exp(-log_temperature))
        return mean_where((shares * lead).sum(-1), counted)

    def halve(_, interval):
        low, high = interval
        middle = (low + high) / 2
        sharpen = slope(middle) <= 0
        return jnp.where(sharpen, low, middle), jnp.where(sharpen, middle, high)

    coldest, hottest = (jnp.log(jnp.asarray(bound, lead.dtype)) for bound in TEMPERATURE_BOUNDS)
    bounds = vary_over((coldest, hottest), varying_axes((lead, counted)))
    low, high = lax.fori_loop(0, _HALVINGS, halve, bounds)
    temperature = jnp.clip(jnp.exp((low + high) / 2), *TEMPERATURE_BOUNDS)
    return jnp.where(jnp.isfinite(slope(jnp.zeros_like(low))), temperature, jnp.nan)


def _counted(values, labels, where, name):
    """Return float values, labels (0 in rows that do not count), and a mask of the rows that count."""
    values, labels = as_float(name, values), as_whole("labels", labels)
    if values.ndim != 2:
        raise UsageError(f"`{name}`: wanted (N, K), a row for each picture, got {values.shape}.")
    for other, array in (("labels", labels), ("where", where)):
        if array is not None and jnp.shape(array) != values.shape[:1]:
            raise UsageError(
                f"`{other}`: wanted {values.shape[:1]}, one for each row of `{name}`, got {jnp.shape(array)}."
            )
    counted = (labels >= 0) & (labels < values.shape[1])
    if where is not None:
        if jnp.asarray(where).dtype != jnp.bool_:
            raise UsageError(f"`where`: wanted booleans, which rows count, got {jnp.asarray(where).dtype}.")
        counted = counted & where
    return values, jnp.where(counted, labels, 0), counted
