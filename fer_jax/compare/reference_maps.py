"""Maps that know nothing of any network: what a saliency map has to beat before it has shown anything.

Contract: pictures are uint8 (H, W, 3), maps float64 (H, W), 0 or more. Lengths are shares of the width.
"""

import numpy as np
import scipy

from fer_jax.errors import UsageError
from fer_jax.streams import stream

CENTRE_SIGMA = 1 / 4
# That of the faces' oracle: 5 px at 224.
EDGE_SMOOTHING = 5 / 224
# About as smooth as a feature map of eight cells that is stretched over the picture.
FIELD_SMOOTHING = 1 / 16
_LUMA = (0.299, 0.587, 0.114)


def centre(height: int, width: int, *, sigma: float = CENTRE_SIGMA) -> np.ndarray:
    """Return a Gaussian in the middle of a picture.

    Args:
      height: pixels.
      width: pixels.
      sigma: standard deviation, a share of the width.

    Returns:
      float64 (height, width), at most 1.

    Raises:
      UsageError: no pixels, or a sigma that is not above 0.

    Example:
      >>> centre(1, 3).round(2).tolist()
      [[0.41, 1.0, 0.41]]
    """
    _check(height, width, sigma=sigma)
    y, x = np.mgrid[:height, :width]
    squared = (x - (width - 1) / 2) ** 2 + (y - (height - 1) / 2) ** 2
    return np.exp(-squared / (2 * (width * sigma) ** 2))


def random_field(
    height: int, width: int, *, seed: int | tuple[int, ...], smoothing: float = FIELD_SMOOTHING
) -> np.ndarray:
    """Draw smoothed noise, in which no place is likelier than another. Its scores are those of chance.

    Args:
      height: pixels.
      width: pixels.
      seed: one number, or several such as (seed, picture).
      smoothing: standard deviation of the Gaussian, a share of the width. It wraps around the borders, which would
        otherwise be more extreme than the middle.

    Returns:
      float64 (height, width) in [0, 1].

    Raises:
      UsageError: no pixels, or a smoothing that is not above 0.

    Example:
      >>> field = random_field(8, 8, seed=(0, 5))
      >>> float(field.min()), float(field.max())
      (0.0, 1.0)
    """
    _check(height, width, smoothing=smoothing)
    words = seed if isinstance(seed, tuple) else (seed,)
    noise = stream(*words).standard_normal((height, width))
    field = scipy.ndimage.gaussian_filter(noise, smoothing * width, mode="wrap")
    low, span = field.min(), np.ptp(field)
    return (field - low) / span if span > 0 else np.zeros_like(field)


def edges(picture: np.ndarray, *, smoothing: float = EDGE_SMOOTHING) -> np.ndarray:
    """Return the strength of a picture's edges: the gradient of its luma by Sobel's operator, smoothed.

    Args:
      picture: uint8 (H, W, 3).
      smoothing: standard deviation of the Gaussian, a share of the width.

    Returns:
      float64 (H, W).

    Raises:
      UsageError: not a picture of bytes, or a smoothing that is not above 0.

    Example:
      >>> edges(np.zeros((4, 4, 3), np.uint8)).max()
      np.float64(0.0)
    """
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise UsageError(f"`picture`: wanted uint8 (H, W, 3), got {picture.dtype} {picture.shape}.")
    _check(*picture.shape[:2], smoothing=smoothing)
    luma = picture.astype(np.float64) @ np.asarray(_LUMA)
    strength = np.hypot(scipy.ndimage.sobel(luma, 0, mode="nearest"), scipy.ndimage.sobel(luma, 1, mode="nearest"))
    return scipy.ndimage.gaussian_filter(strength, smoothing * picture.shape[1], mode="nearest")


def of_other_pairs(human: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return for each image people's mean map of the images of all other pairs.

    Args:
      human: (T, H, W) attention maps. Those that are not finite throughout count nowhere.
      pairs: int (T,).

    Returns:
      float64 (T, H, W), NaN throughout where no other pair has a map.

    Raises:
      UsageError: arrays that do not fit.

    Example:
      >>> of_other_pairs(np.arange(6.0).reshape(3, 1, 2), np.array([0, 0, 1]))[:, 0].tolist()
      [[4.0, 5.0], [4.0, 5.0], [1.0, 2.0]]
    """
    human, pairs = _human_maps(human, pairs)
    known = np.isfinite(human).all((1, 2))
    found = np.full_like(human, np.nan)
    for pair in np.unique(pairs):
        # Averaged without the pair: taking it off the total would leave its rounding behind, as a map of noise.
        rest = known & (pairs != pair)
        if rest.any():
            found[pairs == pair] = human[rest].mean(0)
    return found


def of_study(human: np.ndarray, pairs: np.ndarray, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Return maps that know nothing of a network, for each image.

    Args:
      human: (T, H, W) attention maps, NaN throughout where there is none.
      pairs: int (T,).
      pictures: uint8 (T, H, W, 3).

    Returns:
      float (T, H, W) by name: "centre" a Gaussian, "other pairs" people's mean map of all other pairs, "another image"
      people's map of the next image of the pair, "edges" those of the picture. NaN throughout where there is none.

    Raises:
      UsageError: arrays that do not fit.

    Example:
      >>> maps = np.arange(12.0).reshape(3, 2, 2)
      >>> found = of_study(maps, np.array([0, 0, 1]), np.zeros((3, 2, 2, 3), np.uint8))
      >>> found["other pairs"][2].tolist(), found["another image"][0].tolist()
      ([[2.0, 3.0], [4.0, 5.0]], [[4.0, 5.0], [6.0, 7.0]])
    """
    human, pairs = _human_maps(human, pairs)
    if np.shape(pictures) != (*human.shape, 3):
        raise UsageError(f"`pictures`: wanted {(*human.shape, 3)}, as there are maps, got {np.shape(pictures)}.")
    known = np.isfinite(human).all((1, 2))
    another = np.full_like(human, np.nan)
    for pair in np.unique(pairs):
        own = np.flatnonzero((pairs == pair) & known)
        if len(own) > 1:
            another[own] = human[np.roll(own, -1)]
    return {
        "centre": np.broadcast_to(centre(*human.shape[1:]), human.shape),
        "other pairs": of_other_pairs(human, pairs),
        "another image": another,
        "edges": np.stack([edges(picture) for picture in pictures]),
    }


def _human_maps(human, pairs):
    human, pairs = np.asarray(human, np.float64), np.asarray(pairs)
    if human.ndim != 3 or pairs.shape != human.shape[:1]:
        raise UsageError(f"`human`, `pairs`: wanted (T, H, W) and (T,), got {human.shape} and {pairs.shape}.")
    return human, pairs


def _check(height, width, **lengths):
    if height < 1 or width < 1:
        raise UsageError(f"`height`, `width`: wanted at least 1 pixel, got {height} and {width}.")
    for name, length in lengths.items():
        if not length > 0:
            raise UsageError(f"`{name}`: wanted a share of the width above 0, got {length}.")
