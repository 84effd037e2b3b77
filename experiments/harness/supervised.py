"""Work in a child process, so that the end of it is one line even where the runtime of JAX aborts the process.

Contract: the parent hands on signals, each of them once, whether a launcher sends them to the parent or to both. A
child whose parent is gone ends. What C++ writes on its way out is kept back unless the end is not understood.
"""

import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

from experiments.harness.command import BUG, StopRequest
from experiments.harness.hosts import lost, never_came
from fer_jax.errors import Preempted

_CHILD = "FER_JAX_SUPERVISED"  # tells a child its ends of two pipes
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# A line of the C++ log: its level, month and day, time. Errors have further lines.
_LOGGED = re.compile(rb"^([IWEF])\d{4} \d\d:\d\d:")
_ERROR = (b"E", b"F")
_KEPT_LINES = 2000  # the last ones say why a process ended
_ABORTED = b"JAX distributed service detected fatal errors"
_NEVER_CAME = b"RPC: /xla.coordination.CoordinationService/RegisterTask"
_UNHEALTHY = re.compile(rb"stopped sending heartbeats\):\s+(\d+)")


def supervise(work: Callable[[StopRequest], int]) -> int:
    """Run this very command again as a child, do the work there, and return its exit code.

    Args:
      work: takes what asks it to stop, and returns an exit code.

    Raises:
      Preempted: the child was ended by JAX, as another process was lost, or by signal 9.
    """
    ends = os.environ.pop(_CHILD, None)
    if ends is not None:
        return _obey(work, *map(int, ends.split()))
    (orders, commands), (noise, shown) = os.pipe(), os.pipe()
    for number in _SIGNALS:
        signal.signal(number, lambda number, frame: _hand_on(commands, number))
    # The child inherits that these wait. A launcher may send one to both before the child listens to the parent alone.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        child = subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]],
            env=os.environ | {_CHILD: f"{orders} {shown}"},
            pass_fds=(orders, shown),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    os.close(orders)
    os.close(shown)
    kept: collections.deque[bytes] = collections.deque(maxlen=_KEPT_LINES)
    reader = threading.Thread(target=_read, args=(noise, kept), daemon=True)
    reader.start()
    code = child.wait()
    reader.join(timeout=1.0)
    return code if code >= 0 else _explain(-code, b"".join(kept))


def _obey(work, orders, shown) -> int:
    """Run as the child: listen to the parent alone, and leave files 1 and 2 to what C++ writes."""
    stop = StopRequest()
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    for name, file in (("stdout", 1), ("stderr", 2)):
        stream = open(os.dup(file), "w", buffering=1, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        setattr(sys, name, stream)
        os.dup2(shown, file)
    os.close(shown)

    def listen():
        while order := os.read(orders, 1):
            stop.ask(order[0])
        os._exit(128 + signal.SIGKILL)  # the parent was killed

    threading.Thread(target=listen, daemon=True).start()
    return work(stop)


def _hand_on(commands, number) -> None:
    with contextlib.suppress(OSError):  # a child that has just ended
        os.write(commands, bytes([number]))


def _read(noise, kept) -> None:
    """Show what the child writes past Python, and keep the log of C++, each error with all its lines."""
    within = False
    with os.fdopen(noise, "rb") as lines:
        for line in lines:
            if logged := _LOGGED.match(line):
                within = logged[1] in _ERROR
            if logged or within:
                kept.append(line)
            elif not line.startswith(b"[Gloo]"):
                sys.stderr.write(line.decode(errors="backslashreplace"))


def _explain(number, noise) -> int:
    """Say why a child was ended by a signal."""
    if _NEVER_CAME in noise:
        raise never_came()
    if _ABORTED in noise:
        which = _UNHEALTHY.search(noise)
        raise lost(which[1].decode() if which else "")
    if number == signal.SIGKILL:
        raise Preempted("The process was killed (signal 9), perhaps for want of memory. Run the same command again.")
    sys.stderr.write(noise.decode(errors="backslashreplace"))
    sys.stderr.write(f"error: A bug of ours, or of a library: the process ended by signal {number}.\n")
    return BUG
