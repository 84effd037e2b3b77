"""CK+, RAF-DB and ExpW: small copies with faults, people kept apart, boxes in their odd order."""

import shutil

import numpy as np
import pytest

from fer_jax import data
from fer_jax.data.file_tree import open_tree
from fer_jax.data.sources.ckplus import list_ckplus
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS, index_of
from tests.data import affectnet_copies as copies
from tests.data import miniature

CKPLUS = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sad", "surprise")
RAFDB = ("surprise", "fear", "disgust", "happy", "sad", "anger", "neutral")


def write_ckplus(root, *, people=20):
    """A sequence of three frames for each person; every fifth one without a label."""
    for person in range(people):
        name = f"S{person:03d}/001"
        for frame in range(3):
            copies.write_picture(
                root / "cohn-kanade-images" / name / f"S{person:03d}_001_0000000{frame + 1}.png",
                copies.picture(10 * person + frame),
            )
        folder = root / "Emotion" / name
        folder.mkdir(parents=True)
        if person % 5 != 4:
            (folder / f"S{person:03d}_001_00000003_emotion.txt").write_text(f"   {1 + person % 7}.0000000e+00\n")
    return root


@pytest.mark.parametrize("form", ["folder", "below", "zip"])
def test_sequences_start_neutral_and_end_at_their_label(form, tmp_path):
    root = write_ckplus(tmp_path / "a" / "b" if form == "below" else tmp_path / "copy")
    where = (
        miniature.write_zip(tmp_path / "c.zip", root) if form == "zip" else tmp_path / "a" if form == "below" else root
    )
    found = data.read("ckplus", where, size=copies.SIDE, folds=3)
    shown = {str(name): (image, label) for split in found.splits.values() for name, image, label in zip(
        split.names, split.images, split.labels, strict=True)}  # fmt: skip
    assert len(shown) == 2 * 16
    for person in (0, 6, 17):
        stem = f"cohn-kanade-images/S{person:03d}/001/S{person:03d}_001_0000000"
        for frame, label in ((0, 0), (2, index_of(CKPLUS[1 + person % 7]))):
            image, given = shown[f"{stem}{frame + 1}.png"]
            assert given == label
            np.testing.assert_array_equal(image, copies.picture(10 * person + frame))
    assert found.rejected.detail.tolist() == ["a sequence without a label"] * 4


def test_people_are_never_in_two_splits_and_each_is_held_out_once(tmp_path):
    root = write_ckplus(tmp_path, people=30)
    held_out = []
    for fold in range(3):
        with open_tree(root) as tree:
            listing = list_ckplus(tree, folds=3, fold=fold)
            people = {
                split: {row.subject for row in rows() if isinstance(row, data.Row)}
                for split, rows in listing.splits.items()
            }
        assert not people["train"] & people["validation"]
        held_out += sorted(people["validation"])
    assert len(held_out) == len(set(held_out)) == 24
    assert all(held_out.count(person) + 5 > 3 for person in held_out)


def test_more_apex_frames(tmp_path):
    root = write_ckplus(tmp_path)
    found = data.read("ckplus", root, folds=3, apex_frames=2)
    assert sum(len(split) for split in found.splits.values()) == 3 * 16
    with pytest.raises(DataError, match=r"rows of .* cannot be used \(.* missing\).*wanted at least 4 frames, got 3"):
        data.read("ckplus", root, folds=3, apex_frames=3)


def test_class_folders_keep_the_people_that_file_names_tell(tmp_path):
    for number in range(24):
        label = CKPLUS[1 + number % 7]
        copies.write_picture(tmp_path / "named" / label / f"S{number:03d}_004_00000017.png", copies.picture(number))
        copies.write_picture(tmp_path / "bare" / label / f"{number}.png", copies.picture(number))
    named, bare = (data.read("ckplus", tmp_path / name) for name in ("named", "bare"))
    assert list(named.splits) == ["train", "validation"]
    assert list(bare.splits) == ["train"]
    with open_tree(tmp_path / "bare") as tree:
        assert "no split by people" in list_ckplus(tree).remarks[-1]


@pytest.mark.parametrize(
    ("text", "told"),
    [("9.0", "_emotion.txt:1:1: wanted a number in 0..7, got '9.0'"), ("happy", "got 'happy'"), ("2.5", "got '2.5'")],
)
def test_labels_that_are_none(text, told, tmp_path):
    root = write_ckplus(tmp_path)
    next((root / "Emotion" / "S003").rglob("*.txt")).write_text(text)
    found = data.read("ckplus", root, folds=3, max_reject_frac=0.5)
    bad = found.rejected.query("reason == 'label_unknown'").iloc[0]
    assert bad.path == "cohn-kanade-images/S003/001"
    assert told in bad.detail


def test_the_zips_as_they_unpack_side_by_side(tmp_path):
    root = write_ckplus(tmp_path / "one")
    wanted = data.read("ckplus", root, folds=3)
    for inner, outer in (("cohn-kanade-images", "extended-cohn-kanade-images"), ("Emotion", "Emotion_labels")):
        (tmp_path / "kept" / outer).mkdir(parents=True)
        shutil.copytree(root / inner, tmp_path / "kept" / outer / inner)
    (tmp_path / "kept" / "Landmarks" / "Landmarks" / "S000").mkdir(parents=True)
    (tmp_path / "kept" / "ReadMeFirst.txt").write_text("x")
    (tmp_path / "kept" / "extended-cohn-kanade-images" / "cohn-kanade-images" / ".DS_Store").write_text("x")
    for place in (tmp_path / "kept", miniature.write_zip(tmp_path / "x.zip", tmp_path / "kept", prefix="CK/")):
        found = data.read("ckplus", place, folds=3)
        for split, faces in wanted.splits.items():
            assert data.fingerprint(found.splits[split]) == data.fingerprint(faces)
    shutil.copytree(root / "Emotion", tmp_path / "kept" / "Emotion")
    with pytest.raises(DataError, match=r"holds Emotion/ and Emotion_labels/Emotion/; give a folder with one of them"):
        data.read("ckplus", tmp_path / "kept")


@pytest.mark.parametrize("usage", [True, False])
def test_ckplus_as_a_csv_wants_its_numbering_named(usage, tmp_path):
    lines = ["emotion,pixels,Usage" if usage else "emotion,pixels"]
    for number, name in enumerate(("Training", "PublicTest", "PrivateTest") * 8):
        pixels = " ".join([str(10 * (number // 3))] * 48**2)
        lines.append(f"{number // 3},{pixels}" + f",{name}" * usage)
    (tmp_path / "ckextended.csv").write_text("\n".join(lines))
    with pytest.raises(
        DataError, match=r"ckextended\.csv numbers .* Kaggle's .* fer2013_contempt \(0 anger, 1 disgust"
    ):
        data.read("ckplus", tmp_path)
    found = data.read("ckplus", tmp_path, label_table="fer2013_contempt")
    assert list(found.splits) == (["train", "validation", "test"] if usage else ["train"])
    names = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
    for faces in found.splits.values():
        assert [EXPRESSIONS[label] for label in faces.labels] == [names[image[0, 0, 0] // 10] for image in faces.images]
    other = data.read("ckplus", tmp_path, label_table="ckplus").splits["train"]
    assert [EXPRESSIONS[label] for label in other.labels] == [CKPLUS[image[0, 0, 0] // 10] for image in other.images]


def test_numbered_ckplus_folders_want_their_numbering_named(tmp_path):
    for number in range(8):
        copies.write_picture(tmp_path / str(number) / f"S{number:03d}_004_00000017.png", copies.picture(number))
    with pytest.raises(DataError, match=r"the class folder '0' is a number; .*ckplus \(0 neutral, 1 anger, 2 contempt"):
        data.read("ckplus", tmp_path)
    with open_tree(tmp_path) as tree:
        rows = [row for split in list_ckplus(tree, label_table="ckplus").splits.values() for row in split()]
    assert {row.source_label: EXPRESSIONS[row.label] for row in rows} == dict(
        enumerate((*CKPLUS[:6], "sad", "surprise"))
    )


def test_half_a_ckplus(tmp_path):
    root = write_ckplus(tmp_path)
    (root / "Emotion").rename(root / "Emotions")
    with pytest.raises(DataError, match=r"has cohn-kanade-images/ but no Emotion/, which CK.'s sequences want"):
        data.read("ckplus", root)
    with pytest.raises(DataError, match=r"is no CK\+: looked for cohn-kanade-images/ with Emotion/"):
        data.read("ckplus", root / "Emotions" / "S001")
    for options in ({"apex_frames": 0}, {"folds": 1}, {"fold": 10}):
        with pytest.raises(UsageError, match=f"`{'apex_frames' if 'apex_frames' in options else 'fold'}`"):
            data.read("ckplus", root, **options)


def write_rafdb(root, *, more=()):
    lines = []
    for split, offset in (("train", 0), ("test", 50)):
        for number, _ in enumerate(RAFDB):
            name = f"{split}_{number + 1:05d}"
            copies.write_picture(root / "Image" / "aligned" / f"{name}_aligned.jpg", copies.picture(offset + number))
            lines.append(f"{name}.jpg {number + 1}")
    (root / "EmoLabel").mkdir(parents=True)
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join([*lines, *more]) + "\n")
    return root


def test_rafdb_splits_by_prefix(tmp_path):
    for form in (write_rafdb(tmp_path / "a"), write_rafdb(tmp_path / "b" / "basic").parent):
        found = data.read("rafdb", form, size=copies.SIDE)
        for split, offset in (("train", 0), ("test", 50)):
            faces = found.splits[split]
            assert [EXPRESSIONS[label] for label in faces.labels] == list(RAFDB)
            np.testing.assert_array_equal(faces.images[3], copies.picture(offset + 3))


@pytest.mark.parametrize(
    ("line", "reason", "told"),
    [
        ("train_00009.jpg", "label_unknown", "list_patition_label.txt:15:1: wanted 2 cells, got 1"),
        ("train_00009.jpg 8", "label_unknown", "list_patition_label.txt:15:label: wanted a whole number in 1..7"),
        ("valid_00009.jpg 1", "label_unknown", "list_patition_label.txt:15:name: wanted a name that starts with"),
        ("train_00009.jpg 1", "missing", "No such file"),
        ("train_../../x.jpg 1", "missing", "leads out of its folder"),
        ("train_00001.jpg 1", "duplicate", "occurs before"),
    ],
)
def test_rafdb_rows_that_cannot_be_used(line, reason, told, tmp_path):
    found = data.read("rafdb", write_rafdb(tmp_path, more=[line]), max_reject_frac=0.5)
    assert found.rejected.reason.tolist() == [reason]
    assert told in found.rejected.detail[0]


@pytest.mark.parametrize("form", ["DATASET/{split}/{label}", "{split}/{label}", "{split}"])
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_rafdb_as_csvs_and_numbered_folders(form, zipped, tmp_path):
    root = tmp_path / "archive"
    for split, offset in (("train", 0), ("test", 50)):
        lines = ["image,label"]
        for number, _ in enumerate(RAFDB):
            name = f"{split}_{number + 1:05d}_aligned.jpg"
            folder = form.format(split=split, label=number + 1)
            copies.write_picture(root / folder / name, copies.picture(offset + number))
            lines.append(f"{name},{number + 1}")
        (root / f"{split}_labels.csv").write_text("\n".join(lines))
    where = miniature.write_zip(tmp_path / "x.zip", root, prefix="archive/") if zipped else root
    found = data.read("rafdb", where, size=copies.SIDE, max_reject_frac=0)
    for split, offset in (("train", 0), ("test", 50)):
        faces = found.splits[split]
        assert [EXPRESSIONS[label] for label in faces.labels] == list(RAFDB)
        np.testing.assert_array_equal(faces.images[3], copies.picture(offset + 3))


def test_rafdb_whose_pictures_are_still_packed(tmp_path):
    root = write_rafdb(tmp_path)
    shutil.rmtree(root / "Image" / "aligned")
    (root / "Image" / "aligned.zip").write_bytes(b"PK")
    with pytest.raises(
        DataError, match=r"none is in Image/aligned, .* It holds Image/aligned.zip, still packed: unpack"
    ):
        data.read("rafdb", root)


def test_rafdb_numbered_otherwise_is_no_label_in_silence(tmp_path):
    for number in range(7):
        copies.write_picture(
            tmp_path / "train" / str(number + 1) / f"train_{number}_aligned.jpg", copies.picture(number)
        )
    with pytest.raises(
        DataError, match=r"is no RAF-DB: looked for EmoLabel/.* and for train_labels.csv with test_labels"
    ):
        data.read("rafdb", tmp_path)
    lines = [f"train_{number}_aligned.jpg,{number}" for number in range(7)]  # counted from 0
    (tmp_path / "train_labels.csv").write_text("\n".join(["image,label", *lines]))
    with pytest.raises(
        DataError, match=r"7 of 7 rows of train cannot be used .*train_labels.csv:2:label: wanted a whole"
    ):
        data.read("rafdb", tmp_path)
    shifted = [f"train_{number}_aligned.jpg,{number % 7 + 2}" for number in range(6)]
    (tmp_path / "train_labels.csv").write_text("\n".join(["image,label", *shifted]))
    with pytest.raises(
        DataError, match=r"6 of 6 rows .*train_labels.csv:2:label: 2 here, but the picture lies in train/1"
    ):
        data.read("rafdb", tmp_path)


@pytest.mark.parametrize("folder", ["aligned", "Image/Aligned", "image/aligned"])
def test_rafdb_pictures_in_other_folders(folder, tmp_path):
    root = write_rafdb(tmp_path)
    wanted = data.read("rafdb", root)
    (root / folder).parent.mkdir(exist_ok=True)
    (root / "Image" / "aligned").rename(root / folder)
    found = data.read("rafdb", root)
    assert data.fingerprint(found.splits["train"]) == data.fingerprint(wanted.splits["train"])


def test_expw_whose_first_pictures_are_absent(tmp_path):
    copies.write_picture(tmp_path / "origin" / "a.jpg", copies.picture(0))
    (tmp_path / "label").mkdir()
    lines = [f"gone{number}.jpg 0 0 0 20 20 60.0 3" for number in range(60)] + ["a.jpg 0 0 0 20 20 60.0 3"]
    (tmp_path / "label" / "LABEL.LST").write_text("\n".join(lines))
    found = data.read("expw", tmp_path, size=20, max_reject_frac=1.0)
    assert found.splits["train"].names.tolist() == ["a.jpg"]


@pytest.mark.parametrize(
    ("dataset", "write", "like"),
    [
        ("ferplus", write_rafdb, "rafdb"),
        ("rafdb", write_ckplus, "ckplus"),
        ("expw", copies.write_original, "affectnet"),
        ("rafdb", lambda root: copies.write_folders(root / "around", names=True), "class_folders"),
    ],
    ids=range(4),
)
def test_another_set_is_called_by_its_name(dataset, write, like, tmp_path):
    write(tmp_path)
    with pytest.raises(DataError, match=rf"is no .* It looks like `dataset`={like}\."):
        data.read(dataset, tmp_path, size=32)


def test_no_rafdb(tmp_path):
    with pytest.raises(DataError, match=r"is no RAF-DB: looked for EmoLabel/list_patition_label.txt"):
        data.read("rafdb", tmp_path)


def test_expw_boxes_have_top_before_left(tmp_path):
    picture = np.zeros((60, 100, 3), np.uint8)
    picture[10:30, 60:80] = 200  # rows 10..29, columns 60..79
    copies.write_picture(tmp_path / "image" / "origin" / "a.jpg", picture)
    (tmp_path / "label").mkdir()
    lines = [
        "a.jpg 0 10 60 80 30 60.0 3",
        "a.jpg 1 30 0 20 50 60.0 6",
        "a.jpg 2 30 20 10 50 60.0 6",
        "a.jpg 3 x 20 10 50 60.0 6",
        "a.jpg 4 10 60 80 30 60.0 7",
    ]
    (tmp_path / "label" / "label.lst").write_text("\n".join(lines))
    found = data.read("expw", tmp_path, size=20, max_reject_frac=1.0)
    faces = found.splits["train"]
    assert faces.labels.tolist() == [index_of("happy"), index_of("neutral")]
    assert faces.names.tolist() == ["a.jpg#0", "a.jpg#1"]
    # The box times 1.25 is the square of 25 px around it; the face fills four fifths of each side.
    assert faces.images[0][4:16, 4:16].min() == 200
    assert faces.images[0][0].max() == 0
    assert faces.images[1].max() == 0
    assert found.rejected.reason.tolist() == ["bad_box", "bad_box", "label_unknown"]
    assert "label.lst:3:right: wanted a box whose right and bottom lie beyond" in found.rejected.detail[0]
    assert "label.lst:4:top: wanted a number, got 'x'" in found.rejected.detail[1]


def test_sources_by_name(tmp_path):
    root = write_rafdb(tmp_path)
    with pytest.raises(UsageError, match="`target`: rafdb has no such option; it has none"):
        data.read("rafdb", root, size=64, target="votes")
    with pytest.raises(UsageError, match=r"`dataset`: wanted one of affectnet, ferplus, .* got 'raf'.*`rafdb`"):
        data.read("raf", root, size=64)
