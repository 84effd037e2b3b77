"""Smooth curves through control points, as products with cached matrices.

Contract: control points are (..., n, 2) or (..., n, 3). A curve keeps the leading axes and the dtype float32.
"""

import functools

import numpy as np


def catmull_rom(controls: np.ndarray, per_segment: int, *, closed: bool = False) -> np.ndarray:
    """Return a Catmull-Rom curve through control points.

    Args:
      controls: float32 (..., n, D).
      per_segment: points drawn from each stretch between neighbours.
      closed: whether the last point leads back to the first.

    Returns:
      float32 (..., N, D), N = (n - 1) * per_segment + 1, or n * per_segment where closed.
    """
    return basis(controls.shape[-2], per_segment, closed) @ controls


@functools.cache
def basis(count: int, per_segment: int, closed: bool = False) -> np.ndarray:
    """Return the matrix (N, count) that takes control points to curve points."""
    segments = count if closed else count - 1
    total = segments * per_segment + (0 if closed else 1)
    matrix = np.zeros((total, count), np.float32)
    for row in range(total):
        segment = min(row // per_segment, segments - 1)
        t = row / per_segment - segment
        weights = (
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        )
        for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
            _add_control(matrix[row], segment + offset, weight, closed)
    return matrix


def _add_control(row: np.ndarray, index: int, weight: float, closed: bool) -> None:
    """Spend a weight on a control point. One beyond an open end is its mirror through that end."""
    count = len(row)
    if closed:
        row[index % count] += weight
    elif index < 0:
        row[0] += 2 * weight
        row[1] -= weight
    elif index >= count:
        row[-1] += 2 * weight
        row[-2] -= weight
    else:
        row[index] += weight


def equal_arcs(curve: np.ndarray, count: int) -> np.ndarray:
    """Return `count` points float32 (count, D) at equal arc length along a curve (N, D), with both ends."""
    steps = np.sqrt((np.diff(curve, axis=0) ** 2).sum(1))
    place = np.concatenate([np.zeros(1, np.float32), np.cumsum(steps)])
    wanted = np.linspace(0, place[-1], count)
    return np.stack([np.interp(wanted, place, axis) for axis in curve.T], 1).astype(np.float32)
