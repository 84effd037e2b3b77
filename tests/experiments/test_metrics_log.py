"""The metrics of training: lines that are cut back to what was saved, and TensorBoard's copy of them."""

import builtins
import errno
import json
import os
import struct

import pytest

from experiments.harness import metrics_log
from experiments.study.fit import Rates

ROW = {
    "model": "ensemble", "pair": "happy-sad", "train_accuracy": 0.5, "train_loss": 0.7, "images_per_s": 10.0,
    "time_utc": "2026-01-02T03:04:05+00:00",
}  # fmt: skip


def _scalars(folder):
    """(tag, step) -> value of every event there, read as the format is written down: length, sum, bytes, sum."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            found |= {(value.tag, event.step): (value.simple_value, event.wall_time) for value in event.summary.value}
            content = content[16 + length :]
    return found


def _open(path, rows=0):
    log = metrics_log.MetricsLog(path, "ensemble")
    log.keep(rows)
    return log


def test_a_cut_log_and_its_board_say_the_same(tmp_path):
    log = _open(tmp_path / "metrics.jsonl")
    log.write(ROW | {"epoch": 1})
    saved = log.rows
    log.flush()
    size = (tmp_path / "metrics.jsonl").stat().st_size
    log.write(ROW | {"epoch": 2, "train_accuracy": 0.6})
    log.close()
    assert (saved, log.rows, log.rows_within(size)) == (1, 2, 1)
    # A run that goes on from its last checkpoint: the second epoch comes again.
    log = _open(tmp_path / "metrics.jsonl", saved)
    log.write(ROW | {"epoch": 2, "train_accuracy": 0.75, "train_loss": float("nan")})
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["train_accuracy"], line["train_loss"]) for line in lines] == [
        (1, 0.5, 0.7),
        (2, 0.75, None),
    ]
    scalars = _scalars(tmp_path / "tensorboard")
    assert scalars[("ensemble_train_accuracy/happy-sad", 2)] == (0.75, pytest.approx(1767323045))
    assert {step for _, step in scalars} == {1, 2}
    assert scalars[("ensemble_train_loss/happy-sad", 1)][0] == pytest.approx(0.7)


def test_half_a_line_of_a_killed_process_is_cut_before_it_is_read(tmp_path):
    log = _open(tmp_path / "metrics.jsonl")
    log.write(ROW | {"epoch": 1})
    log.close()
    with open(tmp_path / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"model": "ens')
    log = _open(tmp_path / "metrics.jsonl", 1)
    log.write(ROW | {"epoch": 2})
    log.close()
    assert [json.loads(line)["epoch"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]
    assert {step for _, step in _scalars(tmp_path / "tensorboard")} == {1, 2}


def test_without_tensorboardx_there_are_lines_only(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("tensorboardX"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    log = _open(tmp_path / "metrics.jsonl")
    log.write(ROW | {"epoch": 1})
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_images_a_second_are_those_of_the_time_since_the_last_look():
    now = [100.0]
    rates = Rates(lambda: now[0])
    rates.start(0, 4800)  # goes on after a stop: what it saw before was not seen in this time
    rates.start(1, 0)
    now[0] = 110.0
    assert rates.end_epoch(0, 5000) == (20.0, 10.0)
    now[0] = 120.0
    assert rates.end_epoch(1, 480) == (24.0, 20.0)
    rates.start(2, 0)  # a later member has not been learning since the beginning
    now[0] = 125.0
    assert rates.end_epoch(2, 100) == (20.0, 5.0)
    assert rates.end_epoch(0, 5300) == (20.0, 15.0)


def test_a_board_whose_disk_is_full_is_told_once_and_the_lines_go_on(tmp_path, capsys, monkeypatch):
    from tensorboardX.record_writer import RecordWriter

    log = _open(tmp_path / "metrics.jsonl")
    log.write(ROW | {"epoch": 1})
    assert {step for _, step in _scalars(tmp_path / "tensorboard")} == {1}  # to be watched at once

    def full(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(RecordWriter, "flush", full)
    log.write(ROW | {"epoch": 2})
    log.close()
    told = f"{tmp_path / 'tensorboard'}: [Errno 28] No space left on device. It is drawn anew when this goes on.\n"
    assert capsys.readouterr().err == told
    assert [json.loads(line)["epoch"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]
