"""The comparison of people and networks under every choice that the paper leaves open."""

import itertools

import cv2
import numpy as np
import pandas as pd

from experiments.study.effects import cells_of
from experiments.study.run import Run
from fer_jax import human
from fer_jax.compare import multiverse
from fer_jax.explanation import METHOD_NAMES, METHODS

# The paper's reading where it says, and ours where it does not.
PAPER = {
    "unit": "pair", "per_image": "none", "threshold": "over 50", "normalise": "minmax", "integer": "floor",
    "compare": "gt", "exclusions": "with", "trials": "correct", "human_map": "union", "target": "true label",
}  # fmt: skip
# Ours: larger maps are averaged down to this side. A map of a small feature grid says no more at 224 pixels.
LARGEST_PX = 64
_FIRST = "extremal_perturbation"  # the paper's winner, whose lead is drawn


def write_open_choices(run: Run, kept: human.trials.Trials, everybody: human.trials.Trials, maps: dict) -> None:
    """Write the table `multiverse`.

    Args:
      run: with people.
      kept: trials of the people who are analysed.
      everybody: of the excluded people, too.
      maps: of the networks by method, (T, H, W) of the study images.

    Columns:
      target: the score that was explained, of the true label here.
      exclusions: with those of the paper, or without any.
      trials: that count in people's maps: correct ones, or all.
      human_map: how clicks become a map: the union of discs, their counts, or Gaussians.
      dice_cam, dice_grad_cam, dice_extremal_perturbation: mean Dice of the method over units.
      dice_centre: mean Dice of a Gaussian in the middle.
      dice_other pairs: mean Dice of the mean of people's maps of the other pairs.
    """
    people = people_versions(run, kept, everybody)
    networks = [({"target": "true label"}, {method: small(maps[method]) for method in METHODS})]
    run.folder.write_table("multiverse", multiverse.multiverse(people, networks, run.study_pairs, cells_of(run)))


def read_open_choices(run: Run) -> pd.DataFrame | None:
    """Read the table `multiverse`, None of a run from before it was made."""
    if not run.folder.has("tables/multiverse.csv"):
        return None
    return run.folder.read_table("multiverse").fillna(dict.fromkeys((*multiverse.DICE_CHOICES, "winner"), ""))


def methods_first() -> dict[str, str]:
    """Return the methods with their names, the one whose lead is drawn first."""
    return {_FIRST: METHOD_NAMES[_FIRST]} | {name: METHOD_NAMES[name] for name in METHODS}


def paper_of(table: pd.DataFrame) -> dict:
    """Return the choices of the paper's reading among the columns of a table of `multiverse`."""
    return {name: value for name, value in PAPER.items() if name in table}


def people_versions(
    run: Run, kept: human.trials.Trials, everybody: human.trials.Trials
) -> list[tuple[dict[str, str], np.ndarray]]:
    """Return each version of people's maps with its choices, for `multiverse` (see `write_open_choices`)."""
    samples, versions = {"with": kept, "without": everybody}, []
    choices = itertools.product(samples, human.attention.TRIALS_USED, human.attention.HUMAN_MAPS)
    for exclusions, used, kind in choices:
        maps = human.attention.attention_maps(
            samples[exclusions], run.study_table, image_px=run.config.image_size, radius=run.reveal_radius,
            trials_used=used, human_map=kind,
        )  # fmt: skip
        versions.append(({"exclusions": exclusions, "trials": used, "human_map": kind}, small(maps)))
    return versions


def small(maps: np.ndarray) -> np.ndarray:
    """Return maps at most `LARGEST_PX` on a side."""
    if max(maps.shape[1:]) <= LARGEST_PX:
        return maps
    side = (LARGEST_PX, LARGEST_PX)
    return np.stack([cv2.resize(np.asarray(one, np.float32), side, interpolation=cv2.INTER_AREA) for one in maps])
