"""Errors that a user may cause or meet, each with the exit code a script ends with, and warnings.

One line says what came, what was wanted and what to do. Scripts print that line and exit with `exit_code`.
Anything that is not a `FerError` is a bug of ours (exit code 70).
"""

import difflib
import numbers
from collections.abc import Iterable
from typing import Any


class FerError(Exception):
    """Base of every error this library raises on purpose."""

    exit_code = 70


class UsageError(FerError, ValueError):
    """A flag, argument or configuration that cannot be used, or an extra that is not installed."""

    exit_code = 1


class MissingPackage(UsageError, ImportError):
    """A part of the library that is imported without the package it wants."""


class MissingRoom(UsageError, AttributeError):
    """A name in a part of the library whose package is not installed."""


class DataError(FerError, ValueError):
    """Data that is missing, empty or not what it claims to be."""

    exit_code = 2


class StorageError(FerError, OSError):
    """A disk that is full or cannot be written, or a checkpoint that is damaged or does not match."""

    exit_code = 3


class Damaged(StorageError):
    """A checkpoint whose bytes changed or are missing. An earlier one may be whole."""


class MemberFailed(FerError):
    """The run finished, but at least one member of the ensemble did not."""

    exit_code = 4


class MemoryExhausted(FerError):
    """There was not enough memory, on the host or on a device."""

    exit_code = 5


class Preempted(FerError):
    """The run was stopped and saved. The same command goes on from there."""

    exit_code = 75


class AreaWarning(UserWarning):
    """A mask of extremal perturbation that opens far more or far less of its image than was asked."""


def printable(name: str) -> str:
    """Return a file's name so that it can be printed and stored: bytes that are no UTF-8 become their escapes."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def check_one_of(name: str, value: Any, known: Iterable[Any]) -> None:
    """Refuse a value that is none of the known ones. The message lists them, and the near one.

    Args:
      name: of the argument.
      value: what came.
      known: what may come.

    Raises:
      UsageError: the value is not known.
    """
    known = list(known)
    if value in known:
        return
    near = difflib.get_close_matches(str(value), [str(one) for one in known], n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    raise UsageError(f"`{name}`: wanted one of {', '.join(map(str, known))}, got {value!r}.{hint}")


def check_range(name: str, value: Any, low: float, high: float, *, open_low: bool = False) -> None:
    """Refuse a number outside [low, high], or outside (low, high].

    Args:
      name: of the argument.
      value: what came. A NaN is refused.
      low: the least that is allowed.
      high: the most that is allowed.
      open_low: `low` itself is refused, too.

    Raises:
      UsageError: the number is out of range.
    """
    if not (low < value if open_low else low <= value) or not value <= high:
        raise UsageError(f"`{name}`: wanted a number in {'(' if open_low else '['}{low:g}, {high:g}], got {value}.")


def check_count(name: str, value: Any, low: int, *, what: str = "a whole number") -> int:
    """Return a whole number as an `int`, or refuse it.

    Args:
      name: of the argument.
      value: any integer, NumPy's too. A truth value is none.
      low: the least that is allowed.
      what: is wanted, in words.

    Returns:
      The number.

    Raises:
      UsageError: no whole number, or one below `low`.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < low:
        raise UsageError(f"`{name}`: wanted {what} from {low}, got {value!r}.")
    return int(value)


def check_index(name: str, value: int, count: int) -> None:
    """Refuse a number that is no index into `count` things.

    Args:
      name: of the argument.
      value: the number given.
      count: how many things there are.

    Raises:
      UsageError: the number is below 0, or `count` or more.
    """
    if not 0 <= value < count:
        raise UsageError(f"`{name}`: wanted an index in 0..{count - 1}, got {value}.")
