"""Sets of photographs: one opened as a listing, or read into memory, each split a `FaceSet` of pictures of one size.

Contract: rows in = pictures kept + rows rejected. Nothing is skipped without a row in `rejected`.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from fer_jax import host_memory
from fer_jax.categories import Categories
from fer_jax.data.face_set import FLAGGED_COLUMNS, REJECTED_COLUMNS, FaceSet, Read
from fer_jax.data.file_tree import Below, Tree, is_archive, is_picture, open_tree
from fer_jax.data.listing import Listing, NotThisSet, Quality, Rejection, Row, flag_names
from fer_jax.data.pictures.decode import EXPECTED_REASONS, ImageRejected
from fer_jax.data.pictures.detect import FaceDetector
from fer_jax.data.pictures.encode import file_facts
from fer_jax.data.pictures.framing import MAX_SIZE, Framed, Framing, frame, pixels
from fer_jax.data.selection import select
from fer_jax.data.sources import BOXED, SIDES, SOURCES, options_of
from fer_jax.data.sources.search import archives
from fer_jax.errors import DataError, UsageError, check_range
from fer_jax.expressions import EXPRESSIONS, parse_categories, parse_class_map
from fer_jax.frame import LANDMARKS

_SHOWN = 3
_MEMORY_SHARE = 0.9


@contextlib.contextmanager
def open_source(
    name: str,
    root: str | os.PathLike,
    *,
    categories: str | Sequence[str] | None = None,
    class_map: str | Mapping[str, str] | None = None,
    **options,
) -> Iterator[Listing]:
    """Open a set and yield its listing, for a `with` statement. Its rows can be loaded inside.

    Args:
      name: a key of `SOURCES`.
      root: the set's folder or zip.
      categories: see `read`.
      class_map: see `read`.
      **options: of that source, such as `target` for FER+.

    Raises:
      UsageError: an unknown set, or an option that it does not have.
      DataError: nothing there, or something else.
    """
    chosen, renamed = _asked(categories, class_map)
    list_rows = _source(name, options, chosen, renamed)
    with open_tree(root) as tree:
        yield select(_listed(tree, list_rows), categories=chosen, class_map=_still(name, renamed), asked=bool(renamed))


def read(
    name: str,
    root: str | os.PathLike,
    *,
    size: int | None = None,
    categories: str | Sequence[str] | None = None,
    class_map: str | Mapping[str, str] | None = None,
    complete: Sequence[str] = (),
    only: Sequence[str] | None = None,
    crop: str | None = None,
    exif: str | None = None,
    detector: FaceDetector | None = None,
    max_reject_frac: float = 0.01,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options,
) -> Read:
    """Read a set into memory.

    Args:
      name: a key of `SOURCES`.
      root: the set's folder or zip.
      size: side of the pictures, pixels. None takes that of the published ones, where a set has one side.
      categories: names to take, in the order of the labels, such as "happy,sad,anger". None takes the paper's
        expressions, those that are there, or the class folders' names.
      class_map: class of the source (by name or number) -> category or "drop", such as "angry_faces:anger".
      complete: splits that must hold pictures of every category.
      only: splits to read, None for all.
      crop: see `Framing`. None takes "box" for sets of whole photographs with boxes, else "square".
      exif: see `decode`. None follows the listing.
      detector: see `Framing`.
      max_reject_frac: largest share of rows of a split that may be rejected for an unexpected reason.
      progress: called after each row with the number of rows done and of all. It may raise to end the reading.
      **options: of that source, see the functions of `SOURCES`.

    Returns:
      Its splits, and what was left out.

    Raises:
      UsageError: an argument out of range.
      DataError: nothing there, or something else. `TooManyRejected` if too much of it is damaged.
    """
    chosen, renamed = _asked(categories, class_map)
    list_rows = _source(name, options, chosen, renamed)
    size = SIDES.get(name) if size is None else size
    if not isinstance(size, int | np.integer) or not 1 <= size <= MAX_SIZE:
        raise UsageError(f"`size`: wanted a side of 1..{MAX_SIZE} px, got {size!r}.")
    check_range("max_reject_frac", max_reject_frac, 0, 1)
    splits, rejected, flagged = {}, {}, []
    with open_tree(root) as tree:
        listing = _of_splits(_listed(tree, list_rows), only)
        crop = crop or ("box" if name in BOXED else "square")
        framing = Framing(crop=crop, size=int(size), exif=exif or listing.exif, detector=detector)
        rows = {split: [] for split in listing.splits}
        in_all = 0
        for split, listed_rows in listing.splits.items():
            for row in listed_rows():
                rows[split].append(row)
                in_all += 1
                progress(0, in_all)
        once = dataclasses.replace(listing, splits={split: functools.partial(iter, rows[split]) for split in rows})
        listing = select(
            once, categories=chosen, class_map=_still(name, renamed), complete=complete, asked=bool(renamed)
        )
        rows = {split: list(listed_rows()) for split, listed_rows in listing.splits.items()}
        done = itertools.count(1)
        for split in listing.splits:
            total = len(rows[split])
            splits[split], rejected[split], odd = _decoded(
                split, rows.pop(split), framing, listing.categories, one_done=lambda: progress(next(done), in_all)
            )
            flagged += odd
            try:
                check_share(split, total, rejected[split], max_reject_frac)
                if not len(splits[split]):
                    told = _account(rejected[split])
                    raise DataError(f"`path`: {split} has no usable picture in {total} rows: {told}.")
            except DataError as error:
                raise TooManyRejected(str(error), rejected_table(rejected)) from None
    return Read(
        splits,
        rejected_table(rejected),
        listing.release,
        pd.DataFrame(flagged, columns=list(FLAGGED_COLUMNS)),
        {split: collections.Counter((one.label, one.reason) for one in rows) for split, rows in rejected.items()},
        listing.remarks,
        listing.categories,
    )


class TooManyRejected(DataError):
    """A set of which too much cannot be used.

    Args:
      message: saying how much, and what is wrong with the first.
      rejected: what was left out so far, with the columns `REJECTED_COLUMNS`.
    """

    def __init__(self, message: str, rejected: pd.DataFrame):
        super().__init__(message)
        self.rejected = rejected


def _listed(tree: Tree, list_rows: Callable[[Tree], Listing]) -> Listing:
    """Return a source's listing, also where a zip or download has put one folder around it.

    Raises:
      DataError: what the source's reader says of the root, or that it lies there as an archive.
    """
    found = _found(tree, list_rows)
    if isinstance(found, NotThisSet) and (packed := archives(tree)):
        found = NotThisSet(f"{found} It holds {_packed(tree, packed, list_rows)}.")
    if isinstance(found, DataError):
        raise found
    return found


def _packed(tree, packed, list_rows) -> str:
    """Name archives and what to do with them: only a zip that is all there is, and is the set, can be read as it is."""
    if tree.files() == packed:
        path = os.path.join(tree.name, packed[0])
        with contextlib.suppress(DataError, UsageError), open_tree(path) as inside:
            if isinstance(_found(inside, list_rows), Listing):
                return f"{packed[0]}: give {path} itself, no need to unpack"
    others = f" and {len(packed) - 1} more" if len(packed) > 1 else ""
    return f"{packed[0]}{others}, still packed: unpack, and give the folder"


def _found(tree: Tree, list_rows: Callable[[Tree], Listing]) -> Listing | DataError:
    """Return the listing of a tree or of the one folder in it, or what is wrong."""
    try:
        return _with_archives(list_rows(tree), tree)
    except DataError as error:
        fault = error
    inner = tree.folders()
    if len(inner) != 1 or any(map(is_picture, tree.listed())):  # a picture beside the folder would be lost
        return fault
    further_in = Below(tree, inner[0])
    found = _found(further_in, list_rows)
    if isinstance(found, DataError) and len(further_in.folders()) < 2:
        return fault  # what is wrong with the root is what its owner can follow
    return found if isinstance(found, DataError) else _with_archives(found, tree)


def _of_splits(listing: Listing, only: Sequence[str] | None) -> Listing:
    """Return the listing of some splits.

    Raises:
      DataError: one that the set has not.
    """
    for split in only or ():
        if split not in listing.splits:
            raise DataError(f"`split`: wanted one that the set has ({', '.join(listing.splits)}), got {split}.")
    kept = {split: rows for split, rows in listing.splits.items() if only is None or split in only}
    return dataclasses.replace(listing, splits=kept)


def _with_archives(listing: Listing, tree: Tree) -> Listing:
    """Return the listing with a word on archives beside what was read: they may hold a part of the set."""
    packed = list(filter(is_archive, tree.listed()))
    if not packed:
        return listing
    others = f" and {len(packed) - 1} more" if len(packed) > 1 else ""
    told = f"Not read, for still packed: {packed[0]}{others}. Unpack what belongs to the set."
    return dataclasses.replace(listing, remarks=(*listing.remarks, told))


def _decoded(
    split: str,
    rows: Sequence[Row | Rejection],
    framing: Framing,
    categories: Categories,
    *,
    one_done: Callable[[], None] = lambda: None,
) -> tuple[FaceSet, list[Rejection], list[tuple]]:
    """Decode the pictures of a split.

    Args:
      split: its name.
      rows: in the order of the source.
      framing: how pictures become squares of one size.
      categories: what labels are indices into.
      one_done: called after each row.

    Returns:
      The pictures, perhaps none, what was left out, and what is odd about the others, with the
      columns `FLAGGED_COLUMNS`. Names are the rows' paths. Where one path has several faces, the row's number is added.
    """
    rejected = [row for row in rows if isinstance(row, Rejection)]
    side = framing.size or 1
    _check_memory(split, len(rows) - len(rejected), side)
    images = np.empty((len(rows) - len(rejected), side, side, 3), np.uint8)
    kept: list[Row] = []
    quality: list[int] = []
    landmarks: list[np.ndarray | None] = []
    flagged: list[tuple] = []
    seen: dict[bytes, int] = {}
    for row in rows:
        if isinstance(row, Row):
            try:
                framed = _framed(row, framing)
            except ImageRejected as error:
                rejected.append(Rejection(row.row, row.path, error.reason, error.detail, row.label))
            else:
                images[len(kept)] = framed.image
                kept.append(row)
                landmarks.append(framed.landmarks)
                flags, notes = framed.quality, list(row.notes)
                face = hashlib.blake2b(framed.image.tobytes() + repr(row.box).encode(), digest_size=16).digest()
                if face in seen:
                    flags |= Quality.DUPLICATE
                    if seen[face] != row.label:
                        notes.append(f"the same picture is in {split} as {categories[seen[face]]}")
                seen.setdefault(face, row.label)
                quality.append(int(flags))
                if flag_names(flags) or notes:
                    flagged.append((split, row.row, row.path, "|".join(flag_names(flags)), "; ".join(notes)))
        one_done()
    rejected.sort(key=lambda rejection: rejection.row)
    times = collections.Counter(row.path for row in kept)
    soft = [row.soft_label for row in kept]
    faces = FaceSet(
        images[: len(kept)],
        np.asarray([row.label for row in kept], np.int32),
        np.asarray([row.path if times[row.path] == 1 else f"{row.path}#{row.row}" for row in kept]),
        split,
        None if not soft or any(one is None for one in soft) else np.asarray(soft, np.float32),
        np.asarray([row.row for row in kept], np.int32),
        np.asarray(quality, np.int32),
        categories,
        _stacked(landmarks),
    )
    return faces, rejected, flagged


def _stacked(landmarks: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return the landmarks of several pictures, all NaN of one without. None where all are without."""
    if all(points is None for points in landmarks):
        return None
    unknown = np.full((LANDMARKS, 2), np.nan, np.float32)
    return np.stack([unknown if points is None else points for points in landmarks])


def _framed(row: Row, framing: Framing) -> Framed:
    """Return a row's picture as it is kept, with what its file was."""
    loaded = row.load()
    framed = frame(pixels(loaded, framing.exif), row, framing)
    facts = file_facts(loaded)[0] if isinstance(loaded, bytes) else Quality(0)
    return dataclasses.replace(framed, quality=framed.quality | facts)


def rejected_table(rejected: dict[str, list[Rejection]]) -> pd.DataFrame:
    """Return the rejected rows of all splits, with the columns `REJECTED_COLUMNS`."""
    table = [(split, *dataclasses.astuple(rejection)[:4]) for split, rows in rejected.items() for rejection in rows]
    return pd.DataFrame(table, columns=list(REJECTED_COLUMNS))


def check_share(split: str, total: int, rejected: list[Rejection], allowed: float) -> None:
    """Refuse a split of which too much cannot be used.

    Args:
      split: its name.
      total: rows listed.
      rejected: those left out.
      allowed: largest share of them that may be rejected for an unexpected reason.

    Raises:
      DataError: counting what is wrong and showing the first.
    """
    unexpected = [rejection for rejection in rejected if rejection.reason not in EXPECTED_REASONS]
    total -= sum(rejection.reason == "document" for rejection in rejected)
    if len(unexpected) > allowed * total:
        first = "; ".join(f"{one.path or 'a row'}: {one.detail or one.reason}" for one in unexpected[:_SHOWN])
        first = " ".join(first.split())  # a name may hold a line break
        raise DataError(
            f"`path`: {len(unexpected)} of {total} rows of {split} cannot be used ({_account(unexpected)}), more than "
            f"`max_reject_frac`={allowed:g} allows. First: {first}. Repair them, or allow more."
        )


def _check_memory(split, count, side) -> None:
    """Refuse what would fill the memory, before an hour of decoding ends in a kill."""
    wanted, there = count * side * side * 3, host_memory.available_memory()
    if wanted > _MEMORY_SHARE * there:
        raise UsageError(
            f"`size`: {count} pictures of {side} px in {split} take {wanted / 2**30:.1f} GiB of memory, and "
            f"{there / 2**30:.1f} GiB are free. Take a smaller size, or (all sets but ExpW and "
            "FER2013) build the set with experiments.prepare_data and read it by row."
        )


def _account(rejected) -> str:
    counts = collections.Counter(rejection.reason for rejection in rejected)
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "none listed"


def _asked(categories, class_map) -> tuple[tuple[str, ...] | None, dict[str, str]]:
    """Return the names chosen, None where nobody chose, and the classes renamed."""
    chosen = None if categories is None else parse_categories(categories).names
    return chosen, parse_class_map(class_map) if class_map else {}


def _still(name, class_map):
    """Return what of a class map is still to be applied: names of class folders were renamed when they were listed."""
    return {} if name == "class_folders" else class_map


def _source(name, options, categories, class_map) -> Callable[[Tree], Listing]:
    strange = sorted(set(options) - set(options_of(name)))
    if strange:
        known = ", ".join(options_of(name)) or "none"
        raise UsageError(f"`{strange[0]}`: {name} has no such option; it has {known}.")

    names = {"class_map": class_map, "any_names": True, "mixed": categories is not None}

    def list_rows(tree: Tree) -> Listing:
        try:
            listing = SOURCES[name](tree, **options, **(names if name == "class_folders" else {}))
        except NotThisSet as error:
            if (other := _looks_like(tree, name)) is None:
                raise
            raise NotThisSet(f"{error} It looks like `dataset`={other}.") from None
        guessed = listing.categories != EXPRESSIONS and not class_map and categories is None
        if guessed and (other := _looks_like(tree, name)) is not None:  # folders of a known set are no categories
            raise NotThisSet(f"`path`: {tree.name} holds no class folders. It looks like `dataset`={other}.")
        return listing

    return list_rows


def _looks_like(tree: Tree, name: str) -> str | None:
    """Return the set that a tree can be read as. Class folders come first, for some sets are read from these, too."""
    for other in ("class_folders", *SOURCES):
        if other != name:
            try:
                _listed(tree, SOURCES[other])
            except DataError:
                continue
            return other
    return None
