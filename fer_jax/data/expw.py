"""ExpW (Zhang et al. 2018, 10.1007/s11263-017-1055-1): faces in whole photographs, seven expressions, with boxes.

Contract: `label/label.lst`, a line a face: name, face id, top, left, right, bottom, confidence, label; top stands
BEFORE left. Pictures lie in `image/origin/`. Boxes are in pixels of the picture as stored.
"""

import functools
import os
from collections.abc import Iterator

from fer_jax.data.face_set import Read
from fer_jax.data.finding import base_of, find_files
from fer_jax.data.gather import read_listing
from fer_jax.data.rows import Listing, NotThisSet, Rejection, Row
from fer_jax.data.tables import CellError, table, texts
from fer_jax.data.tree import Tree
from fer_jax.expressions import LABEL_TABLES

LIST = "label.lst"
COLUMNS = ("name", "face_id", "top", "left", "right", "bottom", "confidence", "label")
_FOLDERS = ("image/origin", "origin", "image", "images", "")
_LABELS = LABEL_TABLES["fer2013"]  # the same seven in the same order


def read_expw(path: str | os.PathLike, *, size: int, crop: str = "box", max_reject_frac: float = 0.01) -> Read:
    """Read ExpW into memory.

    Args:
      path: its folder or zip.
      size: side of the pictures returned, pixels.
      crop: see `Framing`.
      max_reject_frac: largest share of rows that may be unusable.

    Returns:
      One split, "train": none is official. Several faces of one picture are several rows.

    Raises:
      UsageError: an argument out of range.
      DataError: nothing there, no ExpW, or too much of it damaged.
    """
    return read_listing(path, list_expw, size=size, max_reject_frac=max_reject_frac, crop=crop)


def list_expw(tree: Tree) -> Listing:
    """What a copy of ExpW lists; see `read_expw`."""
    lists = find_files(tree, (LIST,), depth=2)
    if not lists:
        raise NotThisSet(f"`path`: {tree.name} is no ExpW: looked for label/{LIST} and found none.")
    path = lists[0]
    base = _base(tree, path)
    remark = "Seven expressions: no contempt. No official split."
    return Listing("expw", {"train": functools.partial(_rows, tree, path, base)}, exif="ignore", remarks=(remark,))


def _base(tree, path):
    root = path.rpartition("/")[0].rpartition("/")[0]
    bases = [f"{root}/{folder}".strip("/") for folder in _FOLDERS]
    best, looked = base_of(tree, bases, texts(table(tree, path, COLUMNS, header=False, delimiter=" "), "name"))
    if best is None and looked:
        raise NotThisSet(
            f"`path`: {tree.name}: of the pictures that {path} lists, {looked} were looked for, and none is in "
            f"{', '.join(base or 'the root' for base in bases)}. Put image/origin/ beside label/."
        )
    return best or ""


def _rows(tree, path, base) -> Iterator[Row | Rejection]:
    for row, cells in enumerate(table(tree, path, COLUMNS, header=False, delimiter=" ")):
        if isinstance(cells, CellError):
            yield Rejection(row, "", "label_unknown", str(cells))
            continue
        name = cells.text("name")
        try:
            number = cells.whole("label", 0, len(_LABELS) - 1)
        except CellError as error:
            yield Rejection(row, name, "label_unknown", str(error))
            continue
        try:
            top, left, right, bottom = (cells.real(column) for column in COLUMNS[2:6])
            if right <= left or bottom <= top:
                raise cells.error("right", "a box whose right and bottom lie beyond left and top")
        except CellError as error:
            yield Rejection(row, name, "bad_box", str(error), _LABELS[number])
            continue
        box = (left, top, right - left, bottom - top)
        load = functools.partial(tree.read, f"{base}/{name}".lstrip("/"))
        yield Row(row, name, _LABELS[number], load, source_label=number, box=box)
