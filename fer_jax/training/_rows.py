"""Batches of rows: pictures lie on the device already, and one call of a program takes several steps.

Contract: a batch of a call has leaves (B, K, ...), a column for each step, and `row` int32 (B, K), the rows of the
pictures, -1 in the columns after the last step.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def by_rows(step: Callable) -> Callable:
    """Return a function (state, batch, key, steps, active, pictures) -> state that takes so many of a batch's steps.

    Args:
      step: one member's step, see `make_step`.

    Returns:
      The function. Pictures are a dict of arrays with a leading N, of which each step sees its rows under their names.
    """

    def call(state, batch, key, steps, active, pictures):
        def one(column, state):
            own = {name: lax.dynamic_index_in_dim(leaf, column, 1, keepdims=False) for name, leaf in batch.items()}
            row = own.pop("row")
            own |= {name: jnp.take(leaf, row, axis=0, mode="clip") for name, leaf in pictures.items()}
            return step(state, own, key, active)

        return lax.fori_loop(0, steps, one, state)

    return call


def joined(batches: Sequence[Mapping[str, np.ndarray]], columns: int) -> dict[str, np.ndarray]:
    """Return the batch of a call from those of its steps, at most `columns`."""
    missing = [dict(batches[-1]) | {"row": np.full_like(batches[-1]["row"], -1)}] * (columns - len(batches))
    return jax.tree.map(lambda *leaves: np.stack(leaves, 1), *map(dict, [*batches, *missing]))


def steps_in(batch: Mapping[str, np.ndarray]) -> np.int32:
    """Count the steps of a call's batch."""
    return np.int32((batch["row"][0] >= 0).sum())
