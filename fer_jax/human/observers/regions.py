"""The differences of two expressions, region by region: the material that simulated observers see.

Contract: regions are those of `REGIONS`. Left is image-left, and an eye includes its brow. Evidence is float64 (T, R),
0 or more, one row an image. Only ratios within one study count. Evidence of photographs comes from the tables of
`fer_jax.action_units`.
"""

import numpy as np

from fer_jax.action_units import TYPICAL_UNITS, UNIT_SHOWS
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS, index_of
from fer_jax.frame import BROWS, EYES_APART, EYES_MIDDLE, eye_centres
from fer_jax.frame import NOSE as NOSE_LANDMARKS

REGIONS = ("eye_left", "eye_right", "mouth", "nose", "glabella", "chin", "cheek_left", "cheek_right")
NUM_REGIONS = len(REGIONS)
EYE_LEFT, EYE_RIGHT, MOUTH, NOSE, GLABELLA, CHIN = range(6)

# Region centres in the face's frame: origin between the pupils, unit their distance, x right, y down.
FRAME_CENTRES = np.array(
    [(-0.50, -0.10), (0.50, -0.10), (0.0, 1.13), (0.0, 0.55), (0.0, -0.30), (0.0, 1.62), (-0.64, 0.60), (0.64, 0.60)]
)

# Columns of `UNIT_SHOWS` by region.
_SHOWN_COLUMN = (0, 0, 1, 2, 3, 4, 5, 5)

# Chins look alike (§13 of the design, ours).
_REGION_WEIGHT = np.where(np.arange(NUM_REGIONS) == CHIN, 0.5, 1.0)


def photograph_evidence(true_labels, false_labels) -> np.ndarray:
    """Return evidence for images known by their labels only: the differences of the two expressions' action units.

    Args:
      true_labels: T names of expressions.
      false_labels: T names of expressions.

    Returns:
      float64 (T, R).

    Raises:
      DataError: an unknown name.
    """
    units = list(UNIT_SHOWS)
    intensity = np.array([[TYPICAL_UNITS[name].get(unit, 0.0) for unit in units] for name in EXPRESSIONS])
    shows = np.array([[UNIT_SHOWS[unit][column] for column in _SHOWN_COLUMN] for unit in units])
    true, false = ([index_of(name) for name in names] for names in (true_labels, false_labels))
    return np.abs(intensity[true] - intensity[false]) @ shows * _REGION_WEIGHT


def difference_evidence(maps: np.ndarray, centres: np.ndarray, radius: int) -> np.ndarray:
    """Return evidence for images whose difference map is known, such as the pair oracle's of procedural faces.

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
    """Locate the regions in each image.

    Args:
      count: T images.
      image_px: side of the images.
      landmarks: (T, 68, 2), pixels, iBUG order. An image whose landmarks are all NaN has none and takes the crop
        frame. None takes it for all.

    Returns:
      Centres (T, R, 2) in pixels, and the distance between the eyes (T,) in pixels.

    Raises:
      DataError: landmarks of another shape, or some of an image that are not finite.
    """
    unit = EYES_APART * image_px
    standard = np.asarray(EYES_MIDDLE) * image_px + unit * FRAME_CENTRES
    if landmarks is None:
        return np.broadcast_to(standard, (count, NUM_REGIONS, 2)), np.full(count, unit)
    landmarks = np.asarray(landmarks, np.float64)
    without = without_landmarks(landmarks) if landmarks.shape == (count, 68, 2) else None
    if without is None or not np.isfinite(landmarks[~without]).all():
        raise DataError(f"`landmarks`: wanted finite numbers of shape ({count}, 68, 2), got {landmarks.shape}.")
    eyes = eye_centres(landmarks)
    brows = [landmarks[:, brow].mean(1) for brow in BROWS]
    corners, jaw = (landmarks[:, 48], landmarks[:, 54]), (landmarks[:, 2], landmarks[:, 14])
    centres = [
        *(0.75 * eye + 0.25 * brow for eye, brow in zip(eyes, brows, strict=True)),
        landmarks[:, 48:60].mean(1),
        landmarks[:, NOSE_LANDMARKS].mean(1),
        0.5 * (landmarks[:, 21] + landmarks[:, 22]),
        0.5 * (landmarks[:, 57] + landmarks[:, 8]),
        *((eye + corner + edge) / 3 for eye, corner, edge in zip(eyes, corners, jaw, strict=True)),
    ]
    apart = np.linalg.norm(eyes[1] - eyes[0], axis=1)
    return np.where(without[:, None, None], standard, np.stack(centres, 1)), np.where(without, unit, apart)


def without_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Return bool (T,): the images that have no landmarks, all NaN of (T, 68, 2)."""
    return np.asarray(np.isnan(landmarks).all((1, 2)))
