"""Trees of arrays on disk: written by Orbax, checked by us.

Contract: a checkpoint is a folder `arrays/` (Orbax) beside `manifest.json` (schema, the caller's facts, and for each
array its shape, dtype and SHA-256). A folder is either whole or not there: it is written beside its place and renamed.
Orbax by itself loads flipped bits and other dtypes without a word; here both are refused.

Weights made elsewhere are read from safetensors files; nothing is ever unpickled.
"""

import hashlib
import json
import os
import pathlib
import shutil
from typing import Any

import flax.serialization
import jax
import numpy as np
import orbax.checkpoint as ocp

from fer_jax.errors import DataError, StorageError, UsageError

SCHEMA = 1
_MANIFEST = "manifest.json"
# How a file of torch.save begins: a zip archive, or a bare pickle.
_PICKLES = (b"PK\x03\x04", b"\x80")


def save(folder: str | os.PathLike, tree: Any, *, facts: dict | None = None) -> dict[str, str]:
    """Write a tree, whole or not at all.

    Args:
      folder: where; an existing checkpoint there is replaced.
      tree: arrays in dicts, dataclasses or tuples.
      facts: JSON-ready description the reader will want to compare (class order, preprocessing, ...).

    Returns:
      SHA-256 of each array by its path in the tree.

    Raises:
      StorageError: the disk is full or the folder cannot be written.
    """
    folder = pathlib.Path(folder).absolute()
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    arrays = _flat(tree)
    manifest = {"schema": SCHEMA, "facts": facts or {}, "arrays": {path: _fingerprint(a) for path, a in arrays.items()}}
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(unfinished / "arrays", arrays)
        with open(unfinished / _MANIFEST, "w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
    except (OSError, ValueError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise StorageError(
            f"`{folder}`: cannot be written: {_first_line(error)}. Free or choose another disk."
        ) from error
    return {path: entry["sha256"] for path, entry in manifest["arrays"].items()}


def exists(folder: str | os.PathLike) -> bool:
    """Whether a whole checkpoint lies there."""
    return (pathlib.Path(folder) / _MANIFEST).is_file()


def facts(folder: str | os.PathLike) -> dict:
    """What its writer said about a checkpoint.

    Args:
      folder: a checkpoint.

    Returns:
      The `facts` given to `save`.

    Raises:
      StorageError: there is none, it is damaged, or it has another schema.
    """
    return _manifest(pathlib.Path(folder))["facts"]


def load(folder: str | os.PathLike, like: Any, *, facts: dict | None = None) -> Any:
    """Read a tree back and check every array.

    Args:
      folder: a checkpoint.
      like: a tree of arrays or `jax.ShapeDtypeStruct`s with the structure, shapes and dtypes wanted.
      facts: entries that must stand in the checkpoint's facts with the same value.

    Returns:
      A tree like `like`.

    Raises:
      StorageError: no checkpoint, another schema, facts or arrays that differ, or an array whose bytes changed.
    """
    folder = pathlib.Path(folder).absolute()
    manifest = _manifest(folder)
    for name, wanted in (facts or {}).items():
        got = manifest["facts"].get(name)
        if got != wanted:
            raise StorageError(f"`{folder}`: wanted {name} = {wanted!r}, the checkpoint has {got!r}.")
    target = _flat(like)
    _compare(folder, manifest["arrays"], target)
    abstract = {path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in target.items()}
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            arrays = checkpointer.restore(folder / "arrays", abstract)
    except Exception as error:  # tensorstore raises many kinds for damaged files
        raise StorageError(f"`{folder}`: damaged and not loaded: {_first_line(error)}.") from error
    for path, array in arrays.items():
        if _fingerprint(array)["sha256"] != manifest["arrays"][path]["sha256"]:
            raise StorageError(f"`{folder}`: array {path} is damaged (its SHA-256 changed) and was not loaded.")
    structure = jax.tree.structure(flax.serialization.to_state_dict(like))
    return flax.serialization.from_state_dict(like, jax.tree.unflatten(structure, [arrays[path] for path in target]))


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, such as the weights of a network trained with another library.

    Args:
      path: the file.

    Returns:
      Arrays by name, in the dtypes of the file (float16 and bfloat16 among them), for `models.from_state_dict`.

    Raises:
      UsageError: a pickle, as `torch.save` writes it, or the package safetensors is not installed.
      DataError: no such file, or one that is damaged or something else.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise UsageError(f"`{path}`: reading it wants safetensors: pip install 'fer-jax[weights]'") from None
    try:
        return load_file(path)
    except FileNotFoundError:
        raise DataError(f"`{path}`: wanted a safetensors file, found none.") from None
    except (OSError, SafetensorError, AttributeError, TypeError) as error:  # the last two: dtypes that numpy lacks
        # Only now: a sound file may begin with these bytes too, they are the length of its header.
        if _begins_with(path, _PICKLES):
            raise UsageError(
                f"`{path}`: a pickle, which is never unpickled; save it as safetensors where torch is installed: "
                "safetensors.torch.save_file(torch.load(path, weights_only=True), 'weights.safetensors')."
            ) from None
        raise DataError(f"`{path}`: wanted a safetensors file, it cannot be read: {_first_line(error)}.") from error


def _begins_with(path, starts) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4).startswith(starts)
    except OSError:
        return False


def _flat(tree) -> dict[str, Any]:
    nested = flax.serialization.to_state_dict(tree)
    leaves = jax.tree_util.tree_flatten_with_path(nested)[0]
    return {"/".join(str(part.key) for part in path): leaf for path, leaf in leaves}


def _fingerprint(array) -> dict:
    array = np.asarray(array)
    header = f"{array.dtype.str}{array.shape}".encode()
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "sha256": hashlib.sha256(header + array.tobytes()).hexdigest(),
    }


def _manifest(folder) -> dict:
    try:
        with open(folder / _MANIFEST, encoding="utf-8") as file:
            manifest = json.load(file)
    except FileNotFoundError:
        raise StorageError(f"`{folder}`: wanted a checkpoint with {_MANIFEST}, found none.") from None
    except (OSError, ValueError) as error:
        raise StorageError(f"`{folder}`: its {_MANIFEST} cannot be read: {_first_line(error)}.") from error
    if manifest.get("schema") != SCHEMA:
        raise StorageError(f"`{folder}`: wanted checkpoint schema {SCHEMA}, got {manifest.get('schema')}.")
    return manifest


def _compare(folder, saved, target):
    missing, extra = sorted(target.keys() - saved.keys()), sorted(saved.keys() - target.keys())
    if missing or extra:
        which = f"lacks {missing[0]}" if missing else f"has {extra[0]} besides"
        raise StorageError(f"`{folder}`: wanted the arrays of this model; the checkpoint {which}.")
    for path, leaf in target.items():
        wanted = {"shape": list(leaf.shape), "dtype": np.dtype(leaf.dtype).name}
        got = {name: saved[path][name] for name in wanted}
        if got != wanted:
            raise StorageError(f"`{folder}`: array {path}: wanted {wanted}, got {got}.")


def _first_line(error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
