"""Which pictures one network sees at each step: a pure function of seed, member and step.

Contract: rows are positions in the labels given; two draws of equal arguments give equal rows, whatever came before.
"""

import functools

import numpy as np

from fer_jax.data.order import UNDERSAMPLE, pair_subset, stream_indices
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS


class Draw:
    """The pictures of one member of the ensemble, or of the network that sees them all.

    Args:
      labels: int (N,), 0..7, of all training pictures.
      pair: index into `PAIRS`: a member's own balanced pictures; None: all of them.
      seed: 0..2⁶⁴−1.
      batch_size: pictures a step.
      undersample: see `pair_subset`.

    Attributes:
      size: pictures in an epoch.
      first_epoch: int32 (size,), the rows of the first epoch, ascending.

    Raises:
      UsageError: an argument out of range.
      DataError: an expression of the pair has no picture.
    """

    def __init__(self, labels: np.ndarray, *, pair: int | None, seed: int, batch_size: int, undersample: str = "fixed"):
        if undersample not in UNDERSAMPLE:
            raise UsageError(f"`undersample`: wanted one of {', '.join(UNDERSAMPLE)}, got {undersample!r}.")
        if batch_size < 1:
            raise UsageError(f"`batch_size`: wanted at least 1, got {batch_size}.")
        if not 0 <= seed < 1 << 64:
            raise UsageError(f"`seed`: wanted a whole number in 0..2^64-1, got {seed}.")
        self._labels, self._pair, self._seed = np.asarray(labels), pair, seed
        self._batch_size, self._undersample = batch_size, undersample
        # Two: a batch may cross from one epoch to the next.
        self._subset = functools.lru_cache(maxsize=2)(self._draw)
        self.first_epoch = self._subset(0)
        self.size = len(self.first_epoch)

    def rows(self, step: int) -> np.ndarray:
        """The rows of one step.

        Args:
          step: from 0.

        Returns:
          int32 (B,); within an epoch of the stream each row comes once.
        """
        start, count = step * self._batch_size, self._batch_size
        member = EXPRESSIONS.num_pairs if self._pair is None else self._pair
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
        )
