"""What beside the configuration decides the last bits of a result: devices, versions and settings of JAX."""

import os
import sys
from typing import Any

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
    """As they are now, JSON-ready."""
    import jax
    import jaxlib.version

    return {
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "platform": jax.default_backend(),
        "device": jax.local_devices()[0].device_kind,
        "devices": jax.local_device_count(),
        **{name: getattr(jax.config, name) for name in _SETTINGS},
        **{name: os.environ.get(name, "").strip() for name in _VARIABLES},
    }


def tell_changes(where: str, saved: dict[str, Any] | None) -> None:
    """Say once on stderr what has changed since something was computed; nothing of what does not say.

    Args:
      where: what was computed, for the message.
      saved: its `numerics`, None where an older version kept none.
    """
    if not isinstance(saved, dict):
        return
    changes = [
        f"{name} was {saved.get(name)!r}, is {now!r}" for name, now in numerics().items() if saved.get(name) != now
    ]
    text = "; ".join(changes)
    if changes and text not in _told:
        _told.add(text)
        sys.stderr.write(f"{where}: made under other settings ({text}): results may differ in their last digits.\n")
