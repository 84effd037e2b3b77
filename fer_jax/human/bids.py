"""A click study in the BIDS layout, for programs that read nothing else. It is written, never read back.

Contract: one row a trial and one a click in `sub-P01/beh/sub-P01_task-reveal2afc_events.tsv`, tabs between cells, n/a
where a value is missing, times in seconds. Onsets count from the first trial, by the wall clock of the browser.
"""

import csv
import json
import os
import pathlib
import re

import pandas as pd

from fer_jax.files import write_whole
from fer_jax.human.columns import FLAG, TABLES, TEXT, WHOLE
from fer_jax.human.table_files import FORMULA_STARTS
from fer_jax.human.trials import Trials, described, subject_names, typed_tables

BIDS_VERSION = "1.9.0"
TASK = "reveal2afc"

_OF_TRIAL = (
    "trial", "block", "image", "true_label", "false_label", "left_label", "right_label", "options", "response",
    "correct", "n_clicks", "resumed", "focus_lost",
)  # fmt: skip
_OF_CLICK = ("trial", "image", "click", "x_px", "y_px", "pointer_type", "inside")
_COLUMNS = {
    "onset": {"Description": "time from the onset of the person's first trial", "Units": "s"},
    "duration": {"Description": "time from onset to answer of a trial, 0 for a click", "Units": "s"},
    "trial_type": {
        "Description": "what the row is",
        "Levels": {"trial": "a picture, from its onset to the answer", "click": "a place that was uncovered"},
    },
    "response_time": {"Description": "time from the first click to the answer", "Units": "s"},
}


def write_bids(folder: str | os.PathLike, trials: Trials) -> None:
    """Write a study in the BIDS layout.

    Args:
      folder: made if it does not exist.
      trials: tables with the columns of `human.columns`.

    Raises:
      DataError: tables that cannot be written, or two participants whose names have the same letters and digits.
      StorageError: the folder cannot be written.
    """
    folder, trials = pathlib.Path(folder), typed_tables(trials)
    subjects = {person: f"sub-{name}" for person, name in subject_names(trials.participants["participant"]).items()}
    people = trials.participants.rename(columns={"participant": "participant_id"})
    people = people.assign(participant_id=people["participant_id"].map(subjects))
    about = described(trials)
    texts = {
        "dataset_description.json": _json(
            {"Name": about["name"], "BIDSVersion": BIDS_VERSION, "DatasetType": "raw"}
        ),
        "README": about["description"] + "\n",
        "participants.tsv": _tsv(people),
        "participants.json": _json(_meanings(people, "participants")),
        f"task-{TASK}_events.json": _json(
            _COLUMNS | {name: {"Description": TABLES[table][name][1]} for table, names in
                        (("clicks", _OF_CLICK), ("trials", _OF_TRIAL)) for name in names}
        ),
    }  # fmt: skip
    for person, subject in subjects.items():
        texts[f"{subject}/beh/{subject}_task-{TASK}_events.tsv"] = _tsv(_events(trials.of([person])))
    for name, text in texts.items():
        write_whole(folder / name, text)


def _events(trials: Trials) -> pd.DataFrame:
    """Return one person's trials and clicks in the order of time."""
    table, clicks = trials.trials, trials.clicks
    shown = pd.to_datetime(table["onset_utc"], utc=True, errors="coerce", format="ISO8601")
    began = (shown - shown.min()).dt.total_seconds()
    answers = table[list(_OF_TRIAL)].assign(
        onset=began, duration=table["rt_total_ms"] / 1000, trial_type="trial",
        response_time=table["rt_decision_ms"] / 1000,
    )  # fmt: skip
    starts = clicks["trial"].map(pd.Series(began.to_numpy(), index=table["trial"].to_numpy()))
    opened = clicks[list(_OF_CLICK)].assign(onset=starts + clicks["t_ms"] / 1000, duration=0.0, trial_type="click")
    opened = opened[clicks["trial"].isin(table["trial"])]
    rows = pd.concat([part for part in (answers, opened) if len(part)] or [answers], ignore_index=True)
    names = (*_COLUMNS, *_OF_TRIAL, *(name for name in _OF_CLICK if name not in _OF_TRIAL))
    return rows.reindex(columns=list(names)).sort_values(
        ["trial", "onset", "click"], kind="stable", na_position="first", ignore_index=True
    )


def _meanings(people, table) -> dict:
    known = {name: meaning for name, (_, meaning) in TABLES[table].items()} | {"participant_id": "code of the person"}
    return {name: {"Description": known.get(name, "added to the table")} for name in people}


def _tsv(frame: pd.DataFrame) -> str:
    cells = {}
    for name, column in frame.items():
        if column.dtype == FLAG:
            column = column.astype(WHOLE)
        elif column.dtype == TEXT:
            column = column.str.replace(r"[\t\r\n]+", " ", regex=True)
            column = column.where(~column.str.startswith(FORMULA_STARTS, na=False), "'" + column)
        cells[re.sub(r"\s+", " ", str(name))] = column
    table = pd.DataFrame(cells).round(6)
    return table.to_csv(index=False, sep="\t", na_rep="n/a", lineterminator="\n", quoting=csv.QUOTE_NONE)


def _json(values: dict) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
