"""CK+ (Lucey et al. 2010, 10.1109/CVPRW.2010.5543262): sequences from a neutral face to the peak of an expression.

Contract: `cohn-kanade-images/S005/001/*.png` with `Emotion/S005/001/*_emotion.txt`, one number as text; or the 48 px
class folders that others made. No split is official: people, never pictures, are dealt out by a hash of their id.
"""

import functools
import hashlib
import os
import re
from collections.abc import Iterator

from fer_jax.data.face_set import Read
from fer_jax.data.folders import list_folders
from fer_jax.data.gather import read_listing
from fer_jax.data.rows import Listing, Rejection, Row
from fer_jax.data.sanitise import ImageRejected
from fer_jax.data.tables import real, shown
from fer_jax.data.tree import Tree
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS, LABEL_TABLES

IMAGES, EMOTIONS = "cohn-kanade-images", "Emotion"
FOLDS = 10
_LABELS = LABEL_TABLES["ckplus"]
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_NEUTRAL = EXPRESSIONS.index("neutral")
_SUBJECT = re.compile(r"S[0-9]{3}(?=[_/])", re.ASCII)


def read_ckplus(
    path: str | os.PathLike,
    *,
    size: int = 48,
    apex_frames: int = 1,
    folds: int = FOLDS,
    fold: int = 0,
    max_reject_frac: float = 0.01,
) -> Read:
    """Read CK+ into memory; the central square of each picture is taken.

    Args:
      path: the folder or zip with `cohn-kanade-images` and `Emotion`, or with class folders.
      size: side of the pictures returned, pixels.
      apex_frames: last frames of a labelled sequence that show its label; its first frame is neutral.
      folds: people are dealt into so many folds by a hash of their id.
      fold: 0..folds − 1, the one that becomes "validation".
      max_reject_frac: largest share of rows of a split that may be unusable.

    Returns:
      Splits "train" and "validation"; no person is in both. Class folders whose file names hold no person become
      "train" alone.

    Raises:
      UsageError: an argument out of range.
      DataError: nothing there, no CK+, or too much of it damaged.
    """
    list_rows = functools.partial(list_ckplus, apex_frames=apex_frames, folds=folds, fold=fold)
    return read_listing(path, list_rows, size=size, max_reject_frac=max_reject_frac)


def list_ckplus(tree: Tree, *, apex_frames: int = 1, folds: int = FOLDS, fold: int = 0) -> Listing:
    """What a copy of CK+ lists; see `read_ckplus`."""
    if apex_frames < 1:
        raise UsageError(f"`apex_frames`: wanted at least 1, got {apex_frames}.")
    if folds < 2 or not 0 <= fold < folds:
        raise UsageError(f"`fold`: wanted 0..folds-1 of at least 2 folds, got {fold} of {folds}.")
    prefixes = ["", *(f"{folder}/" for folder in tree.folders())]
    for prefix in prefixes:
        below = tree.folders(prefix.rstrip("/"))
        if prefix + IMAGES in below and prefix + EMOTIONS in below:
            rows = functools.partial(_sequences, tree, prefix, apex_frames)
            return _dealt("ckplus sequences", rows, folds, fold, ())
        if (prefix + IMAGES in below) != (prefix + EMOTIONS in below):
            missing = EMOTIONS if prefix + IMAGES in below else IMAGES
            raise DataError(f"`path`: {tree.name} has no {prefix}{missing}/, which CK+'s sequences want.")
    try:
        listing = list_folders(tree, label_table=None)
    except DataError as error:
        raise DataError(
            f"`path`: {tree.name} is no CK+: looked for {IMAGES}/ with {EMOTIONS}/, and for class folders: {error}"
        ) from None
    rows = functools.partial(_named_after_people, listing)
    remarks = ("Class folders: no neutral faces of the same people.",)
    if any(row.subject for row in rows() if isinstance(row, Row)):
        return _dealt("ckplus folders", rows, folds, fold, remarks)
    remarks = (*remarks, "No people in the file names: no split by people.")
    return Listing("ckplus folders", listing.splits, remarks=remarks)


def _dealt(release, rows, folds, fold, remarks) -> Listing:
    def split(wanted: str) -> Iterator[Row | Rejection]:
        for row in rows():
            held_out = _fold(row.path if isinstance(row, Rejection) else row.subject or row.path, folds) == fold
            if held_out == (wanted == "validation"):
                yield row

    splits = {name: functools.partial(split, name) for name in ("train", "validation")}
    return Listing(f"{release}, fold {fold} of {folds} by person", splits, remarks=remarks)


def _fold(text, folds) -> int:
    """The fold of a person, or of the person whose sequence a path lies in."""
    match = _SUBJECT.search(text + "/")
    person = match[0] if match else text
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:8]) % folds


def _sequences(tree: Tree, prefix, apex_frames) -> Iterator[Row | Rejection]:
    row = 0
    for person in tree.folders(prefix + IMAGES):
        subject = person.rpartition("/")[2]
        for sequence in tree.folders(person):
            for found in _sequence(tree, prefix, sequence, subject, apex_frames, row):
                row += 1
                yield found


def _sequence(tree, prefix, sequence, subject, apex_frames, row) -> Iterator[Row | Rejection]:
    frames = [path for path in tree.listed(sequence) if path.lower().endswith(_PICTURES)]
    labels = tree.listed(sequence.replace(f"{prefix}{IMAGES}", f"{prefix}{EMOTIONS}", 1))
    files = [path for path in labels if path.endswith("_emotion.txt")]
    shown_path = sequence.removeprefix(prefix)
    if not files:
        yield Rejection(row, shown_path, "label_dropped", "a sequence without a label")
        return
    try:
        text = tree.read(files[0]).decode("ascii", "replace").strip()
    except ImageRejected as error:
        yield Rejection(row, shown_path, "label_unknown", f"{files[0]}: {error}")
        return
    value = real(text)
    if not value.is_integer() or not 0 <= value < len(_LABELS):
        wanted = f"wanted a number in 0..{len(_LABELS) - 1}"
        yield Rejection(row, shown_path, "label_unknown", f"{files[0]}:1:1: {wanted}, got {shown(text)}")
        return
    if len(frames) < 1 + apex_frames:
        told = f"wanted at least {1 + apex_frames} frames, got {len(frames)}"
        yield Rejection(row, shown_path, "missing", told, _LABELS[int(value)])
        return
    chosen = [(frames[0], _NEUTRAL, 0)] + [(path, _LABELS[int(value)], int(value)) for path in frames[-apex_frames:]]
    for place, (path, label, number) in enumerate(chosen):
        load = functools.partial(tree.read, path)
        yield Row(row + place, path.removeprefix(prefix), label, load, source_label=number, subject=subject)


def _named_after_people(listing) -> Iterator[Row | Rejection]:
    """Class folders' rows, counted through, with the person in each file name."""
    number = 0
    for rows in listing.splits.values():
        for row in rows():
            if isinstance(row, Row):
                match = _SUBJECT.match(row.path.rpartition("/")[2])
                yield Row(number, row.path, row.label, row.load, subject=match[0] if match else "")
            else:
                yield Rejection(number, row.path, row.reason, row.detail, row.label)
            number += 1
