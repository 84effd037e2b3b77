"""Trees of arrays on disk: written by Orbax, checked by us.

Contract: a checkpoint is a folder `arrays/` (Orbax) beside `manifest.json`. A folder is either whole or not there: it
is written beside its place and renamed. Orbax by itself loads flipped bits and other dtypes without a word; here both
are refused. A stack of members is stored one member a chunk, so that one can be read without the rest.
"""

import errno
import os
import pathlib
import shutil
from typing import Any

import flax.serialization
import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore

from fer_jax.checkpoints import _manifest
from fer_jax.errors import StorageError, UsageError

_MANIFEST_ROOM = 2**20  # beside the arrays: their names, sums and Orbax's own records


def save(folder: str | os.PathLike, tree: Any, *, facts: dict | None = None, stacked: bool = False) -> dict[str, str]:
    """Write a tree, whole or not at all.

    Args:
      folder: where; an existing checkpoint there is replaced.
      tree: arrays in dicts, dataclasses or tuples.
      facts: JSON-ready description the reader will want to compare (class order, preprocessing, ...).
      stacked: every leaf is (M, ...), one row a member, and members may be read one by one with `load_member`.

    Returns:
      SHA-256 of each array by its path in the tree.

    Raises:
      UsageError: `stacked`, and leaves without a common first axis.
      StorageError: the disk is full or the folder cannot be written.
    """
    folder = pathlib.Path(folder).absolute()
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    arrays = _flat(tree)
    rows = {leaf.shape[0] if np.ndim(leaf) else None for leaf in arrays.values()}
    if stacked and (len(rows) != 1 or None in rows):
        raise UsageError("`stacked`: wanted one leading member axis on every leaf.")
    described = {path: _manifest.described(array, stacked=stacked) for path, array in arrays.items()}
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _want_room(unfinished, sum(np.asarray(leaf).nbytes for leaf in arrays.values()))
        _write_arrays(unfinished / "arrays", arrays, stacked)
        _manifest.write(unfinished, facts or {}, described)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
    except (OSError, ValueError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise StorageError(
            f"`{folder}`: cannot be written: {_manifest.first_line(error)}. Free or choose another disk."
        ) from error
    return {path: entry["sha256"] for path, entry in described.items()}


def exists(folder: str | os.PathLike) -> bool:
    """Whether a whole checkpoint lies there."""
    return (pathlib.Path(folder) / _manifest.NAME).is_file()


def facts(folder: str | os.PathLike) -> dict:
    """What its writer said about a checkpoint.

    Args:
      folder: a checkpoint.

    Returns:
      The `facts` given to `save`.

    Raises:
      StorageError: there is none, it is damaged, or it has another schema.
    """
    return _manifest.read(pathlib.Path(folder))["facts"]


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
    manifest = _manifest.read(folder)
    _manifest.compare_facts(folder, manifest, facts)
    target = _flat(like)
    _manifest.compare_arrays(folder, manifest["arrays"], target)
    abstract = {path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in target.items()}
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            arrays = checkpointer.restore(folder / "arrays", abstract)
    except Exception as error:  # tensorstore raises many kinds for damaged files
        raise StorageError(f"`{folder}`: damaged and not loaded: {_manifest.first_line(error)}.") from error
    for path, array in arrays.items():
        _check_sum(folder, path, array, manifest["arrays"][path]["sha256"])
    return _like_tree(like, arrays)


def load_member(folder: str | os.PathLike, like: Any, index: int, *, facts: dict | None = None) -> Any:
    """Read one member of a stack and check its arrays; the other members' bytes are not touched.

    Args:
      folder: a checkpoint saved with `stacked`. (Of an older one, without sums for each member, everything is read.)
      like: a tree of arrays or `jax.ShapeDtypeStruct`s of one member.
      index: which, 0..M-1.
      facts: see `load`.

    Returns:
      A tree like `like`.

    Raises:
      UsageError: no such member.
      StorageError: see `load`; damage in another member goes unnoticed.
    """
    folder = pathlib.Path(folder).absolute()
    manifest = _manifest.read(folder)
    _manifest.compare_facts(folder, manifest, facts)
    entries = manifest["arrays"]
    members = min((entry["shape"][0] if entry["shape"] else 0 for entry in entries.values()), default=0)
    if not 0 <= index < members:
        raise UsageError(f"`index`: wanted a member in 0..{members - 1} of {folder}, got {index}.")
    target = _flat(like)
    stack = {path: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype) for path, leaf in target.items()}
    _manifest.compare_arrays(folder, entries, stack)
    if not all("members" in entry for entry in entries.values()):
        return _like_tree(like, {path: leaf[index] for path, leaf in load(folder, stack).items()})
    arrays = {}
    for path in target:
        arrays[path] = _read_row(folder, path, index)
        _check_sum(folder, path, arrays[path], entries[path]["members"][index])
    return _like_tree(like, arrays)


def _want_room(folder, size):
    """Refuse before Orbax begins: when a disk is full in its midst, its threads print tracebacks of their own."""
    free = shutil.disk_usage(folder).free
    if free < size + _MANIFEST_ROOM:
        raise OSError(errno.ENOSPC, f"{size / 2**20:.1f} MiB wanted, {free / 2**20:.1f} MiB free")


def _write_arrays(folder, arrays, stacked):
    """Through Orbax; a stack in chunks of one member."""
    # No size of chunks: Orbax would warn of small ones for every array of a small network.
    how = ocp.SaveArgs(shard_axes=(0,)) if stacked else ocp.SaveArgs()
    args = dict.fromkeys(arrays, how)
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=True, use_zarr3=False)  # as `_read_row` opens them
    with ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(folder, args=ocp.args.PyTreeSave(arrays, save_args=args))


def _read_row(folder, path, index) -> np.ndarray:
    place = {"driver": "ocdbt", "base": f"file://{folder / 'arrays'}", "path": f"{path}/"}
    try:
        array = tensorstore.open({"driver": "zarr", "kvstore": place}, open=True, read=True).result()
        return np.asarray(array[index].read().result())
    except Exception as error:  # tensorstore raises many kinds for damaged files
        raise StorageError(f"`{folder}`: damaged and not loaded: {_manifest.first_line(error)}.") from error


def _check_sum(folder, path, array, wanted):
    if _manifest.fingerprint(np.asarray(array)) != wanted:
        raise StorageError(f"`{folder}`: array {path} is damaged (its SHA-256 changed) and was not loaded.")


def _flat(tree) -> dict[str, Any]:
    nested = flax.serialization.to_state_dict(tree)
    leaves = jax.tree_util.tree_flatten_with_path(nested)[0]
    return {"/".join(str(part.key) for part in path): leaf for path, leaf in leaves}


def _like_tree(like, arrays):
    structure = jax.tree.structure(flax.serialization.to_state_dict(like))
    return flax.serialization.from_state_dict(
        like, jax.tree.unflatten(structure, [arrays[path] for path in _flat(like)])
    )
