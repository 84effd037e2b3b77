"""The regions of the face that clicks fall on, first and last.

Contract: regions are `observers.regions.REGIONS`. Left is image-left. A click belongs to the region whose centre is
nearest, and to none ("elsewhere") beyond `REACH` distances between the eyes (ours: the paper gives no borders).
"""

import numpy as np
import pandas as pd

from fer_jax.human.behaviour import answer_table
from fer_jax.human.observers.regions import REGIONS, region_centres
from fer_jax.human.study import positions
from fer_jax.human.trials import Trials

REACH = 0.6
ELSEWHERE = "elsewhere"
NAMES = (*REGIONS, ELSEWHERE)


def first_and_last(
    trials: Trials, study: pd.DataFrame, *, image_px: int, landmarks: np.ndarray | None = None
) -> pd.DataFrame:
    """Return the regions of the first and the last click of each answer.

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.
      image_px: side of the stimuli.
      landmarks: (T, 68, 2), pixels. None takes the crop frame, which holds for aligned faces only.

    Returns:
      One row an answer with a click on the image that the person chose: participant, trial, image, accuracy, first,
      last (names of `NAMES`). An answer of one click has the same region twice.

    Raises:
      DataError: landmarks that do not fit, or answers that contradict each other.
    """
    centres, unit = region_centres(len(study), image_px=image_px, landmarks=landmarks)
    keys = ["participant", "trial"]
    answered = answer_table(trials)[[*keys, "image", "accuracy"]]
    chosen = trials.clicks["inside"].fillna(False) & trials.clicks["chosen"].fillna(False)
    clicks = trials.clicks[chosen.to_numpy(bool)].sort_values([*keys, "click"], kind="stable")
    clicks = answered.merge(clicks[[*keys, "x_px", "y_px"]], on=keys, how="inner")
    row = positions(study, clicks["image"])
    clicks, row = clicks[row >= 0], row[row >= 0]
    away = np.linalg.norm(clicks[["x_px", "y_px"]].to_numpy(np.float64)[:, None] - centres[row], axis=2)
    region = np.where(away.min(1) <= REACH * unit[row], away.argmin(1), len(REGIONS)) if len(away) else row
    named = clicks.assign(region=np.asarray(NAMES)[region])
    ends = named.groupby(keys, sort=False).agg(
        image=("image", "first"), accuracy=("accuracy", "first"), first=("region", "first"), last=("region", "last")
    )
    return ends.reset_index()


def image_shares(ends: pd.DataFrame, which: str) -> pd.DataFrame:
    """Return how often the first or last click on each image fell on each region.

    Args:
      ends: as `first_and_last` returns them.
      which: "first" or "last".

    Returns:
      One row an image, sorted by name, which is the index. One column a name of `NAMES`, rows sum to 1.
    """
    return pd.crosstab(ends["image"], ends[which], normalize="index").reindex(columns=list(NAMES), fill_value=0.0)
