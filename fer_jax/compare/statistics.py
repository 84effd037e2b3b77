"""Analysis of variance and what follows it, on plain groups of numbers (paper §5.3).

Contract: `groups` maps a name to float (n,), the same units in the same order for repeated designs. What cannot be
computed is NaN, with its `reason`. Numbers that differ by rounding alone count as equal: a spread of 1e-17 is none.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy

from fer_jax.compare import intervals
from fer_jax.errors import UsageError, check_one_of
from fer_jax.human.behaviour import ROUNDING, varies
from fer_jax.streams import stream

DESIGNS = ("between", "repeated")
# What the paper's F = 1.34 (§5.3) may stand for. The first value is the default.
EFFECTS = ("main", "oneway", "interaction", "per_method")

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
      eta2: share of the variance between groups, for "repeated" without the variance between units (partial).
      omega2: the same, corrected for chance. The variance of the groups' true means over it and that of the error.
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
    return _between(values) if design == "between" else _repeated(np.stack(values, 1))


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
    ss_error = _unless_rounding((residual**2).sum(), table)
    result = _result(ss_method, ss_error, k - 1, (n - 1) * (k - 1), n, observations=table.size)
    if np.isnan(result["F"]):
        return result | {"epsilon": np.nan, "p_gg": np.nan}
    # Greenhouse-Geisser: eigenvalues of the covariance of orthonormal contrasts.
    contrasts = np.linalg.svd(np.eye(k) - 1 / k)[0][:, : k - 1]
    covariance = np.atleast_2d(np.cov(table @ contrasts, rowvar=False))
    epsilon = np.trace(covariance) ** 2 / ((k - 1) * np.trace(covariance @ covariance))
    first, second = result["df"]
    return result | {"epsilon": epsilon, "p_gg": scipy.stats.f.sf(result["F"], epsilon * first, epsilon * second)}


def _unless_rounding(squares, values):
    """Return a sum of squares, 0 where deviations no larger than the rounding of the values would give it."""
    return squares if squares > values.size * (ROUNDING * np.abs(values).max()) ** 2 else 0.0


def _result(ss_effect, ss_error, df1, df2, n, *, observations=None):
    ms_error = ss_error / df2
    observations = df1 + df2 + 1 if observations is None else observations
    excess = ss_effect - df1 * ms_error
    f = ss_effect / df1 / ms_error if ms_error > 0 else np.nan
    total = ss_effect + ss_error
    return {
        "F": f,
        "df": (df1, df2),
        "p": scipy.stats.f.sf(f, df1, df2),
        "eta2": ss_effect / total if total > 0 else np.nan,
        "omega2": excess / (excess + observations * ms_error) if total > 0 else np.nan,
        "n": n,
        "reason": "" if ms_error > 0 else _NO_ERROR if total > 0 else _ALL_EQUAL,
    }


def welch(groups: dict[str, np.ndarray]) -> dict:
    """Run Welch's one-way analysis of variance, which does not take spreads to be equal.

    Args:
      groups: two or more groups, of any sizes from two.

    Returns:
      F, df (two numbers), p, n (a group's size, or the mean size) and reason (why the others are NaN, else "").

    Raises:
      UsageError: fewer than two groups or two units, or a value that is not finite.

    Example:
      >>> found = welch({"cam": np.array([0.2, 0.3, 0.4]), "ep": np.array([0.5, 0.4, 0.8])})
      >>> round(found["F"], 2), round(found["df"][1], 2), round(found["p"], 3)
      (4.0, 2.88, 0.143)
    """
    values = dict(zip(groups, _checked(groups, repeated=False), strict=True))
    k, sizes = len(values), np.array([len(group) for group in values.values()])
    known = {"df": (k - 1, np.nan), "n": sizes.mean()}
    flat = [name for name, group in values.items() if not varies(group)]
    if flat:
        return known | {"F": np.nan, "p": np.nan, "reason": f"no spread in: {', '.join(flat)}"}
    result = scipy.stats.f_oneway(*values.values(), equal_var=False)
    weights = sizes / np.array([group.var(ddof=1) for group in values.values()])
    lost = ((1 - weights / weights.sum()) ** 2 / (sizes - 1)).sum()
    known["df"] = (k - 1, float((k**2 - 1) / (3 * lost)))
    return known | {"F": float(result.statistic), "p": float(result.pvalue), "reason": ""}


def games_howell(groups: dict[str, np.ndarray]) -> pd.DataFrame:
    """Compare groups two by two as Games and Howell do, without taking spreads or sizes to be equal.

    Args:
      groups: two or more groups, of any sizes from two.

    Returns:
      One row a pair of groups, in their order.

    Columns:
      a, b: the groups compared.
      difference: mean of a less mean of b.
      t: difference in its standard error.
      df: degrees of freedom by Welch and Satterthwaite.
      p: from the studentised range at q = |t| √2.
      n: size of a group, or the mean size of both.
      reason: why t, df and p are NaN, else empty.

    Raises:
      UsageError: fewer than two groups or two units, or a value that is not finite.

    Example:
      >>> groups = {"cam": np.array([0.2, 0.3, 0.4]), "ep": np.array([0.5, 0.4, 0.8])}
      >>> games_howell(groups)[["difference", "t", "df"]].round(3).values.tolist()
      [[-0.267, -2.0, 2.876]]
    """
    values = dict(zip(groups, _checked(groups, repeated=False), strict=True))
    names = list(values)
    spread = {name: group.var(ddof=1) / len(group) if varies(group) else 0.0 for name, group in values.items()}
    whole = [name for name in names if spread[name]]
    p = np.full((len(names), len(names)), np.nan)
    if len(whole) > 1:
        place = [names.index(name) for name in whole]
        p[np.ix_(place, place)] = scipy.stats.tukey_hsd(*(values[name] for name in whole), equal_var=False).pvalue
    rows = []
    for a, b in itertools.combinations(names, 2):
        one, other = values[a], values[b]
        row = {"a": a, "b": b, "difference": one.mean() - other.mean(), "t": np.nan, "df": np.nan, "p": np.nan}
        flat = [name for name in (a, b) if not spread[name]]
        if not flat and len(whole) == len(names):
            error = spread[a] + spread[b]
            row["t"] = row["difference"] / np.sqrt(error)
            row["df"] = error**2 / (spread[a] ** 2 / (len(one) - 1) + spread[b] ** 2 / (len(other) - 1))
            row["p"] = p[names.index(a), names.index(b)]
        reason = "" if len(whole) == len(names) else f"no spread in: {', '.join(n for n in names if not spread[n])}"
        rows.append({**row, "n": (len(one) + len(other)) / 2, "reason": reason})
    return pd.DataFrame(rows)


def category_effect(
    groups: dict[str, np.ndarray], categories: Sequence, *, effect: str = "main", design: str = "between"
) -> pd.DataFrame:
    """Test the effect of the expression shown: the paper's F = 1.34 (§5.3), which it does not define.

    Args:
      groups: a number for each unit by method. A unit has one category: the 56 ordered pairs, or the images.
      categories: (n,) the category of each unit.
      effect: "main" (of the category, beside the method), "oneway" (of the category alone, all numbers in one pool),
        "interaction" (of category and method), or "per_method" (of the category, one row a method).
      design: "between" takes all numbers as independent, which is the paper's reading. "repeated" takes the methods of
        a unit as repeated: then the category's error lies between units. It says nothing of "oneway" and "per_method".

    Returns:
      One row, or one a method.

    Columns:
      effect: as asked for.
      method: of the row, empty where it speaks of all.
      F, df1, df2, p: of the effect.
      observations: numbers that were analysed.
      n: units.
      reason: why F and p are NaN, else empty.

    Raises:
      UsageError: an unknown effect or design, units of other lengths than the categories, a unit without a category,
        fewer than two categories, or as many categories as units.

    Example:
      >>> groups = {"cam": [0.2, 0.3, 0.6, 0.5], "ep": [0.4, 0.5, 0.7, 0.9]}
      >>> table = category_effect(groups, ["happy", "happy", "sad", "sad"])
      >>> table[["df1", "df2"]].values.tolist(), table["F"].round(2).tolist()
      ([[1, 4]], [24.14])
    """
    check_one_of("effect", effect, EFFECTS)
    check_one_of("design", design, DESIGNS)
    values = dict(zip(groups, _checked(groups, repeated=True, least=1), strict=True))
    missing = pd.isna(np.asarray(categories, object))
    if missing.any():
        raise UsageError(f"`categories`: wanted one of each unit, got none of {missing.sum()}; drop those units first.")
    table, labels = np.stack(list(values.values()), 1), np.unique(np.asarray(categories), return_inverse=True)[1]
    n, k = table.shape
    if labels.shape != (n,):
        raise UsageError(f"`categories`: wanted one of each of the {n} units, got {np.shape(categories)}.")
    count = int(labels.max()) + 1
    if not 2 <= count < n:
        raise UsageError(f"`categories`: wanted two or more, fewer than the {n} units, got {count}.")
    if effect == "per_method":
        tested = {name: _of_category(column[:, None], labels, "oneway", design) for name, column in values.items()}
    else:
        if effect == "interaction" and k < 2:
            raise UsageError("`groups`: wanted two or more methods for their interaction, got 1.")
        tested = {"": _of_category(table, labels, effect, design)}
    rows = [{"effect": effect, "method": name, **found, "n": n} for name, found in tested.items()]
    frame = pd.DataFrame(rows)
    return frame[[*(name for name in frame if name != "reason"), "reason"]]


def _of_category(table, labels, effect, design):
    """Test an effect of the rows' categories. Cells are proportional, so sums of squares add up."""
    (n, k), sizes = table.shape, np.bincount(labels)
    cells = np.stack([np.bincount(labels, column) / sizes for column in table.T], 1)
    grand, of_category, of_method, of_unit = table.mean(), cells.mean(1), table.mean(0), table.mean(1)
    ss = {
        "main": k * (sizes * (of_category - grand) ** 2).sum(),
        "interaction": (sizes[:, None] * (cells - of_category[:, None] - of_method + grand) ** 2).sum(),
    }
    df = {"main": len(sizes) - 1, "interaction": (len(sizes) - 1) * (k - 1)}
    between_units = k * ((of_unit - of_category[labels]) ** 2).sum()
    within_cells = ((table - cells[labels]) ** 2).sum()
    ss["oneway"], df["oneway"] = ss["main"], df["main"]
    if effect == "oneway":
        error, df2 = ((table - of_category[labels][:, None]) ** 2).sum(), n * k - len(sizes)
    elif design == "between":
        error, df2 = within_cells, k * (n - len(sizes))
    elif effect == "main":
        error, df2 = between_units, n - len(sizes)
    else:
        error, df2 = within_cells - between_units, (k - 1) * (n - len(sizes))
    found = _result(_unless_rounding(ss[effect], table), _unless_rounding(error, table), df[effect], df2, n)
    # Where only the units differ, a part of the numbers is analysed.
    observations = n if design == "repeated" and effect == "main" else n * k
    return {
        "F": found["F"],
        "df1": df[effect],
        "df2": df2,
        "p": float(found["p"]),
        "observations": observations,
        "reason": found["reason"],
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
        p = float(scipy.stats.studentized_range.sf(abs(t) * np.sqrt(2), k, df)) if np.isfinite(t) else np.nan
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
    result = scipy.stats.friedmanchisquare(*values)
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
        p = np.nan if alike else 2 * scipy.stats.t.sf(abs(difference.mean()) / error, n - 1)
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
    p = _p_values(p)
    corrected = np.full_like(p, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjust p values for the rate of false discoveries (Benjamini and Hochberg 1995).

    Args:
      p: float (N,), where NaN is not counted.

    Returns:
      float64 (N,), at most 1. NaN stays NaN.

    Raises:
      UsageError: a p value outside [0, 1].

    Example:
      >>> benjamini_hochberg(np.array([0.01, 0.04, np.nan])).tolist()
      [0.02, 0.04, nan]
    """
    p = _p_values(p)
    corrected, known = np.full_like(p, np.nan), ~np.isnan(p)
    if known.any():
        corrected[known] = scipy.stats.false_discovery_control(p[known])
    return corrected


def _p_values(p) -> np.ndarray:
    p = np.asarray(p, np.float64)
    if ((p < 0) | (p > 1)).any():
        raise UsageError(f"`p`: wanted p values in [0, 1], or NaN, got {p[(p < 0) | (p > 1)][0]:g}.")
    return p


def _checked(groups, *, repeated, least=2):
    try:
        values = [np.asarray(group, np.float64) for group in groups.values()]
    except (TypeError, ValueError) as error:
        raise UsageError(f"`groups`: wanted numbers, got others: {error}.") from None
    if any(group.ndim != 1 for group in values):
        raise UsageError(f"`groups`: wanted lists of numbers (n,), got shapes {[group.shape for group in values]}.")
    sizes = [len(group) for group in values]
    if len(values) < least or min(sizes, default=0) < 2:
        count = "two" if least > 1 else "one"
        raise UsageError(f"`groups`: wanted {count} or more groups of at least two numbers, got sizes {sizes}.")
    if repeated and len(set(sizes)) > 1:
        raise UsageError(f"`groups`: wanted the same units in every group, got sizes {sizes}.")
    if not all(np.isfinite(group).all() for group in values):
        raise UsageError("`groups`: wanted finite numbers, got NaN or infinity; drop those units from every group.")
    return values
