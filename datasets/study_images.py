"""The study's pictures, chosen from a validation set: a researcher's list, or a seeded stand-in (paper §3).

Contract: each study image is one picture of validation, with the label that the list states, and can be used.
"""

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from fer_jax import data, human
from fer_jax.categories import Categories
from fer_jax.data.file_tree import open_tree
from fer_jax.data.tables import CellError, Cells, table
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS, canonical_name

SEEDED = "seeded"
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Usable:
    """A validation picture that can be stored: its row, and the key of its face."""

    row: int
    path: str
    label: int
    key: bytes


@dataclasses.dataclass(frozen=True)
class StudyImages:
    """Row -> (path, true label, false label), and where the choice comes from. Empty without a study."""

    rows: dict[int, tuple[str, str, str]] = dataclasses.field(default_factory=dict)
    origin: str = "none"

    def table(self) -> list[list]:
        """Return the lines of `stimuli.csv`."""
        return [["row", "image", "true_label", "false_label"], *([row, *rest] for row, rest in self.rows.items())]


def face_key(row: data.Row, stored: data.Stored) -> bytes:
    """Return a key, equal for the same face of equal pictures, in few bytes: a set of half a million keeps as many."""
    return hashlib.blake2b(f"{stored.content_hash} {row.box}".encode(), digest_size=16).digest()


def survey(stored: Iterable) -> list[Usable]:
    """List what of a split can be used, from (row, stored or rejected) pairs."""
    return [
        Usable(row.row, row.path, row.label, face_key(row, kept))
        for row, kept in stored
        if isinstance(kept, data.Stored)
    ]


def choose(usable: list[Usable], stimuli: str, *, seed: int, categories: Categories = EXPRESSIONS) -> StudyImages:
    """Choose the study images.

    Args:
      usable: validation.
      stimuli: "seeded", or the path of a csv with the columns image, true_label, false_label. An image is named by its
        path in the source, or by its file name where that is unique.
      seed: of the stand-in.
      categories: what labels are indices into.

    Raises:
      UsageError: no such file.
      DataError: a list that is not balanced, or names pictures that validation lacks, has twice, or labels otherwise.
    """
    if stimuli == SEEDED:
        labels = np.asarray([one.label for one in usable])
        each = human.study.largest_balanced(labels, categories=categories)
        drawn = human.study.make_study(
            labels, [str(one.row) for one in usable], seed=seed, per_ordered_pair=each, categories=categories
        )
        by_row = {one.row: one for one in usable}
        picked = zip(drawn["image"].astype(int), drawn["true_label"], drawn["false_label"], strict=True)
        rows = {row: (by_row[row].path, true, false) for row, true, false in picked}
        return StudyImages(rows, f"stand-in drawn by seed {seed}, {each} for each ordered pair")
    return _listed(usable, pathlib.Path(stimuli), categories)


def _rows(path: pathlib.Path, categories) -> list[list[str]]:
    """Read images with labels by the categories' names. Every fault comes with file:line:column."""
    if not os.path.isfile(path):
        raise UsageError(f"`stimuli`: wanted a csv with image,true_label,false_label, or {SEEDED}, got {path}.")
    with open_tree(path.parent) as tree:
        rows = list(table(tree, path.name, human.study.COLUMNS))
    faults, found = [], []
    for cells in rows:
        try:
            if isinstance(cells, CellError):
                raise cells
            labels = [_label(cells, column, categories) for column in human.study.COLUMNS[1:]]
        except CellError as error:
            faults.append(str(error))
        else:
            found.append([cells.text("image").replace("\\", "/").removeprefix("./"), *labels])
    _refuse(faults)
    return found


def _label(cells: Cells, column: str, categories) -> str:
    text = cells.text(column)
    name = text if text in categories else canonical_name(text)
    if name not in categories:
        raise cells.error(column, f"one of {categories}")
    return name


def _refuse(faults: list[str]) -> None:
    if faults:
        more = f" (and {len(faults) - _SHOWN} more)" if len(faults) > _SHOWN else ""
        raise DataError(f"`stimuli`: {'; '.join(faults[:_SHOWN])}{more}.")


def _listed(usable, path, categories) -> StudyImages:
    study = pd.DataFrame(_rows(path, categories), columns=list(human.study.COLUMNS))
    human.study.check_study(study)
    places: dict[str, list[Usable]] = {}
    for one in usable:
        for name in {one.path, one.path.rpartition("/")[2]}:
            places.setdefault(name, []).append(one)
    rows, faults = {}, []
    for line, (image, true, false) in enumerate(study.itertuples(index=False), start=2):
        found = places.get(image, [])
        if len(found) != 1:
            faults.append(f"{path.name}:{line}:image: wanted once in validation, found {len(found)} times: {image!r}")
        elif categories[found[0].label] != true:
            told = f"wanted {categories[found[0].label]}, as the source says, got {true}"
            faults.append(f"{path.name}:{line}:true_label: {told}")
        elif found[0].row in rows:
            faults.append(f"{path.name}:{line}:image: wanted each picture once, got {image!r} again")
        else:
            rows[found[0].row] = (found[0].path, true, false)
    _refuse(faults)
    return StudyImages(rows, f"list {path.name}")
