"""From what travels to the device (bytes) to what a network sees (normalised floats).

Contract: a view takes a typed key and a batch, a dict of arrays with a leading B, and returns float32 (B, H, W, 3),
normalised. Each picture's randomness is `fold_in`-ed from the key by its position in the member's batch:
`batch["position"]` int32 (B,) where the batch is a share of it, otherwise 0..B-1.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fer_jax import images, masks
from fer_jax.augment import Augmentation, augment


def plain_view(key: jax.Array, batch: dict) -> jax.Array:
    """Return pictures as they are: `batch["image"]` uint8 (B, H, W, 3)."""
    del key
    return images.normalise(images.to_float(batch["image"]))


def augmented_view(ranges: Augmentation) -> Callable:
    """Return a view that augments `batch["image"]` uint8 (B, H, W, 3), each picture by a key of its own."""

    def view(key, batch):
        return _augmented(key, images.to_float(batch["image"]), batch, ranges)

    return view


def revealed_view(ranges: Augmentation, *, radius: int, blur: int) -> Callable:
    """Return a view of pictures as participants saw them when they decided (paper §5.1).

    Args:
      ranges: augmentation of the unmasked pictures. Masked ones only move their mask, as the paper says.
      radius: of the reveal discs, pixels.
      blur: side of the box blur, pixels.

    Returns:
      A view of batches with image uint8 (B, H, W, 3), points float32 (B, N, 2) padded with NaN, shift int32 (B, 2)
      rows and columns by which the mask moves, and masked bool (B,). Where masked is False the whole picture shows.
    """

    def one(image, points, shift, masked):
        opened = masks.reveal(points, image.shape[:2], radius=radius)
        moved = masks.shift(opened, shift[0], shift[1])
        seen = masks.composite(image, masks.blurred(image, size=blur), moved | ~masked)
        return images.to_float(seen)

    def view(key, batch):
        seen = jax.vmap(one)(batch["image"], batch["points"], batch["shift"], batch["masked"])
        whole = _augmented(key, seen, batch, ranges)
        return jnp.where(batch["masked"][:, None, None, None], images.normalise(seen), whole)

    return view


def _augmented(key, pictures, batch, ranges):
    positions = batch.get("position", jnp.arange(pictures.shape[0]))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, positions)
    return images.normalise(jax.vmap(lambda k, image: augment(k, image, ranges))(keys, pictures))
