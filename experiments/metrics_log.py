"""What a person watches while networks train: `metrics.jsonl`, and TensorBoard where tensorboardX is installed."""

import datetime
import json
import os
import pathlib
import shutil

from experiments.run_folder import plain

BOARD = "tensorboard"  # folder beside the log
_SCALARS = ("train_accuracy", "train_loss", "images_per_s")


class MetricsLog:
    """`metrics.jsonl`: one object a line, cut back to a saved length when a run resumes.

    The board is a copy: it is drawn anew from the lines there are when the first one is added.

    Args:
      path: the file; what is there stays.
    """

    def __init__(self, path: pathlib.Path):
        self._path, self._board, self._drawn = path, None, False
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  open as long as the stage
        self._file.seek(0, os.SEEK_END)

    def length(self) -> int:
        """Bytes written so far."""
        self._file.flush()
        return self._file.tell()

    def cut(self, length: int) -> None:
        """Forget everything after `length` bytes."""
        self._file.flush()
        self._file.truncate(length)
        self._file.seek(0, os.SEEK_END)
        self._drawn = False

    def write(self, row: dict) -> None:
        """Append one object: model, pair, epoch, time_utc, and figures, of which None is left out of the board."""
        if not self._drawn:
            self._draw_anew()
        row = plain(row)
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._draw(row)

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def _draw_anew(self):
        self._drawn = True
        self._file.flush()
        try:
            import tensorboardX
        except ImportError:
            return

        folder = self._path.parent / BOARD
        if self._board is not None:
            self._board.close()
        shutil.rmtree(folder, ignore_errors=True)
        self._board = tensorboardX.SummaryWriter(str(folder))
        for line in self._path.read_text(encoding="utf-8").splitlines():
            self._draw(json.loads(line))

    def _draw(self, row):
        if self._board is None:
            return
        seconds = datetime.datetime.fromisoformat(row["time_utc"]).timestamp()
        for name in _SCALARS:
            if row[name] is not None:
                self._board.add_scalar(f"{row['model']}_{name}/{row['pair']}", row[name], row["epoch"], seconds)
