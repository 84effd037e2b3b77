"""What a checkpoint says of itself: `manifest.json`, with the shape, dtype and SHA-256 of each array.

Contract: a manifest carries the SHA-256 of its own content since schema 2, so that a changed bit in the facts is seen
as well as one in an array. Manifests of schema 1, which had none, are read as they are. Schema 3 says that the arrays
lie in a safetensors file.
"""

import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np

from fer_jax.errors import Damaged, StorageError

SCHEMA = 3
READABLE = (1, 2, 3)
NAME = "manifest.json"


def fingerprint(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's dtype, shape and bytes."""
    header = f"{array.dtype.str}{array.shape}".encode()
    return hashlib.sha256(header + array.tobytes()).hexdigest()


def described(array: np.ndarray, *, stacked: bool) -> dict:
    """Describe an array, with `stacked` also by the SHA-256 of each row of its first axis."""
    entry = {"shape": list(array.shape), "dtype": array.dtype.name, "sha256": fingerprint(array)}
    return entry | ({"members": [fingerprint(row) for row in array]} if stacked else {})


def write(folder: pathlib.Path, facts: dict, arrays: dict[str, dict]) -> None:
    """Write a manifest and wait until it is on the disk."""
    content = {"schema": SCHEMA, "facts": facts, "arrays": arrays}
    with open(folder / NAME, "w", encoding="utf-8") as file:
        json.dump(content | {"sha256": _own_sum(content)}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def read(folder: pathlib.Path) -> dict:
    """Read a manifest: schema, facts, arrays.

    Raises:
      StorageError: one of a schema that this version does not read. `Damaged` where there is none or its bytes changed.
    """
    try:
        with open(folder / NAME, encoding="utf-8") as file:
            manifest = json.load(file)
    except FileNotFoundError:
        raise Damaged(f"`{folder}`: wanted a checkpoint with {NAME}, found none.") from None
    except OSError as error:
        raise StorageError(f"`{folder}`: its {NAME} cannot be read: {first_line(error)}.") from error
    except ValueError as error:
        raise Damaged(f"`{folder}`: its {NAME} is damaged: {first_line(error)}; nothing was loaded.") from error
    schema = manifest.get("schema") if isinstance(manifest, dict) else None
    if schema not in READABLE:
        raise StorageError(f"`{folder}`: wanted checkpoint schema {SCHEMA}, got {schema}.")
    own = manifest.pop("sha256", None)
    if schema > 1 and own != _own_sum(manifest):
        raise Damaged(f"`{folder}`: its {NAME} is damaged (its SHA-256 changed); nothing was loaded.")
    return manifest


def compare_facts(folder: pathlib.Path, manifest: dict, wanted: dict | None) -> None:
    """Refuse a checkpoint that says other things of itself.

    Raises:
      StorageError: the first fact that differs.
    """
    for name, value in (wanted or {}).items():
        got = manifest["facts"].get(name)
        if got != value:
            raise StorageError(f"`{folder}`: wanted {name} = {value!r}, the checkpoint has {got!r}.")


def compare_arrays(folder: pathlib.Path, saved: dict[str, dict], target: dict[str, Any]) -> None:
    """Refuse a checkpoint of another tree, by path, shape and dtype.

    Raises:
      StorageError: the first that differs.
    """
    missing, extra = sorted(target.keys() - saved.keys()), sorted(saved.keys() - target.keys())
    if missing or extra:
        which = f"lacks {missing[0]}" if missing else f"has {extra[0]} besides"
        raise StorageError(f"`{folder}`: wanted the arrays of this model; the checkpoint {which}.")
    for path, leaf in target.items():
        wanted = {"shape": list(leaf.shape), "dtype": np.dtype(leaf.dtype).name}
        got = {name: saved[path][name] for name in wanted}
        if got != wanted:
            raise StorageError(f"`{folder}`: array {path}: wanted {wanted}, got {got}.")


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error, shortened."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _own_sum(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
