"""The way of training pictures to the device: all of them once, as bytes, or each batch by itself."""

import sys
from typing import Any

import jax
import numpy as np

from experiments.config import StudyConfig
from experiments.study.run import Pictures
from experiments.study.slots import GIB, free_memory, layout_of
from fer_jax import placement
from fer_jax.errors import UsageError

# All pictures may take this share of what an accelerator has free. The rest is the networks'.
_SHARE = 0.5
# Steps of one program on an accelerator: reasoned, as none was measured. On a CPU nothing is gained.
_STEPS_PER_CALL = 8
_PART = 1024  # pictures that the host holds at a time on their way
# Batches read ahead of pictures on disk.
AHEAD = 2


class Feed:
    """One split's pictures on their way.

    Args:
      config: resolved.
      pictures: of the split.

    Raises:
      UsageError: pictures that do not fit on a device where they were asked to lie.

    Attributes:
      on_device: all pictures there, as `training.Trainer` wants them, or None.
    """

    def __init__(self, config: StudyConfig, pictures: Pictures):
        self._config, self._pictures = config, pictures
        self.on_device: dict[str, jax.Array] | None = None
        size = bytes_of(config, len(pictures))
        if chosen_place(config, size) == "host":
            if (config.steps_per_call or 1) > 1:
                raise UsageError(
                    f"`--steps_per_call`: wanted 1 with pictures on the host, got {config.steps_per_call}; give "
                    "--pictures_on=device as well."
                )
            return
        if size > free_memory():
            raise UsageError(
                f"`--pictures_on`: {len(pictures):,} pictures take {size / GIB:.1f} GiB on each device, "
                f"{free_memory() / GIB:.1f} GiB are free; leave it out."
            )
        parts = (
            pictures.images[np.arange(at, min(at + _PART, len(pictures)))] for at in range(0, len(pictures), _PART)
        )
        where = {name: value for name, value in layout_of(config).items() if name != "over_members"}
        how = where.pop("over_devices")
        self.on_device = {"image": placement.put_whole(parts, len(pictures), how, **where)}
        sys.stderr.write(f"{len(pictures):,} pictures on the device, {size / GIB:.2f} GiB\n")

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `training.Trainer` that say where pictures are and how many steps a program takes."""
        if self.on_device is None:
            return {}
        default = 1 if jax.default_backend() == "cpu" else _STEPS_PER_CALL
        return {"pictures": self.on_device, "steps_per_call": self._config.steps_per_call or default}

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return what a batch holds of pictures: themselves, or their rows where they lie on the device."""
        return self._pictures.images[rows] if self.on_device is None else rows.astype(np.int32)

    def batch(self, read: np.ndarray, **more: np.ndarray) -> dict[str, np.ndarray]:
        """Return a batch of `training.Trainer` from what was read, and labels and more."""
        return {"image" if self.on_device is None else "row": read, **more}

    def with_pixels(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a batch as a step sees it."""
        if self.on_device is None:
            return batch
        return {"image": self._pictures.images[batch["row"]]} | {name: batch[name] for name in batch if name != "row"}


def bytes_of(config: StudyConfig, pictures: int) -> int:
    """Return what so many pictures take on a device."""
    return pictures * config.image_size**2 * 3


def chosen_place(config: StudyConfig, size: int) -> str:
    """Return where pictures of so many bytes lie: "device", or "host"."""
    if config.pictures_on is not None:
        return config.pictures_on
    if jax.default_backend() == "cpu" or config.over_devices == "pmap" or size > _SHARE * free_memory():
        return "host"
    return "device"
