"""Eye fixations on pictures, one line a fixation, as eye trackers export them.

Fixations take the place of clicks: a person chose to look there, though nothing was hidden. Looking off the picture is
common, so such fixations are kept with inside = 0.
"""

import pathlib

import pandas as pd

from fer_jax.human.readers.assembly import LogOptions, assemble
from fer_jax.human.readers.cells import Cells, column, find_columns, needed, numbers, paths_of, read_cells
from fer_jax.human.trials import Trials

KNOWN = {
    "image": ("stimulus", "picture", "filename", "presented_stimulus_name", "presented_media_name", "media_name"),
    "participant": ("subject", "user", "observer", "participant_name", "recording_id", "participant_id"),
    "trial": ("trial_index", "trial_id"),
    "x": ("x_px", "fix_x", "fixation_x", "fixation_point_x_mcs_px", "fixation_x_normalized", "fixation_x_px"),
    "y": ("y_px", "fix_y", "fixation_y", "fixation_point_y_mcs_px", "fixation_y_normalized", "fixation_y_px"),
    "t_ms": ("time", "start", "onset", "start_ms", "timestamp", "time_ms"),
    "duration_ms": ("duration", "fix_duration", "fixation_duration", "gaze_event_duration", "gaze_event_duration_ms"),
    "true_label": ("truth", "category", "expression", "emotion"),
    "false_label": ("foil",),
    "response": ("answer",),
    "correct": (),
    "kind": ("eye_movement_type", "event_type"),
    "number": ("eye_movement_type_index", "fixation_id", "fixation_index"),
}
_SHARE_OUTSIDE = 0.3
_TRUTH = {"1": True, "0": False, "true": True, "false": False}


def read_fixations(log: pathlib.Path, options: LogOptions | None = None) -> Trials:
    """Read fixations: columns participant, image, x, y, and whatever else of `KNOWN` there is.

    Lines between pictures (no image) and lines that are no fixation (a column of event types says so) are passed over.
    Samples of one fixation, which repeat its number one after the other, are one fixation. Durations become events.

    Args:
      log: a CSV or TSV file, or a folder of such files. Without a column of participants, each file is a person's.
      options: what the log does not say.

    Raises:
      DataError: a bad row as file:line:column, or places that cannot be pixels of the pictures.
    """
    options = options or LogOptions()
    seen = pd.concat([_part(path, options) for path in paths_of(log, (".csv", ".tsv", ".txt"))], ignore_index=True)
    if seen["trial"].isna().any():
        order = seen.drop_duplicates(["participant", "image"])[["participant", "image"]]
        order["trial"] = order.groupby("participant").cumcount() + 1
        seen = seen.drop(columns="trial").merge(order, on=["participant", "image"])
    keys = ["participant", "trial"]
    seen = seen.sort_values([*keys, "t_ms"], kind="stable", ignore_index=True)
    answers = seen.drop_duplicates(keys)[[*keys, "image", "true_label", "false_label", "response", "correct"]]
    timed = seen[seen["duration_ms"].notna()]
    events = timed[keys].assign(
        seq=timed.groupby("participant").cumcount() + 1,
        t_ms=timed["t_ms"],
        type="fixation",
        value=timed["duration_ms"].map("{:.10g}".format),
    )
    return assemble(
        answers.reset_index(drop=True),
        seen,
        options,
        source="fixations",
        where=str(log),
        most_outside=_SHARE_OUTSIDE,
        events=events,
    )


def _part(path, options) -> pd.DataFrame:
    cells = read_cells(path)
    found = find_columns(cells.names, KNOWN, options.columns, str(path))
    needed(cells.keep([False] * len(cells.table)), found, "image", known=KNOWN)
    cells = _fixations_of(cells, found)
    made = {name: column(cells, found, name) for name in ("image", "true_label", "false_label", "response")}
    if "participant" in found:
        made["participant"] = needed(cells, found, "participant", known=KNOWN)
    else:
        made["participant"] = pd.Series(path.stem, cells.table.index, dtype="str")
    for name in ("x", "y"):
        needed(cells, found, name, known=KNOWN)
        made[name] = numbers(cells, found, name)
    for name in ("t_ms", "duration_ms", "trial"):
        made[name] = numbers(cells, found, name)
    right = column(cells, found, "correct").str.lower()
    cells.refuse(right.notna() & ~right.isin(list(_TRUTH)), found.get("correct", "correct"), "0 or 1")
    cells.refuse(made["trial"].notna() & (made["trial"] % 1 != 0), found.get("trial", "trial"), "a whole number")
    return pd.DataFrame({**made, "correct": right.map(_TRUTH).astype("boolean")})


def _fixations_of(cells: Cells, found) -> Cells:
    """Return the lines that are a fixation on a picture, each fixation once."""
    kept = column(cells, found, "image").notna()
    if "kind" in found:
        kept &= column(cells, found, "kind").str.lower().eq("fixation")
    cells = cells.keep(kept)
    if "kind" in found and "number" in found:
        place = cells.table[[found[name] for name in ("participant", "image", "number") if name in found]]
        cells = cells.keep(place.ne(place.shift()).any(axis=1))
    return cells
