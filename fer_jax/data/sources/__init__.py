"""Every set of photographs that can be read, one module or folder a set.

Contract: a source is a function from a `Tree` to a `Listing`. Its options are keyword arguments of that function.
"""

import inspect
from collections.abc import Callable

from fer_jax.data.listing import Listing
from fer_jax.data.sources.affectnet.releases import list_affectnet
from fer_jax.data.sources.ckplus import list_ckplus
from fer_jax.data.sources.class_folders import list_folders
from fer_jax.data.sources.expw import list_expw
from fer_jax.data.sources.fer2013 import list_fer2013
from fer_jax.data.sources.ferplus import list_ferplus
from fer_jax.data.sources.rafdb import list_rafdb
from fer_jax.errors import check_one_of

SOURCES: dict[str, Callable[..., Listing]] = {
    "affectnet": list_affectnet,
    "ferplus": list_ferplus,
    "fer2013": list_fer2013,
    "ckplus": list_ckplus,
    "rafdb": list_rafdb,
    "expw": list_expw,
    "class_folders": list_folders,
}
# Sides of the pictures in the published copies, pixels.
SIDES = {"ferplus": 48, "fer2013": 48, "ckplus": 48, "rafdb": 100}
# Sets of whole photographs with a box for each face.
BOXED = ("affectnet", "expw")
_NOT_OPTIONS = ("tree", "release_name", "class_map", "any_names", "mixed")


def options_of(name: str) -> tuple[str, ...]:
    """Return the names of a source's options.

    Raises:
      UsageError: an unknown set.
    """
    check_one_of("dataset", name, SOURCES)
    return tuple(option for option in inspect.signature(SOURCES[name]).parameters if option not in _NOT_OPTIONS)
