"""Twenty-five things that are wrong, or odd, with a picture file, as bytes, and what a reader must say of each."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import PIL.Image

from fer_jax.data.listing import Quality


class Fault(NamedTuple):
    """A file: how it is made of a picture uint8 (H, W, 3) RGB; the reason it is refused for, or the flags it is kept
    with. None for bytes: there is no such file."""

    make: Callable[[np.ndarray], bytes | None]
    reason: str = ""
    quality: Quality = Quality(0)


def encoded(picture, suffix=".png", *options) -> bytes:
    image = picture[..., ::-1] if picture.ndim == 3 and picture.shape[2] == 3 else picture
    return cv2.imencode(suffix, np.ascontiguousarray(image), list(options))[1].tobytes()


def pillow(picture, mode, form, **options) -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray(picture).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def claiming(width, height) -> bytes:
    """A small PNG whose header claims another size."""
    content = encoded(np.zeros((8, 8, 3), np.uint8))
    body = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + body + struct.pack(">I", zlib.crc32(body)) + content[33:]


def oriented(picture, orientation) -> bytes:
    """A JPEG with an orientation tag."""
    jpeg = encoded(picture, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 100)
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def with_alpha(picture) -> bytes:
    alpha = np.full((*picture.shape[:2], 1), 9, np.uint8)
    return encoded(np.concatenate([picture[..., ::-1], alpha], 2))


def grey(picture) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


NEW = Quality.RE_ENCODED
KINDS = {
    "missing": Fault(lambda picture: None, "missing"),
    "empty": Fault(lambda picture: b"", "empty"),
    "one_byte": Fault(lambda picture: b"\xff", "not_image"),
    "text": Fault(lambda picture: b"not a picture, but a line of text\n", "not_image"),
    "html": Fault(lambda picture: b"<html>404</html>", "not_image"),
    "pickle": Fault(lambda picture: b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.", "not_image"),
    "zeros": Fault(lambda picture: bytes(4096), "not_image"),
    "png_truncated": Fault(lambda picture: encoded(picture)[:-60], "decode_failed"),
    "png_flipped": Fault(lambda picture: _flipped(encoded(picture)), "decode_failed"),
    "jpeg_truncated": Fault(lambda picture: encoded(picture, ".jpg")[:60], "not_image"),
    "bmp_truncated": Fault(lambda picture: encoded(picture, ".bmp")[:80], "decode_failed"),
    "bomb_60000": Fault(lambda picture: claiming(60_000, 60_000), "too_large"),
    "bomb_20000": Fault(lambda picture: claiming(20_000, 20_000), "too_large"),
    "bomb_long": Fault(lambda picture: claiming(1, 3_000_000), "too_large"),
    "no_size": Fault(lambda picture: claiming(0, 10), "decode_failed"),
    "bmp": Fault(lambda picture: encoded(picture, ".bmp"), quality=NEW),
    "tiff": Fault(lambda picture: encoded(picture, ".tiff"), quality=NEW),
    "webp": Fault(lambda picture: encoded(picture, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101), quality=NEW),
    "gif": Fault(lambda picture: pillow(picture, "P", "GIF"), quality=NEW),
    "alpha": Fault(with_alpha, quality=NEW | Quality.WAS_ALPHA),
    "grey": Fault(lambda picture: encoded(grey(picture)), quality=Quality.WAS_GREY),
    "palette": Fault(lambda picture: pillow(picture, "P", "PNG"), quality=NEW),
    "sixteen": Fault(lambda picture: encoded(picture[..., ::-1].astype(np.uint16)[..., ::-1] * 257), quality=NEW),
    "cmyk": Fault(lambda picture: pillow(picture, "CMYK", "JPEG"), quality=NEW),
    "turned": Fault(lambda picture: oriented(picture, 6), quality=NEW | Quality.EXIF_TURNED),
}


def _flipped(content: bytes) -> bytes:
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 16
    return bytes(damaged)
