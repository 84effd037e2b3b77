"""Somebody's picture files: found, named without collisions, checked, and brought to what a network sees.

Contract: pictures are uint8 (size, size, 3) RGB; whatever cannot become one raises `ImageRejected`.
"""

import collections
import contextlib
import hashlib
import pathlib
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from fer_jax.data import decode, square
from fer_jax.data.tree import open_tree
from fer_jax.errors import DataError, UsageError

CROPS = ("none", "square", "face")

# Side of the square around a detected face, in units of the box's longer side.
FACE_MARGIN = 1.25
_CASCADE = "haarcascade_frontalface_default.xml"
_DETECTION_PX = 1024
_SCORE_AT_LEAST = 0.6
_LONGEST_NAME = 120  # bytes, without suffix

Box = tuple[int, int, int, int]  # left, top, width, height
FaceFinder = Callable[[np.ndarray], Box | None]


class PictureFile(NamedTuple):
    """A file that may hold a picture.

    Attributes:
      source: its path below the folder, as text that can be printed and written.
      name: for what is made from it: unlike any other's, one path component, without suffix.
      read: its bytes; raises `ImageRejected`.
    """

    source: str
    name: str
    read: Callable[[], bytes]


@contextlib.contextmanager
def open_pictures(path: str, *, leave_out: str) -> Iterator[list[PictureFile]]:
    """The files of a folder or zip, subfolders included and sorted; or the one file named.

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
    """File -> the name of what is made from it: its path without suffix, and a part of its hash where two would clash.

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
    """Whether a name fits a file system and is not built like one that carries a hash."""
    return 0 < len(name.encode()) <= _LONGEST_NAME and not re.search(r"-[0-9a-f]{12}$", name, re.IGNORECASE)


def _cut(name):
    return name.encode()[: _LONGEST_NAME - 13].decode(errors="ignore")


def _hash(file):
    return hashlib.sha256(file.encode(errors="surrogateescape")).hexdigest()[:12]


def _printable(file):
    return file.encode(errors="backslashreplace").decode()


def to_input(data: bytes, size: int, *, crop: str, finder: FaceFinder | None = None) -> tuple[np.ndarray, str]:
    """From a file's bytes to what the network sees.

    Args:
      data: the whole file.
      size: side wanted, pixels.
      crop: "none" squeezes the whole picture, "square" takes its central square, "face" a square around the largest
        face, or the central square where none is found.
      finder: for "face".

    Returns:
      uint8 (size, size, 3), and the crop that was made.

    Raises:
      ImageRejected: see `fer_jax.data.decode`.
    """
    picture = decode(data)
    if crop == "none":
        shrinks = picture.shape[0] * picture.shape[1] > size * size
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return cv2.resize(picture, (size, size), interpolation=method), "none"
    box = finder(picture) if crop == "face" and finder else None
    if box is None:
        return square(picture, size), "square"
    return square(around(picture, box), size), "face"


def around(picture: np.ndarray, box: Box) -> np.ndarray:
    """The square around a face, the picture's border repeated where it reaches outside.

    Args:
      picture: uint8 (H, W, 3).
      box: left, top, width, height in pixels.

    Returns:
      uint8 (side, side, 3).
    """
    left, top, width, height = box
    side = max(1, round(FACE_MARGIN * max(width, height)))
    rows = np.arange(side) + top + (height - side) // 2
    columns = np.arange(side) + left + (width - side) // 2
    return picture[np.ix_(rows.clip(0, picture.shape[0] - 1), columns.clip(0, picture.shape[1] - 1))]


def face_finder(model: str) -> FaceFinder:
    """OpenCV's face detector, whichever this machine has.

    Args:
      model: a YuNet ONNX file; "" for the Haar cascade that OpenCV 4 brings along.

    Returns:
      From a picture to the box of its largest face, or None.

    Raises:
      UsageError: there is none, or the model cannot be read.
    """
    if model:
        return _yunet(model)
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    if hasattr(cv2, "CascadeClassifier") and (pathlib.Path(folder) / _CASCADE).is_file():
        return _haar(str(pathlib.Path(folder) / _CASCADE))
    raise UsageError(
        f"`--crop=face`: OpenCV {cv2.__version__} brings no face detector (version 4 does). Name a YuNet model with "
        "--face_model=FILE.onnx, or install 'opencv-python-headless<5', or crop yourself and use --crop=square."
    )


def _haar(file) -> FaceFinder:
    cascade = cv2.CascadeClassifier(file)

    def find(picture):
        small, scale = _for_detection(picture)
        least = max(24, min(small.shape[:2]) // 8)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        return _largest(cascade.detectMultiScale(grey, 1.1, 5, minSize=(least, least)), scale)

    return find


def _yunet(file) -> FaceFinder:
    if not pathlib.Path(file).is_file():
        raise UsageError(f"`--face_model`: wanted a YuNet ONNX file, got {file}, which is not there.")
    try:
        detector = cv2.FaceDetectorYN.create(file, "", (320, 320), _SCORE_AT_LEAST)
    except (cv2.error, AttributeError) as error:
        reason = (str(error).strip().splitlines() or ["unknown"])[-1]
        raise UsageError(f"`--face_model`: OpenCV {cv2.__version__} cannot read {file}: {reason[:160]}") from None

    def find(picture):
        small, scale = _for_detection(picture)
        detector.setInputSize((small.shape[1], small.shape[0]))
        _, faces = detector.detect(small[..., ::-1].copy())
        return _largest(() if faces is None else faces[:, :4], scale)

    return find


def _for_detection(picture):
    """A picture no larger than detectors want, and the factor back."""
    scale = max(1.0, max(picture.shape[:2]) / _DETECTION_PX)
    if scale == 1:
        return picture, scale
    size = (max(1, round(picture.shape[1] / scale)), max(1, round(picture.shape[0] / scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale


def _largest(boxes, scale) -> Box | None:
    if not len(boxes):
        return None
    left, top, width, height = max(boxes, key=lambda box: box[2] * box[3])
    return round(left * scale), round(top * scale), round(width * scale), round(height * scale)
