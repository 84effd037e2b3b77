"""FER2013's csv: seven expressions, splits by usage."""

import numpy as np
import pytest

from fer_jax import data
from fer_jax.errors import DataError
from fer_jax.expressions import index_of

OWN = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
GREY = np.random.default_rng(0).integers(0, 256, (21, 48, 48), np.uint8)


@pytest.fixture
def lines():
    usages = [usage for usage in ("Training", "PublicTest", "PrivateTest") for _ in OWN]
    rows = [f"{n % 7},{' '.join(map(str, GREY[n].ravel()))},{usage}" for n, usage in enumerate(usages)]
    return ["emotion,pixels,Usage", *rows]


def write(tmp_path, lines):
    (tmp_path / "fer2013.csv").write_text("\n".join(lines))
    return tmp_path


def test_pictures_labels_and_splits(tmp_path, lines):
    found = data.read_fer2013(write(tmp_path, lines))
    assert list(found.splits) == ["train", "validation", "test"]
    assert found.rejected.empty
    for number, faces in enumerate(found.splits.values()):
        assert faces.labels.tolist() == [index_of(name) for name in OWN]
        np.testing.assert_array_equal(faces.images[..., 1], GREY[7 * number : 7 * number + 7])
    assert found.splits["validation"].names[0] == "PublicTest/0000007"


def test_bad_rows_are_listed(tmp_path, lines):
    lines[1] = "7" + lines[1][1:]
    lines[2] = lines[2].replace(" ", " x ", 1)
    lines[3] = "2,,Training"
    found = data.read_fer2013(write(tmp_path, lines), max_reject_frac=0.5)
    assert found.rejected.reason.tolist() == ["label_unknown", "decode_failed", "empty"]
    assert found.rejected.detail[0].startswith("fer2013.csv:2:emotion: wanted emotion 0..6")
    with pytest.raises(DataError, match="3 of 7 rows of train cannot be used"):
        data.read_fer2013(tmp_path)


def test_files_that_are_not_fer2013(tmp_path, lines):
    with pytest.raises(DataError, match=r"is no FER2013: looked for fer2013\.csv"):
        data.read_fer2013(tmp_path)
    with pytest.raises(DataError, match=r"fer2013\.csv:1: wanted the header emotion,pixels,usage, got 'a,b'"):
        data.read_fer2013(write(tmp_path, ["a,b"]))
    with pytest.raises(DataError, match=r"fer2013\.csv:9:Usage: wanted a usage of Training, .*, got 'Test'"):
        data.read_fer2013(write(tmp_path, [*lines[:8], lines[8].replace("PublicTest", "Test")]))
