"""From a listed picture to the one that is kept: turned upright, cropped, scaled, with its box and landmarks.

Contract: what goes in is a `Row` and its pixels uint8 (H, W, 3). What comes out never needs a look at the source again.
Picture, box and landmarks go through one matrix, see `fer_jax.frame`.
"""

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np

from fer_jax.data.listing import Quality, Row
from fer_jax.data.pictures.decode import MAX_PIXELS, ORIENTATIONS, decode, resized, square
from fer_jax.data.pictures.detect import FaceDetector, matching
from fer_jax.errors import UsageError, check_one_of
from fer_jax.frame import BOX_MARGIN, Box, alignable, eyes_matrix, square_matrix, transform, transform_box

CROPS = ("none", "square", "box", "eyes")
MAX_SIZE = 4096
# Larger squares than this, in units of the picture's longer side, are no faces.
_LARGEST = 4.0
# More than this share of a crop outside the picture is flagged (ours).
_PADDED = 0.1
# Grey levels that a picture of one colour spans at most in a channel (ours): a JPEG's rounding.
_ONE_COLOUR = 2


class Crop(NamedTuple):
    """A square out of a picture.

    Attributes:
      image: uint8 (size, size, 3).
      matrix: float64 (2, 3), source to crop pixels.
      padded: share of the square outside the picture, 0..1. There the picture's border is repeated.
    """

    image: np.ndarray
    matrix: np.ndarray
    padded: float


def usable(box: Box | None, shape: tuple[int, ...], *, margin: float = 1.0) -> bool:
    """Return whether a box is usable: finite, not empty, on the picture, no larger than a face with its margin."""
    if box is None or not np.isfinite(box).all():
        return False
    left, top, width, height = box
    rows, columns = shape[:2]
    on_it = left < columns and top < rows and left + width > 0 and top + height > 0
    side = margin * max(width, height)
    fits = side <= _LARGEST * max(rows, columns) and side**2 <= MAX_PIXELS
    return width > 0 and height > 0 and on_it and fits


def crop_box(image: np.ndarray, box: Box, *, size: int, margin: float = 1.0) -> Crop:
    """Cut the square around a box, its side `margin` times the box's longer one, by area downwards, cubic upwards.

    The same bytes on OpenCV 4 and 5.

    Args:
      image: uint8 (H, W, 3).
      box: usable.
      size: side wanted, pixels.
      margin: 1 for the box alone. AffectNet's users take 1.25.

    Raises:
      UsageError: a box that is none, see `usable`.
    """
    if not usable(box, image.shape, margin=margin):
        raise UsageError(f"`box`: wanted left, top, width, height of a box on the picture, got {box} on {image.shape}.")
    left, top, width, height = box
    side = max(1, round(margin * max(width, height)))
    x0, y0 = round(left + (width - side) / 2), round(top + (height - side) / 2)
    rows, columns = image.shape[:2]
    inside_x, inside_y = (
        max(0, min(start + side, length) - max(start, 0)) for start, length in ((x0, columns), (y0, rows))
    )
    # Reading through clipped indices repeats the border.
    across = np.arange(x0, x0 + side).clip(0, columns - 1)
    down = np.arange(y0, y0 + side).clip(0, rows - 1)
    whole = inside_x * inside_y == side * side
    cut = image[y0 : y0 + side, x0 : x0 + side] if whole else image[np.ix_(down, across)]
    return Crop(resized(cut, (size, size)), square_matrix(x0, y0, scale=size / side), 1 - inside_x * inside_y / side**2)


def crop_eyes(image: np.ndarray, landmarks: np.ndarray, *, size: int) -> Crop:
    """Turn, scale and move a picture so that the eyes lie where those of the drawn faces do.

    OpenCV 4 and 5 round such warps differently: equal to a few grey levels only.

    Args:
      image: uint8 (H, W, 3).
      landmarks: float (68, 2), iBUG order, the eyes apart.
      size: side wanted, pixels.

    Raises:
      UsageError: landmarks that are none, or eyes in one place.
    """
    if not alignable(landmarks):
        raise UsageError("`landmarks`: wanted 68 finite points (x, y) with the eyes apart.")
    matrix = eyes_matrix(landmarks, size=size)
    scale = np.hypot(*matrix[:, 0])
    if scale < 0.5:  # shrink by area first: a warp samples four pixels and would let fine detail alias
        rows, columns = image.shape[:2]
        smaller = max(1, round(columns * 2 * scale)), max(1, round(rows * 2 * scale))
        factor = np.array([smaller[0] / columns, smaller[1] / rows])
        image = resized(image, smaller)
        matrix_of_it = matrix.copy()
        matrix_of_it[:, :2] = matrix[:, :2] / factor
        matrix_of_it[:, 2] = matrix[:, 2] + matrix_of_it[:, :2] @ (0.5 - 0.5 * factor)
    else:
        matrix_of_it = matrix
    rows, columns = image.shape[:2]
    turned = cv2.warpAffine(image, matrix_of_it, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    back = cv2.invertAffineTransform(matrix_of_it)
    places = transform(np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2), back)
    outside = (places < -0.5).any(1) | (places > (columns - 0.5, rows - 0.5)).any(1)
    return Crop(turned, matrix, float(outside.mean()))


@dataclasses.dataclass(frozen=True)
class Framing:
    """The part of a picture that is kept, and its size.

    Attributes:
      crop: "none", the whole picture, shrunk to `size` on its longer side if it is larger, "square", its
        central square, "box", the square around the face's box, `box_margin` times as wide, or "eyes", turned and
        scaled so that the eyes lie where those of the drawn faces do. "box" without a box falls back to "square",
        "eyes" without landmarks to "box". Both are flagged.
      size: side, pixels. None keeps the side, for "none" alone.
      box_margin: for "box".
      exif: see `decode`.
      detector: finds faces, and where it can the landmarks of pictures that have none. None relies on the listing.

    Raises:
      UsageError: an option out of range.
    """

    crop: str = "square"
    size: int | None = None
    box_margin: float = BOX_MARGIN
    exif: str = "apply"
    detector: FaceDetector | None = None

    def __post_init__(self):
        check_one_of("crop", self.crop, CROPS)
        if self.size is None and self.crop != "none":
            raise UsageError(f"`size`: wanted a side in pixels for the crop {self.crop!r}, got none.")
        if self.size is not None and (not isinstance(self.size, int | np.integer) or not 1 <= self.size <= MAX_SIZE):
            raise UsageError(f"`size`: wanted a side of 1..{MAX_SIZE} px, got {self.size!r}.")
        check_one_of("exif", self.exif, ORIENTATIONS)
        if self.detector is not None and not callable(self.detector):
            raise UsageError(f"`detector`: wanted what `face_detector` returns, got {self.detector!r}.")
        if not isinstance(self.box_margin, int | float) or not 1 <= self.box_margin <= 4:
            raise UsageError(f"`box_margin`: wanted 1..4 times the box, got {self.box_margin!r}.")


@dataclasses.dataclass(frozen=True, eq=False)
class Framed:
    """A picture as it is kept.

    Attributes:
      image: uint8 (H, W, 3).
      box: the face in pixels of `image`, cut to it, or None where unknown.
      landmarks: float32 (68, 2) in pixels of `image`, or None.
      quality: what was met on the way.
    """

    image: np.ndarray
    box: Box | None
    landmarks: np.ndarray | None
    quality: Quality


def pixels(loaded: bytes | np.ndarray, exif: str) -> np.ndarray:
    """Decode what `Row.load` returned: uint8 (H, W, 3)."""
    return loaded if isinstance(loaded, np.ndarray) else decode(loaded, exif=exif)


def frame(image: np.ndarray, row: Row, framing: Framing) -> Framed:
    """Crop and scale a picture.

    Args:
      image: uint8 (H, W, 3), as decoded.
      row: its row, for box and landmarks.
      framing: what to keep.

    Returns:
      The picture kept.
    """
    quality = row.quality
    margin = framing.box_margin if framing.crop in ("box", "eyes") else 1.0
    box = row.box if usable(row.box, image.shape, margin=margin) else None
    if row.box is not None and box is None:
        quality |= Quality.BAD_BOX
    if framing.detector is not None:
        box, found = matching(framing.detector(image), box)
        quality |= found
        if box is not None and not usable(box, image.shape, margin=margin):
            box, quality = None, quality | Quality.BAD_BOX
    landmarks = row.landmarks
    finds_landmarks = getattr(framing.detector, "landmarks", None)
    if landmarks is None and box is not None and finds_landmarks is not None:
        landmarks = finds_landmarks(image, box)
    if landmarks is not None and not alignable(landmarks):
        landmarks, quality = None, quality | Quality.NO_LANDMARKS
    done, matrix, more = _cropped(image, box, landmarks, framing)
    if _one_colour(done):
        more |= Quality.ONE_COLOUR
    return Framed(
        done,
        None if box is None else _cut(transform_box(box, matrix), done.shape),
        None if landmarks is None else transform(landmarks, matrix).astype(np.float32),
        quality | more,
    )


def _cropped(image, box, landmarks, framing):
    """Return picture, matrix and flags of the crop that can be made."""
    crop, size, quality = framing.crop, framing.size, Quality(0)
    rows, columns = image.shape[:2]
    if crop == "none":
        longest = max(rows, columns)
        if size is None or longest <= size:
            return image, np.eye(2, 3), quality
        wanted = max(1, round(columns * size / longest)), max(1, round(rows * size / longest))
        scale = np.array([wanted[0] / columns, wanted[1] / rows])
        matrix = np.column_stack([np.diag(scale), 0.5 * scale - 0.5])
        return resized(image, wanted), matrix, Quality.SHRUNK
    if crop == "eyes":
        if landmarks is not None:
            done = crop_eyes(image, landmarks, size=size)
            return done.image, done.matrix, _padding(done)
        crop, quality = "box", Quality.NO_LANDMARKS
    if crop == "box":
        if box is not None:
            done = crop_box(image, box, size=size, margin=framing.box_margin)
            return done.image, done.matrix, quality | _padding(done)
        quality |= Quality.BAD_BOX
    side = min(rows, columns)
    left, top = (columns - side) // 2, (rows - side) // 2
    return square(image, size), square_matrix(left, top, scale=size / side), quality


def _one_colour(image) -> bool:
    """Return whether a picture is of one colour. The first row of most shows that it is not."""
    first = np.ptp(image[0], axis=0).max() <= _ONE_COLOUR
    return bool(first and np.ptp(image.reshape(-1, image.shape[-1]), axis=0).max() <= _ONE_COLOUR)


def _padding(done: Crop) -> Quality:
    return Quality.PADDED if done.padded > _PADDED else Quality(0)


def _cut(box: Box, shape) -> Box | None:
    """Cut a box to the picture, or return None if nothing of it is left."""
    left, top = max(box[0], 0.0), max(box[1], 0.0)
    right, bottom = min(box[0] + box[2], float(shape[1])), min(box[1] + box[3], float(shape[0]))
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None
