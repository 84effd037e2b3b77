"""Maps against maps as pictures: whether their local structure is alike."""

import jax
import jax.numpy as jnp
import numpy as np

from fer_jax.arrays import as_map_pair, unit_scale
from fer_jax.errors import UsageError

# Wang et al. 2004 (Image quality assessment: from error visibility to structural similarity), §III-C.
SSIM_WINDOW = 11  # pixels a side
_SIGMA = 1.5  # of the Gaussian weights, pixels
_K1, _K2 = 0.01, 0.03


def ssim(heat: jax.Array, human: jax.Array, *, data_range=None) -> jax.Array:
    """Return the structural similarity of two maps (Wang et al. 2004), the mean over all windows inside.

    Args:
      heat: float (H, W), at least 11 x 11.
      human: float (H, W).
      data_range: how far apart two values can be: 1 for maps in [0, 1], 255 for bytes. None (ours): the span from
        the least to the largest value of both maps. It sets what counts as flat.

    Returns:
      A scalar, at most 1 (equal maps). NaN if `data_range` is None and both maps are the same constant, or if a map is
      not finite.

    Raises:
      UsageError: maps of unlike shape or smaller than the window, or a range that is not positive.

    Example:
      >>> heat = jnp.arange(121.0).reshape(11, 11)
      >>> round(float(ssim(heat, heat)), 3)
      1.0
    """
    heat, human = as_map_pair(heat=heat, human=human)
    if min(heat.shape) < SSIM_WINDOW:
        raise UsageError(
            f"`heat`: wanted (H, W), at least {SSIM_WINDOW} x {SSIM_WINDOW}, got {heat.shape}; upsample both maps."
        )
    if data_range is not None and not isinstance(data_range, jax.core.Tracer) and not data_range > 0:
        raise UsageError(f"`data_range`: wanted a positive span, got {data_range!r}.")
    heat, human, *span = unit_scale(heat, human, *([] if data_range is None else [jnp.asarray(data_range, heat.dtype)]))
    data_range = span[0] if span else jnp.maximum(heat.max(), human.max()) - jnp.minimum(heat.min(), human.min())
    flat_mean, flat_spread = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    # Variances do not ask for the level, and keep their digits without it.
    level = (heat.mean(), human.mean())
    first, second = heat - level[0], human - level[1]
    mean = (_windowed(first), _windowed(second))
    variances = _windowed(first**2) - mean[0] ** 2 + _windowed(second**2) - mean[1] ** 2
    covariance = _windowed(first * second) - mean[0] * mean[1]
    one, other = mean[0] + level[0], mean[1] + level[1]
    luminance = (2 * one * other + flat_mean) / (one**2 + other**2 + flat_mean)
    return (luminance * (2 * covariance + flat_spread) / (variances + flat_spread)).mean()


def _windowed(heat):
    """Return the Gaussian mean of each window, (H - 10, W - 10)."""
    taps = np.exp(-0.5 * ((np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2) / _SIGMA) ** 2)
    taps = (taps / taps.sum()).tolist()
    height, width = heat.shape[0] - SSIM_WINDOW + 1, heat.shape[1] - SSIM_WINDOW + 1
    heat = jnp.stack([tap * heat[at : at + height] for at, tap in enumerate(taps)]).sum(0)
    return jnp.stack([tap * heat[:, at : at + width] for at, tap in enumerate(taps)]).sum(0)
