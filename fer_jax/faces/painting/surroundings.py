"""Hair, neck, clothes and backdrop: what surrounds a face and says nothing of its expression.

Contract: as in `features`: canvases float32 (3, H, W) in 0..255 changed in place, curves in pixels by name.
"""

import cv2
import numpy as np

from fer_jax.faces.geometry.curves import catmull_rom
from fer_jax.faces.geometry.head import Geometry
from fer_jax.faces.painting.paint import blend, darken, lines, noise, polygon
from fer_jax.faces.person.identity import HAIR_STYLES, Identity
from fer_jax.streams import stream

_MIRROR = np.array([-1, 1, 1], np.float32)
_HAIRLINE_POINTS = 21  # of a half of the hair outline
# Hairline height in the middle and at the temple, sideburn end, volume, length of the hair behind (None: none there).
_STYLES = {
    "crop": (-1.00, -0.62, -0.12, 0.02, None),
    "side_part": (-1.02, -0.66, -0.05, 0.07, None),
    "long": (-1.16, -0.46, 0.10, 0.10, 2.5),
    "bob": (-0.84, -0.60, 0.10, 0.13, 1.35),
    "tied": (-1.04, -0.70, -0.10, 0.03, None),
    "curls": (-0.95, -0.58, 0.00, 0.24, 0.75),
}


def outlines(identity: Identity, geometry: Geometry) -> dict[str, np.ndarray]:
    """Return the static curves float32 (n, 3), in IOD: ears, neck, clothes, hair. They do not follow the expression."""
    width = 1 + identity.shape["face_width"]
    middle, temple, burn, volume, length = _STYLES[HAIR_STYLES[identity.hair_style]]
    curves = _body(identity, float(geometry.anchors.resting_chin), width)
    part = 0.22 if HAIR_STYLES[identity.hair_style] in ("side_part", "bob") else 0.0
    line = np.array(
        [
            (0.0, middle, 0.92),
            (0.36, middle + 0.12 * (temple - middle), 0.9),
            (0.64, middle + 0.45 * (temple - middle), 0.8),
            (0.82, temple, 0.66),
            (0.89, 0.5 * (temple + burn), 0.56),
            (0.95, burn, 0.5),
        ],
        np.float32,
    )
    outer = np.array(
        [
            (1.03 + 0.3 * volume, burn, 0.30),
            (1.04 + volume, -0.45, 0.25),
            (1.00 + volume, -0.86, 0.2),
            (0.80 + 0.8 * volume, -1.20 - 0.5 * volume, 0.2),
            (0.44 + 0.4 * volume, -1.44 - 0.9 * volume, 0.2),
            (0.0, -1.53 - volume, 0.2),
        ],
        np.float32,
    )
    line[:, 0] *= width
    outer[:, 0] *= width
    right = catmull_rom(np.concatenate([line, outer[:-1]]), 4)
    top = outer[-1:]
    left = (right * _MIRROR)[::-1]
    tilt = np.zeros_like(right)
    tilt[:, 1] = part * np.clip(1 - np.abs(right[:, 0]) / 0.5, 0, 1) * (right[:, 1] > middle - 0.02) * 0.12
    curves["hair"] = np.concatenate([right + tilt, top, left])
    if length is not None:
        curves |= _behind(volume, length, width, HAIR_STYLES[identity.hair_style] == "curls")
    elif HAIR_STYLES[identity.hair_style] == "tied":
        angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        curves["bun"] = np.column_stack([0.34 * np.cos(angle), -1.62 + 0.3 * np.sin(angle), np.full(16, -0.3)]).astype(
            np.float32
        )
    return curves


def _body(identity: Identity, chin: float, width: float) -> dict[str, np.ndarray]:
    neck = 0.52 if identity.feminine else 0.62
    right = np.array(
        [(neck, 1.0), (neck, 1.75), (neck + 0.03, 2.05), (neck + 0.2, 2.3), (1.25, 2.48), (3.2, 3.1)], np.float32
    )
    right = catmull_rom(right, 3)
    ring = np.concatenate([right, (right * np.array([-1, 1], np.float32))[::-1]])
    curves = {"neck": np.column_stack([ring, np.full(len(ring), 0.05, np.float32)])}
    collar = np.array([(0.0, 2.62), (0.42, 2.52), (0.76, 2.26), (1.2, 2.40), (3.2, 2.95), (3.4, 3.8)], np.float32)
    collar = np.concatenate([catmull_rom(collar[:5], 3), collar[5:]])
    ring = np.concatenate([collar[::-1] * np.array([-1, 1], np.float32), collar[1:]])
    curves["clothes"] = np.column_stack([ring, np.full(len(ring), 0.15, np.float32)])
    ear = np.array(
        [(1.02, -0.10), (1.10, -0.17), (1.18, -0.08), (1.175, 0.14), (1.12, 0.36), (1.05, 0.46), (1.0, 0.40)],
        np.float32,
    )
    ear[:, 0] = ear[:, 0] * width
    ear = catmull_rom(ear, 3, closed=True)
    ear = np.column_stack([ear, np.full(len(ear), 0.2, np.float32)])
    curves |= {"ear0": ear * _MIRROR, "ear1": ear}
    jaw = np.array([(0.98, 0.95), (0.80, 1.35), (0.5, chin - 0.12), (0.0, chin + 0.0)], np.float32)
    jaw[:, 0] *= width
    jaw = catmull_rom(jaw, 4)
    ring = np.concatenate([jaw, (jaw * np.array([-1, 1], np.float32))[-2::-1]])
    curves["neutral_jaw"] = np.column_stack([ring, np.full(len(ring), 0.3, np.float32)])
    return curves


def _behind(volume: float, length: float, width: float, curly: bool) -> dict[str, np.ndarray]:
    """Return hair behind the face, and for straight hair two curtains that frame it."""
    half = np.array(
        [
            (0.0, -1.5 - volume),
            (0.75, -1.3 - volume),
            (1.08 + volume, -0.7),
            (1.16 + volume, 0.1),
            (1.17 + volume, 0.5 * length),
            (1.1 + volume, length - 0.12),
            (0.85, length),
        ],
        np.float32,
    )
    half[:, 0] *= width
    right = catmull_rom(half, 3)
    ring = np.concatenate([right, (right * np.array([-1, 1], np.float32))[::-1]])
    curves = {"hair_back": np.column_stack([ring, np.full(len(ring), -0.1, np.float32)])}
    if curly:
        return curves
    edge = np.array(
        [(0.80, -0.95), (0.92, -0.35), (1.0, 0.1), (1.02, 0.5), (0.97, 0.95), (1.0, length - 0.05)], np.float32
    )
    rim = np.array([(1.16 + volume, length - 0.1), (1.17 + volume, 0.2), (1.08 + volume, -0.7)], np.float32)
    ring = catmull_rom(np.concatenate([edge, rim]) * np.array([width, 1], np.float32), 3, closed=True)
    ring = np.column_stack([ring, np.full(len(ring), 0.28, np.float32)])
    return curves | {"curtain0": ring * _MIRROR, "curtain1": ring}


def paint_backdrop(size: int, seed: int) -> np.ndarray:
    """Paint a gradient with soft discs and boxes: a new canvas float32 (3, size, size)."""
    rng = stream(seed)
    side = max(size // 4, 16)
    corners = rng.uniform(30, 215, (2, 3)).astype(np.float32)
    corners += np.float32(0.55) * (corners.mean(1, keepdims=True) - corners)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.linspace(-0.7, 0.7, side, dtype=np.float32)
    share = np.clip(0.5 + np.float32(np.cos(angle)) * ramp[None] + np.float32(np.sin(angle)) * ramp[:, None], 0, 1)
    small = corners[0] + (corners[1] - corners[0]) * share[:, :, None]
    for _ in range(int(rng.integers(2, 7))):
        x, y, reach = (rng.uniform(0, 1, 3) * (side, side, side / 4) + (0, 0, side / 16)).astype(int).tolist()
        colour = np.clip(corners[int(rng.integers(2))] + rng.normal(0, 25, 3), 10, 240).tolist()
        if rng.random() < 0.5:
            cv2.circle(small, (x, y), reach + 1, colour, -1)
        else:
            cv2.rectangle(small, (x - reach, y - reach), (x + reach, y + int(1.5 * reach) + 1), colour, -1)
    small = cv2.GaussianBlur(small, (0, 0), side / rng.uniform(18, 60))
    large = cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large.transpose(2, 0, 1))


def hair_colours(canvas: np.ndarray, where, identity: Identity, origin: np.ndarray, unit: float, key_x: float):
    """Colour hair over a patch, float32 (3, h, w): strands, a lit band, dark near the sides."""
    rows, columns = where
    height, width = rows.stop - rows.start, columns.stop - columns.start
    curly = HAIR_STYLES[identity.hair_style] == "curls"
    across, down = (0.045, 0.045) if curly else (0.012, 0.16)
    size = canvas.shape[1]
    field = noise(2 * size, across * unit_of(size), down * unit_of(size))
    left, top = identity.texture_seed % (size // 2), (identity.texture_seed // 997) % (size // 2)
    strands = field[top : top + height, left : left + width]
    y = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - origin[1]) * np.float32(1 / unit)
    x = (np.arange(columns.start, columns.stop, dtype=np.float32)[None] - origin[0]) * np.float32(1 / unit)
    band = np.exp(-(((y + 1.08 - 0.10 * x * x) / np.float32(0.16)) ** 2)) * np.exp(-((x - key_x) ** 2))
    tone = 0.80 - np.float32(0.16) * np.minimum(x * x, 1.6) + np.float32(0.22 if curly else 0.13) * strands
    tone = np.maximum(tone + np.float32(0.45) * band, np.float32(0.12))
    return tone * identity.hair[:, None, None] + band * np.float32(16)


def unit_of(size: int) -> float:
    """Return the usual interocular distance in pixels, for textures that are cached by size."""
    return 0.25 * size


def paint_hair_behind(canvas, at, identity: Identity, origin, unit: float, key_x: float) -> None:
    """Paint hair behind the head and a bun."""
    for name in ("hair_back", "bun"):
        if name in at:
            patch = polygon(canvas, _frizzed(at[name], identity, unit), blur=0.02 * unit)
            if patch is not None:
                blend(canvas, patch, hair_colours(canvas, patch[0], identity, origin, unit, key_x) * 0.72)


def paint_hair_front(canvas, at, identity: Identity, origin, unit: float, key_x: float) -> None:
    """Paint hair on the head, its soft shadow on the forehead, strands across the hairline, and the curtains."""
    ring = at["hair"]
    darken(canvas, polygon(canvas, ring + np.array([0, 0.045 * unit], np.float32), blur=0.05 * unit), 0.28)
    for name in ("hair", "curtain0", "curtain1"):
        if name not in at:
            continue
        rim = _frizzed(at[name], identity, unit) if name == "hair" else at[name]
        if name != "hair":
            darken(canvas, polygon(canvas, rim, blur=0.06 * unit), 0.25)
        patch = polygon(canvas, rim, blur=0.016 * unit)
        if patch is not None:
            blend(canvas, patch, hair_colours(canvas, patch[0], identity, origin, unit, key_x))
    _paint_strands(canvas, at["hair"], identity, unit)


def _frizzed(ring, identity: Identity, unit: float) -> np.ndarray:
    """Let the rim of curls bulge, and keep the outline of other hair."""
    if HAIR_STYLES[identity.hair_style] != "curls":
        return ring
    dense = catmull_rom(ring, 3, closed=True)
    phase = np.arange(len(dense), dtype=np.float32)
    bulge = 1 + np.float32(0.022) * np.sin(phase * np.float32(1.3)) + np.float32(0.016) * np.sin(phase * 0.71)
    centre = dense.mean(0)
    return (centre + (dense - centre) * bulge[:, None]).astype(np.float32)


def _paint_strands(canvas, ring, identity: Identity, unit: float) -> None:
    """Paint short hairs that cross the hairline, so that its rim is not cut with scissors."""
    rng = stream(identity.texture_seed + 1)
    inner = np.concatenate([ring[-_HAIRLINE_POINTS:], ring[:_HAIRLINE_POINTS]])
    pick = rng.integers(0, len(inner) - 1, 44)
    root = inner[pick] + (inner[pick + 1] - inner[pick]) * rng.random((44, 1))
    away = np.column_stack([rng.normal(0, 0.03, 44), rng.uniform(0.02, 0.055, 44)]) * unit
    hairs = np.stack([root - away * 1.5, root + away], 1)
    blend(canvas, lines(canvas, hairs, 0.012 * unit), identity.hair * 0.75, 0.6)


def paint_body(canvas, at, identity: Identity, unit: float, light, jaw: np.ndarray) -> None:
    """Paint the neck as a lit cylinder, the jaw's contact shadow, collar bones, and a plain garment."""
    ring = at["neck"]
    patch = polygon(canvas, ring, blur=0.012 * unit)
    if patch is not None:
        (_, columns), _ = patch
        middle = ring[:, 0].mean()
        x = (np.arange(columns.start, columns.stop, dtype=np.float32) - middle) * np.float32(1 / (0.62 * unit))
        bend = np.clip(x, -1, 1)
        facing = np.sqrt(1 - bend * bend * np.float32(0.9))
        lit = light.ambient * (0.45 + 0.3 * facing) + light.key * 0.72 * np.maximum(
            light.direction[0] * bend + light.direction[2] * facing, 0
        )
        blend(canvas, patch, identity.skin[:, None, None] * lit.astype(np.float32)[None, None])
        shadow = polygon(canvas, jaw + np.array([0, 0.16 * unit], np.float32), blur=0.09 * unit)
        _darken_within(canvas, shadow, patch, 0.48)
    blend(canvas, polygon(canvas, at["clothes"], blur=0.012 * unit), identity.clothes)
    seam = at["clothes"][5:-5]
    darken(canvas, lines(canvas, seam, 0.03 * unit, blur=0.02 * unit), 0.35)


def _darken_within(canvas, patch, limit, amount: float) -> None:
    """Darken where two patches overlap."""
    if patch is None:
        return
    (rows, columns), mask = patch
    (limit_rows, limit_columns), limit_mask = limit
    y0, y1 = max(rows.start, limit_rows.start), min(rows.stop, limit_rows.stop)
    x0, x1 = max(columns.start, limit_columns.start), min(columns.stop, limit_columns.stop)
    if y0 >= y1 or x0 >= x1:
        return
    own = mask[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start]
    other = limit_mask[
        y0 - limit_rows.start : y1 - limit_rows.start, x0 - limit_columns.start : x1 - limit_columns.start
    ]
    darken(canvas, ((slice(y0, y1), slice(x0, x1)), own * other), amount)
