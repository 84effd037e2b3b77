"""CK+ (Lucey et al. 2010, 10.1109/CVPRW.2010.5543262): sequences from a neutral face to the peak of an expression.

Contract: `cohn-kanade-images/S005/001/*.png` with `Emotion/S005/001/*_emotion.txt`, one number as text, side by side or
each in the folder that its zip unpacks to, or the 48 px class folders, or the csv of pixels, that others made. No split
is official: people, never pictures, are dealt out by a hash of their id.
"""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterator

from fer_jax.data.file_tree import Tree
from fer_jax.data.listing import Listing, NotThisSet, Rejection, Row
from fer_jax.data.pictures.decode import ImageRejected
from fer_jax.data.sources.class_folders import check_table, list_folders
from fer_jax.data.sources.fer2013 import header_of, pixel_splits
from fer_jax.data.sources.search import find_files, find_folders
from fer_jax.data.tables import real, shown
from fer_jax.errors import DataError, UsageError, check_count
from fer_jax.expressions import EXPRESSIONS, LABEL_TABLES, numberings

IMAGES, EMOTIONS = "cohn-kanade-images", "Emotion"
CSV_FILES = ("ckextended.csv", "ck+.csv", "ckplus.csv", "ck_plus.csv", "ck+48.csv", "ck.csv")
FOLDS = 10
_LABELS = LABEL_TABLES["ckplus"]
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_NEUTRAL = EXPRESSIONS.index("neutral")
_SUBJECT = re.compile(r"S[0-9]{3}(?=[_/])", re.ASCII | re.IGNORECASE)
_PERSON = re.compile(r"S[0-9]{3}", re.ASCII | re.IGNORECASE)


def list_ckplus(
    tree: Tree, *, apex_frames: int = 1, folds: int = FOLDS, fold: int = 0, label_table: str | None = None
) -> Listing:
    """Return the listing of a copy of CK+: "train" and "validation", no person in both.

    Class folders whose file names hold no person become "train" alone. A csv has the splits of its usages, or "train".

    Args:
      tree: the root of `cohn-kanade-images` and `Emotion`, of class folders, or of a csv.
      apex_frames: last frames of a labelled sequence that show its label. Its first frame is neutral.
      folds: people are dealt into so many folds by a hash of their id.
      fold: 0..folds − 1, the one that becomes "validation".
      label_table: key of `LABEL_TABLES`: whose numbering a csv's emotions, or numbered class folders, are.

    Raises:
      UsageError: an argument out of range.
      DataError: no CK+, or numbers that nobody named.
    """
    check_count("apex_frames", apex_frames, 1)
    if folds < 2 or not 0 <= fold < folds:
        raise UsageError(f"`fold`: wanted 0..folds-1 of at least 2 folds, got {fold} of {folds}.")
    images, emotions = (_with_people(tree, name) for name in (IMAGES, EMOTIONS))
    if images and emotions:
        rows = functools.partial(_sequences, tree, images, emotions, apex_frames)
        return _dealt("ckplus sequences", rows, folds, fold, ())
    if images or emotions:
        there, missing = (images, EMOTIONS) if images else (emotions, IMAGES)
        raise DataError(f"`path`: {tree.name} has {there}/ but no {missing}/, which CK+'s sequences want.")
    csvs = find_files(tree, CSV_FILES)
    if csvs:
        return _pixels(tree, csvs, label_table)
    try:
        listing = list_folders(tree, label_table=label_table)
    except NotThisSet as error:
        told = str(error).removeprefix("`path`: ")
        raise NotThisSet(
            f"`path`: {tree.name} is no CK+: looked for {IMAGES}/ with {EMOTIONS}/, and for class folders: {told}"
        ) from None
    rows = functools.partial(_named_after_people, listing)
    remarks = (*listing.remarks, "Class folders: no neutral faces of the same people.")
    if any(row.subject for row in rows() if isinstance(row, Row)):
        return _dealt("ckplus folders", rows, folds, fold, remarks)
    remarks = (*remarks, "No people in the file names: no split by people.")
    return Listing("ckplus folders", listing.splits, remarks=remarks)


def _with_people(tree, name) -> str | None:
    """Return the folder of a name in which people's folders are: a zip often unpacks to a folder of the same name.

    Raises:
      DataError: there are several.
    """
    found = [
        folder
        for folder in find_folders(tree, name.lower(), depth=3)
        if any(_PERSON.fullmatch(below.rpartition("/")[2]) for below in tree.folders(folder))
    ]
    if len(found) > 1:
        raise DataError(f"`path`: {tree.name} holds {found[0]}/ and {found[1]}/; give a folder with one of them.")
    return found[0] if found else None


def _pixels(tree, csvs, label_table) -> Listing:
    """Return the listing of a csv of pixels. Its numbering is its maker's: several orders are about."""
    if len(csvs) > 1:
        raise DataError(f"`path`: {tree.name} holds {csvs[0]} and {csvs[1]}; give a folder with one of them.")
    if label_table is None:
        raise DataError(
            f"`path`: {csvs[0]} numbers its expressions; say whose numbering it is with `label_table`: Kaggle's "
            f"ckextended.csv has {numberings([0], only='fer2013_contempt')}, the sequences have "
            f"{numberings([0], only='ckplus')}."
        )
    check_table(label_table)
    remarks = (
        ["A csv has no people: the same ones are in all its splits."] if "usage" in header_of(tree, csvs[0]) else []
    )
    remarks.append(f"Its numbers were taken for those of {numberings([0], only=label_table)}.")
    return Listing("ckplus csv", pixel_splits(tree, csvs[0], label_table), remarks=tuple(remarks))


def _dealt(release, rows, folds, fold, remarks) -> Listing:
    def split(wanted: str) -> Iterator[Row | Rejection]:
        for row in rows():
            held_out = _fold(row.path if isinstance(row, Rejection) else row.subject or row.path, folds) == fold
            if held_out == (wanted == "validation"):
                yield row

    splits = {name: functools.partial(split, name) for name in ("train", "validation")}
    return Listing(f"{release}, fold {fold} of {folds} by person", splits, remarks=remarks)


def person_of(path: str) -> str:
    """Return who is on a picture, such as "S005", "" where its path does not say."""
    match = _SUBJECT.search(path + "/")
    return match[0] if match else ""


def _fold(text, folds) -> int:
    """Return the fold of a person, or of the person whose sequence a path lies in."""
    person = person_of(text) or text
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:8]) % folds


def _sequences(tree: Tree, images, emotions, apex_frames) -> Iterator[Row | Rejection]:
    row = 0
    for person in tree.folders(images):
        for sequence in tree.folders(person):
            labels = tree.listed(f"{emotions}{sequence.removeprefix(images)}")
            for found in _sequence(tree, images, sequence, labels, apex_frames, row):
                row += 1
                yield found


def _sequence(tree, images, sequence, labels, apex_frames, row) -> Iterator[Row | Rejection]:
    frames = [path for path in tree.listed(sequence) if path.lower().endswith(_PICTURES)]
    files = [path for path in labels if path.lower().endswith("_emotion.txt")]
    shown_path = IMAGES + sequence.removeprefix(images)
    subject = sequence.split("/")[-2]
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
        yield Row(row + place, IMAGES + path.removeprefix(images), label, load, source_label=number, subject=subject)


def _named_after_people(listing) -> Iterator[Row | Rejection]:
    """Yield class folders' rows, counted through, with the person in each file name."""
    number = 0
    for rows in listing.splits.values():
        for row in rows():
            if isinstance(row, Row):
                match = _SUBJECT.match(row.path.rpartition("/")[2])
                subject = match[0] if match else ""
                yield dataclasses.replace(row, row=number, subject=subject)
            else:
                yield Rejection(number, row.path, row.reason, row.detail, row.label)
            number += 1
