"""The answer of a run, by rule from its tables: what the report's first paragraphs name.

Contract: a difference counts where its 95 % interval leaves out zero. Everything else is called not clear, never equal.
"""

import numpy as np
import pandas as pd

from experiments.study.run import Run
from experiments.study.vote import VOTES, accuracy_interval, confusion_counts
from fer_jax.compare import intervals
from fer_jax.explanation import METHOD_NAMES, METHODS
from fer_jax.figures.style import MISSING, number
from fer_jax.streams import stream

SIGNIFICANT = 0.05
# How a sentence names the maps that ask no network.
_BASELINES = {
    "centre": "a blob in the middle",
    "other pairs": "people's map of the other pairs",
    "neighbouring pair": "people's map of the next pair",
    "uniform": "a map that covers everything",
}


def values(run: Run) -> dict:
    """Return what the template `answer` names."""
    found = _accuracies(run)
    return found | _maps(run) | _errors(run) if run.provenance.has_people else found | {"compared": False}


def interval(value: float, low: float, high: float) -> str:
    """Return a number with its interval, such as .41 (.38 to .44), without one where it is not known."""
    return _with_interval(number(value), number(low), number(high))


def _percent(value, low, high, unit="") -> str:
    """Return a share with its interval in percent, such as 74.8 % (72.0 to 77.4)."""
    texts = (f"{100 * one:.1f}".replace("-", "−") if np.isfinite(one) else MISSING for one in (value, low, high))
    return _with_interval(*texts, unit)


def _with_interval(value, low, high, unit="") -> str:
    return f"{value}{unit}" + (f" ({low} to {high})" if MISSING not in (low, high) else "")


def p_value(p: float) -> str:
    """Return a p value in words."""
    return "p not defined" if p is None or pd.isna(p) else "p < .001" if p < 0.001 else f"p = {p:.3f}"


def verdict(low: float, high: float) -> str:
    """Return above, below, unclear or, without an interval, unknown."""
    if not np.isfinite([low, high]).all():
        return "unknown"
    return "above" if low > 0 else "below" if high < 0 else "unclear"


def _accuracies(run) -> dict:
    """Compare the ensemble's simple vote with the multiclass model on the same pictures."""
    predicted = run.folder.read_arrays("predictions")
    labels = predicted["labels"]
    vote = np.asarray(VOTES["simple_vote"](predicted["ensemble_logits"])) == labels
    multiclass = predicted["multiclass_logits"].argmax(-1) == labels
    lead = multiclass.astype(float) - vote
    low, high = intervals.mean_interval(stream(run.config.seed), lead)
    shares = np.bincount(labels, minlength=len(run.categories)) / len(labels)
    return {
        "commonest": run.categories[int(shares.argmax())],
        "commonest_share": _percent(shares.max(), np.nan, np.nan, " %"),
        "vote_interval": _accuracy(run, "ensemble_simple_vote"),
        "multiclass_interval": _accuracy(run, "multiclass"),
        "multiclass_is": verdict(low, high),
        "multiclass_lead": _percent(lead.mean(), low, high),
        "vote_lead": _percent(-lead.mean(), -high, -low),
    }


def _accuracy(run, model) -> str:
    counts = confusion_counts(run, model)
    return _percent(np.trace(counts) / counts.sum(), *accuracy_interval(counts), " %")


def _maps(run) -> dict:
    """Compare the method that overlaps most with the other methods and with the best map that asks no network."""
    table = run.folder.read_table("dice").pivot(index="unit", columns="method", values="dice")
    dice = table.mean().reindex(METHODS)
    if dice.isna().all():
        return {"compared": False, **dict.fromkeys(("best", "best_dice", "baseline", "baseline_dice"), "")}
    best = dice.idxmax()
    own = table[best].dropna().to_numpy()
    found = {
        "compared": True,
        "best": METHOD_NAMES[best],
        "best_dice": number(dice[best]),
        "best_interval": interval(dice[best], *dice_intervals(run)[best]),
        "units": len(own),
    }
    return found | _rivals(run, best, dice) | _baseline(run, best)


def dice_intervals(run: Run) -> dict[str, tuple[float, float]]:
    """Return the interval of each method's mean Dice over pairs."""
    table = run.folder.read_table("dice").groupby("method")["dice"]
    return {name: intervals.mean_interval(stream(run.config.seed), own.dropna().to_numpy()) for name, own in table}


def _rivals(run, best, dice) -> dict:
    contrasts = run.folder.read_table("contrasts") if run.folder.has("tables/contrasts.csv") else pd.DataFrame()
    paired = contrasts.query("unit == 'pair' and test == 'paired'") if len(contrasts) else contrasts
    leads = {}
    for row in paired.to_dict("records"):
        if best in (row["a"], row["b"]):
            sign = 1 if row["a"] == best else -1
            ends = sorted((sign * row["low"], sign * row["high"]))
            leads[row["b"] if sign > 0 else row["a"]] = (sign * row["difference"], *ends)
    named = {name: f"{METHOD_NAMES[name]} at {number(dice[name])}" for name in METHODS if name != best}
    clear = [named[name] for name in named if name in leads and verdict(*leads[name][1:]) == "above"]
    rest = {name: words for name, words in named.items() if words not in clear}
    return {
        "beaten": " and ".join(clear),
        "unbeaten": " and ".join(
            f"{words}, by {interval(*leads[name])}" if name in leads else words for name, words in rest.items()
        ),
    }


def _baseline(run, best) -> dict:
    means = run.folder.read_table("dice_baselines").dropna(subset="dice").set_index("baseline")["dice"]
    if means.empty:
        return {"baseline": "", "baseline_dice": MISSING, "best_is": "unknown", "best_lead": MISSING}
    name = means.idxmax()
    leads = run.folder.read_table("dice_over_baselines") if run.folder.has("tables/dice_over_baselines.csv") else None
    lead = (np.nan, np.nan, np.nan)
    if leads is not None:  # None of a run from before it was made
        lead = leads.set_index(["method", "baseline"]).loc[(best, name), ["difference", "low", "high"]]
    return {
        "baseline": _BASELINES[name],
        "baseline_dice": number(means[name]),
        "best_is": verdict(*lead[1:]),
        "best_lead": interval(*lead),
    }


def _errors(run) -> dict:
    """Say if people and the ensemble mistake the same categories for each other."""
    found = run.folder.read_table("confusion_correlation").set_index("model").loc["ensemble_simple_vote"]
    known = pd.notna(found["r_off_diagonal"]) and pd.notna(found["p_qap"])
    return {
        "errors_known": known,
        "errors_alike": known and found["p_qap"] < SIGNIFICANT and found["r_off_diagonal"] > 0,
        "errors_r": interval(found["r_off_diagonal"], found.get("ci_low", np.nan), found.get("ci_high", np.nan)),
        "errors_all": number(found["r_all"]) if known else MISSING,
        "errors_p": p_value(found["p_qap"]),
    }
