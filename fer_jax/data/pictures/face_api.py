"""Face boxes and 68 landmarks by two small networks that come with the npm package `@vladmandic/face-api` (MIT).

The package is the user's: `npm pack @vladmandic/face-api` leaves a file of 25 MB, of which these networks are 550 kB.
Nothing of it is shipped or fetched here. The networks run in NumPy: 416 px take some 50 ms on a core.

Contract: pictures are uint8 (H, W, 3) RGB. Boxes are float64 (N, 4), left, top, width, height in pixels. Landmarks are
float32 (68, 2), x and y in pixels, in iBUG's order.
"""

import json
import math
import pathlib
import tarfile

import cv2
import numpy as np

from fer_jax.data.pictures.decode import resized
from fer_jax.errors import UsageError
from fer_jax.frame import Box

_DETECTOR, _LANDMARKS = "tiny_face_detector_model", "face_landmark_68_model"
# Facts of the trained networks: what was subtracted from pictures, and the boxes that cells predict against.
_DETECTOR_MEAN = np.array([117.001, 114.697, 97.404], np.float32)
_LANDMARKS_MEAN = np.array([122.782, 117.001, 104.298], np.float32)
_ANCHORS = np.array(
    [(1.603231, 2.094468), (6.041143, 7.080126), (2.882459, 3.518061), (4.266906, 5.178857), (9.041765, 10.66308)]
)
_LANDMARKS_PX = 112
_OVERLAP = 0.4
# Searches of a picture until one shows a face (ours): as it is, then on black, then, if the picture is large, at
# more pixels.
# The network wants something around a face, and pictures of faces, small ones above all, are often cut close.
_WHOLE_PX, _LARGER_PX = 416, (832, 1664)
_BORDER, _BORDERED_PX = 0.75, 224
_SMALL_PX = 256


class FaceApi:
    """A detector with landmarks: called with a picture it returns boxes, best first.

    Attributes:
      score: least probability of a face, 0..1. The package's default is .5.
    """

    def __init__(self, path: str, *, score: float = 0.5):
        """Read both networks.

        Args:
          path: the file that `npm pack` leaves (.tgz), or a folder with the four files of the two models.
          score: see the class.

        Raises:
          UsageError: nothing there, or files that are not these networks.
        """
        self._detector = _read_network(path, _DETECTOR)
        self._landmarks = _read_network(path, _LANDMARKS)
        self.score = score
        try:  # files of other networks show in a forward pass, not in the middle of a set
            self.landmarks(np.zeros((16, 16, 3), np.uint8), (0, 0, 16, 16))
            self._boxes(np.zeros((16, 16, 3), np.uint8), _BORDERED_PX)
        except (KeyError, ValueError, IndexError):
            raise UsageError(f"`detector`: {path} holds other networks than {_DETECTOR} and {_LANDMARKS}.") from None

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Return the boxes of faces, float64 (N, 4), the most probable first."""
        margin = round(_BORDER * max(picture.shape[:2]))
        for bordered, size in _searches(max(picture.shape[:2])):
            if not bordered:
                boxes = self._boxes(picture, size)
            else:
                padded = cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
                boxes = self._boxes(padded, size) - (margin, margin, 0, 0)
            if len(boxes):
                break
        return boxes

    def landmarks(self, picture: np.ndarray, box: Box) -> np.ndarray:
        """Return the 68 landmarks of the face in a box, float32 (68, 2), in pixels of the picture."""
        rows, columns = picture.shape[:2]
        left, top, width, height = box
        x0, y0 = max(0, math.floor(left)), max(0, math.floor(top))
        x1, y1 = min(columns, math.floor(left + width)), min(rows, math.floor(top + height))
        if x1 <= x0 or y1 <= y0:
            return np.full((68, 2), np.nan, np.float32)
        face = picture[y0:y1, x0:x1]
        side = max(face.shape[:2])
        above, before = (side - face.shape[0]) // 2, (side - face.shape[1]) // 2
        square = np.zeros((side, side, 3), np.uint8)
        square[above : above + face.shape[0], before : before + face.shape[1]] = face
        share = _landmark_network(self._landmarks, resized(square, (_LANDMARKS_PX, _LANDMARKS_PX)))
        # A share of the square counts from its edge, half a pixel before the first pixel's centre.
        return (share * side - 0.5 + (x0 - before, y0 - above)).astype(np.float32)

    def _boxes(self, picture, size):
        rows, columns = picture.shape[:2]
        scale = size / max(rows, columns)
        inner = max(1, round(columns * scale)), max(1, round(rows * scale))
        square = np.zeros((size, size, 3), np.uint8)
        square[: inner[1], : inner[0]] = resized(picture, inner)
        cells = _detector_network(self._detector, square)
        count = len(cells)
        cells = cells.reshape(count, count, len(_ANCHORS), 5).astype(np.float64)
        score = _sigmoid(cells[..., 4])
        row, column, anchor = np.nonzero(score > self.score)
        shift_x, shift_y, log_width, log_height = cells[row, column, anchor, :4].T
        cell_px = size / count / scale  # of the picture
        width = np.exp(log_width) * _ANCHORS[anchor, 0] * cell_px
        height = np.exp(log_height) * _ANCHORS[anchor, 1] * cell_px
        left = (column + _sigmoid(shift_x)) * cell_px - width / 2
        top = (row + _sigmoid(shift_y)) * cell_px - height / 2
        boxes = np.stack([left, top, width, height], 1)
        kept = cv2.dnn.NMSBoxes(boxes.tolist(), score[row, column, anchor].tolist(), self.score, _OVERLAP)
        return boxes[np.asarray(kept, int).reshape(-1)]


def _searches(longer_px: int) -> list[tuple[bool, int]]:
    """Return pairs (on a black border, pixels of the network's input), in the order of the search."""
    first = [(False, _WHOLE_PX), (True, _BORDERED_PX)]
    if longer_px <= _SMALL_PX:
        return first[::-1]
    return first + [(False, size) for size in _LARGER_PX if longer_px > size / 2]


def _read_network(path, name) -> dict[str, np.ndarray]:
    """Read arrays by name out of a manifest and its bytes, float32."""
    manifest, binary = f"{name}-weights_manifest.json", f"{name}.bin"
    try:
        described, content = _read_files(pathlib.Path(path), manifest, binary)
        arrays, at = {}, 0
        for entry in json.loads(described)[0]["weights"]:
            quantised, count = entry["quantization"], math.prod(entry["shape"])
            values = np.frombuffer(content, np.dtype(quantised["dtype"]), count, at)
            at += values.nbytes
            real = values.astype(np.float32) * np.float32(quantised["scale"]) + np.float32(quantised["min"])
            arrays[entry["name"]] = real.reshape(entry["shape"])
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, TypeError, IndexError) as error:
        reason = "not there" if isinstance(error, FileNotFoundError) else "not readable as such"
        raise UsageError(
            f"`detector`: wanted the file that `npm pack @vladmandic/face-api` leaves, or a folder with {manifest} and "
            f"{binary}, got {path}, {reason}."
        ) from None
    return arrays


def _read_files(path, *names) -> list[bytes]:
    if path.is_dir():
        return [(path / name).read_bytes() for name in names]
    with tarfile.open(path) as archive:
        members = {pathlib.PurePosixPath(member.name).name: member for member in archive if member.isfile()}
        opened = [archive.extractfile(members[name]) for name in names]
        return [file.read() for file in opened if file is not None]


def _detector_network(weights, square) -> np.ndarray:
    """Map uint8 (S, S, 3) to float32 (S/32, S/32, 25): five boxes a cell, each four numbers and a logit."""
    x = (square.astype(np.float32) - _DETECTOR_MEAN) / 255
    x = _leaky(_convolution(x, weights["conv0/filters"]) + weights["conv0/bias"])
    for layer in range(1, 6):
        x = _largest_of_four(x, stride=2)
        x = _leaky(_separable(np.pad(x, ((1, 1), (1, 1), (0, 0))), weights, f"conv{layer}"))
    return _largest_of_four(x, stride=1) @ weights["conv8/filters"][0, 0] + weights["conv8/bias"]


def _landmark_network(weights, square) -> np.ndarray:
    """Map uint8 (112, 112, 3) to float32 (68, 2), in shares of the side."""
    x = (square.astype(np.float32) - _LANDMARKS_MEAN) / 255
    for block in range(4):
        # Halving with zeros at the far edges only, where the side is even.
        near = (x.shape[0] % 2, 1)
        x = np.pad(x, (near, near, (0, 0)))
        name = f"dense{block}"
        if block == 0:
            x = _convolution(x, weights["dense0/conv0/filters"], stride=2) + weights["dense0/conv0/bias"]
        else:
            x = _separable(x, weights, f"{name}/conv0", stride=2)
        total = np.maximum(x, 0)
        out = total
        for layer in range(1, 4):
            out = _separable(np.pad(out, ((1, 1), (1, 1), (0, 0))), weights, f"{name}/conv{layer}")
            total = total + out
            out = np.maximum(total, 0)
        x = out
    return (x.mean((0, 1)) @ weights["fc/weights"] + weights["fc/bias"]).reshape(68, 2)


def _separable(x, weights, name, *, stride=1):
    depthwise = weights[f"{name}/depthwise_filter"][..., 0]
    mixed = sum(part * depthwise[row, column] for row, column, part in _shifted(x, stride))
    return mixed @ weights[f"{name}/pointwise_filter"][0, 0] + weights[f"{name}/bias"]


def _convolution(x, filters, *, stride=1):
    patches = np.concatenate([part for _, _, part in _shifted(x, stride)], -1)
    return patches @ filters.reshape(-1, filters.shape[-1])


def _shifted(x, stride):
    """Yield the nine views of a picture under a 3 x 3 filter without padding."""
    rows, columns = ((length - 3) // stride + 1 for length in x.shape[:2])
    for row in range(3):
        for column in range(3):
            yield row, column, x[row : row + rows * stride : stride, column : column + columns * stride : stride]


def _largest_of_four(x, *, stride):
    """Return 2 x 2 maxima. The last row and column stand alone where their neighbours are missing."""
    x = np.pad(x, ((0, stride == 1 or x.shape[0] % 2), (0, stride == 1 or x.shape[1] % 2), (0, 0)), mode="edge")
    ahead = np.maximum(x[:-1], x[1:])
    return np.maximum(ahead[:, :-1], ahead[:, 1:])[::stride, ::stride]


def _leaky(x):
    return np.maximum(x, np.float32(0.1) * x)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))
