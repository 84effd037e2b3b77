"""FER2013's csv: one line a picture, 48 x 48 grey values as text, and a usage that names the split.

Contract: `emotion,pixels,Usage`; the labels there are FER2013's own seven (`LABEL_TABLES["fer2013"]`), no contempt.
"""

import csv
import functools
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from fer_jax.data.face_set import Read
from fer_jax.data.gather import Rejection, Row, check_options, gather, rejected_table
from fer_jax.data.sanitise import ImageRejected
from fer_jax.data.tree import lines, open_tree
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
    check_options(size=size, max_reject_frac=max_reject_frac)
    found: dict[str, list[Row | Rejection]] = {}
    with open_tree(path) as tree:
        if not tree.has(PIXELS_FILE):
            raise DataError(f"`path`: {tree.name} is no FER2013: looked for {PIXELS_FILE} and found none.")
        for row, (line, fields) in enumerate(
            records(lines(tree, PIXELS_FILE), header=PIXELS_HEADER, where=PIXELS_FILE)
        ):
            usage = fields[-1].strip()
            if usage not in USAGES:
                raise DataError(
                    f"`path`: {PIXELS_FILE}:{line}: wanted a usage of {', '.join(USAGES)}, got {usage[:40]!r}."
                )
            found.setdefault(USAGES[usage], []).append(_row(row, line, fields, f"{usage}/{row:07d}"))
    splits, rejected = {}, {}
    for split in (split for split in USAGES.values() if split in found):
        splits[split], rejected[split] = gather(split, found[split], size=size, max_reject_frac=max_reject_frac)
    return Read(splits, rejected_table(rejected))


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


def records(
    numbered: Iterable[tuple[int, str]], *, header: tuple[str, ...] | None = None, where: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Fields of csv lines, each parsed by itself, so that a stray quote spoils one row and not the rest.

    Args:
      numbered: line numbers and texts.
      header: wanted first line in lower case, or None if there is none.
      where: the file's name, for the message.

    Yields:
      Line number and fields; a line that is no csv yields itself as one field.

    Raises:
      DataError: another header.
    """
    numbered = iter(numbered)
    if header is not None:
        _, first = next(numbered, (0, ""))
        names = tuple(name.strip().lower() for name in first.split(","))
        if names != header:
            raise DataError(f"`path`: {where}:1: wanted the header {','.join(header)}, got {first[:80]!r}.")
    for number, text in numbered:
        try:
            yield number, next(csv.reader([text], strict=True))
        except csv.Error:
            yield number, [text]


def _reject(reason, detail):
    raise ImageRejected(reason, detail)


def _row(row, line, fields, name) -> Row | Rejection:
    label = fields[0].strip()
    if len(fields) != 3 or label not in map(str, range(len(_LABELS))):
        wanted = f"wanted emotion 0..{len(_LABELS) - 1}, pixels, usage"
        return Rejection(row, name, "label_unknown", f"{PIXELS_FILE}:{line}: {wanted}, got {label[:40]!r}")
    return Row(row, name, _LABELS[int(label)], pixel_loader(fields[1]))
