"""Class folders: names through the aliases, splits or one pool, pictures of any type."""

import shutil

import cv2
import numpy as np
import pytest

from fer_jax import data
from fer_jax.data.listing import Quality
from fer_jax.data.sources import class_folders
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS, LABEL_TABLES
from tests.data import miniature

SORTED = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")


def write(root, folders, *, suffix=".png", each=2):
    """Pictures whose content says their folder: (20 · number) in all pixels."""
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for picture in range(each):
            image = np.full((12, 16, 3), 20 * number + picture, np.uint8)
            (root / folder / f"{picture}{suffix}").write_bytes(cv2.imencode(suffix, image)[1].tobytes())
    return root


def test_one_pool_of_names(tmp_path):
    found = data.read("class_folders", write(tmp_path, SORTED), size=8)
    assert list(found.splits) == ["train"]
    faces = found.splits["train"]
    assert faces.images.shape == (16, 8, 8, 3)
    wanted = LABEL_TABLES["sorted_names_8"]
    for image, label, name in zip(faces.images, faces.labels, faces.names, strict=True):
        assert SORTED[wanted.index(label)] == name.split("/")[0]
        assert image[0, 0, 0] // 20 == wanted.index(label)
    assert faces.rows.tolist() == list(range(16))


@pytest.mark.parametrize("name", ["glad/1.png", "val_set/glad/deep/1.png", "train/images/glad/1.png"])
def test_the_class_folder_in_a_name(name):
    assert class_folders.class_folder_of(name) == "glad"
    assert class_folders.class_folder_of("1.png") == class_folders.class_folder_of("train/1.png") == ""


def test_numbered_and_named_folders_of_the_same_pictures_agree(tmp_path):
    named = data.read("class_folders", write(tmp_path / "a", EXPRESSIONS), size=8).splits["train"]
    numbered = data.read("class_folders", write(tmp_path / "b", map(str, range(8))), size=8, label_table="affectnet")
    numbered = numbered.splits["train"]
    by_pixel = {image[0, 0, 0]: label for image, label in zip(named.images, named.labels, strict=True)}
    assert len(by_pixel) == 16
    assert [by_pixel[image[0, 0, 0]] for image in numbered.images] == numbered.labels.tolist()


@pytest.mark.parametrize("folders", [["0"], ["happy"]], ids=str)
def test_an_unknown_table_is_refused(folders, tmp_path):
    with pytest.raises(UsageError, match=r"`label_table`: wanted one of affectnet, fer2013, .* got 'kaggle'"):
        data.read("class_folders", write(tmp_path, folders), size=8, label_table="kaggle")


def test_numbers_want_a_table_and_may_be_dropped(tmp_path):
    write(tmp_path, ["0", "8"])
    with pytest.raises(DataError, match="the class folder '0' is a number"):
        data.read("class_folders", tmp_path, size=8)
    found = data.read("class_folders", tmp_path, size=8, label_table="affectnet")
    assert found.rejected.reason.tolist() == ["label_dropped"] * 2
    with pytest.raises(DataError, match=r"numbers its classes 0\.\.6, got 8"):
        data.read("class_folders", tmp_path, size=8, label_table="fer2013")


@pytest.mark.parametrize("names", [("train", "val"), ("Training", "valid"), ("TRAIN", "validation")], ids=str)
def test_splits_and_zips(tmp_path, names):
    for name in names:
        write(tmp_path / "set" / name, ["happy", "Sad"])
    (tmp_path / "set" / "README.txt").write_text("no picture")
    found = data.read("class_folders", tmp_path / "set", size=8)
    assert {split: faces.labels.tolist() for split, faces in found.splits.items()} == {
        "train": [1, 1, 0, 0],
        "validation": [1, 1, 0, 0],
    }
    zipped = data.read("class_folders", miniature.write_zip(tmp_path / "x.zip", tmp_path / "set", prefix=""), size=8)
    for split, faces in found.splits.items():
        assert data.fingerprint(zipped.splits[split]) == data.fingerprint(faces)


def test_types_by_content_and_faults_by_row(tmp_path):
    write(tmp_path, ["happy"], suffix=".bmp", each=4)
    (tmp_path / "happy" / "0.bmp").rename(tmp_path / "happy" / "0.JPG")
    (tmp_path / "happy" / "1.bmp").write_text("text")
    (tmp_path / "happy" / "with blank%20.PNG").write_bytes((tmp_path / "happy" / "2.bmp").read_bytes())
    (tmp_path / "happy" / ".DS_Store").write_text("x")
    found = data.read("class_folders", tmp_path, size=8, max_reject_frac=0.5)
    assert sorted(found.splits["train"].names) == [
        "happy/0.JPG",
        "happy/2.bmp",
        "happy/3.bmp",
        "happy/with blank%20.PNG",
    ]
    assert found.rejected[["path", "reason"]].to_numpy().tolist() == [["happy/1.bmp", "not_image"]]


def test_folders_that_are_not_classes(tmp_path):
    with pytest.raises(DataError, match="has no pictures in folders: looked for class folders"):
        data.read("class_folders", tmp_path, size=8)
    write(tmp_path, ["hapy"])
    with pytest.raises(DataError, match="Did you mean `happy`"):
        data.read("class_folders", tmp_path, size=8)
    write(tmp_path, ["train/happy"])
    with pytest.raises(DataError, match=r"mixes split folders with others \(hapy\)"):
        data.read("class_folders", tmp_path, size=8)


def test_a_folder_in_the_wrong_place_is_named(tmp_path):
    write(tmp_path, ["happy", "sad", "happy/sad", "happy/person 7"])
    with pytest.raises(DataError, match=r"'sad' lies in 'happy': wanted one class folder around a picture\. Move"):
        data.read("class_folders", tmp_path, size=8)
    (tmp_path / "happy" / "sad" / "0.png").unlink()
    (tmp_path / "happy" / "sad" / "1.png").unlink()
    labels = data.read("class_folders", tmp_path, size=8).splits["train"].labels
    assert labels.tolist().count(0) == 4  # deeper folders, of people say, are welcome


def test_numbers_before_names_count_for_nothing(tmp_path):
    write(tmp_path, ["0_angry", "1. Happy", "02-Überraschung", "(3) fear", "4 sad"])
    faces = data.read("class_folders", tmp_path, size=8).splits["train"]
    assert {
        str(name).split("/")[0]: EXPRESSIONS.index(faces.categories[label])
        for name, label in zip(faces.names, faces.labels, strict=True)
    } == {
        "0_angry": 6,
        "1. Happy": 1,
        "02-Überraschung": 3,
        "(3) fear": 4,
        "4 sad": 2,
    }


def test_a_numbering_from_another_first_number_is_refused(tmp_path):
    write(tmp_path / "one", map(str, range(1, 9)))
    with pytest.raises(DataError, match=r"numbers its folders 1\.\.8, but affectnet numbers affectnet \(0 neutral, 1"):
        data.read("class_folders", tmp_path / "one", size=8, label_table="affectnet")
    write(tmp_path / "zero", map(str, range(7)))
    with pytest.raises(DataError, match=r"rafdb numbers its classes 1\.\.7, got 0"):
        data.read("class_folders", tmp_path / "zero", size=8, label_table="rafdb")
    with pytest.raises(
        DataError, match=r"say whose numbering .*: affectnet \(0 neutral, .*ckplus \(0 neutral, 1 anger"
    ):
        data.read("class_folders", tmp_path / "zero", size=8)


def test_documents_are_rows_but_no_bad_pictures(tmp_path):
    write(tmp_path, ["happy", "sad"], each=2)
    for name in ("happy/README", "happy/0.pts", "happy/0.txt", "sad/list.CSV", "sad/paper.pdf", "sad/0.json"):
        (tmp_path / name).write_text("x")
    (tmp_path / "docs" / "more").mkdir(parents=True)
    (tmp_path / "docs" / "more" / "licence.txt").write_text("x")
    found = data.read("class_folders", tmp_path, size=8, max_reject_frac=0)
    assert len(found.splits["train"]) == 4
    assert found.rejected.reason.tolist() == ["document"] * 6
    (tmp_path / "sad" / "readme.png").write_text("x")  # named like a picture: a bad one
    with pytest.raises(DataError, match=r"1 of 5 rows of train cannot be used \(1 not_image\)"):
        data.read("class_folders", tmp_path, size=8)


def test_what_was_odd_is_told_of_pictures_that_were_kept(tmp_path):
    write(tmp_path, ["happy", "sad"], each=3)
    rng = np.random.default_rng(0)
    for name in ("happy/0.png", "sad/7.png", "sad/8.png"):
        image = rng.integers(0, 256, (12, 16, 3), np.uint8)
        if name == "happy/0.png":
            shown = image
        (tmp_path / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    (tmp_path / "sad" / "9.png").write_bytes(cv2.imencode(".png", shown)[1].tobytes())
    (tmp_path / "sad" / "flat.jpg").write_bytes(cv2.imencode(".jpg", np.full((16, 16, 3), 99, np.uint8))[1].tobytes())
    found = data.read("class_folders", tmp_path, size=8)
    flagged = {row.path: (row.flags, row.detail) for row in found.flagged.itertuples()}
    assert flagged["sad/9.png"] == ("duplicate", "the same picture is in train as happy")
    assert flagged["sad/flat.jpg"] == ("one_colour", "")
    assert flagged["happy/1.png"] == ("one_colour", "")
    assert not {"happy/0.png", "sad/7.png", "sad/8.png"} & set(flagged)
    part = found.splits["train"]
    told = [bool(bits & Quality.ONE_COLOUR) for bits in part.quality]
    assert told == [np.ptp(image.reshape(-1, 3), axis=0).max() <= 2 for image in part.images]
    row = data.Row(0, "x", 1, (tmp_path / "sad" / "flat.jpg").read_bytes)
    assert Quality.ONE_COLOUR in data.store(row, data.Framing("none")).quality
    assert found.remarks[1].startswith("Folders were taken for expressions: happy as happy")


def test_progress_is_of_all_rows(tmp_path):
    for split in ("train", "val"):
        write(tmp_path / split, ["happy", "sad"])
    (tmp_path / "val" / "sad" / "notes.txt").write_text("x")
    told = []
    data.read("class_folders", tmp_path, size=8, progress=lambda done, total: told.append((done, total)))
    assert [one for one in told if one[0]] == [(done, 9) for done in range(1, 10)]
    assert [one for one in told if not one[0]] == [(0, listed) for listed in range(1, 10)]


def test_too_much_damage_says_all_that_was_left_out(tmp_path):
    write(tmp_path, ["happy", "sad"], each=3)
    for name in ("happy/0.png", "sad/1.png"):
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(data.TooManyRejected, match="2 of 6 rows of train cannot be used") as caught:
        data.read("class_folders", tmp_path, size=8)
    assert caught.value.rejected.path.tolist() == ["happy/0.png", "sad/1.png"]
    assert list(caught.value.rejected) == list(data.REJECTED_COLUMNS)
    assert isinstance(caught.value, DataError) and caught.value.exit_code == 2


def test_what_computers_leave_is_not_there(tmp_path):
    write(tmp_path / "set", ["happy", "sad"])
    junk = (
        "__MACOSX/happy/._0.png",
        "happy/._0.png",
        ".DS_Store",
        "happy/Thumbs.db",
        "sad/@eaDir/0.png",
        "sad/desktop.ini",
    )
    for name in junk:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_text("x")
    zipped = miniature.write_zip(tmp_path / "x.zip", tmp_path / "set", prefix="")
    for place in (tmp_path / "set", zipped):
        found = data.read("class_folders", place, size=8)
        assert (len(found.splits["train"]), len(found.rejected)) == (4, 0)


def test_nothing_is_lost_however_deep_it_lies(tmp_path):
    deep = tmp_path / "happy" / "/".join(f"level {number}" for number in range(12))
    write(deep.parent, [deep.name])
    assert len(data.read("class_folders", tmp_path, size=8).splits["train"]) == 2


def test_a_readme_beside_the_folder_around_everything(tmp_path):
    write(tmp_path / "outer" / "set", ["happy", "sad"])
    for name in ("README.md", "LICENSE", "paper.pdf", "labels.csv"):
        (tmp_path / "outer" / name).write_text("x")
    zipped = miniature.write_zip(tmp_path / "x.zip", tmp_path / "outer", prefix="again/")
    for place in (tmp_path / "outer", zipped):
        assert data.read("class_folders", place, size=8).splits["train"].labels.tolist() == [0, 0, 1, 1]
    (tmp_path / "outer" / "face.png").write_text("x")  # a picture that would be lost
    with pytest.raises(
        DataError, match=r"'set' is no expression's: .* It holds 'happy': put happy/set/ in .* or give set/ alone"
    ):
        data.read("class_folders", tmp_path / "outer", size=8)


def test_pictures_outside_class_folders_are_rows_too(tmp_path):
    for split in ("train_set", "dev"):
        write(tmp_path / split, ["happy", "sad"], each=3)
    for name in ("train_set/stray.png", "front page.jpg", "notes.txt", "model.bin"):
        (tmp_path / name).write_bytes((tmp_path / "dev" / "sad" / "0.png").read_bytes())
    with pytest.raises(
        DataError, match=r"2 of 8 rows of train cannot be used .*front page.jpg: a picture that lies in no"
    ):
        data.read("class_folders", tmp_path, size=8)
    found = data.read("class_folders", tmp_path, size=8, max_reject_frac=0.5)
    assert {split: len(faces) for split, faces in found.splits.items()} == {"train": 6, "validation": 6}
    assert sorted(found.rejected.path) == ["front page.jpg", "train_set/stray.png"]


def test_a_folder_of_images_between_split_and_class(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / split / "images", ["happy", "sad"])
    found = data.read("class_folders", tmp_path, size=8)
    assert {split: faces.labels.tolist() for split, faces in found.splits.items()} == {
        "train": [0, 0, 1, 1],
        "test": [0, 0, 1, 1],
    }
    write(tmp_path / "half" / "test" / "images", ["happy", "sad"])
    assert list(data.read("class_folders", tmp_path / "half", size=8).splits) == ["test"]  # never called train


def test_what_to_do_is_said_of_the_folder_that_it_is_about(tmp_path):
    write(tmp_path / "wrapped" / "dataset", ["Ahegao", "Angry", "Happy"])
    with pytest.raises(
        DataError, match=r"the folder 'Ahegao' is no expression's: .* Rename it, or move it out of the set"
    ):
        data.read("class_folders", tmp_path / "wrapped", size=8)
    for person in ("anna", "ben"):
        write(tmp_path / "people" / person, ["happy", "sad"])
    with pytest.raises(
        DataError, match=r"'anna' is no expression's: .* put happy/anna/ in its place, or give anna/ alone"
    ):
        data.read("class_folders", tmp_path / "people", size=8)
    write(tmp_path / "numbers", map(str, range(8)))
    with pytest.raises(DataError, match=r"'0' is a number; say .*sorted_names_8 \(0 anger") as caught:
        data.read("class_folders", tmp_path / "numbers", size=8)
    assert "sorted_names_7" not in str(caught.value) and "rafdb" not in str(caught.value)  # these have no eight


@pytest.mark.parametrize("name", ["train.zip", "images.tar.gz", "set.part01.rar", "all.7z.001"])
def test_archives_that_nobody_unpacked(name, tmp_path):
    (tmp_path / "set" / "here").mkdir(parents=True)
    (tmp_path / "set" / "here" / name).write_bytes(b"PK")
    for kind in ("class_folders", "ferplus", "affectnet", "ckplus"):
        with pytest.raises(
            DataError, match=rf"(looked for|no expression).* It holds here/{name}, still packed: unpack, and give the"
        ):
            data.read(kind, tmp_path / "set", size=8)


def test_a_zip_in_a_folder_is_named_where_it_can_be_given_as_it_is(tmp_path):
    write(tmp_path / "pictures", SORTED)
    for place in ("alone", "beside", "inside", "damaged"):
        (tmp_path / place).mkdir()
    packed = miniature.write_zip(tmp_path / "alone" / "set.zip", tmp_path / "pictures", prefix="")
    with pytest.raises(DataError, match=rf"It holds set\.zip: give {packed} itself, no need to unpack\.$"):
        data.read("class_folders", tmp_path / "alone", size=8)
    assert len(data.read("class_folders", packed, size=8).splits["train"])
    shutil.copy(packed, tmp_path / "beside")
    (tmp_path / "beside" / "more.zip").write_bytes(b"PK")
    (tmp_path / "damaged" / "set.zip").write_bytes(packed.read_bytes()[:-1000])
    around = miniature.write_zip(tmp_path / "inside" / "all.zip", tmp_path / "alone", prefix="")
    for place in (tmp_path / "beside", tmp_path / "damaged", tmp_path / "inside", around):
        with pytest.raises(DataError, match="still packed: unpack, and give the folder"):
            data.read("class_folders", place, size=8)


def test_archives_beside_what_was_read_are_told(tmp_path):
    write(tmp_path / "set", SORTED)
    (tmp_path / "set" / "contempt.zip").write_bytes(b"PK")
    (tmp_path / "set.7z").write_bytes(b"7z")
    (tmp_path / "set.rar").write_bytes(b"Rar")
    found = data.read("class_folders", tmp_path, size=8)
    assert found.remarks[1:] == (
        "Not read, for still packed: contempt.zip. Unpack what belongs to the set.",
        "Not read, for still packed: set.7z and 1 more. Unpack what belongs to the set.",
    )


def test_splits_inside_class_folders_are_refused(tmp_path):
    """A pool of both would train on what is meant for validation."""
    write(tmp_path / "splits", [f"{name}/{split}" for name in SORTED[:3] for split in ("Train", "Validation")])
    told = "'Train' lies in 'Anger': wanted split folders around class folders. Put Train/Anger/ in its place"
    with pytest.raises(DataError, match=told):
        data.read("class_folders", tmp_path / "splits", size=8)
    write(tmp_path / "people", [f"{name}/{person}" for name in SORTED[:3] for person in ("Val", "Dev")])  # first names
    assert len(data.read("class_folders", tmp_path / "people", size=8).splits["train"]) == 12


def test_links_that_lead_upwards_are_not_followed(tmp_path):
    write(tmp_path / "set", ["happy", "sad"])
    write(tmp_path / "elsewhere", ["x"])
    (tmp_path / "set" / "happy" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "sad" / "itself").symlink_to("itself")
    (tmp_path / "set" / "fear").symlink_to(tmp_path / "elsewhere" / "x")
    found = data.read("class_folders", tmp_path / "set", size=8, max_reject_frac=0.2)
    assert found.splits["train"].labels.tolist() == [2, 2, 0, 0, 1, 1]
    assert found.rejected.path.tolist() == ["sad/itself"]


def test_the_folder_that_a_zip_puts_around_everything(tmp_path):
    write(tmp_path / "set", SORTED)
    whole = data.read("class_folders", tmp_path / "set", size=8)
    (tmp_path / "set" / "happy").mkdir()
    (tmp_path / "set" / "happy" / "desktop.ini").write_text("[.ShellClassInfo]")
    for prefix in ("my pictures/", "a/b/"):
        zipped = miniature.write_zip(tmp_path / "x.zip", tmp_path / "set", prefix=prefix)
        found = data.read("class_folders", zipped, size=8)
        assert data.fingerprint(found.splits["train"]) == data.fingerprint(whole.splits["train"])
        with pytest.raises(DataError, match=r"no pictures in folders|is no RAF-DB"):
            data.read("rafdb", zipped)


def test_a_zip_with_a_password_says_so(tmp_path):
    zipped = miniature.write_zip(tmp_path / "x.zip", write(tmp_path / "set", ["happy"]), prefix="")
    content = bytearray(zipped.read_bytes())
    place = -1
    while (place := content.find(b"PK\x01\x02", place + 1)) >= 0:
        content[place + 8] |= 1
    zipped.write_bytes(content)
    with pytest.raises(DataError, match="has a password; unpack it and give the folder"):
        data.read("class_folders", zipped, size=8)


def test_what_telephones_make_is_called_by_its_name(tmp_path):
    write(tmp_path, ["happy"])
    (tmp_path / "happy" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    found = data.read("class_folders", tmp_path, size=8, max_reject_frac=0.5)
    assert found.rejected.detail.tolist() == ["HEIC or AVIF, or a film; export it as JPEG or PNG"]
