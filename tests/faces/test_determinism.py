"""What every machine and every version of OpenCV must agree on."""

import pathlib
import re

import cv2
import numpy as np

from fer_jax import faces

# Picture 3 of seed 0's training set, render version 2; stored anew when the version rises.
GOLDEN_UNITS = [
    0.25597,
    0.34329,
    0.0209,
    0.30878,
    0.05571,
    0.08048,
    0.0,
    0.0,
    0.01442,
    0.0,
    0.15,
    0.0,
    0.04698,
    0.04772,
    0.01458,
    0.0,
    0.32558,
    0.29212,
    0.0,
    0.0,
    0.0,
]
GOLDEN_LANDMARKS = [
    [49.4451, 83.2002],
    [46.688, 47.7559],
    [31.3533, 35.8452],
    [66.2868, 35.0592],
    [39.936, 62.1279],
    [56.458, 61.6185],
]
GOLDEN = pathlib.Path(__file__).parent / "golden_faces.png"
GOLDEN_MEAN = [136.285, 111.377, 114.338]


def test_a_stored_face_comes_back():
    face = faces.render(faces.draw(0, "train", 3))
    assert faces.RENDER_VERSION == 2
    np.testing.assert_allclose(face.au[0], GOLDEN_UNITS, atol=2e-5)
    np.testing.assert_allclose(face.landmarks[[8, 30, 36, 45, 48, 54]], GOLDEN_LANDMARKS, atol=2e-4)
    np.testing.assert_allclose(face.image.mean((0, 1)), GOLDEN_MEAN, atol=0.1)


def golden_faces() -> np.ndarray:
    """Pictures 0-7 of seed 0's training set, 32 px, side by side: uint8 (32, 256, 3)."""
    return np.concatenate([faces.render(faces.draw(0, "train", index, size=32)).image for index in range(8)], 1)


def test_stored_pixels_come_back():
    """Drawn by OpenCV 5.0.0, and by 4.14.0 to the last bit; another processor may round exp and sin otherwise."""
    stored = cv2.imread(str(GOLDEN), cv2.IMREAD_COLOR)[..., ::-1]
    off = np.abs(golden_faces().astype(int) - stored)
    assert off.max() <= 8 and (off > 0).mean() <= 0.001


def test_nothing_is_called_that_differs_between_versions_or_runs():
    """OpenCV 4 and 5 round warps differently; OpenCV's and NumPy's global generators remember their past."""
    forbidden = re.compile(
        r"warpAffine|warpPerspective|cv2\.remap|cv2\.rand|setRNGSeed|np\.random\.(?!Gen|PCG|Seed)\w+"
    )
    for path in pathlib.Path(faces.__file__).parent.rglob("*.py"):
        found = forbidden.findall(path.read_text())
        assert not found, (path.name, found)
