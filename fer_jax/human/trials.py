"""The one trial table, and its files.

Contract: four DataFrames with the columns of `fer_jax.human.columns`. On disk: a Psych-DS folder with
`dataset_description.json` and one CSV a table under `data/`: UTF-8, header row, decimal point, empty cell = missing,
0/1 for yes/no, times in ms. `read` after `write` gives back equal tables. What a spreadsheet makes of them is read too:
a byte order mark, semicolons or tabs between cells and, with these, decimal commas, and columns in any order.
"""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping

import pandas as pd

from fer_jax.errors import DataError, StorageError
from fer_jax.human.columns import FLAG, KEYS, SCHEMA_VERSION, TABLES, TEXT, typed
from fer_jax.human.table_files import as_csv, read_table

TABLE_NAMES = {table: f"`{table}`" for table in TABLES}


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
        """Return the rows of some people, in the order they stand."""
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
      table: of trials. Where it has responses at all, a trial without one is not answered, whatever `correct` says.
        A log without responses is taken at its `correct`.
      name: how messages call the table.

    Returns:
      boolean, one a trial: right or wrong, NA where it was not answered.

    Raises:
      DataError: two rows of one trial, a response that is neither of the two options, or a `correct`
        against the response.
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
      bad: one truth value a row. A missing one counts as bad.
      columns: what is shown of the row.
      wanted: instead.
    """
    bad = pd.Series(bad).astype(FLAG).fillna(True).to_numpy(bool)
    if not bad.any():
        return
    place = int(bad.argmax())
    # A part of a table keeps the numbers of its rows in the whole.
    number = table.index[place] if pd.api.types.is_integer_dtype(table.index.dtype) else place
    row = table.iloc[place]
    columns = (columns,) if isinstance(columns, str) else columns
    got = ", ".join(_shown(row[column]) for column in columns)
    key = ", ".join(f"{column} {_shown(row[column])}" for column in ("participant", "trial", "click") if column in row)
    raise DataError(f"{name}: row {number + 1} ({key}): {', '.join(columns)}: wanted {wanted}, got {got}.")


def write(folder: str | os.PathLike, trials: Trials) -> None:
    """Write the four tables. A file is complete or not there.

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
            _replace(folder / file_name(table), as_csv(getattr(trials, table)))
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
    return Trials(**{table: read_table(folder / file_name(table), table) for table in TABLES})


def join(sites: Mapping[str, Trials]) -> Trials:
    """Return the trials of several sites as one study, sorted by the keys of `human.columns`.

    Args:
      sites: what messages call each, such as its folder -> its tables.

    Returns:
      All rows. The same rows in another order give equal tables.

    Raises:
      DataError: no site, or a participant of two sites.
    """
    if not sites:
        raise DataError("`sites`: wanted the tables of at least one site, got none.")
    seen: dict[str, str] = {}
    for site, trials in sites.items():
        for person in pd.concat([trials.participants["participant"], trials.trials["participant"]]).dropna().unique():
            if seen.setdefault(person, site) != site:
                raise DataError(
                    f"`sites`: wanted each participant at one site, got {person!r} in {seen[person]} and in {site}; "
                    "put a prefix before the names of one of them."
                )
    joined = {}
    for table, keys in KEYS.items():
        rows = pd.concat([getattr(trials, table) for trials in sites.values()], ignore_index=True)
        joined[table] = rows.sort_values(list(keys), kind="stable", ignore_index=True)
    return Trials(**joined)


def prefixed(trials: Trials, prefix: str) -> Trials:
    """Return the tables with a prefix before every participant's name."""
    tables = {table: getattr(trials, table) for table in TABLES}
    return Trials(**{name: table.assign(participant=prefix + table["participant"]) for name, table in tables.items()})


def file_name(table: str) -> str:
    """Return where a table lies in the folder of a study, such as "data/study-fer2afc_description-trials_data.csv"."""
    return f"data/study-fer2afc_description-{table}_data.csv"


def file_names(folder: str | os.PathLike) -> dict[str, str]:
    """Return how messages call the tables of a study's folder: by their paths."""
    return {table: str(pathlib.Path(folder) / file_name(table)) for table in TABLES}


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
