"""The pictures of a study: a table of the researcher's, class folders, a prepared set, or drawn faces to try it."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from fer_jax import data, faces
from fer_jax.categories import Categories
from fer_jax.errors import DataError, StorageError
from fer_jax.expressions import EXPRESSIONS, canonical_name, index_of
from fer_jax.human.study import COLUMNS, largest_balanced, make_study


class Pictures(NamedTuple):
    """What a study is made of.

    Attributes:
      table: the study table.
      practice: the table of practice.
      read: name of an image -> its picture, uint8 (H, W, 3), RGB.
      landmarks: name of an image -> float (68, 2) in pixels of its picture, iBUG order, all NaN where nobody knows
        them. None for pictures that all come without.
    """

    table: pd.DataFrame
    practice: pd.DataFrame
    read: Callable[[str], np.ndarray]
    landmarks: Callable[[str], np.ndarray] | None = None


EXPECTED = ("document", "label_dropped")  # files that nobody wanted in the study
MAX_TOLD = 10  # files left out that are named one by one
DEMONSTRATION = ("happy", "sad", "surprise", "anger")


def from_table(path: pathlib.Path, *, num_options: int) -> Pictures:
    """Read a table of pictures: image, true_label, false_label, and options or practice where the study has them.

    Args:
      path: a CSV file. Names of images are relative to its folder.
      num_options: answers on offer. With two, the table must name the false label.

    Returns:
      The pictures. Rows with 1 in `practice` are for practice.

    Raises:
      StorageError: the file cannot be read.
      DataError: a column that is missing, or a picture that is no picture.
    """
    path = pathlib.Path(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", sep=None, engine="python")
    except OSError as error:
        raise StorageError(f"`images`: {path} cannot be read: {error.strerror}.") from error
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        raise DataError(f"`images`: {path}: wanted a CSV table: {str(error).splitlines()[0]}") from None
    wanted = [*COLUMNS[:2], *([COLUMNS[2]] if num_options == 2 and "options" not in table else [])]
    missing = [name for name in wanted if name not in table]
    if missing:
        raise DataError(f"`images`: {path}: wanted a column {missing[0]}, got {', '.join(table.columns)}.")
    rehearsed = table["practice"].eq("1") if "practice" in table else pd.Series(False, table.index)

    def read(name: str) -> np.ndarray:
        image = cv2.imread(str(path.parent / name), cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"`images`: wanted a picture, got {str(path.parent / name)!r}, missing or damaged.")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    return Pictures(table[~rehearsed].reset_index(drop=True), table[rehearsed].reset_index(drop=True), read)


def from_folders(
    path: pathlib.Path,
    *,
    size: int,
    per_ordered_pair: int,
    practice: int,
    seed: int,
    categories: str | None = None,
    class_map: str | None = None,
    note: Callable[[str], None] = lambda line: None,
) -> Pictures:
    """Draw a balanced study from class folders, one folder a category. Of equal pictures the first counts alone.

    Args:
      path: of the folders.
      size: side of the pictures, pixels.
      per_ordered_pair: pictures of each (true, false), fewer where the folders cannot give them.
      practice: pictures to keep for practice.
      seed: of the draw.
      categories: see `data.read`.
      class_map: see `data.read`.
      note: takes a line for the researcher: which files were left out, and why.

    Raises:
      UsageError: categories or a class map that cannot be used.
      DataError: folders that make no study.
    """
    found = data.read("class_folders", path, size=size, max_reject_frac=1.0, categories=categories, class_map=class_map)
    images: dict[str, np.ndarray] = {}
    labels_of: dict[str, int] = {}
    first: dict[bytes, str] = {}
    left_out = [(row.path, row.detail) for row in found.rejected.itertuples() if row.reason not in EXPECTED]
    for split in found.splits.values():
        for name, image, label in zip(split.names.tolist(), split.images, split.labels.tolist(), strict=True):
            same = first.setdefault(image.tobytes(), name)
            if same == name:
                images[name], labels_of[name] = image, label
            else:
                left_out.append((name, f"the same picture as {same}"))
    for name, why in left_out[:MAX_TOLD]:
        note(f"left out: {name}: {why}")
    if len(left_out) > MAX_TOLD:
        note(f"left out: {len(left_out) - MAX_TOLD} more files")
    names, labels = list(images), np.asarray(list(labels_of.values()), np.int32)
    each = largest_balanced(labels, wanted=per_ordered_pair, max_share=1.0, categories=found.categories)
    table = make_study(labels, names, seed=seed, per_ordered_pair=each, categories=found.categories)
    truths = {name: found.categories[label] for name, label in labels_of.items()}
    return Pictures(table, _practice_of(table, truths, practice), images.__getitem__)


def from_prepared(path: pathlib.Path, *, size: int, per_ordered_pair: int, practice: int, seed: int) -> Pictures:
    """Take the study images of a prepared set, or draw a balanced study from it.

    Args:
      path: of a set of pictures, as `experiments.prepare_data` leaves it.
      size: side of the pictures, pixels.
      per_ordered_pair: pictures of each (true, false), fewer where the set cannot give them. A set that holds study
        images out of training brings their table, which counts alone.
      practice: pictures to keep for practice.
      seed: of the draw.

    Raises:
      DataError: no prepared set, or one that makes no study.
    """
    info = data.open_prepared(path).info
    parts = ("validation_minus_stimuli", "stimuli") if "validation_minus_stimuli" in info.splits else ("validation",)
    known = [split for split in (*parts, "stimuli", "test", "train") if split in info.splits]
    splits = {split: data.PreparedSplit(path, split, size=size) for split in dict.fromkeys(known)}
    names = {split: part.names(np.arange(len(part))).tolist() for split, part in splits.items()}
    places = {name: (split, row) for split in splits for row, name in enumerate(names[split])}
    categories = next(iter(splits.values())).categories
    truths = {
        name: categories[label]
        for split, part in splits.items()
        for name, label in zip(names[split], part.labels.tolist(), strict=True)
    }
    listed = splits["stimuli"].path / "stimuli.csv" if "stimuli" in splits else None
    if listed is not None and listed.is_file():
        table = pd.read_csv(listed, encoding_errors="surrogateescape")
        name_of = dict(
            zip(splits["stimuli"].feature("row", np.arange(len(names["stimuli"]))), names["stimuli"], strict=True)
        )
        table = table.assign(image=[name_of[row] for row in table["row"]])[list(COLUMNS)]
    else:
        pool = ["stimuli"] if "stimuli" in splits else list(splits)  # drawn faces keep a split for people
        labels = np.concatenate([splits[split].labels for split in pool])
        called = [name for split in pool for name in names[split]]
        each = largest_balanced(labels, wanted=per_ordered_pair, max_share=1.0, categories=categories)
        table = make_study(labels, called, seed=seed, per_ordered_pair=each, categories=categories)

    def read(name: str) -> np.ndarray:
        split, row = places[name]
        return splits[split].images([row])[0]

    def landmarks(name: str) -> np.ndarray:
        split, row = places[name]
        return splits[split].landmarks([row])[0]

    return Pictures(table, _practice_of(table, truths, practice), read, landmarks)


def demonstration(*, size: int, seed: int, practice: int) -> Pictures:
    """Draw faces of four expressions, one for each ordered pair.

    Args:
      size: side, pixels.
      seed: of the faces.
      practice: faces for practice.
    """
    categories = EXPRESSIONS.select(DEMONSTRATION)
    rows = [(f"drawn {row:02d}", true, false) for row, (true, false) in enumerate(_pairs(categories))]
    shown = {name: (row, true) for row, (name, true, _) in enumerate(rows)}
    count = len(categories)
    turns = [(row, categories[row % count], categories[(row + 1) % count]) for row in range(practice)]
    rehearsed = pd.DataFrame(
        [(f"drawn practice {row}", true, false) for row, true, false in turns], columns=list(COLUMNS)
    )
    shown |= {f"drawn practice {row}": (len(rows) + row, true) for row, true, _ in turns}

    def drawn(name: str) -> faces.Face:
        row, label = shown[name]
        parameters = faces.draw(seed, "validation", row, preset="easy", expression=index_of(canonical_name(label)))
        return faces.render(parameters, size=size)

    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Pictures(table, rehearsed, lambda name: drawn(name).image, lambda name: drawn(name).landmarks)


def _practice_of(table, truths, count) -> pd.DataFrame:
    """Return pictures that the study does not show, of each category in turn."""
    rest = pd.DataFrame({"image": list(truths), "true_label": list(truths.values())})
    rest = rest[~rest["image"].isin(table["image"])]
    turn = rest.groupby("true_label", sort=False).cumcount()
    return rest.loc[turn.sort_values(kind="stable").index].head(count).reset_index(drop=True)


def _pairs(categories: Categories):
    return [(categories[true], categories[false]) for true, false in categories.ordered_pairs]
