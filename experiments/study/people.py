"""Stage `people`: the study images as people, real or simulated, uncovered them click by click (paper §4)."""

import pathlib
import sys

import numpy as np
import pandas as pd

from experiments.study import people_tables
from experiments.study.people_flag import folders_of
from experiments.study.people_pictures import KNOWN, digests_of
from experiments.study.run import PEOPLE_RECORD, Run, open_run
from experiments.study.run_folder import PICTURES_RECORD
from fer_jax import faces, human, masks
from fer_jax.categories import Categories
from fer_jax.errors import DataError, StorageError, UsageError
from fer_jax.expressions import index_of
from fer_jax.human.observers.regions import without_landmarks


def record_people(run: Run) -> None:
    """Simulate people or read their tables, exclude as the paper does, and write behaviour and maps.

    The trials of simulated people are written, too. Those of a study stay where they lie, and the record says where.
    """
    config, table, size = run.config, run.study_table, run.config.image_size
    if config.people == "simulated":
        landmarks = _landmarks(run)
        everyone, radius, blur = _simulated(run, landmarks), masks.reveal_radius(size), masks.blur_size(size)
        blind = len(table) if landmarks is None else int(without_landmarks(landmarks).sum())
        own, tables = {"profile": config.profile, "without_landmarks": blind}, {}
    else:
        everyone, radius, blur = people_tables.fitted(_recorded(run, config.people), size)
        paths = [str(folder.resolve()) for folder in folders_of(config.people)]
        own = tables = {"tables": paths, "sha256": people_tables.digest(config.people)}
    kept, exclusions = analysed(run, everyone)
    if tables:
        _refuse_nobody(kept, exclusions)
        _with_known_hashes(run, everyone, tell=True)
    else:
        marked = human.exclusion.mark_excluded(everyone, exclusions)
        human.trials.write(run.folder.file("people", "trials.csv").parent, marked)
    run.folder.write_json(PEOPLE_RECORD, _who(kept) | {"reveal_radius_px": radius, "blur_k": blur} | own)
    pairs = human.behaviour.pair_table(kept, table, categories=run.categories)
    images = image_answers(kept, table)
    _tell_unanswered(images)
    run.folder.write_table("people_exclusions", exclusions)
    run.folder.write_table("people_images", images)
    run.folder.write_table("people_pairs", pairs)
    run.folder.write_table("people_correlations", pd.DataFrame([human.behaviour.correlations(pairs)]))
    run.folder.write_arrays("people_confusion", counts=human.behaviour.confusion(kept, categories=run.categories)[1])
    attention = human.attention.attention_maps(kept, table, image_px=size, radius=radius)
    rows, points = human.attention.revealed(kept, table)
    run.folder.write_arrays("attention", maps=attention, revealed_rows=rows, revealed_points=points)


def image_answers(kept: human.trials.Trials, study: pd.DataFrame) -> pd.DataFrame:
    """Return how many people answered each study image, and why one has no map.

    Columns:
      image: name of the study image.
      true_label: the picture's expression.
      false_label: the other answer on offer.
      answers: people who are analysed and answered.
      right: of them, those who were right. The map, fine-tuning and Dice come from these.
      reason: why the image has no map, else empty.
    """
    table = study[["image", "true_label", "false_label"]].reset_index(drop=True)
    answers = human.behaviour.image_table(kept, study)["n"].to_numpy(np.int64)
    right = human.attention.people_per_image(kept, study)
    reason = np.where(answers == 0, "nobody answered", np.where(right == 0, "nobody was right", ""))
    return table.assign(answers=answers, right=right, reason=reason)


def read_people(run: Run) -> human.trials.Trials:
    """Read the trials of the people who are analysed."""
    return analysed(run, read_everybody(run))[0]


def read_everybody(run: Run) -> human.trials.Trials:
    """Read the trials of everybody, of the excluded people, too: those that the run has written, or a study's tables.

    Raises:
      StorageError: a study's tables that have changed, or are gone, since the stage `people` has read them.
    """
    record = run.folder.read_json(PEOPLE_RECORD) if run.folder.has(PEOPLE_RECORD) else {}
    if "tables" not in record or run.folder.has(f"people/{human.trials.file_name('trials')}"):
        return human.trials.read(run.folder.path / "people")
    people = ",".join(record["tables"])
    gone = [path for path in record["tables"] if not pathlib.Path(path).is_dir()]
    if gone or people_tables.digest(people) != record["sha256"]:
        told = f"`{gone[0]}` is gone" if gone else f"`{people}` has changed"
        raise StorageError(
            f"{told} since the run {run.folder.path} has read its people there. Put the tables back, or give the run's "
            "command again with --people."
        )
    everyone, _, _ = people_tables.fitted(_recorded(run, people), run.config.image_size)
    everyone = _with_known_hashes(run, everyone)
    return human.exclusion.mark_excluded(everyone, analysed(run, everyone)[1])


def analysed(run, everyone):
    """Leave people out. A study may show each person some of its images, so people are complete as most of them are."""
    usual = None if run.config.people == "simulated" else human.exclusion.USUAL
    return human.exclusion.exclude(everyone, study=run.study_table, n_expected=usual)


def _tell_unanswered(images) -> None:
    without = images[images["reason"] != ""]
    if len(without):
        told = [f"{name!r} ({why})" for name, why in zip(without["image"], without["reason"], strict=True)]
        sys.stderr.write(
            f"people: {len(without)} of {len(images)} pictures are left out of maps and Dice, see "
            f"tables/people_images.csv: {', '.join(told[:3])}{', ...' if len(told) > 3 else ''}\n"
        )


def click_set(
    path: str, *, categories: Categories | None = None, allow_mixed: bool = False, flag: str = "run"
) -> human.clicks.ClickSet:
    """Read the clicks, answers and pictures of a run as one checked set.

    People whom the two rules exclude are in the set. Those whom somebody excluded by hand are not.

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
    made = "people.json" if run.folder.has("people.json") else "people"
    for stage, file in (("data", "data/pictures.npz"), ("design", "tables/study_images.csv"), ("people", made)):
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
    return human.clicks.assemble(
        human.exclusion.without_recorded(read_everybody(run)),
        run.study_pictures.images,
        table,
        categories=run.categories if categories is None else categories,
        allow_mixed=allow_mixed,
        provenance=run.provenance,
        names=human.trials.file_names(run.folder.path / "people") if run.folder.has("people") else None,
    )


def _simulated(run, landmarks) -> human.trials.Trials:
    config = run.config
    return human.observers.simulate(
        run.study_table,
        seed=config.seed,
        image_px=config.image_size,
        participants=config.participants,
        landmarks=landmarks,
        profile=config.profile,
    )


def _recorded(run, people) -> human.trials.Trials:
    """Read the tables that `--people` names: the trials of the study's images, and their clicks."""
    trials = people_tables.read(people)
    people_tables.check_who(trials)
    trials = human.behaviour.of_study(trials, run.study_table)
    keys = [pd.MultiIndex.from_frame(table[["participant", "trial"]]) for table in (trials.clicks, trials.trials)]
    clicks = trials.clicks[keys[0].isin(keys[1])]
    return human.trials.Trials(
        trials.participants, trials.trials.reset_index(drop=True), clicks.reset_index(drop=True), trials.events
    )


def _refuse_nobody(kept, exclusions) -> None:
    if kept.trials.empty:
        first = exclusions.iloc[0]
        raise DataError(
            f"`--people`: wanted people to analyse, got none: {len(exclusions)} are excluded, the first "
            f"({first['participant']}) as {first['reason']}: {first['detail']}."
        )


def _with_known_hashes(run, trials, *, tell: bool = False) -> human.trials.Trials:
    """Leave out the hashes of other bytes than those of the run's pictures, and tell how many pictures nobody checked.

    The pictures of a run have its own side. The stage `data` has compared their source with the hashes.
    """
    images = run.study_pictures.images
    known = {name: digests_of(image) for name, image in zip(run.study_table["image"], images, strict=True)}
    table = trials.trials
    other = [
        not pd.isna(digest) and digest.lower() not in known[name]
        for name, digest in zip(table["image"], table["image_sha256"], strict=True)
    ]
    checked = run.folder.has(PICTURES_RECORD) and run.folder.read_json(PICTURES_RECORD).get(KNOWN)
    if tell and any(other) and not checked:
        sys.stderr.write(
            f"people: {table['image'][other].nunique()} of {len(known)} pictures are known by their names alone: their "
            "files here have other bytes than people's tables say (another size or encoding, or other pictures).\n"
        )
    hashes = table["image_sha256"].mask(pd.Series(other, index=table.index, dtype=bool))
    return human.trials.Trials(trials.participants, table.assign(image_sha256=hashes), trials.clicks, trials.events)


def _who(kept) -> dict:
    """Say whether people or programs answered, and how many of each."""
    programs = kept.trials.groupby("participant")["simulated"].first().astype(bool)
    kind = "simulated" if programs.all() else "mixed" if programs.any() else "real"
    return {"people": kind, "num_people": len(programs), "num_simulated": int(programs.sum())}


def _landmarks(run) -> np.ndarray | None:
    """Return landmarks (T, 68, 2), pixels: those of the pictures, or from the parameters of each rendered image."""
    config, table = run.config, run.study_table
    if config.dataset != "procedural_faces":
        return run.study_pictures.landmarks
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
