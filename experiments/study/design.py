"""Stage `design`: the study images, drawn from validation and kept out of training and evaluation (paper §3)."""

import sys

import numpy as np

from experiments.study.photographs import HELD_OUT
from experiments.study.run import STUDY_LIST, Run
from fer_jax import human
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS


def draw_study(run: Run) -> None:
    """Draw the balanced study table, with fewer images in the same balance where the set cannot give them.

    A prepared set that holds study images out of everything else has chosen them already.
    """
    _check_known(run.categories, run.config.people)
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


def _check_known(categories, people):
    """Refuse simulated people of categories that they do not know, here and not after an hour of training."""
    strange = [name for name in categories if name not in EXPRESSIONS]
    if strange and people == "simulated":
        raise UsageError(
            f"`--people`: simulated people know {EXPRESSIONS}, but the pictures are of {', '.join(strange)}. Give "
            "--people=none, or the classes' expressions by --class_map."
        )
