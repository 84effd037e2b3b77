"""Analysis of variance and what follows it, on plain groups of numbers (paper §5.3).

Contract: `groups` maps a name to float (n,), the same units in the same order for repeated designs. What cannot be
computed is NaN, with its `reason`. Numbers that differ by rounding alone count as equal: a spread of 1e-17 is none.
"""

import itertools

import numpy as np
import pandas as pd
from scipy import stats

from fer_jax.compare import intervals
from fer_jax.errors import UsageError, check_one_of
from fer_jax.human.behaviour import ROUNDING, varies
from fer_jax.streams import stream

DESIGNS = ("between", "repeated")

_NO_ERROR = "nothing varies but the group means: the error term is zero"
_ALL_EQUAL = "all values are equal"


def anova(groups: dict[str, np.ndarray], *, design: str = "between") -> dict:
    """Run a one-way analysis of variance.

    Args:
      groups: two or more groups of equal meaning, of equal size for "repeated".
      design: "between" (the paper's reading) or "repeated" (the same units under every method, ours), which also
        gives the Greenhouse-Geisser correction.

    Returns:
      A dict: df (two numbers), and what stands under Columns, epsilon and p_gg for "repeated" only.

    Columns:
      F: of the groups, NaN with a reason where the error term is zero.
      p: of F.
      eta2: share of the variance between groups.
      omega2: the same, corrected for chance.
      n: a group's size, or the mean size.
      reason: why F, p and epsilon are NaN, else empty.
      epsilon: Greenhouse and Geisser's, which shrinks the degrees of freedom.
      p_gg: p with the shrunk degrees of freedom.

    Raises:
      UsageError: fewer than two groups, fewer than two units, or unequal sizes for "repeated".

    Example:
      >>> groups = {"cam": np.array([0.2, 0.3, 0.4]), "ep": np.array([0.5, 0.4, 0.8])}
      >>> found = anova(groups)
      >>> round(float(found["F"]), 2), found["df"], round(float(found["p"]), 3)
      (4.0, (1, 4), 0.116)
    """
    values = _checked(groups, repeated=design == "repeated")
    check_one_of("design", design, DESIGNS)
    if design == "between":
        return _between(values)
    return _repeated(np.stack(values, 1))


def _between(values):
    everything = np.concatenate(values)
    grand, k, total = everything.mean(), len(values), len(everything)
    ss_between = sum(len(group) * (group.mean() - grand) ** 2 for group in values)
    ss_error = _within(values)
    return _result(_unless_rounding(ss_between, everything), ss_error, k - 1, total - k, total / k)


def _within(values):
    """Sum of squares within groups."""
    squares = sum(((group - group.mean()) ** 2).sum() for group in values)
    return _unless_rounding(squares, np.concatenate(values))


def _repeated(table):
    """Compute the repeated design of a table whose rows are units, and whose columns are methods."""
    n, k = table.shape
    grand = table.mean()
    ss_method = _unless_rounding(n * ((table.mean(0) - grand) ** 2).sum(), table)
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + grand
    result = _result(ss_method, _unless_rounding((residual**2).sum(), table), k - 1, (n - 1) * (k - 1), n)
    if np.isnan(result["F"]):
        return result | {"epsilon": np.nan, "p_gg": np.nan}
    # Greenhouse-Geisser: eigenvalues of the covariance of orthonormal contrasts.
    contrasts = np.linalg.svd(np.eye(k) - 1 / k)[0][:, : k - 1]
    covariance = np.atleast_2d(np.cov(table @ contrasts, rowvar=False))
    epsilon = np.trace(covariance) ** 2 / ((k - 1) * np.trace(covariance @ covariance))
    first, second = result["df"]
    return result | {"epsilon": epsilon, "p_gg": stats.f.sf(result["F"], epsilon * first, epsilon * second)}


def _unless_rounding(squares, values):
    """Return a sum of squares, 0 where deviations no larger than the rounding of the values would give it."""
    return squares if squares > values.size * (ROUNDING * np.abs(values).max()) ** 2 else 0.0


def _result(ss_effect, ss_error, df1, df2, n):
    ms_error = ss_error / df2
    f = ss_effect / df1 / ms_error if ms_error > 0 else np.nan
    total = ss_effect + ss_error
    return {
        "F": f,
        "df": (df1, df2),
        "p": stats.f.sf(f, df1, df2),
        "eta2": ss_effect / total if total > 0 else np.nan,
        "omega2": (ss_effect - df1 * ms_error) / (total + ms_error) if total > 0 else np.nan,
        "n": n,
        "reason": "" if ms_error > 0 else _NO_ERROR if total > 0 else _ALL_EQUAL,
    }


def tukey(groups: dict[str, np.ndarray]) -> pd.DataFrame:
    """Compute Tukey's honest significant differences, with t as the paper prints it.

    Args:
      groups: two or more groups of one size n.

    Returns:
      One row a pair of groups, in their order.

    Columns:
      a, b: the groups compared.
      difference: mean of a less mean of b.
      t: difference / √(2 MSE / n).
      p: from the studentised range at q = |t| √2.
      d: difference / √MSE.
      n: size of a group.
      reason: why t, p and d are NaN, else empty.

    Raises:
      UsageError: unequal sizes, fewer than two groups or two units.

    Example:
      >>> groups = {"cam": np.array([0.2, 0.3, 0.4]), "ep": np.array([0.5, 0.4, 0.8])}
      >>> tukey(groups)[["difference", "t", "p"]].round(3).values.tolist()
      [[-0.267, -2.0, 0.116]]
    """
    values = dict(zip(groups, _checked(groups, repeated=True), strict=True))
    k, n = len(values), len(next(iter(values.values())))
    df = k * (n - 1)
    mse = _within(list(values.values())) / df
    reason = "" if mse > 0 else _NO_ERROR
    rows = []
    for a, b in itertools.combinations(values, 2):
        difference = values[a].mean() - values[b].mean()
        t = difference / np.sqrt(2 * mse / n) if mse > 0 else np.nan
        p = float(stats.studentized_range.sf(abs(t) * np.sqrt(2), k, df)) if np.isfinite(t) else np.nan
        d = difference / np.sqrt(mse) if mse > 0 else np.nan
        rows.append({"a": a, "b": b, "difference": difference, "t": t, "p": p, "d": d, "n": n, "reason": reason})
    return pd.DataFrame(rows)


def friedman(groups: dict[str, np.ndarray]) -> dict:
    """Run Friedman's rank test over the same units.

    Args:
      groups: three or more groups over the same units.

    Returns:
      chi2, df, p, n, reason (why chi2 and p are NaN, else "").

    Raises:
      UsageError: fewer than three groups, fewer than two units, or unequal sizes.

    Example:
      >>> found = friedman({"a": [1, 2, 3], "b": [2, 3, 4], "c": [3, 4, 5]})
      >>> found["chi2"], round(found["p"], 3)
      (6.0, 0.05)
    """
    values = _checked(groups, repeated=True)
    if len(values) < 3:
        raise UsageError(f"`groups`: wanted at least three for Friedman's test, got {len(values)}.")
    known = {"df": len(values) - 1, "n": len(values[0])}
    if not any(varies(unit) for unit in np.stack(values, 1)):
        return known | {"chi2": np.nan, "p": np.nan, "reason": "no unit differs between groups"}
    result = stats.friedmanchisquare(*values)
    return known | {"chi2": float(result.statistic), "p": float(result.pvalue), "reason": ""}


def contrasts(groups: dict[str, np.ndarray], *, seed: int, resamples: int = intervals.RESAMPLES) -> pd.DataFrame:
    """Compare groups by paired differences with bootstrap intervals over units, p values corrected by Holm.

    Args:
      groups: groups over the same units.
      seed: of the resampling.
      resamples: how many.

    Returns:
      One row a pair of groups: a, b, difference, ci_low, ci_high (95 %, percentile), p (paired t, NaN where all units
      differ alike), p_holm, n.

    Example:
      >>> groups = {"cam": np.array([0.2, 0.3, 0.4]), "ep": np.array([0.5, 0.4, 0.8])}
      >>> contrasts(groups, seed=0, resamples=200)[["difference", "ci_low", "ci_high"]].round(2).values.tolist()
      [[-0.27, -0.4, -0.1]]
    """
    values = dict(zip(groups, _checked(groups, repeated=True), strict=True))
    n = len(next(iter(values.values())))
    drawn = intervals.resample(stream(seed), n, resamples=resamples)
    rows = []
    for a, b in itertools.combinations(values, 2):
        difference = values[a] - values[b]
        low, high = intervals.percentile_interval(difference[drawn].mean(1))
        alike = not _unless_rounding(((difference - difference.mean()) ** 2).sum(), np.stack([values[a], values[b]]))
        error = difference.std(ddof=1) / np.sqrt(n)
        p = np.nan if alike else 2 * stats.t.sf(abs(difference.mean()) / error, n - 1)
        rows.append({"a": a, "b": b, "difference": difference.mean(), "ci_low": low, "ci_high": high, "p": p, "n": n})
    table = pd.DataFrame(rows)
    table.insert(6, "p_holm", holm(table["p"].to_numpy()))
    return table


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p values (N,) by Holm's step-down rule. NaN stays NaN and is not counted.

    Example:
      >>> holm(np.array([0.01, 0.04, np.nan])).tolist()
      [0.02, 0.04, nan]
    """
    p = np.asarray(p, np.float64)
    if ((p < 0) | (p > 1)).any():
        raise UsageError(f"`p`: wanted p values in [0, 1], or NaN, got {p[(p < 0) | (p > 1)][0]:g}.")
    corrected = np.full_like(p, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def _checked(groups, *, repeated):
    try:
        values = [np.asarray(group, np.float64) for group in groups.values()]
    except (TypeError, ValueError) as error:
        raise UsageError(f"`groups`: wanted numbers, got others: {error}.") from None
    if any(group.ndim != 1 for group in values):
        raise UsageError(f"`groups`: wanted lists of numbers (n,), got shapes {[group.shape for group in values]}.")
    sizes = [len(group) for group in values]
    if len(values) < 2 or min(sizes, default=0) < 2:
        raise UsageError(f"`groups`: wanted two or more groups of at least two numbers, got sizes {sizes}.")
    if repeated and len(set(sizes)) > 1:
        raise UsageError(f"`groups`: wanted the same units in every group, got sizes {sizes}.")
    if not all(np.isfinite(group).all() for group in values):
        raise UsageError("`groups`: wanted finite numbers, got NaN or infinity; drop those units from every group.")
    return values
