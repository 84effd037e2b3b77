"""Stage `figures`: every figure of the study as PNG and SVG."""

import dataclasses

import numpy as np

from experiments.study.compare import models_of
from experiments.study.people import read_people
from experiments.study.study import Study
from experiments.study.vote import accuracy_interval, confusion_counts, scores
from fer_jax import compare as comparing
from fer_jax import figures, human, masks
from fer_jax.explanation import METHOD_NAMES, METHODS
from fer_jax.expressions import noun_of
from fer_jax.provenance import Provenance
from fer_jax.streams import stream

MODEL_NAMES = {
    "ensemble_simple_vote": "Ensemble, simple vote",
    "ensemble_weighted_vote": "Ensemble, weighted vote",
    "multiclass": "Multiclass model",
    "finetuned_simple_vote": "Fine-tuned, simple vote",
    "finetuned_weighted_vote": "Fine-tuned, weighted vote",
}


def draw_figures(study: Study) -> None:
    """Draw and save all figures. Names start with the paper's figure number where there is one."""
    of_people = (_stimuli, _people, _sequences, _dice, _correlations)
    for draw in (_confusions, _training, _saliency, *(of_people if study.provenance.has_people else ())):
        draw(study)
        study.stop.check()


def _save(study, name, drawn):
    figure = drawn if hasattr(drawn, "savefig") else drawn.figure
    figures.save(figure, study.folder.file("figures", name))


def first_of_each(study):
    """Return the row of the first study image of each expression."""
    truth = study.study_table["true_label"].to_numpy()
    return [int(np.flatnonzero(truth == expression)[0]) for expression in study.categories]


def _stimuli(study):
    rows = first_of_each(study)
    sharp = study.study_pictures.images[rows]
    size = study.config.image_size
    veiled = human.stimuli.blurred(sharp, masks.blur_size(size)).reshape(len(rows), size, size, 1)
    arrays = study.folder.read_arrays("attention")
    revealed = []
    for row, picture, veil in zip(rows, sharp, veiled, strict=True):
        own = np.flatnonzero(arrays["revealed_rows"] == row)
        points = arrays["revealed_points"][own[0]] if len(own) else np.zeros((0, 2), np.float32)
        points = points[~np.isnan(points).any(1)]
        mask = human.stimuli.reveal_mask(points, (size, size), masks.reveal_radius(size))
        revealed.append(human.stimuli.composite(picture, veil, mask))
    veiled = np.repeat(veiled, 3, -1)
    _save(
        study,
        "fig01_stimuli",
        figures.draw_stimuli(sharp, veiled, np.stack(revealed), list(study.categories), provenance=study.provenance),
    )


def _people(study):
    counts = study.folder.read_arrays("people_confusion")["counts"]
    _save(
        study,
        "fig02_people_confusion",
        figures.draw_confusion(counts, title="People", categories=study.categories, provenance=study.provenance),
    )
    pairs = study.folder.read_table("people_pairs")
    for letter, value, title, form in (
        ("a", "accuracy", "Accuracy", "{:.2f}"),
        ("b", "clicks", "Clicks before the decision", "{:.1f}"),
        ("c", "time_s", "Time from first click to decision (s)", "{:.1f}"),
    ):
        table = pairs.assign(time_s=pairs["time_ms"] / 1000, n=pairs["n_times" if value == "time_s" else "n"])
        drawn = figures.draw_pair_matrix(
            table, value, title=title, fmt=form, categories=study.categories, provenance=study.provenance
        )
        _save(study, f"fig03{letter}_people_{value}", drawn)


def _sequences(study):
    """Return right people's click sequences on the first images of highest and lowest accuracy (Fig. 4).

    An image that nobody was right about has no such clicks. The lowest accuracy is the lowest above 0.
    """
    people = read_people(study)
    table = human.behaviour.image_table(people, study.study_table)
    size = study.config.image_size
    known = table["accuracy"][table["accuracy"] > 0]
    if known.empty:
        return
    least = "lowest" if len(known) == len(table) else "lowest above 0"
    panels = []
    for name, row in (("highest", known.idxmax()), (least, known.idxmin())):
        image = table["image"][row]
        picture = study.study_pictures.images[row].astype(np.float32) / 255
        labels = f"{table['true_label'][row]}, not {table['false_label'][row]}"
        right, answered = round(table["accuracy"][row] * table["n"][row]), table["n"][row]
        caption = f"accuracy, {name}: {right} of {answered}\n{labels}"
        panels.append((picture, caption))
        drawn = human.attention.click_sequence(people, image, image_px=size, radius=masks.reveal_radius(size))
        shown = drawn[..., 3:] * drawn[..., :3] + (1 - drawn[..., 3:]) * picture.mean(-1, keepdims=True)
        panels.append((np.clip(shown, 0, 1), "clicks of those who were right"))
    _save(study, "fig04_click_sequences", figures.draw_click_sequence(panels, provenance=study.provenance))


def _confusions(study):
    numbers = ("fig05a", "fig05b", "fig07", "fig08a", "fig08b")
    networks = _of_networks(study)
    for number, model in zip(numbers, models_of(study), strict=False):
        counts = confusion_counts(study, model)
        drawn = figures.draw_confusion(
            counts,
            title=MODEL_NAMES[model],
            interval=accuracy_interval(counts),
            categories=study.categories,
            provenance=networks,
        )
        _save(study, f"{number}_{model}", drawn)
    recalls = {MODEL_NAMES[model]: scores(study, model)["recall"] for model in models_of(study)}
    _save(study, "recall", figures.draw_recall(recalls, provenance=networks))


def _of_networks(study) -> Provenance:
    """Return the provenance of a figure that holds nobody's answers."""
    return dataclasses.replace(study.provenance, people="none")


def _training(study):
    told = {"target": study.config.stop_accuracy or None, "provenance": _of_networks(study)}
    own = study.folder.read_table("metrics_ensemble")
    _save(study, "training", figures.draw_training(own, **told))
    _save(study, "members", figures.draw_members(study.folder.read_table("members_validated"), **told))


def _saliency(study):
    maps, people = study.folder.read_arrays("maps"), study.provenance.has_people
    human_maps = study.folder.read_arrays("attention")["maps"] if people else None
    table, pictures = study.study_table, study.study_pictures.images
    rows = []
    for row in first_of_each(study):
        shown = {METHOD_NAMES[method]: maps[method][row] for method in METHODS}
        if people:
            shown["Simulated people" if study.provenance.simulated else "People"] = human_maps[row]
        rows.append((pictures[row], shown, f"{table['true_label'][row]}\nnot {table['false_label'][row]}"))
    image, shown, _ = rows[1]
    _save(study, "fig09_saliency", figures.draw_saliency(image, shown, provenance=study.provenance))
    title = f"One picture of each {noun_of(study.categories)}, explained"
    grid = figures.draw_saliency_grid(rows, title=title, provenance=study.provenance)
    _save(study, "saliency_by_expression", grid)


def _dice(study):
    table = study.folder.read_table("dice")
    table["method"] = table["method"].map(METHOD_NAMES)
    intervals = {}
    for method, own in table.groupby("method"):
        values = own["dice"].dropna().to_numpy()
        intervals[method] = comparing.intervals.mean_interval(stream(len(values)), values)
    baselines = study.folder.read_table("dice_baselines")
    drawn = figures.draw_dice(table, intervals=intervals, baselines=baselines, provenance=study.provenance)
    _save(study, "fig10_dice", drawn)


def _correlations(study):
    table = study.folder.read_table("confusion_correlation")
    table["model"] = table["model"].map(MODEL_NAMES)
    _save(
        study,
        "confusion_correlation",
        figures.draw_correlations(table, categories=study.categories, provenance=study.provenance),
    )
    people = study.folder.read_arrays("people_confusion")["counts"]
    counts = confusion_counts(study, "ensemble_simple_vote")
    shares = [comparing.confusion.shares(c) for c in (people, counts)]
    _save(
        study,
        "confusion_scatter",
        figures.draw_confusion_scatter(*shares, categories=study.categories, provenance=study.provenance),
    )
