"""The pixels that tell two expressions apart: known exactly, because the same person can be drawn twice.

Contract: difference maps are float32 (H, W), Euclidean Lab distance, 0 where two pictures agree.
"""

import cv2
import numpy as np

from fer_jax import action_units
from fer_jax.errors import check_index, check_one_of
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces.geometry.camera import Camera
from fer_jax.faces.geometry.head import build
from fer_jax.faces.render import paint
from fer_jax.faces.scene import Parameters, check_size, prototype_units

# §6 of the design: Gaussian of 5 px at 224 px (ours).
SMOOTHING_AT_224 = 5.0


def oracle(parameters: Parameters, foil: int, *, size: int | None = None, both_sides: bool = False) -> np.ndarray:
    """Measure D(a, b): how visibly a picture would change if the same person showed the foil instead.

    Person, pose, light and background stay. Photometry, restless movements, blends and occluders are off, and the jaw's
    shadow is that of the resting jaw. Both are prototypes at the picture's intensity, each from its own stream, so that
    D(a, b) = D(b, a) and D(a, a) = 0.

    Args:
      parameters: a picture, whose expression is a.
      foil: the other expression b, an index into `EXPRESSIONS`.
      size: side in pixels, by default that of the parameters.
      both_sides: average the maps of a one-sided foil (contempt) on either side, since a picture does not say on which
        side its person would have shown it. D(a, b) then differs from D(b, a).

    Returns:
      float32 (size, size), 0 or more.

    Raises:
      UsageError: no such foil, or a size below 32.
    """
    check_index("foil", foil, len(EXPRESSIONS))
    if foil == parameters.expression:
        return np.zeros((_size(parameters, size),) * 2, np.float32)
    first, second = pair_units(parameters, foil)
    change = difference(parameters, first, second, size=size)
    if both_sides and action_units.PROTOTYPES[EXPRESSIONS[foil]].one_side:
        change = (change + difference(parameters, first, second[::-1].copy(), size=size)) / 2
    return change


def pair_units(parameters: Parameters, foil: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the action units that `oracle` compares: those of the picture's expression and of the foil.

    Args:
      parameters: a picture.
      foil: the other expression, an index into `EXPRESSIONS`.

    Returns:
      Two float32 (2, 21), prototypes at the picture's intensity.
    """
    first, second = (
        prototype_units(parameters.seed, parameters.split, parameters.index, expression, intensity=parameters.intensity)
        for expression in (parameters.expression, foil)
    )
    return first, second


def twin(parameters: Parameters, foil: int) -> Parameters:
    """Return the picture as if its person had shown the foil, with pose, light, background and photometry as they were.

    `oracle` measures the difference to this twin, so the pixels that matter can be exchanged for those of the twin. The
    foil is a prototype at the picture's intensity, without restless movements and blends.

    Args:
      parameters: a picture.
      foil: what the twin shows, an index into `EXPRESSIONS`.

    Returns:
      The twin's parameters, for `render`.

    Raises:
      UsageError: no such foil.
    """
    check_index("foil", foil, len(EXPRESSIONS))
    soft = np.zeros(len(EXPRESSIONS), np.float32)
    soft[foil] = 1
    units = prototype_units(parameters.seed, parameters.split, parameters.index, foil, intensity=parameters.intensity)
    return parameters.replace(expression=foil, label=foil, soft_label=soft, au=units)


def unit_mask(parameters: Parameters, unit: int, *, size: int | None = None) -> np.ndarray:
    """Measure where one action unit of a picture shows: the picture against itself without the unit.

    Args:
      parameters: a picture.
      unit: one of `ACTION_UNITS`.
      size: side in pixels, by default that of the parameters.

    Returns:
      float32 (size, size), unsmoothed Lab distance.

    Raises:
      UsageError: no such unit.
    """
    check_one_of("unit", unit, action_units.ACTION_UNITS)
    without = parameters.au.copy()
    without[:, action_units.COLUMN[unit]] = 0
    return difference(parameters, parameters.au, without, size=size, smoothing=0.0)


def difference(
    parameters: Parameters,
    first: np.ndarray,
    second: np.ndarray,
    *,
    size: int | None = None,
    smoothing: float = SMOOTHING_AT_224,
) -> np.ndarray:
    """Measure the smoothed Lab distance between one scene drawn with two AU vectors.

    Args:
      parameters: person, pose, light and background.
      first: float32 (2, 21).
      second: float32 (2, 21).
      size: side in pixels, by default that of the parameters.
      smoothing: standard deviation in pixels at 224.

    Returns:
      float32 (size, size).

    Raises:
      UsageError: a size below 32.
    """
    size = _size(parameters, size)
    bare = parameters.replace(occluder=0)
    camera = Camera(parameters.pose, size)
    labs = []
    for au in (first, second):
        image = paint(bare, build(parameters.identity, au), camera, neutral_shadow=True)
        labs.append(cv2.cvtColor(image.astype(np.float32) * np.float32(1 / 255), cv2.COLOR_RGB2LAB))
    square = (labs[0] - labs[1]) ** 2
    distance = np.sqrt(square[..., 0] + square[..., 1] + square[..., 2])
    sigma = smoothing * size / 224
    return cv2.GaussianBlur(distance, (0, 0), sigma) if sigma > 0 else distance


def _size(parameters: Parameters, size: int | None) -> int:
    size = parameters.size if size is None else size
    check_size(size)
    return size
