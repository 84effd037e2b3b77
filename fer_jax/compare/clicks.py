"""The clicks of right answers: the one form in which comparisons take what people uncovered.

Contract: trials are sorted by image, then by person. Points are x then y in pixels of square stimuli.
"""

import dataclasses
import math

import numpy as np
import pandas as pd

from fer_jax.human.attention import revealed
from fer_jax.human.stimuli import draw_discs
from fer_jax.human.study import positions
from fer_jax.human.trials import Trials, answers


@dataclasses.dataclass(frozen=True)
class Clicks:
    """The clicks of right answers.

    Attributes:
      image: int (N,), 0..T-1 of each trial, ascending.
      person: int (N,), 0..S-1 of each trial.
      points: float (N, K, 2), x then y in pixels, padded with NaN.
      images: T.
      size: (height, width) of the stimuli, pixels.
      radius: of the disc that a click opens, pixels.
    """

    image: np.ndarray
    person: np.ndarray
    points: np.ndarray
    images: int
    size: tuple[int, int]
    radius: int

    @property
    def people(self) -> int:
        """S, the people with a right answer."""
        return int(self.person.max(initial=-1)) + 1

    def discs(self, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what each person uncovered of an image, uint8 (n, P), and who they are, int (n,)."""
        rows = np.flatnonzero(self.image == image)
        masks = np.zeros((len(rows), *self.size), np.uint8)
        for mask, points in zip(masks, self.points[rows], strict=True):
            draw_discs(mask, points, self.radius, 1)
        return masks.reshape(len(rows), math.prod(self.size)), self.person[rows]

    def pixels(self, image: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixel number of each click on an image, int (C,), and who clicked, int (C,)."""
        rows = np.flatnonzero(self.image == image)
        points, people = self.points[rows], self.person[rows]
        there = np.isfinite(points).all(-1)
        column, row = np.floor(points[there]).astype(int).T
        return row * self.size[1] + column, np.repeat(people, there.sum(1))


def clicks_of(trials: Trials, study: pd.DataFrame, *, image_px: int, radius: int) -> Clicks:
    """Return the clicks of right answers, of which people's maps are made.

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.
      image_px: side of the stimuli.
      radius: of the disc a click opens, pixels.

    Raises:
      DataError: what `human.attention.revealed` refuses.

    Example:
      >>> from fer_jax import human
      >>> labels, names = np.repeat(np.arange(8), 7), [str(number) for number in range(56)]
      >>> study = human.study.make_study(labels, names, seed=0, per_ordered_pair=1)
      >>> people = human.observers.simulate(study, seed=0, image_px=64, participants=4, with_dropouts=False)
      >>> clicks = clicks_of(people, study, image_px=64, radius=6)
      >>> clicks.images, clicks.people
      (56, 4)
    """
    image, points = revealed(trials, study)
    table = trials.trials.assign(image_row=positions(study, trials.trials["image"]))
    right = table[answers(trials.trials).fillna(False).to_numpy(bool)]
    right = right.sort_values(["image_row", "participant", "trial"], kind="stable")  # the order of `revealed`
    person = np.unique(right["participant"].to_numpy(str), return_inverse=True)[1]
    return Clicks(image, person, points, len(study), (image_px, image_px), radius)
