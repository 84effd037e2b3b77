"""The methods as one would first write them in JAX: the benchmark's peers where torch is not installed, and oracles.

Extremal Perturbation here keeps a tensor of taps × pixels, sorts the mask, gathers pyramid levels, and leaves its
gradient to autodiff, operation by operation. Only the network is compiled. Settings are the published ones.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

AREA, STEP, SIGMA = 0.1, 7, 21.0
COLDNESS, AREA_WEIGHT, GROWTH, LEARNING_RATE, MOMENTUM = 20.0, 300.0, 1.0035, 0.01, 0.9


class Geometry(NamedTuple):
    """Sizes of a square mask's making, and the bump's height for every tap and pixel (taps, full, full)."""

    grid: int
    window: int
    padding: int
    cells: int
    full: int
    offset: int
    weights: np.ndarray


def geometry(size: int) -> Geometry:
    """Return the layout of a mask with its margin for pictures of `size` pixels."""
    grid, radius, padding = math.ceil(size / STEP), 1 + math.ceil(SIGMA / STEP), 1 + math.ceil(2 * SIGMA / STEP)
    window, cells = 2 * radius + 1, grid + 2 * padding - 2 * radius
    full = STEP * (cells - 1) + 1
    pixel, tap = np.arange(full), np.arange(window)
    apart = pixel[None, :] - (SIGMA + STEP * (pixel[None, :] // STEP + tap[:, None] - padding))
    distance = np.hypot(apart[:, None, :, None], apart[None, :, None, :]).reshape(window**2, full, full)
    weights = np.exp(-2 * np.maximum(0, distance / SIGMA - 0.5) ** 2).astype(np.float32)
    return Geometry(grid, window, padding, cells, full, round(SIGMA), weights)


def sorted_area_term(mask: jax.Array, area: float) -> jax.Array:
    """Compute the published area term: mean squared distance of the sorted mask from a step."""
    wanted = jnp.arange(mask.size) >= int(mask.size * (1 - area))
    return jnp.mean((jnp.sort(mask.reshape(-1)) - wanted.astype(mask.dtype)) ** 2)


def extremal(score, levels: jax.Array, layout: Geometry, *, iterations: int) -> jax.Array:
    """Run Extremal Perturbation of one picture.

    Args:
      score: compiled, from (1, H, W, C) to a scalar.
      levels: (L, H, W, C), the pyramid.
      layout: see `geometry`.
      iterations: steps.

    Returns:
      The mask (H, W) of the last step.
    """
    height, width = levels.shape[1:3]
    weights = jnp.asarray(layout.weights)

    def masks(parameters):
        padded = jnp.pad(parameters, layout.padding)
        shifts = [
            padded[y : y + layout.cells, x : x + layout.cells]
            for y in range(layout.window)
            for x in range(layout.window)
        ]
        taps = jnp.stack(shifts).repeat(STEP, 1).repeat(STEP, 2)[:, : layout.full, : layout.full]
        bumps = weights * taps
        full = (bumps * jax.nn.softmax(COLDNESS * bumps, 0)).sum(0)
        return full[layout.offset : layout.offset + height, layout.offset : layout.offset + width], full

    def loss(parameters, area_weight):
        mask, full = masks(parameters)
        position = mask * (len(levels) - 1)
        below = jnp.floor(position).astype(jnp.int32)
        rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
        low, high = levels[below, rows, columns], levels[jnp.minimum(below + 1, len(levels) - 1), rows, columns]
        share = (position - below)[..., None]
        view = (1 - share) * low + share * high
        return area_weight * sorted_area_term(full, AREA) - score(view[None]), mask

    parameters, velocity, mask = jnp.ones((layout.grid, layout.grid)), None, None
    gradient_of = jax.value_and_grad(loss, has_aux=True)
    for iteration in range(iterations):
        (_, mask), gradient = gradient_of(parameters, AREA_WEIGHT * GROWTH**iteration)
        velocity = gradient if velocity is None else MOMENTUM * velocity + (1 - MOMENTUM) * gradient
        parameters = jnp.clip(parameters - LEARNING_RATE * velocity, 0, 1)
    return mask


def full_graph_grad_cam(model, variables, images: jax.Array, targets: jax.Array) -> Any:
    """Compute Grad-CAM (B, h, w) by differentiating the whole network with its parameters, as hooks on a graph do."""
    last = model.layers[-1]
    features = model.apply(variables, images, stop_after=last)

    def score(params, features):
        # The parameters before the layer have a gradient too: through the features.
        reached = model.apply(variables | {"params": params}, images, stop_after=last)
        joined = features + reached - jax.lax.stop_gradient(reached)
        logits = model.apply(variables | {"params": params}, joined, start_after=last).logits
        return jnp.take_along_axis(logits, targets[:, None], 1).sum()

    of_params, of_features = jax.grad(score, (0, 1))(variables["params"], features)
    heat = jax.nn.relu((features * of_features.mean((1, 2), keepdims=True)).sum(-1))
    return heat, of_params
