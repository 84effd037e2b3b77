"""The way of training pictures to the device: all of them once, as bytes, or each batch by itself."""

import sys
from typing import Any

import jax
import numpy as np

from experiments.config import StudyConfig
from experiments.harness.hosts import ALONE, Hosts
from experiments.study.run import Pictures
from experiments.study.slots import GIB, layout_of, memory_of
from fer_jax import placement
from fer_jax.errors import UsageError

# All pictures may take this share of what training may take of an accelerator. The rest is the networks'.
_SHARE = 0.5
# Steps of all members in one program on an accelerator: reasoned, as none was measured. On a CPU nothing is gained.
_STEPS_PER_CALL = 8
_PART = 1024  # pictures that the host holds at a time on their way
_AHEAD = 2  # batches read before they are asked for, of pictures on disk


class Feed:
    """One split's pictures on their way.

    Args:
      config: resolved.
      pictures: of the split.
      hosts: the processes that train together. All choose the same place.

    Raises:
      UsageError: pictures that do not fit on a device where they were asked to lie, or several steps of a program
        without them there.

    Attributes:
      on_device: all pictures there, as `training.Trainer` wants them, or None.
      room: bytes that training may take beside them.
    """

    def __init__(self, config: StudyConfig, pictures: Pictures, hosts: Hosts = ALONE):
        self._config, self._pictures = config, pictures
        self.on_device: dict[str, jax.Array] | None = None
        size, room = bytes_of(config, len(pictures)), memory_of(config)
        if "host" in hosts.exchange(place_of(config, size)):
            self.room = room
            return
        rows = np.arange(len(pictures))
        parts = (pictures.images[rows[at : at + _PART]] for at in range(0, len(pictures), _PART))
        where = {name: value for name, value in layout_of(config).items() if name != "over_members"}
        how = where.pop("over_devices")
        self.on_device = {"image": placement.put_whole(parts, len(pictures), how, **where)}
        self.room = room - size
        if hosts.leads:
            sys.stderr.write(f"{len(pictures):,} pictures on the device, {size / GIB:.2f} GiB\n")

    def arguments(self, width: int) -> dict[str, Any]:
        """Return the arguments of `training.Trainer` that say how pictures come.

        Args:
          width: members side by side.
        """
        if self.on_device is None:
            return {} if isinstance(self._pictures.images, np.ndarray) else {"ahead": _AHEAD}
        default = 1 if jax.default_backend() == "cpu" else max(1, _STEPS_PER_CALL // width)
        return {"pictures": self.on_device, "steps_per_call": self._config.steps_per_call or default}

    def read(self, rows: np.ndarray) -> np.ndarray | None:
        """Read pictures that are to travel with their batch."""
        return self._pictures.images[rows] if self.on_device is None else None

    def batch(self, read: dict[str, np.ndarray], votes: np.ndarray | None) -> dict[str, np.ndarray]:
        """Return a batch for `training.Trainer` from one of `data.Batches`, and all pictures' votes."""
        shown = {"image": read["image"]} if self.on_device is None else {"row": read["row"].astype(np.int32)}
        more = {} if votes is None else {"votes": votes[read["row"]]}
        return {**shown, "labels": read["label"].astype(np.int32), **more}

    def with_pixels(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a batch as a step sees it."""
        if self.on_device is None:
            return batch
        return {"image": self._pictures.images[batch["row"]]} | {name: batch[name] for name in batch if name != "row"}


def bytes_of(config: StudyConfig, pictures: int) -> int:
    """Return what so many pictures take of one memory: that of a device, or of all devices of a CPU."""
    used = placement.num_devices(config.over_devices, config.devices or None)
    copies = -(-used // jax.process_count()) if jax.default_backend() == "cpu" else 1
    return copies * pictures * config.image_size**2 * 3


def place_of(config: StudyConfig, size: int) -> str:
    """Return where pictures of so many bytes lie: "device", or "host".

    Raises:
      UsageError: they do not fit where they were asked to lie, or several steps of a program without them there.
    """
    place, room = config.pictures_on, memory_of(config)
    if place is None:
        unfit = jax.default_backend() == "cpu" or config.over_devices == "pmap" or size > _SHARE * room
        place = "host" if unfit else "device"
    if place == "host" and (config.steps_per_call or 1) > 1:
        raise UsageError(
            f"`--steps_per_call`: wanted 1 with pictures on the host, got {config.steps_per_call}; leave it "
            "out, or give --pictures_on=device."
        )
    if place == "device" and size > room:
        raise UsageError(
            f"`--pictures_on`: the pictures take {size / GIB:.1f} GiB on the device, {room / GIB:.1f} GiB are free; "
            "leave it out."
        )
    return place
