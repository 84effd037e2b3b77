"""Shards as their rows come: larger than TFDS' own writer can, and the same bytes after any kill."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record", reason="no array_record on this platform: the readers work without it")

import shards  # noqa: E402
from procedural_faces import procedural_faces_dataset_builder as procedural  # noqa: E402
from tensorflow_datasets.core import shuffle  # noqa: E402

from fer_jax.errors import StorageError  # noqa: E402
from tests.data import affectnet_copies as copies  # noqa: E402
from tests.datasets.sets import PREPARE_WITHOUT_TENSORFLOW, build, digests  # noqa: E402
from tests.datasets.test_click_study import click_study  # noqa: E402
from tests.datasets.test_click_study import source as clicks  # noqa: E402, F401  a study's folder
from tests.datasets.test_photographs import write_study_set  # noqa: E402


@pytest.fixture
def small(monkeypatch):
    """A split is many shards, and more than TFDS' writer would keep in memory: it would ask for TensorFlow."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 20_000)
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 20_000)


def lengths(builder):
    return {split: info.shard_lengths for split, info in builder.info.splits.items()}


def test_photographs_of_any_number(small, tmp_path):
    root = write_study_set(tmp_path / "copy")
    built = build("class_folders", root, tmp_path / "many")
    assert len(lengths(built)["validation"]) > 20 and "tensorflow" not in sys.modules
    source = built.as_data_source("validation")
    names = [example["file_name"].decode() for example in source]
    assert names == sorted(names) and len(source) == 96
    files = list(built.data_path.glob("*validation.array_record*"))
    assert len(files) == len(lengths(built)["validation"])
    assert built.info.splits["validation"].num_bytes > 20_000 * (len(files) - 1)
    assert not list(built.data_path.parent.glob("incomplete*")) and not (built.data_path / "unfinished").exists()


def test_clicks_of_any_number(small, clicks, tmp_path):  # noqa: F811
    builder = click_study.Builder(source=clicks, data_dir=tmp_path)
    builder.download_and_prepare()
    assert len(lengths(builder)["trials"]) > 10
    wanted = click_study.Builder(source=clicks, data_dir=tmp_path / "one")
    shards.SHARD_BYTES = 1 << 30
    wanted.download_and_prepare()
    assert len(lengths(wanted)["trials"]) == 1
    for one, other in zip(builder.as_data_source("trials"), wanted.as_data_source("trials"), strict=True):
        assert (one["participant"], one["trial"]) == (other["participant"], other["trial"])
        np.testing.assert_array_equal(one["mask"], other["mask"])


class Stop(Exception):
    """What ends a build here."""


def stopped(make, place, after):
    """A builder that is stopped after some rows, and its twin that goes on."""

    def progress(done):
        if done >= after:
            raise Stop

    first = make(place, progress)
    first.work = place / "work"
    with pytest.raises(Stop):
        first.download_and_prepare()
    counted = []
    second = make(place, counted.append)
    second.work = place / "work"
    second.download_and_prepare()
    shutil.rmtree(second.work)
    return second, counted


def faces_builder(place, progress):
    config = procedural.ProceduralFacesConfig(name="tiny", image_size=40, images={"train": 40, "validation": 16})
    return procedural.Builder(config=config, data_dir=place, progress=progress)


@pytest.mark.parametrize("after", [1, 25, 50])
def test_a_stopped_build_goes_on_and_leaves_the_same_bytes(small, after, tmp_path):
    faces_builder(tmp_path / "whole", lambda done: None).download_and_prepare()
    _, counted = stopped(faces_builder, tmp_path / "parts", after)
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")
    assert counted[-1] == 56
    if after > 20:
        assert 1 < counted[0] <= after, "rows of whole shards were drawn again"


def test_work_on_something_else_or_damaged_is_begun_anew(small, tmp_path):
    folder = tmp_path / "work"

    def write(identity, rows):
        with shards.Shards(folder, identity, place="here") as work:
            work.write("train", lambda done: rows[done:], lambda row: row)
            return work.place("train", lambda number, of: tmp_path / f"{identity}-{number}-of-{of}")

    rows = [os.urandom(9_000) for _ in range(10)]
    assert write("one", rows) == ([3, 3, 3, 1], 90_000)
    assert write("one", []) == ([3, 3, 3, 1], 90_000), "it had ended"
    assert write("two", rows[:2]) == ([2], 18_000)
    (folder / "train-00000").write_bytes(b"cut")
    assert write("two", rows[:4]) == ([3, 1], 36_000)
    (folder / "journal.sqlite").write_bytes(b"x" * 5000)
    assert write("two", rows[:1]) == ([1], 9_000)


def test_a_disk_that_will_not_be_written(tmp_path):
    """The limit is the kernel's: a file of this process may not grow beyond it."""
    code = (
        "import resource, signal, sys; sys.path.insert(0, 'datasets'); import shards\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "import os\n"
        "with shards.Shards(sys.argv[1], 'x', place='here') as work:\n"
        "    work.write('train', lambda done: (os.urandom(9_000) for _ in range(90)), bytes)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "work"], capture_output=True, text=True)
    assert done.returncode and StorageError.__name__ in done.stderr.splitlines()[-1], done.stderr
    assert "`data_dir`: here cannot be written" in done.stderr and "File too large" in done.stderr
    assert not (tmp_path / "work").exists(), "not one shard was whole"


def run(root, place):
    options = ["--dataset=affectnet", "--crop=box", "--image_size=64", f"--manual_dir={root}", f"--data_dir={place}"]
    return subprocess.Popen(
        [*PREPARE_WITHOUT_TENSORFLOW, *options, "--workers=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"SHARD_BYTES": "60000"},
    )


def test_a_killed_build_goes_on_and_leaves_the_same_bytes(tmp_path):
    """With rejects, flags, repeats and copies of validation, which the journal has to remember."""
    odd = copies.line("2/0001.jpg", 1)
    odd[1] = "NULL"
    again = [copies.line(f"{n % 8 + 1}/{n % 8:04x}.jpg", n % 8, box=(n // 8, 10, 30, 30)) for n in range(160)]
    held = [copies.line(f"2/{101:04x}.jpg", 1), copies.line("1/gone.jpg", 0), odd]
    root = copies.write_original(tmp_path / "copy", each=3, split_rows={"training.csv": [*held, *again]})
    whole = run(root, tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    whole.communicate()
    wanted = digests(tmp_path / "whole")
    place = tmp_path / "killed" / "affectnet"
    process = run(root, tmp_path / "killed")
    while process.poll() is None and len(list(place.glob("*/incomplete.work_*/train-?????"))) < 5:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr.read()
    process.communicate()
    assert not list(place.rglob("dataset_info.json"))
    left = [path.stat().st_ino for path in sorted(place.glob("*/incomplete.work_*/train-?????"))]
    last = run(root, tmp_path / "killed")
    assert last.wait() == 0, last.stderr.read()
    last.communicate()
    assert digests(tmp_path / "killed") == wanted
    shown = sorted(place.rglob("*train.array_record*"))
    assert len(shown) > 6 and [path.stat().st_ino for path in shown][:4] == left[:4], "whole shards were written again"
