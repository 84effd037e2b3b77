"""Trees of arrays on disk: one safetensors file beside a manifest that holds a sum of every array.

Contract: a checkpoint is a folder of `arrays.safetensors` and `manifest.json`. It is either whole or not there: it is
written beside its place and renamed. Host arrays go in and host arrays come out, so it opens on any devices. Everything
is written by the calling thread: when a save fails, nobody is left who might still write. Older checkpoints kept their
arrays as Orbax lays them out (a folder `arrays/`), and are read all the same.
"""

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import flax.serialization
import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import safe_open, save_file

from fer_jax.checkpoints import _manifest
from fer_jax.errors import Damaged, StorageError, UsageError

_ARRAYS, _ORBAX = "arrays.safetensors", "arrays"
_MANIFEST_ROOM = 2**20  # beside the arrays: their names and sums


def save(folder: str | os.PathLike, tree: Any, *, facts: dict | None = None, stacked: bool = False) -> dict[str, str]:
    """Write a tree, whole or not at all.

    Args:
      folder: where. An existing checkpoint there is replaced.
      tree: arrays in dicts, dataclasses or tuples, on the host or on any devices of this process.
      facts: JSON-ready description the reader will want to compare (class order, preprocessing, ...).
      stacked: every leaf is (M, ...), one row a member, and members may be read one by one with `load_member`.

    Returns:
      SHA-256 of each array by its path in the tree.

    Raises:
      UsageError: `stacked`, and leaves without a common first axis, or a dtype that safetensors does not know.
      StorageError: the disk is full or the folder cannot be written.
    """
    folder = pathlib.Path(folder).absolute()
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    arrays = {path: np.asarray(leaf, order="C") for path, leaf in _flat(tree).items()}
    rows = {leaf.shape[0] if leaf.ndim else None for leaf in arrays.values()}
    if stacked and (len(rows) != 1 or None in rows):
        raise UsageError("`stacked`: wanted one leading member axis on every leaf.")
    described = {path: _manifest.described(array, stacked=stacked) for path, array in arrays.items()}
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _want_room(unfinished, sum(leaf.nbytes for leaf in arrays.values()))
        _write_arrays(unfinished / _ARRAYS, arrays)
        _manifest.write(unfinished, facts or {}, described)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(unfinished, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if "dtype" in str(error):
            raise UsageError(f"`tree`: {_manifest.first_line(error)}") from error
        raise StorageError(
            f"`{folder}`: cannot be written: {_manifest.first_line(error)}. Free or choose another disk."
        ) from error
    return {path: entry["sha256"] for path, entry in described.items()}


def exists(folder: str | os.PathLike) -> bool:
    """Tell if a whole checkpoint lies in a folder."""
    return (pathlib.Path(folder) / _manifest.NAME).is_file()


def facts(folder: str | os.PathLike) -> dict:
    """Read the facts that the writer of a checkpoint stored with it.

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
      A tree like `like`, of NumPy arrays.

    Raises:
      StorageError: no checkpoint, another schema, facts or arrays that differ, or a disk that does not give it. Its
        subclass `Damaged` where the bytes of the checkpoint changed or are missing.
    """
    folder = pathlib.Path(folder).absolute()
    manifest = _manifest.read(folder)
    _manifest.compare_facts(folder, manifest, facts)
    target = _flat(like)
    _manifest.compare_arrays(folder, manifest["arrays"], target)
    with _reader(folder) as read:
        arrays = {path: read(path) for path in target}
    for path, array in arrays.items():
        _check_sum(folder, path, array, manifest["arrays"][path]["sha256"])
    return _like_tree(like, arrays)


def load_member(folder: str | os.PathLike, like: Any, index: int, *, facts: dict | None = None) -> Any:
    """Read one member of a stack and check its arrays. The other members' bytes are not touched.

    Args:
      folder: a checkpoint saved with `stacked`. (Of an older one, without sums for each member, everything is read.)
      like: a tree of arrays or `jax.ShapeDtypeStruct`s of one member.
      index: which, 0..M-1.
      facts: see `load`.

    Returns:
      A tree like `like`, of NumPy arrays.

    Raises:
      UsageError: no such member.
      StorageError: see `load`. Damage in another member goes unnoticed.
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
    with _reader(folder) as read:
        arrays = {path: read(path, index) for path in target}
    for path in target:
        _check_sum(folder, path, arrays[path], entries[path]["members"][index])
    return _like_tree(like, arrays)


def _want_room(folder, size):
    """Refuse before anything is written."""
    free = shutil.disk_usage(folder).free
    if free < size + _MANIFEST_ROOM:
        raise OSError(errno.ENOSPC, f"{size / 2**20:.1f} MiB wanted, {free / 2**20:.1f} MiB free")


def _write_arrays(file, arrays):
    """Write the arrays and wait until they are on the disk."""
    save_file(arrays, file)
    with open(file, "rb+") as written:
        os.fsync(written.fileno())


@contextlib.contextmanager
def _reader(folder) -> Iterator[Callable]:
    """Return a function (path, row=None) -> array, or one row of it, as a checkpoint's arrays are stored."""
    try:
        if not (folder / _ARRAYS).exists() and (folder / _ORBAX).is_dir():
            yield _orbax_reader(folder / _ORBAX)
        else:
            with safe_open(folder / _ARRAYS, "numpy") as file:
                yield (
                    lambda path, row=None: (
                        file.get_tensor(path) if row is None else np.asarray(file.get_slice(path)[row])
                    )
                )
    except FileNotFoundError:
        raise Damaged(f"`{folder}`: damaged and not loaded: its arrays are missing.") from None
    except SafetensorError as error:
        raise Damaged(f"`{folder}`: damaged and not loaded: {_manifest.first_line(error)}.") from error
    except OSError as error:
        raise StorageError(f"`{folder}`: cannot be read: {_manifest.first_line(error)}.") from error


def _orbax_reader(arrays):
    """Read what Orbax wrote, without the devices that it wrote down beside it."""
    import tensorstore

    def read(path, row=None):
        place = {"driver": "ocdbt", "base": f"file://{arrays}", "path": f"{path}/"}
        try:
            array = tensorstore.open({"driver": "zarr", "kvstore": place}, open=True, read=True).result()
            return np.asarray((array if row is None else array[row]).read().result())
        except Exception as error:  # tensorstore raises many kinds for damaged files
            raise Damaged(f"`{arrays.parent}`: damaged and not loaded: {_manifest.first_line(error)}.") from error

    return read


def _check_sum(folder, path, array, wanted):
    if _manifest.fingerprint(array) != wanted:
        raise Damaged(f"`{folder}`: array {path} is damaged (its SHA-256 changed) and was not loaded.")


def _flat(tree) -> dict[str, Any]:
    nested = flax.serialization.to_state_dict(tree)
    leaves = jax.tree_util.tree_flatten_with_path(nested)[0]
    return {"/".join(str(part.key) for part in path): leaf for path, leaf in leaves}


def _like_tree(like, arrays):
    structure = jax.tree.structure(flax.serialization.to_state_dict(like))
    return flax.serialization.from_state_dict(
        like, jax.tree.unflatten(structure, [arrays[path] for path in _flat(like)])
    )
