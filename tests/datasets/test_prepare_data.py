"""The run card that builds: what it prints, what it refuses, what it clears away."""

import cv2
import numpy as np
import pytest

from experiments import command, data_builders, prepare_data
from tests.data import miniature

pytest.importorskip("array_record", reason="no array_record on this platform")


def card(*options):
    return command.run(
        prepare_data.prepare, prepare_data.PrepareConfig, usage=prepare_data.__doc__, argv=["prepare_data", *options]
    )


@pytest.fixture
def options(tmp_path):
    folder = miniature.write_folder(tmp_path / "copy", miniature.rows())
    return ["--dataset=ferplus", f"--manual_dir={folder}", f"--data_dir={tmp_path / 'tfds'}"]


def test_prints_where_and_how_many(options, tmp_path, capsys):
    assert card(*options, f"--audit_labels={tmp_path / 'sheets' / 'audit.png'}") == 0
    place = tmp_path / "tfds" / "ferplus" / "plurality" / "1.0.0"
    lines = capsys.readouterr().out.splitlines()
    counts = "7 pictures: neutral 1, happy 1, sad 1, surprise 0, fear 1, disgust 1, anger 1, contempt 1"
    assert lines[:4] == [str(place), *(f"{split}: {counts}" for split in ("train", "validation", "test"))]
    assert lines[4] == "left out: train/label_dropped 3, validation/label_dropped 3, test/label_dropped 3"
    assert lines[5].startswith("train: neutral: 1 of 9360 published; left out: none; 9359 not listed; happy: 1 of 7408")
    assert lines[6].startswith("validation: neutral: 1 of 1241 published")
    assert lines[7:] == [str(tmp_path / "sheets" / "audit.png")]
    sheet = cv2.imread(str(tmp_path / "sheets" / "audit.png"))
    assert sheet.shape == (8 * 96, 9 * 96, 3)
    filled = [(sheet[96 * e : 96 * e + 96, 96:192] < 255).any() for e in range(8)]
    assert filled == [True, True, True, False, True, True, True, True]


def test_a_second_call_uses_what_is_there_and_overwrite_builds_anew(options, tmp_path, capsys):
    assert card(*options) == 0
    shard = next((tmp_path / "tfds").rglob("*train.array_record*"))
    content = shard.read_bytes()
    leftover = shard.parent.parent / "incomplete.ABC123_1.0.0"
    leftover.mkdir()
    (leftover / "half").write_text("x")
    capsys.readouterr()
    assert card(*options) == 0
    assert "is there already; --overwrite builds it anew" in capsys.readouterr().err
    assert not leftover.exists()
    shard.write_bytes(b"")
    assert card(*options, "--overwrite") == 0
    assert shard.read_bytes() == content


def test_other_numbers_of_faces_get_another_name(tmp_path, capsys):
    small = ["--dataset=procedural_faces", "--image_size=32", "--train_images=8", "--validation_images=0"]
    assert card(*small, "--stimuli_images=0", f"--data_dir={tmp_path}", "--preset=easy", "--seed=4") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(tmp_path / "procedural_faces" / "easy_32px_seed4_8_0_0" / "2.0.0")
    assert lines[1].startswith("train: 8 pictures: neutral 1, happy 1")
    assert len(lines) == 2


@pytest.mark.parametrize(("image_size", "name"), [(None, "study"), (224, "study"), (96, "study_96px")])
def test_standard_faces_keep_the_presets_name(image_size, name, tmp_path):
    config = prepare_data.PrepareConfig(dataset="procedural_faces", data_dir=str(tmp_path), image_size=image_size)
    assert data_builders.builder_of(config, print).data_path == tmp_path / "procedural_faces" / name / "2.0.0"


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--dataset=ferplus", "--data_dir=x"], 1, "`--manual_dir`: --dataset=ferplus wants"),
        (["--dataset=ferplus", "--manual_dir=x"], 1, "`--data_dir`: wanted a folder"),
        (["--dataset=affectnets"], 1, "value should be one of"),
        (["--dataset=ferplus", "--manual_dir=nowhere", "--data_dir={tmp}"], 2, "nowhere, which does not exist"),
        (["--dataset=procedural_faces", "--train_images=-1", "--data_dir={tmp}"], 1, "`images`: wanted"),
        (["--dataset=procedural_faces", "--crop=box", "--data_dir=x"], 1, "`--crop`: goes with --dataset=affectnet or"),
        (["--dataset=rafdb", "--manual_dir=x", "--preset=easy", "--data_dir=x"], 1, "`--preset`: goes with"),
        (
            ["--dataset=rafdb", "--manual_dir=x", "--target=votes", "--data_dir=x"],
            1,
            "`--target`: goes with",
        ),
    ],
    ids=range(8),
)
def test_wrong_calls_end_in_one_line(options, code, told, tmp_path, capsys):
    assert card(*(option.format(tmp=tmp_path) for option in options)) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert told in error


def test_what_was_flagged_is_counted(options, capsys):
    assert card(*options, "--crop=eyes", "--image_size=20") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "train: flagged: bad_box 7, no_landmarks 7" in lines  # no eyes, no boxes: squares


def test_an_audit_that_cannot_be_written(options, tmp_path, capsys):
    assert card(*options, f"--audit_labels={tmp_path / 'audit.nothing'}") == 1
    assert "wanted a name that ends in .png" in capsys.readouterr().err
    assert not (tmp_path / "tfds").exists()  # told before anything is built


def test_the_presets_of_the_card_are_those_of_the_faces():
    from fer_jax import faces

    assert set(prepare_data.PRESETS) == set(faces.PRESETS)
    assert np.isfinite(prepare_data.PrepareConfig().max_reject_frac)
