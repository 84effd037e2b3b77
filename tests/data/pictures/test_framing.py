"""Crops: picture, box and landmarks move together; borders repeat; sizes do not matter."""

import concurrent.futures
import threading
import types

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fer_jax import data
from fer_jax.data.listing import Quality, Row
from fer_jax.data.pictures.detect import matching, overlap
from fer_jax.data.pictures.framing import frame, usable
from fer_jax.errors import UsageError
from fer_jax.frame import transform


def dots(points, shape=(120, 160)):
    """A picture that is dark but for a smooth dot at each point."""
    y, x = np.indices(shape)
    total = np.zeros(shape)
    for px, py in points:
        total = np.maximum(total, np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 1.8**2)))
    return np.repeat(np.rint(255 * total).astype(np.uint8)[..., None], 3, 2)


def brightest(image):
    """Centre of mass of what is bright for this picture: a dot that shrinks to one pixel spreads its light and dims."""
    weight = np.where(image[..., 0] > image[..., 0].max() / 4, image[..., 0].astype(float), 0)
    y, x = np.indices(weight.shape)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@settings(deadline=None, max_examples=60)
@given(
    x=st.floats(30, 120), y=st.floats(30, 90), side=st.integers(50, 110), size=st.integers(24, 200),
    margin=st.floats(1, 2),
)  # fmt: skip
@example(x=30.0, y=30.0, side=68, size=24, margin=2.0)
def test_a_box_crop_moves_points_as_its_matrix_says(x, y, side, size, margin):
    crop = data.crop_box(dots([(x, y)]), (x - side / 2, y - side / 2, side, side), size=size, margin=margin)
    assert crop.image.shape == (size, size, 3)
    np.testing.assert_allclose(brightest(crop.image), transform(np.array([x, y]), crop.matrix), atol=0.3)


def test_a_box_inside_is_cut_out_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    crop = data.crop_box(image, (10, 20, 16, 16), size=16)
    np.testing.assert_array_equal(crop.image, image[20:36, 10:26])
    assert crop.padded == 0
    np.testing.assert_allclose(crop.matrix, [[1, 0, -10], [0, 1, -20]])


def test_outside_the_border_repeats():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    crop = data.crop_box(image, (-10, -10, 20, 20), size=20)
    np.testing.assert_array_equal(crop.image[10:, 10:], image[:10, :10])
    np.testing.assert_array_equal(crop.image[:10, :10], np.broadcast_to(image[0, 0], (10, 10, 3)))
    assert crop.padded == 0.75


def landmarks(left, right):
    points = np.tile((np.add(left, right) / 2).astype(np.float32), (68, 1))
    ring = np.array([(-2, 0), (-1, -1), (1, -1), (2, 0), (1, 1), (-1, 1)], np.float32)
    points[36:42], points[42:48] = ring + np.float32(left), ring + np.float32(right)
    return points


@settings(deadline=None, max_examples=60)
@given(
    x=st.floats(50, 70), y=st.floats(45, 65), apart=st.floats(20, 40), angle=st.floats(-0.8, 0.8),
    size=st.sampled_from([32, 96, 224]),
)  # fmt: skip
def test_eyes_come_to_their_places(x, y, apart, angle, size):
    left = np.array([x, y])
    right = left + apart * np.array([np.cos(angle), np.sin(angle)])
    crop = data.crop_eyes(dots([left, right]), landmarks(left, right), size=size)
    placed = transform(np.array([left, right]), crop.matrix)
    np.testing.assert_allclose((placed + 0.5) / size, [(0.375, 0.37), (0.625, 0.37)], atol=1e-6)
    halves = crop.image[:, : size // 2], crop.image[:, size // 2 :]
    found = np.array([brightest(halves[0]), brightest(halves[1]) + np.array((size // 2, 0))])
    np.testing.assert_allclose(found, placed, atol=0.02 * size)


def test_a_large_picture_is_shrunk_without_aliasing():
    checks = np.repeat((np.indices((1600, 1600)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, 2)
    crop = data.crop_eyes(checks, landmarks((600, 600), (1000, 600)), size=32)
    assert np.abs(crop.image.astype(int) - 127).max() < 12


def row(**fields):
    return Row(0, "a", 0, lambda: b"", **fields)


def test_asymmetric_picture_box_and_landmarks_share_one_matrix():
    """The nose tip (landmark 30) is a dot; after any framing the dot is where landmark 30 says."""
    nose = np.array([80.0, 70.0])
    points = landmarks((65, 50), (95, 56))
    points[30] = nose
    image = dots([nose])
    for framing in (
        data.Framing("none", size=80),
        data.Framing("square", size=50),
        data.Framing("box", size=64),
        data.Framing("eyes", size=96),
    ):
        framed = frame(image, row(box=(50, 30, 60, 70), landmarks=points), framing)
        np.testing.assert_allclose(brightest(framed.image), framed.landmarks[30], atol=1.0)
        left, top, width, height = framed.box
        assert left <= framed.landmarks[30, 0] <= left + width
        assert top <= framed.landmarks[30, 1] <= top + height


@pytest.mark.parametrize(
    ("box", "sound"),
    [
        ((1, 2, 30, 40), True),
        ((-5, -5, 30, 40), True),
        ((200, 0, 30, 40), False),
        ((0, 0, 0, 5), False),
        ((0, 0, -3, 5), False),
        ((0, 0, 1e9, 1e9), False),
        ((0, 0, float("nan"), 5), False),
        (None, False),
    ],
)
def test_boxes_that_are_none(box, sound):
    assert usable(box, (100, 160)) == sound
    framed = frame(dots([(80, 60)]), row(box=box), data.Framing("box", size=40))
    assert framed.image.shape == (40, 40, 3)
    assert (Quality.BAD_BOX in framed.quality) == (not sound)


def test_a_box_that_would_fill_the_memory_is_none():
    sliver = np.zeros((1, 20_000, 3), np.uint8)
    assert not usable((0, 0, 79_000, 1), sliver.shape)
    assert Quality.BAD_BOX in frame(sliver, row(box=(0, 0, 79_000, 1)), data.Framing("box", size=40)).quality
    with pytest.raises(UsageError, match="`box`: wanted left, top, width, height of a box on the picture"):
        data.crop_box(sliver, (0, 0, 79_000, 1), size=40)
    with pytest.raises(UsageError, match="`landmarks`: wanted 68 finite points"):
        data.crop_eyes(dots([(1, 1)]), np.full((68, 2), 5.0), size=40)


def test_falling_back_is_flagged():
    image = dots([(80, 60)])
    eyes = data.Framing("eyes", size=40)
    assert frame(image, row(box=(60, 40, 40, 40)), eyes).quality == Quality.NO_LANDMARKS
    assert frame(image, row(), eyes).quality == Quality.NO_LANDMARKS | Quality.BAD_BOX
    together = np.full((68, 2), 50, np.float32)
    assert Quality.NO_LANDMARKS in frame(image, row(landmarks=together), eyes).quality
    assert Quality.PADDED in frame(image, row(box=(-30, -30, 80, 80)), data.Framing("box", size=40)).quality
    whole = frame(image, row(), data.Framing("none"))
    assert whole.image is image and whole.quality == Quality(0)
    assert frame(image, row(), data.Framing("none", size=80)).image.shape == (60, 80, 3)


def test_detections_are_matched_to_the_given_face():
    boxes = np.array([[0, 0, 90, 90], [100, 10, 40, 40]], float)
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert matching(boxes, (102, 12, 40, 40)) == ((100, 10, 40, 40), Quality(0))
    assert matching(boxes, (300, 300, 5, 5)) == ((300, 300, 5, 5), Quality.BAD_BOX)
    assert matching(boxes, None) == ((0, 0, 90, 90), Quality(0))
    assert matching(np.zeros((0, 4)), (1, 2, 3, 4)) == ((1, 2, 3, 4), Quality.UNDETECTED)
    assert matching(np.zeros((0, 4)), None) == (None, Quality.UNDETECTED)
    found = frame(dots([(120, 30)]), row(), data.Framing("box", size=50, detector=lambda image: boxes[1:]))
    np.testing.assert_allclose(brightest(found.image), [24.5, 24.5], atol=0.7)
    lost = frame(dots([(80, 60)]), row(), data.Framing("box", size=50, detector=lambda image: boxes[:0]))
    assert lost.quality == Quality.UNDETECTED | Quality.BAD_BOX
    assert lost.image.shape == (50, 50, 3)


def test_a_detection_that_is_no_box_never_costs_the_row():
    for wild in ((500, 500, 5, 5), (0, 0, 1e6, 1e6)):
        framing = data.Framing("box", size=50, detector=lambda image, wild=wild: np.array([wild], float))
        assert frame(dots([(80, 60)]), row(), framing).quality == Quality.BAD_BOX


def test_each_thread_has_a_detector_of_its_own(monkeypatch, tmp_path):
    """OpenCV's keep what they are at: two threads in one of them crash or find what is not there."""
    made = []

    class Cascade:
        def __init__(self, file):
            self.thread = threading.get_ident()
            made.append(self.thread)

        def detectMultiScale(self, grey, *rest, **more):
            assert threading.get_ident() == self.thread
            return np.array([[1, 2, 30, 30]])

    (tmp_path / "haarcascade_frontalface_default.xml").write_text("x")
    monkeypatch.setattr(cv2, "CascadeClassifier", Cascade, raising=False)
    monkeypatch.setattr(cv2, "data", types.SimpleNamespace(haarcascades=str(tmp_path)), raising=False)
    detect = data.face_detector("haar")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(detect, [dots([(1, 1)])] * 40))
    assert all(boxes.tolist() == [[1, 2, 30, 30]] for boxes in found)
    assert len(made) == len(set(made)) <= 4


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dlib", "wanted face_api=FILE.tgz, yunet=FILE.onnx, haar or lbp, got 'dlib'"),
        ("yunet=nowhere.onnx", "wanted a YuNet ONNX file, got nowhere.onnx"),
    ],
)
def test_detectors_by_name(name, told):
    with pytest.raises(UsageError, match=told):
        data.face_detector(name)


def test_haar_where_opencv_has_it():
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    import pathlib

    if hasattr(cv2, "CascadeClassifier") and (pathlib.Path(folder) / "haarcascade_frontalface_default.xml").is_file():
        assert data.face_detector("haar")(dots([(1, 1)])).shape == (0, 4)
    else:
        with pytest.raises(UsageError, match=r"`detector`: OpenCV 5.* brings no face detector \(version 4 does\)"):
            data.face_detector("haar")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"crop": "face"}, "`crop`: wanted one of none, square, box, eyes, got 'face'"),
        ({"crop": "box"}, "`size`: wanted a side in pixels for the crop 'box', got none"),
        ({"size": 0}, r"`size`: wanted a side of 1..4096 px, got 0"),
        ({"size": 9, "exif": "x"}, "`exif`: wanted one of apply, ignore, got 'x'"),
        ({"size": 9, "detector": "haar"}, "`detector`: wanted what `face_detector` returns, got 'haar'"),
        ({"crop": "box", "size": 9, "box_margin": 0.5}, "`box_margin`: wanted 1..4 times the box, got 0.5"),
    ],
)
def test_framings_out_of_range(options, told):
    with pytest.raises(UsageError, match=told):
        data.Framing(**options)
