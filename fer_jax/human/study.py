"""The design of the click study: which images are shown, against which false label.

Contract: a study table is a DataFrame with one row an image: image (unique name), true_label and false_label (names of
categories). The false label of an image is the same for everybody (paper §4.2).
"""

import itertools
import math
import pathlib
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from fer_jax.categories import Categories
from fer_jax.errors import DataError, check_count, check_range
from fer_jax.expressions import EXPRESSIONS, paper_first
from fer_jax.streams import stream

# §3: 280 images, 35 for each of 8 expressions. With 7 foils that is 5 for each ordered pair (true, foil).
PER_ORDERED_PAIR = 5

COLUMNS = ("image", "true_label", "false_label")


def make_study(
    labels: np.ndarray,
    images: Sequence[str],
    *,
    seed: int,
    per_ordered_pair: int = PER_ORDERED_PAIR,
    categories: Categories = EXPRESSIONS,
) -> pd.DataFrame:
    """Draw a balanced study from a pool by a seeded rule. The paper picked its 280 images by hand (§3).

    Each category is drawn from a separate stream, so more pictures of one leave the others' as they are.

    Args:
      labels: int (N,), 0..K-1, of the pool.
      images: N different names.
      seed: whole number from 0.
      per_ordered_pair: images for each (true, foil), at least 1.
      categories: what the labels are.

    Returns:
      Study table of K(K-1) · `per_ordered_pair` rows (56 · 5 in the paper) in the order of `categories.ordered_pairs`,
      with a fresh index.

    Columns:
      image: name of the picture.
      true_label: its category.
      false_label: the other answer on offer.
      row: in a run, where the picture stands in the validation split, from 0.

    Raises:
      UsageError: `per_ordered_pair` below 1.
      DataError: names that do not fit the labels, or too few images of a category.
    """
    labels, names = _pool(labels, images, categories)
    check_count("per_ordered_pair", per_ordered_pair, 1)
    counts = np.bincount(labels, minlength=len(categories))
    wanted = (len(categories) - 1) * per_ordered_pair
    if counts.min() < wanted:
        rarest = int(counts.argmin())
        raise DataError(
            f"`labels`: wanted {wanted} images of each category for {per_ordered_pair} per ordered pair, got "
            f"{counts[rarest]} of {categories[rarest]}; `largest_balanced` says what the pool can give."
        )
    rows = []
    for category in range(len(categories)):
        own = np.flatnonzero(labels == category)
        # Sorted uniform numbers, not `permutation`, whose stream NumPy may change.
        order = np.argsort(stream(seed, category).random(len(own)), kind="stable")[:wanted]
        foils = np.repeat([foil for true, foil in categories.ordered_pairs if true == category], per_ordered_pair)
        rows += [(names[i], categories[category], categories[f]) for i, f in zip(own[order], foils, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def from_trials(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the study table that a table of trials shows: its images, sorted by labels and name.

    Args:
      trials: rows with image, true_label and false_label.

    Returns:
      image, true_label, false_label, one row an image. Images whose trials say no foil, such as those of more than two
      options, are left out.

    Raises:
      DataError: an image that has two truths or two foils.
    """
    shown = trials[list(COLUMNS)].dropna().drop_duplicates().sort_values([*COLUMNS[1:], COLUMNS[0]], ignore_index=True)
    if len(shown):
        check_images(shown)
    return shown


def largest_balanced(
    labels: np.ndarray,
    *,
    wanted: int = PER_ORDERED_PAIR,
    max_share: float = 0.6,
    categories: Categories = EXPRESSIONS,
) -> int:
    """Return the most images per ordered pair, up to `wanted`, that a pool can give.

    Args:
      labels: int (N,), 0..K-1, of the pool.
      wanted: images per ordered pair hoped for, 5 in the paper.
      max_share: at most this share of any category's images, so that evaluation keeps some (ours).
      categories: what the labels are.

    Returns:
      A whole number from 1 to `wanted`.

    Raises:
      UsageError: `wanted` below 1 or `max_share` outside (0, 1].
      DataError: the rarest category has too few images for even one per ordered pair.
    """
    check_count("wanted", wanted, 1)
    check_range("max_share", max_share, 0, 1, open_low=True)
    counts = np.bincount(_checked_labels(labels, categories), minlength=len(categories))
    foils = len(categories) - 1
    rarest = int(counts.argmin())
    possible = int(max_share * counts[rarest] + 1e-9) // foils
    if possible < 1:
        raise DataError(
            f"`labels`: a balanced study takes at least {foils} images of each category and at most "
            f"{max_share:g} of those there are to choose from, which makes {math.ceil(foils / max_share)}; got "
            f"{counts[rarest]} of {categories[rarest]}; add images of it."
        )
    return min(wanted, possible)


def check_study(
    study: pd.DataFrame, per_ordered_pair: int | None = None, *, folder: str | pathlib.Path | None = None
) -> int:
    """Check that a study table is balanced. Any categories and counts are welcome.

    Args:
      study: columns image, true_label, false_label.
      per_ordered_pair: images wanted for each ordered pair. None takes the first pair's count.
      folder: where the image files lie. Each is then decoded once. None checks the table only.

    Returns:
      The number of images per ordered pair.

    Raises:
      DataError: the first rule that does not hold, with its row or cell.
    """
    check_images(study)
    each = _checked_balance(study, per_ordered_pair)
    if folder is not None:
        for path in (pathlib.Path(folder) / image for image in study["image"]):
            if not path.is_file() or cv2.imread(str(path)) is None:
                raise DataError(f"`study`: wanted an image file, got {str(path)!r}, missing or not to be decoded.")
    return each


def check_images(study: pd.DataFrame) -> None:
    """Check the rows of a study table one by one, whatever their balance.

    Args:
      study: columns image, true_label, false_label.

    Raises:
      DataError: a column that is missing, no row, an unknown label, a foil that is the truth, an image listed twice.
    """
    missing = [column for column in COLUMNS if column not in study]
    if missing:
        raise DataError(f"`study`: wanted columns {', '.join(COLUMNS)}, got none named {', '.join(missing)}.")
    if study.empty:
        raise DataError("`study`: wanted at least one image, got none.")
    for row, (true, false) in enumerate(zip(study["true_label"], study["false_label"], strict=True)):
        for label in (true, false):
            if not isinstance(label, str) or not label.strip():
                raise DataError(f"`study`: row {row}: wanted the name of a category, got {label!r}.")
        if true == false:
            raise DataError(f"`study`: row {row}: wanted a foil that differs from the truth, got {true} twice.")
    _refuse_twice(study)


def positions(study: pd.DataFrame, images: pd.Series) -> npt.NDArray[np.int64]:
    """Return the row of each named image in a study table: int64, as many as names, -1 where no image has the name.

    Raises:
      DataError: the study names an image twice.
    """
    _refuse_twice(study)
    return np.asarray(pd.Index(study["image"]).get_indexer(pd.Index(images)), np.int64)


def _refuse_twice(study) -> None:
    twice = study["image"][study["image"].duplicated()]
    if len(twice):
        raise DataError(f"`study`: wanted every image once, got {twice.iloc[0]!r} more than once.")


def _checked_balance(study, per_ordered_pair) -> int:
    used = set(study["true_label"]) | set(study["false_label"])
    counts = study.groupby(["true_label", "false_label"]).size()
    pairs = list(itertools.permutations(paper_first(used), 2))
    each = int(counts.get(pairs[0], 0)) if per_ordered_pair is None else per_ordered_pair
    for pair in pairs:
        found = int(counts.get(pair, 0))
        if found != each or found == 0:
            raise DataError(
                f"`study`: wanted every ordered pair {max(each, 1)} times, got {found} of "
                f"(true {pair[0]}, foil {pair[1]})."
            )
    return each


def _pool(labels, images, categories) -> tuple[np.ndarray, np.ndarray]:
    labels, images = _checked_labels(labels, categories), np.asarray(images, dtype=np.str_)
    if images.shape != labels.shape:
        raise DataError(f"`images`: wanted one name for each of {len(labels)} labels, got shape {images.shape}.")
    if len(np.unique(images)) != len(images):
        raise DataError(f"`images`: wanted {len(images)} different names, got {len(np.unique(images))}.")
    return labels, images


def _checked_labels(labels, categories) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"`labels`: wanted integers of shape (N,), got {labels.dtype} {labels.shape}.")
    if len(labels) and (labels.min() < 0 or labels.max() >= len(categories)):
        raise DataError(f"`labels`: wanted 0..{len(categories) - 1}, got {labels.min()}..{labels.max()}.")
    return labels
