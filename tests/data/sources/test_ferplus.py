"""FER+: one content in three layouts, every fault with its row, and the counts of the real photographs."""

import collections
import csv
import io
import os
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_jax import data
from fer_jax.data import published
from fer_jax.errors import DataError, FerError, UsageError
from fer_jax.expressions import index_of
from tests.data import miniature

COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")

# Counted in the published copy: COLUMNS' eight, ties or rows without a majority, unknown, not a face.
REAL = {
    ("FER2013Train", "plurality"): (9360, 7408, 3368, 3418, 2395, 175, 651, 165, 1445, 171, 2),
    ("FER2013Train", "majority"): (8733, 7284, 3136, 3022, 2098, 116, 536, 120, 3434, 77, 2),
    ("FER2013Valid", "plurality"): (1241, 877, 441, 396, 314, 31, 70, 26, 159, 23, 1),
    ("FER2013Valid", "majority"): (1180, 862, 411, 348, 289, 25, 60, 16, 377, 11, 0),
}
EDITS = st.tuples(
    st.integers(0, 400), st.sampled_from(["delete", "insert", "replace"]), st.binary(min_size=1, max_size=4)
)


def label_by_words(votes, target):
    """The rule of a target in words, one row at a time: an oracle for the vectorised one."""
    counts = dict(zip(COLUMNS, votes, strict=True))
    if target == "majority":
        counts = {name: count for name, count in counts.items() if count > 1}
        winners = [name for name, count in counts.items() if count > sum(counts.values()) / 2]
    elif target == "votes":
        counts = {index_of(name): count for name, count in counts.items() if name not in ("unknown", "NF")}
        best = max(counts.values())
        return min(index for index, count in counts.items() if count == best) if best else -1
    else:
        winners = [name for name, count in counts.items() if count == max(votes)]
    return index_of(winners[0]) if len(winners) == 1 and winners[0] not in ("unknown", "NF") else -1


@pytest.mark.parametrize("target", ["plurality", "majority", "votes"])
@settings(deadline=None, max_examples=60)
@given(votes=st.lists(st.lists(st.integers(0, 10), min_size=10, max_size=10), min_size=1, max_size=20))
def test_labels_follow_the_rule_in_words(target, votes):
    labels, why = data.ferplus_labels(np.array(votes), target=target)
    assert labels.dtype == np.int32
    assert labels.tolist() == [label_by_words(row, target) for row in votes]
    assert [bool(reason) for reason in why] == (labels < 0).tolist()


@pytest.fixture
def rows():
    return miniature.rows()


@pytest.fixture
def folder(tmp_path, rows):
    return miniature.write_folder(tmp_path / "data", rows)


@pytest.mark.parametrize("target", ["plurality", "majority", "votes"])
def test_three_layouts_give_one_set(tmp_path, rows, folder, target):
    forms = [
        folder,
        tmp_path,  # with its data/ level
        miniature.write_folder(tmp_path / "no_box", rows, box=False),
        miniature.write_zip(tmp_path / "a.zip", folder),
        miniature.write_zip(tmp_path / "b.zip", folder, prefix=""),
        miniature.write_csv_pair(tmp_path / "csv", rows),
        miniature.write_zip(tmp_path / "c.zip", tmp_path / "csv", prefix=""),
    ]
    first, *others = [data.read("ferplus", form, target=target) for form in forms]
    assert list(first.splits) == ["train", "validation", "test"]
    for other in others:
        for split, faces in first.splits.items():
            assert data.fingerprint(other.splits[split]) == data.fingerprint(faces)
        assert other.rejected[["split", "path", "reason", "detail"]].equals(
            first.rejected[["split", "path", "reason", "detail"]]
        )


def test_pixels_and_labels_are_those_written(folder, rows):
    found = data.read("ferplus", folder)
    faces = found.splits["train"]
    written = {f"FER2013Train/{name}": (votes, grey) for usage, name, votes, grey in rows if usage == "Training"}
    assert len(faces) == 7
    for image, label, name in zip(faces.images, faces.labels, faces.names, strict=True):
        votes, grey = written[name]
        np.testing.assert_array_equal(image, np.repeat(grey[..., None], 3, 2))
        assert index_of(found.categories[label]) == label_by_words(votes, "plurality")
    assert faces.soft_labels is None
    assert faces.rows.tolist() == [0, 1, 3, 4, 5, 6, 7]


def test_what_is_left_out_says_why(folder):
    plurality = data.read("ferplus", folder).rejected.query("split == 'train'")
    assert list(zip(plurality.row, plurality.reason, plurality.detail, strict=True)) == [
        (2, "label_dropped", "tie"),
        (8, "label_dropped", "unknown"),
        (9, "label_dropped", "not a face"),
    ]
    majority = data.read("ferplus", folder, target="majority").rejected.query("split == 'train'")
    assert majority.detail.tolist() == ["no majority", "no majority", "unknown", "not a face"]


def test_votes_become_a_distribution(folder):
    found = data.read("ferplus", folder, target="votes")
    faces = found.splits["train"]
    assert found.rejected.detail.unique().tolist() == ["no vote on the eight"]
    assert faces.soft_labels.dtype == np.float32
    np.testing.assert_allclose(faces.soft_labels.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(faces.soft_labels[2][[index_of("surprise"), index_of("sadness")]], 0.5)
    unsure = faces.soft_labels[faces.rows.tolist().index(8)]  # one neutral, one happy, eight unknown
    np.testing.assert_allclose(unsure, [0.5, 0.5, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(faces.soft_labels.argmax(1), faces.labels)


@pytest.mark.parametrize("target", ["plurality", "majority"])
def test_votes_can_stand_beside_labels(folder, target):
    plain = data.read("ferplus", folder, target=target)
    voted = data.read("ferplus", folder, target=target, with_votes=True)
    every = data.read("ferplus", folder, target="votes")
    assert voted.categories == plain.categories != every.categories  # a stray vote makes no category
    assert voted.rejected.equals(plain.rejected)
    for split, faces in voted.splits.items():
        assert data.fingerprint(faces) == data.fingerprint(plain.splits[split])
    faces, whole = voted.splits["train"], every.splits["train"]
    there, columns = np.isin(whole.names, faces.names), [every.categories.index_of(name) for name in voted.categories]
    shares = whole.soft_labels[there][:, columns]
    np.testing.assert_allclose(faces.soft_labels, shares / shares.sum(1, keepdims=True), rtol=1e-6)


def test_another_size(folder):
    small, large = (data.read("ferplus", folder, size=size).splits["train"].images for size in (24, 96))
    whole = data.read("ferplus", folder).splits["train"].images.astype(float)
    assert small.shape[1:] == (24, 24, 3)
    assert large.shape[1:] == (96, 96, 3)
    means = whole.reshape(-1, 24, 2, 24, 2, 3).mean((2, 4))
    assert np.abs(small - means).max() <= 0.5


def edit_labels(folder, edit, name="FER2013Train/label.csv"):
    path = folder / name
    lines = path.read_text().splitlines()
    path.write_text("\n".join(edit(lines)) + "\n")


@pytest.mark.parametrize(
    ("row", "reason", "told"),
    [
        ('fer0000000.png,"(0, 0, 48, 48)",x,0,0,0,0,0,0,0,0,0', "label_unknown", "wanted ten whole counts"),
        ('fer0000000.png,"(0, 0, 48, 48)",-1,0,0,0,0,0,0,0,0,0', "label_unknown", "wanted ten whole counts"),
        ('fer0000000.png,"(0, 0, 48, 48)",4.5,0,0,0,0,0,0,0,0,0', "label_unknown", "wanted ten whole counts"),
        ('fer0000000.png,"(0, 0, 48, 48)",99999999999999999999,0,0,0,0,0,0,0,0,0', "label_unknown", "0..1000"),
        ('fer0000000.png,"(0, 0, 48, 48)",,0,0,0,0,0,0,0,0,0', "label_unknown", "wanted ten whole counts"),
        ('fer0000000.png,"(0, 0, 48, 48)",٣,0,0,0,0,0,0,0,0,0', "label_unknown", "wanted ten whole counts"),
        ('fer0000000.png,"(0, 0, 48, 48)",4,0,0,0,0', "label_unknown", "wanted 11 or 12 columns, got 7"),
        ("fer0000000.png,(0, 0, 48, 48),4,0,0,0,0,0,0,0,0,0", "label_unknown", "got 15"),
        ('fer0000000.png,"(0, 0, 48, 48)"x,4,0,0,0,0,0,0,0,0,0', "label_unknown", "wanted 11 or 12 columns, got 1"),
        ('fer9999999.png,"(0, 0, 48, 48)",4,0,0,0,0,0,0,0,0,0', "missing", "No such file"),
        ('../../secret.png,"(0, 0, 48, 48)",4,0,0,0,0,0,0,0,0,0', "missing", "wanted a plain file name"),
        ('..,"(0, 0, 48, 48)",4,0,0,0,0,0,0,0,0,0', "missing", "wanted a plain file name"),
        (',"(0, 0, 48, 48)",4,0,0,0,0,0,0,0,0,0', "label_dropped", "no image name"),
        ('fer0000001.png,"(0, 0, 48, 48)",4,0,0,0,0,0,0,0,0,0', "duplicate", "occurs before"),
    ],
    ids=range(14),
)
def test_a_bad_row_is_one_row(folder, row, reason, told):
    edit_labels(folder, lambda lines: [*lines, row])
    found = data.read("ferplus", folder, max_reject_frac=0.2)
    bad = found.rejected.query("split == 'train' and row == 10").iloc[0]
    assert bad.reason == reason
    assert told in bad.detail
    if reason == "label_unknown":
        assert "FER2013Train/label.csv:11:" in bad.detail
    assert len(found.splits["train"]) == 7


def test_bad_pictures_are_left_out_and_listed(folder):
    train = folder / "FER2013Train"
    whole = (train / "fer0000000.png").read_bytes()
    (train / "fer0000000.png").write_bytes(whole[:1000])
    (train / "fer0000001.png").write_bytes(b"")
    (train / "fer0000003.png").write_text("not a picture")
    (train / "fer0000004.png").unlink()
    (train / "stray.png").write_bytes(whole)
    found = data.read("ferplus", folder, max_reject_frac=0.6)
    unexpected = found.rejected.query("split == 'train' and reason != 'label_dropped'")
    assert dict(zip(unexpected.path.str.removeprefix("FER2013Train/"), unexpected.reason, strict=True)) == {
        "stray.png": "label_unknown",
        "fer0000000.png": "decode_failed",
        "fer0000001.png": "empty",
        "fer0000003.png": "not_image",
        "fer0000004.png": "missing",
    }
    assert found.splits["train"].rows.tolist() == [5, 6, 7]
    rows_in = 11
    assert len(found.splits["train"]) + (found.rejected.split == "train").sum() == rows_in
    with pytest.raises(DataError) as caught:
        data.read("ferplus", folder)
    assert str(caught.value) == (
        "`path`: 5 of 11 rows of train cannot be used (1 label_unknown, 1 decode_failed, 1 empty, 1 not_image, "
        "1 missing), more than `max_reject_frac`=0.01 allows. First: FER2013Train/stray.png: no row in "
        "FER2013Train/label.csv; FER2013Train/fer0000000.png: png of 48 x 48 px is truncated or damaged; "
        "FER2013Train/fer0000001.png: 0 bytes. Repair them, or allow more."
    )
    assert caught.value.exit_code == 2


def test_one_damaged_picture_in_a_zip(tmp_path, folder):
    damaged = folder / "FER2013Valid" / "fer0000010.png"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    found = data.read("ferplus", miniature.write_zip(tmp_path / "x.zip", folder), max_reject_frac=0.1)
    assert found.rejected.query("reason == 'decode_failed'").path.tolist() == ["FER2013Valid/fer0000010.png"]


def test_upper_case_deeper_and_beside_documents(tmp_path, folder):
    wanted = data.read("ferplus", folder)
    other = tmp_path / "kaggle" / "FERPlus" / "Data"
    other.parent.mkdir(parents=True)
    folder.rename(other)
    for split in other.iterdir():
        (split / "label.csv").rename(split / "LABEL.CSV")
        (split / "notes.txt").write_text("x")
        split.rename(split.with_name(split.name.upper()))
    edit_labels(other, lambda lines: [line.replace(",4,", ",4.0,") for line in lines], "FER2013TRAIN/LABEL.CSV")
    for place in (tmp_path / "kaggle", miniature.write_zip(tmp_path / "x.zip", tmp_path / "kaggle", prefix="again/")):
        found = data.read("ferplus", place, max_reject_frac=0)
        for split, faces in wanted.splits.items():
            assert data.fingerprint(found.splits[split]) == data.fingerprint(faces)
        documents = found.rejected.query("reason == 'document'")
        assert documents.path.tolist() == [f"FER2013{split}/notes.txt" for split in ("Train", "Valid", "Test")]


def test_pictures_apart_from_their_labels(tmp_path, folder):
    wanted = data.read("ferplus", folder)
    for split in sorted(folder.iterdir()):
        (tmp_path / "apart" / "Labels" / split.name).mkdir(parents=True)
        (split / "label.csv").rename(tmp_path / "apart" / "Labels" / split.name / "label.csv")
    folder.rename(tmp_path / "apart" / "Images")
    found = data.read("ferplus", tmp_path / "apart", max_reject_frac=0)
    for split, faces in wanted.splits.items():
        assert data.fingerprint(found.splits[split]) == data.fingerprint(faces)


def test_several_copies_are_refused(tmp_path, folder):
    for name in ("a", "b"):
        miniature.write_folder(tmp_path / "both" / name, miniature.rows())
    with pytest.raises(DataError, match=r"holds several copies of FER., in a and b; give one of these folders"):
        data.read("ferplus", tmp_path / "both")


def test_the_csv_pair_under_other_names(tmp_path, rows):
    pair = miniature.write_csv_pair(tmp_path / "a", rows)
    wanted = data.read("ferplus", pair)
    (tmp_path / "b" / "FERPlus").mkdir(parents=True)
    pixels = [line.split(",") for line in (pair / "fer2013.csv").read_text().splitlines()]
    (tmp_path / "b" / "icml_face_data.csv").write_text("\n".join(f"{e}, {u}, {p}" for e, p, u in pixels))
    (pair / "fer2013new.csv").rename(tmp_path / "b" / "FERPlus" / "FER2013new.CSV")
    found = data.read("ferplus", tmp_path / "b")
    for split, faces in wanted.splits.items():
        assert data.fingerprint(found.splits[split]) == data.fingerprint(faces)


def test_only_the_folders_that_exist(folder):
    for name in ("FER2013Test", "FER2013Train"):
        for file in (folder / name).iterdir():
            file.unlink()
        (folder / name).rmdir()
    assert list(data.read("ferplus", folder).splits) == ["validation"]


def test_a_split_without_a_usable_picture_is_an_error(folder):
    edit_labels(folder, lambda lines: [lines[2]], "FER2013Valid/label.csv")
    with pytest.raises(DataError, match="validation has no usable picture"):
        data.read("ferplus", folder, max_reject_frac=1.0)


def test_places_that_are_not_ferplus(tmp_path, folder, rows):
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("train/happy/1.png", b"x")
    looked = (
        "is no FER.: looked for FER2013Train/label.csv, .* for fer2013.csv or icml_face_data.csv with fer2013new.csv"
    )
    for place in ("empty", "other.zip"):
        with pytest.raises(DataError, match=looked) as caught:
            data.read("ferplus", tmp_path / place)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="does not exist"):
        data.read("ferplus", tmp_path / "nowhere")
    pair = miniature.write_csv_pair(tmp_path / "csv", rows)
    (pair / "fer2013new.csv").unlink()
    with pytest.raises(DataError, match=r"has fer2013\.csv but not fer2013new\.csv.*, or give `dataset`=fer2013\.$"):
        data.read("ferplus", pair)
    miniature.write_csv_pair(folder, rows)
    with pytest.raises(DataError, match="holds both"):
        data.read("ferplus", folder)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target": "mean"}, "`target`: wanted one of plurality, majority, votes, got 'mean'"),
        ({"size": 0}, "`size`"),
        ({"size": "48"}, "`size`"),
        ({"max_reject_frac": 2}, "`max_reject_frac`"),
    ],
    ids=range(4),
)
def test_options_out_of_range(folder, options, told):
    with pytest.raises(UsageError, match=told):
        data.read("ferplus", folder, **options)


def test_faults_of_the_csv_pair(tmp_path, rows):
    pair = miniature.write_csv_pair(tmp_path, rows)

    def replace(name, old, new):
        path = pair / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    replace("fer2013new.csv", "Training,fer0000001.png", "Training,")  # FER+ dropped it
    pixels = (pair / "fer2013.csv").read_text().splitlines()
    pixels[1] = pixels[1].replace(" ", " 256 ", 1)
    pixels[4] = pixels[4].replace(",Training", " 7,Training")
    pixels[5] = pixels[5].replace("Training", "PublicTest")
    (pair / "fer2013.csv").write_text("\n".join(pixels) + "\n")
    found = data.read("ferplus", pair, max_reject_frac=0.5)
    listed = found.rejected.query("split == 'train'").set_index("row")
    assert listed.loc[0].reason == "decode_failed"
    assert listed.loc[1].detail == "no image name"
    assert listed.loc[3].detail == "`pixels`: wanted 2304 values, got 2305"
    assert listed.loc[4].detail == "fer2013new.csv:6:Usage: Training here, 'PublicTest' in fer2013.csv"
    (pair / "fer2013.csv").write_text("\n".join(pixels[:-1]) + "\n")
    with pytest.raises(DataError, match="differ in their number of rows"):
        data.read("ferplus", pair, max_reject_frac=0.5)
    replace("fer2013new.csv", "Usage,Image name", "name,usage")
    with pytest.raises(DataError, match=r"fer2013new\.csv:1: wanted the columns Usage, .*; missing: Image name; got"):
        data.read("ferplus", pair, max_reject_frac=0.5)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=st.lists(EDITS, min_size=1, max_size=8))
def test_mutated_tables_end_in_rows_or_one_line(folder, edits):
    path = folder / "FER2013Train" / "label.csv"
    sound = path.read_bytes()
    content = bytearray(sound)
    for place, kind, inserted in edits:
        place %= len(content) + 1
        content[place : place + (kind != "insert")] = b"" if kind == "delete" else inserted
    try:
        path.write_bytes(content)
        found = data.read("ferplus", folder, max_reject_frac=1.0)
    except FerError as error:
        assert "\n" not in str(error)
    else:
        assert len(found.splits["train"]) <= 10
        assert set(found.rejected.reason) <= set(data.REASONS)
    finally:
        path.write_bytes(sound)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["fer2013.csv", "fer2013new.csv"]),
    line=st.integers(0, 3),
    column=st.integers(0, 60),
    inserted=st.binary(min_size=1, max_size=6),
)
def test_mutated_csv_pairs_end_in_rows_or_one_line(tmp_path, name, line, column, inserted):
    pair = miniature.write_csv_pair(tmp_path, miniature.rows()[:3] + miniature.rows()[10:13])
    lines = (pair / name).read_bytes().splitlines()
    lines[line] = lines[line][:column] + inserted + lines[line][column + 2 :]
    (pair / name).write_bytes(b"\n".join(lines))
    try:
        found = data.read("ferplus", pair, max_reject_frac=1.0)
    except FerError as error:
        assert "\n" not in str(error)
    else:
        assert set(found.rejected.reason) <= set(data.REASONS)


def real_zip(real_data):
    return real_data / "ferplus" / "ferplus_train_valid.zip"


@pytest.mark.parametrize(("folder", "target"), REAL, ids=str)
def test_counts_of_the_real_labels(real_data, folder, target):
    with zipfile.ZipFile(real_zip(real_data)) as archive:
        text = archive.read(f"data/{folder}/label.csv").decode()
    votes = np.array([row[2:] for row in csv.reader(io.StringIO(text))], np.int64)
    labels, why = data.ferplus_labels(votes, target=target)
    found = [int((labels == index_of(name)).sum()) for name in COLUMNS[:8]]
    doubt = "tie" if target == "plurality" else "no majority"
    found += [int((why == reason).sum()) for reason in (doubt, "unknown", "not a face")]
    assert tuple(found) == REAL[folder, target]
    assert sum(found) == len(votes)


def test_the_release_says_which_of_the_two_lists_was_read(tmp_path, rows, folder):
    """FER+'s tool writes its csv into the folders, without the boxes of the list that its repository holds there."""
    tool, mixed = tmp_path / "tool", tmp_path / "mixed"
    miniature.write_folder(tool, rows, box=False)
    miniature.write_folder(mixed, [row for row in rows if row[0] == "Training"])
    miniature.write_folder(mixed, [row for row in rows if row[0] != "Training"], box=False)
    forms = {
        folder: "label.csv",
        tool: "fer2013new.csv",
        miniature.write_csv_pair(tmp_path / "csv", rows): "fer2013new.csv",
        mixed: "label.csv and fer2013new.csv",
    }
    for form, wanted in forms.items():
        with data.open_source("ferplus", form, target="majority") as listing:
            assert listing.release == f"ferplus majority of {wanted}"
            (remark,) = [remark for remark in listing.remarks if "two lists of votes" in remark]
            assert remark.startswith(f"These votes are of {wanted}. FER+ has two lists of votes")
            unknown = "No counts by expression are known" in remark
            compared = published.differences(listing.release, "train", np.zeros(8, np.int64), collections.Counter())
            assert unknown == (wanted != "label.csv") == (compared is None)
            assert data.read("ferplus", form).release == f"ferplus plurality of {wanted}"


def test_the_published_counts_are_those_of_the_list_that_was_read(real_data):
    """Label.csv as its repository holds it; pluralities and majorities of another list would be explained wrongly."""
    for target in ("plurality", "majority"):
        with data.open_source("ferplus", real_zip(real_data), target=target) as listing:
            assert listing.release == f"ferplus {target} of label.csv"
            for split, rows in listing.splits.items():
                labels = [row.label for row in rows() if isinstance(row, data.Row)]
                counts = np.bincount(labels, minlength=8)
                assert tuple(counts) == published.PUBLISHED[listing.release][split]
                assert published.differences(listing.release, split, counts, collections.Counter()) == []


@pytest.mark.slow
def test_all_real_pictures_from_the_zip_and_from_the_folder(real_data, tmp_path):
    found = data.read("ferplus", real_zip(real_data))
    assert {split: len(faces) for split, faces in found.splits.items()} == {"train": 26940, "validation": 3396}
    assert set(found.rejected.reason) == {"label_dropped"}
    assert len(found.rejected) + 26940 + 3396 == 32137
    with zipfile.ZipFile(real_zip(real_data)) as archive:
        archive.extractall(tmp_path)
    unpacked = data.read("ferplus", os.fspath(tmp_path))
    for split, faces in found.splits.items():
        assert data.fingerprint(unpacked.splits[split]) == data.fingerprint(faces)
    votes = data.read("ferplus", real_zip(real_data), target="votes")
    assert votes.rejected.detail.tolist() == ["no vote on the eight"] * 2
