"""The run card that builds: what it prints, what it refuses, what it clears away."""

import fcntl
import os
import types

import cv2
import numpy as np
import pytest

from experiments import data_builders, prepare_data, prepared_set
from experiments.harness import command
from fer_jax import data
from fer_jax.errors import DataError
from tests.data import miniature
from tests.datasets.sets import digests

pytest.importorskip("array_record", reason="no array_record on this platform")


def card(*options):
    return command.run(
        prepare_data.main, prepare_data.PrepareConfig, usage=prepare_data.__doc__, argv=["prepare_data", *options]
    )


@pytest.fixture
def options(tmp_path):
    folder = miniature.write_folder(tmp_path / "copy", miniature.rows())
    return ["--dataset=ferplus", f"--manual_dir={folder}", f"--data_dir={tmp_path / 'tfds'}"]


def test_prints_where_and_how_many(options, tmp_path, capsys):
    assert card(*options, f"--audit_labels={tmp_path / 'sheets' / 'audit.png'}") == 0
    place = tmp_path / "tfds" / "ferplus" / "plurality" / "1.0.0"
    lines = capsys.readouterr().out.splitlines()
    counts = "7 pictures: neutral 1, happy 1, sad 1, fear 1, disgust 1, anger 1, contempt 1"
    assert lines[:4] == [str(place), *(f"{split}: {counts}" for split in ("train", "validation", "test"))]
    assert lines[4] == "left out: train/label_dropped 3, validation/label_dropped 3, test/label_dropped 3"
    assert lines[5].startswith("train: neutral: 1 of 9360 published; left out: none; 9359 not listed; happy: 1 of 7408")
    assert lines[6].startswith("validation: neutral: 1 of 1241 published")
    assert lines[7].startswith(
        "categories: neutral, happy, sad, fear, disgust, anger, contempt (no surprise in this set)"
    )
    assert lines[8].startswith("These votes are of label.csv. FER+ has two lists of votes")
    assert lines[9:] == [str(tmp_path / "sheets" / "audit.png")]
    sheet = cv2.imread(str(tmp_path / "sheets" / "audit.png"))
    assert sheet.shape == (7 * 96, 9 * 96, 3)
    filled = [(sheet[96 * e : 96 * e + 96, 96:192] < 255).any() for e in range(7)]
    assert all(filled)


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
        (["--dataset=ferplus", "--manual_dir=x", "--data_dir=x", "--image_size=0"], 1, "wanted a number in [1, 4096]"),
        (
            ["--dataset=ferplus", "--manual_dir=x", "--data_dir=gs://x"],
            1,
            "wanted a folder of this machine, got gs://x",
        ),
        (["--dataset=ferplus", f"--manual_dir={'x' * 300}", "--data_dir={tmp}"], 2, "a path that no file can have"),
        (
            ["--dataset=ferplus", "--manual_dir=x", "--data_dir=x", "--box_margin=2"],
            1,
            "`--box_margin`: goes with --crop",
        ),
        (["--dataset=ferplus", "--manual_dir=x", "--data_dir=x", "--seed=2"], 1, "`--seed`: goes with --dataset=proc"),
        (["--dataset=click_study", "--manual_dir=x", "--data_dir=x", "--image_size=9"], 1, "`--image_size`: goes with"),
        (["--dataset=affectnets"], 1, "value should be one of"),
        (["--dataset=ferplus", "--manual_dir=nowhere", "--data_dir={tmp}"], 2, "nowhere, which does not exist"),
        (["--dataset=procedural_faces", "--train_images=-1", "--data_dir={tmp}"], 1, "`--train_images`: wanted"),
        (["--dataset=procedural_faces", "--crop=box", "--data_dir=x"], 1, "`--crop`: goes with --dataset=affectnet or"),
        (["--dataset=rafdb", "--manual_dir=x", "--preset=easy", "--data_dir=x"], 1, "`--preset`: goes with"),
        (
            ["--dataset=rafdb", "--manual_dir=x", "--target=votes", "--data_dir=x"],
            1,
            "`--target`: goes with",
        ),
    ],
    ids=range(14),
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


def test_the_old_set_gives_way_to_a_whole_one_only(options, tmp_path, capsys):
    assert card(*options) == 0
    place = tmp_path / "tfds" / "ferplus" / "plurality" / "1.0.0"
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    broken = tmp_path / "copy" / "FER2013Train"
    kept, status = (broken / "label.csv").read_bytes(), (broken / "label.csv").stat()
    (broken / "label.csv").write_text("x,1\n")
    assert card(*options, "--overwrite") == 2
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    (broken / "label.csv").write_bytes(kept)
    os.utime(broken / "label.csv", ns=(status.st_atime_ns, status.st_mtime_ns))
    killed = place.with_name("incomplete.replaced_1.0.0")  # what a kill in the middle leaves
    place.rename(killed)
    assert card(*options) == 0
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert card(*options, "--overwrite") == 0
    assert sorted(path.name for path in place.parent.iterdir()) == ["1.0.0", "LOCK", "source.json"]


def test_one_build_at_a_time(options, tmp_path, capsys):
    folder = tmp_path / "tfds" / "ferplus" / "plurality"
    folder.mkdir(parents=True)
    with (folder / "LOCK").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert card(*options) == 1
    assert "another process builds" in capsys.readouterr().err
    assert card(*options) == 0


def test_another_copy_is_not_taken_for_what_is_there(options, tmp_path, capsys):
    assert card(*options) == 0
    row = 'fer0000000.png,"(0, 0, 48, 48)",4,0,0,0,0,0,0,0,0,0\n'
    with (tmp_path / "copy" / "FER2013Train" / "label.csv").open("a") as stream:
        stream.write(row)  # corrected, or so its owner thinks
    assert card(*options) == 1
    assert "was built from something else (bytes of " in capsys.readouterr().err
    assert card(*options, "--overwrite", "--max_reject_frac=.2") == 0


@pytest.mark.parametrize("dataset", ["ferplus", "procedural_faces"])
def test_a_stop_leaves_nothing(dataset, options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command.StopRequest, "install", lambda self: setattr(self, "signal", 15) or self)
    if dataset == "procedural_faces":
        options = ["--dataset=procedural_faces", "--image_size=32", f"--data_dir={tmp_path / 'tfds'}"]
    assert card(*options) == 75
    assert "nothing half-built is visible. The same command goes on" in capsys.readouterr().err
    assert not list((tmp_path / "tfds").rglob("*1.0.0*")) + list((tmp_path / "tfds").rglob("*2.0.0*"))


def test_names_do_not_depend_on_where_the_command_is_given(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("square", "20"):
        (tmp_path / name).write_text("a file that happens to be called so")
    assert card(*options, "--crop=square", "--image_size=20") == 0
    assert (tmp_path / "tfds" / "ferplus" / "plurality_square_image_size20").is_dir()


def test_an_audit_that_cannot_be_written(options, tmp_path, capsys):
    assert card(*options, f"--audit_labels={tmp_path / 'audit.nothing'}") == 1
    assert "wanted a name that ends in .png" in capsys.readouterr().err
    assert not (tmp_path / "tfds").exists()  # told before anything is built


def test_the_presets_of_the_card_are_those_of_the_faces():
    from fer_jax import faces

    assert set(prepare_data.PrepareConfig.__dataclass_fields__["faces"].metadata["choices"]) == set(faces.PRESETS)
    assert np.isfinite(prepare_data.PrepareConfig().max_reject_frac)


def test_a_build_with_too_many_rejects_goes_on_when_more_are_allowed(options, tmp_path, capsys, monkeypatch):
    import shards

    (tmp_path / "copy" / "FER2013Train" / "fer0000007.png").write_bytes(b"broken")  # after a whole shard
    monkeypatch.setattr(shards, "SHARD_BYTES", 8_000)
    assert card(*options) == 2
    work = tmp_path / "tfds" / "ferplus" / "plurality" / "incomplete.work_1.0.0"
    whole = {path.stat().st_ino for path in work.glob("train-?????")}
    assert whole and "1 of 10 rows of train cannot be used" in capsys.readouterr().err
    assert card(*options, "--max_reject_frac=.2") == 0
    shown = [path.stat().st_ino for path in (tmp_path / "tfds").rglob("*train.array_record*")]
    assert len(shown) > 1 and whole & set(shown), "whole shards were written again"
    fresh = [*options[:2], f"--data_dir={tmp_path / 'fresh'}", "--max_reject_frac=.2"]
    assert card(*fresh) == 0
    assert digests(tmp_path / "fresh" / "ferplus") == digests(tmp_path / "tfds" / "ferplus")


def test_a_build_killed_when_its_set_was_whole_leaves_no_second_copy(options, tmp_path, capsys, monkeypatch):
    kept = types.SimpleNamespace(rmtree=lambda *args, **kwargs: None)
    monkeypatch.setattr(prepared_set, "shutil", kept)  # killed before it clears away
    assert card(*options) == 0
    monkeypatch.undo()
    work = tmp_path / "tfds" / "ferplus" / "plurality" / "incomplete.work_1.0.0"
    assert work.exists()
    assert card(*options) == 0
    assert "is there already; --overwrite builds it anew.\n" in capsys.readouterr().err
    assert not work.exists()


def test_a_platform_without_array_record(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(data_builders.importlib.util, "find_spec", lambda name: None)
    assert card(*options) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "`--data_dir`: prepared sets want array_record, which has packages for Linux only" in error
    assert "reproduce reads the same set into memory: --dataset=ferplus --data_dir=YOUR_COPY." in error
    assert not (tmp_path / "tfds").exists()


def test_a_full_disk_ends_in_one_line(options, tmp_path, capsys, monkeypatch):
    import shards

    real = shards.array_record_module.ArrayRecordWriter

    class Full:
        """The second shard of a disk that has room for one."""

        opened = 0

        def __new__(cls, *args):
            cls.opened += 1
            return real(*args) if cls.opened == 1 else super().__new__(cls)

        def write(self, record):
            raise RuntimeError("write() failed: No space left on device; writing it; at byte 598016")

    monkeypatch.setattr(shards, "SHARD_BYTES", 20_000)
    monkeypatch.setattr(shards.array_record_module, "ArrayRecordWriter", Full)
    assert card(*options) == 3
    error = capsys.readouterr().err.strip().splitlines()[-1]
    place = tmp_path / "tfds" / "ferplus" / "plurality"
    assert f"`--data_dir`: {place} cannot be written: write() failed: No space left on device. Whole shards" in error
    assert sorted(path.name for path in place.iterdir()) == ["LOCK", "incomplete.work_1.0.0"]
    with pytest.raises(DataError, match="wanted a prepared set"):
        data.open_prepared(tmp_path / "tfds")
    monkeypatch.undo()
    assert card(*options) == 0
    assert not (place / "incomplete.work_1.0.0").exists()
