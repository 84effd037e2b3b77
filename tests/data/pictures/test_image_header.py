"""Headers: type and size without decoding, for whole files, cut files, and bytes of any kind."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_jax import data

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "bmp": ".bmp", "tiff": ".tiff", "webp": ".webp", "gif": ".gif"}
IMAGE = np.random.default_rng(0).integers(0, 256, (37, 61, 3), np.uint8)


def encoded(kind, *options):
    return cv2.imencode(SUFFIXES[kind], IMAGE, list(options))[1].tobytes()


@pytest.mark.parametrize("kind", SUFFIXES)
def test_type_and_size(kind):
    assert data.image_header(encoded(kind)) == (kind, 61, 37)


def test_variants_of_one_type():
    assert data.image_header(encoded("webp", cv2.IMWRITE_WEBP_QUALITY, 101)) == ("webp", 61, 37)  # VP8L
    assert data.image_header(encoded("webp", cv2.IMWRITE_WEBP_QUALITY, 50)) == ("webp", 61, 37)  # VP8
    assert data.image_header(encoded("jpeg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)) == ("jpeg", 61, 37)
    extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (999).to_bytes(3, "little") + (499).to_bytes(3, "little")
    assert data.image_header(extended) == ("webp", 1000, 500)
    os2 = b"BM" + bytes(12) + struct.pack("<IHH", 12, 300, 200)
    assert data.image_header(os2) == ("bmp", 300, 200)
    from_top = b"BM" + bytes(12) + struct.pack("<Iii", 40, 300, -200)
    assert data.image_header(from_top) == ("bmp", 300, 200)
    entries = struct.pack(">HHIHH", 256, 3, 1, 80, 0) + struct.pack(">HHII", 257, 4, 1, 70000)
    big_endian = b"MM\0*" + struct.pack(">IH", 8, 2) + entries
    assert data.image_header(big_endian) == ("tiff", 80, 70000)


def test_jpeg_with_fill_bytes_and_a_thumbnail_reads_the_picture_itself():
    jpeg = encoded("jpeg")
    thumbnail = cv2.imencode(".jpg", IMAGE[:8, :8])[1].tobytes()
    app1 = b"\xff\xff\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert data.image_header(jpeg[:2] + app1 + jpeg[2:]) == ("jpeg", 61, 37)


@pytest.mark.parametrize("kind", SUFFIXES)
def test_a_cut_file_has_the_right_size_or_none(kind):
    whole = encoded(kind)
    for length in range(min(len(whole), 1000)):
        assert data.image_header(whole[:length]) in (None, (kind, 61, 37))


@given(start=st.sampled_from([b"", *(encoded(kind)[:12] for kind in SUFFIXES)]), rest=st.binary(max_size=80))
def test_any_bytes_have_a_header_or_none(start, rest):
    found = data.image_header(start + rest)
    assert found is None or (found[0] in SUFFIXES and min(found[1:]) >= 0)
