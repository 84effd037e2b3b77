"""AffectNet+ (arXiv 2410.22506): soft labels and metadata whose form on disk we have never seen, so nothing is guessed.

Contract: what lies there is described, in one line, for its owner to pass on; no row is read.
"""

import collections
import json

from fer_jax.data.sanitise import ImageRejected
from fer_jax.data.tree import Tree, lines
from fer_jax.errors import DataError

_SHOWN = 12
_LOOKED_AT = 20_000


def describe(tree: Tree) -> str:
    """Kinds of files with their numbers, and the keys of the first JSON file and the columns of the first csv.

    Args:
      tree: the root.

    Returns:
      One line.
    """
    files = tree.files()[:_LOOKED_AT]
    kinds = collections.Counter(_kind(path) for path in files)
    found = [f"{count} {kind}" for kind, count in kinds.most_common(_SHOWN)]
    for suffix, keys_of in ((".json", _keys), (".csv", _columns)):
        first = next((path for path in files if path.lower().endswith(suffix)), None)
        if first is not None:
            found.append(f"{first} with {keys_of(tree, first)}")
    return "; ".join(found) or "no file"


def _kind(path):
    """The suffix; of arrays also what the name says after its last underscore."""
    name = path.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    kind = stem.rpartition("_")[2] if "_" in stem and suffix.lower() == "npy" else ""
    return f"{'_' if kind else ''}{kind}{dot}{suffix.lower()}" if dot else "without suffix"


def _keys(tree, path):
    try:
        value = json.loads(tree.read(path))
    except (ImageRejected, ValueError, RecursionError):
        return "no JSON in it"
    value = value[0] if isinstance(value, list) and value else value
    shown = list(map(str, value))[:_SHOWN] if isinstance(value, dict) else [type(value).__name__]
    return f"the keys {', '.join(shown)}"[:300]


def _columns(tree, path):
    try:
        first = next(lines(tree, path), (0, ""))[1]
    except DataError:
        return "no text in it"
    return f"the columns {first[:200]}"
