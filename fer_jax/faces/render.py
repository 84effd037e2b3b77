"""From parameters to a picture with everything that is known about it.

Contract: pictures are uint8 (H, W, 3) RGB. Landmarks float32 (68, 2) pixels, x then y.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fer_jax.categories import Categories
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces.geometry.camera import Camera, Light, Pose
from fer_jax.faces.geometry.head import Geometry, build
from fer_jax.faces.painting import features, occluders, skin, surroundings
from fer_jax.faces.painting.paint import blend, polygon
from fer_jax.faces.painting.photometry import develop
from fer_jax.faces.presets import Preset, get
from fer_jax.faces.scene import OCCLUDERS, Parameters, check_size, draw, expression_indices
from fer_jax.frame import EYES
from fer_jax.parallel import map_ordered

# Rises with any visible change. 2: eye whites, teeth and highlights no longer glow in dark faces.
RENDER_VERSION = 2


@dataclass(frozen=True, eq=False)
class Face:
    """A drawn face.

    Attributes:
      image: uint8 (H, W, 3) RGB.
      expression: what the face shows, an index into `EXPRESSIONS`.
      label: what the data set says. Differs under label noise only.
      soft_label: float32 (8,).
      landmarks: float32 (68, 2), pixels, iBUG order.
      visible: bool (68,), inside the frame, turned to the viewer and not covered.
      au: float32 (2, 21).
      pose: head and frame.
      light: light.
      occluder: an index into `OCCLUDERS`.
      identity_seed: the person's number in the split.
      intensity: of the expression.
      difficulty: 0..1.
      parameters: all of the above and the rest.
    """

    image: np.ndarray
    expression: int
    label: int
    soft_label: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    au: np.ndarray
    pose: Pose
    light: Light
    occluder: int
    identity_seed: int
    intensity: float
    difficulty: float
    parameters: Parameters


def render(parameters: Parameters, *, size: int | None = None, photometry: bool = True) -> Face:
    """Draw a face.

    Args:
      parameters: from `draw`.
      size: side in pixels, at least 32. The parameters' own by default.
      photometry: whether colour table, blur, noise and JPEG are applied.

    Returns:
      The picture and what is known about it. Equal arguments give equal bytes.

    Raises:
      UsageError: the size is too small.
    """
    size = parameters.size if size is None else size
    check_size(size)
    camera = Camera(parameters.pose, size)
    geometry = build(parameters.identity, parameters.au)
    image = paint(parameters, geometry, camera)
    if photometry:
        image = develop(image, parameters.photometry)
    landmarks = camera.project(geometry.landmarks)
    return Face(
        image=image,
        expression=parameters.expression,
        label=parameters.label,
        soft_label=parameters.soft_label,
        landmarks=landmarks,
        visible=_visible(landmarks, geometry, camera, OCCLUDERS[parameters.occluder]),
        au=parameters.au,
        pose=parameters.pose,
        light=parameters.light,
        occluder=parameters.occluder,
        identity_seed=parameters.identity_seed,
        intensity=parameters.intensity,
        difficulty=parameters.difficulty,
        parameters=parameters,
    )


def render_batch(
    seed: int,
    split: str,
    indices: Sequence[int],
    *,
    preset: str | Preset = "study",
    size: int = 96,
    workers: int | None = None,
    categories: Categories = EXPRESSIONS,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures and labels of some indices of a split.

    Args:
      seed: seed of the data set.
      split: "train", "validation" or "stimuli".
      indices: which pictures, in any order.
      preset: a name in `PRESETS`, or a `Preset`.
      size: side in pixels.
      workers: processes, see `parallel.map_ordered`. None or 1 draws in this one.
      categories: some of the eight expressions, in the order of the labels. They take turns.

    Returns:
      uint8 (N, size, size, 3) and int32 (N,).

    Raises:
      UsageError: an argument out of range.
    """
    job = functools.partial(_picture, seed, split, get(preset), size, categories)
    images = np.empty((len(indices), size, size, 3), np.uint8)
    labels = np.empty(len(indices), np.int32)
    for row, (image, label) in enumerate(map_ordered(job, list(map(int, indices)), workers=workers)):
        images[row], labels[row] = image, label
    return images, labels


def _picture(seed, split, preset, size, categories, index: int) -> tuple[np.ndarray, int]:
    face = render(draw(seed, split, index, preset=preset, size=size, categories=categories))
    return face.image, expression_indices(categories).index(face.label)


def paint(parameters: Parameters, geometry: Geometry, camera: Camera, *, neutral_shadow: bool = False) -> np.ndarray:
    """Return the picture before photometry.

    Args:
      parameters: the scene.
      geometry: of `parameters.au`.
      camera: of `parameters.pose`.
      neutral_shadow: cast the jaw's shadow from the resting jaw, so that it says nothing of the expression.

    Returns:
      uint8 (H, W, 3).
    """
    person, light, unit = parameters.identity, parameters.light, float(camera.pixels)
    curves = geometry.curves | surroundings.outlines(person, geometry)
    at = _projected(curves, camera)
    origin = camera.project(np.array([(0, 0, 0.6)], np.float32))[0]
    canvas = surroundings.paint_backdrop(camera.size, parameters.background_seed)
    key_x = float(light.direction[0])
    surroundings.paint_hair_behind(canvas, at, person, origin, unit, key_x)
    jaw = at["neutral_jaw"] if neutral_shadow else at["outline"][12:-12]
    surroundings.paint_body(canvas, at, person, unit, light, jaw)
    features.paint_ears(canvas, at, person, unit, key_x)
    _paint_skin(canvas, at, parameters, geometry, camera)
    dim = _eye_light(light)
    features.paint_nose(canvas, at, person, unit)
    features.paint_mouth(canvas, at, person, geometry, unit, dim)
    features.paint_eyes(canvas, at, person, geometry, unit, dim)
    features.paint_brows(canvas, at, person, unit)
    surroundings.paint_hair_front(canvas, at, person, origin, unit, key_x)
    occluder = OCCLUDERS[parameters.occluder]
    occluders.paint_occluder(canvas, occluder, camera, person, unit, float(geometry.anchors.neutral_chin))
    levels = np.clip(np.rint(canvas, out=canvas), 0, 255, out=canvas).astype(np.uint8)
    return cv2.merge(list(levels))


def _projected(curves: dict[str, np.ndarray], camera: Camera) -> dict[str, np.ndarray]:
    """Project all curves through the camera in one product."""
    pixels = camera.project(np.concatenate(list(curves.values()), dtype=np.float32))
    at, start = {}, 0
    for name, curve in curves.items():
        at[name] = pixels[start : start + len(curve)]
        start += len(curve)
    return at


def _paint_skin(canvas, at, parameters, geometry, camera) -> None:
    patch = polygon(canvas, np.concatenate([at["outline"], at["crown"][::-1]]), blur=0.008 * float(camera.pixels))
    if patch is None:
        return
    (rows, columns), _ = patch
    colour = skin.texture(parameters.identity, geometry, camera, parameters.light)
    seen = skin.sample(colour, camera, geometry, (columns.start, rows.start, columns.stop, rows.stop))
    blend(canvas, patch, seen)


def _eye_light(light: Light) -> float:
    """Measure how bright a surface that faces the viewer is, kept from the extremes."""
    return float(np.clip(light.ambient + 0.8 * light.key * max(light.direction[2], 0), 0.7, 1.0))


def _visible(landmarks, geometry, camera, occluder) -> np.ndarray:
    inside = ((landmarks >= 0) & (landmarks <= camera.size - 1)).all(1)
    points = geometry.landmarks
    normal = np.column_stack(
        [points[:, 0] / 1.16**2, (points[:, 1] - 0.25) / 1.95**2, np.maximum(points[:, 2], 0.1) / 1.05**2]
    )
    turned = (normal / np.sqrt((normal**2).sum(1, keepdims=True))) @ camera.turn.T
    facing = turned[:, 2] > 0.05
    covered = np.zeros(68, bool)
    if occluder == "mask":
        covered = points[:, 1] > 0.55
    elif occluder == "hand":
        covered[48:] = True
    elif occluder == "patch":
        covered[EYES[0]] = True
    return inside & facing & ~covered
