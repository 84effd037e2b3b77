"""The log to watch while networks train: `metrics.jsonl`, and TensorBoard where tensorboardX is installed."""

import contextlib
import datetime
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Sequence

from experiments.harness.locked_folder import plain

LOG = "metrics.jsonl"  # in the run folder
BOARD = "tensorboard"  # folder beside the log
_SCALARS = ("train_accuracy", "train_loss", "images_per_s")


def read_rows(path: pathlib.Path) -> list[dict]:
    """Return the rows of a log, without damaged lines, and none where the log is lost."""
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:  # half a line of a process that was killed, or bytes that changed
            continue
        if isinstance(row, dict) and "model" in row:
            rows.append(row)
    return rows


class MetricsLog:
    """`metrics.jsonl`: one object a line, of several models. Each is cut back to its saved rows when it resumes.

    The log is for people: a loss is reported and costs nothing else. The board is a copy: it is drawn anew from
    the lines there are when the first one is added.

    Args:
      path: the file. Its rows stay.
      model: whose rows are written and cut.
    """

    def __init__(self, path: pathlib.Path, model: str):
        self._path, self._model, self._board, self._drawn = path, model, None, False
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  open as long as the stage
        self.rows = sum(self._is_own(row) for row in read_rows(path))

    def keep(self, rows: int, *, without: Sequence[int] = ()) -> None:
        """Forget the model's rows after the first so many, and those of members that begin anew. Other models' stay."""
        kept, own = [], 0
        for row in read_rows(self._path):
            own += self._is_own(row)
            if not self._is_own(row) or (own <= rows and row.get("member") not in without):
                kept.append(row)
        if own < rows:
            sys.stderr.write(f"{self._path}: {rows - own} rows of {self._model} are lost; training goes on.\n")
        self.rows = sum(self._is_own(row) for row in kept)
        unfinished = self._path.with_name(f".{self._path.name}.unfinished")
        unfinished.write_text("".join(f"{json.dumps(row)}\n" for row in kept), encoding="utf-8")
        self._file.close()
        os.replace(unfinished, self._path)
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115
        self._drawn = False

    def rows_within(self, size: int) -> int:
        """Count the model's rows that end within the first so many bytes, by which older checkpoints count."""
        lines = self._path.read_bytes()[:size].splitlines()
        return sum(f'"model": "{self._model}"'.encode() in line for line in lines)

    def flush(self) -> None:
        """Hand what was written to the disk."""
        self._file.flush()

    def write(self, row: dict) -> None:
        """Append one object: model, pair, epoch, time_utc, and figures, of which None is left out of the board."""
        if not self._drawn:
            self._draw_anew()
        row = plain(row)
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self.rows += self._is_own(row)
        self._on_board(lambda board: board.draw(row))
        self._on_board(_Board.flush)  # for who watches

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        self._on_board(_Board.close)

    def _is_own(self, row) -> bool:
        return row["model"] == self._model

    def _draw_anew(self):
        self._drawn = True
        self._file.flush()
        self._on_board(_Board.close)
        self._board = _Board(self._path.parent / BOARD)
        rows = read_rows(self._path)
        self._on_board(lambda board: board.open(rows))

    def _on_board(self, work):
        """Call something with the board, and go on without one where that fails."""
        if self._board is None:
            return
        try:
            work(self._board)
        except ImportError:
            self._board = None
        except OSError as error:
            with contextlib.suppress(OSError):
                self._board.close()
            self._board = None
            sys.stderr.write(f"{self._path.parent / BOARD}: {error}. It is drawn anew when this goes on.\n")


class _Board:
    """TensorBoard's events, written when told to: tensorboardX's own thread would die of a full disk with a traceback.

    Args:
      folder: of the events. What is there is removed.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder, self._writer = folder, None

    def open(self, rows: Sequence[dict]) -> None:
        """Start a file with some rows."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import RecordWriter

        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        self._writer = RecordWriter(str(self._folder / f"events.out.tfevents.{now:.0f}"))
        self._writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for row in rows:
            self.draw(row)

    def draw(self, row: dict) -> None:
        """Add a row's figures."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        seconds = datetime.datetime.fromisoformat(row["time_utc"]).timestamp()
        figures = [
            Summary.Value(tag=f"{row['model']}_{name}/{row['pair']}", simple_value=row[name])
            for name in _SCALARS
            if row.get(name) is not None
        ]
        event = Event(wall_time=seconds, step=row["epoch"], summary=Summary(value=figures))
        self._writer.write(event.SerializeToString())

    def flush(self) -> None:
        """Hand the events to the disk."""
        self._writer.flush()

    def close(self) -> None:
        """Flush and close."""
        if self._writer is not None:
            self._writer.close()


class NoLog:
    """The log of a process whose rows another one writes: it keeps nothing."""

    rows = 0

    def keep(self, rows: int, *, without: Sequence[int] = ()) -> None:
        """Forget it."""

    def rows_within(self, size: int) -> int:
        """Return 0."""
        del size
        return 0

    def flush(self) -> None:
        """Forget it."""

    def write(self, row: dict) -> None:
        """Forget a row."""

    def close(self) -> None:
        """Forget it."""
