"""One table of a click study as a CSV file, as this library, a spreadsheet or R wrote it.

Contract: written are UTF-8, a header row, commas, decimal points, line feeds, and empty cells where a value is missing.
Text that a spreadsheet or R would change, such as a formula, NA or 1E5, stands behind an apostrophe. Read is also what
German Excel and R's `write.csv` make of such a file. One line says what was recovered. What cannot be recovered is
named as file:line:column.
"""

import csv
import dataclasses
import io
import pathlib
import re
import sys
from collections.abc import Callable

import pandas as pd

from fer_jax.errors import DataError, StorageError
from fer_jax.human.columns import ADDED, FLAG, KEYS, REAL, TABLES, TEXT, WHOLE, typed

# A spreadsheet takes a cell that starts so for a formula. Such text is written behind an apostrophe.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")

# Dates as a spreadsheet shows them: with dots the day stands first, with slashes nobody can tell.
_DOTTED = r"(\d{1,2})\.(\d{1,2})\.(\d{4}) (\d{1,2}):(\d\d)(?::(\d\d))?"
_SPACED = r"(\d{4})-(\d\d)-(\d\d) (\d{1,2}):(\d\d)(?::(\d\d))?"
_SLASHED = r"\d{1,2}/\d{1,2}/\d{2,4}.*"
_SCIENTIFIC = r"-?\d+(?:[.,]\d+)?[eE][+-]?\d+"
# A long number as a spreadsheet shows it: most of its digits are lost.
_SHORTENED = r"\d(?:[.,]\d+)?[eE]\+\d{2,3}"
# Text that comes back changed, or as a number, from a spreadsheet or R.
_CHANGED = re.compile(
    rf"NA|(?i:true|false|wahr|falsch)|{_SCIENTIFIC}|0\d+|\d{{12,}}|{_DOTTED}|{_SPACED}|{_SLASHED}", re.ASCII
)

_MISSING = ("", "NA")
_NO_NUMBER = (*_MISSING, "NaN")
_FLAGS = {"0": 0, "1": 1, "TRUE": 1, "FALSE": 0, "WAHR": 1, "FALSCH": 0}
_WORDS = {",": "comma", ";": "semicolon", "\t": "tab"}
# Whole numbers from here on a spreadsheet shows in scientific form, without their last digits.
_ROUNDED = 1e11


def say(line: str) -> None:
    """Write a line for the researcher to the standard error."""
    sys.stderr.write(line + "\n")


def as_csv(frame: pd.DataFrame, *, sep: str = ",") -> str:
    """Return a table as the text of its file.

    Args:
      frame: with the types of `human.columns`.
      sep: between cells.
    """
    cells, quoting = {}, csv.QUOTE_MINIMAL
    for name, column in frame.items():
        if column.dtype == FLAG:
            column = column.astype(WHOLE)
        elif column.dtype == TEXT:
            # The csv module leaves a lone carriage return bare, which no reader takes.
            quoting = csv.QUOTE_ALL if column.str.contains("\r", regex=False, na=False).any() else quoting
            column = column.map(_guarded, na_action="ignore")
        cells[_guarded(str(name))] = column
    return pd.DataFrame(cells).to_csv(index=False, lineterminator="\n", quoting=quoting, sep=sep)


def _guarded(text: str) -> str:
    return "'" + text if text.startswith(FORMULA_STARTS) or _CHANGED.fullmatch(text) else text


def read_table(path: pathlib.Path, table: str, *, note: Callable[[str], None] = say) -> pd.DataFrame:
    """Read and check one table.

    Args:
      path: of the file.
      table: a key of `TABLES`.
      note: takes the line that says what was recovered, if anything was.

    Returns:
      A typed table. Columns that only later versions of the schema have may be missing from the file. Columns that the
      schema does not have stand behind the others, as text.

    Raises:
      DataError: no such file, or a bad row as file:line:column.
      StorageError: the file cannot be read.
    """
    file = _opened(path, table)
    columns = {
        name: _converted(pd.Series(values, dtype="str"), TABLES[table].get(name, (TEXT,))[0], file, name)
        for name, values in file.columns.items()
    }
    frame = typed(table, columns, added=True)
    for name in KEYS[table]:
        if frame[name].isna().any():
            raise DataError(f"{path}:{file.lines[int(frame[name].isna().argmax())]}:{name}: wanted a value, got none.")
    twice = frame.duplicated(list(KEYS[table]))
    if twice.any():
        row = int(twice.argmax())
        key = ", ".join(f"{name} {frame[name].iloc[row]}" for name in KEYS[table])
        raise DataError(f"{path}:{file.lines[row]}:{KEYS[table][-1]}: wanted each row once, got {key} again.")
    if file.recovered:
        note(f"{path}: read with {', '.join(file.recovered)}.")
    return frame


@dataclasses.dataclass
class _File:
    """The cells of one file.

    Attributes:
      path: of the file.
      columns: name -> cells, in the order of the file.
      lines: the line that each row starts on.
      decimal: the decimal mark.
      recovered: what a spreadsheet or R changed, in words, each once.
    """

    path: pathlib.Path
    columns: dict[str, list[str]]
    lines: list[int]
    decimal: str
    recovered: list[str]

    def recover(self, what: str) -> None:
        """Remember what was recovered."""
        if what not in self.recovered:
            self.recovered.append(what)

    def refuse(self, cells: pd.Series, bad: pd.Series, name: str, wanted: str) -> None:
        """Raise `DataError` for the first bad cell, if there is one."""
        if bad.any():
            row = int(bad.argmax())
            raise DataError(f"{self.path}:{self.lines[row]}:{name}: wanted {wanted}, got {cells.iloc[row]!r}.")


def _opened(path: pathlib.Path, table: str) -> _File:
    """Read the cells of a file, whatever stands between them."""
    text, recovered = _text(path)
    between = _separator(text, table)
    if between != ",":
        recovered.append(f"{_WORDS[between]}s between cells")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=between)
    rows, lines, header = [], [], []
    try:
        header = next(reader, [])
        start = reader.line_num + 1
        for row in reader:
            if any(row):  # else an empty line, which every table may end in
                rows.append(row)
                lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}:?: wanted {_WORDS[between]}-separated cells: {error}.") from error
    if rows and all(len(row) == len(header) + 1 for row in rows):  # R's write.table names no column of row numbers
        header = ["", *header]
    header = [name.removeprefix("'") for name in header]
    while header and header[-1] == "" and all(len(row) == len(header) and row[-1] == "" for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise DataError(f"{path}:{line}:{len(row)}: wanted {len(header)} cells, got {len(row)}.")
    columns = [list(cells) for cells in zip(*rows, strict=True)] if rows else [[] for _ in header]
    if header[:1] == [""] and len(set(columns[0])) == len(columns[0]):
        header, columns = header[1:], columns[1:]
        recovered.append("the column of row numbers left out")
    _check_header(path, table, header)
    found = dict(zip(header, columns, strict=True))
    known = [name for name in header if name in TABLES[table]]
    if known != [name for name in TABLES[table] if name in found]:
        recovered.append("columns in another order")
    if added := [name for name in header if name not in TABLES[table]]:
        recovered.append(f"added columns kept ({', '.join(added)})")
    return _File(path, found, lines, "." if between == "," else ",", recovered)


def _text(path) -> tuple[str, list[str]]:
    """Return the text of a file, and how it was recovered."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"`folder`: wanted a study written by `human.trials.write`, got no file {str(path)!r}."
        ) from error
    except OSError as error:
        raise StorageError(f"`folder`: cannot read {str(path)!r}: {error.strerror}.") from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16"), ["UTF-16 text"]
        except UnicodeDecodeError:
            raise DataError(f"{path}:1:?: wanted UTF-8 text, got damaged UTF-16; save it as CSV UTF-8.") from None
    marked = ["a byte order mark"] if data.startswith(b"\xef\xbb\xbf") else []
    try:
        return data.decode("utf-8-sig"), marked
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        # German Excel's "CSV" is Windows-1252 with semicolons. Other files may be of any of many encodings.
        if b";" in data.partition(b"\n")[0]:
            try:
                return data.decode("cp1252"), ["Windows-1252 letters"]
            except UnicodeDecodeError:
                pass
        raise DataError(
            f"{path}:{line}:?: wanted UTF-8 text, got the byte 0x{data[error.start]:02x}; save it as CSV UTF-8."
        ) from error


def _separator(text: str, table: str) -> str:
    """Return what stands between cells: the mark that finds most of the table's columns in the header."""

    def known(mark):
        try:
            header = next(csv.reader(io.StringIO(text, newline=""), delimiter=mark), [])
        except csv.Error:
            header = []
        return sum(name in TABLES[table] for name in header)

    return max(_WORDS, key=known)


def _check_header(path, table, header) -> None:
    rest = "; the columns are those of `human.columns`."
    missing = [name for name in TABLES[table] if name not in (*header, *ADDED.get(table, ()))]
    if missing:
        raise DataError(f"{path}:1:{missing[0]}: wanted this column, got none{rest}")
    if "" in header:
        raise DataError(f"{path}:1:{header.index('') + 1}: wanted a name for this column, got none.")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(f"{path}:1:{twice[0]}: wanted this column once, got it {header.count(twice[0])} times.")


def _converted(cells: pd.Series, kind: str, file: _File, name: str) -> pd.Series:
    """Return the cells of one column as its values."""
    if cells.isin(("NA",) if kind == TEXT else ("NA", "NaN")).any():
        file.recover("NA as missing")
    cells = cells.where(~cells.isin(_MISSING if kind == TEXT else _NO_NUMBER))
    convert = {TEXT: _texts, FLAG: _flags, REAL: _reals, WHOLE: _wholes}[kind]
    return convert(cells, file, name)


def _texts(cells, file, name) -> pd.Series:
    if name.endswith("_utc"):
        cells = _instants(cells, file, name)
    elif name in ("participant", "image", "image_sha256", "consent_sha256"):
        file.refuse(
            cells, _fits(cells, _SHORTENED), name, "text as it was written, which a spreadsheet took for a long number"
        )
    return cells.str.removeprefix("'")


def _instants(cells, file, name) -> pd.Series:
    """Bring instants that a spreadsheet rewrote back to ISO 8601."""
    file.refuse(
        cells,
        _fits(cells, _SLASHED),
        name,
        "an instant such as 2026-03-01T09:30:00Z; day and month cannot be told apart",
    )

    def mended(text):
        if match := re.fullmatch(_DOTTED, text):
            day, month, year, hour, minute, second = match.groups(default="0")
        elif match := re.fullmatch(_SPACED, text):
            year, month, day, hour, minute, second = match.groups(default="0")
        else:
            return text
        return f"{year}-{month:>02}-{day:>02}T{hour:>02}:{minute}:{second:>02}Z"

    found = cells.map(mended, na_action="ignore").astype(TEXT)
    if not found.equals(cells.astype(TEXT)):
        file.recover("rewritten dates")
    return found


def _flags(cells, file, name) -> pd.Series:
    whole = cells.str.upper().str.replace(r"[.,]0+$", "", regex=True)
    file.refuse(cells, cells.notna() & ~whole.isin(_FLAGS), name, "0 or 1")
    if whole.isin(("TRUE", "FALSE", "WAHR", "FALSCH")).any():
        file.recover("TRUE and FALSE as 1 and 0")
    return whole.map(_FLAGS, na_action="ignore").astype(WHOLE).astype(FLAG)


def _reals(cells, file, name) -> pd.Series:
    if file.decimal == "," and cells.str.contains(",", regex=False, na=False).any():
        file.refuse(cells, cells.str.contains(".", regex=False, na=False), name, "one decimal mark")
        cells = cells.str.replace(",", ".", regex=False)
        file.recover("decimal commas")
    fits = _fits(cells, r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
    file.refuse(cells, cells.notna() & ~fits, name, "a number with a decimal point")
    numbers = cells.map(float, na_action="ignore").astype(REAL)
    file.refuse(cells, numbers.abs() == float("inf"), name, "a number that a double can hold")
    return numbers


def _wholes(cells, file, name) -> pd.Series:
    plain = cells.isna() | _fits(cells, r"-?\d{1,15}")
    if not plain.all():
        odd = cells[~plain]
        if file.decimal == ",":
            odd = odd.str.replace(",", ".", regex=False)
        # Only a column in which a number is missing becomes one of real numbers, and in a key none is missing.
        fraction = "" if name in ("trial", "click", "seq") else r"(\.\d+)?"
        whole = odd.where(_fits(odd, rf"-?\d{{1,15}}{fraction}([eE]\+?\d{{1,2}})?")).map(_whole, na_action="ignore")
        lost = pd.Series(False, cells.index)
        lost[~plain] = whole.isna()
        file.refuse(cells, lost, name, "a whole number")
        cells = cells.where(plain, whole.astype("str"))
        file.recover("whole numbers such as 1.0 and 1e+05")
    return cells.map(int, na_action="ignore").astype(WHOLE)


def _fits(cells, pattern) -> pd.Series:
    """Return which cells have a form. A missing one has none."""
    return cells.str.fullmatch(pattern, na=False).astype(bool)


def _whole(text: str) -> int | None:
    """Return the whole number that a text means, None where it is none or a spreadsheet may have rounded it."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < _ROUNDED else None
