"""Devices, versions and settings of JAX, which decide the last bits of a result beside the configuration."""

import os
import sys
from typing import Any

from fer_jax.cores import usable_cores

# Settings of JAX that change what a program computes.
_SETTINGS = (
    "jax_enable_x64",
    "jax_threefry_partitionable",
    "jax_default_prng_impl",
    "jax_default_matmul_precision",
)
# What XLA and the drivers read by themselves: forced devices, fast arithmetic, TF32.
_VARIABLES = ("XLA_FLAGS", "NVIDIA_TF32_OVERRIDE")

_told: set[str] = set()


def numerics() -> dict[str, Any]:
    """Return what decides the last digits now, JSON-ready."""
    import jax
    import jaxlib.version

    return {
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "platform": jax.default_backend(),
        "device": jax.local_devices()[0].device_kind,
        "devices": jax.local_device_count(),
        "threads": _threads(jax.local_device_count()) if jax.default_backend() == "cpu" else None,
        **{name: getattr(jax.config, name) for name in _SETTINGS},
        **{name: os.environ.get(name, "").strip() for name in _VARIABLES},
    }


def choose_precision(precision: str | None) -> None:
    """Name how float32 is multiplied, so that `numerics` records it.

    Args:
      precision: such as "float32". None leaves JAX's default, and on a GPU names it: tensorfloat32.
    """
    import jax

    if precision is None and jax.default_backend() == "gpu" and jax.config.jax_default_matmul_precision is None:
        precision = "tensorfloat32"
    if precision is not None:
        jax.config.update("jax_default_matmul_precision", precision)


def _threads(devices):
    """Count the threads among which XLA divides a sum on a CPU. With another number its terms add up in another order.

    They are the cores that this process may use, or what the variable NPROC says, and never fewer than devices.
    """
    said = os.environ.get("NPROC", "")
    return max(int(said) if said.isdecimal() and int(said) else usable_cores(), devices)


def tell_changes(where: str, saved: dict[str, Any] | None) -> None:
    """Say once on stderr what has changed since something was computed, as far as its record says.

    Args:
      where: what was computed, for the message.
      saved: its `numerics`, None where an older version kept none.
    """
    if not isinstance(saved, dict):
        return
    changes = [
        f"{name} was {saved[name]!r}, is {now!r}"
        for name, now in numerics().items()
        if name in saved and saved[name] != now
    ]
    text = "; ".join(changes)
    if changes and text not in _told:
        _told.add(text)
        sys.stderr.write(f"{where}: made under other settings ({text}): results may differ in their last digits.\n")
