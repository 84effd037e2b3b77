"""One function over many items in several processes, in order, in bounded memory.

Contract: what comes out does not depend on the number of workers.
"""

import collections
import concurrent.futures
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import cv2

from fer_jax.errors import UsageError

_CHUNK = 16  # items a process takes at once
_AHEAD = 3  # chunks for each process that may wait to be fetched
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def map_ordered(
    function: Callable[[_Item], _Result], items: Sequence[_Item], *, workers: int | None = None
) -> Iterator[_Result]:
    """Yield results of a function, item by item, in the order of the items.

    Args:
      function: what to do. With workers it is sent to them, so a function of a module, or a partial of one.
      items: what to do it to.
      workers: processes. None or 1 works in this one, and so do few items. More are started by a fork server, never
        by forking this process, whose threads (JAX's among them) would not survive. A script that asks for workers
        needs the usual `if __name__ == "__main__"` guard. They end when this process does, however it ends.

    Returns:
      An iterator. The work runs only a few chunks ahead of it.

    Raises:
      UsageError: fewer than one worker, or one that was killed from outside.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"`workers`: wanted at least 1, or None, got {workers}.")
    if workers is None or workers == 1 or len(items) <= _CHUNK:
        return map(function, items)
    return _spread(function, items, workers)


def _spread(function, items, workers) -> Iterator:
    chunks = (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
    context = multiprocessing.get_context("forkserver")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=_start) as pool:
        try:
            waiting = collections.deque(
                pool.submit(_work, function, chunk) for chunk in itertools.islice(chunks, _AHEAD * workers)
            )
            while waiting:
                results = waiting.popleft().result()
                waiting.extend(pool.submit(_work, function, chunk) for chunk in itertools.islice(chunks, 1))
                yield from results
        except concurrent.futures.process.BrokenProcessPool:
            raise UsageError(
                f"`workers`: one of {workers} was killed, as a machine short of memory does; ask for fewer."
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _work(function: Callable, items: Iterable) -> list:
    return [function(item) for item in items]


def _start() -> None:
    """Limit OpenCV to one thread. Ctrl-C is for the parent to answer. Nothing outlives it."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
