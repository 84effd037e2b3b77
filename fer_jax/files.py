"""Files that are written whole or not at all, for the host rooms and the run cards. The core touches no file."""

import os
import pathlib

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
