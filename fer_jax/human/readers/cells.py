"""Files of other programs as cells of text, and their columns by the names that these programs use.

Contract: a cell is `str`, or missing where it is empty or one of `MISSING`. A column is named by what it means here
and looked up by the names it has elsewhere, whatever their case, spaces and brackets.
"""

import csv
import dataclasses
import io
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from fer_jax.errors import DataError, StorageError, UsageError

# Words that R, Python, MATLAB and JavaScript write for a missing value.
MISSING = ("", "na", "n/a", "nan", "null", "none", "undefined")


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a file.

    Attributes:
      path: of the file.
      table: one row a line, one column a name, all text.
      lines: number of the line each row starts on.
      decimal: the decimal mark.
    """

    path: pathlib.Path
    table: pd.DataFrame
    lines: np.ndarray
    decimal: str

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [str(name) for name in self.table]

    def refuse(self, bad, name: str, wanted: str) -> None:
        """Raise `DataError` for the first bad row, named as file:line:column."""
        bad = np.asarray(bad, bool)
        if bad.any():
            row = int(bad.argmax())
            got = self.table[name].iloc[row] if name in self.table else None
            shown = "none" if got is None or pd.isna(got) else repr(got)
            raise DataError(f"{self.path}:{self.lines[row]}:{name}: wanted {wanted}, got {shown}.")

    def keep(self, rows) -> "Cells":
        """Return some rows, by their truth value."""
        rows = np.asarray(rows, bool)
        return dataclasses.replace(self, table=self.table[rows].reset_index(drop=True), lines=self.lines[rows])


def paths_of(place: pathlib.Path, suffixes: Sequence[str]) -> list[pathlib.Path]:
    """Return a file, or the files of a folder with one of the suffixes, sorted by name.

    Raises:
      DataError: there is none.
    """
    place = pathlib.Path(place)
    if place.is_file():
        return [place]
    found = sorted(path for path in place.glob("*") if path.suffix.lower() in suffixes) if place.is_dir() else []
    if not found:
        raise DataError(f"`log`: wanted a file or a folder of {', '.join(suffixes)} files, got {str(place)!r}.")
    return found


def text_of(path: pathlib.Path) -> str:
    """Return the text of a file, without a byte order mark."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise StorageError(f"`log`: cannot read {str(path)!r}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}:?: wanted UTF-8 text, got the byte 0x{error.object[error.start]:02x}."
        ) from None


def read_cells(path: pathlib.Path) -> Cells:
    """Read cells between commas, semicolons or tabs. Rows may end before the last column.

    Raises:
      DataError: no row, a row with more cells than the header, or a name that is there twice.
    """
    text = text_of(path)
    between = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between, strict=True)
    rows, lines = [], []
    try:
        header = [name.strip() for name in next(reader, [])]
        start = reader.line_num + 1
        for row in reader:
            if any(cell.strip() for cell in row):
                if len(row) > len(header):
                    raise DataError(f"{path}:{start}:{len(row)}: wanted {len(header)} cells, got {len(row)}.")
                rows.append(row + [""] * (len(header) - len(row)))
                lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}:?: wanted cells of text: {error}.") from None
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise DataError(f"{path}:1:{twice[0]}: wanted this column once, got it {header.count(twice[0])} times.")
    if not rows:
        raise DataError(f"{path}:2:?: wanted a row, got none.")
    table = pd.DataFrame(rows, columns=header, dtype="str")
    table = table.loc[:, [name for name in header if name]].apply(lambda column: column.str.strip())
    return Cells(path, table.mask(table.apply(is_missing)), np.array(lines), "," if between == ";" else ".")


def is_missing(column: pd.Series) -> pd.Series:
    """Return which cells stand for a missing value."""
    return column.isna() | column.str.lower().isin(MISSING)


def find_columns(
    names: Iterable[str], known: Mapping[str, Sequence[str]], told: Mapping[str, str], where: str
) -> dict[str, str]:
    """Return what is called what: names of this library -> names in the log.

    Args:
      names: in the log.
      known: names of this library -> names that programs give the column, the best first.
      told: names of this library -> names in the log, which the caller knows.
      where: the log, for messages.

    Raises:
      UsageError: a name that is told and is not in the log, or not one of this library's.
    """
    names = list(names)
    strange = [ours for ours in told if ours not in known]
    if strange:
        raise UsageError(f"`columns`: wanted names among {', '.join(known)}, got {strange[0]!r}.")
    absent = [theirs for theirs in told.values() if theirs not in names]
    if absent:
        raise UsageError(f"`columns`: wanted columns of {where}, got {absent[0]!r}; it has {', '.join(names)}.")
    plain = {_plain(name): name for name in reversed(names)}
    found = {}
    for ours, theirs in known.items():
        alias = next((plain[name] for name in map(_plain, (ours, *theirs)) if name in plain), None)
        if ours in told:
            found[ours] = told[ours]
        elif alias is not None:
            found[ours] = alias
    return found


def column(cells: Cells, found: Mapping[str, str], name: str) -> pd.Series:
    """Return a column as text, missing throughout where the log has none."""
    if name in found:
        return cells.table[found[name]]
    return pd.Series(None, cells.table.index, "str")


def needed(cells: Cells, found: Mapping[str, str], name: str, *, known: Mapping[str, Sequence[str]]) -> pd.Series:
    """Return a column that every row must fill."""
    if name not in found:
        raise DataError(
            f"{cells.path}:1:{name}: wanted this column (or {', '.join(known[name])}), got "
            f"{', '.join(cells.names)}; name it with `columns`."
        )
    values = cells.table[found[name]]
    cells.refuse(values.isna(), found[name], "a value")
    return values


def numbers(cells: Cells, found: Mapping[str, str], name: str) -> pd.Series:
    """Return a column as finite numbers, missing where it is empty."""
    text = column(cells, found, name)
    plain = text.str.replace(",", ".", regex=False) if cells.decimal == "," else text
    values = pd.to_numeric(plain, errors="coerce").astype("float64")
    cells.refuse(text.notna() & ~np.isfinite(values), found.get(name, name), "a finite number")
    return values


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
