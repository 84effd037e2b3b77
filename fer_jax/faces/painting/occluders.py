"""What may cover a face: glasses, a mask, a hand, an eye patch.

Contract: as in `features`: canvases float32 (3, H, W) in 0..255 changed in place. Lengths in IOD until projected.
"""

import numpy as np

from fer_jax.faces.geometry.camera import Camera
from fer_jax.faces.painting.paint import blend, darken, lines, polygon
from fer_jax.faces.person.identity import Identity

_MIRROR = np.array([-1, 1, 1], np.float32)


def _paint_glasses(canvas, camera: Camera, identity: Identity, unit: float) -> None:
    """Paint thin frames around both eyes with a bridge and temples."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    square = (
        np.abs(np.cos(angle)) ** 0.75 * np.sign(np.cos(angle)),
        np.abs(np.sin(angle)) ** 0.75 * np.sign(np.sin(angle)),
    )
    rims = []
    for sign in (-1, 1):
        rim = np.column_stack([sign * 0.5 + 0.34 * square[0], 0.03 + 0.25 * square[1], np.full(28, 1.02)])
        rims.append(camera.project(rim.astype(np.float32)))
    links = [
        camera.project(np.array(points, np.float32))
        for points in (
            [(-0.17, -0.02, 1.1), (0, -0.06, 1.15), (0.17, -0.02, 1.1)],
            [(0.84, -0.05, 0.98), (1.06, -0.08, 0.4)],
            [(-0.84, -0.05, 0.98), (-1.06, -0.08, 0.4)],
        )
    ]
    for rim in rims:
        blend(canvas, polygon(canvas, rim), (235, 240, 245), 0.07)
    colour = (34, 28, 30) if identity.texture_seed % 2 else (96, 66, 40)
    blend(canvas, lines(canvas, np.stack(rims), 0.032 * unit, closed=True, blur=0.005 * unit), colour, 0.92)
    for link in links:
        blend(canvas, lines(canvas, link, 0.032 * unit, blur=0.005 * unit), colour, 0.92)


def paint_occluder(canvas, kind: str, camera: Camera, identity: Identity, unit: float, chin: float) -> None:
    """Paint glasses, a face mask, a hand over the mouth, or an eye patch. "none" paints nothing."""
    if kind == "glasses":
        _paint_glasses(canvas, camera, identity, unit)
    elif kind == "mask":
        half = np.array([(0.0, 0.5, 1.2), (0.5, 0.6, 0.9), (0.97, 0.55, 0.5), (0.9, 1.2, 0.5), (0.4, 1.75, 0.6)])
        half = np.concatenate([half, [(0.0, chin + 0.03, 0.6)]]).astype(np.float32)
        ring = camera.project(np.concatenate([half, (half * _MIRROR)[-2:0:-1]]))
        blend(canvas, polygon(canvas, ring, blur=0.01 * unit), (150, 186, 208))
        for y in (0.85, 1.1, 1.35):
            fold = camera.project(np.array([(-0.8, y, 0.6), (0, y + 0.05, 1.1), (0.8, y, 0.6)], np.float32))
            darken(canvas, lines(canvas, fold, 0.02 * unit, blur=0.02 * unit), 0.2)
    elif kind == "hand":
        _paint_hand(canvas, camera, identity, unit)
    elif kind == "patch":
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        sign = (-1, 1)[identity.texture_seed % 2]
        ring = np.column_stack([sign * 0.5 + 0.33 * np.cos(angle), 0.02 + 0.27 * np.sin(angle), np.full(24, 1.0)])
        band = np.array([(-1.05, -0.55 * sign, 0.5), (sign * 0.5, -0.15, 0.95), (1.05, 0.55 * sign - 0.5, 0.5)])
        blend(canvas, polygon(canvas, camera.project(ring.astype(np.float32))), (30, 28, 30))
        blend(canvas, lines(canvas, camera.project(band.astype(np.float32)), 0.05 * unit), (30, 28, 30))


def _paint_hand(canvas, camera: Camera, identity: Identity, unit: float) -> None:
    """Paint four fingers laid across the mouth from one side."""
    sign = (-1, 1)[identity.texture_seed % 2]
    for finger in range(4):
        y = 0.98 + 0.20 * finger
        bones = np.array([(1.5, y + 0.45, 1.0), (0.8, y + 0.12, 1.25), (-0.42 + 0.1 * abs(finger - 1), y, 1.3)])
        line = camera.project((bones * (sign, 1, 1)).astype(np.float32))
        darken(canvas, lines(canvas, line, 0.24 * unit, blur=0.03 * unit), 0.45)
        blend(canvas, lines(canvas, line, 0.18 * unit, blur=0.01 * unit), identity.skin * 0.9)
        blend(canvas, lines(canvas, line, 0.06 * unit, blur=0.03 * unit), identity.skin * 1.02, 0.6)
