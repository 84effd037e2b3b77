"""One optimiser step of one member, pure.

Contract: a `MemberState` holds everything that changes in training. A batch is a dict of arrays with a leading B and
`labels` int32 (B,). Nothing here knows how many members there are.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax

from fer_jax.errors import UsageError, check_count
from fer_jax.training._objectives import ForwardPass


@flax.struct.dataclass
class MemberState:
    """What training changes in one member.

    Attributes:
      params: the network's parameters.
      batch_stats: its running statistics.
      opt_state: the optimiser's state.
      step: int32, optimiser steps taken.
      correct: int32, training images classified rightly by the forward pass that the gradient was taken from.
      seen: int32, training images seen.
      loss: float32, sum of the batch losses.
      bad: bool, sticky: a loss, an update or a statistic was not finite, and the state before it was kept.
    """

    params: Any
    batch_stats: Any
    opt_state: Any
    step: jax.Array
    correct: jax.Array
    seen: jax.Array
    loss: jax.Array
    bad: jax.Array


def init_state(variables, optimiser: optax.GradientTransformation) -> MemberState:
    """Return the state before the first step, from the variables of one network."""
    # Arrays of their own for every counter: donated buffers may not be shared.
    return MemberState(
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimiser.init(variables["params"]),
        step=jnp.zeros((), jnp.int32),
        correct=jnp.zeros((), jnp.int32),
        seen=jnp.zeros((), jnp.int32),
        loss=jnp.zeros((), jnp.float32),
        bad=jnp.zeros((), bool),
    )


def variables_of(state: MemberState) -> dict:
    """Return the network's variables, as its `apply` wants them."""
    return {"params": state.params, "batch_stats": state.batch_stats}


def make_step(
    model,
    optimiser: optax.GradientTransformation,
    objective: Callable,
    view: Callable,
    *,
    train_statistics: bool = True,
    accumulate: int = 1,
) -> Callable:
    """Return the step function of one member.

    Where the model has an `axis_name` (`placement.DATA`), the batch is one device's share of the member's: loss,
    gradients, batch statistics and counters are those of the whole batch.

    Args:
      model: a Linen module with `apply(variables, images, train=...)` returning `logits` and perhaps `features`.
      optimiser: an optax transformation.
      objective: (`ForwardPass`, batch) -> scalar, such as `cross_entropy()`.
      view: (key, batch) -> normalised float images.
      train_statistics: normalise by the batch and update running statistics. False freezes BatchNorm (fine-tuning
        on few images, ours).
      accumulate: parts of a batch that pass through the network one after another, so that memory holds the
        activations of one. Loss and gradient are the means over the parts. BatchNorm normalises each part by itself
        and updates its running statistics once a part.

    Returns:
      A function (state, batch, key, active) -> state. The key belongs to the member. The step folds its own number
      in. A step that is not active changes nothing. Nor does one whose loss, updates, batch statistics or optimiser
      state are not finite. Such a step marks the state as bad.
    """

    check_count("accumulate", accumulate, 1, what="a number of parts")
    axis = getattr(model, "axis_name", None)

    def over_batch(reduce, value):
        return value if axis is None else reduce(value, axis)

    def once(params, statistics, batch, key):
        """Return loss, images classified rightly, running statistics and gradient of a batch or a part of one."""
        images = view(key, batch)

        def loss_of(params):
            variables = {"params": params, "batch_stats": statistics}
            if train_statistics:
                output, changed = model.apply(variables, images, train=True, mutable=["batch_stats"])
                new = changed["batch_stats"]
            else:
                output, new = model.apply(variables, images), statistics
            # Averaged before it is differentiated: see `placement.over_grid`.
            seen = ForwardPass(output.logits, getattr(output, "features", None), images)
            loss = over_batch(lax.pmean, objective(seen, batch))
            return loss, (output.logits, new)

        (loss, (logits, new)), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        return loss, (logits.argmax(-1) == batch["labels"]).sum(dtype=jnp.int32), new, gradients

    def passed(state, batch, key):
        if accumulate == 1:
            return once(state.params, state.batch_stats, batch, key)
        size = batch["labels"].shape[0]
        if size % accumulate:
            raise UsageError(f"`accumulate`: wanted a divisor of the {size} images of a batch, got {accumulate}.")
        whole = {"position": jnp.arange(size)} | batch  # each picture's own random view, whatever part it is in
        parts = jax.tree.map(lambda leaf: jnp.reshape(leaf, (accumulate, -1, *leaf.shape[1:])), whole)

        def add(sums, part):
            loss, correct, statistics, gradients = sums
            more = once(state.params, statistics, part, key)
            return (loss + more[0], correct + more[1], more[2], jax.tree.map(jnp.add, gradients, more[3])), None

        nothing = jnp.float32(0), jnp.int32(0), state.batch_stats, jax.tree.map(jnp.zeros_like, state.params)
        (loss, correct, statistics, gradients), _ = lax.scan(add, nothing, parts)
        return loss / accumulate, correct, statistics, jax.tree.map(lambda leaf: leaf / accumulate, gradients)

    def step(state: MemberState, batch: dict, key: jax.Array, active: jax.Array) -> MemberState:
        if "labels" not in batch:
            raise UsageError(f"`batch`: wanted `labels`, int32 (B,), beside the pictures, got {', '.join(batch)}.")
        key = jax.random.fold_in(key, state.step)
        loss, correct, statistics, gradients = passed(state, batch, key)
        updates, opt_state = optimiser.update(gradients, state.opt_state, state.params)
        # A variance or a second moment that overflows leaves this step's loss and updates finite: it is a failure too.
        finite = _finite((loss, updates, statistics, opt_state))
        new = dataclasses.replace(
            state,
            params=optax.apply_updates(state.params, updates),
            batch_stats=statistics,
            opt_state=opt_state,
            step=state.step + 1,
            correct=state.correct + over_batch(lax.psum, correct),
            seen=state.seen + over_batch(lax.psum, jnp.int32(batch["labels"].shape[0])),
            loss=state.loss + loss,
        )
        keep = active & finite & ~state.bad
        kept = jax.tree.map(lambda fresh, old: jnp.where(keep, fresh, old), new, state)
        return dataclasses.replace(kept, bad=state.bad | (active & ~finite))

    return step


def _finite(tree):
    """Tell if every float of a tree is finite.

    Leaves of one shape are tested in one pass. A product joins the passes, as XLA fuses a product into nothing: a
    conjunction would be computed anew for each leaf that is chosen by it, and compiling would take ten times as long.
    """
    of_shape: dict[tuple[int, ...], list[jax.Array]] = {}
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            of_shape.setdefault(leaf.shape, []).append(jnp.isfinite(leaf))
    passed = [functools.reduce(jnp.logical_and, each).all() for each in of_shape.values()]
    flags = jnp.stack(passed).astype(jnp.float32)
    return jnp.vdot(flags, flags) == len(passed)
