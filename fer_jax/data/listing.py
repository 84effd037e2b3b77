"""The listing of a source: rows, each a picture or the reason why there is none, before anything is decoded.

Contract: a reader yields exactly one `Row` or `Rejection` for each row of its source, in the order of the source, and
`Rejection`s with row −1 for files that no list names.
"""

import dataclasses
import enum
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from fer_jax.categories import DROP, Categories
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.frame import Box


class Quality(enum.IntFlag):
    """The history of a stored picture, for its reader. The bits are part of the prepared sets."""

    BAD_BOX = 1
    NO_LANDMARKS = 2
    RE_ENCODED = 4
    WAS_GREY = 8
    WAS_ALPHA = 16
    EXIF_TURNED = 32
    SHRUNK = 64
    DUPLICATE = 128
    PADDED = 256
    VA_INCONSISTENT = 512
    UNDETECTED = 1024
    ONE_COLOUR = 2048


NO_QUALITY = Quality(0)
# How a picture was stored says nothing about it.
_NOT_TOLD = Quality.RE_ENCODED | Quality.WAS_GREY


def flag_names(quality: Quality) -> list[str]:
    """Return the names of the flags that a user sees, in lower case."""
    return [flag.name.lower() for flag in quality & ~_NOT_TOLD if flag.name]


class NotThisSet(DataError):
    """A folder or zip that is no copy of the set asked for, rather than a damaged one."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A listed picture.

    Attributes:
      row: its place in the list of its source, from 0.
      path: relative to the root. A picture of several faces has several rows.
      label: an index into the `categories` of its listing.
      load: the file's bytes, or decoded pixels uint8 (H, W, 3) where a source has no file. Raises `ImageRejected`.
      source_label: the source's number of the label, −1 where it has none.
      soft_label: float32 (K,) that sums to 1, or None.
      box: the face, in pixels of the source picture, or None.
      landmarks: float32 (68, 2) in pixels of the source picture, iBUG order, or None.
      valence: −1..1, NaN where absent.
      arousal: −1..1, NaN where absent.
      subject: who is shown, "" where unknown.
      quality: `Quality` bits known from the list alone.
      notes: what was odd in the list, each as file:line:column: wanted, got.
    """

    row: int
    path: str
    label: int
    load: Callable[[], bytes | np.ndarray]
    source_label: int = -1
    soft_label: np.ndarray | None = None
    box: Box | None = None
    landmarks: np.ndarray | None = None
    valence: float = math.nan
    arousal: float = math.nan
    subject: str = ""
    quality: Quality = NO_QUALITY
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is left out: `reason` is one of `REASONS`, row is −1 for a file that no list names.

    `label` is what the row would have been, so that counts can be explained, or `DROP` where nobody knows.
    """

    row: int
    path: str
    reason: str
    detail: str
    label: int = DROP


@dataclasses.dataclass(frozen=True)
class Listing:
    """A source that was recognised.

    Attributes:
      release: which copy of which set this is, such as "affectnet original", noted in every result.
      splits: split name -> a call that yields its rows anew.
      exif: "ignore" where boxes and landmarks were measured on the stored pixels, else "apply".
      remarks: what a user should know of this copy, a sentence each.
      categories: what labels are indices into. Some categories of a source may have no picture.
      counts: split name -> number of its rows, where they were counted before.
      votes_count: a category is there if any picture has a vote for it, be it no picture's label.
    """

    release: str
    splits: dict[str, Callable[[], Iterator[Row | Rejection]]]
    exif: str = "apply"
    remarks: tuple[str, ...] = ()
    categories: Categories = EXPRESSIONS
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    votes_count: bool = True

    def count(self, split: str) -> int:
        """Return the number of rows of a split."""
        counted = self.counts.get(split)
        return sum(1 for _ in self.splits[split]()) if counted is None else counted


def without_repeats(rows_of: Callable[..., Iterable[Row | Rejection]]) -> Callable[..., Iterator[Row | Rejection]]:
    """Wrap a reader so that each path comes once. A repeated path becomes a rejection."""

    def once(*arguments):
        seen = set()
        for row in rows_of(*arguments):
            if isinstance(row, Row):
                if row.path in seen:
                    yield Rejection(row.row, row.path, "duplicate", "the name occurs before", row.label)
                    continue
                seen.add(row.path)
            yield row

    return once
