"""The one trial table, and its files.

Contract: four DataFrames with the columns of `fer_jax.human.columns`. On disk: a Psych-DS folder with
`dataset_description.json` and one CSV a table under `data/`: UTF-8, header row, decimal point, empty cell = missing,
0/1 for yes/no, times in ms. `read` after `write` gives back equal tables. What a spreadsheet makes of them is read too:
a byte order mark, semicolons or tabs between cells and, with these, decimal commas; columns in any order.
"""

import csv
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Mapping

import pandas as pd

from fer_jax.errors import DataError, StorageError
from fer_jax.human.columns import ADDED, FLAG, KEYS, REAL, SCHEMA_VERSION, TABLES, TEXT, WHOLE, typed

TABLE_NAMES = {table: f"`{table}`" for table in TABLES}

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


def typed_tables(trials: Trials, *, names: Mapping[str, str] = TABLE_NAMES) -> Trials:
    """Return the four tables with the types of `human.columns` and a fresh index.

    Args:
      trials: tables with exactly the columns of `human.columns`.
      names: how messages call each table, such as the path of its file.

    Returns:
      Equal tables.

    Raises:
      DataError: other columns, a value of another type, a key that is missing or not unique, text that is no Unicode.
    """
    return Trials(**{table: _typed(getattr(trials, table), table, names[table]) for table in TABLES})


def answers(table: pd.DataFrame, *, name: str = TABLE_NAMES["trials"]) -> pd.Series:
    """Return which trials were answered, and whether rightly.

    Args:
      table: of trials. Where it has responses at all, a trial without one is not answered, whatever `correct` says; a
        log without responses is taken at its `correct`.
      name: how messages call the table.

    Returns:
      boolean, one a trial: right or wrong, NA where it was not answered.

    Raises:
      DataError: two rows of one trial; a response that is neither of the two options; `correct` that contradicts the
        response.
    """
    refuse_doubles(table, "trials", name)
    correct = table["correct"].astype(FLAG)
    if table["response"].isna().all():
        return correct
    told, truth = table["response"].notna(), table["true_label"].notna()
    right = table["response"].eq(table["true_label"]).astype(FLAG).where(told & truth)
    strange = told & truth & table["false_label"].notna() & ~right.fillna(True)
    strange &= table["response"].ne(table["false_label"])
    refuse(name, table, strange, "response", "the true or the false label")
    refuse(
        name, table, right.notna() & correct.notna() & right.ne(correct), "correct", "1 where the response is the truth"
    )
    return right.fillna(correct).where(told)


def refuse_doubles(frame: pd.DataFrame, table: str, name: str) -> None:
    """Raise `DataError` for the first row of a table whose key is missing or has been there before."""
    keys = list(KEYS[table])
    for column in keys:
        refuse(name, frame, frame[column].isna(), column, "a value")
    refuse(name, frame, frame.duplicated(keys), keys[-1], f"each {' and '.join(keys)} once")


def refuse(name: str, table: pd.DataFrame, bad, columns: str | tuple[str, ...], wanted: str) -> None:
    """Raise `DataError` for the first bad row of a table, if there is one.

    Args:
      name: of the table.
      table: its rows.
      bad: one truth value a row; a missing one counts as bad.
      columns: what is shown of the row.
      wanted: instead.
    """
    bad = pd.Series(bad).astype(FLAG).fillna(True).to_numpy(bool)
    if not bad.any():
        return
    row = table.iloc[int(bad.argmax())]
    columns = (columns,) if isinstance(columns, str) else columns
    got = ", ".join(_shown(row[column]) for column in columns)
    key = ", ".join(f"{column} {_shown(row[column])}" for column in ("participant", "trial", "click") if column in row)
    raise DataError(f"{name}: row {int(bad.argmax()) + 1} ({key}): {', '.join(columns)}: wanted {wanted}, got {got}.")


def write(folder: str | os.PathLike, trials: Trials) -> None:
    """Write the four tables; a file is complete or not there.

    Args:
      folder: made if it does not exist.
      trials: tables with exactly the columns of `fer_jax.human.columns`.

    Raises:
      DataError: tables that `read` would refuse: other columns, values of another type, a key that is missing or
        there twice.
      StorageError: the folder cannot be written.
    """
    folder = pathlib.Path(folder)
    trials = typed_tables(trials, names={table: f"`trials.{table}`" for table in TABLES})
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for table in TABLES:
            _replace(folder / file_name(table), _as_csv(getattr(trials, table)))
        _replace(folder / "dataset_description.json", json.dumps(_description(trials), indent=2) + "\n")
    except OSError as error:
        raise StorageError(
            f"`folder`: cannot write {str(folder)!r}: {error.strerror}; free space or choose another."
        ) from error


def simulated(trials: Trials) -> str:
    """Return whether programs answered: "all", "none", "mixed", or "unknown" where the tables do not say."""
    said = pd.concat([trials.participants["simulated"], trials.trials["simulated"]]).astype(FLAG)
    programs, people = said.eq(True).any(), said.eq(False).any()
    if said.isna().any() or said.empty:
        return "mixed" if programs else "unknown"
    return "mixed" if programs and people else "all" if programs else "none"


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


# What is added to the data set's name and to its description.
_SIMULATED = {
    "all": (" (simulated people)", " All answers come from programs; they are no evidence about people."),
    "mixed": (" (partly simulated people)", " Some answers come from programs; the column `simulated` says which."),
    "none": ("", ""),
    "unknown": ("", " The tables do not say whether people or programs answered."),
}


def _description(trials) -> dict:
    measured = {name: meaning for columns in TABLES.values() for name, (_, meaning) in columns.items()}
    kind = simulated(trials)
    name, remark = _SIMULATED[kind]
    return {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        "name": f"Click-reveal study of facial expressions{name}",
        "description": "Two-alternative choices on blurred faces that the participant uncovers click by click."
        + remark,
        "schemaVersion": str(SCHEMA_VERSION),
        "additionalProperty": {"@type": "PropertyValue", "name": "simulated", "value": kind},
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


def _typed(frame, table, name) -> pd.DataFrame:
    wrong = sorted(set(map(str, frame.columns)) ^ set(TABLES[table]))
    if wrong or len(frame.columns) != len(TABLES[table]):
        raise DataError(
            f"{name}: wanted the columns of `human.columns`, differing: {', '.join(wrong) or 'one is there twice'}."
        )
    try:
        frame = typed(table, frame)
    except DataError as error:
        raise DataError(str(error).replace(f"`{table}`", name, 1)) from None
    for column, (kind, _) in TABLES[table].items():
        if kind == TEXT:
            refuse(name, frame, [not _is_unicode(text) for text in frame[column]], column, "Unicode text")
    refuse_doubles(frame, table, name)
    return frame


def _is_unicode(text) -> bool:
    try:
        return pd.isna(text) or bool(text.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def _shown(value) -> str:
    if pd.isna(value):
        return "none"
    return repr(value) if isinstance(value, str) else f"{value}"


def _read_table(path: pathlib.Path, table: str) -> pd.DataFrame:
    header, rows, lines, decimal = _cells(path)
    _check_header(path, table, header)
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


def _cells(path: pathlib.Path) -> tuple[list[str], list[list[str]], list[int], str]:
    """Header, rows, the line each row starts on, and the decimal mark."""
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
