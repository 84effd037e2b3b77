"""Files that are written whole, and locks, for the host rooms and the run cards. The core touches no file."""

import os
import pathlib
from typing import IO

from fer_jax.errors import StorageError


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> pathlib.Path:
    """Write a file so that a reader finds the old content or the new one, never a part. Folders are made.

    Args:
      path: where to.
      content: bytes, or text that is written as UTF-8 with its line ends as they are.

    Returns:
      The path.

    Raises:
      StorageError: the disk is full or cannot be written. Nothing unfinished is left on it.
    """
    path = pathlib.Path(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(unfinished, path)
    except OSError as error:
        if unfinished.parent.is_dir():
            unfinished.unlink(missing_ok=True)
        raise StorageError(
            f"`{path}`: cannot be written: {error.strerror or error}. Nothing finished is lost; free or choose another "
            "disk."
        ) from error
    return path


def lock(file: IO, told: str) -> bool:
    """Lock an open file until it is closed. Return whether no other process holds it.

    Args:
      file: open for writing.
      told: how a message calls its folder, with the flag that names it.

    Raises:
      StorageError: a file system that has no locks.
    """
    import fcntl  # Windows has none, and the rest of the library runs there

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError(f"{told} cannot be locked: {error.strerror}. Choose another.") from error
    return True
