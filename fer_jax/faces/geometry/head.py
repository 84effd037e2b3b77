"""From a person and action units to control curves in three dimensions.

Contract: unit is the interocular distance (IOD), origin between the pupils, x to the image's right, y down, z to the
viewer. Side 0 is image-left.
"""

from dataclasses import dataclass

import numpy as np

from fer_jax.faces.geometry.curves import equal_arcs
from fer_jax.faces.geometry.frontal import parts
from fer_jax.faces.person.identity import Identity

_LANDMARK_F = (8 - 4, 8 - 1, 8, 8 + 1, 8 + 4)  # rows of a lip curve: both sides, peaks of the bow, middle


@dataclass(frozen=True)
class Surface:
    """Height of the head: an ellipsoid, longer below where the chin is low, with a nose and a mouth mound.

    Attributes:
      tip_y: height of the nose tip, IOD.
      mouth_y: height of the mouth, IOD.
      chin_y: height of the chin, IOD.
      half_width: of the face at its widest, IOD.
    """

    tip_y: float = 0.6
    mouth_y: float = 1.13
    chin_y: float = 1.86
    half_width: float = 1.045

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return depth in IOD at frontal places, float32: x and y broadcast, so axes (1, n) and (m, 1) give a grid."""
        longer = np.float32(1 / (1.95 * max((self.chin_y - 0.25) / 1.61, 1.0)))
        down = y - np.float32(0.25)
        down = down * np.where(down > 0, longer, np.float32(1 / 1.95))
        wider = np.float32(1 / (1.16 * max(self.half_width / 1.045, 1.0)))
        oval = (1 - (x * wider) ** 2) - down * down
        height = np.float32(1.05) * np.sqrt(np.maximum(oval, np.float32(0.03)))
        for width, centre, length, amount in (
            (0.13, self.tip_y - 0.34, 0.30, 0.15),
            (0.17, self.tip_y + 0.03, 0.16, 0.25),
            (0.50, self.mouth_y, 0.26, 0.08),
        ):
            across = np.exp(-((x * np.float32(1 / width)) ** 2))
            height += np.float32(amount) * across * np.exp(-(((y - np.float32(centre)) * np.float32(1 / length)) ** 2))
        return height


@dataclass(frozen=True, eq=False)
class Anchors:
    """Places that shading and painting hang on, in IOD. Arrays hold a number for each side.

    Attributes:
      tip_y: nose tip.
      ala_x: float32 (2,), how far the wings of the nose reach.
      ala_y: float32 (2,), their height.
      base_y: foot of the nose.
      mouth_y: mouth at rest.
      corner_x: float32 (2,), how far the mouth's corners reach.
      corner_y: float32 (2,), their height.
      lip_bottom: lower rim of the lower lip.
      opening: gap between the lips in the middle.
      jaw: how far the jaw has dropped.
      chin_y: chin.
      neutral_chin: chin when the jaw rests.
      resting_chin: chin when no unit acts.
      half_width: of the face at its widest.
      lid_top: float32 (2, 13), upper lids.
      lid_bottom: float32 (2, 13), lower lids.
    """

    tip_y: float
    ala_x: np.ndarray
    ala_y: np.ndarray
    base_y: float
    mouth_y: float
    corner_x: np.ndarray
    corner_y: np.ndarray
    lip_bottom: float
    opening: float
    jaw: float
    chin_y: float
    neutral_chin: float
    resting_chin: float
    half_width: float
    lid_top: np.ndarray
    lid_bottom: np.ndarray


@dataclass(frozen=True, eq=False)
class Geometry:
    """A face before the camera, in IOD.

    Attributes:
      curves: name -> float32 (n, 3), what the painter draws.
      landmarks: float32 (68, 3), iBUG order.
      features: float32 (2, F), the linear features of each side by `frontal.FEATURES`.
      au: float32 (2, 21), where the shapes came from.
      anchors: places that shading and painting hang on.
      surface: depth at frontal places.
    """

    curves: dict[str, np.ndarray]
    landmarks: np.ndarray
    features: np.ndarray
    au: np.ndarray
    anchors: Anchors
    surface: Surface


def build(identity: Identity, au: np.ndarray) -> Geometry:
    """Return the control curves of a face.

    Args:
      identity: the person.
      au: float32 (2, 21).

    Returns:
      A `Geometry`.
    """
    planar, features, anchors = parts(identity, au)
    return _lifted(planar, features, au, Anchors(**anchors))


def _lifted(planar, features, au, anchors) -> Geometry:
    """Lift all curves at once from frontal places to space."""
    planar["landmarks"] = _landmarks(planar)
    flat = np.concatenate(list(planar.values())).astype(np.float32)
    surface = Surface(anchors.tip_y, anchors.mouth_y, anchors.chin_y, anchors.half_width)
    depth = surface(flat[:, 0], flat[:, 1])
    points = np.column_stack([flat, depth])
    curves, start = {}, 0
    for name, curve in planar.items():
        curves[name] = points[start : start + len(curve)]
        start += len(curve)
    landmarks = curves.pop("landmarks")
    return Geometry(curves, landmarks, features, au, anchors, surface)


def _landmarks(planar: dict[str, np.ndarray]) -> np.ndarray:
    """Return the 68 points of iBUG's order from the curves of a face, as frontal places (68, 2)."""
    outline = planar["outline"]
    jaw = equal_arcs(outline[8:-8], 17)
    brows = [planar["brow_middle0"][::-1], planar["brow_middle1"]]
    up, low = (lambda side: planar[f"lid_upper{side}"]), (lambda side: planar[f"lid_lower{side}"])
    left = [up(0)[[12, 8, 4, 0]], low(0)[[4, 8]]]
    right = [up(1)[[0, 4, 8, 12]], low(1)[[8, 4]]]
    last = len(planar["lip_top"]) - 1
    lips = [
        planar["lip_top"][[0, *_LANDMARK_F, last]],
        planar["lip_bottom"][list(_LANDMARK_F)[::-1]],
        planar["lip_inner_top"][[1, 8 - 4, 8, 8 + 4, last - 1]],
        planar["lip_inner_bottom"][[8 + 4, 8, 8 - 4]],
    ]
    return np.concatenate([jaw, *brows, planar["bridge"], planar["nose_base"], *left, *right, *lips])
