"""Batches of a prepared set: endless shuffled ones to train on, and one pass in order to evaluate.

Contract: a batch is a dict of arrays with a leading B: image uint8 (B, H, W, 3), label int32 (B,), row int64 (B,), and
in evaluation weight float32 (B,), 0 where the last batch was filled up. Memory holds the labels and a few batches,
however long the set.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fer_jax.data.prepared import PreparedSplit
from fer_jax.data.sampling import Draw
from fer_jax.errors import StorageError, UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.read_ahead import ReadAhead


class Batches:
    """Training batches, one after another. Their place is a number, and going on from it is exact.

    Args:
      source: a prepared split, or anything with `labels` and `images(rows)`.
      batch_size: pictures a batch.
      seed: 0..2⁶⁴−1.
      pair: index into `categories.pairs`: a member's balanced pictures, labels 0 and 1. None: all of them, 0..K-1.
      undersample: see `pair_subset`.
      step: where to start.
      ahead: batches read before they are asked for, by a thread.

    Raises:
      UsageError: an argument out of range.
    """

    def __init__(
        self,
        source: PreparedSplit,
        *,
        batch_size: int,
        seed: int,
        pair: int | None = None,
        undersample: str = "fixed",
        step: int = 0,
        ahead: int = 2,
    ):
        if step < 0 or ahead < 0:
            raise UsageError(f"`step`, `ahead`: wanted numbers of at least 0, got {step} and {ahead}.")
        self._source, self._pair = source, pair
        self._categories = getattr(source, "categories", EXPRESSIONS)
        self._draw = Draw(
            source.labels,
            pair=pair,
            seed=seed,
            batch_size=batch_size,
            undersample=undersample,
            categories=self._categories,
        )
        if batch_size > self._draw.size:
            raise UsageError(
                f"`batch_size`: wanted at most the {self._draw.size} pictures there are, got {batch_size}."
            )
        self._identity = {
            "images": len(source.labels),
            "batch_size": batch_size,
            "seed": seed,
            "pair": pair,
            "undersample": undersample,
        }
        self._reader = ReadAhead(self.at, ahead) if ahead else None
        self._step = step

    @property
    def images_per_epoch(self) -> int:
        """Pictures that the stream shows once before it shows any twice."""
        return self._draw.size

    @property
    def first_epoch(self) -> np.ndarray:
        """The rows of the first epoch, ascending, int32 (images_per_epoch,)."""
        return self._draw.first_epoch

    def at(self, step: int) -> dict[str, np.ndarray]:
        """Return the batch of one step, without moving on."""
        rows = self._draw.rows(step)
        labels = self._source.labels[rows]
        if self._pair is not None:
            labels = (labels == self._categories.pairs[self._pair][1]).astype(np.int32)
        return {"image": self._source.images(rows), "label": labels, "row": rows.astype(np.int64)}

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        step, self._step = self._step, self._step + 1
        return self.at(step) if self._reader is None else self._reader.get(step)

    def state(self) -> dict[str, Any]:
        """Return the place as plain JSON: the next step, and what the stream is a function of."""
        return {"step": self._step} | self._identity

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`.

        Raises:
          StorageError: a state of another stream: what differs is named.
        """
        differ = [name for name, value in self._identity.items() if state.get(name) != value]
        if differ or not isinstance(state.get("step"), int) or state["step"] < 0:
            name = differ[0] if differ else "step"
            wanted = self._identity.get(name, "a whole number from 0")
            raise StorageError(f"`state`: {name}: wanted {wanted}, got {state.get(name)}; it is of another stream.")
        self._step = state["step"]
        if self._reader is not None:
            self._reader.drop()


def evaluation_batches(source: PreparedSplit, *, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield one pass in order. The last batch is filled up with its first picture at weight 0, never dropped.

    Args:
      source: see `Batches`.
      batch_size: pictures a batch.

    Raises:
      UsageError: `batch_size` below 1.
    """
    count = len(source.labels)
    if not 1 <= batch_size <= max(count, 1):
        raise UsageError(f"`batch_size`: wanted 1 to the {count} pictures there are, got {batch_size}.")
    for first in range(0, count, batch_size):
        rows = np.arange(first, first + batch_size)
        weight = (rows < count).astype(np.float32)
        rows = np.where(rows < count, rows, first)
        yield {"image": source.images(rows), "label": source.labels[rows], "row": rows, "weight": weight}


def grain_source(source: PreparedSplit):
    """Return a prepared split as a `grain.MapDataset` of {"image", "expression"}, for pipelines of your own.

    Grain's order is Grain's: shuffled there, pictures come in another order than from `Batches`.

    Args:
      source: a prepared split.

    Returns:
      A dataset of `len(source)` pictures, to be shuffled, mapped and batched.

    Raises:
      UsageError: Grain is not installed.
    """
    try:
        import grain
    except ImportError:
        raise UsageError("`grain_source`: wants Grain: pip install 'fer-jax[grain]'.") from None
    dataset: Any = grain.MapDataset
    return dataset.source(source)
