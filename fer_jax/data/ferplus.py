"""FER+ (Barsoum et al. 2016, arXiv 1608.01041): 48 px photographs, each named by ten people.

Contract: the zip, the unpacked folder and FER2013's csv pair give the same pictures, labels and names for the same
content. A vote row is ten whole numbers in FER+'s own order (`LABEL_TABLES["ferplus"]`).

FER+ has published two lists of votes that are not the same, and `release` says which one was read. `label.csv` lies in
the folders of its repository and gives each face a box (12 columns). `fer2013new.csv` is the list of the csv pair; its
tool also writes it into the folders, as a `label.csv` without boxes (11 columns).
"""

import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from fer_jax.data.face_set import Read
from fer_jax.data.fer2013 import PIXELS_FILE, PIXELS_HEADER, USAGES, pixel_loader
from fer_jax.data.gather import read_listing
from fer_jax.data.rows import Listing, Rejection, Row, without_repeats
from fer_jax.data.tables import records
from fer_jax.data.tree import Tree, lines
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import DROP, LABEL_TABLES, NUM_EXPRESSIONS

TARGETS = ("plurality", "majority", "votes")
FOLDERS = {"train": "FER2013Train", "validation": "FER2013Valid", "test": "FER2013Test"}
LABEL_FILE = "label.csv"
VOTES_FILE = "fer2013new.csv"
# Columns of a list in the folders -> whose votes they are.
_LISTS = {12: LABEL_FILE, 11: VOTES_FILE}
_DIFFER = (
    f"FER+ has two lists of votes: {LABEL_FILE}, as its repository holds it, and {VOTES_FILE}. They differ for 1,601 "
    "pictures, and in the plurality of 349."
)
VOTE_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")

_TABLE = np.asarray(LABEL_TABLES["ferplus"], np.int32)
_UNKNOWN = VOTE_COLUMNS.index("unknown")
_MAX_VOTES = 1000
_PREFIXES = ("", "data/")


def read_ferplus(
    path: str | os.PathLike, *, target: str = "plurality", size: int = 48, max_reject_frac: float = 0.01
) -> Read:
    """Read FER+ from a zip or folder of its own tool's layout, or from `fer2013.csv` with `fer2013new.csv`.

    Args:
      path: the zip, the folder (with or without its `data/` level), or the folder of the csv pair.
      target: "plurality", the largest count, ties left out; "majority", more than half after single votes are
        dropped (as FER+'s own code does); or "votes", the eight counts as a distribution, `labels` its first largest.
      size: side of the pictures returned, pixels; FER+ has 48.
      max_reject_frac: largest share of rows of a split that may be unusable for a reason other than its votes.

    Returns:
      Splits "train", "validation" and "test", those that are there.

    Raises:
      UsageError: an argument out of range.
      DataError: nothing there, not FER+, or too much of it damaged.
    """
    list_rows = functools.partial(list_ferplus, target=target)
    return read_listing(path, list_rows, size=size, max_reject_frac=max_reject_frac)


def list_ferplus(tree: Tree, *, target: str = "plurality") -> Listing:
    """What a copy of FER+ lists; see `read_ferplus`."""
    if target not in TARGETS:
        raise UsageError(f"`target`: wanted one of {', '.join(TARGETS)}, got {target!r}.")
    layout = _layout(tree, target)
    splits = {split: functools.partial(_listed, rows) for split, rows in layout.items()}
    votes = _list_read(tree)
    unknown = (
        f" No counts by expression are known here for {VOTES_FILE}; none are compared." if votes != LABEL_FILE else ""
    )
    return Listing(f"ferplus {target} of {votes}", splits, remarks=(f"These votes are of {votes}. {_DIFFER}{unknown}",))


def _listed(rows: Callable[[], Iterable[Row | Rejection]]) -> Iterator[Row | Rejection]:
    return without_repeats(rows())


def ferplus_labels(votes: np.ndarray, *, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels of vote counts.

    Args:
      votes: int (N, 10), columns as `VOTE_COLUMNS`.
      target: see `read_ferplus`.

    Returns:
      int32 (N,) canonical labels with `DROP` for the rows left out; str (N,) why those are left out, else "".
    """
    if target not in TARGETS:
        raise UsageError(f"`target`: wanted one of {', '.join(TARGETS)}, got {target!r}.")
    if target == "votes":
        eight = _canonical_votes(votes)
        clear = eight.any(1)
        labels = np.where(clear, eight.argmax(1), DROP).astype(np.int32)
        return labels, np.where(clear, "", "no vote on the eight")
    counts = np.where(votes > 1, votes, 0) if target == "majority" else votes
    top, winner = counts.max(1), counts.argmax(1)
    if target == "majority":
        clear, otherwise = 2 * top > counts.sum(1), "no majority"
    else:
        clear, otherwise = (counts == top[:, None]).sum(1) == 1, "tie"
    labels = np.where(clear, _TABLE[winner], DROP).astype(np.int32)
    why = np.where(labels != DROP, "", np.where(winner == _UNKNOWN, "unknown", "not a face"))
    return labels, np.where(clear, why, otherwise)


def soft_labels(votes: np.ndarray) -> np.ndarray:
    """The eight counts of int (N, 10) votes as float32 (N, 8) rows that sum to 1, zeros where nobody voted for them."""
    eight = _canonical_votes(votes)
    return (eight / np.maximum(eight.sum(1, keepdims=True), 1)).astype(np.float32)


def _canonical_votes(votes):
    eight = np.zeros((len(votes), NUM_EXPRESSIONS), np.int64)
    kept = _TABLE != DROP
    eight[:, _TABLE[kept]] = np.asarray(votes)[:, kept]
    return eight


def _layout(tree: Tree, target: str) -> dict[str, Callable[[], Iterable[Row | Rejection]]]:
    """Split name -> its rows, from whichever of the two layouts is there."""
    prefixes = [prefix for prefix in _PREFIXES if any(map(tree.has, _label_files(prefix)))]
    pair = [name for name in (PIXELS_FILE, VOTES_FILE) if tree.has(name)]
    if prefixes and PIXELS_FILE in pair:
        raise DataError(
            f"`path`: {tree.name} holds both {prefixes[0]}FER2013*/{LABEL_FILE} and {PIXELS_FILE}; give a folder with "
            "one of the two."
        )
    if prefixes:
        folders = {split: prefixes[0] + folder for split, folder in FOLDERS.items()}
        return {
            split: functools.partial(_folder_rows, tree, prefixes[0], folder, target)
            for split, folder in folders.items()
            if tree.has(f"{folder}/{LABEL_FILE}")
        }
    if len(pair) == 2:
        return _csv_rows(tree, target)
    if pair:
        missing = PIXELS_FILE if pair == [VOTES_FILE] else VOTES_FILE
        raise DataError(f"`path`: {tree.name} has {pair[0]} but not {missing}, which FER+ wants beside it.")
    raise DataError(
        f"`path`: {tree.name} is no FER+: looked for {', '.join(_label_files(''))}, at the top or below data/, and for "
        f"{PIXELS_FILE} with {VOTES_FILE}; found none of them."
    )


def _list_read(tree) -> str:
    """Which of FER+'s two lists the votes are of, or both where splits differ in it."""
    found = [path for prefix in _PREFIXES for path in _label_files(prefix) if tree.has(path)]
    columns = (len(next(records(lines(tree, path)), (0, ()))[1]) for path in found)
    named = {_LISTS.get(number, LABEL_FILE) for number in columns} or {VOTES_FILE}
    return " and ".join(sorted(named, reverse=True))


def _label_files(prefix):
    return [f"{prefix}{folder}/{LABEL_FILE}" for folder in FOLDERS.values()]


def _folder_rows(tree, prefix, folder, target):
    """Rows of `label.csv` (name, perhaps a box, ten counts), then the pictures it does not name."""
    where = f"{folder}/{LABEL_FILE}"
    found = []
    for row, (line, fields) in enumerate(records(lines(tree, where))):
        fault = "" if len(fields) in (11, 12) else f"{len(fields)}: wanted 11 or 12 columns, got {len(fields)}"
        found.append((row, f"{where}:{line}", fields[0], fields[-10:], fault))

    def load(path):
        return tree.read(prefix + path)

    shown = folder.removeprefix(prefix)
    yield from _voted_rows(found, shown, target, load)
    named = {f"{folder}/{name.strip()}" for _, _, name, _, _ in found}
    for path in tree.files(folder):
        if path not in named and path != where:
            yield Rejection(-1, path.removeprefix(prefix), "label_unknown", f"no row in {where}")


def _csv_rows(tree, target) -> dict[str, Callable[[], Iterable[Row | Rejection]]]:
    """Rows of the csv pair, which are in the same order; the pictures get the names that FER+'s tool gives them."""
    pixels = records(lines(tree, PIXELS_FILE), header=PIXELS_HEADER, where=PIXELS_FILE)
    votes = records(
        lines(tree, VOTES_FILE),
        header=("usage", "image name", *(name.lower() for name in VOTE_COLUMNS)),
        where=VOTES_FILE,
    )
    found = {split: [] for split in FOLDERS}
    loaders = {}
    for row, (pixel_fields, line, fields) in enumerate(_in_step(pixels, votes)):
        where = f"{VOTES_FILE}:{line}"
        usage = fields[0].strip()
        if usage not in USAGES:
            raise DataError(f"`path`: {where}:Usage: wanted a usage of {', '.join(USAGES)}, got {usage[:40]!r}.")
        fault = "" if len(fields) == 12 else f"{len(fields)}: wanted 12 columns, got {len(fields)}"
        if not fault and pixel_fields[-1].strip() != usage:
            fault = f"Usage: {usage} here, {pixel_fields[-1].strip()[:40]!r} in {PIXELS_FILE}"
        name = fields[1] if len(fields) > 1 else ""
        found[USAGES[usage]].append((row, where, name, fields[-10:], fault))
        if name.strip() and not fault:
            folder = FOLDERS[USAGES[usage]]
            text = pixel_fields[1] if len(pixel_fields) == len(PIXELS_HEADER) else ""
            loaders.setdefault(f"{folder}/{name.strip()}", pixel_loader(text))

    def load(path):
        return loaders[path]()

    return {
        split: functools.partial(_voted_rows, rows, FOLDERS[split], target, load)
        for split, rows in found.items()
        if rows
    }


def _in_step(pixels, votes):
    """Fields of the pixels' row, line and fields of the votes' row, for each row of both."""
    for pixel_record, vote_record in itertools.zip_longest(pixels, votes):
        if pixel_record is None or vote_record is None:
            raise DataError(f"`path`: {PIXELS_FILE} and {VOTES_FILE} differ in their number of rows; wanted one order.")
        yield pixel_record[1], *vote_record


def _voted_rows(found, folder, target, load):
    """Rows or rejections from (row, file:line, name, ten counts as text, fault)."""
    parsed = [None if fault else _counts(fields) for _, _, _, fields, fault in found]
    votes = np.asarray([counts or (0,) * len(VOTE_COLUMNS) for counts in parsed], np.int64).reshape(-1, 10)
    labels, why = ferplus_labels(votes, target=target)
    soft = soft_labels(votes)
    for index, (row, where, name, fields, fault) in enumerate(found):
        name = name.strip()
        path = f"{folder}/{name}"
        if not fault and parsed[index] is None:
            column = next(name for name, field in zip(VOTE_COLUMNS, fields, strict=True) if _counts([field]) is None)
            fault = f"{column}: wanted ten whole counts of 0..{_MAX_VOTES}, got {','.join(fields)[:60]!r}"
        if fault:
            yield Rejection(row, path, "label_unknown", f"{where}:{fault}")
        elif not name:
            yield Rejection(row, "", "label_dropped", "no image name")
        elif not _plain(name):
            yield Rejection(row, path, "missing", f"{where}:Image name: wanted a plain file name, got {name[:60]!r}")
        elif labels[index] == DROP:
            yield Rejection(row, path, "label_dropped", str(why[index]))
        else:
            yield Row(
                row,
                path,
                int(labels[index]),
                functools.partial(load, path),
                source_label=LABEL_TABLES["ferplus"].index(int(labels[index])),
                soft_label=soft[index] if target == "votes" else None,
            )


def _counts(fields) -> tuple[int, ...] | None:
    texts = [field.strip() for field in fields]
    if not all(text.isascii() and text.isdecimal() and len(text) < 6 for text in texts):
        return None
    counts = tuple(map(int, texts))
    return counts if max(counts) <= _MAX_VOTES else None


def _plain(name) -> bool:
    return name not in (".", "..") and not set(name) & set("/\\\0") and pathlib.PurePosixPath(name).name == name
