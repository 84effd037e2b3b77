"""Stage `figures`: every figure of the study as PNG and SVG."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.study.answer import dice_intervals
from experiments.study.compare import human_shares, models_of
from experiments.study.open_choices import methods_first, paper_of, read_open_choices
from experiments.study.people import read_people
from experiments.study.run import Run
from experiments.study.vote import accuracy_interval, confusion_counts, scores
from fer_jax import compare as comparing
from fer_jax import figures, human
from fer_jax.compare import multiverse
from fer_jax.explanation import METHOD_NAMES, METHODS
from fer_jax.expressions import noun_of
from fer_jax.figures.style import figure_of

MODEL_NAMES = {
    "ensemble_simple_vote": "Ensemble, simple vote",
    "ensemble_weighted_vote": "Ensemble, weighted vote",
    "multiclass": "Multiclass model",
    "finetuned_simple_vote": "Fine-tuned, simple vote",
    "finetuned_weighted_vote": "Fine-tuned, weighted vote",
}


def draw_figures(run: Run) -> None:
    """Draw and save all figures. Names start with the paper's figure number where there is one."""
    for name, draw in drawings(run):
        figures.save(draw(), run.folder.file("figures", name))
        run.stop.check()


def drawings(run: Run) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield the name of every figure of the run, and what draws it from the run's tables."""
    of_people = (_stimuli, _people, _sequences, _dice, _open_choices, _correlations)
    for several in (_confusions, _training, _saliency, *(of_people if run.provenance.has_people else ())):
        yield from several(run)


def _of(run, name, draw, *content, of_people=True, **options):
    """Return a name and what draws it. The heading names the people only where the figure shows their answers."""
    provenance = run.provenance if of_people else dataclasses.replace(run.provenance, people="none")

    def drawn() -> Figure:
        return figure_of(draw(*content, provenance=provenance, **options))

    return name, drawn


def first_of_each(run):
    """Return the row of the first study image of each expression that the study shows."""
    truth = run.study_table["true_label"].to_numpy()
    return [int(np.flatnonzero(truth == expression)[0]) for expression in run.categories if expression in truth]


def _stimuli(run):
    rows = first_of_each(run)
    sharp = run.study_pictures.images[rows]
    size = run.config.image_size
    veiled = human.stimuli.blurred(sharp, run.blur_size).reshape(len(rows), size, size, 1)
    arrays = run.folder.read_arrays("attention")
    revealed = []
    for row, picture, veil in zip(rows, sharp, veiled, strict=True):
        own = np.flatnonzero(arrays["revealed_rows"] == row)
        points = arrays["revealed_points"][own[0]] if len(own) else np.zeros((0, 2), np.float32)
        points = points[~np.isnan(points).any(1)]
        mask = human.stimuli.reveal_mask(points, (size, size), run.reveal_radius)
        revealed.append(human.stimuli.composite(picture, veil, mask))
    seen = (sharp, np.repeat(veiled, 3, -1), np.stack(revealed))
    yield _of(run, "fig01_stimuli", figures.draw_stimuli, *seen, run.study_table["true_label"][rows].tolist())


def _people(run):
    counts = run.folder.read_arrays("people_confusion")["counts"]
    over = {"categories": run.categories}
    yield _of(run, "fig02_people_confusion", figures.draw_confusion, counts, title="People", **over)
    pairs = run.folder.read_table("people_pairs")
    for name, table, value, title, form in pair_figures(pairs, "people_"):
        yield _of(run, name, figures.draw_pair_matrix, table, value, title=title, fmt=form, **over)


def pair_figures(pairs, owner="", *, time_from="first click"):
    """Yield file name, table, column, title and number format of each panel of Fig. 3 that a pair table can give.

    Args:
      pairs: a pair table.
      owner: of the files.
      time_from: what times count from.
    """
    for letter, value, title, form in (
        ("a", "accuracy", "Accuracy", "{:.2f}"),
        ("b", "clicks", "Clicks before the decision", "{:.1f}"),
        ("c", "time_s", f"Time from {time_from} to decision (s)", "{:.1f}"),
    ):
        name = f"fig03{letter}_{owner}{value}"
        if value == "time_s" and "time_ms" in pairs:
            yield name, pairs.assign(time_s=pairs["time_ms"] / 1000, n=pairs["n_times"]), value, title, form
        elif value in pairs:
            yield name, pairs, value, title, form


def _sequences(run):
    """Draw right people's click sequences (Fig. 4)."""
    people = read_people(run)
    table = human.behaviour.image_table(people, run.study_table)
    size = run.config.image_size
    pictures = run.study_pictures.images
    panels = sequence_panels(people, table, size, run.reveal_radius, lambda row: pictures[row] / np.float32(255))
    if panels:
        yield _of(run, "fig04_click_sequences", figures.draw_click_sequence, panels)


def sequence_panels(people, table, size, radius, picture_of=None, trials_used="correct"):
    """Return people's click sequences on the first images of highest and lowest accuracy (Fig. 4).

    An image that nobody was right about has no such clicks. The lowest accuracy is the lowest above 0.

    Args:
      people: trials of the people who are analysed.
      table: an image table.
      size: side of the pictures, or their height and width, or both of each image by name.
      radius: of the disc a click opens.
      picture_of: from an image's row to its picture, float (H, W, 3). None draws the clicks on grey alone.
      trials_used: "correct" or "all".
    """
    known = table["accuracy"][table["accuracy"] > 0]
    if known.empty:
        return []
    panels = []
    least = "lowest" if len(known) == len(table) else "lowest above 0"
    for name, row in (("highest", known.idxmax()), (least, known.idxmin())):
        image = table["image"][row]
        shape = size[image] if isinstance(size, dict) else size if isinstance(size, tuple) else (size, size)
        labels = f"{table['true_label'][row]}, not {table['false_label'][row]}"
        right, answered = round(table["accuracy"][row] * table["n"][row]), table["n"][row]
        caption = f"accuracy, {name}: {right} of {answered}\n{labels}"
        grey = np.full((*shape, 1), np.float32(0.85))
        if picture_of is not None:
            picture = picture_of(row)
            panels.append((picture, caption))
            grey, caption = picture.mean(-1, keepdims=True), "clicks of those who were right"
        drawn = human.attention.click_sequence(people, image, image_px=shape, radius=radius, trials_used=trials_used)
        shown = drawn[..., 3:] * drawn[..., :3] + (1 - drawn[..., 3:]) * grey
        panels.append((np.clip(shown, 0, 1), caption))
    return panels


def _confusions(run):
    numbers = ("fig05a", "fig05b", "fig07", "fig08a", "fig08b")
    for number, model in zip(numbers, models_of(run), strict=False):
        counts = confusion_counts(run, model)
        told = {"title": MODEL_NAMES[model], "interval": accuracy_interval(counts), "categories": run.categories}
        yield _of(run, f"{number}_{model}", figures.draw_confusion, counts, of_people=False, **told)
    recalls = {MODEL_NAMES[model]: scores(run, model)["recall"] for model in models_of(run)}
    yield _of(run, "recall", figures.draw_recall, recalls, of_people=False)


def _training(run):
    told = {"target": run.config.stop_accuracy or None, "of_people": False}
    yield _of(run, "training", figures.draw_training, run.folder.read_table("metrics_ensemble"), **told)
    yield _of(run, "members", figures.draw_members, run.folder.read_table("members_validated"), **told)


def _saliency(run):
    maps, people = run.folder.read_arrays("maps"), run.provenance.has_people
    human_maps = run.folder.read_arrays("attention")["maps"] if people else None
    table, pictures = run.study_table, run.study_pictures.images
    rows = []
    for row in first_of_each(run):
        shown = {METHOD_NAMES[method]: maps[method][row] for method in METHODS}
        if people:
            shown[run.provenance.who.capitalize()] = human_maps[row]
        rows.append((pictures[row], shown, f"{table['true_label'][row]}\nnot {table['false_label'][row]}"))
    image, shown, _ = rows[1]
    yield _of(run, "fig09_saliency", figures.draw_saliency, image, shown)
    title = f"One picture of each {noun_of(run.categories)}, explained"
    yield _of(run, "saliency_by_expression", figures.draw_saliency_grid, rows, title=title)


def _dice(run):
    table = run.folder.read_table("dice")
    table["method"] = table["method"].map(METHOD_NAMES)
    intervals = {METHOD_NAMES[method]: ends for method, ends in dice_intervals(run).items()}
    baselines = run.folder.read_table("dice_baselines")
    yield _of(run, "fig10_dice", figures.draw_dice, table, intervals=intervals, baselines=baselines)


def _open_choices(run):
    table = read_open_choices(run)
    if table is None:
        return
    paper = paper_of(table)
    rows = np.all([table[name] == value for name, value in paper.items()], 0)
    over = {"paper": pd.Series(rows), "choices": multiverse.choices_of(table)}
    yield _of(run, "multiverse", figures.draw_multiverse, table, methods_first(), **over)


def _correlations(run):
    table = run.folder.read_table("confusion_correlation")
    table["model"] = table["model"].map(MODEL_NAMES)
    over = {"categories": run.categories}
    yield _of(run, "confusion_correlation", figures.draw_correlations, table, **over)
    shares = human_shares(run), comparing.confusion.shares(confusion_counts(run, "ensemble_simple_vote"))
    yield _of(run, "confusion_scatter", figures.draw_confusion_scatter, *shares, **over)
