"""The ensemble trained on 1 to 28 forced CPU devices of one process."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from .jobs import EVERY_STEP, Job, environment

SMALL = (
    "--train_per_expression=12",
    "--validation_per_expression=12",
    "--per_ordered_pair=1",
    "--stop_accuracy=0.7",
    "--max_epochs=3",
    "--batch_size=8",
    "--image_size=32",
    "--max_images=0",
    "--slots=28",
)


def _trained(out, root, devices, *flags, threads=None):
    line = [sys.executable, "-m", "experiments.train_ensemble", f"--out={out}", *SMALL, *flags]
    forced = {"NPROC": str(threads)} if threads else {}
    forced = environment(root, devices=devices) | forced
    done = subprocess.run(line, cwd=root, env=forced, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return _result(out)


def _result(out):
    arrays = json.loads((out / "ensemble" / "manifest.json").read_text())["arrays"]
    return {path: entry["sha256"] for path, entry in arrays.items()}, pd.read_csv(out / "tables" / "members.csv")


@pytest.mark.slow
def test_one_to_twenty_eight_devices_train_the_same_members_bit_for_bit(tmp_path, root):
    """Under map, in as many threads; members stop at different epochs, so that slots fall idle on the way."""
    hashes, members = _trained(tmp_path / "none", root, 1, "--over_members=map", threads=28)
    assert members["epochs"].nunique() > 1
    for devices in (1, 2, 4, 7, 14, 28):
        again, table = _trained(
            tmp_path / str(devices), root, devices, "--over_members=map", "--over_devices=shard_map", threads=28
        )
        pd.testing.assert_frame_equal(table, members)
        assert again == hashes, f"{devices} devices"


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("--over_devices=pmap",), ("--over_devices=shard_map", "--data_devices=2")])
def test_other_layouts_stop_every_member_at_the_same_epoch(tmp_path, root, flags):
    _, members = _trained(tmp_path / "none", root, 1, "--over_members=map")
    _, table = _trained(tmp_path / "split", root, 4, *flags)
    pd.testing.assert_frame_equal(table, members, rtol=0.05)
    assert list(table["epochs"]) == list(members["epochs"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        (("--over_devices=shard_map",), set()),
        (("--over_devices=pmap",), set()),
        (("--over_devices=shard_map", "--over_members=vmap"), set()),
        (("--over_devices=shard_map", "--data_devices=2"), {"all-reduce"}),
    ],
    ids=" ".join,
)
def test_a_whole_run_compiles_no_collective_outside_a_shared_batch(tmp_path, root, flags, allowed):
    """As XLA itself writes them down: every program of a run that saves after every step."""
    dump = tmp_path / "programs"
    job = Job(tmp_path / "run", root, *flags, devices=4, xla=f"--xla_dump_to={dump} --xla_dump_hlo_as_text")
    job.environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    job.finish(EVERY_STEP, "--max_epochs=2")
    texts = [path.read_text() for path in dump.glob("*after_optimizations.txt")]
    words = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter", "collective-broadcast")
    found = {word for text in texts for word in words if f" {word}(" in text or f" {word}-start(" in text}
    print(f"{len(texts)} programs, {found or 'no collective'}")
    assert len(texts) > 10 and found == allowed
