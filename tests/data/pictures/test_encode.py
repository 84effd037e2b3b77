"""What is stored: own bytes where all readers agree on them, else a new upright file of 8 bits, colour or grey."""

import struct

import cv2
import numpy as np
import pytest

from fer_jax import data
from fer_jax.data.listing import Quality, Row
from fer_jax.data.pictures.encode import file_facts
from tests.data import faults
from tests.data.affectnet_copies import picture

WHOLE = data.Framing("none")


def stored(loaded, framing=WHOLE, **options):
    return data.store(Row(0, "a", 0, lambda: loaded), framing, **options)


def unchanged_view(content):
    """As TFDS' own readers see it, the one by OpenCV and the one by Pillow; uint8 (H, W, 3)."""
    feature = pytest.importorskip("tensorflow_datasets").features.Image(shape=(None, None, 3))
    seen = feature.decode_example_np_with_opencv(content, 3)
    by_pillow = feature.decode_example_np_with_pil(content, 3)
    assert seen.shape == by_pillow.shape and seen.shape[2] == 3
    assert np.abs(seen.astype(int) - by_pillow).max() <= (0 if content[:4] == b"\x89PNG" else 4)  # JPEG decoders round
    return seen


def test_plain_files_keep_their_bytes():
    for suffix in (".png", ".jpg"):
        content = faults.encoded(picture(1), suffix)
        kept = stored(content)
        assert kept.data == content
        assert kept.quality == Quality(0)
    assert stored(faults.oriented(picture(1), 1)).quality == Quality(0)


@pytest.mark.parametrize("kind", [kind for kind, fault in faults.KINDS.items() if not fault.reason])
@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_every_reader_sees_the_pixels_that_were_checked(kind, exif):
    content = faults.KINDS[kind].make(picture(2))
    kept = stored(content, data.Framing("none", exif=exif))
    assert kept.quality == faults.KINDS[kind].quality
    np.testing.assert_array_equal(unchanged_view(kept.data), data.decode(content, exif=exif))
    assert file_facts(kept.data) == (Quality(0), True)


def test_grey_files_keep_their_bytes_and_what_is_written_anew_has_one_channel():
    """A grey JPEG of a photograph became a colour PNG four times its size."""
    smooth = faults.grey(picture(5))
    for content in (faults.encoded(smooth), faults.encoded(smooth, ".jpg")):
        kept = stored(content)
        assert (kept.data, kept.quality) == (content, Quality.WAS_GREY)
        np.testing.assert_array_equal(unchanged_view(content), data.decode(content))
    for encoding, form in (("png", "png"), ("jpeg95", "jpeg")):
        colour = stored(faults.encoded(picture(5)), data.Framing("square", size=40), encoding=encoding)
        grey = stored(faults.encoded(smooth), data.Framing("square", size=40), encoding=encoding)
        assert data.image_header(grey.data)[0] == form and len(grey.data) < len(colour.data)
        assert cv2.imdecode(np.frombuffer(grey.data, np.uint8), cv2.IMREAD_UNCHANGED).ndim == 2
        np.testing.assert_array_equal(unchanged_view(grey.data), data.decode(grey.data))
        assert file_facts(grey.data) == (Quality(0), True)
    four_bits = faults.pillow(smooth // 17 * 17, "P", "PNG", bits=4)
    transparent = faults.pillow(smooth, "LA", "PNG")
    for content in (four_bits, transparent, faults.encoded(smooth.astype(np.uint16) * 257)):
        assert Quality.RE_ENCODED in stored(content).quality
        assert cv2.imdecode(np.frombuffer(stored(content).data, np.uint8), cv2.IMREAD_UNCHANGED).ndim == 2


def test_equal_pixels_have_equal_hashes_whatever_the_file():
    forms = [picture(3), faults.encoded(picture(3)), faults.encoded(picture(3), ".bmp"), faults.with_alpha(picture(3))]
    assert len({stored(form).content_hash for form in forms}) == 1
    assert stored(picture(4)).content_hash != stored(picture(3)).content_hash
    assert stored(picture(3), data.Framing("square", size=20)).content_hash == stored(picture(3)).content_hash


def test_giants_are_shrunk_and_crops_written_anew():
    giant = stored(faults.encoded(np.full((3000, 5000, 3), 7, np.uint8)))
    assert giant.size == (2458, 4096)
    assert giant.quality == Quality.SHRUNK | Quality.RE_ENCODED | Quality.WAS_GREY | Quality.ONE_COLOUR
    cropped = stored(faults.encoded(picture(1)), data.Framing("square", size=20))
    assert unchanged_view(cropped.data).shape == (20, 20, 3)
    lossy = stored(picture(1), encoding="jpeg95")
    assert data.image_header(lossy.data)[0] == "jpeg"
    assert np.abs(unchanged_view(lossy.data).astype(int) - picture(1)).mean() < 4


def test_orientations_of_png_and_webp_are_met():
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, 3, 0, 0)
    png = faults.encoded(picture(1))
    chunk = struct.pack(">I", len(tiff)) + b"eXIf" + tiff + b"\0\0\0\0"
    assert file_facts(png[:33] + chunk + png[33:])[0] == Quality.EXIF_TURNED
    webp = faults.encoded(picture(1), ".webp")
    assert file_facts(webp + b"EXIF" + struct.pack("<I", len(tiff)) + tiff)[0] == Quality.EXIF_TURNED
    assert file_facts(webp + b"EXIF" + struct.pack("<I", 3) + b"II*")[0] == Quality(0)


def test_facts_of_no_picture_are_none():
    for content in (b"", b"text", b"\xff\xd8\xff", b"II*\0\x01\0\0\0"):
        assert file_facts(content) == (Quality(0), False)
