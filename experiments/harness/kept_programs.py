"""Compiled programs on disk, so that the next command compiles nothing: where they lie, and what spoils them.

JAX writes a program in place. One that a kill or a full disk has cut short would be complained of, and compiled again,
at every start from then on. Here it is removed as soon as JAX says that it cannot be read, or cannot be written.
"""

import contextlib
import os
import pathlib
import platform
import re
import sys
import tempfile
import time
import warnings

_COMPLAINT = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)", re.S)
_BEGUN = time.time()
_told: set[str] = set()


def keep_programs() -> None:
    """Keep compiled programs on disk for the next command, unless the user has said where or that none are kept.

    The folder is one of this user on this machine: a program compiled for another processor may not run here. Where it
    cannot be written, or others than this user may write into it, programs are compiled each time.
    """
    _answer_complaints()
    jax = sys.modules.get("jax")  # a card that needs no network has not loaded it
    if (jax.config.jax_compilation_cache_dir if jax else os.environ.get("JAX_COMPILATION_CACHE_DIR")) is not None:
        return
    folder = _own_folder()
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_own(folder)
        if jax:
            jax.config.update("jax_compilation_cache_dir", str(folder))
        else:
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)


def keep_no_programs() -> None:
    """Compile programs anew from now on, unless the user has said where they are kept.

    For several processes on GPUs: JAX lets the first one alone write. At the next start it would compile nothing, while
    the others compile and wait for its share of that work.
    """
    import jax

    if jax.config.jax_compilation_cache_dir == str(_own_folder()):
        jax.config.update("jax_compilation_cache_dir", None)


def _own_folder():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(home) / "fer_jax" / "programs" / (platform.node() or "this machine")


def _check_own(folder):
    """Raise an OSError where this user cannot write, or where another one can: programs of others would be run."""
    if hasattr(os, "getuid") and (folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o022):
        raise PermissionError(f"others may write into {folder}")
    with tempfile.TemporaryFile(dir=folder):
        pass


def _answer_complaints():
    """Answer what JAX warns of with one line, and remove the program concerned."""
    shown = warnings.showwarning
    if getattr(shown, "answers_complaints", False):
        return

    def show(message, *where, **more):
        if found := _COMPLAINT.fullmatch(str(message)):
            _answer(*found.groups())
        else:
            shown(message, *where, **more)

    show.answers_complaints = True  # pyrefly: ignore[missing-attribute]
    warnings.showwarning = show
    warnings.filterwarnings("always", message="Error (reading|writing) persistent compilation cache entry")


def _answer(what, name, reason):
    folder = sys.modules["jax"].config.jax_compilation_cache_dir
    # One that was cut short in writing is of this start. Of those that cannot be read the name alone is known.
    since = _BEGUN if what == "writing" else 0.0
    for file in pathlib.Path(folder).glob(f"{name}-*-cache"):
        with contextlib.suppress(OSError):
            if file.stat().st_mtime >= since:
                file.unlink()
    if what == "writing" and what not in _told:  # one that cannot be read is compiled and kept again, silently
        _told.add(what)
        sys.stderr.write(f"{folder}: compiled programs are not kept ({reason.splitlines()[0]}).\n")
