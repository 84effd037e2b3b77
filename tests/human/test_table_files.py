"""Files as German Excel and R leave them: the same tables come back, one line says how, and what is lost is named."""

import csv
import dataclasses
import io
import json

import pandas as pd
import pytest

from fer_jax import human
from fer_jax.errors import DataError
from fer_jax.human.columns import TABLES, typed

TIMES = ["2026-03-01T09:30:00.125Z", "2026-03-02T10:00:00Z"]


@pytest.fixture
def people():
    """Two small people, with every kind of cell."""
    return human.Trials(
        typed("participants", {
            "participant": ["P01", "P02"], "simulated": [False, False], "started_utc": TIMES, "excluded": [False, None],
            "n_trials": [1, 1], "accuracy": [1.0, 0.0], "gender": ["Mädchen; jung", None], "age": [23, None],
        }),
        typed("trials", {
            "participant": ["P01", "P02"], "trial": [1, 1], "image": ["Gesicht ü, 1.png", "=2.png"],
            "true_label": ["happy", "sad"], "response": ["happy", "happy"], "correct": [True, False],
            "rt_total_ms": [1234.5, 0.1], "n_clicks": [2, 0], "resumed": [True, None],
        }),
        typed("clicks", {"participant": ["P01", "P01"], "trial": [1, 1], "click": [1, 2], "x_px": [10.25, 1e-7],
                         "y_px": [3.0, 4.5], "inside": [True, False]}),
        typed("events", {"participant": ["P01"], "seq": [1], "value": ['say "no",\nor; yes']}),
    )  # fmt: skip


def assert_equal(one, other):
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table), check_exact=True)


def resaved(folder, change, *, sep=",", encoding="utf-8", end="\n", quoting=csv.QUOTE_MINIMAL):
    """Let a program open and save every file: `change` takes the rows of cells of a table and its name."""
    for table in TABLES:
        path = folder / human.trials.file_name(table)
        rows = list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))
        text = io.StringIO()
        csv.writer(text, delimiter=sep, lineterminator=end, quoting=quoting).writerows(change(rows, table))
        path.write_bytes(text.getvalue().encode(encoding))


def as_excel(rows, table):
    """A German spreadsheet shows decimal commas."""
    real = [name in TABLES[table] and TABLES[table][name][0] == "float64" for name in rows[0]]
    shown = [
        [cell.replace(".", ",") if is_real else cell for cell, is_real in zip(row, real, strict=True)] for row in rows
    ]
    return [rows[0], *shown[1:]]


def as_r(rows, table):
    """R's write.csv: row numbers in front, NA, TRUE and FALSE."""
    words = [{"1": "TRUE", "0": "FALSE"} if TABLES[table][name][0] == "boolean" else {} for name in rows[0]]
    cells = [[said.get(cell, cell) or "NA" for cell, said in zip(row, words, strict=True)] for row in rows[1:]]
    return [["", *rows[0]], *([str(number), *row] for number, row in enumerate(cells, 1))]


def backwards(rows, table):
    return [row[::-1] for row in rows]


def with_floats(rows, table):
    """pandas and R make real numbers of whole ones where one is missing."""
    keys = ("trial", "click", "seq")  # in which none is missing
    whole = [TABLES[table][name][0] in ("Int64", "boolean") and name not in keys for name in rows[0]]
    return [
        rows[0],
        *([f"{cell}.0" if cell and w else cell for cell, w in zip(row, whole, strict=True)] for row in rows[1:]),
    ]


def unchanged(rows, table):
    return rows


SAVED = {
    "German Excel, CSV": (as_excel, {"sep": ";", "encoding": "cp1252", "end": "\r\n"},
                          "semicolons between cells, .*Windows-1252 letters|Windows-1252 letters, semicolons"),
    "German Excel, CSV UTF-8": (as_excel, {"sep": ";", "encoding": "utf-8-sig", "end": "\r\n"}, "a byte order mark"),
    "Excel, Unicode text": (as_excel, {"sep": "\t", "encoding": "utf-16", "end": "\r\n"}, "UTF-16 text, tabs"),
    "decimal commas": (as_excel, {"sep": ";"}, "decimal commas"),
    "R": (as_r, {"quoting": csv.QUOTE_ALL}, "the column of row numbers left out, NA as missing.*TRUE and FALSE"),
    "R without names of rows": (lambda rows, table: [rows[0], *as_r(rows, table)[1:]], {}, "row numbers left out"),
    "another order": (backwards, {}, "columns in another order"),
    "floats": (with_floats, {}, r"whole numbers such as 1\.0"),
    "empty rows and columns": (lambda rows, _: [[*row, ""] for row in rows] + [[""] * (len(rows[0]) + 1)], {}, None),
    "everything quoted": (unchanged, {"quoting": csv.QUOTE_ALL, "end": "\r\n"}, None),
}  # fmt: skip


@pytest.mark.parametrize("program", SAVED)
def test_what_a_program_saved_is_the_same_table(people, tmp_path, program):
    change, form, told = SAVED[program]
    human.trials.write(tmp_path, people)
    written = {path: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    resaved(tmp_path, change, **form)
    lines = []
    found = human.trials.read(tmp_path, note=lines.append)
    assert_equal(found, people)
    assert all(line.count("\n") == 0 for line in lines) and len(lines) <= 4
    if told is None:
        assert lines == []
    else:
        assert pd.Series(lines).str.contains(told).any(), lines
        assert pd.Series(lines).str.contains(r"_data\.csv: read with").all()
    human.trials.write(tmp_path, found)
    assert {path: path.read_bytes() for path in (tmp_path / "data").iterdir()} == written
    human.trials.read(tmp_path, note=lambda line: pytest.fail(line))  # no word about files of our own


def test_the_line_goes_to_the_researcher(people, tmp_path, capsys):
    human.trials.write(tmp_path, people)
    resaved(tmp_path, as_excel, sep=";")
    human.trials.read(tmp_path)
    assert capsys.readouterr().err.count("semicolons between cells") == 4


def test_added_columns_are_kept_written_back_and_described(people, tmp_path):
    human.trials.write(tmp_path, people)
    added = {"participants": ["handedness", "left, mostly", "NA"], "trials": ["=score", "1,5", "=1+1"]}

    def change(rows, table):
        cells = added.get(table)
        return [[cell, *row] for cell, row in zip(cells, rows, strict=True)] if cells else rows

    resaved(tmp_path, change)
    lines = []
    found = human.trials.read(tmp_path, note=lines.append)
    assert found.participants.columns[-1] == "handedness"
    assert found.participants["handedness"].fillna("none").tolist() == ["left, mostly", "none"]
    assert found.trials["=score"].tolist() == ["1,5", "=1+1"]
    assert "added columns kept (handedness)" in lines[0] and len(lines) == 2
    human.trials.write(tmp_path / "again", found)
    assert_equal(human.trials.read(tmp_path / "again"), found)
    named = json.loads((tmp_path / "again/dataset_description.json").read_text())["variableMeasured"]
    assert {"handedness", "=score"} < {one["name"] for one in named}
    # They go along with everything that is done to tables.
    joined = human.trials.join({"a": found, "b": human.trials.prefixed(people.of(["P02"]), "b_")})
    assert joined.participants["handedness"].fillna("none").tolist() == ["left, mostly", "none", "none"]
    assert found.of(["P01"]).participants["handedness"].tolist() == ["left, mostly"]
    human.trials.typed_tables(joined)


TEXTS = ["NA", "1E5", "1e-12", "0012", "123456789012345", "true", "WAHR", "1.3.2026 9:30", "2026-03-01 09:30:00",
         "3/1/2026", "'", "=A1", "12", "1,5", "P01"]  # fmt: skip


def test_text_that_a_spreadsheet_would_change_is_protected(people, tmp_path):
    """Behind an apostrophe a cell stays text, whatever it looks like."""
    many = typed("events", {"participant": TEXTS, "seq": range(1, len(TEXTS) + 1), "value": TEXTS, "type": TEXTS[::-1]})
    instants = people.participants.assign(started_utc=["3/1/2026", "1.3.2026 9:30"])
    trials = dataclasses.replace(people, events=many, participants=instants)
    human.trials.write(tmp_path, trials)
    assert_equal(human.trials.read(tmp_path, note=lambda line: pytest.fail(line)), trials)
    cells = pd.read_csv(tmp_path / human.trials.file_name("events"), dtype=str, keep_default_na=False)["value"]
    assert cells[~cells.str.startswith("'")].tolist() == ["12", "1,5", "P01"]


def one_cell(column, old, new):
    def change(rows, table):
        if column not in rows[0]:
            return rows
        place = rows[0].index(column)
        return [[new if n == place and cell == old else cell for n, cell in enumerate(row)] for row in rows]

    return change


@pytest.mark.parametrize(
    ("column", "old", "new", "found"),
    [
        ("started_utc", TIMES[1], "02.03.2026 10:00", TIMES[1]),
        ("started_utc", TIMES[1], "2.3.2026 10:00:00", TIMES[1]),
        ("started_utc", TIMES[1], "2026-03-02 10:00:00", TIMES[1]),
        ("age", "23", "2.3e+01", 23),
        ("excluded", "0", "WAHR", True),
        ("excluded", "0", "True", True),
        ("accuracy", "1.0", "NaN", None),
    ],
)
def test_a_cell_that_can_be_recovered_is(people, tmp_path, column, old, new, found):
    human.trials.write(tmp_path, people)
    resaved(tmp_path, one_cell(column, old, new))
    lines = []
    cells = human.trials.read(tmp_path, note=lines.append).participants[column]
    assert found in cells.tolist() if found is not None else cells.isna().any()
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("column", "old", "new", "told"),
    [
        ("started_utc", TIMES[1], "3/2/2026 10:00", r"participants_data\.csv:3:started_utc: wanted an instant"),
        ("participant", "P02", "1.23E+11", r"participants_data\.csv:3:participant: wanted text as it was written"),
        ("age", "23", "1.23457E+11", r"participants_data\.csv:2:age: wanted a whole number, got '1\.23457E\+11'"),
        ("excluded", "0", "yes", r"participants_data\.csv:2:excluded: wanted 0 or 1, got 'yes'"),
        ("x_px", "10.25", "10. Mrz", r"clicks_data\.csv:2:x_px: wanted a number with a decimal point, got '10\. Mrz'"),
        ("age", "age", "", r"participants_data\.csv:1:12: wanted a name for this column"),
        ("started_utc", "started_utc", "start", r"participants_data\.csv:1:started_utc: wanted this column, got none"),
    ],
)  # fmt: skip
def test_a_cell_that_is_lost_is_named(people, tmp_path, column, old, new, told):
    human.trials.write(tmp_path, people)
    resaved(tmp_path, one_cell(column, old, new))
    with pytest.raises(DataError, match=told) as found:
        human.trials.read(tmp_path)
    assert "\n" not in str(found.value)


def test_two_decimal_marks_in_a_column_are_refused(people, tmp_path):
    human.trials.write(tmp_path, people)
    resaved(tmp_path, one_cell("y_px", "3.0", "3,0"), sep=";")
    with pytest.raises(DataError, match=r"clicks_data\.csv:3:y_px: wanted one decimal mark"):
        human.trials.read(tmp_path)


@pytest.mark.parametrize("damage", [b"\xff\xfea", "Mädchen,\n".encode("cp1252")])
def test_letters_that_nobody_can_tell_are_refused(people, tmp_path, damage):
    human.trials.write(tmp_path, people)
    path = tmp_path / human.trials.file_name("events")
    path.write_bytes(damage)
    with pytest.raises(DataError, match=r"events_data\.csv:1:\?: wanted UTF-8 text"):
        human.trials.read(tmp_path)


def test_files_of_each_subject_are_the_same_study(people, tmp_path):
    human.trials.write(tmp_path, people, split_by="subject")
    names = {path.name for path in (tmp_path / "data").iterdir()}
    assert len(names) == 7 and "study-fer2afc_subject-P02_description-trials_data.csv" in names
    assert_equal(human.trials.read(tmp_path), people)
    human.trials.write(tmp_path / "whole", people)
    extra = tmp_path / human.trials.file_name("trials")
    extra.write_bytes((tmp_path / "whole" / human.trials.file_name("trials")).read_bytes())
    with pytest.raises(DataError, match=r"wanted this file or .*subject-P01.* got both"):
        human.trials.read(tmp_path)
    extra.unlink()
    (tmp_path / human.trials.file_name("trials", "P03")).write_bytes(
        (tmp_path / human.trials.file_name("trials", "P01")).read_bytes()
    )
    with pytest.raises(DataError, match=r"trial: wanted each participant and trial once"):
        human.trials.read(tmp_path)
    with pytest.raises(DataError, match=r"wanted names that differ in their letters and digits, got 'P-01'"):
        human.trials.write(tmp_path, dataclasses.replace(people, participants=people.participants.assign(
            participant=["P-01", "P_01"])), split_by="subject")  # fmt: skip


def test_one_study_exported_twice_is_not_two(people):
    """Even under other names: nobody answers twice in the same milliseconds."""
    many = [people.trials.assign(trial=n, rt_total_ms=people.trials["rt_total_ms"] + n) for n in (1, 2, 3)]
    first = dataclasses.replace(people, trials=typed("trials", pd.concat(many)), clicks=people.clicks[:0])
    later = human.trials.prefixed(first, "b_")
    with pytest.raises(DataError, match=r"`--people`: wanted each person once, got .*'P01' in a and of 'b_P01' in b"):
        human.trials.join({"a": first, "b": later}, flag="--people")
    slower = dataclasses.replace(later, trials=later.trials.assign(rt_total_ms=later.trials["rt_total_ms"] + 0.1))
    assert len(human.trials.join({"a": first, "b": slower}).participants) == 4
