"""From the answers and places of a log to the one trial table.

Contract: what a log does not have stays missing. What looks wrong is marked, never dropped.
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from fer_jax.errors import DataError, UsageError, check_count
from fer_jax.human.columns import SCHEMA_VERSION, typed
from fer_jax.human.readers.cells import column, find_columns, needed, numbers, read_cells
from fer_jax.human.readers.places import picture_points
from fer_jax.human.trials import Trials

_PICTURES = {
    "image": ("filename", "picture", "stimulus"),
    "true_label": ("truth", "category", "expression", "emotion", "label"),
    "false_label": ("foil", "distractor"),
    "width_px": ("width",),
    "height_px": ("height",),
}


@dataclasses.dataclass(frozen=True, eq=False)
class LogOptions:
    """What a log does not say, and the person who kept it knows.

    Attributes:
      columns: names of this library -> names in the log, where they are unusual.
      answers: labels in the order of their buttons, or keys -> labels.
      picture_px: width and height of all pictures.
      scale: picture pixels per unit of the log, across and down.
      radius: of the disc that a click opens or a fixation sees, pixels.
      pictures: one row a picture, as `read_pictures` returns it.
    """

    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    answers: tuple[str, ...] | Mapping[str, str] = ()
    picture_px: tuple[int, int] | None = None
    scale: tuple[float, float] | None = None
    radius: int | None = None
    pictures: pd.DataFrame | None = None

    def __post_init__(self):
        for side in self.picture_px or ():
            check_count("picture_px", side, 1, what="pixels")
        if self.radius is not None:
            check_count("radius", self.radius, 0, what="whole pixels")
        if self.scale is not None and not all(0 < part < np.inf for part in self.scale):
            raise UsageError(f"`scale`: wanted pixels per unit above 0, got {self.scale}.")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that could be answered."""
        return tuple(self.answers.values()) if isinstance(self.answers, Mapping) else tuple(self.answers)


def read_pictures(path: pathlib.Path) -> pd.DataFrame:
    """Read a table of pictures: image, and true_label, false_label, width_px, height_px where it has them.

    Raises:
      DataError: no column of images, a picture listed twice, or a size that is no number.
    """
    cells = read_cells(pathlib.Path(path))
    found = find_columns(cells.names, _PICTURES, {}, str(path))
    images = needed(cells, found, "image", known=_PICTURES)
    cells.refuse(images.duplicated(), found["image"], "each picture once")
    sizes = {name: numbers(cells, found, name) for name in ("width_px", "height_px")}
    return pd.DataFrame(
        {"image": images, **{name: column(cells, found, name) for name in ("true_label", "false_label")}, **sizes}
    )


def assemble(
    answers: pd.DataFrame,
    clicks: pd.DataFrame | None,
    options: LogOptions,
    *,
    source: str,
    where: str,
    most_outside: float = 0.0,
    events: pd.DataFrame | None = None,
) -> Trials:
    """Return the tables of a log.

    Args:
      answers: columns of the trials' table, at least participant, trial and image. width_px and height_px where the
        log says them, and clicked, whether it says where the person clicked. True for all without such a column.
      clicks: participant, trial, x, y in the order made, and t_ms. None where the log has no places.
      options: what the log does not say.
      source: the format.
      where: the log, for messages.
      most_outside: as for `places.picture_points`.
      events: columns of the events' table.

    Raises:
      DataError: places that cannot be pixels, or a size or radius that differs from what is told.
    """
    trials = _with_pictures(answers, options)
    sizes = trials[["participant", "trial", "width_px", "height_px"]]
    width, height = trials.pop("width_px"), trials.pop("height_px")
    trials = trials.assign(
        image_px=width, image_height_px=height.where(height != width), schema_version=SCHEMA_VERSION, source=source
    )
    if options.radius is not None:
        trials["reveal_radius_px"] = options.radius
    if "simulated" not in trials:
        trials["simulated"] = False
    clicked = trials.pop("clicked") if "clicked" in trials else pd.Series(True, trials.index)
    made = typed("clicks", {})
    if clicks is not None:
        made = _clicks(clicks, sizes.assign(image=trials["image"]), options, where, most_outside)
        counts = made[made["inside"]].groupby(["participant", "trial"]).size()
        keys = pd.MultiIndex.from_frame(trials[["participant", "trial"]])
        counted = pd.Series(counts.reindex(keys, fill_value=0).to_numpy(), trials.index)
        trials["n_clicks"] = counted.where(clicked)
    people = trials.groupby("participant", sort=False).agg(simulated=("simulated", "first"), n_trials=("trial", "size"))
    return Trials(
        participants=typed("participants", people.reset_index()),
        trials=typed("trials", trials),
        clicks=made,
        events=typed("events", {} if events is None else events),
    )


def _with_pictures(answers, options) -> pd.DataFrame:
    """Return the answers with what the table of pictures and the options say of their images."""
    trials = answers.copy()
    for name in ("true_label", "false_label", "width_px", "height_px"):
        if name not in trials:
            trials[name] = pd.Series(None, trials.index, "float64" if name.endswith("px") else "str")
    if options.pictures is not None:
        shown = options.pictures.set_index("image")
        absent = ~trials["image"].isin(shown.index)
        if absent.all():
            raise DataError(
                f"`pictures`: wanted the log's pictures, such as {trials['image'].iloc[0]!r}, got none of them."
            )
        for name in ("true_label", "false_label", "width_px", "height_px"):
            trials[name] = trials[name].fillna(trials["image"].map(shown[name]))
    if options.picture_px is not None:
        for name, side in zip(("width_px", "height_px"), options.picture_px, strict=True):
            trials[name] = trials[name].fillna(side)
    return trials


def _clicks(clicks, trials, options, where, most_outside) -> pd.DataFrame:
    keys = ["participant", "trial"]
    shown = clicks[[*keys, *(name for name in ("x", "y", "t_ms") if name in clicks)]].merge(trials, on=keys, how="left")
    size = shown[["width_px", "height_px"]].to_numpy(np.float64)
    x, y, inside = picture_points(
        shown["x"].to_numpy(np.float64),
        shown["y"].to_numpy(np.float64),
        size,
        scale=options.scale,
        most_outside=most_outside,
        where=where,
    )
    made = shown[[*keys, "image"]].assign(
        click=shown.groupby(keys).cumcount() + 1,
        x_px=x,
        y_px=y,
        t_ms=shown.get("t_ms", np.nan),
        inside=inside,
        chosen=True,
    )
    return typed("clicks", made)
