"""The 68 landmarks of a mirrored picture, in iBUG's order."""

import numpy as np

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


def flip_landmarks(landmarks, width):
    mirrored = landmarks[..., FLIP, :].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored
