"""The report of `experiments.prepare_data` on a set it built, and the sheet on which a wrong label table is seen."""

import collections
import pathlib

import cv2
import numpy as np

from fer_jax.categories import Categories
from fer_jax.data import PreparedSplit, encode_png, epoch_order
from fer_jax.data.pictures.decode import resized
from fer_jax.data.published import CKPLUS_SEQUENCES, PAPER_COUNTS
from fer_jax.errors import StorageError
from fer_jax.expressions import EXPRESSIONS

TILE = 96  # side of a picture on the sheet
_THUMBNAILS = 8
_LOOKED_AT = 256  # pictures of an expression among which different people are looked for


def report(builder) -> list[str]:
    """Say where a set lies, what is in it, and what a user should know of it, a line each."""
    metadata = builder.info.metadata or {}
    if builder.name == "click_study":
        return [str(builder.data_path), *_clicks(metadata)]
    splits = {split: PreparedSplit(builder.data_path, split) for split in builder.info.splits}
    labels = {split: part.labels for split, part in splits.items()}
    categories = next(iter(splits.values())).categories
    return [str(builder.data_path), *picture_lines(metadata, labels, categories)]


def _clicks(metadata):
    return [
        f"trials: {metadata['trials']}, {metadata['correct']} of them correct",
        f"participants: {metadata['participants']}",
        f"images: {metadata['images']} of {metadata['image_px']} px, {metadata['equal_images']} equal to another",
        f"simulated: {metadata['simulated']}",
    ]


def picture_lines(metadata, labels, categories: Categories) -> list[str]:
    """Say what is in a set of pictures, and what a user should know of it, a line each.

    Args:
      metadata: as the builders of photographs write it: release, rejected, differs_from_published, duplicates, ...
      labels: split -> int (N,), 0..K-1.
      categories: what labels are indices into.
    """
    lines = []
    for split, own in labels.items():
        counts = np.bincount(own, minlength=len(categories))
        shown = ", ".join(f"{name} {count}" for name, count in zip(categories, counts, strict=True))
        lines.append(f"{split}: {counts.sum()} pictures: {shown}")
    if metadata.get("rejected"):
        left_out = ", ".join(f"{reason} {count}" for reason, count in metadata["rejected"].items())
        lines.append(f"left out: {left_out}")
    for split, differences in (metadata.get("differs_from_published") or {}).items():
        if differences is not None:
            lines.append(f"{split}: {'; '.join(differences) or 'counts equal the published ones'}")
    for split, found in (metadata.get("duplicates") or {}).items():
        kept = "dropped; --nodedupe keeps them" if metadata.get("dedupe") else "kept; without --nodedupe dropped"
        kept = "kept" if split in ("validation", "test", "stimuli") else kept
        for where, count in found.items():
            told = "occur before in it (kept)" if where == split else f"are in {where}, too ({kept})"
            lines.append(f"{split}: {count} pictures {told}")
    for split, count in (metadata.get("labelled_otherwise") or {}).items():
        if count:
            lines.append(f"{split}: {count} of them were labelled otherwise there (flagged.csv, rejected.csv)")
    lines += _known_totals(metadata)
    for split, flags in (metadata.get("flags") or {}).items():
        told = ", ".join(f"{flag} {count}" for flag, count in flags.items() if flag != "duplicate")
        lines += [f"{split}: flagged: {told}"] if told else []
    if metadata.get("stimuli", "none") != "none":
        lines.append(f"study images: {metadata['stimuli']}")
    return [*lines, *metadata.get("remarks", ())]


def _known_totals(metadata):
    """Write lines on published counts that are of no single split, or of no release at all."""
    counts = np.sum(list((metadata.get("counts") or {}).values()), axis=0)
    release = metadata.get("release", "")
    if " as " in release:  # of chosen categories nothing is published
        return []
    if release.startswith("ckplus sequences") and metadata.get("options", {}).get("apex_frames", "1") == "1":
        names = metadata.get("categories") or EXPRESSIONS
        stored = dict(zip(names, map(int, counts), strict=True))
        labelled = {name: count for name, count in zip(EXPRESSIONS, CKPLUS_SEQUENCES, strict=True) if count}
        apex = sum(count for name, count in stored.items() if name != "neutral")
        same = all(stored.get(name) == count for name, count in labelled.items())
        told = "equal the published ones" if same else f"{apex} of {sum(labelled.values())} published"
        return [f"labelled sequences of all people: {told}"]
    if release.startswith("affectnet"):
        named = PAPER_COUNTS["affectnet"]
        told = ", ".join(f"{count} {what}" for what, count in named.items())
        return [f"The paper (§3) speaks of {told}, which no release has: this one has {counts.sum()} in all."]
    return []


def audit(builder, path, *, seed: int) -> pathlib.Path:
    """Write a sheet with a row for each expression, as labelled."""
    if builder.name == "click_study":
        categories = Categories(tuple(builder.info.features["true_label"].names))
        tiles = _of_originals(builder, seed, categories)
    else:
        split = PreparedSplit(builder.data_path, next(iter(builder.info.splits)), size=TILE)
        categories, tiles = split.categories, tiles_of_split(split, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(encode_png(sheet(tiles, categories)))
    except OSError as error:
        raise StorageError(
            f"`--audit_labels`: could not write {path} ({error.strerror}); name a folder you may write to."
        ) from None
    return path


def sheet(tiles, categories: Categories) -> np.ndarray:
    """Draw pictures of each category in a row behind its name: uint8 (K · 96, 9 · 96, 3).

    Args:
      tiles: for each category up to eight of uint8 (96, 96, 3).
      categories: their names.
    """
    drawn = np.full((len(categories), TILE, _THUMBNAILS + 1, TILE, 3), 255, np.uint8)
    for expression, name in enumerate(categories):
        for place, tile in enumerate(tiles[expression], start=1):
            drawn[expression, :, place] = tile
        label = np.full((TILE, TILE, 3), 255, np.uint8)
        name = name.encode("ascii", "replace").decode()  # OpenCV draws no other letters
        cv2.putText(label, name, (4, TILE // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        drawn[expression, :, 0] = label
    return drawn.reshape(len(categories) * TILE, -1, 3)


def tiles_of_split(split: PreparedSplit, *, seed: int) -> list[np.ndarray]:
    """Draw pictures of each expression for `sheet` at random from a prepared split of 96 px."""

    def facts(rows):
        return split.feature("subject", rows), split.feature("file_name", rows)

    return [split.images(rows) for rows in drawn(split.labels, facts, seed=seed, categories=split.categories)]


def tiles_of(faces, *, seed: int) -> list[list[np.ndarray]]:
    """Draw pictures of each expression for `sheet` at random from a `FaceSet`."""

    def facts(rows):
        return [""] * len(rows), [str(name) for name in faces.names[rows]]

    chosen = drawn(faces.labels, facts, seed=seed, categories=faces.categories)
    return [[resized(image, (TILE, TILE)) for image in faces.images[rows]] for rows in chosen]


def drawn(labels, facts, *, seed: int, categories: Categories) -> list[np.ndarray]:
    """Draw rows to look at: up to eight of each expression, at random, of as many people and files as there are.

    Args:
      labels: int (N,), 0..K-1.
      facts: rows -> who is shown in each ("" where unknown) and its file.
      seed: of the draw.
      categories: what labels are indices into.

    Returns:
      For each category int (at most 8,).
    """
    chosen = []
    for expression in range(len(categories)):
        rows = np.flatnonzero(labels == expression)
        if len(rows):
            rows = rows[epoch_order(len(rows), seed=seed, member=expression, epoch=0)[:_LOOKED_AT]]
        people, files = facts(rows)
        files = [file.partition("#")[0] for file in files]  # a file may have many faces
        # The folder may name a person who is not known.
        people = [person or file.rpartition("/")[0] for person, file in zip(people, files, strict=True)]
        chosen.append(rows[_spread(list(zip(files, people, strict=True)))])
    return chosen


def _spread(shown) -> list[int]:
    """Choose up to eight places of (file, person), each the first that shows something least shown so far."""
    files, people, places = collections.Counter(), collections.Counter(), list(range(len(shown)))
    chosen = []
    while places and len(chosen) < _THUMBNAILS:
        place = min(places, key=lambda one: (files[shown[one][0]], people[shown[one][1]]))
        places.remove(place)
        chosen.append(place)
        files[shown[place][0]] += 1
        people[shown[place][1]] += 1
    return chosen


def _of_originals(builder, seed, categories):
    tiles = [[] for _ in categories]
    for example in builder.as_data_source("originals"):
        tile = cv2.resize(example["image"], (TILE, TILE), interpolation=cv2.INTER_AREA)
        tiles[int(example["true_label"])].append(tile)
    orders = (epoch_order(len(each), seed=seed, member=at, epoch=0) if each else () for at, each in enumerate(tiles))
    return [[each[place] for place in order[:_THUMBNAILS]] for each, order in zip(tiles, orders, strict=True)]
