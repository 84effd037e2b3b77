"""Memory that a program gives back, kept in the process for the next program."""

import ctypes
import sys

# Options of glibc's mallopt(3), and the most that stays unused at the heap's end before it goes back.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_KEPT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keep large freed blocks in the process, up to 2 GiB, and return whether this C library can.

    XLA takes a compiled program's working memory anew at each call. By default a large block comes from the system each
    time, page by page and zeroed: a fifth of the CPU time of a small network's training step.
    """
    if not sys.platform.startswith("linux"):
        return False
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    return option is not None and bool(option(_MMAP_MAX, 0) and option(_TRIM_THRESHOLD, _KEPT))
