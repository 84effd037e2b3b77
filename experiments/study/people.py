"""Stage `people`: simulated observers uncover the study images click by click (paper §4)."""

import numpy as np
import pandas as pd

from experiments.study.run import Run
from fer_jax import faces, human, masks
from fer_jax.expressions import index_of


def simulate(run: Run) -> None:
    """Simulate, exclude as the paper does, and write trials, behaviour and attention maps."""
    config, table = run.config, run.study_table
    size = config.image_size
    landmarks = _landmarks(run) if config.dataset == "procedural_faces" else None
    everyone = human.observers.simulate(
        table, seed=config.seed, image_px=size, participants=config.participants, landmarks=landmarks
    )
    kept, exclusions = human.exclusion.exclude(everyone, study=table)
    marked = human.exclusion.mark_excluded(everyone, exclusions)
    human.trials.write(run.folder.file("people", "trials.csv").parent, marked)
    pairs = human.behaviour.pair_table(kept, table, categories=run.categories)
    run.folder.write_table("people_exclusions", exclusions)
    run.folder.write_table("people_pairs", pairs)
    run.folder.write_table("people_correlations", pd.DataFrame([human.behaviour.correlations(pairs)]))
    run.folder.write_arrays("people_confusion", counts=human.behaviour.confusion(kept, categories=run.categories)[1])
    attention = human.attention.attention_maps(kept, table, image_px=size, radius=masks.reveal_radius(size))
    rows, points = human.attention.revealed(kept, table)
    run.folder.write_arrays("attention", maps=attention, revealed_rows=rows, revealed_points=points)


def read_people(run: Run):
    """Read the trials of the people who are analysed."""
    everyone = human.trials.read(run.folder.path / "people")
    return human.exclusion.exclude(everyone, study=run.study_table)[0]


def _landmarks(run) -> np.ndarray:
    """Return landmarks (T, 68, 2), pixels, from the parameters of each rendered study image."""
    config, table = run.config, run.study_table
    found = []
    for image, label in zip(table["image"], table["true_label"], strict=True):
        number = int(image.rpartition("/")[2])  # of the face, whichever of them the study took
        parameters = faces.draw(
            config.seed,
            "validation",
            number,
            preset=config.faces,
            expression=index_of(label),
            categories=run.categories,
        )
        found.append(faces.render(parameters, size=config.image_size).landmarks)
    return np.stack(found)
