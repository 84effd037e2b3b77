"""The one trial table, and its files.

Contract: four DataFrames with the columns of `fer_jax.human.columns`. On disk: a Psych-DS folder with
`dataset_description.json` and one CSV a table under `data/`: UTF-8, header row, decimal point, empty cell = missing,
0/1 for yes/no, times in ms. `read` after `write` gives back equal tables. What a spreadsheet or R makes of them is read
too, as `human.table_files` says. Columns that somebody added stand behind the others as text, and are written back.
"""

import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Callable, Mapping

import pandas as pd

from fer_jax.errors import DataError, check_one_of
from fer_jax.files import write_whole
from fer_jax.human.columns import FLAG, KEYS, SCHEMA_VERSION, TABLES, TEXT, typed
from fer_jax.human.table_files import as_csv, read_table, say

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
      trials: tables with the columns of `human.columns`, and columns that somebody added.
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


def write(folder: str | os.PathLike, trials: Trials, *, split_by: str = "") -> None:
    """Write the four tables. A file is complete or not there.

    Args:
      folder: made if it does not exist.
      split_by: "subject" gives each participant files of trials, clicks and events, "" all people one file a table.
      trials: tables with the columns of `fer_jax.human.columns`, and columns that somebody added.

    Raises:
      DataError: tables that `read` would refuse: other columns, values of another type, a key that is missing or
        there twice.
      StorageError: the folder cannot be written.
    """
    check_one_of("split_by", split_by, ("", "subject"))
    folder = pathlib.Path(folder)
    trials = typed_tables(trials, names={table: f"`trials.{table}`" for table in TABLES})
    texts = {file_name("participants"): as_csv(trials.participants)}
    subjects = subject_names(trials.participants["participant"]) if split_by else {"": ""}
    for person, subject in subjects.items():
        part = trials.of([person]) if split_by else trials
        texts |= {
            file_name(table, subject): as_csv(getattr(part, table)) for table in TABLES if table != "participants"
        }
    for name, text in texts.items():
        write_whole(folder / name, text)
    write_whole(folder / "dataset_description.json", json.dumps(described(trials), indent=2) + "\n")


def simulated(trials: Trials) -> str:
    """Return whether programs answered: "all", "none", "mixed", or "unknown" where the tables do not say.

    Somebody without a trial counts only where nobody has one.
    """
    people = trials.participants
    if len(trials.trials):
        people = people[people["participant"].isin(trials.trials["participant"])]
    said = pd.concat([people["simulated"], trials.trials["simulated"]]).astype(FLAG)
    programs, people = said.eq(True).any(), said.eq(False).any()
    if said.isna().any() or said.empty:
        return "mixed" if programs else "unknown"
    return "mixed" if programs and people else "all" if programs else "none"


def read(folder: str | os.PathLike, *, note: Callable[[str], None] = say) -> Trials:
    """Read and check the four tables.

    Args:
      folder: as `write` left it, or as a spreadsheet or R saved its files since.
      note: takes one line for each file of which something was recovered.

    Returns:
      Tables equal to those written.

    Raises:
      DataError: a file that is missing or a bad row, as file:line:column.
    """
    tables = {}
    for table, paths in files_of(folder).items():
        parts = [read_table(path, table, note=note) for path in paths]
        tables[table] = parts[0] if len(parts) == 1 else _together(parts, table, tables, paths[0].parent)
    return Trials(**tables)


def join(sites: Mapping[str, Trials], *, flag: str = "sites") -> Trials:
    """Return the trials of several sites as one study, sorted by the keys of `human.columns`.

    Args:
      sites: what messages call each, such as its folder -> its tables.
      flag: what messages call `sites`.

    Returns:
      All rows. The same rows in another order give equal tables.

    Raises:
      DataError: no site, a participant of two sites, or one person's answers under two names.
    """
    if not sites:
        raise DataError(f"`{flag}`: wanted the tables of at least one site, got none.")
    seen: dict[str, str] = {}
    answered: dict[tuple, tuple[str, str]] = {}
    for site, trials in sites.items():
        for person in pd.concat([trials.participants["participant"], trials.trials["participant"]]).dropna().unique():
            if seen.setdefault(person, site) != site:
                raise DataError(
                    f"`{flag}`: wanted each participant at one site, got {person!r} in {seen[person]} and in {site}; "
                    "put a prefix before the names of one of them, or leave one out."
                )
        _refuse_known_answers(site, trials, answered, flag)
    joined = {}
    for table, keys in KEYS.items():
        rows = pd.concat([getattr(trials, table) for trials in sites.values()], ignore_index=True)
        joined[table] = typed(table, rows, added=True).sort_values(list(keys), kind="stable", ignore_index=True)
    return Trials(**joined)


# Two people never agree in the times of so many answers.
_SAME_ANSWERS = 3


def _refuse_known_answers(site, trials, answered, flag) -> None:
    """Refuse a person all of whose answers another site has, such as a study that was exported twice."""
    table = trials.trials
    table = table[table["simulated"].ne(True).fillna(True) & table["rt_total_ms"].notna()]
    rows = {}
    for person, own in table.groupby("participant", sort=False):
        columns = (own[name] for name in ("trial", "image", "response", "rt_total_ms"))
        rows[person] = list(zip(*columns, strict=True))
        known = [answered[row] for row in rows[person] if row in answered]
        if len(known) == len(rows[person]) >= _SAME_ANSWERS and len(set(known)) == 1:
            raise DataError(
                f"`{flag}`: wanted each person once, got the same answers of {known[0][1]!r} in {known[0][0]} and of "
                f"{person!r} in {site}; leave one of the two out."
            )
    for person, own in rows.items():
        answered.update(dict.fromkeys(own, (site, person)))


def prefixed(trials: Trials, prefix: str) -> Trials:
    """Return the tables with a prefix before every participant's name."""
    tables = {table: getattr(trials, table) for table in TABLES}
    return Trials(**{name: table.assign(participant=prefix + table["participant"]) for name, table in tables.items()})


def person_counts(trials: pd.DataFrame) -> pd.DataFrame:
    """Return participant, n_trials, n_blocks and accuracy of everybody in a table of answered trials, as met."""
    answered = trials.assign(correct=trials["correct"].astype("Float64")).groupby("participant", sort=False)
    counts = {"n_trials": ("trial", "size"), "n_blocks": ("block", "nunique"), "accuracy": ("correct", "mean")}
    return answered.agg(**counts).reset_index()


def file_name(table: str, subject: str = "") -> str:
    """Return where a table lies in the folder of a study, such as "data/study-fer2afc_description-trials_data.csv"."""
    return f"data/study-fer2afc{f'_subject-{subject}' if subject else ''}_description-{table}_data.csv"


def file_names(folder: str | os.PathLike) -> dict[str, str]:
    """Return how messages call the tables of a study's folder: by their paths."""
    return {table: str(pathlib.Path(folder) / file_name(table)) for table in TABLES}


def files_of(folder: str | os.PathLike) -> dict[str, list[pathlib.Path]]:
    """Return the files of each table in the folder of a study: one, or one a participant.

    Raises:
      DataError: a table that is there both as one file and as one file a participant, or the folder that a study is
        served from, without tables.
    """
    found = {}
    for table in TABLES:
        whole = pathlib.Path(folder) / file_name(table)
        parts = sorted(whole.parent.glob(pathlib.Path(file_name(table, "*")).name))
        if parts and whole.exists():
            raise DataError(f"{whole}: wanted this file or {parts[0].name} and the like, got both. Take one away.")
        found[table] = parts or [whole]
    there = any(path.exists() for paths in found.values() for path in paths)
    if not there and (pathlib.Path(folder) / "study.json").is_file():  # what `fer-study` makes and serves
        raise DataError(
            f"{folder}: holds a study, not its tables; export them first: fer-study export --study_dir={folder} "
            "--out=tables, and name that folder."
        )
    return found


def subject_names(participants) -> dict[str, str]:
    """Return participant -> the letters and digits of the name, as names of files have it.

    Raises:
      DataError: two participants of one such name, or one without.
    """
    names = {person: re.sub("[^a-zA-Z0-9]", "", person) for person in participants}
    for person, name in names.items():
        if not name or list(names.values()).count(name) > 1:
            raise DataError(
                f"`participants`: wanted names that differ in their letters and digits, got {person!r}. Rename it."
            )
    return names


# What is added to the data set's name and to its description.
_SIMULATED = {
    "all": (" (simulated people)", " All answers come from programs; they are no evidence about people."),
    "mixed": (" (partly simulated people)", " Some answers come from programs; the column `simulated` says which."),
    "none": ("", ""),
    "unknown": ("", " The tables do not say whether people or programs answered."),
}


def described(trials: Trials) -> dict:
    """Return what `dataset_description.json` says of the tables: a data set in the words of schema.org."""
    measured = {name: "added to the table" for table in TABLES for name in getattr(trials, table)}
    measured |= {name: meaning for columns in TABLES.values() for name, (_, meaning) in columns.items()}
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


def _together(parts, table, tables, folder) -> pd.DataFrame:
    """Return the rows of all files of one table, in the order of the participants' table."""
    rows = typed(table, pd.concat(parts, ignore_index=True), added=True)
    refuse_doubles(rows, table, f"{folder}/*{table}_data.csv")
    if table != "participants":
        place = pd.Index(tables["participants"]["participant"]).get_indexer(pd.Index(rows["participant"]))
        rows = rows.iloc[place.argsort(kind="stable")].reset_index(drop=True)
    return rows


def _typed(frame, table, name) -> pd.DataFrame:
    missing = sorted(set(TABLES[table]) - set(map(str, frame.columns)))
    if missing or not frame.columns.is_unique:
        told = ", ".join(missing) or "none, one is there twice"
        raise DataError(f"{name}: wanted the columns of `human.columns`, missing: {told}.")
    try:
        frame = typed(table, frame, added=True)
    except DataError as error:
        raise DataError(str(error).replace(f"`{table}`", name, 1)) from None
    for column in frame:
        if column not in TABLES[table] or TABLES[table][column][0] == TEXT:
            refuse(name, frame, [not _is_unicode(text) for text in frame[column]], str(column), "Unicode text")
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
