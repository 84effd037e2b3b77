"""Face detectors, whichever this machine has. None is ever fetched.

Contract: a detector takes uint8 (H, W, 3) RGB and returns float64 (N, 4) boxes (left, top, width, height) in pixels.
One that finds landmarks, too, has a method `landmarks(picture, box)`, float32 (68, 2).
"""

import importlib
import pathlib
import threading
from collections.abc import Callable

import cv2
import numpy as np

from fer_jax.data.listing import Quality
from fer_jax.data.pictures.face_api import FaceApi
from fer_jax.errors import UsageError
from fer_jax.frame import Box

FaceDetector = Callable[[np.ndarray], np.ndarray]

DETECTORS = ("haar", "lbp")
_YUNET, _FACE_API = "yunet=", "face_api="
_CASCADE = "haarcascade_frontalface_default.xml"
_DETECTION_PX = 1024
_SCORE_AT_LEAST = 0.6
# A detection is the labelled face if it overlaps the given box by so much.
_SAME_FACE = 0.5


def face_detector(name: str) -> FaceDetector:
    """Return a detector by name.

    Args:
      name: "face_api=FILE.tgz", the networks of the npm package `@vladmandic/face-api`, which find landmarks, too
        (see `FaceApi`), "lbp", the cascade of scikit-image, if installed, "haar", the cascade that OpenCV 4 brings
        along (5 does not), or "yunet=FILE.onnx", OpenCV's network with a model file of yours.

    Raises:
      UsageError: an unknown name, a detector that this machine lacks, or a model that cannot be read.
    """
    if name.startswith(_YUNET):
        return _yunet(name.removeprefix(_YUNET))
    if name.startswith(_FACE_API):
        return FaceApi(name.removeprefix(_FACE_API))
    if name == "haar":
        return _haar()
    if name == "lbp":
        return _lbp()
    raise UsageError(
        f"`detector`: wanted {_FACE_API}FILE.tgz, {_YUNET}FILE.onnx, {' or '.join(DETECTORS)}, got {name!r}."
    )


def largest(boxes: np.ndarray) -> Box | None:
    """Return the box of most pixels, or None where there is none."""
    if not len(boxes):
        return None
    left, top, width, height = max(boxes, key=lambda box: box[2] * box[3]).tolist()
    return left, top, width, height


def matching(boxes: np.ndarray, given: Box | None) -> tuple[Box | None, Quality]:
    """Return the detected box of the labelled face.

    Args:
      boxes: (N, 4), detected.
      given: the box in the list of the source, which says whose expression was labelled, or None.

    Returns:
      The detection that overlaps the given box most, if by half or more (intersection over union), else the given
      box, flagged. Without a given box the largest detection. Nothing detected is flagged, and never costs the row.
    """
    if not len(boxes):
        return given, Quality.UNDETECTED
    if given is None:
        return largest(boxes), Quality(0)
    shares = [overlap(box, given) for box in boxes]
    best = int(np.argmax(shares))
    if shares[best] < _SAME_FACE:
        return given, Quality.BAD_BOX
    return largest(boxes[best : best + 1]), Quality(0)


def overlap(first, second) -> float:
    """Return the intersection over union of two boxes."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    common = max(width, 0.0) * max(height, 0.0)
    return float(common / (first[2] * first[3] + second[2] * second[3] - common))


def _haar() -> FaceDetector:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    file = pathlib.Path(folder) / _CASCADE
    if not hasattr(cv2, "CascadeClassifier") or not file.is_file():
        raise UsageError(
            f"`detector`: OpenCV {cv2.__version__} brings no face detector (version 4 does). Give "
            f"{_FACE_API}FILE.tgz with the file that `npm pack @vladmandic/face-api` leaves, or lbp after "
            "`pip install scikit-image`."
        )
    own = threading.local()  # a cascade keeps what it is at: each thread has one

    def detect(picture):
        if not hasattr(own, "cascade"):
            own.cascade = cv2.CascadeClassifier(str(file))
        small, scale = _for_detection(picture)
        least = max(24, min(small.shape[:2]) // 8)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        return _boxes(own.cascade.detectMultiScale(grey, 1.1, 5, minSize=(least, least)), scale)

    return detect


def _lbp() -> FaceDetector:
    try:
        skimage_data = importlib.import_module("skimage.data")
        cascade = importlib.import_module("skimage.feature").Cascade(skimage_data.lbp_frontal_face_cascade_filename())
    except ImportError:
        raise UsageError("`detector`: lbp wants scikit-image: pip install scikit-image.") from None

    def detect(picture):
        small, scale = _for_detection(picture)
        least = max(24, min(small.shape[:2]) // 8)
        found = cascade.detect_multi_scale(
            small, scale_factor=1.1, step_ratio=1, min_size=(least, least), max_size=small.shape[:2]
        )
        return _boxes([(face["c"], face["r"], face["width"], face["height"]) for face in found], scale)

    return detect


def _yunet(file) -> FaceDetector:
    if not pathlib.Path(file).is_file():
        raise UsageError(f"`detector`: wanted a YuNet ONNX file, got {file}, which is not there.")
    own = threading.local()
    try:
        own.detector = cv2.FaceDetectorYN.create(file, "", (320, 320), _SCORE_AT_LEAST)
    except (cv2.error, AttributeError) as error:
        reason = (str(error).strip().splitlines() or ["unknown"])[-1]
        raise UsageError(f"`detector`: OpenCV {cv2.__version__} cannot read {file}: {reason[:160]}") from None

    def detect(picture):
        if not hasattr(own, "detector"):
            own.detector = cv2.FaceDetectorYN.create(file, "", (320, 320), _SCORE_AT_LEAST)
        small, scale = _for_detection(picture)
        own.detector.setInputSize((small.shape[1], small.shape[0]))
        _, faces = own.detector.detect(small[..., ::-1].copy())
        return _boxes(() if faces is None else faces[:, :4], scale)

    return detect


def _for_detection(picture):
    """Return a picture no larger than detectors want, and the factor back."""
    scale = max(1.0, max(picture.shape[:2]) / _DETECTION_PX)
    if scale == 1:
        return picture, scale
    size = (max(1, round(picture.shape[1] / scale)), max(1, round(picture.shape[0] / scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale


def _boxes(found, scale) -> np.ndarray:
    return np.asarray(found, np.float64).reshape(-1, 4) * scale
