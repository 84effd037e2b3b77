"""Skin of the face as a lit texture over frontal places, and its way into the picture.

Contract: the texture is float32 (3, rows, columns), RGB in 0..255, over x in [-1.32, 1.32] and y in [-1.5, 2.5] IOD.
"""

import numpy as np

from fer_jax.faces.geometry.camera import Camera, Light
from fer_jax.faces.geometry.head import Geometry
from fer_jax.faces.geometry.relief import X_RANGE, Y_RANGE, grid, maps
from fer_jax.faces.painting.paint import noise
from fer_jax.faces.person.identity import Identity, darkness


def texture(identity: Identity, geometry: Geometry, camera: Camera, light: Light) -> np.ndarray:
    """Return the lit skin over frontal places.

    Args:
      identity: the person.
      geometry: what the face does.
      camera: its rotation takes the light into the face's frame. Its size sets the resolution.
      light: the key light and the hemisphere.

    Returns:
      float32 (3, rows, columns), RGB, nominally 0..255.
    """
    places = grid(camera.size)
    relief, shade, red = maps(identity, geometry, places)
    if identity.beard:
        shade = shade + _beard(identity, geometry, places, camera.size)
    normal_x, normal_y, normal_z = _normals(relief, geometry, places)
    direction = np.array(light.direction, np.float32) @ camera.turn
    lambert = normal_x * direction[0] + normal_y * direction[1] + normal_z * direction[2]
    lit = np.float32(light.ambient) * (np.float32(0.72) + np.float32(0.28) * normal_z) + np.float32(
        light.key
    ) * np.maximum(lambert * np.float32(0.86) + np.float32(0.14), 0)
    half = direction + camera.turn[2]
    half = half / np.sqrt((half * half).sum())
    gloss = np.maximum(normal_x * half[0] + normal_y * half[1] + normal_z * half[2], 0)
    gloss = gloss * gloss
    gloss = gloss * gloss
    gloss = gloss * gloss
    gloss = gloss * gloss
    grain = noise(512, 1.1, 1.1)[: len(places.y), : len(places.x)]
    mottle = noise(512, 9.0, 9.0)[: len(places.y), : len(places.x)]
    lit = lit * np.exp(-shade) * (1 + np.float32(0.012) * grain + np.float32(0.012) * mottle)
    return _coloured(identity, lit, red + np.float32(0.02) * mottle, gloss * (1 - np.minimum(shade, 1)))


def _coloured(identity, lit, red, gloss) -> np.ndarray:
    """Colour lit skin: shade goes redder before it goes black, redness takes green and blue, gloss lies on top."""
    colour = np.empty((3, *lit.shape), np.float32)
    dim = np.maximum(1 - lit, 0)
    luma = float(identity.skin.mean())
    dark = darkness(identity)
    shine = gloss * np.float32((20 + 0.10 * luma) * (1 - 0.7 * dark))
    # A photographer lights dark skin more.
    lit = lit * np.float32(1 + 0.2 * dark) if dark else lit
    for channel, (warm, blush) in enumerate(((0.10, 0.12), (-0.02, -0.55), (-0.06, -0.50))):
        weight = np.float32(identity.skin[channel]) * (1 + np.float32(blush) * red)
        colour[channel] = weight * (lit + np.float32(warm) * dim) + shine
    return colour


def _normals(relief, geometry, places) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    height = geometry.surface(places.x[None], places.y[:, None]) + relief
    per_cell = np.float32(0.5 / places.step)
    slope_x, slope_y = np.zeros_like(height), np.zeros_like(height)
    slope_x[:, 1:-1] = (height[:, 2:] - height[:, :-2]) * per_cell
    slope_y[1:-1] = (height[2:] - height[:-2]) * per_cell
    length = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    return -slope_x * length, -slope_y * length, length


def _beard(identity, geometry, places, size) -> np.ndarray:
    """Shade of stubble or a full beard: jaw, chin and moustache, rough like hair."""
    x, y = np.abs(places.x)[None], places.y[:, None]
    anchors = geometry.anchors
    mouth, low, base = float(anchors.mouth_y), float(anchors.lip_bottom), float(anchors.base_y)
    jaw_line = np.float32(0.62) + np.float32(0.95) * np.exp(-(((x - 0.15) / 0.62) ** 2))
    jaw = np.clip((y - jaw_line) / 0.22, 0, 1) * np.clip((y - 0.35) / 0.3, 0, 1)
    chin = np.clip((y - low - 0.08) / 0.12, 0, 1) * np.clip((0.5 - x) / 0.15, 0, 1)
    lip = np.clip((y - base - 0.05 - 0.3 * x) / 0.07, 0, 1) * np.clip((mouth - 0.05 - y) / 0.05, 0, 1)
    lip = lip * np.clip((0.44 - x) / 0.12, 0, 1)
    cover = np.maximum(np.maximum(jaw, chin), lip)
    rough = noise(512, 0.7, 1.4)[: len(places.y), : len(places.x)]
    amount = 0.30 if identity.beard == 1 else 0.8
    return (cover * np.float32(amount) * (1 + np.float32(0.25) * rough)).astype(np.float32)


def sample(colour: np.ndarray, camera: Camera, geometry: Geometry, box: tuple[int, int, int, int]) -> np.ndarray:
    """Return the texture as the camera sees it within a box of pixels.

    Args:
      colour: float32 (3, rows, columns), from `texture`.
      camera: the view.
      geometry: gives the depth of nose and mouth.
      box: (x0, y0, x1, y1) of whole pixels.

    Returns:
      float32 (3, y1 - y0, x1 - x0).
    """
    x0, y0, x1, y1 = box
    places = grid(camera.size)
    # Places vary smoothly: solve on every fourth pixel and interpolate.
    stride = 4 if camera.size >= 128 else 2
    columns = np.arange(x0, x1 + stride, stride, dtype=np.float32)
    rows = np.arange(y0, y1 + stride, stride, dtype=np.float32)
    x, y = np.meshgrid(columns, rows)
    front_x, front_y = camera.unproject(x, y, geometry.surface)
    height, width = y1 - y0, x1 - x0
    u = _upsampled((front_x - np.float32(X_RANGE[0])) / np.float32(places.step), stride)[:height, :width]
    v = _upsampled((front_y - np.float32(Y_RANGE[0])) / np.float32(places.step), stride)[:height, :width]
    return _gathered(colour, u, v)


def _upsampled(coarse: np.ndarray, stride: int) -> np.ndarray:
    """Interpolate linearly between samples `stride` apart. The last row and column are left out."""
    share = (np.arange(stride, dtype=np.float32) / np.float32(stride))[None, None]
    rows = coarse[:, :-1, None] + (coarse[:, 1:] - coarse[:, :-1])[:, :, None] * share
    rows = rows.reshape(len(coarse), -1)
    share = share.reshape(1, stride, 1)
    full = rows[:-1, None] + (rows[1:] - rows[:-1])[:, None] * share
    return full.reshape(-1, rows.shape[1])


def _gathered(colour: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Look up bilinearly at columns u and rows v. OpenCV's remap rounds differently between versions."""
    rows, columns = colour.shape[1:]
    u = np.clip(u, 0, np.float32(columns - 1.001))
    v = np.clip(v, 0, np.float32(rows - 1.001))
    left, top = u.astype(np.int32), v.astype(np.int32)
    across, down = u - left, v - top
    at = top * columns + left
    out = np.empty((3, *u.shape), np.float32)
    for plane, seen in zip(colour.reshape(3, -1), out, strict=True):
        corners = [plane.take(at + step, mode="clip") for step in (0, 1, columns, columns + 1)]
        upper = corners[0] + (corners[1] - corners[0]) * across
        lower = corners[2] + (corners[3] - corners[2]) * across
        np.add(upper, (lower - upper) * down, out=seen)
    return out
