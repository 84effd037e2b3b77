"""Stimuli on the host: what `fer_jax.masks` computes on the device, by OpenCV, for servers and builders without jax.

Contract: pictures are uint8 RGB. Points are (x, y) in image pixels, origin top left, the pixel clicked is
(floor x, floor y). Both sides agree byte for byte.
"""

import cv2
import numpy as np

from fer_jax.errors import DataError, check_count

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Refused from the header, before anything is decoded (ours). A stimulus is some hundred pixels wide.
MAX_STIMULUS_PX = 4096


def decode(data: bytes) -> np.ndarray:
    """Decode a stimulus from its file: a PNG, for only a lossless one gives everybody the pixels that people saw.

    Args:
      data: the whole file.

    Returns:
      uint8 (H, W, 3) RGB. A grey file has three equal channels.

    Raises:
      DataError: no PNG, one with transparency or 16 bits, one too large, or damaged.
    """
    if not data.startswith(_PNG_SIGNATURE) or data[12:16] != b"IHDR":
        raise DataError(f"`data`: wanted a PNG, which is lossless, got a file that starts with {data[:8]!r}.")
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    if max(width, height) > MAX_STIMULUS_PX:
        raise DataError(f"`data`: wanted at most {MAX_STIMULUS_PX} px a side, got a PNG of {width} x {height} px.")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"`data`: wanted a whole PNG, got a truncated or damaged one of {width} x {height} px.")
    if image.dtype != np.uint8 or (image.ndim == 3 and image.shape[2] != 3):
        raise DataError(f"`data`: wanted a PNG of 8 bits, RGB or grey, got {image.dtype} {image.shape}; convert it.")
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)


def blurred(sharp: np.ndarray, k: int) -> np.ndarray:
    """Return what a participant sees before the first click: blurred first, grey second (paper §4.2).

    Args:
      sharp: uint8 (H, W, 3) or (N, H, W, 3), RGB.
      k: side of the blur window, pixels, 70 in the paper.

    Returns:
      uint8 (H, W, 1) or (N, H, W, 1).

    Raises:
      UsageError: `k` is no whole number from 1.
      DataError: pictures of another shape or dtype.
    """
    k = check_count("k", k, 1, what="a window of whole pixels")
    if sharp.dtype != np.uint8 or sharp.ndim not in (3, 4) or sharp.shape[-1] != 3:
        raise DataError(f"`sharp`: wanted uint8 (N, H, W, 3) or (H, W, 3), got {sharp.dtype} {sharp.shape}.")
    pictures = sharp.reshape(-1, *sharp.shape[-3:])
    grey = [cv2.cvtColor(cv2.blur(picture, (k, k)), cv2.COLOR_RGB2GRAY) for picture in pictures]
    return np.asarray(grey, np.uint8).reshape(*sharp.shape[:-1], 1)


def reveal_mask(points: np.ndarray, size: tuple[int, int], radius: int) -> np.ndarray:
    """Return the union of the discs that clicks open, equal to `fer_jax.masks.reveal`.

    Args:
      points: float (N, 2), x then y. A point with a NaN opens nothing.
      size: (height, width).
      radius: whole pixels, at least 0.

    Returns:
      bool (height, width), True where open.

    Raises:
      UsageError: a radius that is no whole number from 0.
    """
    mask = np.zeros(size, np.uint8)
    draw_discs(mask, points, radius, 1)
    return mask.astype(bool)


def draw_discs(canvas: np.ndarray, points: np.ndarray, radius: int, value: float) -> None:
    """Paint a disc around each clicked pixel into an array, in place.

    Args:
      canvas: C-contiguous (H, W), uint8 or float32.
      points: float (N, 2), x then y. A point with a NaN paints nothing.
      radius: whole pixels, at least 0.
      value: what to paint.

    Raises:
      UsageError: a radius that is no whole number from 0.
    """
    radius = check_count("radius", radius, 0, what="whole pixels")
    points = np.floor(np.asarray(points, np.float64).reshape(-1, 2))
    # A disc that does not reach the canvas is left out: OpenCV overflows on centres far away.
    near = (points >= -radius) & (points <= np.asarray(canvas.shape[1::-1]) - 1 + radius)
    for x, y in points[near.all(1)].astype(int).tolist():
        cv2.circle(canvas, (x, y), radius, value, cv2.FILLED)


def check_mask(mask: np.ndarray, points: np.ndarray, *, image_px: int, radius: int, where: str) -> None:
    """Check a stored mask against its clicks by the definition of a disc, not by what drew it.

    Args:
      mask: wanted is uint8 (S, S) or (S, S, 1) with 0 where closed and 255 where open.
      points: float (K, 2), the clicks on the image, x then y.
      image_px: S, side of the picture.
      radius: whole pixels.
      where: what messages call the mask, such as "`trials`: example 3".

    Raises:
      DataError: another shape or value, or a pixel that the clicks do not explain.
    """
    if mask.dtype != np.uint8 or mask.shape not in ((image_px, image_px), (image_px, image_px, 1)):
        raise DataError(
            f"{where}: mask: wanted uint8 ({image_px}, {image_px}, 1) of its picture, got {mask.dtype} {mask.shape}."
        )
    mask = mask.reshape(image_px, image_px)
    odd = mask[(mask != 0) & (mask != 255)]
    if odd.size:
        raise DataError(f"{where}: mask: wanted 0 and 255 only, got {odd[0]}; it must be stored without loss.")
    differing = np.count_nonzero((mask == 255) != _discs(points, image_px, radius))
    if differing:
        raise DataError(f"{where}: mask: wanted the union of the clicks' discs, got {differing} other pixels.")


def shift(mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Move a mask by whole pixels. The vacated edge is closed (ours). Equal to `fer_jax.masks.shift`.

    Args:
      mask: (H, W).
      rows: pixels downward, upward if negative.
      columns: pixels to the right, to the left if negative.

    Returns:
      An array like `mask`.
    """
    height, width = mask.shape
    rows, columns = min(max(rows, -height), height), min(max(columns, -width), width)
    moved = np.zeros_like(mask)
    kept = mask[max(-rows, 0) : height - max(rows, 0), max(-columns, 0) : width - max(columns, 0)]
    moved[max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)] = kept
    return moved


def composite(sharp: np.ndarray, veiled: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the sharp picture where the mask is open, the veiled one elsewhere.

    Args:
      sharp: uint8 (H, W, 3).
      veiled: uint8 (H, W, 1) or (H, W, 3).
      mask: bool (H, W).

    Returns:
      uint8 (H, W, 3).
    """
    return np.where(mask[:, :, None], sharp, veiled)


def _discs(points, size, radius) -> np.ndarray:
    """Mark every pixel with dx² + dy² <= radius² of a clicked one."""
    reach = np.arange(-radius, radius + 1)
    disc = reach[:, None] ** 2 + reach**2 <= radius**2
    around = np.zeros((size + 2 * radius,) * 2, bool)
    for x, y in np.floor(points).astype(int).tolist():
        around[y : y + len(reach), x : x + len(reach)] |= disc
    return around[radius : radius + size, radius : radius + size]
