"""Threads of a CPU: as many of them add a sum up in the same order, however many devices there are."""

import json
import os
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from experiments.harness import numerics
from experiments.study.run import open_to_compute

from .jobs import environment

# The gradient of a dense layer's kernel: a product whose long axis is summed over, which XLA divides among threads.
PRODUCT = """
import hashlib, numpy as np, jax
from experiments.harness.numerics import numerics
rng = np.random.default_rng(0)
a, b = rng.standard_normal((2048, 64), np.float32), rng.standard_normal((2048, 256), np.float32)
print(numerics()["threads"], hashlib.sha256(np.asarray(jax.jit(lambda a, b: a.T @ b)(a, b)).tobytes()).hexdigest())
"""


def _product(root, devices, cores):
    forced = environment(root, devices=devices) | {"NPROC": str(cores)}
    line = [sys.executable, "-c", PRODUCT]
    done = subprocess.run(line, cwd=root, env=forced, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_as_many_threads_give_the_same_bits_on_one_device_and_on_six(root):
    one, six = _product(root, 1, 6), _product(root, 6, 2)
    assert one == six and one[0] == "6"


@pytest.mark.parametrize(("said", "wanted"), [("13", 13), ("3", 8), ("", None), ("0", None), ("many", None)])
def test_threads_are_cores_or_what_is_said_and_never_fewer_than_devices(said, wanted, monkeypatch):
    monkeypatch.setenv("NPROC", said)
    assert jax.local_device_count() == 8
    assert numerics.numerics()["threads"] == (wanted or max(8, len(os.sched_getaffinity(0))))


@pytest.mark.usefixtures("precision_put_back")
def test_networks_of_a_run_multiply_as_they_did_in_training(run, tmp_path):
    out = shutil.copytree(run[0], tmp_path / "run")
    record = json.loads((out / "run.json").read_text())
    record["config"]["matmul_precision"] = "float32"
    (out / "run.json").write_text(json.dumps(record))
    opened = open_to_compute(str(out))
    assert numerics.numerics()["jax_default_matmul_precision"] == opened.config.matmul_precision == "float32"


def test_a_precision_is_recorded_and_a_gpu_names_the_one_it_has(monkeypatch, precision_put_back):
    numerics.choose_precision(None)
    assert numerics.numerics()["jax_default_matmul_precision"] is None
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for asked, named in ((None, "tensorfloat32"), ("float32", "float32"), (None, "float32")):
        numerics.choose_precision(asked)
        assert numerics.numerics()["jax_default_matmul_precision"] == named


def test_a_cpu_multiplies_alike_under_every_precision(precision_put_back):
    a = np.random.default_rng(0).standard_normal((64, 64), np.float32)

    def product(precision):
        numerics.choose_precision(precision)
        return np.asarray(jax.jit(lambda a: a @ a)(a))

    assert all((product(precision) == product(None)).all() for precision in ("tensorfloat32", "float32"))


def test_another_number_of_threads_is_told_where_it_was_kept(monkeypatch, capsys):
    monkeypatch.setattr(numerics, "_told", set())
    record = numerics.numerics()
    monkeypatch.setenv("NPROC", "13")
    numerics.tell_changes("run", {name: value for name, value in record.items() if name != "threads"})
    assert not capsys.readouterr().err
    numerics.tell_changes("run", record)
    assert f"run: made under other settings (threads was {record['threads']}, is 13)" in capsys.readouterr().err
