"""Type, size and orientation of a picture from its bytes, without decoding.

Contract: bytes in, (type, width, height) out, None for anything that is none of the six types.
"""

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
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return UPRIGHT
    try:
        directory = struct.unpack_from(f"{order}I", exif, 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", exif, directory)[0]):
            start = directory + 2 + 12 * entry
            tag, kind = struct.unpack_from(f"{order}HH", exif, start)
            if tag == _ORIENTATION:
                value = struct.unpack_from(f"{order}{'I' if kind == 4 else 'H'}", exif, start + 8)[0]
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT


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
    order = "<" if data[:2] == b"II" else ">"
    directory = struct.unpack_from(f"{order}I", data, 4)[0]
    size = {}
    for entry in range(struct.unpack_from(f"{order}H", data, directory)[0]):
        start = directory + 2 + 12 * entry
        tag, kind = struct.unpack_from(f"{order}HH", data, start)
        if tag in (256, 257):
            size[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, start + 8)[0]
    return (size[256], size[257]) if len(size) == 2 else None


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
