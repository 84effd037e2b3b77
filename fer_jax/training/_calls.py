"""Several steps in one call of a program, on pictures that lie on the device already.

Contract: a batch of a call has leaves (B, K, ...), a column for each step, and `row` int32 (B, K), the rows of the
pictures. A call may take fewer steps than it has columns.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fer_jax.errors import UsageError


def stepping(step: Callable) -> Callable:
    """Return a function (state, batch, key, steps, active, pictures) -> state that takes the first steps of a batch.

    The loop always has K turns, and those after the last step change nothing: of a number that it learns on the way a
    GPU's host would have to ask the device at each turn.

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
            return step(state, own, key, active & (column < steps))

        return lax.fori_loop(0, batch["row"].shape[1], one, state)

    return call


def joined(batches: Sequence[Mapping[str, np.ndarray]], columns: int) -> dict[str, np.ndarray]:
    """Return the batch of a call from those of its steps, at most `columns`. Columns after the last step have row -1.

    Raises:
      UsageError: a batch without `row`.
    """
    if "row" not in batches[0]:
        raise UsageError(f"`batch_of`: wanted `row`, int32 (B,), with `pictures`, got {', '.join(batches[0])}.")
    missing = [dict(batches[-1]) | {"row": np.full_like(batches[-1]["row"], -1)}] * (columns - len(batches))
    return jax.tree.map(lambda *leaves: np.stack(leaves, 1), *map(dict, [*batches, *missing]))


def steps_in(batch: Mapping[str, np.ndarray]) -> np.int32:
    """Count the steps of a call's batch."""
    return np.int32((batch["row"][0] >= 0).sum())
