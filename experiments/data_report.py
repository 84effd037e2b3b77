"""What `experiments.prepare_data` tells of a set it built, and the sheet on which a wrong label table is seen."""

import pathlib

import cv2
import numpy as np

from fer_jax.data import PreparedSplit
from fer_jax.data.published import CKPLUS_SEQUENCES, PAPER_COUNTS
from fer_jax.errors import StorageError
from fer_jax.expressions import EXPRESSIONS, NUM_EXPRESSIONS

_THUMBNAILS, _TILE = 8, 96


def report(builder) -> list[str]:
    """Where a set lies, what is in it, and what a user should know of it, a line each."""
    metadata = builder.info.metadata or {}
    lines = [str(builder.data_path)]
    return lines + (_clicks(metadata) if builder.name == "click_study" else _pictures(builder, metadata))


def _clicks(metadata):
    return [
        f"trials: {metadata['trials']}, {metadata['correct']} of them correct",
        f"participants: {metadata['participants']}",
        f"images: {metadata['images']} of {metadata['image_px']} px, {metadata['equal_images']} equal to another",
        f"simulated: {metadata['simulated']}",
    ]


def _pictures(builder, metadata):
    lines = []
    for split in builder.info.splits:
        counts = np.bincount(PreparedSplit(builder.data_path, split).labels, minlength=NUM_EXPRESSIONS)
        shown = ", ".join(f"{name} {count}" for name, count in zip(EXPRESSIONS, counts, strict=True))
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
    lines += _known_totals(builder, metadata)
    for split, flags in (metadata.get("flags") or {}).items():
        told = ", ".join(f"{flag} {count}" for flag, count in flags.items() if flag != "duplicate")
        lines += [f"{split}: flagged: {told}"] if told else []
    if metadata.get("stimuli", "none") != "none":
        lines.append(f"study images: {metadata['stimuli']}")
    return [*lines, *metadata.get("remarks", ())]


def _known_totals(builder, metadata):
    """Published counts that are of no single split, or of no release at all."""
    counts = np.sum(list((metadata.get("counts") or {}).values()), axis=0)
    release = metadata.get("release", "")
    if release.startswith("ckplus sequences") and metadata["options"].get("apex_frames", "1") == "1":
        labelled = np.asarray(CKPLUS_SEQUENCES)
        same = (counts[1:] == labelled[1:]).all()
        told = "equal the published ones" if same else f"{int(counts[1:].sum())} of {labelled.sum()} published"
        return [f"labelled sequences of all people: {told}"]
    if builder.name == "affectnet":
        named = PAPER_COUNTS["affectnet"]
        told = ", ".join(f"{count} {what}" for what, count in named.items())
        return [f"The paper (§3) speaks of {told}, which no release has: this one has {counts.sum()} in all."]
    return []


def audit(builder, path) -> pathlib.Path:
    """A sheet with a row for each expression, as labelled."""
    sheet = np.full((NUM_EXPRESSIONS, _TILE, _THUMBNAILS + 1, _TILE, 3), 255, np.uint8)
    tiles = _of_originals(builder) if builder.name == "click_study" else _of_split(builder)
    for expression, name in enumerate(EXPRESSIONS):
        for place, tile in enumerate(tiles[expression], start=1):
            sheet[expression, :, place] = tile
        label = np.full((_TILE, _TILE, 3), 255, np.uint8)
        cv2.putText(label, name, (4, _TILE // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        sheet[expression, :, 0] = label
    flat = sheet.reshape(NUM_EXPRESSIONS * _TILE, -1, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), flat[..., ::-1]):
        raise StorageError(f"`--audit_labels`: could not write {path}; name a folder you may write to.")
    return path


def _of_split(builder):
    """The first pictures of each expression in the first split."""
    split = PreparedSplit(builder.data_path, next(iter(builder.info.splits)), size=_TILE)
    return [split.images(np.flatnonzero(split.labels == label)[:_THUMBNAILS]) for label in range(NUM_EXPRESSIONS)]


def _of_originals(builder):
    tiles = [[] for _ in range(NUM_EXPRESSIONS)]
    for example in builder.as_data_source("originals"):
        tile = cv2.resize(example["image"], (_TILE, _TILE), interpolation=cv2.INTER_AREA)
        tiles[int(example["true_label"])].append(tile)
    return [each[:_THUMBNAILS] for each in tiles]
