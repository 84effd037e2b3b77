"""A command that sends itself a signal at one moment of its saves, always the same.

`python -m tests.experiments.signalled SIGKILL os.rename 2 MODULE FLAG ...` kills `python -m MODULE FLAG ...` when the
second folder of its checkpoints is whole but has not got its name yet. With `os.mkdir`, when nothing of it is written.
(The very first folder is made twice, as its parents are missing.)
"""

import itertools
import os
import runpy
import signal
import sys


def _hook(event, arguments):
    if event != cue:
        return
    path = str(arguments[0])
    if "/training/ensemble/" in path and path.endswith(".unfinished") and next(count) == last:
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    number, cue, last = signal.Signals[sys.argv[1]], sys.argv[2], int(sys.argv[3])
    count = itertools.count(1)
    sys.addaudithook(_hook)
    sys.argv = sys.argv[4:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
