"""Rows of a source, each a picture to decode or a reason why not, gathered into one split.

Contract: rows in = pictures stored + rows rejected; nothing is skipped without a row in `rejected`.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from fer_jax.data.face_set import REJECTED_COLUMNS, FaceSet
from fer_jax.data.sanitise import EXPECTED_REASONS, ImageRejected, square
from fer_jax.errors import DataError, UsageError

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Row:
    """A picture with a label; `load` decodes it to uint8 (H, W, 3) or raises `ImageRejected`."""

    row: int
    path: str
    label: int
    load: Callable[[], np.ndarray]
    soft_label: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Rejection:
    """A row that is left out: `reason` is one of `REASONS`, row is −1 for a file that no list names."""

    row: int
    path: str
    reason: str
    detail: str


def gather(
    split: str, rows: Iterable[Row | Rejection], *, size: int, max_reject_frac: float
) -> tuple[FaceSet, list[Rejection]]:
    """Decode the pictures of a split.

    Args:
      split: its name.
      rows: in the order of the source.
      size: side of the stored pictures, pixels.
      max_reject_frac: largest share of rows that may be rejected for an unexpected reason.

    Returns:
      The pictures, and what was left out.

    Raises:
      DataError: more rejected than allowed, or no picture left.
    """
    rows = list(rows)
    rejected = [row for row in rows if isinstance(row, Rejection)]
    images = np.empty((len(rows) - len(rejected), size, size, 3), np.uint8)
    kept: list[Row] = []
    seen: set[str] = set()
    for row in rows:
        if isinstance(row, Rejection):
            continue
        if row.path in seen:
            rejected.append(Rejection(row.row, row.path, "duplicate", "the name occurs before"))
            continue
        seen.add(row.path)
        try:
            images[len(kept)] = square(row.load(), size)
        except ImageRejected as error:
            rejected.append(Rejection(row.row, row.path, error.reason, error.detail))
        else:
            kept.append(row)
    rejected.sort(key=lambda rejection: rejection.row)
    _check_share(split, len(rows), rejected, max_reject_frac)
    if not kept:
        raise DataError(f"`path`: {split} has no usable picture in {len(rows)} rows: {_account(rejected)}.")
    soft = [row.soft_label for row in kept if row.soft_label is not None]
    faces = FaceSet(
        images[: len(kept)],
        np.asarray([row.label for row in kept], np.int32),
        np.asarray([row.path for row in kept]),
        split,
        np.asarray(soft, np.float32) if soft else None,
        np.asarray([row.row for row in kept], np.int32),
    )
    return faces, rejected


def rejected_table(rejected: dict[str, list[Rejection]]) -> pd.DataFrame:
    """The rejected rows of all splits, with the columns `REJECTED_COLUMNS`."""
    table = [(split, *dataclasses.astuple(rejection)) for split, rows in rejected.items() for rejection in rows]
    return pd.DataFrame(table, columns=list(REJECTED_COLUMNS))


def check_options(*, size: int, max_reject_frac: float) -> None:
    """Refuse a size or share out of range.

    Raises:
      UsageError: naming the argument.
    """
    if not isinstance(size, int | np.integer) or not 1 <= size <= 4096:
        raise UsageError(f"`size`: wanted a side of 1..4096 px, got {size!r}.")
    if not 0 <= max_reject_frac <= 1:
        raise UsageError(f"`max_reject_frac`: wanted a share in 0..1, got {max_reject_frac}.")


def _check_share(split, total, rejected, allowed):
    unexpected = [rejection for rejection in rejected if rejection.reason not in EXPECTED_REASONS]
    if len(unexpected) > allowed * total:
        first = "; ".join(f"{one.path or 'a row'}: {one.detail or one.reason}" for one in unexpected[:_SHOWN])
        first = " ".join(first.split())  # a name may hold a line break
        raise DataError(
            f"`path`: {len(unexpected)} of {total} rows of {split} cannot be used ({_account(unexpected)}), more than "
            f"`max_reject_frac`={allowed:g} allows. First: {first}. Repair them, or allow more."
        )


def _account(rejected) -> str:
    counts = collections.Counter(rejection.reason for rejection in rejected)
    return ", ".join(f"{count} {reason}" for reason, count in counts.most_common()) or "none listed"
