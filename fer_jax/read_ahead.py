"""Values that a thread computes before they are asked for."""

import concurrent.futures
from collections.abc import Callable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class ReadAhead(Generic[_Value]):
    """A function of whole numbers, computed by a thread a few ahead of whoever asks for them in order.

    Args:
      function: of a number.
      ahead: how many after the one that is asked for.
      pool: the thread, which several may share. One of its own if None.
    """

    def __init__(
        self,
        function: Callable[[int], _Value],
        ahead: int,
        pool: concurrent.futures.ThreadPoolExecutor | None = None,
    ):
        self._function, self._ahead = function, ahead
        self._pool = pool or concurrent.futures.ThreadPoolExecutor(1)
        self._waiting: dict[int, concurrent.futures.Future[_Value]] = {}

    def get(self, number: int, end: int | None = None) -> _Value:
        """Return the value at a number, and begin those after it, none from `end` on."""
        after = number + 1 + self._ahead
        for later in range(number, after if end is None else min(after, end)):
            if later not in self._waiting:
                self._waiting[later] = self._pool.submit(self._function, later)
        return self._waiting.pop(number).result()

    def drop(self) -> None:
        """Let go of what was begun and not asked for."""
        for value in self._waiting.values():
            value.cancel()
        self._waiting.clear()
