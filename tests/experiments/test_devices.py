"""The ensemble trained on 1 to 28 forced CPU devices, each time in a process of its own."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from .jobs import environment

SMALL = (
    "--train_per_expression=12",
    "--validation_per_expression=20",
    "--per_ordered_pair=1",
    "--stop_accuracy=0.7",
    "--max_epochs=3",
    "--batch_size=8",
    "--image_size=32",
    "--max_images=0",
    "--slots=28",
)


def _trained(out, root, devices, *flags):
    line = [sys.executable, "-m", "experiments.train_ensemble", f"--out={out}", *SMALL, *flags]
    forced = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    done = subprocess.run(line, cwd=root, env=environment(root) | forced, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    arrays = json.loads((out / "ensemble" / "manifest.json").read_text())["arrays"]
    return {path: entry["sha256"] for path, entry in arrays.items()}, pd.read_csv(out / "tables" / "members.csv")


@pytest.mark.slow
def test_one_to_twenty_eight_devices_train_the_same_members_bit_for_bit(tmp_path, root):
    """Under map; members stop at different epochs, so that slots fall idle on the way."""
    hashes, members = _trained(tmp_path / "none", root, 1, "--over_members=map")
    assert members["epochs"].nunique() > 1
    for devices in (1, 2, 4, 7, 14, 28):
        again, table = _trained(
            tmp_path / str(devices), root, devices, "--over_members=map", "--over_devices=shard_map"
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
