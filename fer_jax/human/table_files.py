"""One table of a click study as a CSV file, as this library or a spreadsheet wrote it.

Contract: written are UTF-8, a header row, commas, decimal points, line feeds, and empty cells where a value is missing.
Read are also a byte order mark, semicolons or tabs between cells and, with these, decimal commas, and columns in any
order. A bad row is named as file:line:column.
"""

import csv
import io
import pathlib

import pandas as pd

from fer_jax.errors import DataError, StorageError
from fer_jax.human.columns import ADDED, FLAG, KEYS, REAL, TABLES, TEXT, WHOLE, typed

# A spreadsheet takes a cell that starts so for a formula. Such text is written behind an apostrophe.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")


def as_csv(frame: pd.DataFrame) -> str:
    """Return a typed table as the text of its file."""
    cells, quoting = {}, csv.QUOTE_MINIMAL
    for name, column in frame.items():
        if column.dtype == FLAG:
            column = column.astype(WHOLE)
        elif column.dtype == TEXT:
            # The csv module leaves a lone carriage return bare, which no reader takes.
            quoting = csv.QUOTE_ALL if column.str.contains("\r", regex=False, na=False).any() else quoting
            column = column.where(~column.str.startswith(_FORMULA_STARTS, na=False), "'" + column)
        cells[name] = column
    return pd.DataFrame(cells).to_csv(index=False, lineterminator="\n", quoting=quoting)


def read_table(path: pathlib.Path, table: str) -> pd.DataFrame:
    """Read and check one table.

    Args:
      path: of the file.
      table: a key of `TABLES`.

    Returns:
      A typed table. Columns that only later versions of the schema have may be missing from the file.

    Raises:
      DataError: no such file, or a bad row as file:line:column.
      StorageError: the file cannot be read.
    """
    header, rows, lines, decimal = _cells(path, table)
    columns = {}
    for name, values in zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True):
        cells = pd.Series(values, dtype="str")
        columns[name] = _converted(cells, TABLES[table][name][0], path, name, lines, decimal)
    frame = typed(table, columns)
    for name in KEYS[table]:
        if frame[name].isna().any():
            raise DataError(f"{path}:{lines[int(frame[name].isna().argmax())]}:{name}: wanted a value, got none.")
    twice = frame.duplicated(list(KEYS[table]))
    if twice.any():
        row = int(twice.argmax())
        key = ", ".join(f"{name} {frame[name].iloc[row]}" for name in KEYS[table])
        raise DataError(f"{path}:{lines[row]}:{KEYS[table][-1]}: wanted each row once, got {key} again.")
    return frame


def _check_header(path, table, header) -> None:
    rest = "; the columns are those of `human.columns`."
    unknown = [name for name in header if name not in TABLES[table]]
    if unknown:
        raise DataError(f"{path}:1:{unknown[0]}: wanted no further column, got {unknown[0]!r}{rest}")
    missing = [name for name in TABLES[table] if name not in (*header, *ADDED.get(table, ()))]
    if missing:
        raise DataError(f"{path}:1:{missing[0]}: wanted this column, got none{rest}")
    twice = [name for name in TABLES[table] if header.count(name) > 1]
    if twice:
        raise DataError(f"{path}:1:{twice[0]}: wanted this column once, got it {header.count(twice[0])} times.")


def _cells(path: pathlib.Path, table: str) -> tuple[list[str], list[list[str]], list[int], str]:
    """Return header, rows, the line each row starts on, and the decimal mark."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(
            f"`folder`: wanted a study written by `human.trials.write`, got no file {str(path)!r}."
        ) from error
    except OSError as error:
        raise StorageError(f"`folder`: cannot read {str(path)!r}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}:?: wanted UTF-8 text, got the byte 0x{error.object[error.start]:02x}; save it as CSV UTF-8."
        ) from error
    first = text.partition("\n")[0]
    between = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=between)
    rows, lines = [], []
    try:
        header = next(reader, [])
        _check_header(path, table, header)
        start = reader.line_num + 1
        for row in reader:
            if row and len(row) != len(header):
                raise DataError(f"{path}:{start}:{len(row)}: wanted {len(header)} cells, got {len(row)}.")
            if row:  # else an empty line, which every table may end in
                rows.append(row)
                lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        words = {",": "comma", ";": "semicolon", "\t": "tab"}[between]
        raise DataError(f"{path}:{reader.line_num}:?: wanted {words}-separated cells: {error}.") from error
    return header, rows, lines, "." if between == "," else ","


def _converted(cells: pd.Series, kind: str, path, name, lines, decimal) -> pd.Series:
    cells = cells.where(cells != "")
    if kind == TEXT:
        return cells.str.removeprefix("'")
    if kind == REAL and decimal == "," and cells.str.contains(",", regex=False, na=False).any():
        _refuse_cell(cells, cells.str.contains(".", regex=False, na=False), "one decimal mark", path, name, lines)
        cells = cells.str.replace(",", ".", regex=False)
    wanted = {WHOLE: "a whole number", REAL: "a number with a decimal point", FLAG: "0 or 1"}[kind]
    pattern = {WHOLE: r"-?\d{1,15}", REAL: r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", FLAG: "[01]"}[kind]
    _refuse_cell(cells, cells.notna() & ~cells.str.fullmatch(pattern).fillna(True), wanted, path, name, lines)
    if kind == REAL:
        numbers = cells.map(float, na_action="ignore").astype(REAL)
        _refuse_cell(cells, numbers.abs() == float("inf"), "a number that a double can hold", path, name, lines)
        return numbers
    numbers = cells.map(int, na_action="ignore").astype(WHOLE)
    return numbers.astype(FLAG) if kind == FLAG else numbers


def _refuse_cell(cells, bad, wanted, path, name, lines) -> None:
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"{path}:{lines[row]}:{name}: wanted {wanted}, got {cells.iloc[row]!r}.")
