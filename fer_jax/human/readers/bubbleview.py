"""Clicks of BubbleView (Kim et al. 2017, 10.1145/3131275): people click on a blurred picture, and no answer is asked.

There one disc is open at a time, where the discs of this library stay open. Old web logs do not say at which size the
canvas was drawn, so a click off its picture refuses the log until a scale is given.
"""

import pathlib

import numpy as np
import pandas as pd

from fer_jax.errors import DataError
from fer_jax.human.readers.assembly import LogOptions, assemble
from fer_jax.human.readers.cells import column, find_columns, needed, numbers, paths_of, read_cells
from fer_jax.human.trials import Trials

KNOWN = {
    "image": ("img", "filename", "file", "image_name", "stimulus", "picture"),
    "participant": ("user", "userid", "user_id", "usr", "worker", "workerid", "worker_id", "subject"),
    "x": ("cx", "x_px", "click_x"),
    "y": ("cy", "y_px", "click_y"),
    "time": ("timestamp", "t", "t_ms"),
    "radius": ("bubble_radius",),
}
# Milliseconds: what is larger is a date, which says nothing about the onset.
_LATEST_MS = 1e8
_SHARE_OUTSIDE = 0.5


def read_bubbleview(log: pathlib.Path, options: LogOptions | None = None) -> Trials:
    """Read clicks on pictures: columns image, user, x, y and, if there, time.

    Clicks of one person on one picture are one trial. Times that are dates become no times, but order the clicks. A
    line that repeats another in all its cells, the time among them, is the same click, and marks its trial `row_twice`.

    Args:
      log: a CSV file, or a folder of such files.
      options: what the log does not say.

    Raises:
      DataError: a bad row as file:line:column, or places that cannot be pixels of the pictures.
    """
    options = options or LogOptions()
    parts = [_part(path, options) for path in paths_of(log, (".csv", ".tsv", ".txt"))]
    made = pd.concat(parts, ignore_index=True)
    columns = ["participant", "image", "x", "y", "time"]
    twice = made.duplicated(columns) & made["time"].notna()
    marked = pd.MultiIndex.from_frame(made.loc[twice, columns[:2]])
    made = made[~twice].reset_index(drop=True)
    seen = made.drop_duplicates(["participant", "image"])[["participant", "image", "radius"]].reset_index(drop=True)
    seen["trial"] = seen.groupby("participant").cumcount() + 1
    made = made.merge(seen[["participant", "image", "trial"]], on=["participant", "image"])
    made = made.sort_values(["participant", "trial", "time"], kind="stable", ignore_index=True)
    dates = made["time"] > _LATEST_MS
    answers = seen.drop(columns="radius").assign(
        reveal_radius_px=seen["radius"],
        marks=np.where(pd.MultiIndex.from_frame(seen[["participant", "image"]]).isin(marked), "row_twice", ""),
    )
    return assemble(
        answers,
        made.assign(t_ms=made["time"].mask(dates)),
        options,
        source="bubbleview",
        where=str(log),
        most_outside=0.0 if options.scale is None else _SHARE_OUTSIDE,
    )


def _part(path, options) -> pd.DataFrame:
    cells = read_cells(path)
    found = find_columns(cells.names, KNOWN, options.columns, str(path))
    made = {name: needed(cells, found, name, known=KNOWN) for name in ("participant", "image")}
    for name in ("x", "y"):
        needed(cells, found, name, known=KNOWN)
        made[name] = numbers(cells, found, name)
    made["time"] = numbers(cells, found, "time")
    radius = numbers(cells, found, "radius")
    cells.refuse(radius.notna() & (radius % 1 != 0), found.get("radius", "radius"), "whole pixels")
    if column(cells, found, "radius").nunique() > 1:
        raise DataError(f"{path}:1:{found['radius']}: wanted one radius, got {radius.nunique()}; choose rows.")
    return pd.DataFrame({**made, "radius": radius})
