"""Options of XLA's for programs in which a network runs.

Contract: they choose between kernels that compute the same, so numbers change by rounding alone.
"""

import functools
import os

import jax

_LIBRARY = "xla_cpu_experimental_ynn_fusion_type"
# XLA's own choice (jax 0.10 to 0.12), less "INDIVIDUAL_CONVOLUTION". YNNPACK's convolutions took 1.1 to 1.9× the time
# of Eigen's on two cores, kernel gradients up to 4.4×: a fifth of a ResNet-50's training step.
_LIBRARY_COMPUTES = ",".join(f"LIBRARY_FUSION_TYPE_{kind}" for kind in ("DOT", "REDUCE", "INDIVIDUAL_DOT"))


def options() -> dict[str, str]:
    """Return `compiler_options` of `jax.jit` for a program in which a network runs: its convolutions are Eigen's.

    They belong to the outermost `jax.jit` alone.

    Returns:
      No options, unless the default backend is a CPU whose compiler knows this one, or where `XLA_FLAGS` sets it.

    Example:
      >>> predict = jax.jit(lambda image: image.mean(), compiler_options=options())
      >>> float(predict(jax.numpy.ones((4, 4))))
      1.0
    """
    if jax.default_backend() != "cpu" or _LIBRARY in os.environ.get("XLA_FLAGS", ""):
        return {}
    return {_LIBRARY: _LIBRARY_COMPUTES} if _is_known() else {}


@functools.cache
def _is_known():
    """Tell if this compiler knows the option, which is an experimental one: an unknown one is an error."""
    try:
        jax.jit(lambda: 0, compiler_options={_LIBRARY: _LIBRARY_COMPUTES}).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
