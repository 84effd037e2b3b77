"""The camera's last stage: colour table, blur, sensor noise, JPEG. Separable, and off for oracles.

Contract: uint8 (H, W, 3) RGB in and out.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from fer_jax.streams import stream

_REFERENCE_PX = 224
_NOISE = 1 << 20


@dataclass(frozen=True)
class Photometry:
    """The last stage: a table per channel, blur, noise and JPEG.

    Attributes:
      temperature: -1..1, cold to warm.
      gamma: exponent.
      brightness: factor.
      blur: standard deviation in pixels at 224.
      noise: standard deviation in grey levels.
      jpeg: quality, 1..100.
      noise_offset: where in the noise table this picture's noise starts.
    """

    temperature: float = 0.0
    gamma: float = 1.0
    brightness: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: int = 95
    noise_offset: int = 0


@functools.cache
def _noise_table() -> np.ndarray:
    """Return fixed standard normal noise, which each picture reads from its offset and wraps at the end."""
    rng = stream(20211011)
    table = rng.standard_normal(_NOISE, np.float32)
    table.flags.writeable = False
    return table


def develop(image: np.ndarray, photometry: Photometry) -> np.ndarray:
    """Apply temperature, gamma and brightness, then blur, noise and JPEG.

    Args:
      image: uint8 (H, W, 3).
      photometry: the amounts.

    Returns:
      uint8 (H, W, 3).
    """
    level = np.arange(256, dtype=np.float64) / 255
    tint = np.array([1 + 0.12 * photometry.temperature, 1.0, 1 - 0.12 * photometry.temperature])
    table = 255 * photometry.brightness * (level**photometry.gamma)[:, None] * tint
    image = cv2.LUT(image, np.clip(np.rint(table), 0, 255).astype(np.uint8).reshape(1, 256, 3))
    sigma = photometry.blur * image.shape[0] / _REFERENCE_PX
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    if photometry.noise > 0:
        image = _noisy(image, photometry)
    blue_first = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, coded = cv2.imencode(".jpg", blue_first, (cv2.IMWRITE_JPEG_QUALITY, photometry.jpeg))
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def _noisy(image: np.ndarray, photometry: Photometry) -> np.ndarray:
    table, count = _noise_table(), image.size
    start = photometry.noise_offset % _NOISE
    if start + count <= _NOISE:
        grain = table[start : start + count]
    else:
        grain = table[np.arange(start, start + count) % _NOISE]
    noisy = image + np.float32(photometry.noise) * grain.reshape(image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
