"""Any K categories and their pairs: the only owner of label order.

Contract: a category is an integer 0..K-1 (an index into its `Categories`), an unordered pair an integer 0..K(K-1)/2-1,
an ordered pair (true category, then foil) an integer 0..K(K-1)-1. Pairs are in lexicographic order. The paper's eight
expressions are one instance, `fer_jax.EXPRESSIONS` (§3). One binary member stands for each unordered pair (§5.1).
"""

import dataclasses
import difflib
import functools
import itertools
import math
from collections.abc import Iterable, Sequence

from fer_jax.errors import DataError, UsageError, check_one_of

DROP = -1  # the label of a picture that belongs to none of the categories


@dataclasses.dataclass(frozen=True)
class Categories(Sequence[str]):
    """K different names in a fixed order. Behaves as a sequence of names.

    Attributes:
      names: K >= 2 different, non-empty names.

    Raises:
      UsageError: fewer than two names, an empty one, or one that comes twice.

    Example:
      >>> Categories(["genuine", "posed", "unsure"]).pairs
      ((0, 1), (0, 2), (1, 2))
    """

    names: tuple[str, ...]

    def __post_init__(self):
        names = tuple(str(name) for name in self.names)
        object.__setattr__(self, "names", names)
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if len(names) < 2 or not all(name.strip() for name in names) or twice is not None:
            got = f"{twice!r} twice" if twice is not None else ", ".join(map(repr, names)) or "none"
            raise UsageError(f"`categories`: wanted two or more different names, got {got}.")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):
        return self.names[index]

    def __str__(self) -> str:
        return ", ".join(self.names)

    @functools.cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The K(K-1)/2 unordered pairs. Within a pair the smaller index is class 0."""
        return tuple(itertools.combinations(range(len(self)), 2))

    @functools.cached_property
    def ordered_pairs(self) -> tuple[tuple[int, int], ...]:
        """The K(K-1) pairs of true category and foil, the cells of the human study (§4.2)."""
        return tuple(itertools.permutations(range(len(self)), 2))

    @property
    def num_pairs(self) -> int:
        """K(K-1)/2, the number of members."""
        return len(self.pairs)

    def index_of(self, name: str) -> int:
        """Return the index of a category given by its exact name.

        Raises:
          DataError: no category has the name. The message lists the names and the nearest one.
        """
        if name in self.names:
            return self.names.index(name)
        near = difflib.get_close_matches(str(name), self.names, n=1, cutoff=0.8)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise DataError(f"`category`: wanted one of {self}, got {name!r}.{hint}")

    def pair_index(self, first: int, second: int) -> int:
        """Return the index into `pairs` of two different categories, in either order.

        Raises:
          UsageError: the two are equal or out of range.
        """
        low, high = sorted((int(first), int(second)))
        if low == high or low < 0 or high >= len(self):
            raise UsageError(
                f"`first`, `second`: wanted two different numbers in 0..{len(self) - 1}, got {first} and {second}."
            )
        return self.pairs.index((low, high))

    def pair_name(self, pair: int) -> str:
        """Return the name of an unordered pair, such as "neutral-happy"."""
        first, second = self.pairs[pair]
        return f"{self.names[first]}-{self.names[second]}"

    def select(self, names: Iterable[str]) -> "Categories":
        """Return some of the categories in the order given.

        Raises:
          UsageError: a name that is none of them, fewer than two, or one that comes twice.
        """
        names = tuple(names)
        for name in names:
            check_one_of("categories", name, self.names)
        return Categories(names)


def num_categories(members: int) -> int:
    """Return the number of categories K whose pairs are M = K(K-1)/2 members.

    Args:
      members: M, such as the leading size of stacked logits.

    Raises:
      UsageError: no K has that many pairs.

    Example:
      >>> num_categories(28)
      8
    """
    found = (1 + math.isqrt(1 + 8 * max(members, 0))) // 2
    if members < 1 or found * (found - 1) // 2 != members:
        raise UsageError(
            f"`members`: wanted one for each pair of K categories, K(K-1)/2 (1, 3, 6, 10, ..., 28 for eight), "
            f"got {members}."
        )
    return found


def pairs_of(members: int) -> tuple[tuple[int, int], ...]:
    """Return the pairs of category indices that M members stand for, in the members' order.

    Raises:
      UsageError: M is no K(K-1)/2.
    """
    return tuple(itertools.combinations(range(num_categories(members)), 2))
