"""Training killed with -9 or asked to stop, over and over: the same command ends where an unbroken run ends.

Kills follow cues (a checkpoint is there, a checkpoint is being written) and a random moment after them. Five of them
run with the fast tests; fifty, and twenty polite stops, are `slow`.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

SMALL = (
    "--members=0-3",
    "--train_per_expression=12",
    "--validation_per_expression=20",
    "--per_ordered_pair=1",
    "--stop_accuracy=0",
    "--max_epochs=20",
    "--batch_size=8",
    "--image_size=32",
    "--max_images=0",
    "--slots=3",
)
# Every step ends in a checkpoint where seconds between two are 0.
EVERY_STEP, DEADLINE_S = "--save_every_s=0", 300


class Job:
    """One run, started again and again in a process of its own."""

    def __init__(self, out, root):
        self.out = out
        self._line = [sys.executable, "-m", "experiments.train_ensemble", f"--out={out}", *SMALL]
        cache = {
            "JAX_COMPILATION_CACHE_DIR": str(root / ".cache" / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "",
        }
        self._options = {"cwd": root, "env": os.environ | cache, "text": True}

    @property
    def ended(self):
        return (self.out / "part" / "manifest.json").exists()

    def saved(self):
        """Number of the newest checkpoint."""
        found = (self.out / "training" / "ensemble").glob("[0-9]*/manifest.json")
        return max((int(path.parent.name) for path in found), default=0)

    def writing(self, number):
        """Whether checkpoint `number` is being written."""
        return (self.out / "training" / "ensemble" / f".{number}.unfinished").exists()

    def start(self, *flags):
        return subprocess.Popen([*self._line, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **self._options)

    def finish(self):
        done = subprocess.run(self._line, capture_output=True, timeout=DEADLINE_S, **self._options)
        assert done.returncode == 0, done.stderr

    def result(self):
        """Everything that must not depend on interruptions."""
        arrays = json.loads((self.out / "part" / "manifest.json").read_text())["arrays"]
        metrics = pd.read_json(self.out / "metrics.jsonl", lines=True)
        metrics = metrics.drop(columns=["run", "images_per_s", "wall_s", "time_utc"])
        members = (self.out / "tables" / "members.csv").read_text()
        # The log's order is that of the run, which has the members in step.
        return {path: entry["sha256"] for path, entry in arrays.items()}, metrics.to_csv(index=False), members


def _await(cue, child):
    """Wait for a cue; False if the process ends before it comes."""
    deadline = time.monotonic() + DEADLINE_S
    while not cue():
        if child.poll() is not None:
            assert child.returncode == 0, child.stderr.read()
            return False
        assert time.monotonic() < deadline, "the cue never came"
        time.sleep(0.001)
    return True


def _kill(job, chance, *, inside):
    """Start, wait for a moment drawn at random, kill -9; whether it hit a save, or None if the run ended before."""
    child = job.start(EVERY_STEP)
    # The first checkpoint may come anywhere; later ones a few steps on, so that the run gets somewhere.
    number = job.saved() + chance.randint(1, 3)
    if _await((lambda: job.writing(number)) if inside else (lambda: job.saved() >= number), child):
        time.sleep(chance.uniform(0, 0.02 if inside else 0.2))
    child.kill()
    child.communicate()
    if job.ended:
        return None
    return any(job.writing(at) for at in range(number + 50))


def _through(job, chance, moments):
    """Kill at every moment of a list, then let the run end; how many kills came before that, how many hit a save."""
    hits = []
    for inside in moments:
        hit = _kill(job, chance, inside=inside)
        if hit is None:
            break
        hits.append(hit)
    job.finish()
    return len(hits), sum(hits)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, root):
    job = Job(tmp_path_factory.mktemp("kills") / "unbroken", root)
    job.finish()
    return job.result()


def test_killed_five_times_twice_inside_a_save(unbroken, tmp_path, root):
    job = Job(tmp_path / "run", root)
    kills, inside = _through(job, random.Random(0), [False, True, False, True, False])
    assert kills == 5 and inside >= 1
    assert job.result() == unbroken


@pytest.mark.slow
def test_killed_at_fifty_random_moments_twenty_of_them_inside_a_save(unbroken, tmp_path, root):
    chance, kills, inside, runs = random.Random(1), 0, 0, 0
    while kills < 50:
        job = Job(tmp_path / f"run{runs}", root)
        moments = [inside < 20 or chance.random() < 0.2 for _ in range(12)]
        more, hits = _through(job, chance, [moment if at % 2 else False for at, moment in enumerate(moments)])
        assert job.result() == unbroken, f"run {runs}, after {more} kills"
        kills, inside, runs = kills + more, inside + hits, runs + 1
    print(f"{kills} kills in {runs} runs, {inside} inside a save")
    assert inside >= 20


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_ten_times_it_saves_and_exits_75(unbroken, tmp_path, root, number):
    """Half of the runs would save every ten minutes only: what they lose must be nothing all the same."""
    chance, stops, runs = random.Random(2), 0, 0
    while stops < 10:
        job, runs = Job(tmp_path / f"run{runs}", root), runs + 1
        seldom = runs % 2
        while not job.ended and stops < 10:
            child = job.start("--save_every_s=600" if seldom else EVERY_STEP)
            number_before = job.saved()
            begun = job.out / "stages" / "ensemble.metrics"
            if seldom:
                _await(begun.exists, child)
                time.sleep(chance.uniform(0.5, 3))
            else:
                _await(lambda before=number_before, job=job: job.saved() > before, child)
            child.send_signal(number)
            _, error = child.communicate(timeout=60)
            if child.returncode == 0:
                break
            assert child.returncode == 75, error
            assert "Traceback" not in error
            # A run that is stopped before its first step has nothing new to save.
            assert job.saved() >= number_before
            stops += 1
        job.finish()
        assert job.result() == unbroken
    print(f"{stops} stops in {runs} runs")
