"""From clicks to maps: what people uncovered of each image.

Contract: maps are float32 (T, H, W) in the study table's row order. Only clicks on the image that the person chose
open discs. The pixel clicked is (floor x, floor y). Every kind of map takes the same clicks, and tables that contradict
themselves (a click off the image that is flagged inside, clicks that are counted but not there, tiles that a program
opened) are refused, as a map of them would be wrong.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd

from fer_jax.errors import DataError, UsageError, check_count, check_one_of
from fer_jax.human.stimuli import draw_discs
from fer_jax.human.study import positions
from fer_jax.human.trials import TABLE_NAMES, Trials, answers, refuse, refuse_doubles

TRIALS_USED = ("correct", "all")
HUMAN_MAPS = ("union", "counts", "gaussian")


def attention_maps(
    trials: Trials,
    study: pd.DataFrame,
    *,
    image_px: int | tuple[int, int],
    radius: int,
    trials_used: str = "correct",
    human_map: str = "union",
    sigma_px: float | None = None,
) -> np.ndarray:
    """Average over people what each uncovered (paper §5.3).

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.
      image_px: side of the stimuli and of the maps, or (height, width).
      radius: of the disc a click opens, pixels.
      trials_used: "correct" (the paper conditions on it for Fig. 4 only), or "all", answered or not.
      human_map: "union" of a person's discs, "counts" of discs over each pixel, or "gaussian" around each click.
      sigma_px: deviation of the Gaussian, pixels. None takes the radius (ours).

    Returns:
      float32 (T, H, W), 0 or more, at most 1 for "union". NaN throughout for an image without a trial to use, of
      which `people_per_image` says 0. Zero throughout where people used nothing but the blurred image.

    Raises:
      UsageError: an unknown option, or a size, radius or deviation that cannot be.
      DataError: a trial of an image that the study does not have, another size of the pictures, or radius, than
        the trials record, or answers or clicks that contradict each other.
    """
    check_one_of("human_map", human_map, HUMAN_MAPS)
    size, radius = _size(image_px), check_count("radius", radius, 0, what="whole pixels")
    used = _used(trials, study, trials_used)
    _check_recorded(used, size, None if human_map == "gaussian" else radius)
    people = np.bincount(used["image_row"], minlength=len(study))
    maps = np.zeros((len(study), *size), np.float32)
    one = np.zeros(size, np.uint8)
    for image, points in zip(used["image_row"], _points(trials, used, size), strict=True):
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
            pixel = np.floor(points).astype(int)
            np.add.at(maps[image], (pixel[:, 1], pixel[:, 0]), 1)
    if human_map == "gaussian":
        sigma = float(radius if sigma_px is None else sigma_px)
        if not 0 < sigma < np.inf:
            raise UsageError(f"`sigma_px`: wanted pixels above 0 (None takes the radius), got {sigma:g}.")
        # The peak of one click is 1, so that values compare with discs.
        peak = np.float32(2 * np.pi * sigma**2)
        for row in np.flatnonzero(people):
            maps[row] = cv2.GaussianBlur(maps[row], (0, 0), sigma, borderType=cv2.BORDER_CONSTANT) * peak
    return maps / np.where(people > 0, people, np.nan).astype(np.float32)[:, None, None]


def person_maps(
    trials: Trials,
    study: pd.DataFrame,
    *,
    image_px: int | tuple[int, int],
    radius: int,
    trials_used: str = "correct",
) -> Iterator[np.ndarray]:
    """Return what each person uncovered of each image, one image at a time.

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.
      image_px: side of the stimuli and of the maps, or (height, width).
      radius: of the disc a click opens, pixels.
      trials_used: "correct" or "all".

    Yields:
      T arrays uint8 (S, H, W), 1 where a person's discs are, S people sorted by name. Their mean is the image's map of
      kind "union".

    Raises:
      UsageError, DataError: as for `attention_maps`.
    """
    size, radius = _size(image_px), check_count("radius", radius, 0, what="whole pixels")
    used = _used(trials, study, trials_used)
    _check_recorded(used, size, radius)
    points, rows = _points(trials, used, size), used["image_row"].to_numpy()
    for image in range(len(study)):
        first, last = np.searchsorted(rows, [image, image + 1])
        maps = np.zeros((last - first, *size), np.uint8)
        for one, own in zip(maps, points[first:last], strict=True):
            draw_discs(one, own, radius, 1)
        yield maps


def people_per_image(trials: Trials, study: pd.DataFrame, *, trials_used: str = "correct") -> np.ndarray:
    """Count the trials that each image's map is the mean of: int64 (T,), 0 where it is NaN for want of trials."""
    return np.bincount(_used(trials, study, trials_used)["image_row"], minlength=len(study))


def click_sequence(
    trials: Trials,
    image: str,
    *,
    image_px: int | tuple[int, int],
    radius: int,
    overlap: str = "last",
    average: str = "alpha",
    trials_used: str = "correct",
) -> np.ndarray:
    """Return the order of the clicks on one image as colours, from red (first) to yellow (last) (paper Fig. 4).

    Click i of n is (1, (i − 1)/(n − 1), 0). The only click of a trial is red. One picture a person, then averaged.

    Args:
      trials: of the people who are analysed.
      image: its name.
      image_px: side of the stimulus, or (height, width).
      radius: of the disc a click opens, pixels.
      overlap: "last" lays the later disc on top, "mean" averages the colours of overlapping discs.
      average: "alpha" weights colours by coverage (ours), "plain" takes the mean of pictures that are black elsewhere.
      trials_used: "correct" or "all".

    Returns:
      float32 (H, W, 4), RGBA in [0, 1]. Alpha is the share of people who opened the pixel.

    Raises:
      UsageError: an unknown option, or a size or radius that cannot be.
      DataError: nobody saw the image, or nobody was right about it, or what `attention_maps` refuses.
    """
    check_one_of("overlap", overlap, ("last", "mean"))
    check_one_of("average", average, ("alpha", "plain"))
    seen = trials.trials[trials.trials["image"] == image]
    if seen.empty:
        raise DataError(f"`image`: wanted the name of an image that somebody saw, got {image!r}.")
    size, radius = _size(image_px), check_count("radius", radius, 0, what="whole pixels")
    used = _used(
        Trials(trials.participants, seen, trials.clicks, trials.events), pd.DataFrame({"image": [image]}), trials_used
    )
    if used.empty:
        raise DataError(f"`image`: nobody was right about {image!r}; choose another, or `trials_used` all.")
    _check_recorded(used, size, radius)
    covered = np.zeros(size, np.float32)
    green = np.zeros_like(covered)
    for points in _points(trials, used, size):
        mask, colour = _sequence(points, size, radius, overlap)
        covered += mask
        green += colour
    people = np.float32(len(used))
    weight = np.maximum(covered, 1) if average == "alpha" else people
    shown = covered > 0
    red = np.where(shown, covered / weight, 0)
    return np.stack([red, green / weight, np.zeros_like(red), covered / people], 2).astype(np.float32)


def revealed(trials: Trials, study: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures as people saw them when they were right: the fine-tuning set of §5.1, masks still as clicks.

    Args:
      trials: of the people who are analysed.
      study: a study table of T images.

    Returns:
      Row of the study image, int32 (N,), ascending, and the clicks, float32 (N, K, 2): centres of the pixels clicked, x
      then y, in the order clicked, then NaN, as `fer_jax.masks.reveal` takes them. N correct trials, at most K clicks.

    Raises:
      DataError: a trial of an image that the study does not have, or answers or clicks that contradict each other.
    """
    used = _used(trials, study, "correct")
    clicked = _points(trials, used, None)
    most = max((len(points) for points in clicked), default=0)
    padded = np.full((len(used), max(most, 1), 2), np.nan, np.float32)
    for row, points in enumerate(clicked):
        # Pixel centres survive the rounding to float32. 223.999999 would become 224.
        padded[row, : len(points)] = np.floor(points) + 0.5
    return np.asarray(used["image_row"], np.int32), padded


def _size(image_px) -> tuple[int, int]:
    """Return height and width."""
    sides = tuple(image_px) if isinstance(image_px, (tuple, list)) else (image_px, image_px)
    if len(sides) != 2:
        raise UsageError(f"`image_px`: wanted one side or (height, width), got {image_px!r}.")
    height, width = (check_count("image_px", side, 1, what="pixels") for side in sides)
    return height, width


def _used(trials: Trials, study, trials_used) -> pd.DataFrame:
    """Return the trials to use, sorted by image and person, with the study row of each, `image_row`."""
    check_one_of("trials_used", trials_used, TRIALS_USED)
    table = trials.trials
    rows = positions(study, table["image"])
    if (rows < 0).any():
        raise DataError(f"`trials`: wanted images of the study, got {table['image'].iloc[int((rows < 0).argmax())]!r}.")
    right = answers(table)
    table = table.assign(image_row=rows)
    if trials_used == "correct":
        if len(table) and right.isna().all():
            raise DataError("`trials`: no answer says whether it was right; use all trials: `trials_used` all.")
        table = table[right.fillna(False).to_numpy(bool)]
    return table.sort_values(["image_row", "participant", "trial"], kind="stable")


def _check_recorded(used, size, radius) -> None:
    """Check that the trials were run with pictures and discs of the size asked for, where they say so."""
    height, width = size
    recorded = (
        ("image_px", "image_px", width),
        ("image_px", "image_height_px", height),
        ("radius", "reveal_radius_px", radius),
    )
    for argument, column, wanted in recorded:
        told = used[column].dropna()
        other = told[told != wanted] if wanted is not None else told[:0]
        if len(other):
            raise DataError(
                f"`{argument}`: got {wanted}, but trials were run with {other.iloc[0]} ({column}); ask for that, or "
                "convert the tables first."
            )


def _points(trials: Trials, used: pd.DataFrame, size: tuple[int, int] | None) -> list[np.ndarray]:
    """Return the points (K, 2) that opened discs, trial by trial as in `used`, in the order clicked.

    Where `size` (height, width) is None, pictures are square, and their trial says how large if it does.
    """
    if used.empty:
        return []
    clicks, keys, name = trials.clicks, ["participant", "trial"], TABLE_NAMES["clicks"]
    refuse_doubles(clicks, "clicks", name)
    trial_of = pd.MultiIndex.from_frame(used[keys]).get_indexer(pd.MultiIndex.from_frame(clicks[keys]))
    inside = clicks["inside"].fillna(False).to_numpy(bool) & (trial_of >= 0)
    clicks, trial_of = clicks[inside], trial_of[inside]
    own = used.iloc[trial_of]
    counts = np.bincount(trial_of, minlength=len(used))
    lost = used["n_clicks"].notna() & (used["n_clicks"] != counts)
    refuse(TABLE_NAMES["trials"], used, lost, "n_clicks", "as many clicks inside the image as the clicks' table has")
    strange = clicks["image"].notna().to_numpy() & (clicks["image"].to_numpy() != own["image"].to_numpy())
    refuse(name, clicks, strange, "image", "the image of its trial")
    chosen = clicks["chosen"].fillna(False).to_numpy(bool)
    by_program = np.bincount(trial_of[chosen], minlength=len(used))[trial_of] == 0
    refuse(name, clicks, by_program, "chosen", "1; places that a program opened do not say where a person looks")
    points = clicks[["x_px", "y_px"]].to_numpy(np.float64)
    if size is not None:
        bounds = np.asarray(size[::-1], np.float64)
    else:
        bounds = own[["image_px"]].astype("Float64").to_numpy(np.float64, na_value=np.inf)
    off = ~((points >= 0) & (points < bounds)).all(1)
    refuse(name, clicks, off & chosen, ("x_px", "y_px"), "a point on the image, or inside = 0")
    points, trial_of, order = points[chosen], trial_of[chosen], clicks["click"].to_numpy(np.int64)[chosen]
    places = np.lexsort((order, trial_of))
    return np.split(points[places], np.cumsum(np.bincount(trial_of, minlength=len(used)))[:-1])


def _sequence(points, size, radius, overlap) -> tuple[np.ndarray, np.ndarray]:
    """Return coverage (0 or 1) and green of one person's discs."""
    count = np.zeros(size, np.float32)
    green = np.zeros_like(count)
    disc = np.zeros(size, np.uint8)
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
