"""Boxes and landmarks of face-api's networks, against the package's own program and against drawn faces."""

import io
import json
import os
import pathlib
import tarfile

import cv2
import numpy as np
import pytest

from fer_jax import data, faces
from fer_jax.data.listing import Quality, Row
from fer_jax.data.pictures.detect import overlap
from fer_jax.data.pictures.framing import frame
from fer_jax.errors import UsageError
from fer_jax.faces.painting import surroundings

CACHE = pathlib.Path(__file__).resolve().parents[3] / ".cache"


@pytest.fixture(scope="module")
def package():
    found = [os.environ.get("FER_JAX_FACE_API"), *sorted(CACHE.glob("vladmandic-face-api-*.tgz"))]
    found = [path for path in found if path]
    if not found:
        pytest.skip("no face-api: run `npm pack @vladmandic/face-api --pack-destination=.cache`")
    return str(found[-1])


@pytest.fixture(scope="module")
def detector(package):
    return data.face_detector(f"face_api={package}")


def face(index, *, nuisance=0.3, size=224):
    preset = faces.Preset(nuisance=nuisance, intensity=(0.5, 1.0))
    return faces.render(faces.draw(5, "train", index, preset=preset, size=size))


def backdrop(seed, size=224):
    return np.ascontiguousarray(surroundings.paint_backdrop(size, seed).transpose(1, 2, 0).astype(np.uint8))


def test_equals_the_packages_own_program(detector):
    """Reference: version 1.7.15 under tensorflow.js, CPU, the same picture handed over as numbers."""
    drawn = faces.render(faces.draw(7, "train", 3, preset=faces.PRESETS["easy"], size=224)).image
    picture = np.full((416, 416, 3), 90, np.uint8)
    picture[40:264, 120:344] = drawn
    boxes = detector(picture)
    np.testing.assert_allclose(boxes, [[155.8925, 67.7940, 153.2133, 159.6570]], atol=0.02)
    small = cv2.resize(drawn, (112, 112), interpolation=cv2.INTER_AREA)
    # Theirs count from the picture's edge, ours from the first pixel's centre.
    theirs = {0: (23.456326, 44.129131), 1: (24.714806, 53.267407), 2: (26.684806, 62.535710)}
    ours = detector.landmarks(small, (0, 0, 112, 112)) + 0.5
    for point, place in theirs.items():
        np.testing.assert_allclose(ours[point], place, atol=0.01)


def test_finds_drawn_faces_their_eyes_and_nothing_in_backdrops(detector):
    for index in range(4):
        drawn = face(index, nuisance=0.3 if index % 2 else 1.0)
        boxes = detector(drawn.image)
        assert len(boxes) == 1
        truth = np.asarray(drawn.landmarks)
        found = detector.landmarks(drawn.image, boxes[0])
        assert found.dtype == np.float32 and found.shape == (68, 2)
        apart = np.hypot(*(truth[36:42].mean(0) - truth[42:48].mean(0)))
        for eye in (slice(36, 42), slice(42, 48)):
            assert np.hypot(*(found[eye].mean(0) - truth[eye].mean(0))) < 0.12 * apart
        assert np.hypot(*(found - truth).T).mean() < 0.15 * apart
        assert len(detector(backdrop(index))) == 0


@pytest.mark.slow
def test_finds_most_drawn_faces_at_every_nuisance(detector):
    for nuisance in (0.3, 0.6, 1.0):
        assert np.mean([len(detector(face(index, nuisance=nuisance).image)) > 0 for index in range(80)]) >= 0.98
    assert np.mean([len(detector(backdrop(seed))) > 0 for seed in range(80)]) <= 0.02


def test_a_small_face_in_a_large_picture_is_found_where_it_is(detector):
    picture = cv2.resize(backdrop(3), (1500, 900))
    picture[500:596, 1200:1296] = face(1, size=96).image
    boxes = detector(picture)
    assert len(boxes) == 1
    assert overlap(boxes[0], (1200, 500, 96, 96)) > 0.4
    framed = data.Framing(crop="eyes", size=96, detector=detector)
    row = Row(0, "a.png", 1, lambda: picture)
    kept = frame(picture, row, framed)
    assert not kept.quality & (Quality.BAD_BOX | Quality.UNDETECTED | Quality.NO_LANDMARKS)
    eyes = [kept.landmarks[eye].mean(0) for eye in (slice(36, 42), slice(42, 48))]
    np.testing.assert_allclose(
        eyes, [(0.375 * 96 - 0.5, 0.37 * 96 - 0.5), (0.625 * 96 - 0.5, 0.37 * 96 - 0.5)], atol=0.5
    )


def test_the_four_files_in_a_folder_are_the_same_networks(detector, package, tmp_path):
    with tarfile.open(package) as archive:
        for member in archive:
            name = pathlib.PurePosixPath(member.name).name
            if name.startswith(("tiny_face_detector_model", "face_landmark_68_model")):
                (tmp_path / name).write_bytes(archive.extractfile(member).read())
    again = data.face_detector(f"face_api={tmp_path}")
    picture = face(0).image
    np.testing.assert_array_equal(again(picture), detector(picture))
    (tmp_path / "face_landmark_68_model.bin").write_bytes(b"short")
    with pytest.raises(UsageError, match="wanted the file that `npm pack @vladmandic/face-api` leaves"):
        data.face_detector(f"face_api={tmp_path}")


def _archive(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            described = tarfile.TarInfo(f"package/model/{name}")
            described.size = len(content)
            archive.addfile(described, io.BytesIO(content))


def test_what_is_no_such_package_is_refused_in_one_line(tmp_path):
    text, other = tmp_path / "text.tgz", tmp_path / "other.tgz"
    text.write_text("no archive")
    manifest = [{"weights": [{"name": "x", "shape": [1], "quantization": {"dtype": "uint8", "scale": 1, "min": 0}}]}]
    names = ("tiny_face_detector_model", "face_landmark_68_model")
    described = {f"{name}-weights_manifest.json": json.dumps(manifest).encode() for name in names}
    _archive(other, described | {f"{name}.bin": b"x" for name in names})
    for path, told in (
        ("gone.tgz", "got gone.tgz, not there"),
        (text, "text.tgz, not readable as such"),
        (tmp_path, ", not there"),
        (other, "holds other networks"),
    ):
        with pytest.raises(UsageError) as error:
            data.face_detector(f"face_api={path}")
        assert told in str(error.value) and "\n" not in str(error.value)
