"""Weights as other libraries read and write them: safetensors files. Nothing is ever unpickled."""

import json
import os
from collections.abc import Mapping

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from fer_jax.checkpoints._manifest import first_line
from fer_jax.errors import DataError, UsageError
from fer_jax.files import write_whole

# How a file of torch.save begins: a zip archive, or a bare pickle.
_PICKLES = (b"PK\x03\x04", b"\x80")


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the tensors of a safetensors file, such as the weights of a network trained with another library.

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
    """Read the metadata of a safetensors file, the texts beside its tensors.

    Args:
      path: the file.

    Returns:
      Texts by name. None for a file without.

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
    """Write tensors for other libraries, whole or not at all. The same tensors give the same bytes.

    Args:
      path: the file. An existing one is replaced.
      arrays: by name, such as `models.to_state_dict` gives them.
      metadata: what the file says of itself.

    Raises:
      StorageError: the disk is full or the file cannot be written. Nothing unfinished stays.
    """
    content = safetensors.numpy.save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, dict(metadata or {})
    )
    write_whole(path, _with_metadata_in_order(content))


def _with_metadata_in_order(content):
    """Return the bytes with sorted metadata: the library writes it in an order that changes with the process."""
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
