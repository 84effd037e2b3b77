"""Lines of somebody's csv, cell by cell, so that what is wrong is named as file:line:column.

Contract: every line is parsed by itself. A stray quote spoils one row and not the rest.
"""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fer_jax.data.file_tree import Tree, lines
from fer_jax.errors import DataError

_SHOWN = 40
_WHOLE = re.compile(r"(-?[0-9]{1,11})(?:\.0*)?", re.ASCII)


class CellError(DataError):
    """A cell that is not what its column promises. The message starts with file:line:column."""


class Cells:
    """One line of a table.

    Args:
      where: the file's name, for messages.
      line: its number, from 1.
      columns: names of the columns, in order.
      fields: the cells' texts.

    Raises:
      CellError: another number of cells than columns.
    """

    __slots__ = ("_cells", "line", "where")

    def __init__(self, where: str, line: int, columns: Sequence[str], fields: Sequence[str]):
        self.where, self.line = where, line
        if len(fields) != len(columns):
            raise CellError(f"{where}:{line}:{len(fields)}: wanted {len(columns)} cells, got {len(fields)}")
        self._cells: Mapping[str, str] = dict(zip(columns, map(str.strip, fields), strict=True))

    def text(self, column: str) -> str:
        """Return the cell without blanks around it."""
        return self._cells[column]

    def whole(self, column: str, low: int, high: int) -> int:
        """Return a whole number within both ends.

        Raises:
          CellError: anything else.
        """
        value = whole(self._cells[column])
        if value is not None and low <= value <= high:
            return value
        raise self.error(column, f"a whole number in {low}..{high}")

    def real(self, column: str, low: float = -math.inf, high: float = math.inf) -> float:
        """Return a finite number within both ends.

        Raises:
          CellError: anything else.
        """
        value = real(self._cells[column])
        if low <= value <= high and math.isfinite(value):
            return value
        span = "" if (low, high) == (-math.inf, math.inf) else f" in {low:g}..{high:g}"
        raise self.error(column, f"a number{span}")

    def error(self, column: str, wanted: str) -> CellError:
        """Return what to raise, or to note, where a cell is not what is wanted."""
        return CellError(
            f"{self.where}:{self.line}:{column}: wanted {wanted}, got {shown(self._cells.get(column, ''))}"
        )


def texts(rows: Iterable[Cells | CellError], column: str) -> Iterator[str]:
    """Yield a column's texts in the rows that have one."""
    return (text for row in rows if isinstance(row, Cells) and (text := row.text(column)))


def whole(text: str) -> int | None:
    """Return the whole number that a text is, also as other programs write it ("3.0"), or None if it is none."""
    match = _WHOLE.fullmatch(text)
    return int(match[1]) if match else None


def real(text: str) -> float:
    """Return a number written with ASCII digits, or NaN: `float` would take underscores and other scripts too."""
    if not text.isascii() or "_" in text or len(text) > _SHOWN:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan


def shown(text: str) -> str:
    """Return a cell as a message shows it: cut, and without line breaks."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def records(
    numbered: Iterable[tuple[int, str]], *, header: tuple[str, ...] | None = None, where: str = "", delimiter: str = ","
) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of csv lines.

    Args:
      numbered: line numbers and texts.
      header: wanted first line in lower case, or None if there is none.
      where: the file's name, for the message.
      delimiter: between fields. A blank takes any run of blanks.

    Yields:
      Line number and fields. A line that is no csv yields itself as one field.

    Raises:
      DataError: another header.
    """
    numbered = iter(numbered)
    if header is not None:
        _, first = next(numbered, (0, ""))
        names = tuple(name.strip().strip('"').lower() for name in first.split(delimiter))
        if names != header:
            raise DataError(f"`path`: {where}:1: wanted the header {delimiter.join(header)}, got {first[:80]!r}.")
    for number, text in numbered:
        if delimiter == " ":
            yield number, text.split()
            continue
        try:
            yield number, next(csv.reader([text], strict=True, delimiter=delimiter))
        except csv.Error:
            yield number, [text]


def table(
    tree: Tree, path: str, columns: Sequence[str], *, header: bool = True, delimiter: str = ","
) -> Iterator[Cells | CellError]:
    """Yield a file's lines as cells by name. A line of another length comes as the error it is.

    Args:
      tree: where the file lies.
      path: its path there.
      columns: wanted names, in the order that the header, where there is one, must have. The header may hold further
        ones.
      header: whether the first line names the columns.
      delimiter: see `records`.

    Yields:
      `Cells`, or the `CellError` that a line of another length is.

    Raises:
      DataError: no such file, or a header that lacks a column.
    """
    numbered = lines(tree, path)
    names = list(columns)
    if header:
        line, first = next(numbered, (1, ""))
        wanted = {name.lower(): name for name in columns}
        found = [name.strip().strip('"') for name in first.split(delimiter)]
        names = [wanted.get(name.lower(), name) for name in found]
        twice = next((name for name in columns if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(
                f"`path`: {path}:{line}:{twice}: wanted each column once, got it {names.count(twice)} times."
            )
        missing = [name for name in columns if name not in names]
        if missing:
            raise DataError(
                f"`path`: {path}:{line}: wanted the columns {', '.join(columns)}; missing: {', '.join(missing)}; got "
                f"{first[:80]!r}."
            )
    for line, fields in records(numbered, delimiter=delimiter):
        try:
            yield Cells(path, line, names, fields)
        except CellError as error:
            yield error
