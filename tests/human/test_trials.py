import csv
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_jax import human
from fer_jax.errors import DataError, StorageError
from fer_jax.human.columns import KEYS, TABLES, TEXT, typed

from .psych_ds import faults


def assert_equal(one, other):
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table), check_exact=True)


def test_reading_gives_back_what_was_written(small_cohort, tmp_path):
    human.trials.write(tmp_path, small_cohort)
    assert_equal(human.trials.read(tmp_path), small_cohort)
    human.trials.write(tmp_path, small_cohort)  # a second time over the first
    assert_equal(human.trials.read(tmp_path), small_cohort)


text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)
number = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=10, deadline=None)
@given(rows=st.lists(st.tuples(text, number, st.none() | st.booleans()), min_size=1, max_size=12))
def test_any_text_survives_formulas_quotes_and_newlines_included(tmp_path_factory, rows):
    texts, numbers, flags = zip(*rows, strict=True)
    events = {"participant": "P01", "seq": range(len(rows)), "t_ms": np.array(numbers, float), "value": list(texts)}
    trials = {"participant": "P01", "trial": range(len(rows)), "correct": pd.array(flags, "boolean"), "image": texts}
    everything = human.Trials(
        typed("participants", {"participant": ["P01"]}), typed("trials", trials), typed("clicks", {}),
        typed("events", events),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("study")
    human.trials.write(folder, everything)
    assert_equal(human.trials.read(folder), everything)


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@a", "\t=1", "\r=1", "'=1"])
def test_no_text_opens_as_a_formula(tmp_path, formula):
    people = typed("participants", {"participant": [formula]})
    human.trials.write(tmp_path, human.Trials(people, typed("trials", {}), typed("clicks", {}), typed("events", {})))
    with (tmp_path / "data/study-fer2afc_description-participants_data.csv").open(newline="") as file:
        assert [*csv.reader(file)][1][0] == "'" + formula
    assert human.trials.read(tmp_path).participants["participant"].tolist() == [formula]


@pytest.mark.parametrize("split_by", ["", "subject"])
def test_the_folder_is_psych_ds(small_cohort, tmp_path, split_by):
    added = dataclasses.replace(small_cohort, participants=small_cohort.participants.assign(handedness="left"))
    for number, trials in enumerate((small_cohort, added)):
        human.trials.write(tmp_path / str(number), trials, split_by=split_by)
        assert faults(tmp_path / str(number)) == []
    assert len(list((tmp_path / "0" / "data").iterdir())) == (1 + 3 * 6 if split_by else 4)


def test_the_rules_of_psych_ds_can_be_broken(small_cohort, tmp_path):
    human.trials.write(tmp_path, small_cohort)
    path = tmp_path / human.trials.file_name("clicks")
    path.write_text(path.read_text().replace("x_px", "x", 1) + "P01\n")
    path.rename(path.with_name("clicks_data.csv"))
    described = json.loads((tmp_path / "dataset_description.json").read_text()) | {"@type": "Thing", "name": ""}
    (tmp_path / "dataset_description.json").write_text(json.dumps(described))
    assert {fault.split()[0] for fault in faults(tmp_path)} == {
        "JSON_KEY_REQUIRED", "INCORRECT_DATASET_TYPE", "FILENAME_KEYWORD_FORMATTING_ERROR",
        "FILENAME_UNOFFICIAL_KEYWORD_WARNING",
        "CSV_HEADER_LENGTH_MISMATCH", "CSV_COLUMN_MISSING_FROM_METADATA", "described,",
    }  # fmt: skip


def broken(folder, table, change):
    path = folder / f"data/study-fer2afc_description-{table}_data.csv"
    path.write_bytes(change(path.read_bytes()))
    return path


def cell(line, column, value):
    """Replace one cell of a table without quoted cells; lines count from 1."""

    def change(data):
        lines = [row.split(b",") for row in data.split(b"\n")]
        lines[line - 1][lines[0].index(column)] = value
        return b"\n".join(b",".join(row) for row in lines)

    return change


@pytest.mark.parametrize(
    ("table", "change", "where"),
    [
        (
            "clicks",
            cell(17, b"x_px", b"left"),
            r"clicks_data\.csv:17:x_px: wanted a number with a decimal point, got 'left'",
        ),
        ("clicks", cell(2, b"x_px", b"nan"), r"clicks_data\.csv:2:x_px: wanted a number"),
        ("trials", cell(5, b"correct", b"2"), r"trials_data\.csv:5:correct: wanted 0 or 1"),
        ("trials", cell(3, b"n_clicks", b"1.5"), r"trials_data\.csv:3:n_clicks: wanted a whole number"),
        ("trials", cell(4, b"participant", b""), r"trials_data\.csv:4:participant: wanted a value"),
        ("trials", cell(3, b"trial", b"1"), r"trials_data\.csv:3:trial: wanted each row once"),
        ("trials", cell(1, b"image", b"picture"), r"trials_data\.csv:1:image: wanted this column, got none"),
        ("clicks", lambda data: data.replace(b"\n", b",9\n", 3), r"clicks_data\.csv:4:10: wanted 11 cells, got 10"),
        ("clicks", lambda data: data + b"P99,1\n", r"clicks_data\.csv:\d+:2: wanted 10 cells, got 2"),
        ("clicks", lambda data: data + b"\xff\n", r"clicks_data\.csv:\d+:\?: wanted UTF-8 text, got the byte 0xff"),
        ("clicks", lambda data: data + b'"open\n', r"clicks_data\.csv:\d+:\?: wanted comma-separated cells"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_column(small_cohort, tmp_path, table, change, where):
    human.trials.write(tmp_path, small_cohort)
    broken(tmp_path, table, change)
    with pytest.raises(DataError, match=where) as found:
        human.trials.read(tmp_path)
    assert "\n" not in str(found.value)


def test_a_missing_file_and_a_folder_that_cannot_be_made(small_cohort, tmp_path):
    with pytest.raises(DataError, match="wanted a study written by"):
        human.trials.read(tmp_path / "nowhere")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        human.trials.write(tmp_path / "file", small_cohort)


def test_a_table_with_other_columns_is_not_written(small_cohort, tmp_path):
    fewer = human.Trials(
        small_cohort.participants, small_cohort.trials.drop(columns="image"), small_cohort.clicks, small_cohort.events
    )
    with pytest.raises(DataError, match=r"`trials\.trials`.*image"):
        human.trials.write(tmp_path, fewer)


def test_some_people(small_cohort):
    part = small_cohort.of(["P02", "P05"])
    for table in ("participants", "trials", "clicks"):
        assert set(getattr(part, table)["participant"]) == {"P02", "P05"}
    assert len(part.trials) == 112


def test_keys_are_columns_and_text_is_never_empty():
    assert all(set(keys) <= set(TABLES[table]) for table, keys in KEYS.items())
    frame = typed("events", {"participant": ["P01", ""], "seq": [1, 2]})
    assert frame["participant"].isna().tolist() == [False, True]
    assert [str(dtype) for dtype in frame.dtypes] == [kind for kind, _ in TABLES["events"].values()]
    assert frame["value"].dtype == TEXT
    with pytest.raises(DataError, match="mood"):
        typed("events", {"mood": ["good"]})


def test_sites_are_joined_in_any_order_of_rows(small_cohort):
    parts = {name: small_cohort.of([name]) for name in small_cohort.participants["participant"]}
    backwards = dict(reversed(parts.items()))
    for table in human.columns.TABLES:
        whole = getattr(human.trials.join({"all": small_cohort}), table)
        pd.testing.assert_frame_equal(getattr(human.trials.join(backwards), table), whole)
    with pytest.raises(DataError, match="`sites`: wanted the tables of at least one site"):
        human.trials.join({})


def test_the_same_participant_at_two_sites_is_refused_by_name(small_cohort):
    one = small_cohort.of(["P01", "P02"])
    with pytest.raises(DataError, match=r"'P02' in here and in there; put a prefix"):
        human.trials.join({"here": one, "there": small_cohort.of(["P02"])})
    joined = human.trials.join({"here": one, "there": human.trials.prefixed(one, "t_")})
    assert joined.participants["participant"].tolist() == ["P01", "P02", "t_P01", "t_P02"]
    assert len(joined.clicks) == 2 * len(one.clicks)
