"""FER2013's csv: one line a picture, 48 x 48 grey values as text, and a usage that names the split.

Contract: `emotion,pixels,Usage`; the labels there are FER2013's own seven (`LABEL_TABLES["fer2013"]`), no contempt.
"""

import functools
import os
from collections.abc import Callable

import numpy as np

from fer_jax.data.face_set import Read
from fer_jax.data.gather import read_listing
from fer_jax.data.rows import Listing, Rejection, Row
from fer_jax.data.sanitise import ImageRejected
from fer_jax.data.tables import records
from fer_jax.data.tree import Tree, lines
from fer_jax.errors import DataError
from fer_jax.expressions import LABEL_TABLES

PIXELS_FILE = "fer2013.csv"
USAGES = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
SIDE = 48
PIXELS_HEADER = ("emotion", "pixels", "usage")

_LABELS = LABEL_TABLES["fer2013"]


def read_fer2013(path: str | os.PathLike, *, size: int = SIDE, max_reject_frac: float = 0.01) -> Read:
    """Read FER2013 (seven expressions) from a folder or zip with `fer2013.csv`.

    Args:
      path: the folder or zip.
      size: side of the pictures returned, pixels.
      max_reject_frac: largest share of rows of a split that may be unusable.

    Returns:
      Splits "train" (Training), "validation" (PublicTest), "test" (PrivateTest), those that are there. Names are
      `Training/0000000` and so on, by row.

    Raises:
      UsageError: an argument out of range.
      DataError: no such file, another header, or too much of it damaged.
    """
    return read_listing(path, list_fer2013, size=size, max_reject_frac=max_reject_frac)


def list_fer2013(tree: Tree) -> Listing:
    """What `fer2013.csv` lists; see `read_fer2013`."""
    if not tree.has(PIXELS_FILE):
        raise DataError(f"`path`: {tree.name} is no FER2013: looked for {PIXELS_FILE} and found none.")
    found: dict[str, list[Row | Rejection]] = {}
    for row, (line, fields) in enumerate(records(lines(tree, PIXELS_FILE), header=PIXELS_HEADER, where=PIXELS_FILE)):
        usage = fields[-1].strip()
        if usage not in USAGES:
            raise DataError(
                f"`path`: {PIXELS_FILE}:{line}:Usage: wanted a usage of {', '.join(USAGES)}, got {usage[:40]!r}."
            )
        found.setdefault(USAGES[usage], []).append(_row(row, line, fields, f"{usage}/{row:07d}"))
    splits = {split: functools.partial(iter, found[split]) for split in USAGES.values() if split in found}
    return Listing("fer2013 csv", splits, remarks=("Seven expressions: no contempt.",))


def pixel_loader(text: str) -> Callable[[], np.ndarray]:
    """How to get a picture from its 2,304 grey values as text, which is not kept: bytes are a quarter of it.

    Args:
      text: whole numbers 0..255, separated by blanks, row by row.

    Returns:
      A function of nothing that returns uint8 (48, 48, 3), the three channels equal, or raises `ImageRejected` if
      `text` has another number of values, or one that is no byte.
    """
    try:
        values = bytes(map(int, text.split()))
    except ValueError:
        return functools.partial(_reject, "decode_failed", "`pixels`: wanted whole numbers 0..255")
    if len(values) != SIDE * SIDE:
        reason = "decode_failed" if values else "empty"
        return functools.partial(_reject, reason, f"`pixels`: wanted {SIDE * SIDE} values, got {len(values)}")
    return functools.partial(np.repeat, np.frombuffer(values, np.uint8).reshape(SIDE, SIDE, 1), 3, axis=2)


def _reject(reason, detail):
    raise ImageRejected(reason, detail)


def _row(row, line, fields, name) -> Row | Rejection:
    label = fields[0].strip()
    if len(fields) != 3 or label not in map(str, range(len(_LABELS))):
        wanted = f"wanted emotion 0..{len(_LABELS) - 1}, pixels, usage"
        return Rejection(row, name, "label_unknown", f"{PIXELS_FILE}:{line}:emotion: {wanted}, got {label[:40]!r}")
    return Row(row, name, _LABELS[int(label)], pixel_loader(fields[1]), source_label=int(label))
