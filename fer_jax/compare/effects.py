"""Sizes of effects with their intervals, and the bounds at which an effect would count as none.

Contract: a size comes from a test's own numbers (F or t with its degrees of freedom), its interval from the noncentral
distribution of that number (Steiger 2004, 10.1037/1082-989X.9.2.164). A 95 % interval says how large the effect may
be. The 90 % interval belongs to equivalence: two one-sided tests at 5 % call an effect none where that interval lies
within a bound. No bound is assumed. `bound` is the smallest one that the data would support.
"""

import numpy as np
import scipy

from fer_jax.errors import UsageError

EQUIVALENCE = 90  # percent: two one-sided tests at 5 % each
_LARGEST = 1e8  # noncentrality that no data reach
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def share_of_variance(f: float, df1: float, df2: float, *, observations: float | None = None) -> dict[str, float]:
    """Return the share of the variance that an effect explains.

    Args:
      f: F of the effect. NaN gives NaN throughout.
      df1: degrees of freedom of the effect.
      df2: degrees of freedom of the error.
      observations: all numbers that were analysed. None takes df1 + df2 + 1, those of a one-way analysis between
        groups. Of a repeated design and of Welch's test there are more.

    Returns:
      A dict of what stands under Columns. η² and ω² estimate the same share of the population, so they have one
      interval between them.

    Columns:
      eta2: share of the variance of effect and error (partial η²).
      omega2: the same, corrected for chance, below 0 where F is below 1.
      low, high: 95 % interval of the share in the population. Both are 0 where F is less than chance alone would give.
      low_90, high_90: its 90 % interval.
      bound: smallest bound on the share at which the effect would count as none.

    Raises:
      UsageError: F below 0, or degrees of freedom or observations that are not above 0.

    Example:
      >>> found = share_of_variance(1.34, 7, 144, observations=168)
      >>> round(found["omega2"], 3), round(found["bound"], 3)
      (0.014, 0.081)
    """
    if f < 0:
        raise UsageError(f"`f`: wanted F from 0, got {f:g}.")
    _check_df(df1=df1, df2=df2)
    n = df1 + df2 + 1 if observations is None else observations
    if n <= 0:
        raise UsageError(f"`observations`: wanted how many numbers were analysed, got {n:g}.")
    excess = df1 * (f - 1)
    found = {"eta2": f * df1 / (f * df1 + df2) if np.isfinite(f) else np.nan}
    found["omega2"] = excess / (excess + n) if np.isfinite(f) else np.nan
    for name, level in (("", 95), ("_90", EQUIVALENCE)):
        low, high = _noncentral(lambda nc: scipy.special.ncfdtr(df1, df2, nc, f), f, level, lowest=0.0)
        found |= {f"low{name}": low / (low + n), f"high{name}": high / (high + n)}
    return found | {"bound": found["high_90"]}


def standardised_difference(t: float, df: float, *, scale: float) -> dict[str, float]:
    """Return d, the difference of two means in standard deviations.

    Args:
      t: of the difference. NaN gives NaN throughout.
      df: degrees of freedom of the error.
      scale: d / t: √(1/n + 1/m) of two groups of n and m, √(1/n) of n paired differences.

    Returns:
      A dict of what stands under Columns.

    Columns:
      d: difference in standard deviations.
      d_low, d_high: 95 % interval of d in the population.
      d_low_90, d_high_90: its 90 % interval.
      d_bound: smallest bound on the size of d at which the difference would count as none.

    Raises:
      UsageError: degrees of freedom or a scale that is not above 0.

    Example:
      >>> found = standardised_difference(1.81, 81, scale=(2 / 28) ** 0.5)  # the paper's CAM against Grad-CAM
      >>> [round(found[name], 2) for name in ("d", "d_low", "d_high", "d_bound")]
      [0.48, -0.05, 1.01, 0.93]
    """
    _check_df(df=df)
    if not scale > 0:
        raise UsageError(f"`scale`: wanted d / t, above 0, got {scale:g}.")
    found = {"d": t * scale}
    for name, level in (("", 95), ("_90", EQUIVALENCE)):
        low, high = _noncentral(_below_t(t, df), t, level, lowest=-_LARGEST)
        found |= {f"d_low{name}": low * scale, f"d_high{name}": high * scale}
    return found | {"d_bound": max(abs(found["d_low_90"]), abs(found["d_high_90"]))}


def _below_t(t, df):
    """Return P(T < t) as a function of the noncentrality: the normal distribution averaged over the spread's.

    scipy's own (1.17) is NaN where it should be 1, at a noncentrality of -16 for t = 15 with 837 degrees of freedom.
    """
    scale = df**-0.5
    low, high = (float(end(1e-16, df, scale=scale)) for end in (scipy.stats.chi.ppf, scipy.stats.chi.isf))
    at = low + (high - low) * (_NODES + 1) / 2
    weights = _WEIGHTS * scipy.stats.chi.pdf(at, df, scale=scale)
    return lambda nc: weights @ scipy.special.ndtr(t * at - nc) / weights.sum()


def _noncentral(distribution, statistic, level, lowest) -> tuple[float, float]:
    """Return the noncentralities at which a statistic is as high, and as low, as the level allows."""
    if not np.isfinite(statistic):
        return np.nan, np.nan
    tail = (100 - level) / 200
    low, high = (_solve(distribution, share, statistic, lowest) for share in (1 - tail, tail))
    return low, high


def _solve(distribution, share, statistic, lowest) -> float:
    """Return the noncentrality that leaves a share of the distribution below the statistic."""
    if lowest == 0 and distribution(0.0) <= share:
        return 0.0
    step, at = 1.0 + abs(statistic), max(lowest, 0.0)
    low = high = at
    while distribution(high) > share and high < _LARGEST:
        low, high, step = high, high + step, 2 * step
    step = 1.0
    while distribution(low) < share and low > lowest:
        low, high, step = low - step, low, 2 * step
    return scipy.optimize.root_scalar(
        lambda nc: distribution(nc) - share, bracket=(low, high), xtol=1e-12, rtol=1e-12
    ).root


def _check_df(**degrees):
    for name, value in degrees.items():
        if not value > 0:
            raise UsageError(f"`{name}`: wanted degrees of freedom above 0, got {value:g}.")
