"""RAF-DB basic (Li, Deng & Du 2017, 10.1109/CVPR.2017.277): faces of the web, seven expressions, aligned to 100 px.

Contract: `EmoLabel/list_patition_label.txt` (their spelling), a name and a label 1..7 a line, and the pictures
`Image/aligned/<stem>_aligned.jpg`, or `train_labels.csv` and `test_labels.csv` with the pictures in `train/1` etc.
"""

import functools
from collections.abc import Iterator

from fer_jax.data.file_tree import Tree
from fer_jax.data.listing import Listing, NotThisSet, Rejection, Row, without_repeats
from fer_jax.data.sources.fer2013 import header_of
from fer_jax.data.sources.search import base_of, find_files, find_folders
from fer_jax.data.tables import CellError, Cells, table, texts
from fer_jax.errors import DataError
from fer_jax.expressions import LABEL_TABLES

LIST = ("list_patition_label.txt", "list_partition_label.txt")
CSVS = {"train_labels.csv": "train", "test_labels.csv": "test"}
_ALIGNED = ("Image/aligned", "Image/Aligned", "image/aligned", "aligned", "Image/aligned/aligned")
_LABELS = LABEL_TABLES["rafdb"]
_SPLITS = ("train", "test")


def list_rafdb(tree: Tree) -> Listing:
    """Return the listing of a copy of RAF-DB: "train" and "test", by the names' prefix or the lists.

    Raises:
      DataError: no RAF-DB.
    """
    lists = find_files(tree, LIST, depth=3)
    if len(lists) > 1:
        raise DataError(f"`path`: {tree.name} holds {lists[0]} and {lists[1]}; give a folder with one of them.")
    if lists:
        folder = _folder(tree, lists[0])
        return Listing(
            "rafdb basic aligned",
            {split: functools.partial(_rows, tree, lists[0], folder, split) for split in _SPLITS},
        )
    csvs = {}
    for path in find_files(tree, tuple(CSVS)):
        split = CSVS[path.rpartition("/")[2].lower()]
        if split in csvs:
            raise DataError(f"`path`: {tree.name} holds {csvs[split]} and {path}; give a folder with one of them.")
        csvs[split] = path
    if csvs:
        return Listing(
            "rafdb folders",
            {split: functools.partial(_csv_rows, tree, split, csvs[split]) for split in CSVS.values() if split in csvs},
        )
    raise NotThisSet(
        f"`path`: {tree.name} is no RAF-DB: looked for EmoLabel/{LIST[0]} and for {' with '.join(CSVS)} and found "
        "none. Numbered folders alone are read as `dataset`=class_folders with `label_table`=rafdb."
    )


def _folder(tree, path) -> str:
    """Return the folder of the aligned pictures, relative to the root."""
    beside = path.rpartition("/")[0]
    around = beside.rpartition("/")[0]
    bases = [f"{base}/{folder}".strip("/") for base in dict.fromkeys((around, beside)) for folder in _ALIGNED]
    names = texts(table(tree, path, ("name", "label"), header=False, delimiter=" "), "name")
    best, looked = base_of(tree, bases, map(_aligned, names))
    if best is None and looked:
        raise NotThisSet(
            f"`path`: {tree.name}: of the pictures that {path} lists, {looked} were looked for, and none is in "
            f"{', '.join(bases)}. Put Image/aligned/ beside EmoLabel/."
        )
    return best or bases[0]


def _aligned(name) -> str:
    return f"{name.rpartition('.')[0] or name}_aligned.jpg"


@without_repeats
def _rows(tree, path, folder, split) -> Iterator[Row | Rejection]:
    """Yield the rows of one split. A line that belongs to none goes with the training set's."""
    row = 0
    for cells in table(tree, path, ("name", "label"), header=False, delimiter=" "):
        name = cells.text("name") if isinstance(cells, Cells) else ""
        own = next((known for known in _SPLITS if name.startswith(f"{known}_")), "train")
        if own != split:
            continue
        yield _row(tree, cells, row, name, folder)
        row += 1


def _row(tree, cells, row, name, folder) -> Row | Rejection:
    if isinstance(cells, CellError):
        return Rejection(row, "", "label_unknown", str(cells))
    if not name.startswith(tuple(f"{known}_" for known in _SPLITS)):
        return Rejection(
            row, name, "label_unknown", str(cells.error("name", "a name that starts with train_ or test_"))
        )
    try:
        number = cells.whole("label", 1, len(_LABELS) - 1)
    except CellError as error:
        return Rejection(row, name, "label_unknown", str(error))
    load = functools.partial(tree.read, f"{folder}/{_aligned(name)}")
    return Row(row, f"{_ALIGNED[0]}/{_aligned(name)}", _LABELS[number], load, source_label=number)


@without_repeats
def _csv_rows(tree, split, path) -> Iterator[Row | Rejection]:
    """Yield the rows of a csv whose pictures lie in folders of their labels' numbers, or in none."""
    header = header_of(tree, path)
    name_column = next((name for name in ("image", "image_name", "name", "filename") if name in header), "image")
    label_column = next((name for name in ("label", "label_index") if name in header), "label")
    folders = find_folders(tree, split, depth=3)
    for row, cells in enumerate(table(tree, path, (name_column, label_column))):
        if isinstance(cells, CellError):
            yield Rejection(row, "", "label_unknown", str(cells))
            continue
        name = cells.text(name_column).replace("\\", "/")
        try:
            number = cells.whole(label_column, 1, len(_LABELS) - 1)
        except CellError as error:
            yield Rejection(row, name, "label_unknown", str(error))
            continue
        there = [
            (folder, own) for folder in folders for own in range(1, len(_LABELS)) if tree.has(f"{folder}/{own}/{name}")
        ]
        if there and number not in [own for _, own in there]:
            other = "/".join(map(str, there[0]))
            told = f"{path}:{cells.line}:{label_column}: {number} here, but the picture lies in {other}"
            yield Rejection(row, name, "label_unknown", told)
            continue
        found = next((f"{folder}/{own}/{name}" for folder, own in there if own == number), "")
        found = found or next(
            (f"{folder}/{name}" for folder in folders if tree.has(f"{folder}/{name}")), f"{split}/{name}"
        )
        load = functools.partial(tree.read, found)
        yield Row(row, found, _LABELS[number], load, source_label=number)
