"""Logs of other laboratories, read into the same tables.

Contract: every reader returns `Trials` whose `source` names the format. What a log does not have stays missing.
What looks wrong is marked, never dropped.
"""

import os
import pathlib

from fer_jax.errors import check_one_of
from fer_jax.human.readers.assembly import LogOptions, read_pictures
from fer_jax.human.readers.bubbleview import read_bubbleview
from fer_jax.human.readers.fixations import read_fixations
from fer_jax.human.readers.jspsych import read_jspsych
from fer_jax.human.readers.model_vs_human import read_model_vs_human
from fer_jax.human.readers.wegrzyn2017 import (
    WEGRZYN_ROWS,
    WEGRZYN_TILE_PX,
    WEGRZYN_TILES,
    read_wegrzyn2017,
)
from fer_jax.human.trials import Trials

_READERS = {
    "bubbleview": read_bubbleview,
    "jspsych": read_jspsych,
    "model_vs_human": read_model_vs_human,
    "fixations": read_fixations,
    "wegrzyn2017": lambda log, options: read_wegrzyn2017(log),
}
FORMATS = tuple(_READERS)

__all__ = [
    "FORMATS",
    "WEGRZYN_ROWS",
    "WEGRZYN_TILES",
    "WEGRZYN_TILE_PX",
    "LogOptions",
    "read_bubbleview",
    "read_fixations",
    "read_jspsych",
    "read_log",
    "read_model_vs_human",
    "read_pictures",
    "read_wegrzyn2017",
]


def read_log(log: str | os.PathLike, log_format: str, options: LogOptions | None = None) -> Trials:
    """Read a log of another laboratory.

    Args:
      log: a file or a folder.
      log_format: a name of `FORMATS`.
      options: what the log does not say.

    Returns:
      Trials whose `source` is the format.

    Raises:
      UsageError: an unknown format or option.
      DataError: what the reader of that format refuses.
    """
    check_one_of("log_format", log_format, FORMATS)
    return _READERS[log_format](pathlib.Path(log), options or LogOptions())
