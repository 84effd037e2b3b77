"""Stage `report`: one page a person reads."""

import pandas as pd

from experiments.study.compare import models_of, write_summary
from experiments.study.draw import MODEL_NAMES, first_of_each
from experiments.study.explain import METHODS
from experiments.study.flag_sentences import ep_schedule, ep_score, training_card, training_ends
from experiments.study.run import COPIES, Run
from experiments.study.run_folder import PICTURES_RECORD
from experiments.study.time_limit import limits_of
from experiments.study.vote import accuracy_interval, confusion_counts, near_chance
from fer_jax import figures
from fer_jax.explanation import METHOD_NAMES
from fer_jax.expressions import EXPRESSIONS
from fer_jax.figures import Headline, Section

# What the paper reports on AffectNet, to read beside ours (§4.3, §5.2, §5.3).
PAPER = {
    "people": 0.839,
    "ensemble_simple_vote": 0.49,
    "ensemble_weighted_vote": 0.50,
    "multiclass": 0.54,
    "finetuned_simple_vote": 0.43,
    "finetuned_weighted_vote": 0.44,
}
OURS = (
    "The paper does not say how large the pictures are, from which weights training starts, by which formula classes are "
    "weighted, nor how long and at what rate members are fine-tuned: these choices are ours (flags.txt)."
)


def write_report(run: Run) -> None:
    """Write `report.html`, and `summary.json` once more with the seconds of all stages before."""
    write_summary(run)
    summary = run.folder.read_json("summary.json")
    page = figures.write_report
    people = run.provenance.has_people
    title = f"{'People and networks' if people else 'Networks'} see {_kind(run)}: {run.provenance.source}"
    parts = (_about, _people, _networks, _saliency, _comparison, _honesty)
    if not people:
        parts = (_about, _networks, _saliency, _honesty)
    sections = [part(run, summary) for part in parts]
    page(run.folder.file("report.html"), title, _headline(run, summary), sections)


def _kind(run) -> str:
    """Return what the categories are called: the paper's are expressions, others are categories."""
    return "expressions" if set(run.categories) <= set(EXPRESSIONS) else "categories"


def _is_papers(run) -> bool:
    """Return whether the paper's numbers mean the same as the run's: its eight expressions."""
    return run.categories == EXPRESSIONS


def _count(number) -> str:
    """Return a small number in words."""
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[number] if number < len(words) else str(number)


def _headline(run, s):
    count, members = len(run.categories), len(s["members"])
    networks = [
        (
            _share(s["ensemble"]["simple_vote"]["accuracy"]),
            "ensemble, simple vote",
            f"{members} member{'s' * (members > 1)}, {_count(count)} {_kind(run)}; chance {100 / count:.3g} %",
        ),
        (
            _share(s["multiclass"]["accuracy"]),
            "multiclass model",
            f"balanced {_share(s['multiclass']['balanced_accuracy'])}",
        ),
        training_card(run.config, s["members"]),
    ]
    return Headline(networks if s["people"] is None else [*networks, *_of_people(run, s)])


def _of_people(run, s):
    dice = {method: s["dice"][method]["mean"] for method in METHODS}
    best = max(dice, key=lambda method: dice[method] or 0)
    baselines = run.folder.read_table("dice_baselines").dropna(subset="dice").sort_values("dice")
    beside = "no baseline"
    if len(baselines):
        strongest = baselines.iloc[-1]
        how = "above" if (dice[best] or 0) > strongest["dice"] else "not above"
        beside = f"{how} the best baseline, {strongest['baseline']}: {strongest['dice']:.2f}"
    return [
        (
            _share(s["people"]["accuracy"]),
            f"{_sim(run)}people",
            f"{s['people']['participants']} {'simulated' if run.provenance.simulated else 'people'}, "
            f"{s['people']['trials']} trials",
        ),
        (_number(dice[best]), f"Dice, {METHOD_NAMES[best]}", f"highest of three methods, mean over pairs; {beside}"),
    ]


def _about(run, s):
    config, table = run.config, run.study_table
    pictures = {split: len(run.pictures(split)) for split in ("train", "validation")}
    text = (
        f"This run repeats the study of Park and Wallraven (2021, arXiv 2110.04481) on {run.provenance.source} of "
        f"{s['image_size']} pixels, with the {config.preset} preset ({s['model']} network, seed {s['seed']}).\n\n"
        f"{pictures['train']} pictures train the networks. {len(table)} study images were drawn from the "
        f"{pictures['validation']} of validation, equally many for each true and false label, and kept out of training and "
        f"evaluation; {len(run.evaluation_pictures)} remain to evaluate on.{_copies(run)}{_crop(run)}\n\n"
        f"{_who(run)}"
    )
    if not _is_papers(run):
        text += f" The categories are {run.categories}; the paper has eight expressions, so its numbers mean something else."
    if run.provenance.drawn:
        text += " The faces are drawn by a program; numbers on them say nothing about photographs."
    counts = run.folder.read_table("class_counts")
    shown = (
        []
        if not run.provenance.has_people
        else [
            _figure(
                run,
                "fig01_stimuli",
                f"What a participant sees: the picture, its blurred start, and what one {_sim(run)}person had uncovered when deciding (paper Fig. 1).",
            )
        ]
    )
    return Section(
        "The study", text, shown, [(counts, f"Pictures by {_kind(run)[:-1] if _is_papers(run) else 'category'}.")]
    )


def _who(run) -> str:
    if not run.provenance.has_people:
        return (
            "Nobody uncovered pictures in this run (--people=none), so there is no fine-tuning and nothing is compared "
            "with people."
        )
    if run.provenance.simulated:
        return (
            "All people in this report are simulated observers. They test the method and say nothing about real people."
        )
    return "The people in this report are real."


def _sim(run) -> str:
    """Return the word that stands before people wherever they are simulated."""
    return "simulated " if run.provenance.simulated else ""


def _crop(run):
    """Say what networks and participants see of a photograph."""
    record = run.folder.read_json(PICTURES_RECORD)
    square = "its central square, whatever that shows"
    kept = {
        "none": square,  # a prepared set of whole pictures
        "square": square,
        "box": "the square around the face, or its central square where no face is known",
        "eyes": "a square turned and scaled so that the eyes lie alike, or the square around the face without landmarks",
    }.get(record.get("crop"))
    if run.provenance.drawn or kept is None:
        return ""
    detector = record.get("detector", "given")
    found = "" if detector == "given" else f" Faces were found by the detector {detector.partition('=')[0]}."
    return f" Of each photograph they show {kept}.{found}"


def _copies(run) -> str:
    """Write a sentence about training pictures that are held out, too."""
    left_out = run.folder.read_json(PICTURES_RECORD).get(COPIES)
    if left_out is None:
        return ""
    what = "pictures that are in validation or test, too,"
    if left_out:
        return f" {left_out} training {what} were left out."
    return "" if run.config.dedupe else f" Training {what} were not looked for (--nodedupe)."


def _people(run, s):
    p = s["people"]
    text = (
        f"{p['participants']} {_sim(run)}{'observers' if run.provenance.simulated else 'people'} are analysed after the paper's exclusions; they were right in "
        f"{_share(p['accuracy'])} of {p['trials']} trials (the paper's people: {_share(PAPER['people'])}, chance 50 %). Over the {len(run.categories.ordered_pairs)} "
        f"cells of true and false label, clicks and time correlate {_r(p['r_clicks_time'])} (paper .93), clicks and accuracy "
        f"{_r(p['r_clicks_accuracy'])} (−.56), time and accuracy {_r(p['r_time_accuracy'])} (−.65)."
    )
    if p["reason"]:
        text += f" Not every correlation is defined: {p['reason']}."
    if run.provenance.simulated and not run.provenance.drawn:
        text += " These pictures come without landmarks, so the simulated clicks aim where eyes and mouth usually are."
    shown = [
        _figure(
            run,
            "fig02_people_confusion",
            f"Answers of the {_sim(run)}people (Fig. 2). {_foils(run)}",
        ),
        _figure(run, "fig03a_people_accuracy", "Accuracy by true and false label (Fig. 3a)."),
        _figure(run, "fig03b_people_clicks", "Clicks before the decision (Fig. 3b)."),
        _figure(run, "fig03c_people_time_s", "Time from first click to decision (Fig. 3c)."),
    ]
    sequences = "Order of the clicks of those who were right, on the easiest and on the hardest image that somebody was right about (Fig. 4)."
    if run.folder.has("figures/fig04_click_sequences.png"):
        shown.append(_figure(run, "fig04_click_sequences", sequences))
    else:
        text += " Nobody was right about any image, so there are no click sequences of correct answers (Fig. 4)."
    return Section(
        f"People{' (simulated)' if run.provenance.simulated else ''}",
        text,
        shown,
        [(run.folder.read_table("people_exclusions"), "Exclusions, each with its reason.")],
    )


def _foils(run) -> str:
    foils = len(run.categories) - 1
    if foils == 1:
        return "Every trial offers the one foil there is."
    limit = f"{1 / foils:.2f}".replace("0.", ".")
    return f"A row offers each foil in one of {foils} trials, so an error cell cannot exceed {limit}."


def _networks(run, s):
    count, members = len(run.categories), len(s["members"])
    text = (
        f"One binary network for {f'each of the {members} pairs' if members > 1 else 'the one pair'}, trained on as many pictures of either label, "
        f"{training_ends(run.config, s['members'])} Each member votes for one label; the weighted vote counts its larger logit.\n\n"
        f"The multiclass model decides among all {_count(count)} at once. Accuracy counts every picture alike, balanced "
        f"accuracy every category alike: with as unequal classes as in photographs, only the second tells how rare ones "
        "fare.\n\n" + OURS
    )
    rows = []
    for model in models_of(run):
        score = _score(s, model)
        low, high = accuracy_interval(confusion_counts(run, model))
        rows.append(
            {
                "model": MODEL_NAMES[model],
                "accuracy": score["accuracy"],
                "95 % interval": f"{low:.3f} to {high:.3f}",
                "balanced accuracy": score["balanced_accuracy"],
                **({"paper, on AffectNet": PAPER[model]} if _is_papers(run) else {}),
                **score["recall"],
            }
        )
    table = run.folder.read_table("members_validated")
    tables = [
        (
            pd.DataFrame(rows),
            f"Accuracy (Wilson's interval over pictures) and recall on {len(run.evaluation_pictures)} evaluation pictures.",
        ),
        (table.drop(columns=["first", "second"]), "The members."),
    ]
    if run.provenance.has_people:
        told = f"The members after fine-tuning on what the {_sim(run)}people uncovered."
        tables.append((run.folder.read_table("members_finetuned"), told))
    shown = [
        _figure(run, "training", "Training accuracy of the members; a line ends where its member stops."),
        _figure(run, "members", "Every member: training and validation accuracy."),
        _figure(run, "fig05a_ensemble_simple_vote", "Ensemble, simple vote (Fig. 5a)."),
        _figure(run, "fig05b_ensemble_weighted_vote", "Ensemble, weighted vote (Fig. 5b)."),
        _figure(run, "fig07_multiclass", "Multiclass model (Fig. 7)."),
    ]
    if run.provenance.has_people:
        shown += [
            _figure(run, "fig08a_finetuned_simple_vote", "Fine-tuned ensemble, simple vote (Fig. 8a)."),
            _figure(run, "fig08b_finetuned_weighted_vote", "Fine-tuned ensemble, weighted vote (Fig. 8b)."),
        ]
    shown.append(_figure(run, "recall", "Recall of every model."))
    return Section("Networks", text, shown, tables)


def _weak_members(run):
    """List the pairs whose member is not shown to be better than guessing, with its accuracy."""
    members = run.folder.read_table("members_validated")
    if "validation_images" not in members:  # of a run from before they were counted
        return {}
    return {
        row[
            "pair"
        ]: f"{row['pair']} ({_share(row['validation_accuracy']) if row['validation_images'] else 'none'} of {row['validation_images']})"
        for row in members.to_dict("records")
        if near_chance(row["validation_accuracy"], row["validation_images"])
    }


def _saliency(run, s):
    weak = _weak_members(run)
    pairs = [run.categories.pair_name(pair) for pair in run.study_pairs]
    shown_first = first_of_each(run)
    text = (
        "Each study image is explained through its own pair's member, for its true label. CAM and Grad-CAM of its logit come "
        "from the last feature map; for this architecture Grad-CAM is the positive part of CAM by construction, so they can "
        f"differ only where CAM is negative. Extremal Perturbation looks for the {run.config.area:.0%} of the image that "
        f"keep {ep_score(run.config)} highest, in {ep_schedule(run.config)}; its masks cover "
        f"{run.folder.read_arrays('maps')['final_area'].mean():.0%} on average."
    )
    if weak:
        text += (
            f"\n\n{len(weak)} of {len(s['members'])} members are not shown to be better than guessing on their validation pictures (the "
            f"95 % interval of their accuracy does not lie above 50 %): {', '.join(weak.values())}. Maps through them explain a guess; "
            f"{sum(pair in weak for pair in pairs)} of the {len(pairs)} study images are theirs."
        )
    guessing = [weak[pairs[row]] for row in shown_first if pairs[row] in weak]
    through = f" Explained through members near chance: {', '.join(dict.fromkeys(guessing))}." if guessing else ""
    first = f" Its member, {weak[pairs[shown_first[1]]]}, is near chance." if pairs[shown_first[1]] in weak else ""
    shown = [
        _figure(
            run,
            "fig09_saliency",
            f"One image through three methods{_uncovered(run)} (Fig. 9).{first}",
        ),
        _figure(run, "saliency_by_expression", f"One study image of each category.{through}"),
    ]
    return Section("Explanations", text, shown, [])


def _uncovered(run) -> str:
    return "" if not run.provenance.has_people else f", and what {_sim(run)}people uncovered"


def _comparison(run, s):
    dice = run.folder.read_table("dice")
    means = (
        dice.groupby("method")[["dice", "chance", "corrected", "area_human", "area_model"]].mean().loc[list(METHODS)]
    )
    means.insert(0, "n pairs", dice.groupby("method")["dice"].count())
    means.index = [METHOD_NAMES[method] for method in means.index]
    grid = run.folder.read_table("dice_options").groupby("method")["dice"].agg(["min", "max"]).loc[list(METHODS)]
    anova, df = s["anova"], s["anova"]["df"]
    degrees = ", ".join("–" if each is None else str(each) for each in df)
    f, p = _number(anova["F"]), _p(anova["p"])
    text = (
        "Mean maps of a pair are scaled to 0–255, cut above 50 and compared by Dice. Two maps that know nothing of each other "
        "overlap as well, the more the larger they are: chance is that overlap, 2ab/(a + b) for areas a and b, and the corrected "
        "Dice is what remains above it.\n\n"
        f"One-way analysis of variance over methods, as in the paper: F({degrees}) = {f}, {p} (paper: 85.45). "
        "The baselines below go through the same protocol; a method that does not beat them has not been shown to look where "
        "people look.\n\n"
        "Depending on what the paper leaves open (scaling, rounding, the value 50 itself), mean Dice lies between "
        + "; ".join(f"{row['min']:.2f} and {row['max']:.2f} ({METHOD_NAMES[m]})" for m, row in grid.iterrows())
        + "."
    )
    tukey = run.folder.read_table("tukey")
    for column in ("a", "b"):
        tukey[column] = tukey[column].map(METHOD_NAMES)
    correlations = run.folder.read_table("confusion_correlation")
    correlations["model"] = correlations["model"].map(MODEL_NAMES)
    tables = [
        (means.reset_index(names="method"), "Dice by method, means over pairs."),
        (run.folder.read_table("dice_baselines"), "Baselines: maps that know nothing of the network."),
        (_said(tukey), "Tukey's comparison of the methods."),
        (
            _said(run.folder.read_table("anova")),
            "Analysis of variance: between, as in the paper, and repeated over the same pairs.",
        ),
        (
            _said(correlations),
            "Confusions of people and networks. The correlation over all cells is high for any two decent matrices; off the diagonal it compares the errors, with an exact permutation test.",
        ),
    ]
    shown = [
        _figure(run, "fig10_dice", "Dice of people's and networks' maps (Fig. 10); each point is a pair."),
        _figure(run, "confusion_correlation", "Correlation of confusion matrices with and without the diagonal."),
        _figure(run, "confusion_scatter", f"Error cells of {_sim(run)}people and of the ensemble's simple vote."),
    ]
    return Section("People and networks compared", text, shown, tables)


def _said(table):
    """Drop a table's column of reasons where there are none."""
    return table.drop(columns=["reason"]) if "reason" in table and table["reason"].isna().all() else table


def _honesty(run, s):
    seconds = pd.DataFrame({"stage": list(s["seconds"]), "seconds": list(s["seconds"].values())})
    people = run.provenance.has_people
    text = (
        ("People are simulated, so nothing here compares networks with people. " if run.provenance.simulated else "")
        + "One seed, one run: intervals are over pictures or pairs, not over seeds. The training accuracy that stops a member "
        "is the running one, over the augmented pictures of an epoch. "
        + ("Fine-tuning uses the study images themselves, as the paper does. " if people else "")
        + "Extremal Perturbation's area is a share of the image. Every number stands in tables/ as CSV and in summary.json; "
        "flags.txt repeats the run." + _time_limit(run)
    )
    return Section("What to keep in mind", text, [], [(seconds, "Seconds by stage.")])


def _time_limit(run):
    """Say what `--minutes` has cost. The limits are in flags.txt, so that the run repeats without a clock."""
    limits = limits_of(run.folder.path).values()
    told = [
        f"{one['flag']} was {one['given']} instead of {one['asked']}" for one in limits if one["given"] != one["asked"]
    ]
    minutes = max((one["minutes"] for one in limits), default=0)
    return f"\n\nTraining was shortened to end within {minutes:g} minutes: {'; '.join(told)}." if told else ""


def _figure(run, name, caption):
    return run.folder.path / "figures" / f"{name}.png", caption


def _score(s, model):
    kind, _, rule = model.partition("_")
    return s[kind][rule] if rule else s[kind]


def _share(value):
    return "–" if value is None else f"{100 * value:.1f} %"


def _r(value):
    return "–" if value is None else f"{value:.2f}".replace("-", "−").replace("0.", ".", 1)


def _number(value):
    return "–" if value is None else f"{value:.2f}"


def _p(value):
    if value is None:
        return "p not defined"
    return "p < .001" if value < 0.001 else f"p = {value:.3f}"
