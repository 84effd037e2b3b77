"""FER2013's csv: seven expressions, splits by usage."""

import numpy as np
import pytest

from fer_jax import data
from fer_jax.data.read import open_source
from fer_jax.errors import DataError
from fer_jax.expressions import index_of
from tests.data import affectnet_copies as copies

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
    found = data.read("fer2013", write(tmp_path, lines))
    assert list(found.splits) == ["train", "validation", "test"]
    assert found.rejected.empty
    for number, faces in enumerate(found.splits.values()):
        assert faces.labels.tolist() == [index_of(name) for name in OWN]
        np.testing.assert_array_equal(faces.images[..., 1], GREY[7 * number : 7 * number + 7])
    assert found.splits["validation"].names[0] == "PublicTest/0000007"


@pytest.mark.parametrize("name", ["fer2013/fer2013.csv", "FER2013.CSV", "challenge/icml_face_data.csv"])
def test_other_names_further_columns_and_blanks_in_the_header(name, tmp_path, lines):
    wanted = data.read("fer2013", write(tmp_path, lines))
    cells = [line.split(",") for line in lines[1:]]
    other = [f"{row},{usage},{label}.0,{pixels}" for row, (label, pixels, usage) in enumerate(cells)]
    path = tmp_path / "other" / name
    path.parent.mkdir(parents=True)
    path.write_text("\n".join([', Usage, "Emotion" , pixels', *other]))
    (tmp_path / "other" / "README.md").write_text("x")
    found = data.read("fer2013", tmp_path / "other")
    assert found.rejected.empty
    for split, faces in wanted.splits.items():
        assert data.fingerprint(found.splits[split]) == data.fingerprint(faces)


def test_the_training_part_alone(tmp_path, lines):
    (tmp_path / "train.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    (tmp_path / "test.csv").write_text("pixels\n" + lines[1].split(",")[1])
    found = data.read("fer2013", tmp_path)
    assert found.release == "fer2013 training csv"
    assert {split: len(faces) for split, faces in found.splits.items()} == {"train": 21}


def test_class_folders_made_from_it(tmp_path):
    for split in ("train", "test"):
        for number, name in enumerate(OWN):
            copies.write_picture(tmp_path / "archive" / split / name / f"{number}.jpg", copies.picture(number))
    found = data.read("fer2013", tmp_path)
    assert found.release == "fer2013 folders"
    assert sorted(found.splits["test"].labels) == list(range(7))
    with open_source("fer2013", tmp_path) as listing:
        assert "told apart no more" in listing.remarks[-1]


def test_numbered_folders_are_read_as_the_message_says(tmp_path):
    for number in range(7):
        copies.write_picture(tmp_path / "train" / str(number) / "x.jpg", copies.picture(number))
    told = r"is no FER2013: .* are read as `dataset`=class_folders with `label_table`=fer2013\.$"
    with pytest.raises(DataError, match=told):
        data.read("fer2013", tmp_path)
    found = data.read("class_folders", tmp_path, size=8, label_table="fer2013")
    assert found.splits["train"].labels.tolist() == list(map(index_of, OWN))


def test_two_csvs_are_refused(tmp_path, lines):
    write(tmp_path, lines)
    (tmp_path / "icml_face_data.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"holds fer2013\.csv and icml_face_data\.csv; give a folder with one of them"):
        data.read("fer2013", tmp_path)


def test_bad_rows_are_listed(tmp_path, lines):
    lines[1] = "7" + lines[1][1:]
    lines[2] = lines[2].replace(" ", " x ", 1)
    lines[3] = "2,,Training"
    found = data.read("fer2013", write(tmp_path, lines), max_reject_frac=0.5)
    assert found.rejected.reason.tolist() == ["label_unknown", "decode_failed", "empty"]
    assert found.rejected.detail[0].startswith("fer2013.csv:2:emotion: wanted emotion 0..6")
    with pytest.raises(DataError, match="3 of 7 rows of train cannot be used"):
        data.read("fer2013", tmp_path)


def test_files_that_are_not_fer2013(tmp_path, lines):
    with pytest.raises(
        DataError, match=r"is no FER2013: looked for fer2013\.csv or icml_face_data\.csv, and for class folders"
    ):
        data.read("fer2013", tmp_path)
    with pytest.raises(DataError, match=r"fer2013\.csv:1: wanted the columns emotion, pixels; missing: .*; got 'a,b'"):
        data.read("fer2013", write(tmp_path, ["a,b"]))
    with pytest.raises(DataError, match=r"fer2013\.csv:9:Usage: wanted a usage of Training, .*, got 'Test'"):
        data.read("fer2013", write(tmp_path, [*lines[:8], lines[8].replace("PublicTest", "Test")]))
