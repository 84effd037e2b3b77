"""Saliency against a known truth: scores of single maps to a table with intervals, and which differences stand.

Contract: a score table has one row a map: method (name), pair (0..27), picture (what was explained, equal for all
methods), and a column for each score, `metrics.localisation`'s or others, NaN where a map has none. A mean goes over
the pictures of a pair first, then over pairs, which are the units of every interval.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from fer_jax import metrics
from fer_jax.compare import intervals, statistics
from fer_jax.errors import UsageError, check_range
from fer_jax.streams import stream

SCORES = metrics.Localisation._fields
_KEYS = ("method", "pair", "picture")


def chance(region_share: float) -> dict[str, float]:
    """Return the average scores of a map that knows nothing.

    Args:
      region_share: mean share of the pixels in the evident regions.

    Returns:
      A value for each of `SCORES`.

    Raises:
      UsageError: no share.

    Example:
      >>> chance(0.2)["dice"]
      0.2
    """
    check_range("region_share", region_share, 0, 1)
    return {"pointing": region_share, "energy": region_share, "auc": 0.5, "dice": region_share, "spearman": 0.0}


def per_pair(table: pd.DataFrame, *, scores: Sequence[str] = SCORES) -> pd.DataFrame:
    """Average scores within each pair.

    Args:
      table: a score table.
      scores: its columns of scores.

    Returns:
      One row a method and pair, methods in their order: method, pair, n (pictures), and the scores, each over the
      pictures that have one, NaN where none has.

    Raises:
      UsageError: columns that are missing, scores that are infinite or no numbers, or a picture that is there twice
        under one method.

    Example:
      >>> rows = [("cam", 0, 0, 0.2), ("cam", 1, 1, 0.4), ("ep", 0, 0, 0.5), ("ep", 1, 1, 0.6)]
      >>> table = pd.DataFrame(rows, columns=["method", "pair", "picture", "dice"])
      >>> per_pair(table, scores=["dice"])["dice"].tolist()
      [0.2, 0.4, 0.5, 0.6]
    """
    _check(table, scores)
    groups = table.groupby(["method", "pair"], sort=False)
    return groups.size().rename("n").to_frame().join(groups[list(scores)].mean()).reset_index()


def summarise(
    table: pd.DataFrame, *, seed: int, resamples: int = intervals.RESAMPLES, scores: Sequence[str] = SCORES
) -> pd.DataFrame:
    """Average the scores of each method, with intervals.

    Args:
      table: a score table.
      seed: of the resampling.
      resamples: of the pairs, with replacement.
      scores: its columns of scores.

    Returns:
      One row a method and score, in their order: method, score, mean, ci_low, ci_high (95 %, percentile bootstrap over
      pairs), n_pairs, n_pictures (with a score), missing (pictures without).

    Raises:
      UsageError: see `per_pair`.

    Example:
      >>> rows = [("cam", 0, 0, 0.2), ("cam", 1, 1, 0.4), ("ep", 0, 0, 0.5), ("ep", 1, 1, 0.6)]
      >>> table = pd.DataFrame(rows, columns=["method", "pair", "picture", "dice"])
      >>> found = summarise(table, seed=0, resamples=200, scores=["dice"])
      >>> found[["mean", "ci_low", "ci_high"]].round(2).values.tolist()
      [[0.3, 0.2, 0.4], [0.55, 0.5, 0.6]]
    """
    means = per_pair(table, scores=scores)
    rows = []
    for method, own in means.groupby("method", sort=False):
        pictures = table[table["method"] == method]
        for score in scores:
            values = own[score].dropna().to_numpy(np.float64)
            low, high = intervals.mean_interval(stream(seed), values, resamples=resamples)
            known = int(pictures[score].notna().sum())
            rows.append(
                {
                    "method": method,
                    "score": score,
                    "mean": values.mean() if len(values) else np.nan,
                    "ci_low": low,
                    "ci_high": high,
                    "n_pairs": len(values),
                    "n_pictures": known,
                    "missing": len(pictures) - known,
                }
            )
    return pd.DataFrame(rows)


def contrasts(
    table: pd.DataFrame,
    comparisons: Iterable[tuple[str, str]],
    *,
    seed: int,
    resamples: int = intervals.RESAMPLES,
    scores: Sequence[str] = SCORES,
) -> pd.DataFrame:
    """Compare methods: differences picture by picture, averaged within pairs, then over pairs.

    Args:
      table: a score table.
      comparisons: pairs of methods (a, b), decided on beforehand: p values are corrected for all of them.
      seed: of the resampling.
      resamples: of the pairs.
      scores: its columns of scores.

    Returns:
      One row a score and comparison: score, a, b, difference (mean a - mean b, over pictures that both score), ci_low,
      ci_high (95 %, percentile bootstrap over pairs, not corrected), p (paired t over pairs), p_holm (Holm's
      correction over the comparisons within a score), n (pairs), n_pictures. Intervals and p are NaN where fewer than
      two pairs are left, p also where all differ alike. The difference is NaN without any pair.

    Raises:
      UsageError: see `per_pair`, or a method that is not in the table.

    Example:
      >>> rows = [("cam", 0, 0, 0.2), ("cam", 1, 1, 0.4), ("ep", 0, 0, 0.5), ("ep", 1, 1, 0.6)]
      >>> table = pd.DataFrame(rows, columns=["method", "pair", "picture", "dice"])
      >>> contrasts(table, [("ep", "cam")], seed=0, resamples=200, scores=["dice"])["difference"].round(2).tolist()
      [0.25]
    """
    _check(table, scores)
    comparisons = list(comparisons)
    methods = list(dict.fromkeys(table["method"]))
    strange = next((name for comparison in comparisons for name in comparison if name not in methods), None)
    if strange is not None:
        raise UsageError(f"`comparisons`: wanted methods among {', '.join(methods)}, got {strange!r}.")
    rows = []
    for score in scores:
        wide = table.pivot(index=["pair", "picture"], columns="method", values=score)
        found = [_contrast(wide[[a, b]].dropna(), seed, resamples) for a, b in comparisons]
        corrected = statistics.holm(np.asarray([each["p"] for each in found]))
        for (a, b), each, p_holm in zip(comparisons, found, corrected, strict=True):
            rows.append({"score": score, "a": a, "b": b, **each, "p_holm": p_holm})
    columns = ["score", "a", "b", "difference", "ci_low", "ci_high", "p", "p_holm", "n", "n_pictures"]
    return pd.DataFrame(rows, columns=columns)


def _contrast(both, seed, resamples):
    means = both.groupby(level="pair").mean()
    if len(means) < 2:
        unknown = dict.fromkeys(("difference", "ci_low", "ci_high", "p"), np.nan)
        if len(means):
            unknown["difference"] = float(means.iloc[0, 0] - means.iloc[0, 1])
        return unknown | {"n": len(means), "n_pictures": len(both)}
    groups = {name: values.to_numpy(np.float64) for name, values in means.items()}
    row = statistics.contrasts(groups, seed=seed, resamples=resamples).iloc[0]
    kept = {name: row[name] for name in ("difference", "ci_low", "ci_high", "p")}
    return kept | {"n": int(row["n"]), "n_pictures": len(both)}


def _check(table, scores):
    missing = [name for name in (*_KEYS, *scores) if name not in table.columns]
    if missing:
        raise UsageError(f"`table`: wanted columns {', '.join((*_KEYS, *scores))}, lacks {', '.join(missing)}.")
    for name in scores:
        if not pd.api.types.is_numeric_dtype(table[name]) or np.isinf(table[name].to_numpy(np.float64)).any():
            raise UsageError(f"`table`: wanted finite numbers, or NaN where a map has no score, in {name}, got others.")
    twice = table[table.duplicated(["method", "pair", "picture"])]
    if len(twice):
        first = twice.iloc[0]
        raise UsageError(
            f"`table`: wanted each picture once a method, got picture {first['picture']} of pair {first['pair']} twice "
            f"under {first['method']}."
        )
