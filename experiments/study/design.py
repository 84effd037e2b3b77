"""Stage `design`: the study images, drawn from validation and kept out of training and evaluation (paper §3)."""

import sys

import numpy as np

from experiments.study import people_pictures
from experiments.study.people_flag import folders_of
from experiments.study.photographs import HELD_OUT
from experiments.study.run import STUDY_LIST, Run
from fer_jax import human
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS


def draw_study(run: Run) -> None:
    """Draw the balanced study table, with fewer images in the same balance where the set cannot give them.

    People's tables have chosen the images already, and so has a prepared set that holds them out of everything else.
    """
    _check_known(run.categories, run.config.people)
    if folders_of(run.config.people):
        run.folder.write_table("study_images", _seen_by_people(run))
        return
    if run.folder.has(f"tables/{STUDY_LIST}.csv"):
        run.folder.write_table("study_images", run.folder.read_table(STUDY_LIST))
        return
    pool = run.pictures("validation")
    wanted = run.config.per_ordered_pair
    try:
        each = human.study.largest_balanced(pool.labels, wanted=wanted, categories=run.categories)
    except DataError as error:
        told = str(error).removeprefix("`labels`: ").removesuffix("; add images of it.")
        prepared = run.config.dataset == "prepared"
        without = "prepare_data's --categories" if prepared else "--categories in another --out"
        raise DataError(
            f"`--data_dir`: too few pictures in validation: {told}. Add some (of a set without a validation folder a "
            f"{HELD_OUT:.0%} share is drawn for it), or leave the category out by {without}."
        ) from None
    table = human.study.make_study(
        pool.labels, pool.names, seed=run.config.seed, per_ordered_pair=each, categories=run.categories
    )
    row_of = {name: row for row, name in enumerate(pool.names)}
    table["row"] = [row_of[name] for name in table["image"]]
    run.folder.write_table("study_images", table)
    if each < wanted:
        smallest, cells = np.bincount(pool.labels).min(), len(run.categories.ordered_pairs)
        sys.stderr.write(
            f"study images: {len(table)} instead of {wanted * cells}, {each} per "
            f"ordered pair: the rarest category has {smallest} validation pictures, and evaluation keeps some.\n"
        )


def _seen_by_people(run):
    """Return the study table of what people saw, by name among the validation pictures.

    Raises:
      DataError: labels that are none of the run's or contradict each other, a picture that is not there or has another
        label, or a category without a picture to evaluate on.
      UsageError: the run was made without holding out what these people saw.
    """
    seen, categories = people_pictures.taking_part(run.config.people), run.categories
    human.clicks.checks.check_options(seen, categories=categories)
    if seen.trials.empty:
        raise DataError(f"`--people`: wanted trials of people who are not excluded, got none in {run.config.people}.")
    table = human.clicks.study_of(seen, categories=categories)
    human.behaviour.of_study(seen, table)  # one truth and one foil for an image
    pool = run.pictures("validation")
    row_of = {str(name): row for row, name in enumerate(pool.names)}
    trained = set(table["image"]) & set(run.pictures("train").names.tolist())
    if trained:
        raise UsageError(
            f"`--people`: {len(trained)} of the {len(table)} pictures that people saw are training pictures of "
            f"{run.config.out}, the first {min(trained)!r}: its pictures were divided before these people were named. "
            "Give another --out: there they are held out."
        )
    people_pictures.refuse_missing(people_pictures.seen_in(seen.trials), list(row_of))
    table["row"] = [row_of[name] for name in table["image"]]
    for name, label, row in table[["image", "true_label", "row"]].itertuples(index=False):
        if categories.index_of(label) != pool.labels[row]:
            raise DataError(
                f"`--people`: people's tables call {name!r} {label}, the pictures' labels "
                f"{categories[int(pool.labels[row])]}; one of them is wrong."
            )
    _tell_unseen(table, categories)
    left = np.bincount(np.delete(pool.labels, table["row"]), minlength=len(categories))
    if not left.all():
        raise DataError(
            f"`--people`: people saw all validation pictures of {categories[int(left.argmin())]}, so none is left to "
            "evaluate on. Add some."
        )
    return table


def _tell_unseen(table, categories) -> None:
    """Say which pairs people saw no picture of: nothing is compared and nothing is fine-tuned there."""
    shown = set(zip(table["true_label"], table["false_label"], strict=True))
    ordered = [(categories[true], categories[foil]) for true, foil in categories.ordered_pairs]
    missing = [f"{true} against {foil}" for true, foil in ordered if (true, foil) not in shown]
    if missing:
        sys.stderr.write(
            f"people: no picture of {len(missing)} of {len(ordered)} ordered pairs was shown "
            f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}); what would be of them is NaN\n"
        )


def _check_known(categories, people):
    """Refuse simulated people of categories that they do not know, here and not after an hour of training."""
    strange = [name for name in categories if name not in EXPRESSIONS]
    if strange and people == "simulated":
        raise UsageError(
            f"`--people`: simulated people know {EXPRESSIONS}, but the pictures are of {', '.join(strange)}. Give "
            "--people=none, the tables of a study's people, or the classes' expressions by --class_map."
        )
