"""What tells two expressions apart, region by region: the material that simulated observers see.

Contract: regions are those of `REGIONS`; left is image-left, and an eye includes its brow. Evidence is float64 (T, R),
0 or more, one row an image; only ratios within one study count. The table for photographs is ours: which action units
an expression has follows the consistent ones of Du, Tao & Martinez 2014 (10.1073/pnas.1322355111), where a unit shows
follows FACS (Ekman, Friesen & Hager 2002); the magnitudes are set by eye.
"""

import numpy as np

from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS, index_of

REGIONS = ("eye_left", "eye_right", "mouth", "nose", "glabella", "chin", "cheek_left", "cheek_right")
NUM_REGIONS = len(REGIONS)
EYE_LEFT, EYE_RIGHT, MOUTH, NOSE, GLABELLA, CHIN = range(6)

# Standard crop: distance between the pupils and their midpoint, as shares of the side.
CROP_INTEROCULAR = 0.25
CROP_EYES = (0.50, 0.37)

# Region centres in the face's frame: origin between the pupils, unit their distance, x right, y down.
FRAME_CENTRES = np.array(
    [(-0.50, -0.10), (0.50, -0.10), (0.0, 1.13), (0.0, 0.55), (0.0, -0.30), (0.0, 1.62), (-0.64, 0.60), (0.64, 0.60)]
)

# Mean intensity of the action units of each expression, 0..1; contempt's are one-sided, hence halved.
EXPRESSION_UNITS = {
    "neutral": {},
    "happy": {6: 0.9, 12: 0.9, 25: 0.5},
    "sad": {1: 0.9, 4: 0.7, 15: 0.9, 17: 0.4},
    "surprise": {1: 0.9, 2: 0.9, 5: 0.8, 25: 1.0, 26: 0.9},
    "fear": {1: 0.85, 2: 0.5, 4: 0.65, 5: 0.95, 20: 0.9, 25: 0.85, 26: 0.3},
    "disgust": {4: 0.4, 6: 0.3, 7: 0.6, 9: 0.9, 10: 0.7, 15: 0.3, 17: 0.4},
    "anger": {4: 1.0, 5: 0.4, 7: 0.7, 10: 0.15, 17: 0.3, 24: 0.8},
    "contempt": {12: 0.45, 14: 0.45},
}

# How strongly a unit shows in: one eye with its brow, mouth, nose, glabella, chin, one cheek.
UNIT_SHOWS = {
    1: (0.8, 0.0, 0.0, 0.5, 0.0, 0.0),
    2: (0.8, 0.0, 0.0, 0.0, 0.0, 0.0),
    4: (0.6, 0.0, 0.0, 1.0, 0.0, 0.0),
    5: (0.6, 0.0, 0.0, 0.0, 0.0, 0.0),
    6: (0.3, 0.0, 0.0, 0.0, 0.0, 0.5),
    7: (0.3, 0.0, 0.0, 0.0, 0.0, 0.0),
    9: (0.0, 0.3, 1.0, 0.6, 0.0, 0.0),
    10: (0.0, 0.7, 0.4, 0.0, 0.0, 0.0),
    12: (0.0, 1.0, 0.0, 0.0, 0.0, 0.4),
    14: (0.0, 0.6, 0.0, 0.0, 0.0, 0.2),
    15: (0.0, 0.7, 0.0, 0.0, 0.1, 0.0),
    17: (0.0, 0.3, 0.0, 0.0, 0.7, 0.0),
    20: (0.0, 0.9, 0.0, 0.0, 0.0, 0.0),
    24: (0.0, 0.7, 0.0, 0.0, 0.0, 0.0),
    25: (0.0, 0.8, 0.0, 0.0, 0.0, 0.0),
    26: (0.0, 0.6, 0.0, 0.0, 0.9, 0.0),
}
_SHOWN_COLUMN = (0, 0, 1, 2, 3, 4, 5, 5)  # of each region

# Chins look alike (§13 of the design, ours).
_REGION_WEIGHT = np.where(np.arange(NUM_REGIONS) == CHIN, 0.5, 1.0)


def photograph_evidence(true_labels, false_labels) -> np.ndarray:
    """Evidence for images known by their labels only: the differences of the two expressions' action units.

    Args:
      true_labels: T names of expressions.
      false_labels: T names of expressions.

    Returns:
      float64 (T, R).

    Raises:
      DataError: an unknown name.
    """
    units = list(UNIT_SHOWS)
    intensity = np.array([[EXPRESSION_UNITS[name].get(unit, 0.0) for unit in units] for name in EXPRESSIONS])
    shows = np.array([[UNIT_SHOWS[unit][column] for column in _SHOWN_COLUMN] for unit in units])
    true, false = ([index_of(name) for name in names] for names in (true_labels, false_labels))
    return np.abs(intensity[true] - intensity[false]) @ shows * _REGION_WEIGHT


def difference_evidence(maps: np.ndarray, centres: np.ndarray, radius: int) -> np.ndarray:
    """Evidence for images whose difference map is known, such as the pair oracle's of procedural faces.

    Args:
      maps: (T, H, W), 0 or more: how much each pixel tells the true expression from the foil.
      centres: (T, R, 2), pixels, from `region_centres`.
      radius: of the disc a click opens, pixels.

    Returns:
      float64 (T, R): mean of the map under a disc on each region's centre, the chin's halved.

    Raises:
      DataError: arrays that do not fit together.
    """
    if maps.ndim != 3 or centres.shape != (len(maps), NUM_REGIONS, 2):
        raise DataError(
            f"`maps`: wanted (T, H, W) and centres (T, {NUM_REGIONS}, 2), got {maps.shape}, {centres.shape}."
        )
    steps = np.arange(-radius, radius + 1)
    across, down = (axis[np.hypot(*np.meshgrid(steps, steps)) <= radius] for axis in np.meshgrid(steps, steps))
    corner = np.floor(centres).astype(int)
    x = np.clip(corner[:, :, :1] + across, 0, maps.shape[2] - 1)
    y = np.clip(corner[:, :, 1:] + down, 0, maps.shape[1] - 1)
    seen = maps[np.arange(len(maps))[:, None, None], y, x]
    return seen.mean(2, dtype=np.float64) * _REGION_WEIGHT


def region_centres(count: int, *, image_px: int, landmarks: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Where the regions lie in each image.

    Args:
      count: T images.
      image_px: side of the images.
      landmarks: (T, 68, 2), pixels, iBUG order; None takes the standard crop for all.

    Returns:
      Centres (T, R, 2) in pixels, and the distance between the eyes (T,) in pixels.

    Raises:
      DataError: landmarks of another shape, or not finite.
    """
    if landmarks is None:
        unit = CROP_INTEROCULAR * image_px
        centres = np.asarray(CROP_EYES) * image_px + unit * FRAME_CENTRES
        return np.broadcast_to(centres, (count, NUM_REGIONS, 2)), np.full(count, unit)
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.shape != (count, 68, 2) or not np.isfinite(landmarks).all():
        raise DataError(f"`landmarks`: wanted finite numbers of shape ({count}, 68, 2), got {landmarks.shape}.")
    eyes = landmarks[:, 36:42].mean(1), landmarks[:, 42:48].mean(1)
    brows = landmarks[:, 17:22].mean(1), landmarks[:, 22:27].mean(1)
    corners, jaw = (landmarks[:, 48], landmarks[:, 54]), (landmarks[:, 2], landmarks[:, 14])
    centres = [
        *(0.75 * eye + 0.25 * brow for eye, brow in zip(eyes, brows, strict=True)),
        landmarks[:, 48:60].mean(1),
        landmarks[:, 27:36].mean(1),
        0.5 * (landmarks[:, 21] + landmarks[:, 22]),
        0.5 * (landmarks[:, 57] + landmarks[:, 8]),
        *((eye + corner + edge) / 3 for eye, corner, edge in zip(eyes, corners, jaw, strict=True)),
    ]
    return np.stack(centres, 1), np.linalg.norm(eyes[1] - eyes[0], axis=1)
