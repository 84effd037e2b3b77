"""AffectNet repackaged by others: labels in the file names, or in a list that a model made.

Contract: `<id>s<expression>s<1000 valence>s<1000 arousal>.jpg`, or `labels.csv` with the columns pth and label.
"""

import functools
import re
from collections.abc import Iterator

from fer_jax.data.file_tree import Tree, is_document
from fer_jax.data.listing import Listing, Rejection, Row
from fer_jax.data.sources.affectnet.annotations import annotated_row
from fer_jax.data.sources.class_folders import split_of
from fer_jax.data.tables import CellError, table
from fer_jax.errors import DataError
from fer_jax.expressions import DROP, LABEL_TABLES, index_of

RELABELLED = "labels.csv"
_NAMED = re.compile(r"([0-9A-Za-z]+)s([0-9]{1,2})s(-?[0-9]{1,4})s(-?[0-9]{1,4})\.\w+", re.ASCII)
_THOUSAND = 1000


def is_named(tree: Tree) -> bool:
    """Return whether the first pictures, at the root or in folders of splits, carry their labels in their names."""
    return any(_NAMED.fullmatch(path.rpartition("/")[2]) for folder in _folders(tree) for path in tree.listed(folder))


def list_named(tree: Tree) -> Listing:
    """Return the listing of pictures named after their labels. Without folders of splits all are "train"."""
    files: dict[str, list[str]] = {}
    for folder in _folders(tree):
        found = tree.files(folder) if folder else tree.listed()
        if found:
            files.setdefault(split_of(folder) or "train", []).extend(found)
    splits = {split: functools.partial(_named_rows, tree, paths) for split, paths in files.items()}
    return Listing("affectnet named", splits)


def _folders(tree):
    return ["", *(folder for folder in tree.folders() if split_of(folder))]


def _named_rows(tree, paths) -> Iterator[Row | Rejection]:
    for row, path in enumerate(paths):
        if is_document(path):
            yield Rejection(row, path, "document", "a text or side file, no picture")
            continue
        match = _NAMED.fullmatch(path.rpartition("/")[2])
        number = int(match[2]) if match else -1
        if match is None or number >= len(LABEL_TABLES["affectnet"]):
            yield Rejection(row, path, "label_unknown", f"{path}: wanted <id>s<0..10>s<valence>s<arousal>.jpg")
            continue
        if LABEL_TABLES["affectnet"][number] == DROP:
            yield Rejection(row, path, "label_dropped", f"label {number}")
            continue
        valence, arousal = (_affect(int(match[group])) for group in (3, 4))
        load = functools.partial(tree.read, path)
        yield annotated_row(number, valence=valence, arousal=arousal, row=row, path=path, load=load)


def _affect(thousandths) -> float:
    value = thousandths / _THOUSAND
    return value if -1 <= value <= 1 else float("nan")


def list_relabelled(tree: Tree, path: str) -> Listing:
    """Return the listing of a list of a model's labels: pth, label (a name), perhaps further columns."""
    rows = functools.partial(_relabelled_rows, tree, path)
    remark = "Labels were given by a model, not by people."
    return Listing("affectnet relabelled", {"train": rows}, remarks=(remark,))


def _relabelled_rows(tree, path) -> Iterator[Row | Rejection]:
    base = path.rpartition("/")[0]
    for row, cells in enumerate(table(tree, path, ("pth", "label"))):
        if isinstance(cells, CellError):
            yield Rejection(row, "", "label_unknown", str(cells))
            continue
        name = cells.text("pth").replace("\\", "/").removeprefix("./")
        try:
            label = index_of(cells.text("label"))
        except DataError:
            yield Rejection(row, name, "label_unknown", str(cells.error("label", "the name of an expression")))
            continue
        if not name:
            yield Rejection(row, name, "missing", str(cells.error("pth", "a path")), label)
            continue
        yield Row(row, name, label, functools.partial(tree.read, f"{base}/{name}" if base else name))
