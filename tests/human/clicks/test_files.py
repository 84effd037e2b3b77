"""A click study from disk: what fits is read, what is odd or hostile is refused in one line."""

import hashlib
import io
import json
import pathlib
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS
from tests.human.clicks.test_dataset import SIZE, assert_equal, png

SIDE = "data/study-fer2afc_description-"


@pytest.fixture(scope="session")
def pictures(small_study):
    return np.random.default_rng(0).integers(0, 256, (len(small_study), SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def folder(small_cohort, small_study, pictures, tmp_path):
    """A study's folder with its stimuli in images/."""
    human.trials.write(tmp_path / "study", small_cohort)
    for name, picture in zip(small_study["image"], pictures, strict=True):
        (tmp_path / "study" / "images").mkdir(exist_ok=True)
        (tmp_path / "study" / "images" / name).write_bytes(png(picture))
    return tmp_path / "study"


@pytest.fixture
def run(small_cohort, small_study, pictures, tmp_path):
    """What a run leaves of its stages data, design and people: validation pictures in an order of their own."""
    place = tmp_path / "run"
    human.trials.write(place / "people", small_cohort)
    order = np.random.default_rng(2).permutation(len(small_study))
    for part in ("tables", "data"):
        (place / part).mkdir()
    small_study.assign(row=np.argsort(order)).to_csv(place / "tables" / "study_images.csv", index=False)
    names = small_study["image"].to_numpy(str)[order]
    np.savez(place / "data" / "pictures.npz", validation_images=pictures[order], validation_names=names)
    (place / "run.json").write_text(json.dumps({"config": {"dataset": "procedural_faces"}}))
    return place


def refused(told, *arguments, kind=DataError, **options):
    with pytest.raises(kind, match=told) as found:
        human.clicks.load(*arguments, **options)
    assert "\n" not in str(found.value)


def test_a_study_and_a_run_of_the_same_people_are_the_same_set(folder, run, small_cohort, small_study, pictures):
    wanted = human.clicks.assemble(small_cohort, pictures, small_study)
    of_run = human.clicks.load(run)
    assert_equal(of_run, wanted)
    assert of_run.synthetic is True
    of_folder = human.clicks.load(folder)
    assert of_folder.synthetic is None
    assert_equal(of_folder, human.clicks.assemble(small_cohort, of_folder.pictures))
    rows = human.study.positions(small_study, of_folder.study["image"])
    np.testing.assert_array_equal(of_folder.pictures, pictures[rows])
    pd.testing.assert_frame_equal(
        of_folder.study, wanted.study.iloc[rows].reset_index(drop=True), check_index_type=False
    )


def test_images_lie_elsewhere_and_without_their_suffix(folder, small_cohort, tmp_path):
    (folder / "images").rename(tmp_path / "faces")
    assert human.clicks.load(folder, images=tmp_path / "faces").simulated == "all"
    refused("`images`: wanted the folder of the sharp stimuli, got .*images, which is none", folder)
    trials = small_cohort.trials.assign(image=small_cohort.trials["image"].str.removesuffix(".png"))
    clicks = small_cohort.clicks.assign(image=small_cohort.clicks["image"].str.removesuffix(".png"))
    human.trials.write(folder, human.Trials(small_cohort.participants, trials, clicks, small_cohort.events))
    assert human.clicks.load(folder, images=tmp_path / "faces").study["image"].str.endswith(".png").sum() == 0


def test_grey_stimuli_of_a_folder_and_of_a_run(folder, run, pictures, small_study):
    grey = pictures[..., 0]
    for name, picture in zip(small_study["image"], grey, strict=True):
        (folder / "images" / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    rows = human.study.positions(small_study, human.clicks.load(folder).study["image"])
    np.testing.assert_array_equal(human.clicks.load(folder).pictures, np.repeat(grey[rows, :, :, None], 3, -1))
    with np.load(run / "data" / "pictures.npz") as arrays:
        found = dict(arrays)
    np.savez(run / "data" / "pictures.npz", **found | {"validation_images": found["validation_images"][..., :1]})
    np.testing.assert_array_equal(human.clicks.load(run).pictures, np.repeat(grey[..., None], 3, -1))


def test_the_hash_of_a_stimulus_is_checked(folder, small_cohort):
    name = small_cohort.trials["image"].iloc[3]
    digest = hashlib.sha256((folder / "images" / name).read_bytes()).hexdigest()
    told = small_cohort.trials.assign(image_sha256=small_cohort.trials["image"].map({name: digest}).astype("str"))
    human.trials.write(folder, human.Trials(small_cohort.participants, told, small_cohort.clicks, small_cohort.events))
    assert human.clicks.load(folder).simulated == "all"
    picture = cv2.imread(str(folder / "images" / name))
    picture[0, 0] ^= 1
    cv2.imwrite(str(folder / "images" / name), picture)
    refused(r"trials_data\.csv: row 4 .*: image_sha256: wanted the SHA-256 of the picture", folder)


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "/etc/passwd", "a/../../b.png", "..\\b.png", "C:b.png", "a\x00b.png", "a\nb.png", ".", ".."],
)  # fmt: skip
def test_a_name_never_leaves_its_folder(name, folder, pictures):
    (folder / "secret.png").write_bytes(png(pictures[0]))
    with pytest.raises(DataError, match=r"`images`: wanted names within the folder, got ") as found:
        human.clicks.read_stimuli(folder / "images", [name])
    assert "\n" not in str(found.value)


def test_a_hostile_table_does_not_lead_out_either(folder, small_cohort):
    name = small_cohort.trials["image"].iloc[0]
    for table in ("trials", "clicks"):
        path = folder / f"{SIDE}{table}_data.csv"
        path.write_text(path.read_text().replace(name, "../../../etc/passwd"))
    refused("wanted names within the folder, got '../../../etc/passwd'", folder)
    path.write_bytes(path.read_bytes()[:-7] + b'"')
    refused(r"clicks_data\.csv:\d+:", folder)


def header_only(width, height):
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda p: None, "cannot be read: No such file or directory; the trials name it"),
        (lambda p: b"", "wanted a PNG, which is lossless, got a file that starts with b''"),
        (lambda p: cv2.imencode(".jpg", p)[1].tobytes(), r"wanted a PNG, which is lossless, got .*xff"),
        (lambda p: png(p)[: len(png(p)) // 2], "wanted a whole PNG, got a truncated or damaged one of 64 x 64 px"),
        (lambda p: header_only(60_000, 60_000), "wanted at most 4096 px a side, got a PNG of 60000 x 60000 px"),
        (lambda p: header_only(0, 0), "wanted a whole PNG, got a truncated or damaged one of 0 x 0 px"),
        (
            lambda p: cv2.imencode(".png", p.astype(np.uint16) * 256)[1].tobytes(),
            "wanted a PNG of 8 bits, .* got uint16",
        ),
        (
            lambda p: cv2.imencode(".png", np.dstack([p, p[..., 0]]))[1].tobytes(),
            r"RGB or grey, got uint8 \(64, 64, 4\)",
        ),
        (lambda p: png(p[:32, :32]), "wanted 64 x 64 px as the first, got 32 x 32 px"),
        (lambda p: png(p[:32]), "wanted 64 x 64 px as the first, got 64 x 32 px"),
    ],
)
def test_a_stimulus_that_is_none_is_named(content, told, folder, pictures):
    name = human.clicks.load(folder).study["image"].iloc[1]
    made = content(pictures[1])
    path = folder / "images" / name
    path.unlink() if made is None else path.write_bytes(made)
    refused(rf"`images`: .*{name}: .*{told}", folder)


def test_the_first_stimulus_must_be_square(folder, pictures):
    name = human.clicks.load(folder).study["image"].iloc[0]
    (folder / "images" / name).write_bytes(png(pictures[0][:32]))
    refused("wanted a square picture, got 64 x 32 px", folder)
    with pytest.raises(DataError, match="wanted at least one picture"):
        human.clicks.read_stimuli(folder / "images", [])
    (folder / "images" / "huge.png").write_bytes(b"\0")
    with open(folder / "images" / "huge.png", "r+b") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(DataError, match="wanted at most 67108864 bytes, got 67108865"):
        human.clicks.read_stimuli(folder / "images", ["huge"])


def test_neither_a_study_nor_a_run(tmp_path, run):
    refused(r"`source`: wanted a study's folder with dataset_description\.json, or a run with run\.json", tmp_path)
    refused("`images`: the run .* brings its own pictures", run, images=tmp_path, kind=UsageError)


class Trap:
    """Pickled into an array; would make a file if anybody unpickled it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def arrays(run, **changes):
    with np.load(run / "data" / "pictures.npz") as found:
        kept = dict(found) | changes
    np.savez(run / "data" / "pictures.npz", **{name: value for name, value in kept.items() if value is not None})


@pytest.mark.parametrize("name", ["validation_images", "validation_names"])
def test_a_pickle_in_a_run_is_not_opened(run, tmp_path, name):
    trap = np.empty(56, object)
    trap[:] = [Trap(tmp_path / "sprung")] * 56
    arrays(run, **{name: trap})
    refused(r"pictures\.npz: wanted the pictures of a run: Object arrays cannot be loaded", run)
    np.save(run / "data" / "pictures.npz", trap)
    (run / "data" / "pictures.npz.npy").rename(run / "data" / "pictures.npz")
    refused(r"pictures\.npz: wanted the pictures of a run: ", run)
    assert not (tmp_path / "sprung").exists()


def bomb():
    """An npy header that claims a petabyte."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (10**15,)})
    return buffer.getvalue()


def test_damaged_pictures_of_a_run(run):
    path = run / "data" / "pictures.npz"
    whole = path.read_bytes()
    arrays(run, validation_images=None)
    refused(r"pictures\.npz: wanted the pictures of a run: .*validation_images", run)
    path.write_bytes(whole)
    arrays(run, validation_images=np.zeros((56, 8, 8, 3), np.float32))
    refused(r"wanted uint8 \(N, S, S, 1 or 3\) and N names, got float32 \(56, 8, 8, 3\) and \(56,\)", run)
    path.write_bytes(whole)
    arrays(run, validation_names=np.zeros(3, "U1"))
    refused(r"got uint8 \(56, 64, 64, 3\) and \(3,\)", run)
    for damaged in (
        whole[:-40],
        whole[: len(whole) // 2],
        b"",
        b"PK\x05\x06" + bytes(18),
        whole[:3000] + b"x" * 9 + whole[3009:],
    ):
        path.write_bytes(damaged)
        refused(r"pictures\.npz: wanted the pictures of a run", run)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("validation_images.npy", bomb())
        archive.writestr("validation_names.npy", bomb())
    refused(r"pictures\.npz: wanted the pictures of a run", run)
    path.unlink()
    refused("wanted a run whose stage data has ended, got no .*pictures", run)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("image,true_label\na,fear\n", "wanted columns image, true_label, false_label and whole numbers in row"),
        ("image,true_label,false_label,row\na,fear,sad,first\n", "whole numbers in row, got image, true_label"),
        ("image,true_label,false_label,row\na,fear,sad,56\n", "wanted 'a' at validation picture 56 of 56, got none"),
        ("image,true_label,false_label,row\na,fear,sad,-1\n", "wanted 'a' at validation picture -1 of 56, got none"),
        ("image,true_label,false_label,row\na,fear,sad,3\n", "wanted 'a' at validation picture 3 of 56, got 'face_"),
        ("", "wanted a table of study images"),
        ('image,true_label,false_label,row\n"a,fear\n', "wanted a table of study images"),
        (b"\xff\xfe\x00image", "wanted a table of study images|wanted columns"),
        (None, "wanted a run whose stage design has ended, got no .*study_images"),
    ],
)
def test_damaged_study_tables_of_a_run(run, content, told):
    path = run / "tables" / "study_images.csv"
    path.unlink() if content is None else path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(told, run)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": 3}'])
def test_a_run_without_a_record(run, content):
    (run / "run.json").write_text(content)
    refused(r"run\.json: wanted the record of a run", run)


def test_a_run_without_people(run):
    (run / f"people/{SIDE}clicks_data.csv").unlink()
    refused("wanted a study written by `human.trials.write`, got no file", run)


def test_a_run_says_its_categories(run):
    assert human.clicks.categories_of(run) == human.clicks.categories_of(run / "people") == EXPRESSIONS
    record = run / "data" / "pictures.json"
    record.write_text(json.dumps({"categories": list(EXPRESSIONS[:3])}))
    assert list(human.clicks.categories_of(run)) == ["neutral", "happy", "sad"]
    refused("true_label: wanted one of neutral, happy, sad, got", run)
    assert human.clicks.load(run, categories=EXPRESSIONS).categories == EXPRESSIONS
    record.write_text("{")
    refused(r"data.pictures\.json: wanted the record of a run's pictures", run)
