"""The crop frame: where the eyes lie in an aligned square, and the matrices that bring points and boxes into a square.

Contract: a matrix is float64 (2, 3) and takes source pixels (x, y) to crop pixels, pixel centres at whole numbers. A
box is (left, top, width, height) in pixels, its left and top edges half a pixel before the first pixel's centre, as
annotation tools count. Landmarks are (..., 68, 2) in iBUG's order (300-W, 10.1109/ICCVW.2013.59). Left is image-left.
"""

import numpy as np

from fer_jax.errors import UsageError

Box = tuple[float, float, float, float]

# In sides of the square: the distance between the eyes, and their middle. Drawn faces stand so, too.
EYES_APART = 0.25
EYES_MIDDLE = (0.5, 0.37)
# Side of a crop around a face's box, in units of the box: what AffectNet's users take rather than the bare box (ours).
BOX_MARGIN = 1.25

LANDMARKS = 68
# Rows of the landmarks.
BROWS = slice(17, 22), slice(22, 27)
NOSE = slice(27, 36)
EYES = slice(36, 42), slice(42, 48)
MOUTH = slice(48, 68)


def eye_centres(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres (..., 2) of the left and the right eye."""
    left, right = (landmarks[..., eye, :].mean(-2) for eye in EYES)
    return left, right


def alignable(landmarks: np.ndarray) -> bool:
    """Return whether landmarks can be aligned: 68 finite points, and the eyes not in one place."""
    landmarks = np.asarray(landmarks)
    if landmarks.shape != (LANDMARKS, 2) or not np.isfinite(landmarks).all() or np.abs(landmarks).max() > 1e6:
        return False
    left, right = eye_centres(landmarks)
    return float(np.hypot(*(right - left))) >= 2.0


def eyes_matrix(landmarks: np.ndarray, *, size: int) -> np.ndarray:
    """Return the matrix of turn, scale and move that brings the eyes to their places in a square of `size` pixels."""
    left, right = eye_centres(np.asarray(landmarks, np.float64))
    across = right - left
    # As a complex number: multiplied by `turn`, the vector between the eyes becomes level and as long as wanted.
    turn = EYES_APART * size / complex(*across)
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    wanted = np.asarray(EYES_MIDDLE) * size - 0.5
    return np.column_stack([linear, wanted - linear @ ((left + right) / 2)])


def square_matrix(left: int, top: int, *, scale: float) -> np.ndarray:
    """Return the matrix of a cut whose first pixel was (left, top), resized by `scale`."""
    return np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])


def points_matrix(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the matrix that brings three points (3, 2), such as the eyes and the mouth, to three others.

    Raises:
      UsageError: points that are not three, not finite, or on one line.
    """
    points, wanted = np.asarray(points, np.float64), np.asarray(wanted, np.float64)
    for name, three in (("points", points), ("wanted", wanted)):
        sides = np.diff(three, axis=0) if three.shape == (3, 2) and np.isfinite(three).all() else np.zeros((2, 2))
        if abs(np.linalg.det(sides)) <= 1e-9 * (sides**2).sum():
            raise UsageError(f"`{name}`: wanted three points (3, 2) that are not on one line, got {three.tolist()}.")
    return np.linalg.solve(np.column_stack([points, np.ones(3)]), wanted).T


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Send points (..., 2) through a matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def transform_box(box: Box, matrix: np.ndarray) -> Box:
    """Return the upright box around a box's corners after a matrix."""
    left, top, width, height = box
    edges = np.array([(x, y) for x in (left, left + width) for y in (top, top + height)], np.float64) - 0.5
    corners = transform(edges, matrix) + 0.5
    low, high = corners.min(0), corners.max(0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])
