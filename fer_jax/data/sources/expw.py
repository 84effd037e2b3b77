"""ExpW (Zhang et al. 2018, 10.1007/s11263-017-1055-1): faces in whole photographs, seven expressions, with boxes.

Contract: `label/label.lst`, a line a face: name, face id, top, left, right, bottom, confidence, label. Top
stands BEFORE left. Pictures lie in `image/origin/`. Boxes are in pixels of the picture as stored.
"""

import functools
from collections.abc import Iterator

from fer_jax.data.file_tree import Tree
from fer_jax.data.listing import Listing, NotThisSet, Rejection, Row
from fer_jax.data.sources.search import base_of, find_files
from fer_jax.data.tables import CellError, table, texts
from fer_jax.expressions import LABEL_TABLES

LIST = "label.lst"
COLUMNS = ("name", "face_id", "top", "left", "right", "bottom", "confidence", "label")
_FOLDERS = ("image/origin", "origin", "image", "images", "")
_LABELS = LABEL_TABLES["fer2013"]  # the same seven in the same order


def list_expw(tree: Tree) -> Listing:
    """Return the listing of a copy of ExpW: one split, "train". Several faces of one picture are several rows.

    Raises:
      DataError: no ExpW.
    """
    lists = find_files(tree, (LIST,), depth=2)
    if not lists:
        raise NotThisSet(f"`path`: {tree.name} is no ExpW: looked for label/{LIST} and found none.")
    path = lists[0]
    base = _base(tree, path)
    remark = "No official split."
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
