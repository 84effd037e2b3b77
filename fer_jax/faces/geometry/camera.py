"""The view: a rotation about a point in the head, weak perspective, and a place in the frame.

Contract: world points are float32 (N, 3) in IOD, pixels are (x, y) with whole numbers at pixel centres.
"""

from dataclasses import dataclass

import numpy as np

from fer_jax.frame import EYES_APART, EYES_MIDDLE

PIVOT = np.array([0.0, 0.3, 0.55], np.float32)
_PERSPECTIVE = 0.06


@dataclass(frozen=True)
class Pose:
    """How the head is turned and where it stands.

    Attributes:
      yaw: radians, about the vertical.
      pitch: radians.
      roll: radians, in the picture.
      scale: interocular distance over the picture's side.
      centre: the place of the eyes' midpoint, as shares of the side.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = EYES_APART
    centre: tuple[float, float] = EYES_MIDDLE


@dataclass(frozen=True)
class Light:
    """One key light over a hemisphere: direction to the light (x right, y down, z to the viewer), unit length."""

    direction: tuple[float, float, float] = (-0.27, -0.42, 0.866)
    ambient: float = 0.46
    key: float = 0.6


def rotation(pose: Pose) -> np.ndarray:
    """Return the 3 x 3 matrix of a pose, float32."""
    cy, sy = np.cos(pose.yaw), np.sin(pose.yaw)
    cp, sp = np.cos(pose.pitch), np.sin(pose.pitch)
    cr, sr = np.cos(pose.roll), np.sin(pose.roll)
    about_y = np.array([(cy, 0, sy), (0, 1, 0), (-sy, 0, cy)])
    about_x = np.array([(1, 0, 0), (0, cp, sp), (0, -sp, cp)])
    about_z = np.array([(cr, -sr, 0), (sr, cr, 0), (0, 0, 1)])
    return (about_z @ about_y @ about_x).astype(np.float32)


class Camera:
    """Projection of a pose at a picture size, and its inverse onto a surface."""

    def __init__(self, pose: Pose, size: int):
        self.size = size
        self.turn = rotation(pose)
        self.pixels = np.float32(pose.scale * size)  # one IOD
        eyes = (np.array([(-0.5, 0, 0.93), (0.5, 0, 0.93)], np.float32) - PIVOT) @ self.turn.T
        middle = (eyes[:, :2] / (1 - _PERSPECTIVE * eyes[:, 2:])).mean(0)
        target = np.array(pose.centre) * size - 0.5
        self.origin = (target - middle * self.pixels).astype(np.float32)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points float32 (N, 3) to pixels float32 (N, 2)."""
        turned = (points - PIVOT) @ self.turn.T
        return self.origin + turned[:, :2] * (self.pixels / (1 - np.float32(_PERSPECTIVE) * turned[:, 2:]))

    def unproject(self, x: np.ndarray, y: np.ndarray, surface, *, rounds: int = 3) -> tuple[np.ndarray, np.ndarray]:
        """Return frontal places (IOD) of the surface points seen at pixels.

        Args:
          x: float32 of any shape, pixels.
          y: float32 of the same shape.
          surface: function of frontal x and y giving depth.
          rounds: fixed-point rounds. Three leave less than .02 IOD at the poses drawn.

        Returns:
          Frontal x and y, float32 of the same shape.
        """
        turn = self.turn
        across, down = (x - self.origin[0]) / self.pixels, (y - self.origin[1]) / self.pixels
        depth = np.full_like(x, 0.35)
        for _ in range(rounds):
            near = 1 - np.float32(_PERSPECTIVE) * depth
            a, b = across * near, down * near
            front_x = turn[0, 0] * a + turn[1, 0] * b + turn[2, 0] * depth + PIVOT[0]
            front_y = turn[0, 1] * a + turn[1, 1] * b + turn[2, 1] * depth + PIVOT[1]
            height = surface(front_x, front_y) - PIVOT[2]
            solved = (height - turn[0, 2] * a - turn[1, 2] * b) / turn[2, 2]
            depth = np.clip(depth + np.float32(0.7) * (solved - depth), -1.2, 1.2)
        near = 1 - np.float32(_PERSPECTIVE) * depth
        a, b = across * near, down * near
        front_x = turn[0, 0] * a + turn[1, 0] * b + turn[2, 0] * depth + PIVOT[0]
        front_y = turn[0, 1] * a + turn[1, 1] * b + turn[2, 1] * depth + PIVOT[1]
        return front_x, front_y
