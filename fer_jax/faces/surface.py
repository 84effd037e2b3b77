"""Depth of the head at frontal places, for the camera and for the light.

Contract: lengths in interocular distances (IOD), z to the viewer, float32.
"""

from dataclasses import dataclass

import numpy as np


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
        """Depth in IOD at frontal places, float32: x and y broadcast, so axes (1, n) and (m, 1) give a grid."""
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
