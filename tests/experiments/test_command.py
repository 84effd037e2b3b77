import dataclasses
import errno
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import cv2
import jax
import numpy as np
import pandas as pd
import pytest

from experiments.config import StudyConfig, chosen_stages, resolve
from experiments.harness import command
from experiments.study.run import open_run
from experiments.study.run_folder import RunFolder
from fer_jax.errors import DataError, StorageError, UsageError


def _config(tmp_path, **changes):
    return resolve(dataclasses.replace(StudyConfig(out=str(tmp_path / "run")), **changes))


def _run(card, *arguments, capsys):
    code = command.run(card, StudyConfig, usage="usage", argv=["prog", *arguments])
    return code, capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataest=ferplus"], "Unknown command line flag 'dataest'. Did you mean: dataset ?"),
        (["--dataset=affectnet9"], "value should be one of <procedural_faces|ferplus|"),
        (["--seed=one"], "--seed"),
        (["runs/x"], "`runs/x`: wanted flags only"),
        (["--out=x", "--area=2"], "`--area`: wanted a number in [0.001, 0.999], got 2.0"),
        (["--out=x", "--stages=salience"], "Did you mean `saliency`?"),
        (["--out=x", "--stages=,"], "got nothing"),
        ([], "`--out`: wanted a run folder"),
        (["--out=x", "--dataset=ferplus"], "`--data_dir`: --dataset=ferplus wants the folder or zip"),
    ],
)
def test_wrong_flags_are_one_line_and_exit_1(arguments, message, capsys):
    code, printed = _run(lambda config: resolve(config) and 0, *arguments, capsys=capsys)
    assert code == 1
    assert message in printed.err
    assert printed.err.startswith("error: ")
    assert len(printed.err.strip().splitlines()) <= 3
    assert "Traceback" not in printed.err


@dataclasses.dataclass(frozen=True)
class _Renamed:
    ep_iterations: int = command.option(5, "Steps.", low=1, high=9, aliases=("iterations", "steps"))
    crop: str = command.option(
        "none", "What is kept.", choices=("none", "box"), aliases=("cut",), old_values={"face": "box"}
    )


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([], (5, "none")),
        (["--iterations=7", "--crop=face"], (7, "box")),
        (["--steps=7", "--cut=face"], (7, "box")),
        (["--ep_iterations=7", "--cut=box"], (7, "box")),
    ],
)
def test_earlier_names_of_flags_and_values_are_understood(arguments, wanted):
    config = command.parse(_Renamed, ["prog", *arguments], usage="")
    assert dataclasses.astuple(config) == wanted


def test_an_earlier_name_beside_the_flag_is_refused_and_help_does_not_list_it(capsys):
    with pytest.raises(UsageError, match=r"^`--iterations`: is an earlier name of --ep_iterations, got both; leave"):
        command.parse(_Renamed, ["prog", "--ep_iterations=3", "--iterations=3"], usage="")
    with pytest.raises(UsageError, match=r"should be one of <none\|box>"):
        command.parse(_Renamed, ["prog", "--cut=faces"], usage="")
    with pytest.raises(SystemExit):
        command.parse(_Renamed, ["prog", "--help"], usage="")
    page = capsys.readouterr().out
    assert page.count("iterations") == 1 and "steps" not in page and "cut" not in page and "face" not in page


@pytest.mark.parametrize(("argument", "named"), [("--steps=0", "--steps"), ("--ep_iterations=0", "--ep_iterations")])
def test_an_error_names_the_flag_as_it_was_typed(argument, named, capsys):
    def card(config):
        raise UsageError("`ep_iterations`: wanted a number from 1. Give --ep_iterations=1.")

    assert command.run(card, _Renamed, usage="", argv=["card", argument]) == 1
    assert capsys.readouterr().err == f"error: `{named}`: wanted a number from 1. Give {named}=1.\n"


# Flags that each card says in its words: where results go, what it takes in, and what run_study says of its study.
_IN_ITS_WORDS = {
    "out", "dataset", "data_dir", "images", "num_images", "run", "methods", "image_size", "people", "pictures",
    "participants", "seed", "log_format", "halves", "categories", "class_map", "split",
}  # fmt: skip


def test_a_flag_means_one_thing_in_all_cards(root):
    said = {}
    for file in sorted((root / "experiments").glob("*.py")):
        if "__main__" in file.read_text():
            card = importlib.import_module(f"experiments.{file.stem}")
            own = [each for each in vars(card).values() if isinstance(each, type) and each.__name__.endswith("Config")]
            for field in (field for config in own for field in dataclasses.fields(config)):
                said.setdefault(field.name, set()).add(field.metadata["help"])
                # An earlier name of one flag is no other flag's name in the same card.
                assert not set(field.metadata["aliases"]) & {each.name for c in own for each in dataclasses.fields(c)}
    assert {name for name, texts in said.items() if len(texts) > 1} <= _IN_ITS_WORDS


def test_the_record_of_a_run_of_before_is_opened(tmp_path):
    config = {
        "dataset": "procedural_faces", "preset": "small", "model": "tiny", "image_size": 64, "seed": 0, "minutes": 0.0,
        "faces": "easy", "train_per_expression": 240, "validation_per_expression": 95, "target": "plurality",
        "crop": None, "detector": "given", "learning_rate": 0.001, "batch_size": 16, "members": "all",
        "max_epochs": 150, "max_images": 6240, "multiclass_epochs": 16, "class_weights": "sqrt",
        "multiclass_schedule": "cosine", "batch_statistics": "population", "participants": 24, "area": 0.1,
        "ep_iterations": 150, "ep_target": "true", "ep_reward_scale": 1.0, "finetune_images": 640,
        "finetune_learning_rate": 0.0002, "masked_ratio": 0.5,
    }  # fmt: skip
    record = {"schema": 2, "run": "20d7d94d3684abae", "numerics": None, "config": config, "versions": {}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    opened = open_run(str(tmp_path / "run"))
    assert opened.config == dataclasses.replace(_config(tmp_path), out=None) and opened.config.ep_score == "logit"
    flags = [f"--{name}={value}" for name, value in config.items() if value is not None]
    # `targets` was no flag yet: networks learned labels.
    assert command.parse(StudyConfig, ["prog", *flags, "--targets=labels"], usage="") == opened.config


def test_recorded_flags_are_read_under_the_names_of_today():
    assert command.upgrade(_Renamed, {"iterations": 7, "crop": "face", "gone": [1]}) == {
        "ep_iterations": 7,
        "crop": "box",
        "gone": [1],
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("bad data"), 2),
        (StorageError("full"), 3),
        (OSError(errno.ENOSPC, "No space left on device", "file"), 3),
        (KeyboardInterrupt(), 75),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error, code, capsys):
    def card(config):
        raise error

    got, printed = _run(card, capsys=capsys)
    assert got == code
    assert len(printed.err.strip().splitlines()) == 1


def test_a_bug_is_70_and_says_where(capsys):
    code, printed = _run(lambda config: 1 // 0, capsys=capsys)
    assert code == 70
    assert "A bug of ours at test_command.py" in printed.err


def test_help_exits_0(root):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.reproduce", "--help"], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "--dataset" in done.stdout
    assert "One of procedural_faces, ferplus" in done.stdout


@pytest.mark.parametrize("flag", ["--help", "--version_of_nothing"])
def test_a_reader_that_leaves_is_no_error_to_talk_about(root, flag):
    """`--help | head -1`, and the same with the messages in the pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    both = subprocess.STDOUT if flag != "--help" else subprocess.PIPE
    line = [sys.executable, "-m", "experiments.reproduce", flag]
    with open(writing, "wb") as pipe:
        child = subprocess.Popen(line, cwd=root, stdout=pipe, stderr=both, text=True)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGPIPE
    assert not error


def test_every_card_answers_through_the_command(root):
    cards = [path for path in (root / "experiments").glob("*.py") if "__main__" in path.read_text()]
    assert len(cards) >= 12
    for path in cards:
        assert "command.run(" in path.read_text(), path


def test_presets_fill_what_is_not_given(tmp_path):
    paper = _config(tmp_path, preset="paper")
    assert (paper.model, paper.image_size, paper.learning_rate, paper.batch_size) == ("resnet50", 224, 1e-4, 64)
    assert (paper.stop_accuracy, paper.max_epochs, paper.multiclass_epochs) == (0.9, 150, 40)
    small = _config(tmp_path, model="resnet50")
    assert small.model == "resnet50"
    assert small.image_size == 64
    assert chosen_stages(dataclasses.replace(small, stages="report,data")) == ["data", "report"]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, (150, 6_240)),
        ({"max_epochs": 30}, (30, 0)),  # the documented command of the 30-epoch ensemble
        ({"max_images": 640}, (0, 640)),
        ({"max_images": 0}, (150, 0)),
        ({"max_epochs": 0}, (0, 6_240)),
        ({"max_epochs": 30, "max_images": 640}, (30, 640)),
        ({"preset": "paper"}, (150, 0)),
    ],
)
def test_a_limit_that_was_asked_for_is_not_cut_short_by_the_preset(tmp_path, asked, wanted):
    config = _config(tmp_path, stop_accuracy=0.0, **asked)
    assert (config.max_epochs, config.max_images) == wanted
    assert resolve(config) == config


def test_training_without_any_limit_is_refused(tmp_path):
    with pytest.raises(UsageError, match="`--max_epochs`: wanted a limit of epochs, or of images by --max_images"):
        _config(tmp_path, max_epochs=0, max_images=0)


def test_flags_txt_is_a_flagfile_that_repeats_the_run(tmp_path):
    config = _config(tmp_path, seed=7)
    RunFolder(config).close()
    again = command.parse(
        StudyConfig, ["prog", f"--flagfile={tmp_path / 'run' / 'flags.txt'}", f"--out={config.out}"], usage=""
    )
    assert resolve(again) == config


def test_a_full_disk_names_the_file_and_leaves_nothing_unfinished(tmp_path, monkeypatch):
    folder = RunFolder(_config(tmp_path))

    def full(self, content):
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(StorageError, match=r"maps.npz`: cannot be written: No space left on device"):
        folder.write_bytes("maps.npz", b"x")
    assert not list(folder.path.glob(".*unfinished"))
    folder.close()


def test_a_run_without_a_finished_stage_takes_a_corrected_configuration(tmp_path):
    RunFolder(_config(tmp_path, dataset="ferplus", data_dir="tpyo")).close()
    folder = RunFolder(_config(tmp_path, seed=3))
    assert folder.read_json("run.json")["config"]["seed"] == 3
    folder.close()


def test_a_folder_in_use_or_of_others_is_refused(tmp_path):
    held = RunFolder(_config(tmp_path))
    with pytest.raises(UsageError, match=r"is in use by process \d+"):
        RunFolder(_config(tmp_path))
    held.close()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match=r"is not empty and holds no run of ours \(thesis.txt\)"):
        RunFolder(_config(tmp_path, out=str(other)))
    with pytest.raises(UsageError, match=r"`--overwrite`: .* is no run folder of ours"):
        RunFolder(_config(tmp_path, out=str(other), overwrite=True))
    assert (other / "thesis.txt").read_text() == "precious"
    with pytest.raises(StorageError, match=r"cannot be written"):
        RunFolder(_config(tmp_path, out=str(other / "thesis.txt" / "run")))
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def test_overwriting_waits_for_the_lock(tmp_path):
    """The folder of a running process stays as it is, byte for byte."""
    held = RunFolder(_config(tmp_path))
    held.stages.make("data", lambda: held.write_text("tables/class_counts.csv", "1"))
    before = {path: path.read_bytes() for path in held.path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"is in use by process \d+"):
        RunFolder(_config(tmp_path, overwrite=True))
    assert {path: path.read_bytes() for path in held.path.rglob("*") if path.is_file()} == before
    held.close()
    fresh = RunFolder(_config(tmp_path, overwrite=True))
    assert sorted(path.name for path in fresh.path.iterdir()) == ["LOCK", "flags.txt", "run.json"]
    fresh.close()


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_many_starts_at_once_one_runs(tmp_path, overwrite):
    RunFolder(_config(tmp_path)).close()
    gate, started, refused = threading.Barrier(8), [], []

    def start():
        gate.wait()
        try:
            started.append(RunFolder(_config(tmp_path, overwrite=overwrite)))
        except UsageError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(started) == 1 and len(refused) == 7 and all("is in use by" in text for text in refused)
    assert started[0].read_json("run.json")["config"]["seed"] == 0
    started[0].close()


def test_a_run_whose_deletion_was_cut_short_has_no_finished_stage(tmp_path, monkeypatch):
    old = RunFolder(_config(tmp_path))
    old.stages.make("data", lambda: old.write_text("tables/class_counts.csv", "1"))
    old.close()
    real = shutil.rmtree

    def stubborn(path, *arguments, **options):
        if path.name == "tables":
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        real(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", stubborn)
        with pytest.raises(StorageError, match=r"`--overwrite`: .*tables cannot be deleted: Device or resource busy"):
            RunFolder(_config(tmp_path, overwrite=True))
    again = RunFolder(_config(tmp_path))
    assert not again.finished("data") and again.has("run.json")
    again.close()


def test_a_run_of_the_first_schema_is_taken_over(tmp_path):
    """Its records said how long stages took, and nothing of what they had read; some flags were not recorded."""
    old = RunFolder(_config(tmp_path))
    old.stages.make("data", lambda: old.write_text("tables/class_counts.csv", "1"))
    old.write_json("stages/data.json", {"seconds": 3.5})
    old.write_json("stages/members.seconds", 7.25)
    old.write_json("stages/vote.json", {"seconds": 1.0})
    old.write_text("training/ensemble/4/manifest.json", "{}")
    record = old.read_json("run.json")
    config = {k: v for k, v in record["config"].items() if k not in ("save_every_s", "data_dir", "memory_gb")}
    old.write_json("run.json", {"schema": 1, "config": config, "versions": {}})
    old.close()
    with pytest.raises(UsageError, match=r"made with another configuration \(--seed was 0, is 1; stage data\)"):
        RunFolder(_config(tmp_path, seed=1))
    run = RunFolder(_config(tmp_path))
    assert run.read_json("run.json")["schema"] == 2 and run.run is None
    assert run.stages.why("data") is None and run.stages.seconds() == {"data": 3.5}  # a vote is soon taken again
    there = []
    run.stages.make("members", lambda: there.append(run.has("training/ensemble/4/manifest.json")))
    assert there == [True] and run.stages.seconds()["members"] >= 7.25
    run.close()


def test_a_run_recorded_with_ep_target_goes_on(tmp_path):
    old = RunFolder(_config(tmp_path))
    old.stages.make("saliency", lambda: None)
    old.close()
    for file in (old.path / "run.json", old.path / "stages" / "saliency.json"):
        assert '"ep_score": "logit"' in file.read_text()
        file.write_text(file.read_text().replace('"ep_score": "logit"', '"ep_target": "true"'))
    assert open_run(str(old.path)).config.ep_score == "logit"
    run = RunFolder(_config(tmp_path))
    assert not run.stages._flags_changed("saliency", run.stages._record("saliency"))
    run.keep_config()
    assert '"ep_score": "logit"' in (old.path / "run.json").read_text()
    run.close()
    flags = ["--preset=small", f"--out={tmp_path}", "--ep_target=true"]
    assert resolve(command.parse(StudyConfig, ["reproduce", *flags], usage="")).ep_score == "logit"


def test_a_run_killed_at_its_very_beginning_goes_on(tmp_path):
    for name in ("LOCK", "flags.txt", ".run.json.unfinished"):
        (tmp_path / name).write_text("")
    RunFolder(resolve(StudyConfig(out=str(tmp_path)))).close()
    assert (tmp_path / "run.json").exists()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.\nBuffers: ..."),
        cv2.error("OpenCV: (-4:Insufficient memory) Failed to allocate 12345 bytes in function 'OutOfMemoryError'"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_out_of_memory_is_one_line_with_the_flags_that_take_less(error, capsys):
    def card(config):
        raise error

    code, printed = _run(card, capsys=capsys)
    assert code == 5
    assert "Out of memory: " in printed.err and "lower --slots or --batch_size or --image_size" in printed.err
    assert ", or give --accumulate or --remat or --pictures_on=host, and run again." in printed.err
    assert len(printed.err.strip().splitlines()) == 1


def test_devices_that_are_not_there_are_one_line(root):
    done = subprocess.run(
        [sys.executable, "-c", _WANTS_A_DEVICE],
        cwd=root,
        env=os.environ | {"JAX_PLATFORMS": "cuda"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: `JAX_PLATFORMS`: wanted devices that this machine has")
    assert done.stderr.count("\n") == 1


_WANTS_A_DEVICE = """
import sys
from experiments.harness import command
from experiments.config import StudyConfig

def card(config):
    import jax
    jax.random.key(0) + 0

sys.exit(command.run(card, StudyConfig, usage=""))
"""


def test_messages_of_the_library_name_the_flag(capsys):
    def card(config):
        raise DataError("`path`: set.zip is numbered; say by `label_table` whose numbers. Did you mean `sad`?")

    code, printed = _run(card, "--data_dir=/data/set.zip", "--init_from=run", capsys=capsys)
    assert code == 2
    assert printed.err == (
        "error: `--data_dir`: set.zip is numbered; say by `--label_table` whose numbers. Did you mean `sad`?\n"
    )
    config = StudyConfig(data_dir="/data", init_from="/weights/net.safetensors")
    assert command.in_flags("`path`: net.safetensors is damaged", config).startswith("`--init_from`")
    assert command.in_flags("`path`: something else", config).startswith("`--data_dir`")
    assert command.in_flags("`size`: 8 pictures take too much", config).startswith("`--image_size`")


def test_arguments_and_flagfiles_that_are_no_text_are_one_line(tmp_path, capsys):
    code, printed = _run(lambda config: 0, "--out=caf\udce9", capsys=capsys)
    assert code == 1
    assert printed.err.startswith("error: `--out=caf\\xe9`: wanted UTF-8") and printed.err.count("\n") == 1
    assert _run(lambda config: 0, "--out=café", capsys=capsys)[0] == 0
    (tmp_path / "flags.txt").write_bytes(b"--out=caf\xe9\n")
    for name in ("flags.txt", "gone.txt"):
        code, printed = _run(lambda config: 0, f"--flagfile={tmp_path / name}", capsys=capsys)
        assert code == 1 and printed.err.count("\n") == 1


@pytest.mark.parametrize("name", ["run.json", "data.json", "pictures.npz", "tables/t.csv"])
def test_a_damaged_file_of_a_run_is_one_line(tmp_path, name):
    folder = RunFolder(_config(tmp_path))
    folder.write_json("data.json", {"a": 1})
    folder.write_arrays("pictures", a=np.arange(1000))
    folder.write_table("t", pd.DataFrame({"a": [1, 2]}))
    folder.close()
    reads = {
        "run.json": lambda: RunFolder(_config(tmp_path)),
        "data.json": lambda: folder.read_json("data.json"),
        "pictures.npz": lambda: folder.read_arrays("pictures"),
        "tables/t.csv": lambda: folder.read_table("t"),
    }
    file = folder.path / name
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"\xff\x00" + whole[2:], b"[]\n" * (name == "run.json")):
        if name == "tables/t.csv" and damaged == whole[: len(whole) // 2]:
            continue  # half a table may be a table
        file.write_bytes(damaged)
        with pytest.raises(StorageError, match=rf"`.*{name}`: is damaged.* Restore it from a copy") as told:
            reads[name]()
        assert "\n" not in str(told.value)
    if name != "run.json":
        file.unlink()
        with pytest.raises(StorageError, match=rf"`.*{name}`: is missing"):
            reads[name]()
