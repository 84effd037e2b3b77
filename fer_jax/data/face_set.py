"""A labelled set of face pictures in memory, and what was read and refused on the way.

Contract: images are uint8 (N, H, W, 3) RGB, labels int32 (N,) in 0..K-1 (indices into `categories`), names are file
names relative to the root of their source, each once.
"""

import collections
import dataclasses
import hashlib
import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fer_jax.categories import Categories
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.frame import LANDMARKS

REJECTED_COLUMNS = ("split", "row", "path", "reason", "detail")
FLAGGED_COLUMNS = ("split", "row", "path", "flags", "detail")

LeftOut = collections.Counter[tuple[int, str]]  # (label or `DROP`, reason) -> rows


@dataclasses.dataclass(frozen=True, eq=False)
class FaceSet:
    """One split of a data set, in the order of its source.

    Attributes:
      images: uint8 (N, H, W, 3) RGB.
      labels: int32 (N,), 0..K-1.
      names: str (N,), relative file names, unique.
      split: such as "train".
      soft_labels: float32 (N, K), rows that sum to 1, or None where the source gives one label a picture.
      rows: int32 (N,), row of each picture in the list of its source, or None.
      quality: int32 (N,), `Quality` bits of each picture, or None.
      categories: what labels are indices into.
      landmarks: float32 (N, 68, 2) in pixels of the pictures, all NaN of one without, or None where all are without.

    Raises:
      DataError: arrays that do not fit together, a label outside the categories, a name that occurs twice.
    """

    images: np.ndarray
    labels: np.ndarray
    names: np.ndarray
    split: str
    soft_labels: np.ndarray | None = None
    rows: np.ndarray | None = None
    quality: np.ndarray | None = None
    categories: Categories = EXPRESSIONS
    landmarks: np.ndarray | None = None

    def __post_init__(self):
        object.__setattr__(self, "names", np.asarray(self.names, dtype=np.str_))
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise DataError(f"`images`: wanted uint8 (N, H, W, 3), got {images.dtype} {images.shape}.")
        if labels.dtype != np.int32 or labels.shape != (len(images),):
            raise DataError(f"`labels`: wanted int32 ({len(images)},), got {labels.dtype} {labels.shape}.")
        if len(labels) and (labels.min() < 0 or labels.max() >= len(self.categories)):
            raise DataError(f"`labels`: wanted 0..{len(self.categories) - 1}, got {labels.min()}..{labels.max()}.")
        if len(self.names) != len(images) or len(np.unique(self.names)) != len(images):
            raise DataError(f"`names`: wanted {len(images)} different names, got {len(np.unique(self.names))}.")
        if self.soft_labels is not None and self.soft_labels.shape != (len(images), len(self.categories)):
            raise DataError(
                f"`soft_labels`: wanted ({len(images)}, {len(self.categories)}), got {self.soft_labels.shape}."
            )
        for name in ("rows", "quality"):
            numbers = getattr(self, name)
            if numbers is not None and numbers.shape != (len(images),):
                raise DataError(f"`{name}`: wanted ({len(images)},), got {numbers.shape}.")
        if self.landmarks is not None and self.landmarks.shape != (len(images), LANDMARKS, 2):
            raise DataError(f"`landmarks`: wanted ({len(images)}, {LANDMARKS}, 2), got {self.landmarks.shape}.")

    def __len__(self) -> int:
        return len(self.images)

    def select(self, indices: Sequence[int] | np.ndarray) -> "FaceSet":
        """Return the pictures at some positions, each at most once, in the order given."""
        indices = np.asarray(indices, np.int64)
        arrays = {name: value[indices] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return dataclasses.replace(self, **arrays)


@dataclasses.dataclass(frozen=True, eq=False)
class Read:
    """A set of photographs as read.

    Attributes:
      splits: split name -> pictures. Only splits that the source has.
      rejected: one row for each listed picture that is not in `splits`: split, row, path, reason, detail.
      release: which copy of which set this is, noted in every result.
      flagged: one row for each picture that is odd in a way worth a note: split, row, path, flags, detail.
      left_out: split -> how many rows of which label were left out, and why.
      remarks: what a user should know of this copy, a sentence each.
      categories: what labels are indices into.
    """

    splits: dict[str, FaceSet]
    rejected: pd.DataFrame
    release: str = ""
    flagged: pd.DataFrame = dataclasses.field(default_factory=lambda: pd.DataFrame(columns=list(FLAGGED_COLUMNS)))
    left_out: dict[str, LeftOut] = dataclasses.field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    categories: Categories = EXPRESSIONS


def without_shared(read: Read, *, held_out: Sequence[str] = ("validation", "test")) -> Read:
    """Drop training pictures whose pixels also occur in a held-out split.

    FER+ has 307 of them: 253 of its 3,396 validation pictures.

    Args:
      read: a set as read.
      held_out: splits that stay whole.

    Returns:
      The set without them. Each dropped picture is a row of `rejected`, reason "duplicate".
    """
    seen = {}
    for split in held_out:
        if split in read.splits:
            faces = read.splits[split]
            for image, label in zip(faces.images, faces.labels, strict=True):
                seen.setdefault(_pixels(image), (split, label))
    splits, dropped, left_out = {}, [], {split: count.copy() for split, count in read.left_out.items()}
    for split, faces in read.splits.items():
        where = [None if split in held_out else seen.get(_pixels(image)) for image in faces.images]
        again = {index: other for index, other in enumerate(where) if other is not None}
        splits[split] = faces.select(np.setdiff1d(np.arange(len(faces)), list(again))) if again else faces
        for index, (other, label) in again.items():
            row = -1 if faces.rows is None else int(faces.rows[index])
            otherwise = "" if label == faces.labels[index] else f" as {faces.categories[label]}"
            told = f"the same picture is in {other}{otherwise}"
            dropped.append((split, row, str(faces.names[index]), "duplicate", told))
            left_out.setdefault(split, collections.Counter())[int(faces.labels[index]), "duplicate"] += 1
    table = pd.DataFrame(dropped, columns=list(REJECTED_COLUMNS))
    rejected = pd.concat([read.rejected, table], ignore_index=True) if dropped else read.rejected
    return dataclasses.replace(read, splits=splits, rejected=rejected, left_out=left_out)


def _pixels(image) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).data).digest()


def class_weights(labels: np.ndarray, *, categories: Categories = EXPRESSIONS) -> np.ndarray:
    """Return weights of the multiclass loss, w_i = N / (K n_i), from the training split that was read.

    The paper weighs its cross-entropy (§5.2) and gives no formula: this one is ours.

    Args:
      labels: int (N,), 0..K-1.
      categories: what labels are indices into.

    Returns:
      float32 (K,). Over the split, the weights average to 1.

    Raises:
      DataError: a category without a picture.
    """
    counts = np.bincount(labels, minlength=len(categories))
    if len(counts) > len(categories) or not counts.all():
        missing = [name for name, count in zip(categories, counts, strict=False) if count == 0]
        raise DataError(
            f"`labels`: wanted pictures of all {len(categories)} categories, got none of {', '.join(missing)}."
        )
    return (len(labels) / (len(categories) * counts)).astype(np.float32)


def fingerprint(faces: FaceSet) -> str:
    """Return the SHA-256 (64 hex digits) over shape, pixels, labels and names, equal for equal content."""
    digest = hashlib.sha256(json.dumps([list(faces.images.shape), faces.names.tolist()]).encode())
    digest.update(faces.labels.astype("<i4").tobytes())
    digest.update(np.ascontiguousarray(faces.images).data)
    return digest.hexdigest()
