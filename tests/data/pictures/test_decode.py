"""Decoding what nobody has checked: every fault has a reason, none a traceback, bombs cost nothing."""

import io
import resource
import struct
import time
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_jax import data
from fer_jax.data.pictures.decode import MAX_BYTES
from fer_jax.errors import UsageError
from tests.data import faults

RGB = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
BGR = np.ascontiguousarray(RGB[..., ::-1])


def encoded(image, suffix=".png"):
    return cv2.imencode(suffix, image)[1].tobytes()


def reason_of(content, **options):
    with pytest.raises(data.ImageRejected) as caught:
        data.decode(content, **options)
    assert caught.value.reason in data.REASONS
    return caught.value.reason


def png_of_zeros(width, height):
    """A PNG that is all there: small on disk, large when decoded."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp"])
def test_lossless_types_decode_to_the_same_pixels(suffix):
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    content = cv2.imencode(suffix, BGR, options)[1].tobytes()
    np.testing.assert_array_equal(data.decode(content), RGB)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "progressive", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_a_part_of_a_file_is_never_taken_for_a_picture(kind, share):
    """OpenCV before 4.13 returns half a JPEG, its rest grey, and says nothing."""
    smooth = cv2.resize(RGB, (96, 64), interpolation=cv2.INTER_CUBIC)
    options = {"progressive": True} if kind == "progressive" else {}
    whole = faults.pillow(smooth, "RGB", "JPEG" if options else kind, **options)
    assert data.decode(whole).shape == (64, 96, 3)
    assert reason_of(whole[: int(share * len(whole))]) == "decode_failed"


def test_an_old_opencv_is_refused(monkeypatch):
    for version in ("4.10.0", "4.12.0-dev", "3.4.18"):
        monkeypatch.setattr(cv2, "__version__", version)
        with pytest.raises(UsageError, match=rf"`cv2`: wanted OpenCV 4.13 or newer, got {version}, which takes half"):
            data.decode(encoded(BGR))
    for version in ("4.13.0", "4.14.0", "5.0.0-pre"):
        monkeypatch.setattr(cv2, "__version__", version)
        assert data.decode(encoded(BGR)).shape == RGB.shape


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_orientation_tags_are_applied_or_ignored_in_every_type(kind, tag):
    """OpenCV turns a TIFF also when told not to: boxes measured on its pixels would be on another picture."""
    exif = PIL.Image.Exif()
    exif[0x112] = tag
    stream = io.BytesIO()
    lossless = {"lossless": True} if kind == "WEBP" else {}
    PIL.Image.fromarray(RGB).save(stream, kind, exif=exif.tobytes() if kind == "WEBP" else exif, **lossless)
    upright = np.asarray(PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(stream.getvalue()))))
    np.testing.assert_array_equal(data.decode(stream.getvalue()), upright)
    np.testing.assert_array_equal(data.decode(stream.getvalue(), exif="ignore"), RGB)


def test_of_an_animation_the_first_picture_is_taken():
    """OpenCV before 4.13 refuses every GIF."""
    frames = [PIL.Image.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in (40, 200)]
    for kind in ("GIF", "WEBP"):
        stream = io.BytesIO()
        frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
        assert np.abs(data.decode(stream.getvalue()).astype(int) - 40).max() < 4


def test_jpeg_and_gif_decode_to_rgb_of_the_same_size():
    smooth = cv2.resize(BGR[:4, :6], (60, 40), interpolation=cv2.INTER_LINEAR)
    for suffix in (".jpg", ".gif"):
        found = data.decode(encoded(smooth, suffix))
        assert found.shape == smooth.shape
        right, swapped = (np.abs(found.astype(int) - one).mean() for one in (smooth[..., ::-1], smooth))
        assert 2 * right < swapped  # GIF has 256 colours only


def test_grey_alpha_and_sixteen_bits():
    np.testing.assert_array_equal(data.decode(encoded(RGB[..., 0])), np.repeat(RGB[..., :1], 3, axis=2))
    alpha = np.concatenate([BGR, np.full((20, 30, 1), 7, np.uint8)], axis=2)
    np.testing.assert_array_equal(data.decode(encoded(alpha)), RGB)
    deep = BGR.astype(np.uint16) * 256 + 200
    np.testing.assert_array_equal(data.decode(encoded(deep)), RGB)


def test_palette_and_cmyk():
    pillow = pytest.importorskip("PIL.Image")
    for mode, suffix in (("P", "PNG"), ("CMYK", "JPEG")):
        stream = io.BytesIO()
        pillow.fromarray(RGB).convert(mode).save(stream, suffix)
        assert data.decode(stream.getvalue()).shape == RGB.shape


def test_exif_orientation_is_applied_or_ignored():
    jpeg = encoded(cv2.resize(BGR, (60, 40)), ".jpg")
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
    body = b"Exif\0\0" + tiff
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]
    upright = data.decode(jpeg)
    np.testing.assert_array_equal(data.decode(turned, exif="ignore"), upright)
    np.testing.assert_array_equal(data.decode(turned), np.rot90(upright, -1))
    with pytest.raises(UsageError, match="`exif`: wanted one of apply, ignore, got 'maybe'"):
        data.decode(jpeg, exif="maybe")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff", ".webp", ".gif"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_files_are_rejected(suffix, share):
    content = encoded(BGR, suffix)
    assert reason_of(content[: int(len(content) * share)]) in ("decode_failed", "not_image")


def test_reasons():
    assert reason_of(b"") == "empty"
    assert reason_of(b"<html>404 not found</html>") == "not_image"
    assert reason_of(bytes(MAX_BYTES + 1)) == "too_large"
    assert reason_of(encoded(BGR)[:40]) == "decode_failed"


@pytest.mark.parametrize(
    ("width", "height"), [(20_000, 20_000), (60_000, 60_000), (20_001, 1), (1, 4_000_000_000), (7_072, 7_072)]
)
def test_bombs_are_refused_from_their_header(width, height):
    small = png_of_zeros(width, height) if width == height == 20_000 else png_of_zeros(8, 8)
    content = small[:16] + struct.pack(">II", width, height) + small[24:]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    assert reason_of(content) == "too_large"
    assert time.perf_counter() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    assert len(content) < 1 << 20


@settings(deadline=None, max_examples=150)
@given(
    suffix=st.sampled_from([".png", ".jpg", ".bmp", ".tiff", ".webp", ".gif"]),
    places=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_files_decode_or_are_rejected(suffix, places):
    content = bytearray(encoded(BGR, suffix))
    for place, value in places:
        content[place % len(content)] = value
    try:
        found = data.decode(bytes(content))
    except data.ImageRejected as error:
        assert error.reason in data.REASONS
    else:
        assert found.dtype == np.uint8
        assert found.ndim == 3
        assert found.shape[2] == 3


def test_no_flipped_bit_of_a_png_gets_through():
    content = encoded(BGR)
    for place in np.random.default_rng(0).integers(8, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 4
        try:
            np.testing.assert_array_equal(data.decode(bytes(damaged)), RGB)  # a flip where no pixel is kept
        except data.ImageRejected:
            continue


def test_square_takes_the_middle():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 255
    assert (data.square(wide, 10) == 255).all()
    assert (data.square(wide.transpose(1, 0, 2), 10) == 255).all()
    assert (data.square(wide, 25) == 255).all()
    assert data.square(wide, 4).shape == (4, 4, 3)
    checks = np.kron(np.indices((5, 5)).sum(0) % 2, np.ones((2, 2)))[..., None].repeat(3, 2).astype(np.uint8) * 200
    np.testing.assert_array_equal(data.square(checks, 5), checks[::2, ::2])  # by area: no aliasing of whole cells


def test_png_round_trip():
    np.testing.assert_array_equal(data.decode(data.encode_png(RGB)), RGB)
    assert data.encode_png(RGB) == data.encode_png(RGB.copy())
