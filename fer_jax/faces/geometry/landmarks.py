"""The 68 landmarks: their order, how they lie on the curves of a face, and what mirroring does to them.

Contract: iBUG's order (300-W, 10.1109/ICCVW.2013.59): jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, lips 48-67. Left
is image-left.
"""

import numpy as np

from fer_jax.faces.geometry.curves import equal_arcs

# Where landmark i of a picture goes when the picture is mirrored: mirrored[i] = original[FLIP[i]] with x flipped.
FLIP = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
        54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,
        64, 63, 62, 61, 60, 67, 66, 65,
    ],
    np.int64,
)  # fmt: skip


def flip_landmarks(landmarks: np.ndarray, width: int) -> np.ndarray:
    """Return landmarks of the mirrored picture.

    Args:
      landmarks: (..., 68, 2), pixels.
      width: of the picture.

    Returns:
      Array of the same shape.
    """
    mirrored = landmarks[..., FLIP, :].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored


_LANDMARK_F = (8 - 4, 8 - 1, 8, 8 + 1, 8 + 4)  # rows of a lip curve: both sides, peaks of the bow, middle


def landmarks_of(planar: dict[str, np.ndarray]) -> np.ndarray:
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
