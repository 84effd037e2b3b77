"""The lock of a folder: one process at a time works in it, and a lock ends with its process."""

import fcntl
from typing import IO

from fer_jax.errors import StorageError


def lock(file: IO, told: str) -> bool:
    """Lock an open file until it is closed; return whether no other process holds it.

    Args:
      file: open for writing.
      told: how a message calls its folder, with the flag that names it.

    Raises:
      StorageError: a file system that has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError(f"{told} cannot be locked: {error.strerror}. Choose another.") from error
    return True
