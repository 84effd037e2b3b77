"""AffectNet: one content in five layouts, each fault with its row, and lists that somebody has edited."""

import csv

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_jax import data
from fer_jax.data.file_tree import open_tree
from fer_jax.data.listing import Quality
from fer_jax.data.sources.affectnet.annotations import consistent
from fer_jax.data.sources.affectnet.releases import list_affectnet
from fer_jax.errors import DataError, FerError, UsageError
from fer_jax.expressions import EXPRESSIONS, LABEL_TABLES, index_of
from tests.data import affectnet_copies as copies
from tests.data import faults, miniature


def read(root, **options):
    return data.read("affectnet", root, size=48, **({"max_reject_frac": 0.5} | options))


def rows_of(root, split="train", **options):
    with open_tree(root) as tree:
        return list(list_affectnet(tree, **options).splits[split]())


LAYOUTS = {
    "original": copies.write_original,
    "beside": lambda root: copies.write_original(root, lists="Manually_Annotated_Images"),
    "at_the_root": lambda root: copies.write_original(root, lists="."),
    "deeper": lambda root: copies.write_original(root / "AffectNet" / "Manually_Annotated"),
    "set8": copies.write_arrays,
    "valid_set": lambda root: copies.write_arrays(root, validation="valid_set"),
    "numbers": copies.write_folders,
    "upper_case": lambda root: copies.write_arrays(root, validation="VAL_SET"),
    "names": lambda root: copies.write_folders(root, names=True),
    "named": copies.write_named,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_the_same_pictures_get_the_same_labels(layout, zipped, tmp_path):
    root = tmp_path / "copy"
    LAYOUTS[layout](root)
    if zipped:
        root = miniature.write_zip(tmp_path / "copy.zip", root, prefix="")
    options = {"label_table": "affectnet"} if layout == "numbers" else {}
    found = data.read("affectnet", root, size=copies.SIDE, crop="square", **options)
    assert list(found.splits) == ["train", "validation"]
    for offset, split in ((0, "train"), (100, "validation")):
        faces = found.splits[split]
        assert len(faces) == 8
        for image, label in zip(faces.images, faces.labels, strict=True):
            np.testing.assert_array_equal(image, copies.picture(offset + label))


def test_numbered_folders_are_refused_until_their_numbering_is_named(tmp_path):
    root = copies.write_folders(tmp_path / "own")
    for split in ("train", "val"):  # the same pictures, numbered in the order of the alphabet
        for number, label in enumerate(LABEL_TABLES["sorted_names_8"]):
            path = root / split / str(label) / f"{label}.jpg"
            copies.write_picture(
                tmp_path / "sorted" / split / str(number) / path.name, copies.picture(100 * (split == "val") + label)
            )
    for place in (root, tmp_path / "sorted"):
        with pytest.raises(
            DataError, match=r"'0' is a number; .* `label_table`: affectnet \(0 neutral, .*sorted_names_8"
        ):
            read(place)
    own = read(root, crop="square", label_table="affectnet").splits["train"]
    other = read(tmp_path / "sorted", crop="square", label_table="sorted_names_8").splits["train"]
    assert {image.tobytes(): label for image, label in zip(own.images, own.labels, strict=True)} == {
        image.tobytes(): label for image, label in zip(other.images, other.labels, strict=True)
    }
    with pytest.raises(UsageError, match="`label_table`: goes with numbered class folders, got the release original"):
        read(copies.write_original(tmp_path / "original"), label_table="affectnet")


def test_labels_as_tables_with_gaps_write_them(tmp_path):
    root = copies.write_original(tmp_path)
    path = root / "Manually_Annotated_file_lists" / "training.csv"
    path.write_text(path.read_text().replace(",3,0.5", ",3.0,0.5").replace("4/0003.jpg", "4\\0003.jpg"))
    found = read(root, max_reject_frac=0)
    assert 3 in found.splits["train"].labels and len(found.splits["train"]) == 8


def test_a_part_of_the_pictures_whose_first_are_absent(tmp_path):
    gone = [copies.line(f"7/gone{number}.jpg", 1) for number in range(70)]
    root = copies.write_original(tmp_path, split_rows={"training.csv": [copies.line("2/0001.jpg", 1)]})
    path = root / "Manually_Annotated_file_lists" / "training.csv"
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header]))
    copies.write_csv(path, [*gone, *(next(csv.reader([line])) for line in lines)])
    found = read(root, max_reject_frac=1.0)
    assert len(found.splits["train"]) == 9
    assert (found.rejected.reason == "missing").sum() == 70
    with pytest.raises(DataError, match=r"70 of 82 rows of train cannot be used \(70 missing\)"):
        read(root)


def test_a_models_labels_count_not_the_folders(tmp_path):
    root = copies.write_relabelled(tmp_path)
    faces = read(root, crop="square").splits["train"]
    assert faces.labels.tolist() == [*range(7), index_of("happy")]
    with open_tree(root) as tree:
        assert list_affectnet(tree).remarks == ("Labels were given by a model, not by people.",)


def test_landmarks_valence_and_boxes_come_with_the_rows(tmp_path):
    for write, release in ((copies.write_original, "original"), (copies.write_arrays, "set8")):
        row = next(row for row in rows_of(write(tmp_path / release)) if row.label == 1)
        np.testing.assert_allclose(row.landmarks, copies.landmarks(), atol=0.006)
        assert row.landmarks.dtype == np.float32
        assert (row.valence, round(row.arousal, 6)) == (0.5, 0.1)
        assert row.box == (copies.FACE if release == "original" else None)
        assert row.source_label == 1
        assert not row.notes


def test_none_uncertain_and_no_face_are_left_out_by_name(tmp_path):
    found = read(copies.write_original(tmp_path))
    assert found.rejected.query("split == 'train'").detail.tolist() == ["none", "uncertain", "no face"]
    assert (found.rejected.reason == "label_dropped").all()


def test_automatic_lists_are_read_when_asked_for(tmp_path):
    root = copies.write_original(tmp_path)
    copies.write_picture(root / "Automatically_Annotated_Images" / "7" / "a.jpg", copies.picture(7))
    rows = [copies.line("7/a.jpg", 3)]
    copies.write_csv(root / "automatically_annotated_file_list" / "automatically_annotated.csv", rows)
    assert list(read(root).splits) == ["train", "validation"]
    found = read(root, release="original_with_auto", crop="square")
    assert list(found.splits) == ["train", "validation", "automatic"]
    assert found.splits["automatic"].labels.tolist() == [3]


def test_several_faces_of_one_picture_are_several_rows(tmp_path):
    other = copies.line("2/0001.jpg", 4, box=(0, 0, 20, 20))
    faces = read(copies.write_original(tmp_path, split_rows={"training.csv": [other]})).splits["train"]
    assert len(faces) == 9
    assert [str(name) for name in faces.names if "0001" in name] == ["2/0001.jpg#1", "2/0001.jpg#11"]
    assert not np.array_equal(faces.images[1], faces.images[8])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({1: "NULL"}, "training.csv:13:face_x: wanted a number, got 'NULL'"),
        ({3: "-5"}, "training.csv:13:face_width: wanted a number in 1..inf, got '-5'"),
        ({4: "0"}, "training.csv:13:face_height: wanted a number in 1..inf, got '0'"),
        ({2: "1e999"}, "training.csv:13:face_y: wanted a number, got '1e999'"),
        ({5: "1;2;3"}, "training.csv:13:facial_landmarks: wanted 136 numbers joined by ;, got '1;2;3'"),
        ({5: ";".join(["nan"] * 136)}, "training.csv:13:facial_landmarks: wanted 136 numbers"),
        ({7: "much"}, "training.csv:13:valence: wanted a number in -2..1, got 'much'"),
        ({8: "-1.5"}, "training.csv:13:arousal: wanted a number in -1..1, got '-1.5'"),
    ],
    ids=range(8),
)
def test_what_is_odd_about_a_kept_row_is_noted(change, told, tmp_path):
    line = copies.line("2/0001.jpg", 1)
    for place, text in change.items():
        line[place] = text
    root = copies.write_original(tmp_path, split_rows={"training.csv": [line]})
    row = rows_of(root)[11]
    assert row.notes[0].startswith(f"Manually_Annotated_file_lists/{told}")
    assert len(row.notes) == 1
    assert bool(row.quality & Quality.BAD_BOX) == (row.box is None) == (min(change) in (1, 2, 3, 4))
    assert bool(row.quality & Quality.NO_LANDMARKS) == (row.landmarks is None) == (5 in change)
    assert len(read(root).splits["train"]) == 9
    if row.box is None:
        left_out = read(root, drop_bad_box=True).rejected.query("reason == 'bad_box'").iloc[0]
        assert (left_out.row, left_out.detail) == (11, row.notes[0])


@pytest.mark.parametrize(
    ("line", "reason", "told"),
    [
        (["2/0001.jpg"], "label_unknown", "training.csv:13:1: wanted 9 cells, got 1"),
        (copies.line("2/0001.jpg", 11), "label_unknown", "training.csv:13:expression: wanted a whole number in 0..10"),
        (copies.line("2/0001.jpg", "happy"), "label_unknown", "got 'happy'"),
        (copies.line("", 1), "missing", "training.csv:13:subDirectory_filePath: wanted a path, got ''"),
        (copies.line("2/gone.jpg", 1), "missing", "No such file"),
        (copies.line("../../etc/passwd", 1), "missing", "leads out of its folder"),
        (copies.line("/etc/passwd", 1), "missing", "No such file"),
        (copies.line("2/\0.jpg", 1), "missing", "no file can have"),
        (copies.line("2/" + "x" * 5000, 1), "missing", "File name too long"),
    ],
    ids=range(9),
)
def test_a_row_that_cannot_be_used_is_one_rejection(line, reason, told, tmp_path):
    found = read(copies.write_original(tmp_path, split_rows={"training.csv": [line]}))
    bad = found.rejected.query("split == 'train' and reason != 'label_dropped'").iloc[0]
    assert bad.reason == reason
    assert told in bad.detail
    assert len(found.splits["train"]) == 8


def test_a_wild_path_does_not_hide_a_copy_in_a_folder_of_its_own(tmp_path):
    root = copies.write_original(tmp_path / "wrapped", split_rows={"training.csv": [copies.line("../x.jpg", 1)]})
    zipped = miniature.write_zip(tmp_path / "x.zip", root, prefix="my copy/AffectNet/2017/unpacked/")
    assert len(read(zipped).splits["train"]) == 8


def test_blanks_and_percent_signs_in_names(tmp_path):
    root = copies.write_original(
        tmp_path,
        split_rows={"training.csv": [copies.line("  3/a%20b.jpg ", 2), copies.line("3/c%d.jpg", 2)]},
    )
    for name in ("a b.jpg", "c%d.jpg"):
        copies.write_picture(root / "Manually_Annotated_Images" / "3" / name, copies.picture(5))
    assert len(read(root).splits["train"]) == 10


def test_places_that_are_not_affectnet(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"is no AffectNet: looked for training.csv or validation.csv, beside"):
        read(tmp_path / "empty")
    root = copies.write_original(tmp_path / "both")
    copies.write_arrays(root)
    with pytest.raises(DataError, match="looks like original and set8 at once; give the folder of one of them, or"):
        read(root)
    assert len(read(root, release="set8").splits["train"]) == 8
    with pytest.raises(
        DataError,
        match=r"no AffectNet of release named: pictures named .* it looks like `release`=original, `release`=set8\.$",
    ):
        read(root, release="named")
    with pytest.raises(UsageError, match="`release`: wanted one of auto, original"):
        read(root, release="2017")
    lost = copies.write_original(tmp_path / "lost")
    (lost / "Manually_Annotated_Images").rename(lost / "elsewhere_so_deep")
    with pytest.raises(
        DataError, match=r"of the pictures that .*training.csv lists, 11 were looked for, and none is in"
    ):
        read(lost)
    (tmp_path / "parquet").mkdir()
    (tmp_path / "parquet" / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="is a Parquet repackaging of AffectNet, which is not read: unpack it"):
        read(tmp_path / "parquet")


def test_a_header_without_a_column(tmp_path):
    root = copies.write_original(tmp_path)
    path = root / "Manually_Annotated_file_lists" / "training.csv"
    path.write_text(path.read_text().replace("facial_landmarks", "landmarks", 1))
    with pytest.raises(DataError, match=r"training.csv:1: wanted the columns .*; missing: facial_landmarks; got"):
        read(root)


def test_a_column_that_stands_twice(tmp_path):
    root = copies.write_original(tmp_path)
    path = root / "Manually_Annotated_file_lists" / "training.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0] + ",expression", *(line + ",3" for line in lines[1:])]))
    with pytest.raises(DataError, match=r"training.csv:1:expression: wanted each column once, got it 2 times"):
        read(root)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no NumPy file"),
        (b"\x80\x04K\x01.", "no NumPy file"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (10**12,)}", "no NumPy file"),
        (
            b"\x93NUMPY\x01\x00\x40\x00{'descr': '<f8', 'fortran_order': False, 'shape': (999999999,)}".ljust(74),
            "wanted at most 1 numbers, got float64",
        ),
        (b"\x93NUMPY\x01\x00\x46\x00{'descr': '|O', 'fortran_order': False, 'shape': ()}".ljust(80), "never read"),
    ],
    ids=range(5),
)
def test_arrays_from_strangers_are_not_trusted(content, told, tmp_path):
    root = copies.write_arrays(tmp_path)
    (root / "train_set" / "annotations" / "3_exp.npy").write_bytes(content)
    found = read(root)
    bad = found.rejected.iloc[0]
    assert (bad.reason, bad.path) == ("label_unknown", "train_set/images/3.jpg")
    assert told in bad.detail


def test_nothing_is_unpickled(tmp_path):
    root, evidence = copies.write_arrays(tmp_path / "copy"), tmp_path / "executed"

    class Trap:
        def __reduce__(self):
            return (open, (str(evidence), "w"))

    for kind in ("exp", "val", "aro", "lnd"):
        trap = np.empty((), object)
        trap[()] = Trap()
        np.save(root / "train_set" / "annotations" / f"2_{kind}.npy", trap, allow_pickle=True)
    found = read(root)
    assert not evidence.exists()
    assert found.rejected.path.tolist() == ["train_set/images/2.jpg"]
    assert "pickled objects, which are never read" in found.rejected.detail[0]


def test_annotations_that_are_missing_or_alone(tmp_path):
    root = copies.write_arrays(tmp_path)
    annotations = root / "train_set" / "annotations"
    (annotations / "0_exp.npy").unlink()
    (annotations / "1_val.npy").unlink()
    (annotations / "2_lnd.npy").unlink()
    (root / "train_set" / "images" / "5.jpg").unlink()
    np.save(annotations / "6_exp.npy", np.array(9))
    rows = {row.path: row for row in rows_of(root)}
    assert rows["train_set/images/0.jpg"].reason == "label_unknown"
    assert np.isnan(rows["train_set/images/1.jpg"].valence) and len(rows["train_set/images/1.jpg"].notes) == 1
    assert rows["train_set/images/2.jpg"].landmarks is None
    assert Quality.NO_LANDMARKS in rows["train_set/images/2.jpg"].quality
    assert rows["train_set/images/5"].reason == "missing"
    assert rows["train_set/images/6.jpg"].reason == "label_dropped"


def test_votes_of_25_people(tmp_path):
    root = copies.write_original(tmp_path / "copy")
    header = ("index", "filename", *(f"participant{number}" for number in range(25)))
    votes = tmp_path / "c25.csv"
    copies.write_csv(votes, [[1, "2/0001.jpg", *([0] * 20), *([7] * 5)]], header=header)  # their 0 is happy, 7 neutral
    rows = rows_of(root, votes=votes)
    np.testing.assert_allclose(rows[1].soft_label, [0.2, 0.8, 0, 0, 0, 0, 0, 0])
    assert rows[0].soft_label is None
    assert all(row.soft_label is None for row in rows_of(root, "validation", votes=votes)[:8])
    copies.write_csv(votes, [[1, "2/0001.jpg", *([0] * 24), 9]], header=header)
    with pytest.raises(DataError, match=r"`votes`: c25.csv:2:participant24: wanted a whole number in 0..7, got '9'"):
        rows_of(root, votes=votes)
    copies.write_csv(votes, [[1, "2/0099.jpg", *([0] * 25)]], header=header)
    with pytest.raises(
        DataError, match=r"`votes`: their row of .*training.csv:3 is '2/0099.jpg', the list's '0001.jpg'"
    ):
        rows_of(root, votes=votes)
    copies.write_csv(votes, [[1, "2/0001.jpg", *([0] * 25)], [11, "x.jpg", *([0] * 25)]], header=header)
    with pytest.raises(DataError, match=r"`votes`: 1 of their 2 rows, 11 first, are beyond the 11 of .*training.csv"):
        rows_of(root, votes=votes)
    copies.write_csv(votes, [], header=header)
    with pytest.raises(DataError, match=r"`votes`: 'c25.csv' has no row"):
        rows_of(root, votes=votes)
    copies.write_csv(votes, [], header=header[:-1])
    with pytest.raises(DataError, match=r"`votes`: c25.csv:1: wanted index or row_number and 25 columns .* got 24 of"):
        rows_of(root, votes=votes)
    with pytest.raises(UsageError, match="`votes`: goes with the rows of the original's training list"):
        rows_of(copies.write_arrays(tmp_path / "b"), votes=votes)


def test_votes_in_two_files_that_name_no_pictures(tmp_path):
    root = copies.write_original(tmp_path / "copy")
    header = ("row_number", *(f"Participant{number}" for number in range(1, 26)))
    files = [tmp_path / f"expression_set{number}_C25.csv" for number in (1, 2)]
    for row, file in enumerate(files, start=1):
        copies.write_csv(file, [[row, *([row - 1] * 25)]], header=header)  # their 0 is happy, 1 sad
    with open_tree(root) as tree:
        listing = list_affectnet(tree, votes=",".join(map(str, files)))
    assert "taken on trust" in listing.remarks[0]
    rows = list(listing.splits["train"]())
    assert [None if row.soft_label is None else int(row.soft_label.argmax()) for row in rows[:4]] == [None, 1, 2, None]
    with pytest.raises(DataError, match=r"`votes`: expression_set1_C25.csv: wanted each row once, got 1 before"):
        rows_of(root, votes=f"{files[0]}, {files[0]}")
    with pytest.raises(DataError, match=r"`votes`: wanted AffectNetC25's csv, got .*gone.csv, which is not there"):
        rows_of(root, votes=f"{files[0]},{tmp_path}/gone.csv")


@pytest.mark.parametrize("kind", faults.KINDS)
def test_every_fault_of_a_file(kind, tmp_path):
    root = copies.write_original(tmp_path, each=2)
    fault = faults.KINDS[kind]
    path = root / "Manually_Annotated_Images" / "2" / "0001.jpg"
    path.unlink()
    content = fault.make(copies.picture(1))
    if content is not None:
        path.write_bytes(content)
    found = read(root)
    bad = found.rejected.query("split == 'train' and reason != 'label_dropped'")
    assert bad.reason.tolist() == ([fault.reason] if fault.reason else [])
    assert len(found.splits["train"]) == 16 - len(bad)
    if not fault.reason:
        row = next(row for row in rows_of(root) if row.path == "2/0001.jpg")
        assert data.store(row, data.Framing("none", exif="ignore")).quality == fault.quality


EDIT = st.tuples(
    st.integers(0, 3000), st.sampled_from(["delete", "insert", "replace"]), st.binary(min_size=1, max_size=4)
)


def mutated(content: bytes, edits) -> bytes:
    content = bytearray(content)
    for place, kind, what in edits:
        place %= len(content)
        if kind == "delete":
            del content[place : place + len(what)]
        elif kind == "insert":
            content[place:place] = what
        else:
            content[place : place + len(what)] = what
    return bytes(content)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(EDIT, min_size=1, max_size=4))
def test_edited_lists_end_in_our_words(edits, tmp_path_factory):
    root = tmp_path_factory.mktemp("edited")
    copies.write_original(root)
    path = root / "Manually_Annotated_file_lists" / "training.csv"
    path.write_bytes(mutated(path.read_bytes(), edits))
    try:
        read(root, max_reject_frac=1.0)
        rows = rows_of(root)
    except FerError as error:
        assert "\n" not in str(error)
        return
    for row in rows:
        told_of = row.notes if isinstance(row, data.Row) else (row.detail,) * (row.reason == "label_unknown")
        for told in told_of:
            assert told.startswith("Manually_Annotated_file_lists/training.csv:")
            assert told.split(":")[1].isdecimal() and told.split(":")[2]


def test_more_than_the_memory_is_refused_before_anything_is_decoded(tmp_path, monkeypatch):
    root = copies.write_original(tmp_path)
    monkeypatch.setattr("fer_jax.host_memory.available_memory", lambda: 81_920)
    with pytest.raises(
        UsageError, match=r"`size`: 8 pictures of 96 px .*but ExpW and FER2013\) build .* read it by row"
    ):
        data.read("affectnet", root, size=96)
    assert len(data.read("affectnet", root, size=32).splits["train"]) == 8


def test_the_rule_of_valence_and_arousal_in_words():
    agree = {
        "neutral": (0.1, 0.1), "happy": (0.5, -0.3), "sad": (-0.5, -0.3), "surprise": (0.1, 0.6), "fear": (-0.4, 0.6),
        "disgust": (-0.5, 0.2), "anger": (-0.5, 0.5), "contempt": (-0.5, 0.1),
    }  # fmt: skip
    differ = {
        "neutral": (0.4, 0.0), "happy": (-0.5, 0.3), "sad": (0.5, -0.3), "surprise": (0.1, -0.6), "fear": (0.4, 0.6),
        "disgust": (-0.2, 0.1), "anger": (-0.5, -0.5), "contempt": (0.5, 0.1),
    }  # fmt: skip
    for label, name in enumerate(EXPRESSIONS):
        assert consistent(label, *agree[name])
        assert not consistent(label, *differ[name])
        assert consistent(label, float("nan"), 0.3)
        assert label == 0 or not consistent(label, *(0.1 * value for value in agree[name]))
