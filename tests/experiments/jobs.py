"""Small runs for tests: one in a process of its own, to be interrupted, and the size of one made by hand."""

import json
import os
import subprocess
import sys

import pandas as pd

SMALL = (
    "--members=0-3",
    "--train_per_expression=8",
    "--validation_per_expression=12",
    "--per_ordered_pair=1",
    "--stop_accuracy=0",
    "--max_epochs=20",
    "--batch_size=8",
    "--image_size=32",
    "--max_images=0",
    "--slots=3",
)
RUN_PX = 32  # side of the pictures of `run`
# Every step ends in a checkpoint where seconds between two are 0.
EVERY_STEP, DEADLINE_S = "--save_every_s=0", 300


def environment(root, *, devices=1, xla=""):
    """For children: so many CPU devices, and the compiled programs of earlier ones."""
    return os.environ | {
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", str(root / ".cache" / "jax")),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices} {xla}".strip(),
    }


class Job:
    """One run, started again and again in a process of its own, on so many devices."""

    def __init__(self, out, root, *flags, devices=1, xla=""):
        self.out, self.environment = out, environment(root, devices=devices, xla=xla)
        self._line = ["experiments.train_ensemble", f"--out={out}", *SMALL, *flags]
        self._options = {"cwd": root, "env": self.environment, "text": True}

    @property
    def ended(self):
        return (self.out / "part" / "manifest.json").exists()

    def saved(self):
        """Number of the newest checkpoint."""
        found = (self.out / "training" / "ensemble").glob("[0-9]*/manifest.json")
        return max((int(path.parent.name) for path in found), default=0)

    def writing(self):
        """Whether a checkpoint is being written, or was when the process was killed."""
        folder = self.out / "training" / "ensemble"
        return any(any(folder.glob(f"{place}.*.unfinished")) for place in ("", "running/", "finished/"))

    def start(self, *flags):
        line = [sys.executable, "-m", *self._line, *flags]
        return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **self._options)

    def run(self, *flags, before=()):
        """Run to the end, or to the signal of `signalled`, whose arguments are `before`; exit status and errors."""
        line = [sys.executable, "-m", *before, *self._line, *flags]
        done = subprocess.run(line, capture_output=True, timeout=DEADLINE_S, **self._options)
        return done.returncode, done.stderr

    def finish(self, *flags):
        status, error = self.run(*flags)
        assert status == 0, error

    def result(self):
        """Everything that must not depend on interruptions."""
        arrays = json.loads((self.out / "part" / "manifest.json").read_text())["arrays"]
        metrics = pd.read_json(self.out / "metrics.jsonl", lines=True)
        metrics = metrics.drop(columns=["run", "images_per_s", "wall_s", "time_utc"])
        members = (self.out / "tables" / "members.csv").read_text()
        # The log's order is that of the run, which has the members in step.
        return {path: entry["sha256"] for path, entry in arrays.items()}, metrics.to_csv(index=False), members
