"""Many faces at once, over processes.

Contract: pictures are uint8 (N, H, W, 3) RGB, labels int32 (N,); bytes do not depend on the number of workers.
"""

import concurrent.futures
import functools
import multiprocessing
from collections.abc import Sequence

import cv2
import numpy as np

from fer_jax.errors import UsageError
from fer_jax.faces.presets import Preset, get
from fer_jax.faces.render import render
from fer_jax.faces.scene import draw

_CHUNK = 64


def render_batch(
    seed: int,
    split: str,
    indices: Sequence[int],
    *,
    preset: str | Preset = "study",
    size: int = 96,
    workers: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and labels of some indices of a split.

    Args:
      seed: seed of the data set.
      split: "train", "validation" or "stimuli".
      indices: which pictures, in any order.
      preset: a name in `PRESETS`, or a `Preset`.
      size: side in pixels.
      workers: processes; None or 1 draws in this one. More are started by a fork server, never by forking this
        process, whose threads (JAX's among them) would not survive; a script that asks for workers needs the usual
        `if __name__ == "__main__"` guard.

    Returns:
      uint8 (N, size, size, 3) and int32 (N,).

    Raises:
      UsageError: an argument out of range.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"`workers`: wanted at least 1, or None, got {workers}.")
    preset = get(preset)
    chunks = [list(map(int, indices[start : start + _CHUNK])) for start in range(0, len(indices), _CHUNK)]
    job = functools.partial(_render_chunk, seed, split, preset, size)
    if workers is None or workers == 1 or len(chunks) < 2:
        parts = [job(chunk) for chunk in chunks]
    else:
        context = multiprocessing.get_context("forkserver")
        with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
            parts = list(pool.map(job, chunks))
    if not parts:
        return np.zeros((0, size, size, 3), np.uint8), np.zeros(0, np.int32)
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _render_chunk(seed, split, preset, size, indices) -> tuple[np.ndarray, np.ndarray]:
    images = np.empty((len(indices), size, size, 3), np.uint8)
    labels = np.empty(len(indices), np.int32)
    for row, index in enumerate(indices):
        face = render(draw(seed, split, index, preset=preset, size=size))
        images[row], labels[row] = face.image, face.label
    return images, labels
