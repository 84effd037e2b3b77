"""Stage `design`: the study images, drawn from validation and kept out of training and evaluation (paper §3)."""

import sys

import numpy as np

from experiments.study import people_tables
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
        raise DataError(
            f"`--data_dir`: too few pictures in validation: {told}. Add some: of a set without a validation folder a "
            f"{HELD_OUT:.0%} share is drawn for it."
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
        label, an ordered pair without a picture, or a category without one to evaluate on.
    """
    people, categories = people_tables.read(run.config.people), run.categories
    out = people.participants["participant"][people.participants["excluded"].fillna(False).astype(bool)]
    seen = people.of(set(people.trials["participant"]) - set(out))
    human.clicks.checks.check_options(seen, categories=categories)
    table = human.clicks.study_of(seen, categories=categories)
    human.behaviour.of_study(seen, table)  # one truth and one foil for an image
    pool = run.pictures("validation")
    row_of = {str(name): row for row, name in enumerate(pool.names)}
    missing = [name for name in table["image"] if name not in row_of]
    if missing:
        told = f"pictures there are called {', '.join(map(repr, list(row_of)[:3]))}, ..."
        if missing[0] in run.pictures("train").names:
            told = "it is a training picture; put the study's pictures into a folder of validation"
        raise DataError(
            f"`--people`: {len(missing)} of the {len(table)} pictures that people saw are not among the {len(pool)} of "
            f"validation, the first {missing[0]!r}: {told}."
        )
    table["row"] = [row_of[name] for name in table["image"]]
    for name, label, row in table[["image", "true_label", "row"]].itertuples(index=False):
        if categories.index_of(label) != pool.labels[row]:
            raise DataError(
                f"`--people`: people's tables call {name!r} {label}, the pictures' labels "
                f"{categories[int(pool.labels[row])]}; one of them is wrong."
            )
    shown = set(zip(table["true_label"], table["false_label"], strict=True))
    for true, foil in categories.ordered_pairs:
        if (categories[true], categories[foil]) not in shown:
            raise DataError(
                f"`--people`: wanted pictures of every true and false label, got none of {categories[true]} against "
                f"{categories[foil]}. Choose the categories that people saw by --categories."
            )
    left = np.bincount(np.delete(pool.labels, table["row"]), minlength=len(categories))
    if not left.all():
        raise DataError(
            f"`--people`: people saw all validation pictures of {categories[int(left.argmin())]}, so none is left to "
            "evaluate on. Add some."
        )
    return table


def _check_known(categories, people):
    """Refuse simulated people of categories that they do not know, here and not after an hour of training."""
    strange = [name for name in categories if name not in EXPRESSIONS]
    if strange and people == "simulated":
        raise UsageError(
            f"`--people`: simulated people know {EXPRESSIONS}, but the pictures are of {', '.join(strange)}. Give "
            "--people=none, the tables of a study's people, or the classes' expressions by --class_map."
        )
