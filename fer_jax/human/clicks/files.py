"""A click study from disk: a Psych-DS folder with its pictures.

Contract: nothing read here is unpickled, and a name out of a table never leaves the folder it is looked up in.
"""

import hashlib
import os
import pathlib

import numpy as np

from fer_jax.categories import Categories
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human import trials as trial_files
from fer_jax.human.clicks.checks import check_options
from fer_jax.human.clicks.dataset import ClickSet, assemble, study_of
from fer_jax.human.exclusion import without_recorded
from fer_jax.human.stimuli import decode

_MAX_FILE_BYTES = 64 << 20  # of a stimulus (ours): a larger one is refused from its size on disk


def load(
    source: str | os.PathLike,
    *,
    images: str | os.PathLike | None = None,
    allow_mixed: bool = False,
    categories: Categories = EXPRESSIONS,
) -> ClickSet:
    """Read a click study and check it as a whole. Whom the participants' table excludes by hand is left out.

    Args:
      source: a folder that `human.trials.write` wrote.
      images: folder of the sharp stimuli, square PNGs called as the trials call their images (".png" may be left
        out there). None looks in `source`/images.
      allow_mixed: take people's and simulated trials at once.
      categories: the names of the labels, in their order.

    Returns:
      The checked set. Its provenance does not know what the pictures are.

    Raises:
      DataError: another folder, a missing, odd or damaged file, or what `assemble` refuses.
    """
    source = pathlib.Path(source)
    if not (source / "dataset_description.json").is_file():
        raise DataError(f"`source`: wanted a study's folder with dataset_description.json, got {source}.")
    trials, names = without_recorded(trial_files.read(source)), trial_files.file_names(source)
    check_options(trials, categories=categories, names=names)
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
        names=names,
    )


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
        path = folder / stimulus_path(name)
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


def stimulus_path(name: str) -> pathlib.PurePosixPath:
    """Return where the sharp stimulus of an image lies in its folder.

    Raises:
      DataError: a name that leads out of the folder.
    """
    path = pathlib.PurePosixPath(name)
    odd = not name.isprintable() or "\\" in name or ":" in name
    if odd or path.is_absolute() or ".." in path.parts or not path.name:
        raise DataError(f"`images`: wanted names within the folder, got {name!r}. Nothing there was touched.")
    return path if path.suffix.lower() == ".png" else path.with_name(path.name + ".png")
