"""Every set of photographs that can be read, by name.

Contract: a source is a function from a `Tree` to a `Listing`; its own options are keyword arguments of that function.
"""

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator

from fer_jax.data.affectnet import list_affectnet
from fer_jax.data.ckplus import list_ckplus
from fer_jax.data.detect import FaceDetector
from fer_jax.data.expw import list_expw
from fer_jax.data.face_set import Read
from fer_jax.data.fer2013 import list_fer2013
from fer_jax.data.ferplus import list_ferplus
from fer_jax.data.folders import list_folders
from fer_jax.data.gather import listed, read_listing
from fer_jax.data.rafdb import list_rafdb
from fer_jax.data.rows import Listing, NotThisSet
from fer_jax.data.tree import Tree, open_tree
from fer_jax.errors import DataError, UsageError

SOURCES: dict[str, Callable[..., Listing]] = {
    "affectnet": list_affectnet,
    "ferplus": list_ferplus,
    "fer2013": list_fer2013,
    "ckplus": list_ckplus,
    "rafdb": list_rafdb,
    "expw": list_expw,
    "class_folders": list_folders,
}

_NOT_OPTIONS = ("tree", "release_name")


@contextlib.contextmanager
def open_source(dataset: str, path: str | os.PathLike, **options) -> Iterator[Listing]:
    """A set's listing, for a `with` statement; its rows can be loaded inside.

    Args:
      dataset: a key of `SOURCES`.
      path: the set's folder or zip.
      **options: of that source, such as `target` for FER+.

    Raises:
      UsageError: an unknown set, or an option that it does not have.
      DataError: nothing there, or something else.
    """
    list_rows = _source(dataset, options)
    with open_tree(path) as tree:
        yield listed(tree, list_rows)


def read_source(
    dataset: str,
    path: str | os.PathLike,
    *,
    size: int,
    crop: str = "square",
    detector: FaceDetector | None = None,
    max_reject_frac: float = 0.01,
    progress: Callable[[int, int], None] = lambda done, total: None,
    **options,
) -> Read:
    """Read a set into memory.

    Args:
      dataset: a key of `SOURCES`.
      path: the set's folder or zip.
      size: side of the pictures, pixels.
      crop: see `Framing`.
      detector: see `Framing`.
      max_reject_frac: largest share of rows of a split that may be unusable.
      progress: called after each row with the number of rows done and of all; may raise to end the reading.
      **options: of that source.

    Returns:
      Its splits, and what was left out.

    Raises:
      UsageError: an argument out of range.
      DataError: nothing there, or something else; `TooManyRejected`, too much of it damaged.
    """
    return read_listing(
        path,
        _source(dataset, options),
        size=size,
        crop=crop,
        detector=detector,
        max_reject_frac=max_reject_frac,
        progress=progress,
    )


def options_of(dataset: str) -> tuple[str, ...]:
    """The names of a source's own options.

    Raises:
      UsageError: an unknown set.
    """
    if dataset not in SOURCES:
        raise UsageError(f"`dataset`: wanted one of {', '.join(SOURCES)}, got {dataset!r}.")
    return tuple(name for name in inspect.signature(SOURCES[dataset]).parameters if name not in _NOT_OPTIONS)


def _source(dataset, options) -> Callable[[Tree], Listing]:
    strange = sorted(set(options) - set(options_of(dataset)))
    if strange:
        known = ", ".join(options_of(dataset)) or "none"
        raise UsageError(f"`{strange[0]}`: {dataset} has no such option; it has {known}.")

    def list_rows(tree: Tree) -> Listing:
        try:
            return SOURCES[dataset](tree, **options)
        except NotThisSet as error:
            other = _looks_like(tree, dataset)
            if other is None:
                raise
            raise NotThisSet(f"{error} It looks like `dataset`={other}.") from None

    return list_rows


def _looks_like(tree: Tree, dataset: str) -> str | None:
    """The set that a tree can be read as; class folders first, for some sets are read from these, too."""
    for other in ("class_folders", *SOURCES):
        if other != dataset:
            try:
                listed(tree, SOURCES[other])
            except DataError:
                continue
            return other
    return None
