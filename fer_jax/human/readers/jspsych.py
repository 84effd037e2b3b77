"""Data of jsPsych (6 to 8), as JSON or CSV: answers by button or key, and clicks of the BubbleView plugin.

Contract: a row with `bubble_history` (a list of {time, cx, cy}) holds clicks, a row with a truth and a response holds
an answer, and one row may hold both. Clicks that stand before an answer to the same picture belong to that answer. Rows
of neither kind, such as instructions, are passed over. What else an answer's rows hold is kept as an event `extra`, as
JSON.
"""

import json
import pathlib
import re
from collections.abc import Iterator

import pandas as pd

from fer_jax.errors import DataError
from fer_jax.human.readers.assembly import LogOptions, assemble
from fer_jax.human.readers.cells import MISSING, find_columns, paths_of, read_cells, text_of
from fer_jax.human.trials import Trials

KNOWN = {
    "participant": (
        "participant_id", "subject", "subject_id", "sbj_id", "prolific_pid", "worker_id", "workerid", "user_id",
    ),
    "image": ("image_name", "picture", "org_image", "stimulus"),
    "true_label": ("truth", "category", "expression", "emotion", "correct_response", "correct_answer"),
    "false_label": ("foil", "distractor"),
    "response": ("response_label", "button_pressed", "key_press"),
    "correct": (),
    "choices": ("options",),
    "rt": (),
    "block": (),
    "bubble_history": (),
    "image_size": (),
    "bubble_radius": (),
}  # fmt: skip
_LISTS = ("choices", "bubble_history", "image_size")
_PICTURE = re.compile(r"[^\"'<>\s]+\.(?:png|jpe?g|webp|bmp|gif|svg)", re.IGNORECASE)
_SHARE_OUTSIDE = 0.5


def read_jspsych(log: pathlib.Path, options: LogOptions | None = None) -> Trials:
    """Read answers and clicks of jsPsych.

    A participant is named by a property of the rows or, without one, by the file. Pictures are known by their file
    name without folder, out of HTML, too. A response that is a number is a button's: its label comes from `choices` of
    the row or from `options.answers`. Times count from the onset, and belong to answers whose row shows the picture.

    Args:
      log: a JSON or CSV file, or a folder of such files. A file may hold the data of several people, one array a line.
      options: what the log does not say.

    Raises:
      DataError: no JSON, a row that contradicts itself, a button without a label, or places that cannot be pixels.
    """
    options = options or LogOptions()
    answers, clicks, events = [], [], []
    for path in paths_of(log, (".json", ".csv", ".txt", ".jsonl")):
        for number, (person, rows) in enumerate(_people(path)):
            names = dict.fromkeys(name for row in rows for name in row)
            find_columns(names, KNOWN, options.columns, str(path))
            for answer, places, extra in _trials(rows, options, path):
                answer["participant"] = answer["participant"] or (person if number == 0 else f"{person}-{number + 1}")
                answers.append(answer)
                clicks.append((answer, places))
                events.append((answer, extra))
    if not answers:
        wanted = "a truth (true_label, category, correct_response ...) and a response, or bubble_history"
        raise DataError(f"{log}: wanted rows with {wanted}, got none; name the columns with `columns`.")
    table = pd.DataFrame(answers)
    table["clicked"] = [places is not None for _, places in clicks]
    table["trial"] = table.groupby("participant").cumcount() + 1
    for number, trial in enumerate(table["trial"]):
        answers[number]["trial"] = trial
    made = [
        {"participant": own["participant"], "trial": own["trial"], "x": at["cx"], "y": at["cy"], "t_ms": at.get("time")}
        for own, places in clicks
        for at in places or []
    ]
    extras = pd.DataFrame(
        [
            {
                "participant": own["participant"],
                "trial": own["trial"],
                "type": "extra",
                "value": json.dumps(extra, ensure_ascii=False),
            }
            for own, extra in events
            if extra
        ],
        columns=["participant", "trial", "type", "value"],
    )
    extras["seq"] = extras.groupby("participant").cumcount() + 1
    clicked = pd.DataFrame(made, columns=["participant", "trial", "x", "y", "t_ms"]) if made else None
    return assemble(
        table,
        clicked,
        options,
        source="jspsych",
        where=str(log),
        most_outside=0.0 if options.scale is None else _SHARE_OUTSIDE,
        events=extras,
    )


def _people(path) -> Iterator[tuple[str, list[dict]]]:
    """Yield the name of each recording in a file, and its rows."""
    if path.suffix.lower() == ".csv":
        table = read_cells(path).table
        rows = [{name: value for name, value in row.items() if not pd.isna(value)} for row in table.to_dict("records")]
        yield path.stem, [{name: _parsed(name, value, path) for name, value in row.items()} for row in rows]
        return
    text = text_of(path)
    try:
        found = [json.loads(text)]
    except json.JSONDecodeError:
        found = [_line(line, number, path) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for recording in found:
        nested = isinstance(recording, list) and recording and all(isinstance(part, list) for part in recording)
        for rows in recording if nested else [recording]:
            rows = rows.get("trials", [rows]) if isinstance(rows, dict) else rows
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise DataError(f"{path}: wanted an array of rows as jsPsych's data().json() gives it, got another.")
            yield path.stem, rows


def _line(line, number, path):
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{number}:{error.colno}: wanted JSON: {error.msg}.") from None


def _parsed(name, value, path):
    """Return a cell of a CSV file as what it is: lists stand there as JSON."""
    if value[:1] not in "[{":
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        if name in _LISTS:
            raise DataError(f"{path}: {name}: wanted JSON in the cell, got {value[:40]!r}.") from None
        return value


def _trials(rows, options, path) -> Iterator[tuple[dict, list | None, dict]]:
    """Yield each trial: its answer, its clicks, and what else its rows hold."""
    waiting = None
    for number, row in enumerate(rows):
        # Rows of different plugins call the same thing by different names, so each row is looked up by what it fills.
        filled = {name: value for name, value in row.items() if not _is_missing(value)}
        told = {ours: theirs for ours, theirs in options.columns.items() if theirs in filled}
        found = find_columns(filled, KNOWN, told, str(path))
        own = {ours: filled[theirs] for ours, theirs in found.items()}
        image = _image_of(own.get("image"))
        truth = own.get("true_label") or _truth_of(image, options)
        history = own.get("bubble_history")
        said = own.get("response") is not None or own.get("correct") is not None
        answered = truth is not None and (said or (image is not None and history is None))
        if history is not None:
            _check_history(history, path, number)
        if not answered and history is None:
            continue
        before = waiting if answered and history is None and waiting and image in (None, waiting[0]["image"]) else None
        if waiting and not before:
            yield waiting
        waiting = None
        extra = {name: value for name, value in filled.items() if name not in found.values()}
        answer = _answer(own, image, truth, options, path, number)
        if before:
            first, history, known = before
            kept = {name: value for name, value in answer.items() if value is not None}
            answer = {**first, **kept, "rt_total_ms": None}
            extra = {**known, **extra}
        if answered:
            yield answer, history, extra
        else:
            waiting = answer, history, extra
    if waiting:
        yield waiting


def _answer(own, image, truth, options, path, number) -> dict:
    where = f"{path}: row {number + 1}"
    choices = own.get("choices") if isinstance(own.get("choices"), list) else None
    labels = choices or list(options.labels)
    truth, foil, given = (
        _label(value, labels, options, where) for value in (truth, own.get("false_label"), own.get("response"))
    )
    size = own.get("image_size") if isinstance(own.get("image_size"), list) else [None, None]
    right = own.get("correct")
    shown = {
        "participant": None if own.get("participant") is None else str(own["participant"]),
        "image": image,
        "block": _number(own.get("block"), where, "block"),
        "true_label": truth,
        "false_label": foil if truth is None or len(labels) != 2 or foil else _other(labels, truth),
        "n_options": len(labels) or None,
        "options": "|".join(labels) if len(labels) > 2 else None,
        "response": given,
        "correct": None if truth is None else _flag(right, where) if given is None else given == truth,
        "rt_total_ms": None if image is None else _number(own.get("rt"), where, "rt"),
        "width_px": _number(size[0], where, "image_size"),
        "height_px": _number(size[1], where, "image_size"),
        "reveal_radius_px": _number(own.get("bubble_radius"), where, "bubble_radius"),
    }
    if len(labels) == 2:
        shown |= {"left_label": labels[0], "right_label": labels[1]}
    if given is not None and truth is not None and right is not None and _flag(right, where) != (given == truth):
        raise DataError(f"{where}: correct: wanted what the response {given!r} to {truth!r} says, got {right!r}.")
    return shown


def _label(value, labels, options, where) -> str | None:
    """Return the label that a response means: a button's number, a key, or a label."""
    if value is None:
        return None
    text = str(value)
    if not isinstance(options.answers, tuple) and text in options.answers:
        return options.answers[text]
    if text in labels or not re.fullmatch(r"\d+", text):
        return text
    if int(text) < len(labels):
        return labels[int(text)]
    wanted = "a label for each button: give `answers`, the labels in the order of the buttons"
    raise DataError(f"{where}: response: wanted {wanted}, got button {text} of {len(labels)} labels.")


def _other(labels, truth):
    return labels[1 - labels.index(truth)] if truth in labels else None


def _is_missing(value) -> bool:
    return value is None or (isinstance(value, str) and value.strip().lower() in MISSING)


def _image_of(value) -> str | None:
    """Return the name of a picture out of a path or HTML, None where there is none."""
    found = _PICTURE.search(value) if isinstance(value, str) else None
    if found:
        return found.group().replace("\\", "/").rpartition("/")[2]
    return value if isinstance(value, str) and value and "<" not in value else None


def _truth_of(image, options) -> str | None:
    if options.pictures is None or image is None:
        return None
    truth = options.pictures.set_index("image")["true_label"].get(image)
    return None if pd.isna(truth) else truth


def _check_history(history, path, number) -> None:
    if not isinstance(history, list) or not all(isinstance(at, dict) and {"cx", "cy"} <= set(at) for at in history):
        raise DataError(
            f"{path}: row {number + 1}: bubble_history: wanted a list of clicks with time, cx and cy, got "
            f"{str(history)[:40]!r}."
        )


def _number(value, where, name):
    if value is None:
        return None
    number = pd.to_numeric(str(value), errors="coerce")
    if pd.isna(number):
        raise DataError(f"{where}: {name}: wanted a number, got {value!r}.")
    return float(number)


def _flag(value, where) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "false": False, "0": False}
    if str(value).lower() not in known:
        raise DataError(f"{where}: correct: wanted true or false, got {value!r}.")
    return known[str(value).lower()]
