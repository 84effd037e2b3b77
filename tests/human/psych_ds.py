"""The rules of the Psych-DS validator (schema of version 1) that a folder must hold to, as far as they are errors."""

import csv
import io
import json
import pathlib
import re

DATA_FILE = re.compile(r"([a-z]+-[a-zA-Z0-9]+)(_[a-z]+-[a-zA-Z0-9]+)*_data\.csv")
KEYWORDS = {"study", "site", "subject", "session", "task", "condition", "trial", "stimulus", "description"}


def faults(folder) -> list[str]:
    """Return what the validator would call an error, and columns that are described but in no file."""
    folder = pathlib.Path(folder)
    try:
        described = json.loads((folder / "dataset_description.json").read_bytes().decode("utf-8"))
    except (OSError, ValueError) as error:
        return [f"MISSING_DATASET_DESCRIPTION or JSON_INVALID: {error}"]
    found = [
        f"JSON_KEY_REQUIRED {name}" for name in ("name", "description", "variableMeasured") if not described.get(name)
    ]
    if not re.fullmatch(r"https?://schema\.org/?", str(described.get("@context"))):
        found.append("INVALID_JSONLD_FORMATTING: no schema.org context")
    if described.get("@type") != "Dataset":
        found.append("INCORRECT_DATASET_TYPE")
    named = [one if isinstance(one, str) else one["name"] for one in described.get("variableMeasured", [])]
    found += [f"OBJECT_TYPE_MISSING {one}" for one in described["variableMeasured"] if not isinstance(one, str)
              and one.get("@type") != "PropertyValue"]  # fmt: skip
    files = sorted((folder / "data").rglob("*.csv"))
    if not files:
        found.append("MISSING_DATAFILE or MISSING_DATA_DIRECTORY")
    columns = set()
    for path in files:
        if not DATA_FILE.fullmatch(path.name):
            found.append(f"FILENAME_KEYWORD_FORMATTING_ERROR {path.name}")
        if not {part.partition("-")[0] for part in path.stem.split("_")[:-1]} <= KEYWORDS:
            found.append(f"FILENAME_UNOFFICIAL_KEYWORD_WARNING {path.name}")
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        header, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
        columns |= set(header)
        if not header or "" in header:
            found.append(f"CSV_HEADER_MISSING {path.name}")
        if len(set(header)) < len(header):
            found.append(f"CSV_HEADER_REPEATED {path.name}")
        if any(len(row) != len(header) for row in rows):
            found.append(f"CSV_HEADER_LENGTH_MISMATCH {path.name}")
        if "row_id" in header and len({row[header.index("row_id")] for row in rows}) < len(rows):
            found.append(f"ROWID_VALUES_NOT_UNIQUE {path.name}")
        found += [f"CSV_COLUMN_MISSING_FROM_METADATA {path.name} {name}" for name in header if name not in named]
    return found + [f"described, but in no file: {name}" for name in named if name not in columns]
