"""Pictures as stored: the source's bytes where every later reader must agree on them, else a new file.

Contract: stored pictures are JPEG or PNG of 8 bits, upright, without orientation tag, so that a decoder that obeys such
tags and one that does not see the same pixels. They have three channels, or one where the three would be equal: every
decoder of TFDS spreads it over three, for that is what the set's features promise.
"""

import dataclasses
import hashlib
import struct

import cv2
import numpy as np

from fer_jax.data.listing import Quality, Row
from fer_jax.data.pictures.decode import encode_png
from fer_jax.data.pictures.framing import Framing, frame, pixels
from fer_jax.data.pictures.image_header import JPEG_FRAMES, UPRIGHT, image_header, jpeg_segments, orientation
from fer_jax.errors import StorageError, check_one_of
from fer_jax.frame import Box

ENCODINGS = ("png", "jpeg95")
MAX_STORED_SIDE = 4096  # larger originals are written anew, shrunk (ours)


@dataclasses.dataclass(frozen=True, eq=False)
class Stored:
    """A row's picture, ready to be written.

    Attributes:
      data: the file's bytes.
      size: (height, width) in pixels.
      box: the face in them, or None.
      landmarks: float32 (68, 2) in them, or None.
      quality: what was met on the way.
      content_hash: SHA-256 of the decoded source pixels, before any crop: equal for equal pictures whatever their
        file, and for the several faces of one picture.
    """

    data: bytes
    size: tuple[int, int]
    box: Box | None
    landmarks: np.ndarray | None
    quality: Quality
    content_hash: str


def store(row: Row, framing: Framing, *, encoding: str = "png") -> Stored:
    """Load, check, frame and encode a row's picture.

    Args:
      row: from a `Listing`.
      framing: what is kept of it.
      encoding: "png", lossless, or "jpeg95", for what has to be written anew.

    Raises:
      ImageRejected: no picture that can be taken.
      UsageError: an unknown encoding.
    """
    check_one_of("encoding", encoding, ENCODINGS)
    loaded = row.load()
    image = pixels(loaded, framing.exif)
    facts, plain = (Quality(0), False) if isinstance(loaded, np.ndarray) else file_facts(loaded)
    if _grey(image):
        facts |= Quality.WAS_GREY
    framed = frame(image, row, _bounded(framing))
    if plain and isinstance(loaded, bytes) and framed.image is image:
        data = loaded
    else:
        data, facts = _encode(framed.image, encoding), facts | Quality.RE_ENCODED
    return Stored(
        data,
        framed.image.shape[:2],
        framed.box,
        framed.landmarks,
        framed.quality | facts,
        hashlib.sha256(np.ascontiguousarray(image).data).hexdigest(),
    )


def file_facts(data: bytes) -> tuple[Quality, bool]:
    """Describe a file from its bytes alone.

    Args:
      data: a file that `image_header` knows.

    Returns:
      WAS_ALPHA and EXIF_TURNED where they apply. Then whether the file can be stored as it is: JPEG or PNG, three
      channels or grey, 8 bits, no palette or transparency, no orientation tag but "upright".
    """
    header = image_header(data)
    if header is None:
        return Quality(0), False
    kind = header[0]
    plain, alpha, exif = {"jpeg": _jpeg, "png": _png, "webp": _webp}.get(kind, _other)(data)
    turned = orientation(exif) != UPRIGHT
    quality = (Quality.WAS_ALPHA if alpha else Quality(0)) | (Quality.EXIF_TURNED if turned else Quality(0))
    return quality, plain and not alpha and not turned


def _bounded(framing):
    """Limit even the whole picture to the side that readers like."""
    if framing.crop == "none" and framing.size is None:
        return dataclasses.replace(framing, size=MAX_STORED_SIDE)
    return framing


def _grey(image) -> bool:
    return bool((image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all())


def _encode(image, encoding) -> bytes:
    image = image[..., :1] if _grey(image) else image
    if encoding == "png":
        return encode_png(image)
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    if not done:
        raise StorageError(f"`image`: could not encode {image.dtype} {image.shape} as JPEG.")
    return data.tobytes()


# Each: (stored as it is?, transparency?, its EXIF block or b"").


def _jpeg(data):
    exif, plain = b"", False
    try:
        for marker, start, stop in jpeg_segments(data):
            body = data[start:stop]
            if marker == 0xE1 and body.startswith(b"Exif\0\0") and not exif:
                exif = body[6:]
            if marker in JPEG_FRAMES:
                plain = body[0] == 8 and body[5] in (1, 3)  # bits and components
    except (IndexError, struct.error):
        plain = False
    return plain, False, exif


def _png(data):
    bits, colour = data[24], data[25]
    alpha, exif, position = colour in (4, 6), b"", 8
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IEND":
            break
        alpha |= kind == b"tRNS"
        if kind == b"eXIf":
            exif = data[position + 8 : position + 8 + length]
        position += 12 + length
    return bits == 8 and colour in (0, 2), alpha, exif


def _webp(data):
    chunk, exif, position = data[12:16], b"", 12
    alpha = chunk == b"VP8X" and bool(data[20] & 0x10)
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            exif = data[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0")
        position += 8 + length + length % 2
    return False, alpha, exif


def _other(data):
    return False, False, data if data[:4] in (b"II*\0", b"MM\0*") else b""
