"""From the bytes of a file that nobody has checked to pixels that nobody need check again.

Contract: pictures are uint8 (H, W, 3) RGB, upright. Whatever cannot become one raises `ImageRejected`.
"""

import cv2
import numpy as np

from fer_jax.data.pictures.image_header import image_header, orientation
from fer_jax.errors import DataError, StorageError, UsageError, check_one_of

# Refused from size or header, before anything is decoded (ours): OpenCV itself lets 400 megapixels pass.
MAX_BYTES = 64 << 20
MAX_PIXELS = 50_000_000
MAX_SIDE = 20_000

REASONS = (
    "missing",
    "empty",
    "not_image",
    "too_large",
    "decode_failed",
    "bad_box",
    "label_dropped",
    "document",
    "duplicate",
    "label_unknown",
)
# A sound data set has these, too. Everything else counts towards `max_reject_frac`.
EXPECTED_REASONS = ("label_dropped", "document", "duplicate")

# Older ones return half a JPEG without a word, refuse GIF, and do not turn WebP.
_OPENCV = (4, 13)

ORIENTATIONS = ("apply", "ignore")
_PNG_LEVEL = 3


class ImageRejected(DataError):
    """A file that is not a picture we take: `reason` is one of `REASONS`, `detail` says what was seen."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


def decode(data: bytes, *, exif: str = "apply") -> np.ndarray:
    """Decode a PNG, JPEG, BMP, TIFF, WebP or GIF (its first frame), whatever its file name says.

    Grey is spread over three channels, transparency dropped, 16 bits divided by 256.

    Args:
      data: the whole file.
      exif: "apply" turns the picture as its orientation tag says. "ignore" does not, for boxes or landmarks that
        were measured on the stored pixels.

    Returns:
      uint8 (H, W, 3) RGB.

    Raises:
      ImageRejected: it is empty, no picture, too large, or damaged.
      UsageError: an unknown `exif`, or an OpenCV that is too old to tell what is damaged.
    """
    _check_opencv()
    check_one_of("exif", exif, ORIENTATIONS)
    if not data:
        raise ImageRejected("empty", "0 bytes")
    if len(data) > MAX_BYTES:
        raise ImageRejected("too_large", f"{len(data)} bytes, limit {MAX_BYTES}")
    header = image_header(data)
    if header is None:
        if data[4:8] == b"ftyp":
            raise ImageRejected("not_image", "HEIC or AVIF, or a film; export it as JPEG or PNG")
        raise ImageRejected("not_image", f"starts with {data[:8]!r}")
    kind, width, height = header
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageRejected("too_large", f"{kind} of {width} x {height} px, limit {MAX_PIXELS} px, side {MAX_SIDE}")
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if exif == "ignore" else 0)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ImageRejected("decode_failed", f"{kind}: {error.err}") from None
    if image is None:
        raise ImageRejected("decode_failed", f"{kind} of {width} x {height} px is truncated or damaged")
    if kind == "tiff" and exif == "ignore":  # OpenCV turns these whatever the flag
        image = _TURNED_BACK[orientation(data)](image)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _check_opencv() -> None:
    if tuple(map(int, cv2.__version__.split(".")[:2])) < _OPENCV:
        wanted = ".".join(map(str, _OPENCV))
        raise UsageError(
            f"`cv2`: wanted OpenCV {wanted} or newer, got {cv2.__version__}, which takes half a JPEG for a whole one: "
            f"pip install 'opencv-python-headless>={wanted}'."
        )


# Orientation tag -> the pixels as they are in the file, of those that were turned as it says.
_TURNED_BACK = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image),
    7: lambda image: image.swapaxes(0, 1)[::-1, ::-1],
    8: lambda image: np.rot90(image, -1),
}


def square(image: np.ndarray, size: int) -> np.ndarray:
    """Return the central square of a picture, resized by area downwards and by cubic interpolation upwards.

    Args:
      image: uint8 (H, W, C).
      size: side wanted, pixels.

    Returns:
      uint8 (size, size, C).
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resized(image[top : top + side, left : left + side], (size, size))


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a picture at (width, height), by area where it shrinks and by cubic interpolation where it grows."""
    if (image.shape[1], image.shape[0]) == tuple(size):
        return np.ascontiguousarray(image)
    shrinks = image.shape[0] * image.shape[1] > size[0] * size[1]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def encode_png(image: np.ndarray) -> bytes:
    """Encode a picture as PNG, lossless, the same bytes each time.

    Args:
      image: uint8 (H, W, 3) RGB, or (H, W, 1).

    Raises:
      StorageError: OpenCV cannot encode it.
    """
    done, data = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, _PNG_LEVEL])
    if not done:
        raise StorageError(f"`image`: could not encode {image.dtype} {image.shape} as PNG.")
    return data.tobytes()
