"""Stage `report`: one page that a person reads. Its prose is in the folder `report`, the values it names are here.

Contract: each function for a section returns what the section's template names. A value without a number is an en dash.
"""

import numpy as np
import pandas as pd

from experiments.study import answer, methods, paper_numbers, template
from experiments.study.compare import models_of, write_summary
from experiments.study.draw import MODEL_NAMES, first_of_each
from experiments.study.explain import METHODS
from experiments.study.flag_sentences import ep_schedule, ep_score, looks, training_card, training_ends
from experiments.study.open_choices import paper_of, read_open_choices
from experiments.study.people_flag import folders_of
from experiments.study.run import COPIES, Run
from experiments.study.run_folder import PICTURES_RECORD
from experiments.study.time_limit import limits_of
from experiments.study.vote import accuracy_interval, confusion_counts, named_by_members, near_chance
from fer_jax import compare as comparing
from fer_jax import figures
from fer_jax.compare import multiverse
from fer_jax.explanation import METHOD_NAMES
from fer_jax.expressions import EXPRESSIONS, noun_of
from fer_jax.figures.style import MISSING, number

LISTED = 8  # weak members in a sentence. The rest are in the table of members
_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def write_report(run: Run) -> None:
    """Write `report.html`, and `summary.json` once more with the seconds of all stages before."""
    write_summary(run)
    summary = run.folder.read_json("summary.json")
    people = run.provenance.has_people
    values = _common(run, summary)
    values |= answer.values(run)
    title, headline = template.head(values)
    sections = [
        template.section(
            name,
            values | read(run, summary),
            pictures=run.folder.path / "figures",
            table=lambda name: _TABLES.get(name, _read)(run, summary, name),
        )
        for name, read in _SECTIONS.items()
        if people or name not in ("people", "comparison")
    ]
    figures.write_report(run.folder.file("report.html"), title, headline, sections)


def _common(run, s):
    """Return the values that several templates name."""
    count, provenance = len(run.categories), run.provenance
    kind = noun_of(run.categories)
    value, what, note = training_card(run.config, s["members"])
    return {
        "people": provenance.has_people,
        "simulated": provenance.people == "simulated",
        "mixed": provenance.people == "mixed",
        "real": provenance.people == "real",
        "who": provenance.who,
        "profile": (run.profile or "") if provenance.has_people else "",
        "looks": looks(run.profile) if provenance.has_people else "",
        "num_simulated": run.num_simulated if provenance.people == "mixed" else 0,
        "participants": s["people"]["participants"] if provenance.has_people else 0,
        "chosen_by_people": bool(folders_of(run.config.people)),
        "drawn": provenance.drawn,
        "source": provenance.source,
        "kind": kind,
        "kinds": {"expression": "expressions", "category": "categories"}[kind],
        "count": _COUNTS[count] if count < len(_COUNTS) else str(count),
        "chance": f"{100 / count:.3g}",
        "members": len(s["members"]),
        "several": len(s["members"]) > 1,
        "study_images": len(run.study_table),
        "evaluation": f"{len(run.evaluation_pictures):,}",
        "ensemble_accuracy": _share(s["ensemble"]["simple_vote"]["accuracy"]),
        "ensemble_balanced": _share(s["ensemble"]["simple_vote"]["balanced_accuracy"]),
        "multiclass_accuracy": _share(s["multiclass"]["accuracy"]),
        "multiclass_balanced": _share(s["multiclass"]["balanced_accuracy"]),
        "training_value": value,
        "training_what": what,
        "training_note": note,
        "training_ends": training_ends(run.config, s["members"]),
        "image_size": s["image_size"],
        "model": s["model"],
        "seed": s["seed"],
        "train": f"{len(run.pictures('train')):,}",
        "ep_score": ep_score(run.config),
        "ep_schedule": ep_schedule(run.config),
        "area": f"{run.config.area:.0%}",
        "categories": run.categories,
        "papers": run.categories == EXPRESSIONS,
        **(_answers(s) if provenance.has_people else {}),
    }


def _answers(s):
    people = s["people"]
    return {**{name: people[name] for name in ("participants", "trials")}, "accuracy": _share(people["accuracy"])}


def _pictures(run, s):
    return of_pictures(run) | {
        "preset": run.config.preset,
        "validation": f"{len(run.pictures('validation')):,}",
    }


def of_pictures(run: Run) -> dict:
    """Return what networks and participants see of a photograph, and what became of copies in several splits."""
    record = run.folder.read_json(PICTURES_RECORD)
    crop = "" if run.provenance.drawn else record.get("crop") or ""
    detector = record.get("detector", "given").partition("=")[0]
    return {
        "left_out": record.get(COPIES),
        "copies_kept": record.get(COPIES) == 0 and not run.config.dedupe,
        "crop": "square" if crop == "none" else crop,  # "none": a prepared set of whole pictures
        "detector": detector if crop and detector != "given" else "",
    }


def _people(run, s):
    p, foils = s["people"], len(run.categories) - 1
    return {
        "ordered_pairs": len(run.categories.ordered_pairs),
        **{name: number(p[name]) for name in ("r_clicks_time", "r_clicks_accuracy", "r_time_accuracy")},
        "reason": p["reason"],
        "blind": run.without_landmarks,
        "all_blind": run.without_landmarks == len(run.study_table),
        "bounded": foils > 1 and run.study_table.groupby(["true_label", "false_label"]).size().nunique() == 1,
        "sequences": run.folder.has("figures/fig04_click_sequences.png"),
        "foils": foils,
        "limit": number(1 / foils),
    }


def _networks(run, s):
    return methods.other_ensemble(run)


def _methods(run, s):
    return of_pictures(run) | methods.values(run, s["people"]["participants"] if run.provenance.has_people else 0)


def _models(run, s, name):
    rows = []
    for model in models_of(run):
        kind, _, rule = model.partition("_")
        score = s[kind][rule] if rule else s[kind]
        low, high = accuracy_interval(confusion_counts(run, model))
        rows.append(
            {
                "model": MODEL_NAMES[model],
                "accuracy": score["accuracy"],
                "95 % interval": f"{low:.3f} to {high:.3f}",
                "balanced accuracy": score["balanced_accuracy"],
                **({"paper, on AffectNet": paper} if (paper := paper_numbers.accuracy_of(run, model)) else {}),
                **score["recall"],
            }
        )
    return pd.DataFrame(rows)


def weak_members(run):
    """List the pairs whose member is not shown to be better than guessing, with its balanced accuracy."""
    predicted = run.folder.read_arrays("predictions")
    named = named_by_members(predicted["ensemble_logits"], predicted["labels"], run.categories.pairs)
    weak = {}
    for pair, (right, images) in enumerate(zip(*named, strict=True)):
        if near_chance(right, images):
            share = _share(float(np.mean(right / images))) if images.all() else "none"
            name = run.categories.pair_name(pair)
            weak[name] = f"{name} ({share} of {images[0]} and {images[1]})"
    return weak


def _explanations(run, s):
    weak = weak_members(run)
    pairs = [run.categories.pair_name(pair) for pair in run.study_pairs]
    shown = [weak.get(pairs[row], "") for row in first_of_each(run)]
    return {
        "final_area": f"{run.folder.read_arrays('maps')['final_area'].mean():.0%}",
        "weak": len(weak),
        "weak_members": ", ".join([*weak.values()][:LISTED]),
        "weak_unlisted": max(0, len(weak) - LISTED),
        "weak_images": sum(pair in weak for pair in pairs),
        "first_weak": shown[1],
        "shown_weak": ", ".join(dict.fromkeys(filter(None, shown))),
    }


def _comparison(run, s):
    grid = run.folder.read_table("dice_options").groupby("method")["dice"].agg(["min", "max"])
    ranges = [f"{grid['min'][m]:.2f} and {grid['max'][m]:.2f} ({METHOD_NAMES[m]})" for m in METHODS]
    category = s["category_effect"] or dict.fromkeys(("F", "p", "low_90", "high_90"))  # None in an older run
    return {
        **_test(s["anova"]),
        "ranges": "; ".join(ranges),
        "choices": " ".join(_open_choices(run)),
        "agreed": s["category_effect"] is not None,
        "category_differs": category["p"] is not None and category["p"] < answer.SIGNIFICANT,
        "ranked": run.folder.has("tables/confusion_correlation_differences.csv"),
        **{f"category_{name}": text for name, text in _test(category).items()},
        "category_low": _number(category["low_90"]),
        "category_high": _number(category["high_90"]),
    }


def _test(found):
    """Return degrees of freedom, F and p of a test in words."""
    return {
        "df": ", ".join(MISSING if each is None else str(each) for each in found.get("df", ())),
        "F": _number(found["F"]),
        "p": answer.p_value(found["p"]),
    }


def _open_choices(run) -> list[str]:
    """Return what all readings of the paper have in common, nothing of a run that has no table of them."""
    table = read_open_choices(run)
    return [] if table is None else multiverse.sentences(table, METHOD_NAMES, paper=paper_of(table))


def _dice(run, s, name):
    methods = run.folder.read_table("dice").groupby("method")
    means = methods[["dice", "chance", "corrected", "area_human", "area_model"]].mean().loc[list(METHODS)]
    means.insert(0, "n pairs", methods["dice"].count())
    return means.rename(METHOD_NAMES).reset_index(names="method")


def _scores(run, s, name):
    """Return one row a score: the methods, the best baseline and the ceiling."""
    table = run.folder.read_table("agreement")
    rows = []
    for metric, own in table.groupby("metric", sort=False):
        value = own.set_index("source")["value"]
        rivals = own[(own["kind"] == "baseline") & own["value"].notna()].sort_values("value", ascending=metric == "kl")
        best = "" if rivals.empty else f"{rivals['source'].iloc[0]} {number(rivals['value'].iloc[0])}"
        methods = {METHOD_NAMES[method]: number(value[method]) for method in METHODS}
        half = number(value[comparing.agreement.HALF])
        rows.append({"score": metric, **methods, "best baseline": best, "half of the people": half})
    return pd.DataFrame(rows)


def _read(run, s, name):
    return run.folder.read_table(name)


def _tests(run, s, name):
    """Return a table of statistics, methods and models by name, without a column of reasons that are not there."""
    table = run.folder.read_table(name).replace(METHOD_NAMES | MODEL_NAMES)
    return table.drop(columns=["reason"]) if "reason" in table and table["reason"].isna().all() else table


_TABLES = {
    "models": _models,
    "members_validated": lambda run, s, name: _read(run, s, name).drop(columns=["first", "second"]),
    "dice": _dice,
    "scores": _scores,
    **dict.fromkeys(
        (
            "tukey",
            "anova",
            "dice_over_baselines",
            "confusion_correlation",
            "confusion_correlation_differences",
            "agreement",
            "agreement_differences",
            "pair_answers",
            "effects",
            "contrasts",
        ),
        _tests,
    ),
    "beside_ours": lambda run, s, name: paper_numbers.beside_ours(run, s, MODEL_NAMES),
    "seconds": lambda run, s, name: pd.DataFrame(s["seconds"].items(), columns=["stage", "seconds"]),
}


def _caveats(run, s):
    """Say what `--minutes` has cost. The limits are in flags.txt, so that the run repeats without a clock."""
    limits = limits_of(run.folder.path).values()
    changed = [one for one in limits if one["given"] != one["asked"]]
    return {
        "shortened": "; ".join(f"{one['flag']} was {one['given']} instead of {one['asked']}" for one in changed),
        "minutes": f"{max((one['minutes'] for one in limits), default=0):g}",
    }


_SECTIONS = {
    "study": _pictures,
    "people": _people,
    "networks": _networks,
    "explanations": _explanations,
    "comparison": _comparison,
    "paper": lambda run, s: {},
    "caveats": _caveats,
    "methods": _methods,
}


def _share(value):
    return MISSING if value is None else f"{100 * value:.1f} %"


def _number(value):
    return MISSING if value is None else f"{value:.2f}"
