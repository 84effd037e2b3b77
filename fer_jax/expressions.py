"""The eight expressions, their pairs, and the label tables of the data sets. The only owner of label order.

Contract: an expression is an integer 0..7 (an index into `EXPRESSIONS`), an unordered pair an integer 0..27
(an index into `PAIRS`), an ordered pair an integer 0..55 (an index into `ORDERED_PAIRS`: true label, then foil).
"""

import difflib
import itertools

import numpy as np

from fer_jax.errors import DataError, UsageError

# AffectNet's own order (Mollahosseini et al. 2017), which the paper's eight classes follow (§3).
EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
NUM_EXPRESSIONS = len(EXPRESSIONS)

# One binary member for each unordered pair (§5.1); within a pair the smaller index is class 0.
PAIRS = tuple(itertools.combinations(range(NUM_EXPRESSIONS), 2))
NUM_PAIRS = len(PAIRS)

# (true, foil): the cells of the human study (§4.2).
ORDERED_PAIRS = tuple(itertools.permutations(range(NUM_EXPRESSIONS), 2))

DROP = -1  # a label of the source that has no place among the eight: unknown, not a face, ...

# Own label of each source, in its own order -> index into EXPRESSIONS.
LABEL_TABLES = {
    "affectnet": (0, 1, 2, 3, 4, 5, 6, 7, DROP, DROP, DROP),
    "fer2013": (6, 5, 4, 1, 2, 3, 0),
    "ferplus": (0, 1, 3, 2, 6, 5, 4, 7, DROP, DROP),
    "ckplus": (0, 6, 7, 5, 4, 1, 2, 3),
    "rafdb": (DROP, 3, 4, 5, 1, 2, 6, 0),  # counted from 1
    "sorted_names_8": (6, 7, 5, 4, 1, 0, 2, 3),
    "sorted_names_7": (6, 5, 4, 1, 0, 2, 3),
    "affectnet_c25": (1, 2, 3, 4, 5, 6, 7, 0),
    "wegrzyn2017": (1, 2, 6, 4, 5, 3, 0),
}

_ALIASES = {
    "neutral": ("normal",),
    "happy": ("happiness", "joy"),
    "sad": ("sadness",),
    "surprise": ("surprised", "suprise"),
    "fear": ("afraid", "fearful"),
    "disgust": ("disgusted",),
    "anger": ("angry",),
    "contempt": ("contemptuous",),
}
_INDEX_OF_NAME = {
    name: index for index, expression in enumerate(EXPRESSIONS) for name in (expression, *_ALIASES[expression])
}


def index_of(name: str) -> int:
    """The index of an expression given by name or by a common alias, whatever its case.

    Args:
      name: such as "happy", "Happiness" or "angry".

    Returns:
      An index into `EXPRESSIONS`.

    Raises:
      DataError: the name is none of the known ones; the message lists them.
    """
    index = _INDEX_OF_NAME.get(name.strip().lower())
    if index is None:
        near = difflib.get_close_matches(name.strip().lower(), _INDEX_OF_NAME, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise DataError(f"`expression`: wanted one of {', '.join(EXPRESSIONS)} (or an alias), got {name!r}.{hint}")
    return index


def pair_index(first: int, second: int) -> int:
    """The index into `PAIRS` of two different expressions, in either order.

    Args:
      first: an index into `EXPRESSIONS`.
      second: another one.

    Returns:
      An integer 0..27.

    Raises:
      UsageError: the two are equal or out of range.
    """
    low, high = sorted((int(first), int(second)))
    if low == high or low < 0 or high >= NUM_EXPRESSIONS:
        raise UsageError(
            f"`first`, `second`: wanted two different numbers in 0..{NUM_EXPRESSIONS - 1}, got {first} and {second}."
        )
    return PAIRS.index((low, high))


def pair_name(pair: int) -> str:
    """The name of an unordered pair, such as "neutral-happy", from its index 0..27."""
    first, second = PAIRS[pair]
    return f"{EXPRESSIONS[first]}-{EXPRESSIONS[second]}"


def canonical(table: str, labels) -> np.ndarray:
    """Map a source's own label numbers to canonical ones.

    Args:
      table: a key of `LABEL_TABLES`.
      labels: integers of any shape, in the source's own numbering.

    Returns:
      int32 array of the same shape, 0..7 or `DROP` (-1).

    Raises:
      UsageError: an unknown table.
      DataError: a label outside the table.
    """
    if table not in LABEL_TABLES:
        raise UsageError(f"`table`: wanted one of {', '.join(LABEL_TABLES)}, got {table!r}.")
    lookup = np.asarray(LABEL_TABLES[table], np.int32)
    labels = np.asarray(labels)
    outside = (labels < 0) | (labels >= len(lookup))
    if outside.any():
        raise DataError(f"`labels`: {table} numbers its classes 0..{len(lookup) - 1}, got {labels[outside].flat[0]}.")
    return lookup[labels]
