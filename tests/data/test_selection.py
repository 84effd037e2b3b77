"""Any categories: what is there, what is asked for, and what a set cannot give, refused from its listing."""

import cv2
import numpy as np
import pytest

from fer_jax import data
from fer_jax.data.sources import ferplus
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS
from tests.data.sources.test_other_sets import write_rafdb

SEVEN = EXPRESSIONS.names[:7]


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Write a picture in each of some folders and read them; nothing may be decoded where a set is refused."""

    def read_folders(folders, **options):
        for number, folder in enumerate(folders):
            (tmp_path / folder).mkdir(parents=True)
            for place in range(2):
                noise = np.random.default_rng([number, place]).integers(0, 255, (8, 8, 3), dtype=np.uint8)
                cv2.imwrite(str(tmp_path / folder / f"{place}.png"), noise)
        return data.read("class_folders", tmp_path, size=8, **options)

    return read_folders


def _named(found):
    faces = found.splits["train"]
    return {str(name).split("/")[0]: found.categories[label] for name, label in zip(faces.names, faces.labels)}  # noqa: B905


def test_the_papers_expressions_that_are_there(read):
    found = read(sorted(SEVEN))
    assert found.categories.names == SEVEN == found.splits["train"].categories.names
    assert found.remarks[0] == f"categories: {', '.join(SEVEN)} (no contempt in this set)"
    assert all(folder == name for folder, name in _named(found).items())


def test_names_of_ones_own(read):
    found = read(["posed", "genuine", "unsure"])
    assert found.categories.names == ("genuine", "posed", "unsure")
    assert _named(found) == {"genuine": "genuine", "posed": "posed", "unsure": "unsure"}


def test_choosing_orders_and_drops(read):
    found = read(["happy", "sad", "anger", "fear"], categories="anger,joy")
    assert found.categories.names == ("anger", "happy")
    assert _named(found) == {"anger": "anger", "happy": "happy"}
    assert found.remarks[0] == "categories: anger, happy (left out: 2 fear, 2 sad)"
    assert set(found.rejected["reason"]) == {"label_dropped"} and len(found.rejected) == 4
    assert found.release == "folders as anger happy"


@pytest.mark.parametrize(
    ("folders", "class_map", "wanted"),
    [
        (["happy", "sad", "hapy"], "hapy:happy", {"happy": "happy", "sad": "sad", "hapy": "happy"}),
        (["happy", "neutral", "posed"], "posed:drop", {"happy": "happy", "neutral": "neutral"}),
        (["0", "1"], "0:genuine,1:posed", {"0": "genuine", "1": "posed"}),
        (["happy", "sad", "angry"], "happy:good,sad:bad,angry:bad", {"happy": "good", "sad": "bad", "angry": "bad"}),
    ],
)
def test_classes_are_renamed_and_dropped(folders, class_map, wanted, read):
    assert _named(read(folders, class_map=class_map)) == wanted


@pytest.mark.parametrize(
    ("folders", "options", "error", "told"),
    [
        (
            ["happy", "sad", "hapy"],
            {},
            DataError,
            r"Did you mean `happy`\?.* with `dataset`=class_folders: --class_map=hapy:drop",
        ),
        (["neutral", "happy", "posed"], {}, DataError, "--class_map=posed:drop, or --categories=happy,neutral,posed"),
        (["happy", "sad"], {"categories": "happy,zzz"}, UsageError, "`categories`: .* happy, sad, got 'zzz'"),
        (["happy", "sad"], {"categories": "happy,fear"}, UsageError, "`categories`: .* happy, sad, got 'fear'"),
        (["happy", "sad"], {"categories": "happy,joy"}, UsageError, "`categories`: .* got 'happy' twice"),
        (["happy", "sad"], {"categories": "happy"}, UsageError, "`categories`: wanted two or more"),
        (["happy", "sad"], {"class_map": "fear:drop"}, UsageError, "`class_map`: .*there .happy, sad., got 'fear'"),
        (["happy", "sad"], {"class_map": "fear"}, UsageError, "`class_map`: wanted old:new .*, got 'fear'"),
        (["happy", "sad"], {"class_map": "sad:drop,sad:fear"}, UsageError, "`class_map`: .* got 'sad' twice"),
        (["happy", "sad"], {"class_map": "sad:drop"}, UsageError, "`class_map`: wanted two or more .* leaves happy"),
        (
            ["train/happy", "train/sad", "train/fear", "val/happy", "val/sad"],
            {"complete": ("train", "validation")},
            DataError,
            "in validation, got none of fear. Without it: --categories=happy,sad",
        ),
    ],
)
def test_what_a_set_cannot_give_is_refused_before_decoding(folders, options, error, told, read, monkeypatch):
    monkeypatch.setattr(
        "fer_jax.data.pictures.framing.decode", lambda *_, **options: pytest.fail("a picture was decoded")
    )
    with pytest.raises(error, match=told) as caught:
        read(folders, **options)
    assert "\n" not in str(caught.value)


def test_folders_of_a_known_set_are_no_categories(tmp_path):
    for folder in ("FER2013Train", "FER2013Valid"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "label.csv").write_text("fer0.png,10,0,0,0,0,0,0,0,0,0\n")
        cv2.imwrite(str(tmp_path / folder / "fer0.png"), np.zeros((48, 48, 3), np.uint8))
    with pytest.raises(DataError, match="It looks like `dataset`=ferplus"):
        data.read("class_folders", tmp_path, size=8)


def test_soft_labels_are_of_the_chosen_categories_alone(tmp_path):
    lines = ["a.png,2,6,0,2,0,0,0,0,0,0", "b.png,1,1,0,8,0,0,0,0,0,0", "c.png,0,1,9,0,0,0,0,0,0,0"]
    folder = tmp_path / ferplus.FOLDERS["train"]
    folder.mkdir()
    (folder / "label.csv").write_text("\n".join(lines) + "\n")
    for name in "abc":
        cv2.imwrite(str(folder / f"{name}.png"), np.full((48, 48, 3), ord(name), np.uint8))
    found = data.read("ferplus", tmp_path, target="votes", categories="sad,happy")
    faces = found.splits["train"]
    np.testing.assert_allclose(faces.soft_labels, [[2 / 8, 6 / 8], [8 / 9, 1 / 9]], rtol=1e-6)
    assert faces.labels.tolist() == [1, 0]


def test_numbers_of_the_source_can_be_named(tmp_path):
    found = data.read("rafdb", write_rafdb(tmp_path), size=16, class_map="1:drop,happiness:happy", max_reject_frac=0.5)
    assert "surprise" not in found.categories
