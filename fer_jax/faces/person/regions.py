"""Regions of a face from its 68 landmarks.

Contract: landmarks are float32 (68, 2), pixels, x then y, in iBUG's order (300-W, 10.1109/ICCVW.2013.59). A region mask
is uint8 (H, W), 0 outside, else 1 + the index into `REGIONS`. Left is image-left.
"""

import cv2
import numpy as np

from fer_jax.errors import DataError, StorageError
from fer_jax.frame import BROWS, EYES, MOUTH, NOSE, eye_centres

REGIONS = (
    "brow_left",
    "brow_right",
    "eye_left",
    "eye_right",
    "cheek_left",
    "cheek_right",
    "glabella",
    "nose",
    "mouth",
    "chin",
)

# Frontal boxes in IOD (x0, x1, y0, y1), in REGIONS order. Later ones give way to earlier ones where they meet.
BOXES = (
    (-0.95, -0.12, -0.60, -0.24),
    (0.12, 0.95, -0.60, -0.24),
    (-0.85, -0.20, -0.20, 0.22),
    (0.20, 0.85, -0.20, 0.22),
    (-0.95, -0.32, 0.28, 0.85),
    (0.32, 0.95, 0.28, 0.85),
    (-0.12, 0.12, -0.60, -0.10),
    (-0.30, 0.30, 0.10, 0.85),
    (-0.62, 0.62, 0.88, 1.42),
    (-0.40, 0.40, 1.42, 1.90),
)
_ROWS = {
    "brow_left": BROWS[0],
    "brow_right": BROWS[1],
    "eye_left": EYES[0],
    "eye_right": EYES[1],
    "nose": NOSE,
    "mouth": MOUTH,
}


def region_mask(landmarks, size: int) -> np.ndarray:
    """Return the label image of ten regions.

    Regions are boxes in the face's own frame (origin between the eyes, unit their distance, x along the line through
    them). Brows, eyes, nose and mouth reach as far as their landmarks where these leave the box.

    Args:
      landmarks: float (68, 2), pixels, or anything with such `.landmarks`, as a `Face` has.
      size: side in pixels.

    Returns:
      uint8 (size, size): 0 outside, else 1 + index into `REGIONS`.

    Raises:
      DataError: landmarks of another shape.
    """
    landmarks = np.asarray(getattr(landmarks, "landmarks", landmarks), np.float32)
    if landmarks.shape != (68, 2):
        raise DataError(f"`landmarks`: wanted shape (68, 2), got {landmarks.shape}.")
    left, right = eye_centres(landmarks)
    middle, across = (left + right) / 2, right - left
    unit = np.float32(max(float(np.hypot(*across)), 1e-3))
    ux, uy = across / (unit * unit)
    x = np.arange(size, dtype=np.float32)[None] - middle[0]
    y = np.arange(size, dtype=np.float32)[:, None] - middle[1]
    along, down = x * ux + y * uy, y * ux - x * uy
    own = np.column_stack([(landmarks - middle) @ (ux, uy), (landmarks - middle) @ (-uy, ux)])
    mask = np.zeros((size, size), np.uint8)
    for number in range(len(REGIONS), 0, -1):
        x0, x1, y0, y1 = _fitted(number - 1, own)
        mask[(along >= x0) & (along < x1) & (down >= y0) & (down < y1)] = number
    return mask


def encode_mask(mask: np.ndarray) -> bytes:
    """Encode a mask as a PNG of one channel, lossless: what is read back is the mask, bit for bit.

    Args:
      mask: uint8 (H, W).

    Returns:
      The bytes of the file.

    Raises:
      DataError: another dtype or shape.
      StorageError: OpenCV cannot encode it.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2:
        raise DataError(f"`mask`: wanted uint8 (H, W), got {mask.dtype} {mask.shape}.")
    done, coded = cv2.imencode(".png", mask)
    if not done:
        raise StorageError(f"`mask`: could not encode {mask.shape} as PNG.")
    return coded.tobytes()


def _fitted(number: int, own: np.ndarray) -> tuple[float, float, float, float]:
    """Return a region's box in the face's frame, moved and widened to hold its landmarks."""
    x0, x1, y0, y1 = BOXES[number]
    name = REGIONS[number]
    if name in _ROWS:
        points = own[_ROWS[name]]
        low, high = points.min(0), points.max(0)
        return (
            min(x0, low[0] - 0.03),
            max(x1, high[0] + 0.03),
            min(y0, low[1] - 0.03),
            max(y1, high[1] + 0.03),
        )
    if name == "chin":
        top = max(y0, float(own[57, 1]) + 0.08)
        return x0, x1, top, max(y1, float(own[8, 1]) + 0.04)
    return x0, x1, y0, y1
