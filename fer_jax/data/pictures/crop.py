"""From a picture to the square around its face: picture, box and landmarks go through one matrix.

Contract: pictures are uint8 (H, W, 3). A matrix is float64 (2, 3) and takes source pixels (x, y) to crop pixels, pixel
centres at whole numbers. A box is (left, top, width, height) in pixels, its left and top edges half a pixel before the
first pixel's centre, as annotation tools count.
"""

from typing import NamedTuple

import cv2
import numpy as np

from fer_jax.data.listing import Box
from fer_jax.data.pictures.decode import MAX_PIXELS, resized
from fer_jax.errors import UsageError

# The frame of the drawn faces: the eyes this far apart and their middle here, in sides of the square.
EYES_APART = 0.25
EYES_MIDDLE = (0.5, 0.37)
# Larger squares than this, in units of the picture's longer side, are no faces.
_LARGEST = 4.0
LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)  # image-left and image-right, iBUG order


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


def alignable(landmarks: np.ndarray) -> bool:
    """Return whether landmarks can be aligned: 68 finite points, and the eyes not in one place."""
    landmarks = np.asarray(landmarks)
    if landmarks.shape != (68, 2) or not np.isfinite(landmarks).all() or np.abs(landmarks).max() > 1e6:
        return False
    left, right = (landmarks[eye].mean(0) for eye in (LEFT_EYE, RIGHT_EYE))
    return float(np.hypot(*(right - left))) >= 2.0


def eyes_matrix(landmarks: np.ndarray, *, size: int) -> np.ndarray:
    """Return the similarity that `crop_eyes` applies: float64 (2, 3)."""
    left, right = (np.asarray(landmarks[eye], np.float64).mean(0) for eye in (LEFT_EYE, RIGHT_EYE))
    across = right - left
    # As a complex number: multiplied by `turn`, the vector between the eyes becomes level and as long as wanted.
    turn = EYES_APART * size / complex(*across)
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    wanted = np.asarray(EYES_MIDDLE) * size - 0.5
    return np.column_stack([linear, wanted - linear @ ((left + right) / 2)])


def square_matrix(left: int, top: int, *, scale: float) -> np.ndarray:
    """Return the matrix of a cut whose first pixel was (left, top), resized by `scale`: float64 (2, 3)."""
    return np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Send points (..., 2) through a matrix (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def transform_box(box: Box, matrix: np.ndarray) -> Box:
    """Return the upright box around a box's corners after a matrix."""
    left, top, width, height = box
    edges = np.array([(x, y) for x in (left, left + width) for y in (top, top + height)], np.float64) - 0.5
    corners = transform(edges, matrix) + 0.5
    low, high = corners.min(0), corners.max(0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])
