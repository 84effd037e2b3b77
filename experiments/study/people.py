"""Stage `people`: simulated observers uncover the study images click by click (paper §4)."""

import numpy as np
import pandas as pd

from experiments.study.run import Run, open_run
from fer_jax import faces, human, masks
from fer_jax.categories import Categories
from fer_jax.errors import StorageError, UsageError
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


def click_set(
    path: str, *, categories: Categories | None = None, allow_mixed: bool = False, flag: str = "run"
) -> human.clicks.ClickSet:
    """Read the clicks, answers and pictures of a run as one checked set, of the excluded people, too.

    Args:
      path: the run folder. Its stages data, design and people have ended.
      categories: the names of the labels. None takes those of the run.
      allow_mixed: take people's and simulated trials at once.
      flag: where the run was named, for messages.

    Raises:
      UsageError: no run, or a stage that has not ended.
      StorageError: a file that is damaged, or a study table that is not of these pictures.
      DataError: what `human.clicks.assemble` refuses.
    """
    run = open_run(path, flag=flag)
    for stage, file in (("data", "data/pictures.npz"), ("design", "tables/study_images.csv"), ("people", "people")):
        if not run.folder.has(file):
            raise UsageError(f"`--{flag}`: wanted a run whose stage {stage} has ended, got {path}, without {file}.")
    try:
        table, validation = run.study_table, run.pictures("validation")
    except KeyError as error:
        raise StorageError(f"`{path}/data/pictures.npz`: is damaged: it lacks {error}.") from None
    names = validation.names[: len(validation.images)]
    missing = [name for name in (*human.study.COLUMNS, "row") if name not in table]
    rows = None if missing else table["row"].to_numpy()
    if missing or not np.issubdtype(rows.dtype, np.integer) or not ((rows >= 0) & (rows < len(names))).all():
        wanted = f"{', '.join(human.study.COLUMNS)} and a row of the {len(names)} validation pictures"
        raise StorageError(f"`{path}/tables/study_images.csv`: wanted {wanted}, got others.")
    if (names[rows] != table["image"]).any():
        place = int((names[rows] != table["image"]).argmax())
        raise StorageError(
            f"`{path}/data/pictures.npz`: wanted {table['image'].iloc[place]!r} as validation picture {rows[place]}, "
            f"got {str(names[rows[place]])!r}."
        )
    folder = run.folder.path / "people"
    return human.clicks.assemble(
        human.trials.read(folder),
        run.study_pictures.images,
        table,
        categories=run.categories if categories is None else categories,
        allow_mixed=allow_mixed,
        provenance=run.provenance,
        names=human.trials.file_names(folder),
    )


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
