"""Stage `people`: simulated observers uncover the study images click by click (paper §4)."""

import numpy as np
import pandas as pd

from experiments.study.study import Study
from fer_jax import faces, human, masks
from fer_jax.expressions import index_of


def simulate(study: Study) -> None:
    """Simulate, exclude as the paper does, and write trials, behaviour and attention maps."""
    config, table = study.config, study.study_table
    size = config.image_size
    landmarks = _landmarks(study) if config.dataset == "procedural_faces" else None
    everyone = human.observers.simulate(
        table, seed=config.seed, image_px=size, participants=config.participants, landmarks=landmarks
    )
    kept, exclusions = human.exclusion.exclude(everyone, study=table)
    marked = human.exclusion.mark_excluded(everyone, exclusions)
    human.trials.write(study.folder.file("people", "trials.csv").parent, marked)
    pairs = human.behaviour.pair_table(kept, table, categories=study.categories)
    study.folder.write_table("people_exclusions", exclusions)
    study.folder.write_table("people_pairs", pairs)
    study.folder.write_table("people_correlations", pd.DataFrame([human.behaviour.correlations(pairs)]))
    study.folder.write_arrays(
        "people_confusion", counts=human.behaviour.confusion(kept, categories=study.categories)[1]
    )
    attention = human.attention.attention_maps(kept, table, image_px=size, radius=masks.reveal_radius(size))
    rows, points = human.attention.revealed(kept, table)
    study.folder.write_arrays("attention", maps=attention, revealed_rows=rows, revealed_points=points)


def read_people(study: Study):
    """Read the trials of the people who are analysed."""
    everyone = human.trials.read(study.folder.path / "people")
    return human.exclusion.exclude(everyone, study=study.study_table)[0]


def _landmarks(study) -> np.ndarray:
    """Return landmarks (T, 68, 2), pixels, from the parameters of each rendered study image."""
    config, table = study.config, study.study_table
    found = []
    for image, label in zip(table["image"], table["true_label"], strict=True):
        number = int(image.rpartition("/")[2])  # of the face, whichever of them the study took
        parameters = faces.draw(
            config.seed,
            "validation",
            number,
            preset=config.faces,
            expression=index_of(label),
            categories=study.categories,
        )
        found.append(faces.render(parameters, size=config.image_size).landmarks)
    return np.stack(found)
