"""The order of pictures in training: pure functions of seed, member and position, so that resuming needs no state.

Contract: orders are int32 and never change: they come from an integer mix here, not from a generator whose streams a
new NumPy may alter (NEP 19).
"""

import functools

import numpy as np

from fer_jax.categories import Categories
from fer_jax.errors import DataError, UsageError, check_one_of
from fer_jax.expressions import EXPRESSIONS

# SplitMix64 (Steele, Lea & Flood 2014, 10.1145/2714064.2660195): its increment and the finaliser's constants.
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)

# Streams that share a seed must not share numbers.
_EPOCH_ORDER, _PAIR_SUBSET, _PAIR_SUBSET_OF_EPOCH = 1, 2, 3

UNDERSAMPLE = ("fixed", "per_epoch")


def epoch_order(n: int, *, seed: int, member: int, epoch: int) -> np.ndarray:
    """Return the order in which a member sees its pictures in one epoch.

    Args:
      n: pictures of the member, at least 1.
      seed: 0..2⁶⁴−1.
      member: whole number from 0, the pair's index for a member of the ensemble.
      epoch: from 0.

    Returns:
      int32 (n,), a permutation of 0..n−1, read-only.

    Raises:
      UsageError: a number out of range.
    """
    _check(1, 1 << 31, n=n)
    _check(0, 1 << 64, seed=seed, member=member, epoch=epoch)
    return _epoch_order(int(n), int(seed), int(member), int(epoch))


def stream_indices(n: int, *, seed: int, member: int, start: int, count: int) -> np.ndarray:
    """Return samples [start, start + count) of the endless stream of a member's epochs.

    Batches cut from it are always full and may cross an epoch's end. Within an epoch each picture comes once.

    Args:
      n: pictures of the member, at least 1.
      seed: 0..2⁶⁴−1.
      member: whole number from 0.
      start: samples already seen, from 0. Step s of batches of B starts at s·B.
      count: samples wanted.

    Returns:
      int32 (count,), each 0..n−1.

    Raises:
      UsageError: a number out of range.
    """
    _check(1, 1 << 31, n=n)
    _check(0, 1 << 63, start=start, count=count)
    first, offset = divmod(int(start), int(n))
    epochs = range(first, first + (offset + int(count) + n - 1) // n)
    parts = [epoch_order(n, seed=seed, member=member, epoch=epoch) for epoch in epochs]
    return np.concatenate(parts or [np.zeros(0, np.int32)])[offset : offset + int(count)]


def pair_subset(
    labels: np.ndarray,
    pair: int,
    *,
    seed: int,
    undersample: str = "fixed",
    epoch: int | None = None,
    categories: Categories = EXPRESSIONS,
) -> np.ndarray:
    """Draw the training pictures of one pair, balanced by undersampling the larger class (paper §5.1).

    Drawn from the seed, the pair and the position within the larger class only, so a member trained alone sees what
    it sees among all.

    Args:
      labels: int (N,), 0..K-1.
      pair: index into `categories.pairs`.
      seed: 0..2⁶⁴−1.
      undersample: "fixed", drawn once (the paper speaks of one data-set size per model), or "per_epoch", drawn anew
        for each `epoch` (ours: sees more of the larger class).
      epoch: from 0, with "per_epoch" alone.
      categories: what labels are indices into.

    Returns:
      int32 (2 · smaller class,), ascending positions in `labels`.

    Raises:
      UsageError: an argument out of range.
      DataError: one of the two expressions has no picture.
    """
    check_one_of("undersample", undersample, UNDERSAMPLE)
    if (epoch is None) == (undersample == "per_epoch"):
        raise UsageError(f"`epoch`: wanted with undersample='per_epoch' only, got {epoch} with {undersample!r}.")
    _check(0, categories.num_pairs, pair=pair)
    _check(0, 1 << 64, seed=seed, epoch=epoch or 0)
    labels = np.asarray(labels)
    smaller, larger = sorted((np.flatnonzero(labels == expression) for expression in categories.pairs[pair]), key=len)
    if not len(smaller):
        missing = " and ".join(categories[e] for e in categories.pairs[pair] if not np.any(labels == e))
        raise DataError(
            f"`labels`: the pair {categories.pair_name(pair)} wants pictures of both, got none of {missing}."
        )
    stream = (_PAIR_SUBSET,) if epoch is None else (_PAIR_SUBSET_OF_EPOCH, epoch)
    chosen = _permutation(len(larger), *stream, seed, pair)[: len(smaller)]
    return np.sort(np.concatenate([smaller, larger[chosen]])).astype(np.int32)


def pair_shares(votes: np.ndarray, pair: int, *, categories: Categories = EXPRESSIONS) -> np.ndarray:
    """Return the shares that the two categories of a pair have of the votes for either.

    Args:
      votes: float (N, K), shares of the votes for all categories.
      pair: index into `categories.pairs`.
      categories: what the columns are.

    Returns:
      float32 (N, 2), rows that sum to 1, or zeros for a picture without a vote for either.

    Raises:
      UsageError: an argument out of range.
    """
    _check(0, categories.num_pairs, pair=pair)
    votes = np.asarray(votes, np.float32)
    if votes.ndim != 2 or votes.shape[1] != len(categories):
        raise UsageError(f"`votes`: wanted (N, {len(categories)}), got {votes.shape}.")
    two = votes[:, list(categories.pairs[pair])]
    total = two.sum(1, keepdims=True)
    return np.divide(two, total, out=np.zeros_like(two), where=total > 0)


# 28 members, each perhaps at the end of one epoch and the start of the next.
@functools.lru_cache(maxsize=64)
def _epoch_order(n, seed, member, epoch):
    order = _permutation(n, _EPOCH_ORDER, seed, member, epoch)
    order.flags.writeable = False
    return order


def _permutation(n, *words) -> np.ndarray:
    return np.argsort(_stream(n, _key(*words)), kind="stable").astype(np.int32)


def _stream(n, key) -> np.ndarray:
    """Return the first n outputs of SplitMix64 from the state `key`: all different, for the mix is a bijection."""
    return _mixed(key + _INCREMENT * np.arange(1, n + 1, dtype=np.uint64))


def _key(*words) -> np.ndarray:
    key = np.zeros(1, np.uint64)
    for word in words:
        key = _mixed((key ^ np.uint64(word)) + _INCREMENT)
    return key


def _mixed(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))


def _check(low, end, **numbers):
    for name, value in numbers.items():
        if not isinstance(value, int | np.integer) or not low <= value < end:
            raise UsageError(f"`{name}`: wanted a whole number in {low}..{end - 1}, got {value!r}.")


class Draw:
    """The pictures of one member of the ensemble, or of the network that sees them all.

    Args:
      labels: int (N,), 0..K-1, of all training pictures.
      pair: index into `categories.pairs`, for a member's balanced pictures. None takes all pictures.
      seed: 0..2⁶⁴−1.
      batch_size: pictures a step.
      undersample: see `pair_subset`.
      categories: what labels are indices into.

    Attributes:
      size: pictures in an epoch.
      first_epoch: int32 (size,), the rows of the first epoch, ascending.

    Raises:
      UsageError: an argument out of range.
      DataError: an expression of the pair has no picture.
    """

    def __init__(
        self,
        labels: np.ndarray,
        *,
        pair: int | None,
        seed: int,
        batch_size: int,
        undersample: str = "fixed",
        categories: Categories = EXPRESSIONS,
    ):
        check_one_of("undersample", undersample, UNDERSAMPLE)
        if batch_size < 1:
            raise UsageError(f"`batch_size`: wanted at least 1, got {batch_size}.")
        if not 0 <= seed < 1 << 64:
            raise UsageError(f"`seed`: wanted a whole number in 0..2^64-1, got {seed}.")
        self._labels, self._pair, self._seed = np.asarray(labels), pair, seed
        self._batch_size, self._undersample, self._categories = batch_size, undersample, categories
        # Two: a batch may cross from one epoch to the next.
        self._subset = functools.lru_cache(maxsize=2)(self._draw)
        self.first_epoch = self._subset(0)
        self.size = len(self.first_epoch)

    def rows(self, step: int) -> np.ndarray:
        """Return the rows of one step.

        Args:
          step: from 0.

        Returns:
          int32 (B,). Within an epoch of the stream each row comes once.
        """
        start, count = step * self._batch_size, self._batch_size
        member = self._categories.num_pairs if self._pair is None else self._pair
        at = stream_indices(self.size, seed=self._seed, member=member, start=start, count=count)
        if self._pair is None or self._undersample == "fixed":
            return self.first_epoch[at]
        epochs = (start + np.arange(count)) // self.size
        return np.concatenate([self._subset(int(epoch))[at[epochs == epoch]] for epoch in np.unique(epochs)])

    def _draw(self, epoch):
        if self._pair is None:
            return np.arange(len(self._labels), dtype=np.int32)
        return pair_subset(
            self._labels,
            self._pair,
            seed=self._seed,
            undersample=self._undersample,
            epoch=epoch if self._undersample == "per_epoch" else None,
            categories=self._categories,
        )
