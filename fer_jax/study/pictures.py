"""The pictures of a study: a table of the researcher's, class folders, a prepared set, or drawn faces to try it.

Contract: each function returns a study table, the names for practice, and a function name -> uint8 (H, W, 3) RGB.
"""

import pathlib
from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd

from fer_jax import data, faces
from fer_jax.categories import Categories
from fer_jax.errors import DataError, StorageError
from fer_jax.expressions import EXPRESSIONS, canonical_name, index_of
from fer_jax.human.study import COLUMNS, largest_balanced, make_study

Pictures = tuple[pd.DataFrame, list[str], Callable[[str], np.ndarray]]

DEMONSTRATION = ("happy", "sad", "surprise", "anger")


def from_table(path: pathlib.Path, *, num_options: int) -> Pictures:
    """Read a table of pictures: image, true_label, false_label, and options or practice where the study has them.

    Args:
      path: a CSV file. Names of images are relative to its folder.
      num_options: answers on offer. With two, the table must name the false label.

    Returns:
      Table, names for practice (rows with 1 in `practice`), reader.

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

    return table[~rehearsed].reset_index(drop=True), list(table["image"][rehearsed]), read


def from_folders(path: pathlib.Path, *, size: int, per_ordered_pair: int, practice: int, seed: int) -> Pictures:
    """Draw a balanced study from class folders, one folder a category.

    Args:
      path: of the folders.
      size: side of the pictures, pixels.
      per_ordered_pair: pictures of each (true, false), fewer where the folders cannot give them.
      practice: pictures to keep for practice.
      seed: of the draw.

    Returns:
      Table, names for practice, reader.

    Raises:
      DataError: folders that make no study.
    """
    found = data.read("class_folders", path, size=size, max_reject_frac=1.0)
    splits = list(found.splits.values())
    names = [name for split in splits for name in split.names]
    labels = np.concatenate([split.labels for split in splits])
    images = dict(zip(names, (image for split in splits for image in split.images), strict=True))
    each = largest_balanced(labels, wanted=per_ordered_pair, max_share=1.0, categories=found.categories)
    table = make_study(labels, names, seed=seed, per_ordered_pair=each, categories=found.categories)
    rest = [name for name in names if name not in set(table["image"])]
    return table, rest[:practice], images.__getitem__


def from_prepared(path: pathlib.Path, *, size: int, per_ordered_pair: int, practice: int, seed: int) -> Pictures:
    """Take the study images of a prepared set, or draw a balanced study from it.

    Args:
      path: of a set of pictures, as `experiments.prepare_data` leaves it.
      size: side of the pictures, pixels.
      per_ordered_pair: pictures of each (true, false), fewer where the set cannot give them. A set that holds study
        images out of training brings their table, which counts alone.
      practice: pictures to keep for practice.
      seed: of the draw.

    Returns:
      Table, names for practice, reader.

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

    shown = set(table["image"])
    return table, [name for name in places if name not in shown][:practice], read


def demonstration(*, size: int, seed: int, practice: int) -> Pictures:
    """Draw faces of four expressions, one for each ordered pair.

    Args:
      size: side, pixels.
      seed: of the faces.
      practice: faces for practice.

    Returns:
      Table, names for practice, reader.
    """
    categories = EXPRESSIONS.select(DEMONSTRATION)
    rows = [(f"drawn {row:02d}", true, false) for row, (true, false) in enumerate(_pairs(categories))]
    shown = {name: (row, true) for row, (name, true, _) in enumerate(rows)}
    rehearsed = {
        f"drawn practice {row}": (len(rows) + row, categories[row % len(categories)]) for row in range(practice)
    }

    def read(name: str) -> np.ndarray:
        row, label = (shown | rehearsed)[name]
        parameters = faces.draw(seed, "validation", row, preset="easy", expression=index_of(canonical_name(label)))
        return faces.render(parameters, size=size).image

    return pd.DataFrame(rows, columns=list(COLUMNS)), list(rehearsed), read


def _pairs(categories: Categories):
    return [(categories[true], categories[false]) for true, false in categories.ordered_pairs]
