"""Random augmentation of one picture, on the device. The caller vmaps over keys and images.

Contract: float32 (H, W, C) in [0, 1] in and out. The paper names the kinds (§5.1: flip, shift, scale, rotation,
brightness, contrast) and no ranges. Every default range is ours.
"""

import dataclasses

import jax
import jax.numpy as jnp

from fer_jax import images
from fer_jax.arrays import as_float_image
from fer_jax.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes. Zeros everywhere change nothing.

    Attributes:
      flip: probability of a left-right mirror.
      shift: largest move in each direction, as a share of the side.
      scale: largest relative change of size.
      rotation: largest turn, degrees.
      brightness: largest amount added.
      contrast: largest relative change of contrast about the picture's mean.
    """

    flip: float = 0.5
    shift: float = 0.05
    scale: float = 0.08
    rotation: float = 8.0
    brightness: float = 0.1
    contrast: float = 0.2

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            high = {"rotation": 180.0}.get(field.name, 1.0)
            if not 0 <= value <= high:
                raise UsageError(f"`{field.name}`: wanted a number in [0, {high:g}], got {value}.")


def augment(key: jax.Array, image: jax.Array, ranges: Augmentation) -> jax.Array:
    """Return one random view of one picture.

    Args:
      key: typed random key. The same key gives the same view.
      image: float (H, W, C) in [0, 1].
      ranges: how far each change may go.

    Returns:
      float (H, W, C) in [0, 1].

    Raises:
      UsageError: bytes or a batch.
    """
    image = as_float_image("image", image)
    names = ("flip", "shift", "scale", "rotation", "brightness", "contrast")
    keys = dict(zip(names, jax.random.split(key, len(names)), strict=True))
    dtype = image.dtype

    def spread(name, shape=()):
        return jax.random.uniform(keys[name], shape, dtype, -1, 1) * jnp.asarray(getattr(ranges, name), dtype)

    mirror = jnp.where(jax.random.bernoulli(keys["flip"], jnp.asarray(ranges.flip, dtype)), -1, 1).astype(dtype)
    angle, zoom = jnp.deg2rad(spread("rotation")), 1 / (1 + spread("scale"))
    size = jnp.asarray([image.shape[1], image.shape[0]], dtype)
    move = spread("shift", (2,)) * size
    cosine, sine = jnp.cos(angle) * zoom, jnp.sin(angle) * zoom
    turn = jnp.stack([jnp.stack([cosine * mirror, -sine]), jnp.stack([sine * mirror, cosine])])
    view = images.affine_warp(image, jnp.concatenate([turn, move[:, None]], 1))
    view = (view - view.mean()) * (1 + spread("contrast")) + view.mean() + spread("brightness")
    return jnp.clip(view, 0, 1)
