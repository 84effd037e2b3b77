"""The answer of a run, by rule from its tables: what the report's first paragraphs name.

Contract: a difference counts where its 95 % interval leaves out zero. Everything else is called not clear, never equal.
"""

import numpy as np
import pandas as pd

from experiments.study.compare import human_shares
from experiments.study.run import Run
from experiments.study.vote import VOTES, accuracy_interval, confusion_counts
from fer_jax.compare import confusion, intervals
from fer_jax.compare.agreement import HALF
from fer_jax.compare.dice import BASELINES
from fer_jax.explanation import METHOD_NAMES, METHODS
from fer_jax.figures.style import MISSING, number
from fer_jax.streams import stream

SIGNIFICANT = 0.05
FEWEST = 6  # pairs, of which a bootstrap interval says something


def values(run: Run) -> dict:
    """Return what the template `answer` names."""
    if not run.provenance.has_people:
        return _accuracies(run) | {"compared": False}
    return _accuracies(run) | _maps(run) | _errors(run) | _same_task(run)


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
    return "p not defined" if p is None or pd.isna(p) else "p < .001" if p < 0.001 else f"p = {number(p, 3)}"


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
    commonest = np.flatnonzero(shares == shares.max())
    ahead = lead.mean() >= 0
    return {
        "commonest": run.categories[int(commonest[0])] if len(commonest) == 1 else "",
        "commonest_share": _percent(shares.max(), np.nan, np.nan, " %"),
        "vote_interval": _accuracy(run, "ensemble_simple_vote"),
        "multiclass_interval": _accuracy(run, "multiclass"),
        "clear": verdict(low, high) in ("above", "below"),
        "multiclass_ahead": bool(ahead),
        "lead": _percent(*(lead.mean(), low, high) if ahead else (-lead.mean(), -high, -low)),
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
    own = table[best].dropna()
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
    """Say which methods are clearly below the best, by paired differences over pairs with Holm's correction."""
    contrasts = run.folder.read_table("contrasts") if run.folder.has("tables/contrasts.csv") else pd.DataFrame()
    paired = contrasts.query("unit == 'pair' and test == 'paired'") if len(contrasts) else contrasts
    known = {}
    for row in paired.to_dict("records"):
        if best in (row["a"], row["b"]) and row["n"] >= FEWEST:
            known[row["b"] if row["a"] == best else row["a"]] = row["p"] < SIGNIFICANT
    named = {name: f"{METHOD_NAMES[name]} at {number(dice[name])}" for name in METHODS if name != best}
    return {
        "beaten": " and ".join(words for name, words in named.items() if known.get(name, False)),
        "unbeaten": " and ".join(words for name, words in named.items() if not known.get(name, False)),
        "tested": bool(known),
    }


def _baseline(run, best) -> dict:
    """Compare the best method with the best map that asks no network, with one in the middle, and with the ceiling."""
    means = run.folder.read_table("dice_baselines").dropna(subset="dice").set_index("baseline")["dice"]
    told = {"baseline": "", "baseline_dice": MISSING, "best_is": "unknown", "best_lead": MISSING, "half": ""}
    told |= {"centre_lead": "", "centre_is": "unknown"}
    if means.empty:
        return told
    name = means.idxmax()
    told |= {"baseline": BASELINES[name], "baseline_dice": number(means[name])}
    if run.folder.has("tables/dice_over_baselines.csv"):  # not in a run from before it was made
        leads = run.folder.read_table("dice_over_baselines").set_index(["method", "baseline"]).loc[best]
        lead = leads.loc[name]
        told |= {"best_is": _verdict_of(lead), "best_lead": interval(*lead[["difference", "low", "high"]])}
        if name != "centre" and "centre" in leads.index:
            lead = leads.loc["centre"]
            told |= {"centre_is": _verdict_of(lead), "centre_lead": interval(*lead[["difference", "low", "high"]])}
    if run.folder.has("tables/agreement.csv"):
        scores = run.folder.read_table("agreement").query("metric == 'dice'").set_index("source")
        if HALF in scores.index and means[name] >= scores.loc[HALF, "low"]:
            told["half"] = number(scores.loc[HALF, "value"])
    return told


def _verdict_of(lead) -> str:
    return verdict(lead["low"], lead["high"]) if lead["n"] >= FEWEST else "unknown"


def _same_task(run) -> dict:
    """Compare people and members on the same images and the same two labels."""
    names = ("members_right", "kappa", "kappa_people")
    if not run.folder.has("tables/pair_answers.csv"):
        return dict.fromkeys(names, "")
    table = run.folder.read_table("pair_answers").set_index("statistic")[["value", "low", "high"]]
    alike, among = table.loc["κ of people with members"], table.loc["κ of people with people"]
    return {
        "members_right": _percent(*table.loc["accuracy of members"], " %"),
        "kappa": interval(*alike) if pd.notna(alike["value"]) else "",
        "kappa_people": interval(*among) if pd.notna(among["value"]) else "",
    }


def _errors(run) -> dict:
    """Compare the error cells of people's and the ensemble's confusions, also without the two cells that decide most.

    Of fewer than four categories too few cells are left to say anything.
    """
    found = run.folder.read_table("confusion_correlation").set_index("model").loc["ensemble_simple_vote"]
    known = pd.notna(found["r_off_diagonal"]) and pd.notna(found["p_qap"]) and len(run.categories) > 3
    if not known:
        return {"errors_known": False}
    ends = (found.get("ci_low", np.nan), found.get("ci_high", np.nan))
    pair, without = _least_without(run)
    return {
        "errors_known": True,
        "errors_related": found["p_qap"] < SIGNIFICANT,
        "errors_r": interval(found["r_off_diagonal"], *ends),
        "errors_all": number(found["r_all"]),
        "errors_p": p_value(found["p_qap"]),
        "errors_pair": " and ".join(run.categories[one] for one in pair),
        "errors_without": number(without),
        "errors_left": np.isfinite(without),
    }


def _least_without(run) -> tuple[tuple[int, int], float]:
    """Return the two categories without whose mutual errors the correlation off the diagonal is least, and that r.

    It is NaN, and least of all, where nothing is left to correlate.
    """
    human = human_shares(run)
    model = confusion.shares(confusion_counts(run, "ensemble_simple_vote"))
    found = {}
    for pair in map(tuple, run.categories.pairs):
        kept = ~np.eye(len(human), dtype=bool) & np.isfinite(human) & np.isfinite(model)
        kept[pair] = kept[pair[::-1]] = False
        left = human[kept], model[kept]
        varied = kept.sum() > 2 and min(map(np.ptp, left)) > 0
        found[pair] = np.corrcoef(*left)[0, 1] if varied else np.nan
    least = min(found, key=lambda pair: -np.inf if np.isnan(found[pair]) else found[pair])
    return least, found[least]
