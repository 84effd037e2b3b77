"""The processes that work together on one run, and what they agree on."""

import time
from collections.abc import Sequence
from typing import Any, TypeVar

from experiments.harness.command import StopRequest

_T = TypeVar("_T")


class Hosts:
    """This process alone.

    Attributes:
      index: the number of this process.
      count: how many there are.
    """

    index, count = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this process writes what only one may write."""
        return self.index == 0

    def exchange(self, value: Any) -> list:
        """Return the values of all processes, in their order. Each waits for all. Values are JSON-ready."""
        return [value]

    def deals(self, items: Sequence[_T]) -> Sequence[_T]:
        """Return this process's share of items that are dealt out."""
        return items[self.index :: self.count]


ALONE = Hosts()


class Turns:
    """The steps after which a checkpoint is written, the same in all processes.

    Args:
      hosts: the processes.
      stop: what asks this one to stop.
      every_s: seconds between two checkpoints.
    """

    def __init__(self, hosts: Hosts, stop: StopRequest, every_s: float):
        self._hosts, self._stop, self._every_s = hosts, stop, every_s
        self._saved = time.monotonic()

    def save_now(self) -> bool:
        """Tell after each step if a checkpoint is due, or one of the processes was asked to stop."""
        return self._stop.signal is not None or time.monotonic() - self._saved >= self._every_s

    def saved(self) -> None:
        """Start the seconds until the next one."""
        self._saved = time.monotonic()
