"""FER2013 as a csv: one line a picture, 48 x 48 grey values as text, and a usage that names the split.

Contract: the columns emotion, pixels and Usage, in any order, perhaps with others. The labels are FER2013's seven
(`LABEL_TABLES["fer2013"]`), no contempt. Class folders made from it are read, too.
"""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from fer_jax.data.file_tree import Tree, lines
from fer_jax.data.listing import Listing, NotThisSet, Rejection, Row
from fer_jax.data.pictures.decode import ImageRejected
from fer_jax.data.sources.class_folders import NumberedFolders, list_folders
from fer_jax.data.sources.search import find_files
from fer_jax.data.tables import CellError, Cells, table, whole
from fer_jax.errors import DataError
from fer_jax.expressions import DROP, LABEL_TABLES

# The whole set under its names, and what its competition gave to train on.
PIXELS_FILES = ("fer2013.csv", "icml_face_data.csv")
TRAINING_FILE = "train.csv"
USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
SIDE = 48

_LOST = "Class folders: what were PublicTest and PrivateTest are told apart no more."


def list_fer2013(tree: Tree) -> Listing:
    """Return the listing of a copy of FER2013, or of class folders made from it.

    Its splits are "train" (Training), "validation" (PublicTest) and "test" (PrivateTest), those that are there. Names
    are `Training/0000000` and so on, by row.

    Raises:
      DataError: no such file, or another header.
    """
    path = pixels_file(tree)
    if path is not None:
        return Listing("fer2013 csv", pixel_splits(tree, path, "fer2013"))
    training = [path for path in find_files(tree, (TRAINING_FILE,)) if "pixels" in header_of(tree, path)]
    if training:
        return Listing("fer2013 training csv", pixel_splits(tree, training[0], "fer2013"))
    try:
        listing = list_folders(tree, release_name="fer2013 folders")
    except NumberedFolders:
        raise NotThisSet(
            f"`path`: {tree.name} is no FER2013: looked for {' or '.join(PIXELS_FILES)}, and for folders named after "
            "expressions. Numbered folders are read as `dataset`=class_folders with `label_table`=fer2013."
        ) from None
    except DataError as error:
        told = str(error).removeprefix("`path`: ")
        raise NotThisSet(
            f"`path`: {tree.name} is no FER2013: looked for {' or '.join(PIXELS_FILES)}, and for class folders: {told}"
        ) from None
    return Listing(listing.release, listing.splits, remarks=(*listing.remarks, _LOST))


def pixels_file(tree: Tree) -> str | None:
    """Find the csv of the whole set, None where there is none.

    Raises:
      DataError: there are several.
    """
    found = find_files(tree, PIXELS_FILES)
    if len(found) > 1:
        raise DataError(f"`path`: {tree.name} holds {found[0]} and {found[1]}; give a folder with one of them.")
    return found[0] if found else None


def header_of(tree: Tree, path: str) -> tuple[str, ...]:
    """Return the columns that a csv's first line names, in lower case."""
    _, first = next(lines(tree, path), (0, ""))
    return tuple(name.strip().strip('"').strip().lower() for name in first.split(","))


def pixel_splits(tree: Tree, path: str, label_table: str) -> dict[str, Callable[[], Iterator[Row | Rejection]]]:
    """Read the splits of a csv of pixels. All is "train" where it has no Usage.

    Args:
      tree: where the file lies.
      path: its path there.
      label_table: whose numbering its emotions are.

    Raises:
      DataError: a header without emotion and pixels, or a usage that is none.
    """
    with_usage = "usage" in header_of(tree, path)
    columns = ("emotion", "pixels", "Usage") if with_usage else ("emotion", "pixels")
    found: dict[str, list[Row | Rejection]] = {}
    usage = next(iter(USAGES))
    for row, cells in enumerate(table(tree, path, columns)):
        # A line of another length goes with the lines before it: nobody knows its usage.
        if with_usage and isinstance(cells, Cells):
            usage = usage_of(cells)
        found.setdefault(USAGES[usage], []).append(_row(row, cells, f"{usage}/{row:07d}", label_table))
    return {split: functools.partial(iter, found[split]) for split in USAGES.values() if split in found}


def usage_of(cells: Cells) -> str:
    """Return the usage of a line, as `USAGES` spells it.

    Raises:
      DataError: it is none of them.
    """
    text = cells.text("Usage").lower()
    for usage in USAGES:
        if text == usage.lower():
            return usage
    wanted = cells.error("Usage", f"a usage of {', '.join(USAGES)}")
    raise DataError(f"`path`: {wanted}.")


def _row(row, cells, name, label_table) -> Row | Rejection:
    if isinstance(cells, CellError):
        return Rejection(row, name, "label_unknown", str(cells))
    labels = LABEL_TABLES[label_table]
    number = whole(cells.text("emotion"))
    if number is None or not 0 <= number < len(labels):
        return Rejection(row, name, "label_unknown", str(cells.error("emotion", f"emotion 0..{len(labels) - 1}")))
    if labels[number] == DROP:
        return Rejection(row, name, "label_dropped", f"label {number}")
    return Row(row, name, labels[number], pixel_loader(cells.text("pixels")), source_label=number)


def pixel_loader(text: str) -> Callable[[], np.ndarray]:
    """Return the loader of a picture from its 2,304 grey values. Kept are bytes, a quarter of the text.

    Args:
      text: whole numbers 0..255, separated by blanks, row by row.

    Returns:
      A function of nothing that returns uint8 (48, 48, 3), the three channels equal, or raises `ImageRejected` if
      `text` has another number of values, or one that is no byte.
    """
    try:
        values = bytes(map(int, text.split()))
    except ValueError:
        return functools.partial(_reject, "decode_failed", "`pixels`: wanted whole numbers 0..255")
    if len(values) != SIDE * SIDE:
        reason = "decode_failed" if values else "empty"
        return functools.partial(_reject, reason, f"`pixels`: wanted {SIDE * SIDE} values, got {len(values)}")
    return functools.partial(np.repeat, np.frombuffer(values, np.uint8).reshape(SIDE, SIDE, 1), 3, axis=2)


def _reject(reason, detail):
    raise ImageRejected(reason, detail)
