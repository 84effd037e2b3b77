"""The tables that an analysis reads: of studies, or out of logs of other laboratories."""

import functools
import pathlib
from collections.abc import Callable

from fer_jax import human
from fer_jax.errors import UsageError
from fer_jax.human.readers import LogOptions
from fer_jax.human.trials import Trials


def _reader(config) -> Callable[[str], Trials]:
    """Return what reads a log of the format that the flags name.

    Args:
      config: log_format, log_columns, log_answers, log_scale, picture_px, pictures and reveal_radius.

    Raises:
      UsageError: a flag that cannot be read.
      DataError: a table of pictures that cannot be.
    """
    answers = _named(config.log_answers, "log_answers") if "=" in config.log_answers else _parts(config.log_answers)
    scale = _numbers(config.log_scale, "log_scale", float)
    size = _numbers(config.picture_px, "picture_px", int)
    options = LogOptions(
        columns=_named(config.log_columns, "log_columns"),
        answers=answers,
        picture_px=size and (size[0], size[-1]),
        scale=scale and (scale[0], scale[-1]),
        radius=config.reveal_radius,
        pictures=human.readers.read_pictures(pathlib.Path(config.pictures)) if config.pictures else None,
    )
    return functools.partial(human.readers.read_log, log_format=config.log_format, options=options)


def folders_of(config) -> list[str]:
    """Return the folders, and refuse flags that are wrong whatever they hold."""
    folders = [name.strip() for name in config.people.split(",") if name.strip()]
    if not folders:
        raise UsageError("`--people`: wanted the folder of a study, such as --people=runs/first/people, got none.")
    if not config.out:
        raise UsageError("`--out`: wanted a folder for the tables, such as --out=analysis, got none.")
    if config.prefixes and len(config.prefixes.split(",")) != len(folders):
        raise UsageError(f"`--prefixes`: wanted {len(folders)}, one a folder of --people, got {config.prefixes!r}.")
    if len(set(map(_place, folders))) < len(folders):
        raise UsageError(f"`--people`: wanted each folder once, got {config.people}.")
    return folders


def read(config, folders) -> dict[str, Trials]:
    """Return the tables of each folder, or file of a log."""
    read = human.trials.read if config.log_format == "study" else _reader(config)
    prefixes = config.prefixes.split(",") if config.prefixes else [""] * len(folders)
    return {name: human.trials.prefixed(read(name), prefix) for name, prefix in zip(folders, prefixes, strict=True)}


def _place(folder) -> pathlib.Path:
    return pathlib.Path(folder).resolve()


def _parts(text) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _named(text, flag) -> dict[str, str]:
    pairs = [part.partition("=") for part in _parts(text)]
    if not all(name and between and value for name, between, value in pairs):
        raise UsageError(f"`--{flag}`: wanted names such as image=bild, separated by commas, got {text!r}.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _numbers(text, flag, kind):
    """Return one or two numbers, None where the flag is not given."""
    try:
        found = [kind(part) for part in text.lower().split("x")] if text else None
    except ValueError:
        found = [0, 0, 0]
    if found and (len(found) > 2 or min(found) <= 0):
        raise UsageError(f"`--{flag}`: wanted one number above 0, or two such as 800x600, got {text!r}.")
    return found
