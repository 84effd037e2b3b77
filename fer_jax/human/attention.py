"""From clicks to maps: what people uncovered of each image.

Contract: maps are float32 (T, H, W) in the study table's row order. Only clicks on the image that the person chose open
discs; the pixel clicked is (floor x, floor y).
"""

import cv2
import numpy as np
import pandas as pd

from fer_jax.errors import DataError, UsageError
from fer_jax.human.stimuli import draw_discs
from fer_jax.human.study import positions
from fer_jax.human.trials import Trials

TRIALS_USED = ("correct", "all")
HUMAN_MAPS = ("union", "counts", "gaussian")


def attention_maps(
    trials: Trials,
    study: pd.DataFrame,
    *,
    image_px: int,
    radius: int,
    trials_used: str = "correct",
    human_map: str = "union",
    sigma_px: float | None = None,
) -> np.ndarray:
    """Mean over people of what each uncovered (paper §5.3).

    An image without a trial to use has a map of zeros; `people_per_image` tells such images.

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.
      image_px: side of the stimuli and of the maps.
      radius: of the disc a click opens, pixels.
      trials_used: "correct" (the paper conditions on it for Fig. 4 only), or "all".
      human_map: "union" of a person's discs, "counts" of discs over each pixel, or "gaussian" around each click.
      sigma_px: deviation of the Gaussian, pixels; None takes the radius (ours).

    Returns:
      float32 (T, image_px, image_px), 0 or more; at most 1 for "union".

    Raises:
      UsageError: an unknown option.
      DataError: a trial of an image that the study does not have.
    """
    if human_map not in HUMAN_MAPS:
        raise UsageError(f"`human_map`: wanted one of {', '.join(HUMAN_MAPS)}, got {human_map!r}.")
    used = _used(trials, study, trials_used)
    maps = np.zeros((len(study), image_px, image_px), np.float32)
    one = np.zeros((image_px, image_px), np.uint8)
    for image, points in zip(used["image_row"], _points(trials, used), strict=True):
        if human_map == "union":
            one[:] = 0
            draw_discs(one, points, radius, 1)
            maps[image] += one
        elif human_map == "counts":
            for point in points:
                one[:] = 0
                draw_discs(one, point, radius, 1)
                maps[image] += one
        else:
            pixel = _on_image(points, image_px)
            np.add.at(maps[image], (pixel[:, 1], pixel[:, 0]), 1)
    if human_map == "gaussian":
        sigma = float(radius if sigma_px is None else sigma_px)
        # The peak of one click is 1, so that values compare with discs.
        peak = np.float32(2 * np.pi * sigma**2)
        maps = np.stack([cv2.GaussianBlur(m, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT) for m in maps]) * peak
    people = np.bincount(used["image_row"], minlength=len(study))
    return maps / np.maximum(people, 1).astype(np.float32)[:, None, None]


def people_per_image(trials: Trials, study: pd.DataFrame, *, trials_used: str = "correct") -> np.ndarray:
    """How many trials each image's map is the mean of: int64 (T,); 0 where the map is empty for want of trials."""
    return np.bincount(_used(trials, study, trials_used)["image_row"], minlength=len(study))


def click_sequence(
    trials: Trials,
    image: str,
    *,
    image_px: int,
    radius: int,
    overlap: str = "last",
    average: str = "alpha",
    trials_used: str = "correct",
) -> np.ndarray:
    """The order of the clicks on one image as colours, from red (first) to yellow (last), as in Fig. 4 of the paper.

    Click i of n is (1, (i − 1)/(n − 1), 0); the only click of a trial is red. One picture a person, then averaged.

    Args:
      trials: of the people who are analysed.
      image: its name.
      image_px: side of the stimulus.
      radius: of the disc a click opens, pixels.
      overlap: "last": the later disc lies on top; "mean": colours of overlapping discs are averaged.
      average: "alpha": colours weighted by coverage (ours); "plain": mean of pictures that are black elsewhere.
      trials_used: "correct" or "all".

    Returns:
      float32 (image_px, image_px, 4), RGBA in [0, 1]; alpha is the share of people who opened the pixel.

    Raises:
      UsageError: an unknown option.
      DataError: nobody saw the image.
    """
    if overlap not in ("last", "mean"):
        raise UsageError(f"`overlap`: wanted last or mean, got {overlap!r}.")
    if average not in ("alpha", "plain"):
        raise UsageError(f"`average`: wanted alpha or plain, got {average!r}.")
    seen = trials.trials[trials.trials["image"] == image]
    if seen.empty:
        raise DataError(f"`image`: wanted the name of an image that somebody saw, got {image!r}.")
    used = _used(
        Trials(trials.participants, seen, trials.clicks, trials.events), pd.DataFrame({"image": [image]}), trials_used
    )
    covered = np.zeros((image_px, image_px), np.float32)
    green = np.zeros_like(covered)
    for points in _points(trials, used):
        mask, colour = _sequence(points, image_px, radius, overlap)
        covered += mask
        green += colour
    people = np.float32(max(len(used), 1))
    weight = np.maximum(covered, 1) if average == "alpha" else people
    shown = covered > 0
    red = np.where(shown, covered / weight, 0)
    return np.stack([red, green / weight, np.zeros_like(red), covered / people], 2).astype(np.float32)


def revealed(trials: Trials, study: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The pictures as people saw them when they were right: the fine-tuning set of §5.1, masks still as clicks.

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.

    Returns:
      Row of the study image, int32 (N,), ascending; and the clicks, float32 (N, K, 2): centres of the pixels clicked, x
      then y, in the order clicked, then NaN, as `fer_jax.masks.reveal` takes them. N correct trials, at most K clicks.

    Raises:
      DataError: a trial of an image that the study does not have.
    """
    used = _used(trials, study, "correct")
    clicked = _points(trials, used)
    most = max((len(points) for points in clicked), default=0)
    padded = np.full((len(used), max(most, 1), 2), np.nan, np.float32)
    for row, points in enumerate(clicked):
        # Pixel centres survive the rounding to float32; 223.999999 would become 224.
        padded[row, : len(points)] = np.floor(points) + 0.5
    return np.asarray(used["image_row"], np.int32), padded


def _used(trials: Trials, study, trials_used) -> pd.DataFrame:
    """The trials to use, sorted by image and person, with the study row of each: participant, trial, image_row."""
    if trials_used not in TRIALS_USED:
        raise UsageError(f"`trials_used`: wanted one of {', '.join(TRIALS_USED)}, got {trials_used!r}.")
    table = trials.trials
    rows = positions(study, table["image"])
    if (rows < 0).any():
        raise DataError(f"`trials`: wanted images of the study, got {table['image'].iloc[int((rows < 0).argmax())]!r}.")
    used = table[["participant", "trial"]].assign(image_row=rows.tolist())
    if trials_used == "correct":
        used = used[table["correct"].fillna(False).to_numpy(bool)]
    return used.sort_values(["image_row", "participant", "trial"], kind="stable").reset_index(drop=True)


def _points(trials: Trials, used: pd.DataFrame) -> list[np.ndarray]:
    """Chosen clicks on the image of each used trial, float64 (n, 2), in the order clicked."""
    clicks = trials.clicks
    opens = clicks["inside"].fillna(False) & clicks["chosen"].fillna(False)
    clicks = clicks[opens.to_numpy(bool) & clicks[["x_px", "y_px"]].notna().all(axis=1).to_numpy()]
    own = used[["participant", "trial"]].assign(used_row=range(len(used)))
    joined = clicks.merge(own, on=["participant", "trial"]).sort_values(["used_row", "click"], kind="stable")
    ends = np.cumsum(np.bincount(joined["used_row"], minlength=len(used)))
    return np.split(joined[["x_px", "y_px"]].to_numpy(np.float64), ends[:-1]) if len(used) else []


def _on_image(points, image_px) -> np.ndarray:
    pixel = np.floor(points).astype(int)
    return pixel[((pixel >= 0) & (pixel < image_px)).all(1)]


def _sequence(points, image_px, radius, overlap) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (0 or 1) and green of one person's discs."""
    count = np.zeros((image_px, image_px), np.float32)
    green = np.zeros_like(count)
    disc = np.zeros((image_px, image_px), np.uint8)
    for i, point in enumerate(points):
        disc[:] = 0
        draw_discs(disc, point, radius, 1)
        step = np.float32(i / max(len(points) - 1, 1))
        if overlap == "last":
            green[disc > 0] = step
        else:
            green += step * disc
        count += disc
    if overlap == "mean":
        green /= np.maximum(count, 1)
    return (count > 0).astype(np.float32), green
