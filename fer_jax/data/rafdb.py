"""RAF-DB basic (Li, Deng & Du 2017, 10.1109/CVPR.2017.277): faces of the web, seven expressions, aligned to 100 px.

Contract: `EmoLabel/list_patition_label.txt` (their spelling), a name and a label 1..7 a line, and the pictures
`Image/aligned/<stem>_aligned.jpg`.
"""

import functools
import os
from collections.abc import Iterator

from fer_jax.data.face_set import Read
from fer_jax.data.finding import find_files
from fer_jax.data.gather import read_listing
from fer_jax.data.rows import Listing, Rejection, Row, without_repeats
from fer_jax.data.tables import CellError, Cells, table
from fer_jax.data.tree import Tree
from fer_jax.errors import DataError
from fer_jax.expressions import LABEL_TABLES

LIST = ("list_patition_label.txt", "list_partition_label.txt")
_LABELS = LABEL_TABLES["rafdb"]
_SPLITS = {"train": "train", "test": "test"}


def read_rafdb(path: str | os.PathLike, *, size: int = 100, max_reject_frac: float = 0.01) -> Read:
    """Read RAF-DB's basic set into memory.

    Args:
      path: its folder or zip.
      size: side of the pictures returned, pixels; the aligned ones have 100.
      max_reject_frac: largest share of rows of a split that may be unusable.

    Returns:
      Splits "train" and "test", by the names' prefix; no contempt.

    Raises:
      UsageError: an argument out of range.
      DataError: nothing there, no RAF-DB, or too much of it damaged.
    """
    return read_listing(path, list_rafdb, size=size, max_reject_frac=max_reject_frac)


def list_rafdb(tree: Tree) -> Listing:
    """What a copy of RAF-DB lists; see `read_rafdb`."""
    lists = find_files(tree, LIST, depth=3)
    if not lists:
        raise DataError(f"`path`: {tree.name} is no RAF-DB: looked for EmoLabel/{LIST[0]} and found none.")
    if len(lists) > 1:
        raise DataError(f"`path`: {tree.name} holds {lists[0]} and {lists[1]}; give a folder with one of them.")
    base = lists[0].rpartition("/")[0].rpartition("/")[0]
    splits = {split: functools.partial(_listed, tree, lists[0], base, prefix) for prefix, split in _SPLITS.items()}
    return Listing("rafdb basic aligned", splits, remarks=("Seven expressions: no contempt.",))


def _listed(tree, path, base, prefix) -> Iterator[Row | Rejection]:
    return without_repeats(_rows(tree, path, base, prefix))


def _rows(tree, path, base, prefix) -> Iterator[Row | Rejection]:
    """Rows of one split; a line that belongs to none goes with the training set's."""
    row = 0
    for cells in table(tree, path, ("name", "label"), header=False, delimiter=" "):
        name = cells.text("name") if isinstance(cells, Cells) else ""
        own = next((known for known in _SPLITS if name.startswith(f"{known}_")), "train")
        if own != prefix:
            continue
        yield _row(tree, cells, row, name, base)
        row += 1


def _row(tree, cells, row, name, base) -> Row | Rejection:
    if isinstance(cells, CellError):
        return Rejection(row, "", "label_unknown", str(cells))
    stem = name.rpartition(".")[0] or name
    if not name.startswith(tuple(f"{known}_" for known in _SPLITS)):
        return Rejection(
            row, name, "label_unknown", str(cells.error("name", "a name that starts with train_ or test_"))
        )
    try:
        number = cells.whole("label", 1, len(_LABELS) - 1)
    except CellError as error:
        return Rejection(row, name, "label_unknown", str(error))
    image = f"Image/aligned/{stem}_aligned.jpg"
    load = functools.partial(tree.read, f"{base}/{image}" if base else image)
    return Row(row, image, _LABELS[number], load, source_label=number)
