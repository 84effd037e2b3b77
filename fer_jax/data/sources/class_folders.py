"""Plain class folders: every picture lies in a folder named after its expression.

Contract: `happy/x.png` or `train/happy/x.png`. Folder names go through the aliases of `expressions.index_of`, a number
before them ("0_happy") counts for nothing. What a bare number means is never guessed.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fer_jax.categories import Categories
from fer_jax.data.file_tree import Tree, is_document, is_picture
from fer_jax.data.listing import Listing, NotThisSet, Rejection, Row
from fer_jax.data.selection import mapped, vocabulary
from fer_jax.errors import DataError, check_one_of
from fer_jax.expressions import (
    DROP,
    DROPPED,
    EXPRESSIONS,
    LABEL_TABLES,
    canonical,
    canonical_name,
    index_of,
    numberings,
)

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "dev": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_SET = re.compile(r"[ _-]?(set|data|images)$", re.ASCII)
_COUNTED = re.compile(r"[(\[]?\d+[)\]]?[\s._-]+(?=\D)", re.ASCII)


def list_folders(
    tree: Tree,
    *,
    label_table: str | None = None,
    release_name: str = "folders",
    class_map: Mapping[str, str] | None = None,
    any_names: bool = False,
    mixed: bool = False,
) -> Listing:
    """Return the listing of class folders, alone or below split folders. A single pool is called "train".

    Rows are counted along the sorted file names.

    Args:
      tree: the root.
      label_table: key of `LABEL_TABLES` for folders that are named by number. Without it such a name is an error.
      release_name: of the listing.
      class_map: see `read`. Its keys are folders' names.
      any_names: folders that are all named after no expression make categories with their names.
      mixed: expressions and other names may stand together.

    Raises:
      UsageError: an unknown table.
      DataError: an unknown class or split.
    """
    check_table(label_table)
    names = _Names(label_table, class_map or {}, any_names, mixed)
    layout, labels, categories = _layout(tree, names)
    splits = {split: functools.partial(_rows, tree, files) for split, files in layout.items()}
    taken = ", ".join(f"{name} as {'none' if label == DROP else categories[label]}" for name, label in labels.items())
    kind = "expressions" if categories == EXPRESSIONS else "categories"
    return Listing(release_name, splits, remarks=(f"Folders were taken for {kind}: {taken}.",), categories=categories)


def check_table(label_table: str | None) -> None:
    """Refuse the name of a table that is none.

    Raises:
      UsageError: listing the tables.
    """
    if label_table is not None:
        check_one_of("label_table", label_table, LABEL_TABLES)


def split_of(folder: str) -> str | None:
    """Return the split that a folder's name means, such as "validation" for "Val" or "val_set", None if none."""
    return SPLIT_FOLDERS.get(_SET.sub("", folder.lower()))


class NumberedFolders(DataError):
    """Class folders are named by numbers, and nobody said whose."""


class _Names(NamedTuple):
    """The rule by which names of folders become categories, see `list_folders`."""

    label_table: str | None
    class_map: Mapping[str, str]
    any_names: bool
    mixed: bool


class _Layout(NamedTuple):
    """Class folders as they lie.

    Attributes:
      files: split -> (file, label or None, the source's number) in the order of the names. A picture that lies in no
        class folder has no label.
      labels: folder -> label.
      categories: what labels are indices into.
    """

    files: dict[str, list[tuple[str, int | None, int]]]
    labels: dict[str, int]
    categories: Categories


def _layout(tree: Tree, names: _Names) -> _Layout:
    """List the files by split. Files outside class folders (lists, licences) are no rows, unless they are pictures."""
    parts = [(name, name.split("/")) for name in tree.files()]
    tops = {part[0] for name, part in parts if len(part) > 1 and not is_document(name)}
    if not tops:
        raise NotThisSet(
            f"`path`: {tree.name} has no pictures in folders: looked for class folders (happy/...), alone or below "
            "train/, validation/, test/."
        )
    with_splits = {top for top in tops if split_of(top)}
    if with_splits and tops != with_splits:
        odd = ", ".join(" ".join(top.split()) for top in sorted(tops - with_splits)[:5])
        raise DataError(f"`path`: {tree.name} mixes split folders with others ({odd}); wanted one or the other.")
    level = 1 if with_splits else 0
    inside = [part for name, part in parts if len(part) > level + 1 and part[0] in tops and not is_document(name)]
    if level and {part[1] for part in inside} == {"images"}:  # train/images/happy/...
        level, inside = 2, [part for part in inside if len(part) > 3]
    labels, categories = _labels(tree, dict.fromkeys(part[level] for part in inside), inside, level, names)
    files: dict[str, list[tuple[str, int | None, int]]] = {}
    for name, part in parts:
        folder = part[level] if len(part) > level + 1 else ""
        if folder not in labels and not is_picture(name):
            continue
        split = (split_of(part[0]) if with_splits else None) or "train"
        number = int(folder) if _is_number(folder) else -1
        files.setdefault(split, []).append((name, labels.get(folder), number))
    if not labels:
        raise NotThisSet(f"`path`: {tree.name} has split folders, but no class folders with pictures below them.")
    return _Layout(
        {split: files[split] for split in dict.fromkeys(SPLIT_FOLDERS.values()) if split in files}, labels, categories
    )


def _labels(tree, folders, inside, level, names: _Names) -> tuple[dict[str, int], Categories]:
    """Return the label of each folder, and what labels are indices into.

    Raises:
      DataError: a folder that is no expression's, one inside another, or numbers that nobody named.
    """
    label_table = names.label_table
    numbers = sorted({int(folder) for folder in folders if _is_number(folder) and folder not in names.class_map})
    if numbers and label_table is None:
        folder = next(folder for folder in folders if _is_number(folder) and folder not in names.class_map)
        raise NumberedFolders(
            f"`path`: the class folder {folder!r} is a number; say whose numbering it is with `label_table`: "
            f"{numberings(numbers)}."
        )
    classes: dict[str, str] = {}
    below = {part[level]: part[level + 1 : -1] for part in reversed(inside)}
    own = names.any_names and len(folders) > 1 and not any(map(is_class_folder, folders))
    shown = {part[level] for part in inside if is_picture(part[-1])}  # a folder of other files is no category
    own = (
        own
        and shown == set(folders)
        and not any(is_class_folder(one) for part in inside for one in part[level + 1 : -1])
    )
    for folder in folders:
        if folder in names.class_map or own or names.mixed:
            name = canonical_name(bare_name(folder))
            classes[folder] = name if name in EXPRESSIONS else folder
        else:
            label = _label(folder, below[folder], label_table, others=list(folders))
            classes[folder] = DROPPED if label == DROP else EXPRESSIONS[label]
    keys = {folder: (name, folder, bare_name(folder)) for folder, name in classes.items()}
    targets = mapped(keys, names.class_map)
    kept = [name for name in targets.values() if name != DROPPED]
    categories = EXPRESSIONS if set(kept) <= set(EXPRESSIONS) else vocabulary(kept, mixed=names.mixed)
    labels = {folder: DROP if name == DROPPED else categories.index(name) for folder, name in targets.items()}
    for part in inside:
        if not level and len(part) > 2 and split_of(part[1]) == "train":
            raise DataError(
                f"`path`: {tree.name}: {part[1]!r} lies in {part[0]!r}: wanted split folders around class folders. Put "
                f"{part[1]}/{part[0]}/ in its place, and the other splits likewise."
            )
        inner = next((one for one in part[level + 1 : -1] if is_class_folder(one) and not one.isdecimal()), None)
        if inner is not None:
            raise DataError(
                f"`path`: {tree.name}: {inner!r} lies in {'/'.join(part[: level + 1])!r}: wanted one class folder "
                "around a picture. Move it out."
            )
    if numbers and numbers[0] and DROP in labels.values():
        raise DataError(
            f"`path`: {tree.name} numbers its folders {numbers[0]}..{numbers[-1]}, but {label_table} numbers "
            f"{numberings([0], only=label_table)}. Number them from 0, or name them after their expressions."
        )
    return labels, categories


def bare_name(folder: str) -> str:
    """Return the name of a folder without a number before it."""
    return _COUNTED.sub("", folder, count=1)


def class_folder_of(name: str) -> str:
    """Return the class folder in a picture's name, such as "happy" for "train/happy/x.png", "" where it has none."""
    folders = name.split("/")[:-1]
    if folders and split_of(folders[0]):
        folders = folders[2 if folders[1:2] == ["images"] else 1 :]
    return folders[0] if folders else ""


def is_class_folder(name: str) -> bool:
    """Return whether a folder's name is an expression's, an alias of one, or a number."""
    try:
        return _is_number(name) or index_of(bare_name(name)) >= 0
    except DataError:
        return False


def _is_number(name) -> bool:
    return name.isascii() and name.isdecimal()


def _label(folder, below, label_table, *, others) -> int:
    if _is_number(folder):
        return int(canonical(label_table, int(folder)))
    try:
        return index_of(bare_name(folder))
    except DataError as error:
        wanted = str(error).removeprefix("`expression`: ")
        turned = next((one for one in below if is_class_folder(one)), None)
        advice = "Rename it, or move it out of the set."
        if len(others) > 1:
            advice += " Or say what it is with `dataset`=class_folders: "
            advice += f"--class_map={folder}:{DROPPED}, or --categories={','.join(others)}."
        if turned is not None:
            advice = f"It holds {turned!r}: put {turned}/{folder}/ in its place, or give {folder}/ alone."
        raise NotThisSet(f"`path`: the folder {folder!r} is no expression's: {wanted} {advice}") from None


def _rows(tree, files) -> Iterator[Row | Rejection]:
    for row, (name, label, source_label) in enumerate(files):
        if is_document(name):
            yield Rejection(row, name, "document", "a text or side file, no picture")
        elif label is None:
            yield Rejection(row, name, "label_unknown", "a picture that lies in no class folder")
        elif label == DROP:
            yield Rejection(row, name, "label_dropped", "a class that is none of the eight")
        else:
            yield Row(row, name, label, functools.partial(tree.read, name), source_label=source_label)
