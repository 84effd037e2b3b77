"""Many faces at once, over processes.

Contract: pictures are uint8 (N, H, W, 3) RGB, labels int32 (N,). Bytes do not depend on the number of workers.
"""

import functools
from collections.abc import Sequence

import numpy as np

from fer_jax.categories import Categories
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces.presets import Preset, get
from fer_jax.faces.render import render
from fer_jax.faces.scene import draw, expression_indices
from fer_jax.parallel import map_ordered


def render_batch(
    seed: int,
    split: str,
    indices: Sequence[int],
    *,
    preset: str | Preset = "study",
    size: int = 96,
    workers: int | None = None,
    categories: Categories = EXPRESSIONS,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures and labels of some indices of a split.

    Args:
      seed: seed of the data set.
      split: "train", "validation" or "stimuli".
      indices: which pictures, in any order.
      preset: a name in `PRESETS`, or a `Preset`.
      size: side in pixels.
      workers: processes, see `parallel.map_ordered`. None or 1 draws in this one.
      categories: some of the eight expressions, in the order of the labels. They take turns.

    Returns:
      uint8 (N, size, size, 3) and int32 (N,).

    Raises:
      UsageError: an argument out of range.
    """
    job = functools.partial(_picture, seed, split, get(preset), size, categories)
    images = np.empty((len(indices), size, size, 3), np.uint8)
    labels = np.empty(len(indices), np.int32)
    for row, (image, label) in enumerate(map_ordered(job, list(map(int, indices)), workers=workers)):
        images[row], labels[row] = image, label
    return images, labels


def _picture(seed, split, preset, size, categories, index: int) -> tuple[np.ndarray, int]:
    face = render(draw(seed, split, index, preset=preset, size=size, categories=categories))
    return face.image, expression_indices(categories).index(face.label)
