"""A click study from disk: what fits is read, what is odd or hostile is refused in one line."""

import dataclasses
import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.errors import DataError
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


def refused(told, *arguments, kind=DataError, **options):
    with pytest.raises(kind, match=told) as found:
        human.clicks.load(*arguments, **options)
    assert "\n" not in str(found.value)


def test_a_folder_is_read(folder, small_cohort, small_study, pictures):
    wanted, found = human.clicks.assemble(small_cohort, pictures, small_study), human.clicks.load(folder)
    assert found.provenance.pictures == "unknown"
    assert_equal(found, human.clicks.assemble(small_cohort, found.pictures))
    rows = human.study.positions(small_study, found.study["image"])
    np.testing.assert_array_equal(found.pictures, pictures[rows])
    pd.testing.assert_frame_equal(found.study, wanted.study.iloc[rows].reset_index(drop=True), check_index_type=False)


def test_whom_a_researcher_excluded_by_hand_is_left_out(folder, small_cohort):
    people = small_cohort.participants.assign(
        excluded=[True, True, *[False] * 4], exclusion_reason=["asleep", "outlier: by a rule", *[None] * 4]
    )
    human.trials.write(folder, dataclasses.replace(small_cohort, participants=people.astype(
        {"excluded": "boolean", "exclusion_reason": "str"})))  # fmt: skip
    found = human.clicks.load(folder).trials.trials["participant"]
    assert sorted(found.unique()) == [f"P{number:02d}" for number in range(2, 7)]


def test_images_lie_elsewhere_and_without_their_suffix(folder, small_cohort, tmp_path):
    (folder / "images").rename(tmp_path / "faces")
    assert human.clicks.load(folder, images=tmp_path / "faces").provenance.simulated
    refused("`images`: wanted the folder of the sharp stimuli, got .*images, which is none", folder)
    trials = small_cohort.trials.assign(image=small_cohort.trials["image"].str.removesuffix(".png"))
    clicks = small_cohort.clicks.assign(image=small_cohort.clicks["image"].str.removesuffix(".png"))
    human.trials.write(folder, human.Trials(small_cohort.participants, trials, clicks, small_cohort.events))
    assert human.clicks.load(folder, images=tmp_path / "faces").study["image"].str.endswith(".png").sum() == 0


def test_grey_stimuli(folder, pictures, small_study):
    grey = pictures[..., 0]
    for name, picture in zip(small_study["image"], grey, strict=True):
        (folder / "images" / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    rows = human.study.positions(small_study, human.clicks.load(folder).study["image"])
    np.testing.assert_array_equal(human.clicks.load(folder).pictures, np.repeat(grey[rows, :, :, None], 3, -1))


def test_the_hash_of_a_stimulus_is_checked(folder, small_cohort):
    name = small_cohort.trials["image"].iloc[3]
    digest = hashlib.sha256((folder / "images" / name).read_bytes()).hexdigest()
    told = small_cohort.trials.assign(image_sha256=small_cohort.trials["image"].map({name: digest}).astype("str"))
    human.trials.write(folder, human.Trials(small_cohort.participants, told, small_cohort.clicks, small_cohort.events))
    assert human.clicks.load(folder).provenance.simulated
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


def test_no_study_folder(tmp_path):
    refused(r"`source`: wanted a study's folder with dataset_description\.json, got ", tmp_path)
