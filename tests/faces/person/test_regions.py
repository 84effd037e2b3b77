import cv2
import numpy as np
import pytest

from fer_jax import faces
from fer_jax.errors import DataError
from fer_jax.faces.geometry.camera import Pose
from tests.faces.mirrored import flip_landmarks


def _face(size=160, **changes):
    return faces.render(faces.draw(0, "train", 0, preset="easy", size=size).replace(**changes), photometry=False)


def test_each_landmark_lies_in_its_region():
    face = _face()
    mask = faces.region_mask(face, 160)
    assert mask.dtype == np.uint8 and set(np.unique(mask)) == set(range(len(faces.REGIONS) + 1))
    places = {
        "brow_left": range(17, 22),
        "brow_right": range(22, 27),
        "eye_left": range(36, 42),
        "eye_right": range(42, 48),
        "nose": range(30, 36),
        "mouth": range(48, 68),
    }
    for name, rows in places.items():
        columns, lines = np.rint(face.landmarks[list(rows)]).astype(int).T
        assert set(mask[lines, columns]) == {1 + faces.REGIONS.index(name)}, name
    assert mask[0, 0] == 0


def test_the_mask_follows_the_face():
    still = faces.region_mask(_face(pose=Pose()), 160)
    turned = faces.region_mask(_face(pose=Pose(roll=0.2)), 160)
    for number in range(1, 11):
        share = (turned == number).sum() / (still == number).sum()
        assert 0.8 < share < 1.25, faces.REGIONS[number - 1]
    rows, _ = np.nonzero(turned == 1)
    other, _ = np.nonzero(turned == 2)
    assert rows.mean() < other.mean() - 5, "a roll to the right lifts the left brow"


def test_mirrored_landmarks_give_the_mirrored_mask():
    face = _face(pose=Pose())
    mask = faces.region_mask(face.landmarks, 160)
    mirrored = faces.region_mask(flip_landmarks(face.landmarks, 160), 160)[:, ::-1]
    swap = np.array([0, 2, 1, 4, 3, 6, 5, 7, 8, 9, 10])
    assert (swap[mirrored] == mask).mean() > 0.985


def test_a_mask_survives_its_file():
    mask = faces.region_mask(_face(), 160)
    coded = faces.encode_mask(mask)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_UNCHANGED), mask)
    for wrong in (mask.astype(np.float32), np.stack([mask] * 3, 2)):
        with pytest.raises(DataError, match=r"`mask`: wanted uint8 \(H, W\), got"):
            faces.encode_mask(wrong)


def test_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"`landmarks`: wanted shape \(68, 2\), got \(5, 2\)"):
        faces.region_mask(np.zeros((5, 2)), 64)
