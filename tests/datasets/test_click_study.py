"""The data set of clicks: built, read back as it was, the same bytes each time, and refused in our words."""

import dataclasses
import hashlib
import json
import os
import re
import subprocess

import cv2
import numpy as np
import pandas as pd
import pytest

from experiments import prepare_data
from experiments.config import StudyConfig
from experiments.harness import command
from experiments.study import people_tables
from fer_jax import human
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human.columns import FLAG, TABLES
from tests.datasets.sets import PREPARE_WITHOUT_TENSORFLOW, digests

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record", reason="no array_record on this platform: the readers work without it")

from click_study import click_study_dataset_builder as click_study  # noqa: E402

SIZE = 32


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Five simulated people, 56 pictures of 32 px, as a study's folder; one click lies off its picture."""
    folder = tmp_path_factory.mktemp("study")
    labels = np.repeat(np.arange(8), 7)
    study = human.study.make_study(labels, [f"set/{n:02d}" for n in range(56)], seed=4, per_ordered_pair=1)
    cohort = human.observers.simulate(study, seed=4, image_px=SIZE, participants=5)
    extra = cohort.clicks[cohort.clicks["participant"] == "P02"].iloc[-1:]
    extra = extra.assign(click=extra["click"] + 1, x_px=-3.25, inside=False, t_ms=np.nan)
    clicks = pd.concat([cohort.clicks, extra], ignore_index=True)
    human.trials.write(folder, dataclasses.replace(cohort, clicks=clicks))
    rng = np.random.default_rng(0)
    (folder / "images" / "set").mkdir(parents=True)
    for image in study["image"]:
        cv2.imwrite(str(folder / "images" / f"{image}.png"), rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8))
    return folder


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    builder = click_study.Builder(source=source, data_dir=tmp_path_factory.mktemp("tfds"))
    builder.download_and_prepare()
    return tfds.builder_from_directory(builder.data_path)


def test_a_run_takes_its_people_out_of_a_prepared_set(source, built):
    """`--people` (or `--clicks`) takes a study's tables and the set prepared from them alike."""
    folder = str(built.data_path)
    found, wanted = people_tables.read(folder), human.trials.read(source)
    columns = ["participant", "trial", "image", "response", "correct", "n_clicks", "image_px", "reveal_radius_px"]
    pd.testing.assert_frame_equal(found.trials[columns], wanted.trials[columns])
    clicks = wanted.clicks.sort_values(["participant", "trial", "click"])
    np.testing.assert_allclose(found.clicks["x_px"], clicks["x_px"], rtol=1e-6)
    people_tables.check_who(found)
    assert people_tables.digest(folder) not in (None, people_tables.digest(str(source)))
    assert command.parse(StudyConfig, ["card", f"--clicks={folder}"], usage="").people == folder


def card(*options):
    return command.run(
        prepare_data.main, prepare_data.PrepareConfig, usage=prepare_data.__doc__, argv=["prepare_data", *options]
    )


@pytest.mark.parametrize("decoders", [None, {"image": tfds.decode.SkipDecoding()}], ids=["decoded", "as PNG"])
def test_what_was_written_is_read(built, source, decoders):
    wanted = human.clicks.load(source)
    splits = [built.as_data_source(split, decoders=decoders) for split in ("trials", "originals")]
    found = human.clicks.from_examples(*splits)
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(found.trials, table), getattr(wanted.trials, table), check_exact=True)
    pd.testing.assert_frame_equal(found.study, wanted.study)
    np.testing.assert_array_equal(found.pictures, wanted.pictures)
    np.testing.assert_array_equal(human.clicks.masks(found), human.clicks.masks(wanted))


def test_an_example_says_what_the_tables_say(built, source):
    read = human.trials.read(source)
    trials = built.as_data_source("trials")
    assert list(built.info.splits) == ["trials", "originals"]
    assert len(trials) == len(read.trials) > 250
    assert len(built.as_data_source("originals")) == 56
    for number in (0, 97, len(trials) - 1):
        example, row = trials[number], read.trials.iloc[number]
        clicks = read.clicks[
            (read.clicks["participant"] == row["participant"]) & (read.clicks["trial"] == row["trial"])
        ]
        assert example["participant"].decode() == row["participant"]
        assert example["image_id"].decode() == row["image"]
        assert example["source"] == b"simulated"
        for name in ("true_label", "false_label", "response"):
            assert EXPRESSIONS[example[name]] == row[name]
        for name in ("correct", "simulated", "trial", "block", "image_px", "reveal_radius_px", "blur_k"):
            assert example[name] == row[name]
        assert example["rt_decision_ms"] == np.float32(row["rt_decision_ms"])
        np.testing.assert_array_equal(example["click_ms"], clicks["t_ms"].to_numpy(np.float32))
        np.testing.assert_array_equal(example["clicks"], clicks[["x_px", "y_px"]].to_numpy(np.float32))
        points = clicks[["x_px", "y_px"]].to_numpy(float)[clicks["inside"].to_numpy(bool)]
        opened = human.stimuli.reveal_mask(points, (SIZE, SIZE), int(row["reveal_radius_px"]))
        assert (example["mask"].shape, example["mask"].dtype) == ((SIZE, SIZE, 1), np.uint8)
        np.testing.assert_array_equal(example["mask"][:, :, 0], np.where(opened, 255, 0))
        picture = cv2.imread(str(source / "images" / f"{row['image']}.png"))[..., ::-1]
        np.testing.assert_array_equal(example["image"], picture)
        assert example["content_hash"].decode() == hashlib.sha256(picture.tobytes()).hexdigest()
    wrong = [example["correct"] for example in trials].count(False)
    assert wrong == len(read.trials) - read.trials["correct"].sum() > 0


def test_a_click_off_the_picture_is_kept_and_opens_nothing(built):
    flags = [example for example in built.as_data_source("trials") if not example["click_inside"].all()]
    (example,) = flags
    assert example["clicks"][-1, 0] == -3.25
    assert np.isnan(example["click_ms"][-1])
    assert example["click_inside"].tolist() == [True] * (len(example["clicks"]) - 1) + [False]


def test_the_code_of_the_readme_runs(built, root):
    text = (root / "datasets" / "click_study" / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "tfds/click_study/1.0.0" in code
    names = {}
    exec(code.replace("tfds/click_study/1.0.0", str(built.data_path)), names)
    assert len(names["masks"]) == len(names["tables"].trials) == len(built.as_data_source("trials"))
    assert names["seen"].shape == (64, SIZE, SIZE, 3)
    assert names["batch"]["masked"].sum() == 32


def test_the_readme_names_every_feature(built, root):
    text = (root / "datasets" / "click_study" / "README.md").read_text(encoding="utf-8")
    assert not [name for name in built.info.features if f"`{name}`" not in text]


def test_metadata_say_who_answered(built):
    metadata = json.loads((built.data_path / "metadata.json").read_text())
    assert metadata["simulated"] == "all"
    assert metadata["synthetic"] is None
    assert (metadata["participants"], metadata["images"], metadata["image_px"]) == (5, 56, SIZE)
    assert metadata["trials"] == len(built.as_data_source("trials"))
    assert not [name for name in metadata if "source" in name]  # no path of the machine that built it


def test_equal_pictures_are_counted(source, tmp_path):
    folder = tmp_path / "study"
    human.trials.write(folder, human.trials.read(source))
    (folder / "images" / "set").mkdir(parents=True)
    for path in (source / "images" / "set").iterdir():
        (folder / "images" / "set" / path.name).write_bytes(path.read_bytes())
    (folder / "images" / "set" / "00.png").write_bytes((source / "images" / "set" / "01.png").read_bytes())
    builder = click_study.Builder(source=folder, data_dir=tmp_path / "tfds")
    builder.download_and_prepare()
    assert builder.info.metadata["equal_images"] == 1


def test_people_beside_programs_want_leave(source, tmp_path, capsys):
    both = human.trials.read(source)
    tables = {
        name: getattr(both, name).assign(simulated=(getattr(both, name)["participant"] != "P01").astype(FLAG))
        for name in ("participants", "trials")
    }
    folder = tmp_path / "study"
    human.trials.write(folder, dataclasses.replace(both, **tables))
    line = [
        "--dataset=click_study",
        f"--manual_dir={folder}",
        f"--images={source / 'images'}",
        f"--data_dir={tmp_path / 't'}",
    ]
    assert card(*line) == 2
    assert "wanted people or programs, got 210 simulated trials of 266" in capsys.readouterr().err.splitlines()[-1]
    assert not [path for path in (tmp_path / "t").rglob("*") if "1.0.0" in path.name]
    assert card(*line, "--allow_mixed") == 0
    assert "simulated: mixed" in capsys.readouterr().out.splitlines()


def test_the_card_says_what_it_built(source, tmp_path, capsys):
    sheet = tmp_path / "audit.png"
    assert (
        card("--dataset=click_study", f"--manual_dir={source}", f"--data_dir={tmp_path}", f"--audit_labels={sheet}")
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    right = int(human.trials.read(source).trials["correct"].sum())
    assert lines == [
        str(tmp_path / "click_study" / "1.0.0"),
        f"trials: 266, {right} of them correct",
        "participants: 5",
        "images: 56 of 32 px, 0 equal to another",
        "simulated: all",
        str(sheet),
    ]
    filled = (cv2.imread(str(sheet)).reshape(8, 96, 9, 96, 3) < 255).any((1, 3, 4))
    assert filled[:, 1:8].all()  # seven pictures of each expression
    assert not filled[:, 8].any()


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--data_dir={tmp}"], 1, "`--manual_dir`: --dataset=click_study wants the folder"),
        (
            ["--data_dir={tmp}", "--manual_dir={tmp}"],
            2,
            "`--manual_dir`: wanted a study's folder with dataset_description.json",
        ),
        (
            ["--data_dir={tmp}", "--manual_dir={source}", "--images={tmp}/none"],
            2,
            "`--images`: wanted the folder of the sharp",
        ),
        (
            ["--data_dir={tmp}", "--manual_dir={source}", "--images={tmp}"],
            2,
            "cannot be read: No such file or directory",
        ),
    ],
    ids=range(4),
)
def test_wrong_calls_end_in_one_line(options, code, told, source, tmp_path, capsys):
    assert card("--dataset=click_study", *(text.format(tmp=tmp_path, source=source) for text in options)) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert told in error


def test_manual_dir_is_read_too(source, tmp_path):
    with pytest.raises(DataError, match=r"`manual_dir`: no click study there\. Give a study's folder"):
        click_study.Builder(data_dir=tmp_path).download_and_prepare()
    builder = click_study.Builder(data_dir=tmp_path)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=source))
    assert builder.info.splits["originals"].num_examples == 56


def test_two_processes_build_the_same_bytes_without_tensorflow(source, tmp_path, root):
    built = []
    for number in range(2):
        place = tmp_path / str(number)
        subprocess.run(
            [*PREPARE_WITHOUT_TENSORFLOW, "--dataset=click_study", f"--manual_dir={source}",
             f"--data_dir={place}"],
            check=True, capture_output=True, cwd=root, env=os.environ | {"PYTHONHASHSEED": str(number)},
        )  # fmt: skip
        built.append(digests(place))
    assert built[0] == built[1]
    assert sum("array_record" in path.name for path in built[0]) == 2


def test_a_mask_that_opencv_would_draw_otherwise_stops_the_build(source, tmp_path, monkeypatch):
    def wider(points, size, radius):
        return human.stimuli.reveal_mask(points, size, radius + 1)

    monkeypatch.setattr(human.clicks.examples, "reveal_mask", wider)
    builder = click_study.Builder(source=source, data_dir=tmp_path)
    with pytest.raises(DataError, match=r"`trials`: row 1: mask: wanted the union of the clicks' discs, got \d+ other"):
        builder.download_and_prepare()
