"""The comparison of people and networks under every choice that the paper leaves open."""

import itertools

import cv2
import numpy as np
import pandas as pd

from experiments.study.people import read_everybody, read_people
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


def write_open_choices(run: Run) -> None:
    """Write the table `multiverse` of the maps that the run has.

    Columns:
      target: the score that was explained, of the true label here.
      exclusions: with those of the paper, or without any.
      trials: that count in people's maps: correct ones, or all.
      human_map: how clicks become a map: the union of discs, their counts, or Gaussians.
      dice_cam, dice_grad_cam, dice_extremal_perturbation: mean Dice of the method over units.
      dice_centre: mean Dice of a Gaussian in the middle.
      dice_other pairs: mean Dice of the mean of people's maps of the other pairs.
    """
    maps = run.folder.read_arrays("maps")
    stored = [({"target": "true label"}, {method: maps[method] for method in METHODS})]
    run.folder.write_table("multiverse", under_open_choices(run, stored))


def under_open_choices(run: Run, networks: list) -> pd.DataFrame:
    """Return the table of `multiverse` for a run.

    Args:
      run: with people.
      networks: versions of the networks' maps, as `multiverse.multiverse` takes them, of the study images.
    """
    table = run.study_table
    label = {name: number for number, name in enumerate(run.categories)}
    true, false = (table[name].map(label).to_numpy() for name in ("true_label", "false_label"))
    small = _Small()
    people = [(chosen, small(maps)) for chosen, maps in _people(run)]
    networks = [(chosen, {name: small(each) for name, each in maps.items()}) for chosen, maps in networks]
    return multiverse.multiverse(people, networks, run.study_pairs, true * len(label) + false)


def methods_first() -> dict[str, str]:
    """Return the methods with their names, the one whose lead is drawn first."""
    return {_FIRST: METHOD_NAMES[_FIRST]} | {name: METHOD_NAMES[name] for name in METHODS}


def paper_of(table: pd.DataFrame) -> dict:
    """Return the choices of the paper's reading among the columns of a table of `multiverse`."""
    return {name: value for name, value in PAPER.items() if name in table}


def _people(run):
    """Yield each version of people's maps with its choices."""
    everybody = {"with": read_people(run), "without": read_everybody(run)}
    choices = itertools.product(everybody, human.attention.TRIALS_USED, human.attention.HUMAN_MAPS)
    for exclusions, used, kind in choices:
        maps = human.attention.attention_maps(
            everybody[exclusions], run.study_table, image_px=run.config.image_size, radius=run.reveal_radius,
            trials_used=used, human_map=kind,
        )  # fmt: skip
        yield {"exclusions": exclusions, "trials": used, "human_map": kind}, maps


class _Small:
    """Maps at most `LARGEST_PX` on a side. The same array gives the same array again, so masks are made once."""

    def __init__(self):
        self._made: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, maps) -> np.ndarray:
        if max(maps.shape[1:]) <= LARGEST_PX:
            return maps
        if id(maps) not in self._made:
            side = (LARGEST_PX, LARGEST_PX)
            made = np.stack(
                [cv2.resize(np.asarray(one, np.float32), side, interpolation=cv2.INTER_AREA) for one in maps]
            )
            self._made[id(maps)] = (maps, made)
        return self._made[id(maps)][1]
