"""The flag `--people`: simulated, none, or the folders of a study's tables, separated by commas."""

import pathlib

from fer_jax.errors import UsageError

_NO_TABLES = ("simulated", "none")


def folders_of(people: str) -> tuple[pathlib.Path, ...]:
    """Return the folders that `--people` names, none where people are simulated or left out."""
    return () if people in _NO_TABLES else tuple(pathlib.Path(part.strip()) for part in people.split(","))


def check_folders(people: str) -> None:
    """Refuse folders that are not there, before any work. Their tables are read when it is their turn.

    Raises:
      UsageError: names the first.
    """
    absent = [folder for folder in folders_of(people) if not folder.is_dir()]
    if absent or not people.strip():
        raise UsageError(
            f"`--people`: wanted {', '.join(_NO_TABLES)}, or folders of a study's tables separated by commas, got "
            f"{str(absent[0]) if people.strip() else people!r}, which is no folder."
        )
