"""FER+ (Barsoum et al. 2016, arXiv 1608.01041): 48 px photographs, each named by ten people.

Contract: the zip, the unpacked folder and FER2013's csv pair give the same pictures, labels and names for the same
content. A vote row is ten whole numbers in FER+'s order (`LABEL_TABLES["ferplus"]`).

FER+ has published two lists of votes that are not the same, and `release` says which one was read. `label.csv` lies in
the folders of its repository and gives each face a box (12 columns). `fer2013new.csv` is the list of the csv pair.
Its tool also writes it into the folders, as a `label.csv` without boxes (11 columns).
"""

import functools
import itertools
import pathlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from fer_jax.data.file_tree import Tree, is_document, lines
from fer_jax.data.listing import Listing, NotThisSet, Rejection, Row, without_repeats
from fer_jax.data.sources.fer2013 import PIXELS_FILES, USAGES, pixel_loader, pixels_file, usage_of
from fer_jax.data.sources.search import base_of, find_files, find_folders
from fer_jax.data.tables import CellError, Cells, records, table, whole
from fer_jax.errors import DataError, check_one_of
from fer_jax.expressions import DROP, EXPRESSIONS, LABEL_TABLES

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


def list_ferplus(tree: Tree, *, target: str = "plurality", with_votes: bool = False) -> Listing:
    """Return the listing of a copy of FER+: its tool's folders, or `fer2013.csv` with `fer2013new.csv`.

    Args:
      tree: the folder (with or without its `data/` level), or that of the csv pair.
      target: "plurality", the largest count, ties left out. "majority", more than half after single votes are dropped,
        as FER+'s code does. "votes", the eight counts as a distribution, the label its first largest.
      with_votes: give the eight counts as a distribution beside the label of every `target`.

    Raises:
      UsageError: an unknown target.
      DataError: no FER+.
    """
    check_one_of("target", target, TARGETS)
    layout = _layout(tree, target, with_votes or target == "votes")
    splits = {split: without_repeats(rows) for split, rows in layout.items()}
    votes = _list_read(tree)
    unknown = (
        f" No counts by expression are known here for {VOTES_FILE}; none are compared." if votes != LABEL_FILE else ""
    )
    remarks = (f"These votes are of {votes}. {_DIFFER}{unknown}",)
    return Listing(f"ferplus {target} of {votes}", splits, remarks=remarks, votes_count=target == "votes")


def ferplus_labels(votes: np.ndarray, *, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of vote counts.

    Args:
      votes: int (N, 10), columns as `VOTE_COLUMNS`.
      target: see `list_ferplus`.

    Returns:
      int32 (N,) canonical labels with `DROP` for the rows left out, and str (N,) why those are left out, else "".
    """
    check_one_of("target", target, TARGETS)
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
    """Return the eight counts of int (N, 10) votes as float32 (N, 8) rows that sum to 1, or zeros without a vote."""
    eight = _canonical_votes(votes)
    return (eight / np.maximum(eight.sum(1, keepdims=True), 1)).astype(np.float32)


def _canonical_votes(votes):
    eight = np.zeros((len(votes), len(EXPRESSIONS)), np.int64)
    kept = _TABLE != DROP
    eight[:, _TABLE[kept]] = np.asarray(votes)[:, kept]
    return eight


def _layout(tree: Tree, target: str, voted: bool) -> dict[str, Callable[[], Iterable[Row | Rejection]]]:
    """Split name -> its rows, from whichever of the two layouts is there."""
    lists = _label_lists(tree)
    pixels, votes = pixels_file(tree), find_files(tree, (VOTES_FILE,))
    if lists and pixels is not None and "/" not in pixels:
        raise DataError(
            f"`path`: {tree.name} holds both {next(iter(lists.values()))} and {pixels}; give a folder with one of the "
            "two."
        )
    if lists:
        return {
            split: functools.partial(_folder_rows, tree, split, path, target, voted) for split, path in lists.items()
        }
    if pixels is not None and votes:
        return _csv_rows(tree, pixels, votes[0], target, voted)
    if pixels is not None or votes:
        there, missing = (votes[0], PIXELS_FILES[0]) if pixels is None else (pixels, VOTES_FILE)
        advice = "" if pixels is None else " Put it there (github.com/microsoft/FERPlus), or give `dataset`=fer2013."
        raise DataError(f"`path`: {tree.name} has {there} but not {missing}, which FER+ wants beside it.{advice}")
    looked = ", ".join(f"{folder}/{LABEL_FILE}" for folder in FOLDERS.values())
    raise NotThisSet(
        f"`path`: {tree.name} is no FER+: looked for {looked}, at the top or a few folders down, and for "
        f"{' or '.join(PIXELS_FILES)} with {VOTES_FILE}; found none of them."
    )


def _list_read(tree) -> str:
    """Say which of FER+'s two lists the votes are of, both where splits differ in it."""
    columns = (len(next(records(lines(tree, path)), (0, ()))[1]) for path in _label_lists(tree).values())
    named = {_LISTS.get(number, LABEL_FILE) for number in columns} or {VOTES_FILE}
    return " and ".join(sorted(named, reverse=True))


def _label_lists(tree) -> dict[str, str]:
    """Split -> its `label.csv`, in whatever case the folders are, a few folders down at most.

    Raises:
      DataError: there are several copies, and none of them at the top or in `data`.
    """
    split_of = {folder.lower(): split for split, folder in FOLDERS.items()}
    copies: dict[str, dict[str, str]] = {}  # the folder around -> its splits
    for path in find_files(tree, (LABEL_FILE,), depth=3):
        folder = path.rpartition("/")[0]
        split = split_of.get(folder.rpartition("/")[2].lower())
        if split is not None:
            copies.setdefault(folder.rpartition("/")[0], {})[split] = path
    found = copies.get("", copies.get("data", {}))
    if not found and len(copies) > 1:
        told = " and ".join(copies)
        raise DataError(f"`path`: {tree.name} holds several copies of FER+, in {told}; give one of these folders.")
    found = found or next(iter(copies.values()), {})
    return {split: found[split] for split in FOLDERS if split in found}


def _folder_rows(tree, split, where, target, voted):
    """Yield the rows of `label.csv` (name, perhaps a box, ten counts), then the pictures it does not name."""
    shown, found = FOLDERS[split], []
    for row, (line, fields) in enumerate(records(lines(tree, where))):
        fault = "" if len(fields) in (11, 12) else f"{len(fields)}: wanted 11 or 12 columns, got {len(fields)}"
        found.append((row, f"{where}:{line}", fields[0], fields[-10:], fault))

    # The pictures may lie apart from their labels: Images/FER2013Train/ and Labels/FER2013Train/.
    beside = where.rpartition("/")[0]
    bases = dict.fromkeys([beside, *find_folders(tree, shown.lower(), depth=3)])
    folder = base_of(tree, list(bases), (name.strip() for _, _, name, _, _ in found if name.strip()))[0] or beside

    def load(path):
        return tree.read(f"{folder}/{path.removeprefix(f'{shown}/')}")

    yield from _voted_rows(found, shown, target, voted, load)
    named = {f"{folder}/{name.strip()}" for _, _, name, _, _ in found}
    for path in tree.files(folder):
        if path not in named and path != where:
            reason = "document" if is_document(path) else "label_unknown"
            yield Rejection(-1, f"{shown}/{path.removeprefix(f'{folder}/')}", reason, f"no row in {where}")


def _csv_rows(tree, pixels_path, votes_path, target, voted) -> dict[str, Callable[[], Iterable[Row | Rejection]]]:
    """Return the rows of the csv pair, in their common order. Pictures get the names of FER+'s tool."""
    found = {split: [] for split in FOLDERS}
    loaders = {}
    usage = next(iter(USAGES))
    for row, (pixels, votes) in enumerate(_in_step(tree, pixels_path, votes_path)):
        if isinstance(votes, CellError):
            where, fault = str(votes).split(": ", 1)
            found[USAGES[usage]].append((row, where.rpartition(":")[0], "", [], f"{where.rpartition(':')[2]}: {fault}"))
            continue
        usage = usage_of(votes)
        where, name, fault = f"{votes.where}:{votes.line}", votes.text("Image name"), ""
        if isinstance(pixels, Cells) and pixels.text("Usage").lower() != usage.lower():
            fault = f"Usage: {usage} here, {pixels.text('Usage')[:40]!r} in {pixels_path}"
        found[USAGES[usage]].append((row, where, name, [votes.text(column) for column in VOTE_COLUMNS], fault))
        if name and not fault:
            text = pixels.text("pixels") if isinstance(pixels, Cells) else ""
            loaders.setdefault(f"{FOLDERS[USAGES[usage]]}/{name}", pixel_loader(text))

    def load(path):
        return loaders[path]()

    return {
        split: functools.partial(_voted_rows, rows, FOLDERS[split], target, voted, load)
        for split, rows in found.items()
        if rows
    }


def _in_step(tree, pixels_path, votes_path) -> Iterator[tuple[Cells | CellError, Cells | CellError]]:
    """Yield the pixels' line and the votes' line of each row."""
    pixels = table(tree, pixels_path, ("pixels", "Usage"))
    votes = table(tree, votes_path, ("Usage", "Image name", *VOTE_COLUMNS))
    for pixel_cells, vote_cells in itertools.zip_longest(pixels, votes):
        if pixel_cells is None or vote_cells is None:
            raise DataError(f"`path`: {pixels_path} and {votes_path} differ in their number of rows; wanted one order.")
        yield pixel_cells, vote_cells


def _voted_rows(found, folder, target, voted, load):
    """Yield rows or rejections from (row, file:line, name, ten counts as text, fault)."""
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
                soft_label=soft[index] if voted else None,
            )


def _counts(fields) -> tuple[int, ...] | None:
    counts = [whole(field.strip()) for field in fields]
    sound = tuple(count for count in counts if count is not None and 0 <= count <= _MAX_VOTES)
    return sound if len(sound) == len(counts) else None


def _plain(name) -> bool:
    return name not in (".", "..") and not set(name) & set("/\\\0") and pathlib.PurePosixPath(name).name == name
