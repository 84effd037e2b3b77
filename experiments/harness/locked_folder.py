"""A folder in which one process at a time works, and whose files are written whole. A lock ends with its process."""

import io
import json
import os
import pathlib
import platform
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from fer_jax.errors import StorageError, UsageError
from fer_jax.files import lock, write_whole


class LockedFolder:
    """A folder that is locked until `close`, and that holds files of one kind only.

    Args:
      path: where. The folder is made.
      record: the file that makes a folder one of this kind.
      holds: what a folder of this kind holds, for messages.
      leftovers: what a process that was killed at its very beginning may leave.
      overwrite: delete what the folder holds.

    Raises:
      UsageError: the folder holds other files, or is in use.
      StorageError: it cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        record: str,
        holds: str,
        leftovers: Sequence[str] = ("LOCK",),
        overwrite: bool = False,
    ):
        self.path = pathlib.Path(path)
        self._refuse_strangers(record, holds, leftovers, overwrite)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / "LOCK", "a+", encoding="utf-8")  # noqa: SIM115  held while the process lives
        except OSError as error:
            raise StorageError(f"`--out`: {self.path} cannot be written: {error.strerror}. Choose another.") from error
        try:
            self._take_lock()
            if overwrite:
                self._clear(record)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the lock."""
        self._lock.close()

    def _refuse_strangers(self, record, holds, leftovers, overwrite):
        """Refuse a folder of other files before anything is written: it may be one of pictures."""
        if not self.path.is_dir() or (self.path / record).exists():
            return
        names = sorted(entry.name for entry in self.path.iterdir())
        strangers = [name for name in names if name not in leftovers and not name.endswith(".unfinished")]
        if strangers and overwrite:
            raise UsageError(f"`--overwrite`: {self.path} is no run folder of ours; remove it yourself.")
        if strangers:
            raise UsageError(
                f"`--out`: {self.path} is not empty and holds no {holds} ({strangers[0]}). Choose another."
            )

    def _take_lock(self):
        if not lock(self._lock, f"`--out`: {self.path}"):
            self._lock.seek(0)
            raise UsageError(f"`--out`: {self.path} is in use by {self._lock.read().strip() or 'another run'}.")
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {platform.node()}\n")
        self._lock.flush()

    def _clear(self, record):
        """Delete all files: first the records of stages that have ended, last the record of the folder's kind."""
        entries = [entry for entry in self.path.iterdir() if entry.name != "LOCK"]
        try:
            for entry in sorted(entries, key=lambda entry: (entry.name == record, entry.name != "stages")):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        except OSError as error:
            raise StorageError(f"`--overwrite`: {error.filename} cannot be deleted: {error.strerror}.") from error

    def file(self, *parts: str) -> pathlib.Path:
        """Return a path inside the folder, its parent folders made."""
        path = self.path.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_bytes(self, name: str, content: bytes) -> pathlib.Path:
        """Write a file whole or not at all.

        Raises:
          StorageError: the disk is full or cannot be written. Nothing unfinished is left on it.
        """
        return write_whole(self.path / name, content)

    def write_text(self, name: str, text: str) -> pathlib.Path:
        """Write UTF-8 text."""
        return self.write_bytes(name, text.encode())

    def write_json(self, name: str, value: Any) -> pathlib.Path:
        """Write JSON. Numbers that are not finite become null."""
        return self.write_text(name, json.dumps(plain(value), indent=1, allow_nan=False) + "\n")

    def write_arrays(self, name: str, **arrays: np.ndarray) -> pathlib.Path:
        """Write arrays as one NPZ."""
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return self.write_bytes(f"{name}.npz", buffer.getvalue())


def plain(value):
    """Return a JSON-ready copy: numpy scalars and arrays become plain, what is not finite becomes None."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
