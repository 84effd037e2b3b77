"""AffectNet's original release: picture folders and csv lists with boxes, 68 landmarks, valence and arousal.

Contract: boxes and landmarks are in pixels of the whole picture as stored, so its orientation tag is ignored. A row is
its line in the list, never its path: several faces of one picture stand in several rows.
"""

import functools
import math
import os
import pathlib
import urllib.parse
from collections.abc import Iterator

import numpy as np

from fer_jax.data.file_tree import Tree, open_tree
from fer_jax.data.listing import NO_QUALITY, Listing, NotThisSet, Quality, Rejection, Row
from fer_jax.data.pictures.decode import ImageRejected
from fer_jax.data.sources.affectnet.annotations import ABSENT, annotated_row, points
from fer_jax.data.sources.fer2013 import header_of
from fer_jax.data.sources.search import base_of
from fer_jax.data.tables import CellError, Cells, shown, table, texts
from fer_jax.errors import DataError
from fer_jax.expressions import DROP, EXPRESSIONS, LABEL_TABLES
from fer_jax.frame import LANDMARKS, Box

MANUAL = ("training.csv", "validation.csv")
AUTOMATIC = "automatically_annotated.csv"
SPLITS = {"training.csv": "train", "validation.csv": "validation", AUTOMATIC: "automatic"}
LABELS = (*EXPRESSIONS, "none", "uncertain", "no face")
_BOX = ("face_x", "face_y", "face_width", "face_height")
COLUMNS = ("subDirectory_filePath", *_BOX, "facial_landmarks", "expression", "valence", "arousal")
_PATH = COLUMNS[0]

# AffectNetC25: 25 people named 1,600 pictures of the training list anew, in two files of 800.
_RATERS = 25
_INDEX = ("index", "row_number")


def list_original(
    tree: Tree,
    lists: list[str],
    *,
    release: str,
    drop_bad_box: bool = False,
    votes: str | os.PathLike | None = None,
) -> Listing:
    """Return the listing of the csv lists.

    Args:
      tree: the root.
      lists: paths of the lists.
      release: "original" or "original_with_auto".
      drop_bad_box: see `list_affectnet`.
      votes: see `list_affectnet`.

    Raises:
      DataError: a list twice, or one whose pictures are nowhere.
    """
    paths: dict[str, str] = {}
    for path in lists:
        name = path.rpartition("/")[2].lower()
        if name in paths:
            raise DataError(f"`path`: {tree.name} holds {paths[name]} and {path}; give a folder with one of them.")
        paths[name] = path
    soft = {} if votes is None else read_votes(votes)
    unnamed = any(not name for name, _ in soft.values())
    remarks = ("The votes name rows, no pictures: that they go with this list is taken on trust.",) if unnamed else ()
    splits = {}
    for name, split in SPLITS.items():
        if name in paths:
            base = _base(tree, paths[name])
            own = soft if split == "train" else {}
            splits[split] = functools.partial(_rows, tree, paths[name], base, drop_bad_box, own)
    return Listing(f"affectnet {release}", splits, exif="ignore", remarks=remarks)


def _base(tree: Tree, path: str) -> str:
    """Return the folder that a list's paths start from."""
    parents = [str(parent).removeprefix(".") for parent in pathlib.PurePosixPath(path).parents]
    near = [folder for parent in parents for folder in tree.folders(parent) if not _numbered(folder)]
    near += [folder for parent in near for folder in tree.folders(parent) if not _numbered(folder)]
    word = "auto" if path.lower().endswith(AUTOMATIC) else "manual"
    named = sorted((folder for folder in near if "image" in folder.lower()), key=lambda one: word not in one.lower())
    bases = list(dict.fromkeys([parents[0], *named, *parents]))
    names = (_path(text) for text in texts(table(tree, path, COLUMNS), _PATH))
    best, looked = base_of(tree, bases, names)
    if best is None and looked:
        raise NotThisSet(
            f"`path`: {tree.name}: of the pictures that {path} lists, {looked} were looked for, and none is in "
            f"{', '.join(base or 'the root' for base in bases)}. Put Manually_Annotated_Images/ beside the lists."
        )
    return best or ""


def _path(text: str) -> str:
    """Return a cell's path, also as Windows writes it."""
    return text.replace("\\", "/")


def _numbered(folder):
    return folder.rpartition("/")[2].isdecimal()


def _joined(base, name):
    return f"{base}/{name}" if base else name


def _rows(tree, path, base, drop_bad_box, soft) -> Iterator[Row | Rejection]:
    row = -1
    for row, cells in enumerate(table(tree, path, COLUMNS)):
        if isinstance(cells, CellError):
            yield Rejection(row, "", "label_unknown", str(cells))
        else:
            yield _row(tree, row, cells, base, drop_bad_box, _vote(soft.get(row), cells))
    beyond = [voted for voted in soft if voted > row]
    if beyond:
        raise DataError(
            f"`votes`: {len(beyond)} of their {len(soft)} rows, {beyond[0]} first, are beyond the {row + 1} of {path}; "
            "they go with another list."
        )


def _vote(given, cells: Cells) -> np.ndarray | None:
    """Return the shares of people's labels of a row, and refuse labels of another picture."""
    if given is None:
        return None
    name, shares = given
    own = _path(cells.text(_PATH)).rpartition("/")[2]
    if name and name.rpartition("/")[2] != own:
        raise DataError(
            f"`votes`: their row of {cells.where}:{cells.line} is {name!r}, the list's {own!r}; they go with another "
            "list."
        )
    return shares


def _row(tree, row, cells: Cells, base, drop_bad_box, soft_label) -> Row | Rejection:
    name = _path(cells.text(_PATH))
    try:
        number = cells.whole("expression", 0, len(LABELS) - 1)
    except CellError as error:
        return Rejection(row, name, "label_unknown", str(error))
    label = LABEL_TABLES["affectnet"][number]
    if label == DROP:
        return Rejection(row, name, "label_dropped", LABELS[number])
    if not name:
        return Rejection(row, name, "missing", str(cells.error(_PATH, "a path")), label)
    notes: list[str] = []
    box = _box(cells, notes)
    if box is None and drop_bad_box:
        return Rejection(row, name, "bad_box", notes[0], label)
    landmarks = _landmarks(cells, notes)
    valence, arousal = (_affect(cells, column, notes) for column in ("valence", "arousal"))
    quality = NO_QUALITY if box is not None else Quality.BAD_BOX
    return annotated_row(
        number,
        valence=valence,
        arousal=arousal,
        quality=quality if landmarks is not None else quality | Quality.NO_LANDMARKS,
        row=row,
        path=name,
        load=functools.partial(_read, tree, base, name),
        soft_label=soft_label,
        box=box,
        landmarks=landmarks,
        notes=tuple(notes),
    )


def _read(tree, base, name) -> bytes:
    """Read the file as named, or as named before somebody percent-encoded it."""
    try:
        return tree.read(_joined(base, name))
    except ImageRejected as error:
        plain = urllib.parse.unquote(name)
        if error.reason != "missing" or plain == name:
            raise
        return tree.read(_joined(base, plain))


def _box(cells: Cells, notes) -> Box | None:
    """Return a row's box, or None and a note. One row of the training list says "NULL", others are negative."""
    try:
        left, top = (cells.real(column) for column in _BOX[:2])
        width, height = (cells.real(column, 1) for column in _BOX[2:])
    except CellError as error:
        notes.append(str(error))
        return None
    return left, top, width, height


def _landmarks(cells: Cells, notes) -> np.ndarray | None:
    text = cells.text("facial_landmarks")
    try:
        values = np.array(text.split(";"), np.float64)
    except ValueError:
        values = np.zeros(0)
    found = points(values)
    if found is None:
        notes.append(str(cells.error("facial_landmarks", f"{2 * LANDMARKS} numbers joined by ;")))
    return found


def _affect(cells: Cells, column, notes) -> float:
    try:
        value = cells.real(column, ABSENT, 1)
    except CellError as error:
        notes.append(str(error))
        return math.nan
    if value == ABSENT:
        return math.nan
    if value < -1:
        notes.append(str(cells.error(column, "a number in -1..1")))
        return math.nan
    return value


def read_votes(paths: str | os.PathLike) -> dict[int, tuple[str, np.ndarray]]:
    """Read AffectNetC25's csvs: 25 people's labels of some training pictures.

    Args:
      paths: a csv, or several with commas between, of the columns index or row_number (of the original's training.csv,
        from 0), perhaps filename, and 25 named participant<number>.

    Returns:
      Row -> (file name or "", float32 (8,) shares of the labels given).

    Raises:
      DataError: no such file, other columns, a row in two files, or a cell that is no label of its table (0..7).
    """
    whole_name = pathlib.Path(paths)
    files = [whole_name] if whole_name.is_file() else [pathlib.Path(part.strip()) for part in str(paths).split(",")]
    found: dict[int, tuple[str, np.ndarray]] = {}
    for file in files:
        if not file.is_file():
            raise DataError(f"`votes`: wanted AffectNetC25's csv, got {file}, which is not there.")
        for row, given in _read_votes(file):
            if row in found:
                raise DataError(f"`votes`: {file.name}: wanted each row once, got {row} before.")
            found[row] = given
    return found


def _read_votes(file: pathlib.Path) -> Iterator[tuple[int, tuple[str, np.ndarray]]]:
    with open_tree(file.parent) as tree:
        header = header_of(tree, file.name)
        raters = [name for name in header if name.startswith("participant")]
        index = next((name for name in _INDEX if name in header), None)
        if index is None or len(raters) != _RATERS:
            raise DataError(
                f"`votes`: {file.name}:1: wanted index or row_number and {_RATERS} columns participant<number>, got "
                f"{len(raters)} of these in {','.join(header)[:80]!r}."
            )
        named = ("filename",) if "filename" in header else ()
        empty = True
        for cells in table(tree, file.name, (index, *named, *raters)):
            empty = False
            if isinstance(cells, CellError):
                raise DataError(f"`votes`: {cells}.")
            try:
                row = cells.whole(index, 0, 10**7)
                given = [cells.whole(rater, 0, 7) for rater in raters if cells.text(rater)]
            except CellError as error:
                raise DataError(f"`votes`: {error}.") from None
            if not given:
                raise DataError(f"`votes`: {cells.error(index, 'labels in its row')}.")
            own = np.asarray(LABEL_TABLES["affectnet_c25"])[given]
            shares = (np.bincount(own, minlength=len(EXPRESSIONS)) / len(own)).astype(np.float32)
            yield row, (cells.text("filename") if named else "", shares)
        if empty:
            raise DataError(f"`votes`: {shown(file.name)} has no row.")
