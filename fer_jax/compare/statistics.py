"""Analysis of variance and what follows it, on plain groups of numbers (paper §5.3).

Contract: `groups` maps a name to float (n,), the same units in the same order for repeated designs.
"""

import itertools

import numpy as np
import pandas as pd
from scipy import stats

from fer_jax.errors import UsageError

DESIGNS = ("between", "repeated")


def anova(groups: dict[str, np.ndarray], *, design: str = "between") -> dict:
    """One-way analysis of variance.

    Args:
      groups: two or more groups of equal meaning; of equal size for "repeated".
      design: "between" (the paper's reading) or "repeated" (the same units under every method, ours), which also
        gives the Greenhouse-Geisser correction.

    Returns:
      F, df (two numbers), p, eta2, omega2, n (a group's size, or the mean size), and for "repeated" epsilon and p_gg.
      F and p are NaN where the error term is zero.

    Raises:
      UsageError: fewer than two groups, fewer than two units, or unequal sizes for "repeated".
    """
    values = _checked(groups, repeated=design == "repeated")
    if design not in DESIGNS:
        raise UsageError(f"`design`: wanted one of {', '.join(DESIGNS)}, got {design!r}.")
    if design == "between":
        return _between(values)
    return _repeated(np.stack(values, 1))


def _between(values):
    everything = np.concatenate(values)
    grand, k, total = everything.mean(), len(values), len(everything)
    ss_between = sum(len(group) * (group.mean() - grand) ** 2 for group in values)
    ss_error = sum(((group - group.mean()) ** 2).sum() for group in values)
    return _result(ss_between, ss_error, k - 1, total - k, total / k)


def _repeated(table):
    """Rows are units, columns methods."""
    n, k = table.shape
    grand = table.mean()
    ss_method = n * ((table.mean(0) - grand) ** 2).sum()
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + grand
    result = _result(ss_method, (residual**2).sum(), k - 1, (n - 1) * (k - 1), n)
    # Greenhouse-Geisser: eigenvalues of the covariance of orthonormal contrasts.
    contrasts = np.linalg.svd(np.eye(k) - 1 / k)[0][:, : k - 1]
    covariance = np.atleast_2d(np.cov(table @ contrasts, rowvar=False))
    squares = (k - 1) * np.trace(covariance @ covariance)
    epsilon = np.trace(covariance) ** 2 / squares if squares > 0 else np.nan
    first, second = result["df"]
    p_gg = stats.f.sf(result["F"], epsilon * first, epsilon * second) if np.isfinite(epsilon) else np.nan
    return result | {"epsilon": epsilon, "p_gg": p_gg}


def _result(ss_effect, ss_error, df1, df2, n):
    ms_error = ss_error / df2
    f = ss_effect / df1 / ms_error if ms_error > 0 else np.nan
    total = ss_effect + ss_error
    return {
        "F": f,
        "df": (df1, df2),
        "p": stats.f.sf(f, df1, df2),
        "eta2": ss_effect / total if total > 0 else np.nan,
        "omega2": (ss_effect - df1 * ms_error) / (total + ms_error) if total + ms_error > 0 else np.nan,
        "n": n,
    }


def tukey(groups: dict[str, np.ndarray]) -> pd.DataFrame:
    """Tukey's honest significant differences, with t as the paper prints it.

    Args:
      groups: two or more groups of one size n.

    Returns:
      One row a pair of groups, in their order: a, b, difference (mean a - mean b), t = difference / √(2 MSE / n), p
      from the studentised range at q = |t| √2, d = difference / √MSE, n.

    Raises:
      UsageError: unequal sizes, fewer than two groups or two units.
    """
    values = dict(zip(groups, _checked(groups, repeated=True), strict=True))
    k, n = len(values), len(next(iter(values.values())))
    df = k * (n - 1)
    mse = sum(((group - group.mean()) ** 2).sum() for group in values.values()) / df
    rows = []
    for a, b in itertools.combinations(values, 2):
        difference = values[a].mean() - values[b].mean()
        t = difference / np.sqrt(2 * mse / n) if mse > 0 else np.nan
        p = float(stats.studentized_range.sf(abs(t) * np.sqrt(2), k, df)) if np.isfinite(t) else np.nan
        d = difference / np.sqrt(mse) if mse > 0 else np.nan
        rows.append({"a": a, "b": b, "difference": difference, "t": t, "p": p, "d": d, "n": n})
    return pd.DataFrame(rows)


def friedman(groups: dict[str, np.ndarray]) -> dict:
    """Friedman's rank test over the same units: chi2, df, p, n (needs three groups)."""
    values = _checked(groups, repeated=True)
    if len(values) < 3:
        raise UsageError(f"`groups`: wanted at least three for Friedman's test, got {len(values)}.")
    result = stats.friedmanchisquare(*values)
    return {"chi2": float(result.statistic), "df": len(values) - 1, "p": float(result.pvalue), "n": len(values[0])}


def contrasts(groups: dict[str, np.ndarray], *, seed: int, resamples: int = 2000) -> pd.DataFrame:
    """Paired differences with bootstrap intervals over units, p values corrected by Holm.

    Args:
      groups: groups over the same units.
      seed: of the resampling.
      resamples: how many.

    Returns:
      One row a pair of groups: a, b, difference, ci_low, ci_high (95 %, percentile), p (paired t), p_holm, n.
    """
    values = dict(zip(groups, _checked(groups, repeated=True), strict=True))
    n = len(next(iter(values.values())))
    draws = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed]))).integers(0, n, (resamples, n))
    rows = []
    for a, b in itertools.combinations(values, 2):
        difference = values[a] - values[b]
        low, high = np.percentile(difference[draws].mean(1), [2.5, 97.5])
        spread = difference.std(ddof=1)
        p = 2 * stats.t.sf(abs(difference.mean()) / (spread / np.sqrt(n)), n - 1) if spread > 0 else np.nan
        rows.append({"a": a, "b": b, "difference": difference.mean(), "ci_low": low, "ci_high": high, "p": p, "n": n})
    table = pd.DataFrame(rows)
    table.insert(6, "p_holm", holm(table["p"].to_numpy()))
    return table


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of p values (N,); NaN stays NaN and is not counted."""
    p = np.asarray(p, np.float64)
    corrected = np.full_like(p, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def _checked(groups, *, repeated):
    values = [np.asarray(group, np.float64) for group in groups.values()]
    sizes = [len(group) for group in values]
    if len(values) < 2 or min(sizes, default=0) < 2:
        raise UsageError(f"`groups`: wanted two or more groups of at least two numbers, got sizes {sizes}.")
    if repeated and len(set(sizes)) > 1:
        raise UsageError(f"`groups`: wanted the same units in every group, got sizes {sizes}.")
    if not all(np.isfinite(group).all() for group in values):
        raise UsageError("`groups`: wanted finite numbers, got NaN or infinity; drop those units from every group.")
    return values
