"""The columns of the four tables of a click study: order, type and meaning, in one place.

Contract: text is pandas `str`, whole numbers `Int64`, real numbers `float64` and finite, yes/no `boolean`. A
missing value is NaN or NA, never a zero or an empty string. Times are in ms, points in image pixels with the origin top
left.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from fer_jax.errors import DataError

TEXT: Final = "str"
WHOLE: Final = "Int64"
REAL: Final = "float64"
FLAG: Final = "boolean"

PARTICIPANTS = {
    "participant": (TEXT, "code of the person, such as P01"),
    "simulated": (FLAG, "1 if the person is a program"),
    "consent_version": (TEXT, "version of the consent text"),
    "consent_sha256": (TEXT, "SHA-256 of the consent text"),
    "started_utc": (TEXT, "start, ISO 8601, UTC"),
    "finished_utc": (TEXT, "end, ISO 8601, UTC"),
    "n_trials": (WHOLE, "trials answered"),
    "n_blocks": (WHOLE, "blocks with at least one answer"),
    "accuracy": (REAL, "share of correct answers, 0..1"),
    "excluded": (FLAG, "1 if left out of the analysis"),
    "exclusion_reason": (TEXT, "why"),
    "age": (WHOLE, "age in years, as told"),
    "gender": (TEXT, "gender, in the person's words"),
    "vision": (TEXT, "vision, such as normal or corrected, as told"),
    "webdriver": (FLAG, "1 if the browser says that a program drives it"),
    "path_straightness": (REAL, "way from click to click over the pointer's way, mean, 0..1; 1 is a straight line"),
    "click_interval_cv": (REAL, "deviation of the times between clicks over their mean; 0 is a metronome"),
}

TRIALS = {
    "participant": (TEXT, "code of the person"),
    "simulated": (FLAG, "1 if the person is a program"),
    "block": (WHOLE, "block, from 1"),
    "trial": (WHOLE, "trial within the person's run, from 1"),
    "trial_in_block": (WHOLE, "trial within its block, from 1"),
    "image": (TEXT, "name of the image"),
    "image_sha256": (TEXT, "SHA-256 of the sharp stimulus"),
    "true_label": (TEXT, "expression shown"),
    "false_label": (TEXT, "the other option, the same for everybody; empty with more than two options"),
    "left_label": (TEXT, "option on the left"),
    "right_label": (TEXT, "option on the right"),
    "n_options": (WHOLE, "number of options"),
    "options": (TEXT, "options separated by |, if more than two"),
    "response": (TEXT, "expression chosen"),
    "correct": (FLAG, "1 if the response is the true label"),
    "n_clicks": (WHOLE, "openings before the answer"),
    "rt_first_click_ms": (REAL, "onset to first click"),
    "rt_decision_ms": (REAL, "first click to answer: the paper's time"),
    "rt_total_ms": (REAL, "onset to answer"),
    "answered_with": (TEXT, "mouse, touch, pen, keyboard or simulated"),
    "resumed": (FLAG, "1 if the page was reloaded during the trial"),
    "focus_lost": (FLAG, "1 if the window was in the background during the trial"),
    "n_resizes": (WHOLE, "changes of the window's size during the trial"),
    "image_px": (WHOLE, "side of the stimulus, pixels; its width where it is not square"),
    "image_height_px": (WHOLE, "height of the stimulus where it is not square, pixels"),
    "reveal_radius_px": (WHOLE, "radius of the disc a click opens, pixels"),
    "blur_k": (WHOLE, "side of the blur window, pixels"),
    "css_scale": (REAL, "CSS pixels per image pixel"),
    "device_pixel_ratio": (REAL, "device pixels per CSS pixel"),
    "px_per_cm": (REAL, "CSS pixels per cm, from the calibration"),
    "distance_cm": (REAL, "eye to screen"),
    "view_deg": (REAL, "visual angle of the image's width"),
    "onset_utc": (TEXT, "onset, ISO 8601, UTC"),
    "schema_version": (WHOLE, "version of these columns"),
    "program_version": (TEXT, "version of the program that ran the trial"),
    "source": (TEXT, "where the row comes from"),
    "marks": (TEXT, "what is suspicious about the trial, separated by |"),
}

CLICKS = {
    "participant": (TEXT, "code of the person"),
    "trial": (WHOLE, "trial within the person's run, from 1"),
    "image": (TEXT, "name of the image"),
    "click": (WHOLE, "click within the trial, from 1"),
    "x_px": (REAL, "image pixels from the left edge; pixel centres at .5"),
    "y_px": (REAL, "image pixels from the top edge; pixel centres at .5"),
    "t_ms": (REAL, "time from onset"),
    "pointer_type": (TEXT, "mouse, touch, pen, keyboard or simulated"),
    "inside": (FLAG, "1 if the click lies on the image and opens a disc"),
    "chosen": (FLAG, "1 if the person chose the place, 0 if the program did"),
}

EVENTS = {
    "participant": (TEXT, "code of the person"),
    "seq": (WHOLE, "event within the person's run, from 1"),
    "trial": (WHOLE, "trial the event falls into"),
    "t_ms": (REAL, "time from onset of the trial"),
    "type": (TEXT, "such as block_start, focus, resize, break_end, stop"),
    "value": (TEXT, "what the event carries"),
}

TABLES = {"participants": PARTICIPANTS, "trials": TRIALS, "clicks": CLICKS, "events": EVENTS}

# The columns that name a row. None may be missing, and no two rows may agree in all of them.
KEYS = {
    "participants": ("participant",),
    "trials": ("participant", "trial"),
    "clicks": ("participant", "trial", "click"),
    "events": ("participant", "seq"),
}

# Columns that files of earlier schema versions do not have.
ADDED = {
    "participants": ("age", "gender", "vision", "webdriver", "path_straightness", "click_interval_cv"),
    "trials": ("image_height_px",),
}

SCHEMA_VERSION = 3

_KINDS = {TEXT: "text", WHOLE: "whole numbers", REAL: "finite numbers", FLAG: "0 and 1"}


def typed(table: str, columns: Mapping[str, Any] | pd.DataFrame, *, added: bool = False) -> pd.DataFrame:
    """Return a table with all its columns in their order and type. Columns not given are missing throughout.

    Args:
      table: a key of `TABLES`.
      columns: name -> values.
      added: whether further columns may be there. They are kept as text, behind the others.

    Returns:
      DataFrame with a fresh index.

    Raises:
      DataError: a column that the table does not have, or values of another type.
    """
    frame = pd.DataFrame(columns)
    unknown = [name for name in frame if name not in TABLES[table]]
    if unknown and not added:
        raise DataError(f"`{table}`: wanted the columns of `human.columns`, got {unknown[0]!r}, too.")
    complete = {}
    kinds = {name: kind for name, (kind, _) in TABLES[table].items()} | dict.fromkeys(unknown, TEXT)
    for name, kind in kinds.items():
        column = (
            _of_kind(frame[name], kind, f"`{table}`: {name}") if name in frame else pd.Series(None, frame.index, kind)
        )
        complete[name] = column.where(column != "") if kind == TEXT else column
    return pd.DataFrame(complete).reset_index(drop=True)


def _of_kind(column, kind, where) -> pd.Series:
    try:
        found = column.astype(pd.api.types.pandas_dtype(kind))
    except (TypeError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{where}: wanted {_KINDS[kind]}, or nothing where missing: {reason}.") from None
    if kind == REAL and np.isinf(found).any():
        row = int(np.isinf(found).to_numpy().argmax()) + 1
        raise DataError(f"{where}: wanted {_KINDS[kind]}, or nothing where missing, got infinity in row {row}.")
    return found
