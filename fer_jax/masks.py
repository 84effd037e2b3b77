"""Reveal masks of the click study: discs, their unions, the eight one-pixel shifts, compositing, threshold.

Contract: a mask is (H, W), boolean where it says what is open. Points are (x, y) in image pixels, origin at the top
left corner, so the pixel clicked is (floor x, floor y).
"""

import jax
import jax.numpy as jnp

from fer_jax import images
from fer_jax.arrays import as_float
from fer_jax.errors import UsageError, check_count

# §4.2 blurs with k = 70. On the 224 px stimuli that we use (the paper gives no size) this is .3125 of the side.
PAPER_BLUR = 70
PAPER_IMAGE_PX = 224
# The paper gives no radius: about one eye of a tight crop (ours).
REVEAL_RADIUS_AT_224 = 20

# §5.1: click masks are also shifted by one pixel in eight directions: (rows, columns).
SHIFTS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))


def blur_size(image_px: int) -> int:
    """Return the blur window for a stimulus of `image_px` pixels: 70 at 224, in proportion elsewhere."""
    return max(1, round(PAPER_BLUR * check_count("image_px", image_px, 1) / PAPER_IMAGE_PX))


def reveal_radius(image_px: int) -> int:
    """Return the disc radius for a stimulus of `image_px` pixels: 20 at 224, in proportion elsewhere."""
    return max(1, round(REVEAL_RADIUS_AT_224 * check_count("image_px", image_px, 1) / PAPER_IMAGE_PX))


def reveal(points: jax.Array, size: tuple[int, int], *, radius: int) -> jax.Array:
    """Return the union of the discs that clicks open: pixels with dx² + dy² <= radius² of a clicked pixel.

    Equal to filled `cv2.circle`s. A point with a NaN coordinate opens nothing, so click lists of unequal length can
    be padded with NaN and batched.

    Args:
      points: float (N, 2), x then y, in image pixels.
      size: (height, width).
      radius: whole pixels. 0 opens the clicked pixel alone.

    Returns:
      bool (height, width), True where open.

    Raises:
      UsageError: points of another shape, or a radius that is no whole number from 0.
    """
    points = as_float("points", points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise UsageError(f"`points`: wanted (N, 2), x then y, got {points.shape}.")
    radius = check_count("radius", radius, 0, what="whole pixels")
    pixel = jnp.floor(points)[:, :, None, None]
    rows = jnp.arange(size[0], dtype=points.dtype)[None, :, None]
    columns = jnp.arange(size[1], dtype=points.dtype)[None, None, :]
    squared = (columns - pixel[:, 0]) ** 2 + (rows - pixel[:, 1]) ** 2
    return (squared <= radius**2).any(0)


def shift(mask: jax.Array, rows: int | jax.Array, columns: int | jax.Array) -> jax.Array:
    """Move a mask by whole pixels, which may be traced. The vacated edge is closed (ours: §5.1 does not say)."""
    height, width = mask.shape
    from_row, from_column = jnp.arange(height) - rows, jnp.arange(width) - columns
    inside = ((from_row >= 0) & (from_row < height))[:, None] & ((from_column >= 0) & (from_column < width))[None, :]
    moved = mask[jnp.clip(from_row, 0, height - 1)][:, jnp.clip(from_column, 0, width - 1)]
    return jnp.where(inside, moved, jnp.zeros_like(moved))


def blurred(sharp: jax.Array, *, size: int) -> jax.Array:
    """Return an image as a participant sees it before the first click: blurred, then grey (§4.2).

    Args:
      sharp: uint8 (..., H, W, 3).
      size: side of the blur window, pixels.

    Returns:
      uint8 (..., H, W, 1).
    """
    return images.grayscale(images.box_blur(sharp, size))


def composite(sharp: jax.Array, veiled: jax.Array, mask: jax.Array) -> jax.Array:
    """Show the sharp picture where the mask is open, the veiled one elsewhere.

    Args:
      sharp: (H, W, C).
      veiled: (H, W, C) or (H, W, 1), of the same dtype.
      mask: bool (H, W).

    Returns:
      An array like `sharp`.

    Raises:
      UsageError: pictures of unlike dtype, or a mask that is not boolean.
    """
    sharp, veiled, mask = jnp.asarray(sharp), jnp.asarray(veiled), jnp.asarray(mask)
    if veiled.dtype != sharp.dtype:
        raise UsageError(f"`veiled`: wanted the dtype of `sharp`, {sharp.dtype}, got {veiled.dtype}.")
    if mask.dtype != jnp.bool_:
        raise UsageError(f"`mask`: wanted booleans, True where open, got {mask.dtype}.")
    return jnp.where(mask[:, :, None], sharp, jnp.broadcast_to(veiled, sharp.shape))
