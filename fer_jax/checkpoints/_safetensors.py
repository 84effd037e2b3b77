"""Weights as other libraries read and write them: safetensors files; nothing is ever unpickled."""

import json
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from fer_jax.checkpoints._manifest import first_line
from fer_jax.errors import DataError, StorageError, UsageError

# How a file of torch.save begins: a zip archive, or a bare pickle.
_PICKLES = (b"PK\x03\x04", b"\x80")


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file, such as the weights of a network trained with another library.

    Args:
      path: the file.

    Returns:
      Arrays by name, in the dtypes of the file (float16 and bfloat16 among them), for `models.from_state_dict`.

    Raises:
      UsageError: a pickle, as `torch.save` writes it.
      DataError: no such file, or one that is damaged or something else.
    """
    return _opened(path, safetensors.numpy.load_file)


def read_safetensors_metadata(path: str | os.PathLike) -> dict[str, str]:
    """What a safetensors file says of itself, beside its tensors.

    Args:
      path: the file.

    Returns:
      Texts by name; none for a file without.

    Raises:
      UsageError, DataError: see `read_safetensors`.
    """

    def read(path):
        with safetensors.safe_open(path, "numpy") as file:
            return file.metadata() or {}

    return _opened(path, read)


def _opened(path, read):
    try:
        return read(path)
    except FileNotFoundError:
        raise DataError(f"`{path}`: wanted a safetensors file, found none.") from None
    except (OSError, SafetensorError, AttributeError, TypeError) as error:  # the last two: dtypes that numpy lacks
        # Only now: a sound file may begin with these bytes too, they are the length of its header.
        if _begins_with(path, _PICKLES):
            raise UsageError(
                f"`{path}`: a pickle, which is never unpickled; save it as safetensors where torch is installed: "
                "safetensors.torch.save_file(torch.load(path, weights_only=True), 'weights.safetensors')."
            ) from None
        raise DataError(f"`{path}`: wanted a safetensors file, it cannot be read: {first_line(error)}.") from error


def write_safetensors(
    path: str | os.PathLike, arrays: Mapping[str, np.ndarray], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors for other libraries, whole or not at all; the same tensors give the same bytes.

    Args:
      path: the file; an existing one is replaced.
      arrays: by name, such as `models.to_state_dict` gives them.
      metadata: what the file says of itself.

    Raises:
      StorageError: the disk is full or the file cannot be written; nothing unfinished stays.
    """
    path = pathlib.Path(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, dict(metadata or {})
    )
    content = _with_metadata_in_order(content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    except OSError as error:
        if unfinished.parent.is_dir():
            unfinished.unlink(missing_ok=True)
        raise StorageError(f"`{path}`: cannot be written: {error.strerror}. Free or choose another disk.") from error


def _with_metadata_in_order(content):
    """The file's bytes with its metadata sorted: the library writes them in an order that changes with the process."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight bytes
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def _begins_with(path, starts) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4).startswith(starts)
    except OSError:
        return False
