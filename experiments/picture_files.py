"""Somebody's picture files: listed, named without collisions, checked, and brought to what a network sees.

Contract: pictures are uint8 (size, size, 3) RGB. Whatever cannot become one raises `ImageRejected`.
"""

import collections
import contextlib
import hashlib
import pathlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fer_jax.data import crop_box, decode, square
from fer_jax.data.file_tree import open_tree
from fer_jax.data.pictures.decode import resized
from fer_jax.data.pictures.detect import FaceDetector, largest
from fer_jax.errors import DataError
from fer_jax.frame import BOX_MARGIN

_LONGEST_NAME = 120  # bytes, without suffix


class PictureFile(NamedTuple):
    """A file that may hold a picture.

    Attributes:
      source: its path below the folder, as text that can be printed and written.
      name: for what is made from it: unlike any other's, one path component, without suffix.
      read: returns its bytes, or raises `ImageRejected`.
    """

    source: str
    name: str
    read: Callable[[], bytes]


@contextlib.contextmanager
def open_pictures(path: str, *, leave_out: str) -> Iterator[list[PictureFile]]:
    """Yield the files of a folder or zip, subfolders included and sorted, or the one file named.

    Args:
      path: what the user named.
      leave_out: a folder whose files are not meant: results are no input.

    Raises:
      DataError: nothing is there, or a zip that is damaged or leads out of its folder.
    """
    root = pathlib.Path(path)
    if not root.exists():
        raise DataError(f"`--images`: wanted a picture or a folder of pictures, got {path}, which does not exist.")
    whole = root.is_dir() or root.suffix.lower() == ".zip"
    with open_tree(root if whole else root.parent) as tree:
        files = tree.files() if whole else [root.name]
        if root.is_dir():
            own = pathlib.Path(leave_out).resolve()
            files = [file for file in files if not (root / file).resolve().is_relative_to(own)]
        names = output_names(files)
        yield [PictureFile(_printable(file), names[file], lambda file=file: tree.read(file)) for file in files]


def output_names(files: list[str]) -> dict[str, str]:
    """Return file -> output name: its path without suffix, and a part of its hash where two would clash.

    Args:
      files: different paths with "/".

    Returns:
      Names of one path component each, different even where upper and lower case are one.
    """
    plain = {file: _plain_name(file) for file in files}
    times = collections.Counter(_as_file_systems_see_it(name) for name in plain.values())
    return {
        file: name if times[_as_file_systems_see_it(name)] == 1 and _fits(name) else f"{_cut(name)}-{_hash(file)}"
        for file, name in plain.items()
    }


def _plain_name(file):
    stem = "__".join(pathlib.PurePosixPath(file).with_suffix("").parts)
    return re.sub(r"[^\w.+-]+", "_", stem).strip(".")


def _as_file_systems_see_it(name):
    return unicodedata.normalize("NFC", name).casefold()


def _fits(name):
    """Return whether a name fits a file system and is not built like one that carries a hash."""
    return 0 < len(name.encode()) <= _LONGEST_NAME and not re.search(r"-[0-9a-f]{12}$", name, re.IGNORECASE)


def _cut(name):
    return name.encode()[: _LONGEST_NAME - 13].decode(errors="ignore")


def _hash(file):
    return hashlib.sha256(file.encode(errors="surrogateescape")).hexdigest()[:12]


def _printable(file):
    return file.encode(errors="backslashreplace").decode()


def to_input(data: bytes, size: int, *, crop: str, detector: FaceDetector | None = None) -> tuple[np.ndarray, str]:
    """Turn a file's bytes into what the network sees.

    Args:
      data: the whole file.
      size: side wanted, pixels.
      crop: "none" squeezes the whole picture, "square" takes its central square, "face" a square around the largest
        face, or the central square where none is found.
      detector: for "face".

    Returns:
      uint8 (size, size, 3), and the crop that was made.

    Raises:
      ImageRejected: see `fer_jax.data.decode`.
    """
    picture = decode(data)
    if crop == "none":
        return resized(picture, (size, size)), "none"
    box = largest(detector(picture)) if crop == "face" and detector else None
    if box is None:
        return square(picture, size), "square"
    return crop_box(picture, box, size=size, margin=BOX_MARGIN).image, "face"
