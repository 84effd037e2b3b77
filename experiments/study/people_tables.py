"""The tables that `--people=FOLDER` names: read, joined, known by their content, and brought to a run's pictures.

Contract: a folder holds the four tables of `human.trials`, or a prepared click study (`experiments.prepare_data
--dataset=click_study`). Several folders, separated by commas, are several parts of one study.
"""

import functools
import hashlib
import os
import pathlib

import numpy as np
import pandas as pd

from experiments.study.people_flag import folders_of
from fer_jax import human, masks
from fer_jax.categories import Categories
from fer_jax.errors import DataError, StorageError, UsageError
from fer_jax.human.trials import Trials, refuse

_PREPARED = "dataset_info.json"


def digest(people: str) -> str | None:
    """Hash the content of all tables that `--people` names, None where it names none."""
    folders = folders_of(people)
    if not folders:
        return None
    found = hashlib.sha256()
    for folder in folders:
        for file in _files(folder):
            status = file.stat()
            found.update(f"{file.name} {_sha256(file, status.st_size, status.st_mtime_ns)}\n".encode())
    return found.hexdigest()


def read(people: str) -> Trials:
    """Read and join the tables that `--people` names.

    Raises:
      DataError: tables that cannot be read, no trial, or a participant who is in two folders.
    """
    joined = human.trials.join({str(folder): _read(folder) for folder in folders_of(people)}, flag="--people")
    if joined.trials.empty:
        raise DataError(f"`--people`: wanted at least one trial, got none in {people}.")
    return joined


def check_who(trials: Trials) -> None:
    """Refuse tables that do not say, of every person and trial, whether a program answered.

    Raises:
      DataError: the first row that does not.
    """
    people, table = trials.participants, trials.trials
    refuse("`participants`", people, people["simulated"].isna(), "simulated", "0 for a person, 1 for a program")
    known = people.set_index("participant")["simulated"]
    absent = ~table["participant"].isin(known.index)
    refuse("`trials`", table, absent, "participant", "a row of the participants' table")
    said = known.reindex(table["participant"]).array
    refuse("`trials`", table, ~table["simulated"].eq(said), "simulated", "what the person's row says")


def fitted(trials: Trials, size: int) -> tuple[Trials, int, int]:
    """Bring clicks from the pixels of the stimuli to those of a run's pictures.

    Args:
      trials: of square stimuli of one size, with discs of one radius and one blur.
      size: side of the run's pictures.

    Returns:
      Tables of stimuli of that size, the radius of their discs and the side of their blur window, pixels. A radius or
      blur that the tables do not say is the paper's.

    Raises:
      DataError: no size of the stimuli, several sizes, or several radii or blurs.
    """
    table, clicks = trials.trials, trials.clicks
    refuse("`trials`", table, table["image_px"].isna(), "image_px", "the side of the stimulus, pixels")
    side = int(_only(table, "image_px"))
    if side < 1:
        raise DataError(f"`trials`: image_px: wanted the side of the stimulus, pixels, got {side}.")
    radius = _scaled(_only(table, "reveal_radius_px"), side, size, masks.reveal_radius)
    blur = _scaled(_only(table, "blur_k"), side, size, masks.blur_size)
    if side == size:
        return trials, radius, blur
    for column in ("x_px", "y_px"):
        moved = clicks[column] * (size / side)
        # A click inside the stimulus stays inside, whatever the product is rounded to.
        inside = clicks[column] < side
        clicks = clicks.assign(**{column: moved.where(~inside, np.minimum(moved, np.nextafter(size, 0)))})
    told = {"reveal_radius_px": radius, "blur_k": blur}
    sizes = {name: table[name].where(table[name].isna(), value) for name, value in told.items()}
    table = table.assign(image_px=pd.array([size] * len(table), dtype="Int64"), **sizes)
    return Trials(trials.participants, table, clicks, trials.events), radius, blur


def _only(table, column):
    """Return the one value of a column, None where it has none."""
    values = table[column].dropna()
    if values.empty:
        return None
    refuse("`trials`", table, table[column].fillna(values.iloc[0]).ne(values.iloc[0]), column, "one for all trials")
    return values.iloc[0]


def _scaled(value, side, size, papers):
    """Scale a length. One in the paper's proportion stays in it."""
    if value is None or value == papers(side):
        return papers(size)
    return max(1, round(int(value) * size / side))


def _files(folder):
    if (folder / _PREPARED).is_file():
        return sorted(file for file in folder.iterdir() if file.is_file())
    files = [file for files in human.trials.files_of(folder).values() for file in files]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise UsageError(
            f"`--people`: wanted simulated, none, or folders with a study's tables or a prepared click study, got "
            f"{str(folder)!r}, which has no {missing[0].relative_to(folder)}."
        )
    return files


@functools.lru_cache(maxsize=256)
def _sha256(file: pathlib.Path, size: int, modified_ns: int) -> str:
    """Hash a file, once while its size and time stay as they are."""
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"`--people`: cannot read {file}: {error.strerror}.") from error


def _read(folder) -> Trials:
    _files(folder)
    return _prepared(folder) if (folder / _PREPARED).is_file() else human.trials.read(folder)


def _prepared(folder: str | os.PathLike) -> Trials:
    """Read the tables out of a prepared click study. Its masks and pictures are checked on the way."""
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise UsageError(
            "`--people`: a prepared set wants tensorflow-datasets: pip install tensorflow-datasets."
        ) from None
    builder = tfds.builder_from_directory(folder)
    features = builder.info.features
    if "true_label" not in features or not {"trials", "originals"} <= set(builder.info.splits):
        raise DataError(f"`--people`: wanted a prepared click study, got {folder}, a set of something else.")
    stored = {"image": tfds.decode.SkipDecoding()}
    splits = [builder.as_data_source(split, decoders=stored) for split in ("trials", "originals")]
    return human.clicks.from_examples(*splits, categories=Categories(tuple(features["true_label"].names))).trials
