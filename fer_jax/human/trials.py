"""The one trial table, and its files.

Contract: four DataFrames with the columns of `fer_jax.human.columns`. On disk: a Psych-DS folder with
`dataset_description.json` and one CSV a table under `data/`: UTF-8, header row, decimal point, empty cell = missing,
0/1 for yes/no, times in ms. `read` after `write` gives back equal tables.
"""

import csv
import dataclasses
import io
import json
import os
import pathlib

import pandas as pd

from fer_jax.errors import DataError, StorageError
from fer_jax.human.columns import FLAG, KEYS, REAL, SCHEMA_VERSION, TABLES, TEXT, WHOLE, typed

# A spreadsheet takes a cell that starts so for a formula; such text is written behind an apostrophe.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "'")


@dataclasses.dataclass(frozen=True, eq=False)
class Trials:
    """Everything one study, or one part of it, recorded.

    Attributes:
      participants: one row a person.
      trials: one row an answer.
      clicks: one row an opening.
      events: one row anything else that happened.
    """

    participants: pd.DataFrame
    trials: pd.DataFrame
    clicks: pd.DataFrame
    events: pd.DataFrame

    def of(self, participants) -> "Trials":
        """The rows of some people, in the order they stand."""
        chosen = set(participants)
        tables = {name: getattr(self, name) for name in TABLES}
        return Trials(
            **{name: table[table["participant"].isin(chosen)].reset_index(drop=True) for name, table in tables.items()}
        )


def write(folder: str | os.PathLike, trials: Trials) -> None:
    """Write the four tables; a file is complete or not there.

    Args:
      folder: made if it does not exist.
      trials: tables with exactly the columns of `fer_jax.human.columns`.

    Raises:
      DataError: a table with other columns.
      StorageError: the folder cannot be written.
    """
    folder = pathlib.Path(folder)
    for table, columns in TABLES.items():
        found = list(getattr(trials, table).columns)
        if found != list(columns):
            wrong = sorted(set(found) ^ set(columns)) or ["their order"]
            raise DataError(f"`trials.{table}`: wanted the columns of human.columns, differing: {', '.join(wrong)}.")
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for table in TABLES:
            _replace(folder / file_name(table), _as_csv(getattr(trials, table)))
        _replace(folder / "dataset_description.json", json.dumps(_description(), indent=2) + "\n")
    except OSError as error:
        raise StorageError(
            f"`folder`: cannot write {str(folder)!r}: {error.strerror}; free space or choose another."
        ) from error


def read(folder: str | os.PathLike) -> Trials:
    """Read and check the four tables.

    Args:
      folder: as `write` left it.

    Returns:
      Tables equal to those written.

    Raises:
      DataError: a file that is missing or a bad row, as file:line:column.
    """
    folder = pathlib.Path(folder)
    return Trials(**{table: _read_table(folder / file_name(table), table) for table in TABLES})


def file_name(table: str) -> str:
    """Where a table lies in the folder of a study, such as "data/study-fer2afc_description-trials_data.csv"."""
    return f"data/study-fer2afc_description-{table}_data.csv"


def _description() -> dict:
    measured = {name: meaning for columns in TABLES.values() for name, (_, meaning) in columns.items()}
    return {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        "name": "Click-reveal study of facial expressions",
        "description": "Two-alternative choices on blurred faces that the participant uncovers click by click.",
        "schemaVersion": str(SCHEMA_VERSION),
        "variableMeasured": [
            {"@type": "PropertyValue", "name": name, "description": meaning} for name, meaning in measured.items()
        ],
    }


def _as_csv(frame: pd.DataFrame) -> str:
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


def _replace(path: pathlib.Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="")
    os.replace(partial, path)


def _read_table(path: pathlib.Path, table: str) -> pd.DataFrame:
    header, rows, lines = _cells(path)
    if header != list(TABLES[table]):
        wrong = next((name for name in TABLES[table] if name not in header), None) or next(
            (name for name in header if name not in TABLES[table]), "their order"
        )
        raise DataError(f"{path}:1:{wrong}: wanted exactly the columns of `human.columns`, in their order.")
    columns = {}
    for name, values in zip(header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True):
        columns[name] = _converted(pd.Series(values, dtype="str"), TABLES[table][name][0], path, name, lines)
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


def _cells(path: pathlib.Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows, and the line each row starts on."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"`folder`: wanted a study written by `human.trials.write`, got no file {str(path)!r}."
        ) from error
    except OSError as error:
        raise StorageError(f"`folder`: cannot read {str(path)!r}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}:?: wanted UTF-8 text, got the byte 0x{error.object[error.start]:02x}."
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, lines = [], []
    try:
        header = next(reader, [])
        start = reader.line_num + 1
        for row in reader:
            if len(row) != len(header):
                raise DataError(f"{path}:{start}:{len(row)}: wanted {len(header)} cells, got {len(row)}.")
            rows.append(row)
            lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}:?: wanted comma-separated cells: {error}.") from error
    return header, rows, lines


def _converted(cells: pd.Series, kind: str, path, name, lines) -> pd.Series:
    cells = cells.where(cells != "")
    if kind == TEXT:
        return cells.str.removeprefix("'")
    wanted = {WHOLE: "a whole number", REAL: "a number", FLAG: "0 or 1"}[kind]
    pattern = {WHOLE: r"-?\d{1,15}", REAL: r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", FLAG: "[01]"}[kind]
    bad = cells.notna() & ~cells.str.fullmatch(pattern).fillna(True)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(f"{path}:{lines[row]}:{name}: wanted {wanted}, got {cells.iloc[row]!r}.")
    if kind == REAL:
        return cells.map(float, na_action="ignore").astype(REAL)
    numbers = cells.map(int, na_action="ignore").astype(WHOLE)
    return numbers.astype(FLAG) if kind == FLAG else numbers
