"""Type, size and orientation of a picture from its bytes, without decoding.

Contract: bytes in, (type, width, height) out, None for anything that is none of the six types.

Pillow is no substitute: it warns of damaged EXIF blocks in files that OpenCV reads, refuses a PNG for its checksum
before it says the size, and decodes into a WebP (5 ms a megapixel).
"""

import contextlib
import struct
from collections.abc import Iterator

# Frame headers carry the size. These three of the range are tables and arithmetic-coding conditions instead.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
UPRIGHT = 1  # of the eight values of the orientation tag
_ORIENTATION = 0x112
_JPEG_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_END_OF_HEADERS = frozenset({0xD9, 0xDA})


def image_header(data: bytes) -> tuple[str, int, int] | None:
    """Return type and size of a picture, from its content alone. The file's suffix has no say.

    Args:
      data: a whole file, or enough of its start.

    Returns:
      ("png" | "jpeg" | "bmp" | "tiff" | "webp" | "gif", width, height) in pixels, or None.
    """
    for kind, magic, size_of in _TYPES:
        if data.startswith(magic):
            try:
                size = size_of(data)
            except (struct.error, IndexError):  # the file ends within its header
                return None
            return None if size is None else (kind, size[0], size[1])
    return None


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the segments of a JPEG before its pixels: each one's marker, and where its content starts and stops.

    Raises:
      IndexError, struct.error: the file ends among them.
    """
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _JPEG_STANDALONE:
            position += 2
        else:
            length = struct.unpack_from(">H", data, position + 2)[0]
            if marker in _JPEG_END_OF_HEADERS:
                return
            yield marker, position + 4, position + 2 + length
            position += 2 + max(2, length)


def orientation(exif: bytes) -> int:
    """Read the orientation tag of a TIFF block.

    Args:
      exif: a TIFF file, or the block of EXIF in another, perhaps empty.

    Returns:
      1..8, `UPRIGHT` where it has none.
    """
    with contextlib.suppress(struct.error):
        for tag, value in _tags(exif):
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT


def _tags(tiff: bytes) -> Iterator[tuple[int, int]]:
    """Yield tag and value of each entry in the first directory of a TIFF block.

    Raises:
      struct.error: the block ends among them.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return
    directory = struct.unpack_from(f"{order}I", tiff, 4)[0]
    for entry in range(struct.unpack_from(f"{order}H", tiff, directory)[0]):
        start = directory + 2 + 12 * entry
        tag, kind = struct.unpack_from(f"{order}HH", tiff, start)
        yield tag, struct.unpack_from(f"{order}{'I' if kind == 4 else 'H'}", tiff, start + 8)[0]


def _png(data):
    return struct.unpack_from(">II", data, 16) if data[12:16] == b"IHDR" else None


def _jpeg(data):
    for marker, start, _ in jpeg_segments(data):
        if marker in JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, start + 1)
            return width, height
    return None


def _bmp(data):
    if struct.unpack_from("<I", data, 14)[0] == 12:
        return struct.unpack_from("<HH", data, 18)
    width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)  # a negative height: rows from the top


def _tiff(data):
    tags = dict(_tags(data))
    return (tags[256], tags[257]) if {256, 257} <= set(tags) else None


def _webp(data):
    chunk = data[8:16]
    if chunk == b"WEBPVP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"WEBPVP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"WEBPVP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None


def _gif(data):
    return struct.unpack_from("<HH", data, 6)


_TYPES = (
    ("png", b"\x89PNG\r\n\x1a\n", _png),
    ("jpeg", b"\xff\xd8", _jpeg),
    ("bmp", b"BM", _bmp),
    ("tiff", (b"II*\0", b"MM\0*"), _tiff),
    ("webp", b"RIFF", _webp),
    ("gif", (b"GIF87a", b"GIF89a"), _gif),
)
