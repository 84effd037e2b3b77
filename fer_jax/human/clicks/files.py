"""A click study from disk: a Psych-DS folder with its pictures, or a finished run of the whole study.

Contract: nothing read here is unpickled, and a name out of a table never leaves the folder it is looked up in.
"""

import hashlib
import json
import os
import pathlib
import zipfile
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from fer_jax.categories import Categories
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human import trials as trial_files
from fer_jax.human.clicks.checks import check_options
from fer_jax.human.clicks.dataset import ClickSet, assemble, study_of
from fer_jax.human.columns import TABLES
from fer_jax.human.stimuli import decode
from fer_jax.human.study import COLUMNS

# Refused from the sizes on disk (ours): a stimulus, and all pictures of a run.
_MAX_FILE_BYTES = 64 << 20
_MAX_ARRAY_BYTES = 8 << 30

_DAMAGED = (ValueError, OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile)


def load(
    source: str | os.PathLike,
    *,
    images: str | os.PathLike | None = None,
    allow_mixed: bool = False,
    categories: Categories | None = None,
) -> ClickSet:
    """Read a click study and check it as a whole.

    Args:
      source: a folder that `human.trials.write` wrote, or the run folder of a whole study, whose stages data, design
        and people have ended.
      images: folder of the sharp stimuli, square PNGs called as the trials call their images (".png" may be left
        out there). None looks in `source`/images. A run holds its pictures.
      allow_mixed: take people's and simulated trials at once.
      categories: the names of the labels, in their order. None takes `categories_of(source)`.

    Returns:
      The checked set.

    Raises:
      UsageError: `images` beside a run.
      DataError: neither of the two folders, a missing, odd or damaged file, or what `assemble` refuses.
    """
    source = pathlib.Path(source)
    categories = categories_of(source) if categories is None else categories
    if (source / "run.json").is_file():
        if images is not None:
            raise UsageError(f"`images`: the run {source} brings its own pictures; leave it out.")
        return _run(source, allow_mixed, categories)
    if not (source / "dataset_description.json").is_file():
        raise DataError(
            f"`source`: wanted a study's folder with dataset_description.json, or a run with run.json, got {source}."
        )
    trials = trial_files.read(source)
    check_options(trials, categories=categories, names=_names(source))
    study = study_of(trials, categories=categories)
    folder = source / "images" if images is None else pathlib.Path(images)
    pictures, hashes = read_stimuli(folder, study["image"].tolist())
    return assemble(
        trials,
        pictures,
        study,
        categories=categories,
        allow_mixed=allow_mixed,
        file_hashes=hashes,
        names=_names(source),
    )


def categories_of(source: str | os.PathLike) -> Categories:
    """Return the categories that a run recorded, or the paper's eight for a study's folder, which records none.

    Args:
      source: see `load`.

    Raises:
      DataError: a damaged record.
    """
    record = pathlib.Path(source) / "data" / "pictures.json"
    if not (record.parents[1] / "run.json").is_file() or not record.is_file():
        return EXPRESSIONS
    try:
        return Categories(tuple(json.loads(record.read_text(encoding="utf-8")).get("categories", EXPRESSIONS)))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"`source`: {record}: wanted the record of a run's pictures: {error}.") from None


def read_stimuli(folder: str | os.PathLike, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Read stimuli by name, from a folder of PNGs.

    Args:
      folder: where they lie.
      names: T paths relative to the folder, with "/". ".png" may be left out.

    Returns:
      uint8 (T, S, S, 3), RGB, and the SHA-256 of each file.

    Raises:
      DataError: a name that leads out of the folder, a file that is missing or no PNG, pictures of several sizes.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise DataError(f"`images`: wanted the folder of the sharp stimuli, got {folder}, which is none.")
    pictures, hashes = [], []
    for name in names:
        path = folder / _inside(name)
        try:
            if path.stat().st_size > _MAX_FILE_BYTES:
                raise DataError(f"wanted at most {_MAX_FILE_BYTES} bytes, got {path.stat().st_size}.")
            content = path.read_bytes()
            picture = decode(content)
        except OSError as error:
            raise DataError(f"`images`: {path}: cannot be read: {error.strerror}; the trials name it.") from None
        except DataError as error:
            raise DataError(f"`images`: {path}: {error}") from None
        if picture.shape != (*(pictures[0] if pictures else picture).shape[:1] * 2, 3):
            size = f"{len(pictures[0])} x {len(pictures[0])} px as the first" if pictures else "a square picture"
            raise DataError(f"`images`: {path}: wanted {size}, got {picture.shape[1]} x {picture.shape[0]} px.")
        pictures.append(picture)
        hashes.append(hashlib.sha256(content).hexdigest())
    if not pictures:
        raise DataError("`names`: wanted at least one picture, got none.")
    return np.stack(pictures), hashes


def _inside(name: str) -> pathlib.PurePosixPath:
    path = pathlib.PurePosixPath(name)
    odd = not name.isprintable() or "\\" in name or ":" in name
    if odd or path.is_absolute() or ".." in path.parts or not path.name:
        raise DataError(f"`images`: wanted names within the folder, got {name!r}. Nothing was read from there.")
    return path if path.suffix.lower() == ".png" else path.with_name(path.name + ".png")


def _names(folder) -> dict[str, str]:
    return {table: str(folder / trial_files.file_name(table)) for table in TABLES}


def _run(folder: pathlib.Path, allow_mixed, categories) -> ClickSet:
    study = _study_table(folder / "tables" / "study_images.csv")
    pictures = _run_pictures(folder / "data" / "pictures.npz", study)
    trials = trial_files.read(folder / "people")
    return assemble(
        trials,
        pictures,
        study,
        categories=categories,
        allow_mixed=allow_mixed,
        synthetic=_drawn(folder / "run.json"),
        names=_names(folder / "people"),
    )


def _drawn(file) -> bool:
    try:
        dataset = json.loads(file.read_text(encoding="utf-8"))["config"]["dataset"]
        if dataset == "prepared":  # what was prepared, photographs or drawn faces, is on record
            record = file.with_name("data") / "pictures.json"
            return bool(json.loads(record.read_text(encoding="utf-8"))["synthetic"])
        return dataset == "procedural_faces"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"`source`: {file}: wanted the record of a run: {type(error).__name__}: {error}.") from None


def _study_table(file) -> pd.DataFrame:
    """Return the study images with `row`, their place among the validation pictures."""
    try:
        text: dict[Hashable, Any] = dict.fromkeys(COLUMNS, "str")
        table = pd.read_csv(file, dtype=text, keep_default_na=False)
    except FileNotFoundError:
        raise DataError(f"`source`: wanted a run whose stage design has ended, got no {file}.") from None
    except (OSError, ValueError) as error:  # pandas' parser errors and bad UTF-8 are ValueErrors
        raise DataError(f"`source`: {file}: wanted a table of study images: {' '.join(str(error).split())}.") from None
    missing = [name for name in (*COLUMNS, "row") if name not in table]
    if missing or not pd.api.types.is_integer_dtype(table["row"]):
        wanted = f"columns {', '.join(COLUMNS)} and whole numbers in row"
        raise DataError(f"`source`: {file}: wanted {wanted}, got {', '.join(map(str, table.columns))}.")
    return table


def _run_pictures(file, study) -> np.ndarray:
    """Read the study's pictures out of the validation split of a run, by row, and check their names."""
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(archive.getinfo(f"validation_{part}.npy").file_size for part in ("images", "names"))
        if unpacked > _MAX_ARRAY_BYTES:
            raise DataError(f"`source`: {file}: wanted at most {_MAX_ARRAY_BYTES} bytes of pictures, got {unpacked}.")
        # Opened here: NumPy leaves a damaged file open.
        with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            pixels, names = arrays["validation_images"], arrays["validation_names"]
    except FileNotFoundError:
        raise DataError(f"`source`: wanted a run whose stage data has ended, got no {file}.") from None
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"`source`: {file}: wanted the pictures of a run: {' '.join(str(error).split())}.") from None
    if (
        pixels.dtype != np.uint8
        or pixels.ndim != 4
        or pixels.shape[-1] not in (1, 3)
        or names.shape != pixels.shape[:1]
    ):
        raise DataError(
            f"`source`: {file}: wanted uint8 (N, S, S, 1 or 3) and N names, got {pixels.dtype} {pixels.shape} and "
            f"{names.shape}."
        )
    rows = study["row"].to_numpy()
    outside = (rows < 0) | (rows >= len(names))
    named = names[np.where(outside, 0, rows)].astype(str) if len(names) else np.full(len(rows), "")
    wrong = outside | (named != study["image"].to_numpy(str))
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"`source`: {file}: wanted {study['image'].iloc[row]!r} at validation picture {rows[row]} of {len(names)}, "
            f"got {'none' if outside[row] else repr(str(named[row]))}."
        )
    shown = pixels[rows]
    return np.repeat(shown, 3, -1) if shown.shape[-1] == 1 else shown
