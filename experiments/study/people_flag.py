"""The flag `--people`: simulated, none, or the folders of a study's tables, separated by commas."""

import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from fer_jax.errors import UsageError

_NO_TABLES = ("simulated", "none")
# Flags -> the kinds of people that they say something of. Beside others they are named, and nothing else happens: the
# flags of an earlier run may be repeated with other people.
_OF_PEOPLE = {
    "participants": ("simulated",),
    "per_ordered_pair": _NO_TABLES,  # people's tables have chosen the images
    **dict.fromkeys(("finetune_images", "finetune_learning_rate", "masked_ratio"), ("simulated", "tables")),
}


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


def refuse_profile(config: Any) -> None:
    """Refuse a place where people who are not simulated should look.

    Raises:
      UsageError: says whose people there are.
    """
    if config.people != "simulated" and config.profile != type(config).profile:
        raise UsageError(
            f"`--profile`: says where simulated people look, got {config.profile} with --people={config.people}. Leave "
            "one of them out."
        )


def tell_idle(people: str, given: Mapping[str, Any], usual: Mapping[str, Any]) -> None:
    """Name flags that say nothing of the people that there are.

    Args:
      people: what `--people` says.
      given: flag -> value.
      usual: flag -> its default, from the preset where it comes from there. Such a value is not named.
    """
    kind = people if people in _NO_TABLES else "tables"
    # In words, for the folders may have been given by an earlier name of the flag.
    who = {"simulated": "simulated people", "none": "no people", "tables": f"the people of {people}"}[kind]
    idle = [
        f"--{flag}={given[flag]}"
        for flag, kinds in _OF_PEOPLE.items()
        if kind not in kinds and given[flag] not in (None, usual[flag])
    ]
    if idle:
        sys.stderr.write(f"people: {', '.join(idle)}: not used with {who}\n")
