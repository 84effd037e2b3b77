"""Eyes, brows, nose, mouth and ears, painted over lit skin.

Contract: `canvas` is float32 (3, H, W) in 0..255 and changed in place. `at` maps curve names to float32 (N, 2) pixels.
`unit` is one interocular distance in pixels.
"""

import numpy as np

from fer_jax.action_units import COLUMN
from fer_jax.faces.geometry.frontal import IRIS_RADIUS
from fer_jax.faces.geometry.head import Geometry
from fer_jax.faces.painting.paint import blend, darken, lines, polygon
from fer_jax.faces.person.identity import Identity, darkness
from fer_jax.streams import stream

Curves = dict[str, np.ndarray]


def _step(distance: np.ndarray, soft: float) -> np.ndarray:
    """Return 0 below, 1 above zero, linear over `soft` pixels."""
    return np.clip(distance * np.float32(1 / soft) + np.float32(0.5), 0, 1)


def _pixels(where: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """Return column and row numbers of a patch: float32 (1, w) and (h, 1)."""
    rows, columns = where
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None]
    return x, np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]


def _plane(colour, factor: float = 1.0) -> np.ndarray:
    """Return a colour times a factor, ready to spread over rows and columns: float32 (3, 1, 1)."""
    return (np.asarray(colour, np.float32) * np.float32(factor))[:, None, None]


def _height_at(x: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Return the curve's y at columns x (1, w). The curve runs to the right or to the left."""
    if curve[0, 0] > curve[-1, 0]:
        curve = curve[::-1]
    return np.interp(x[0], curve[:, 0], curve[:, 1]).astype(np.float32)[None]


def paint_eyes(canvas: np.ndarray, at: Curves, identity: Identity, geometry: Geometry, unit: float, dim: float) -> None:
    """Paint lids, sclera, iris, pupil, glint, lashes and crease of both eyes. `dim` is the light on the sclera."""
    for side in (0, 1):
        upper, lower = at[f"lid_upper{side}"], at[f"lid_lower{side}"]
        _paint_lid(canvas, at, identity, side, unit)
        ring = np.concatenate([upper, lower[::-1]])
        patch = polygon(canvas, ring, blur=0.006 * unit)
        if patch is not None:
            blend(canvas, patch, _eyeball(patch[0], at, identity, side, unit, dim))
        _paint_lashes(canvas, upper, lower, identity, unit)


def _paint_lid(canvas, at, identity, side, unit) -> None:
    upper, crease = at[f"lid_upper{side}"], at[f"crease{side}"]
    lid = polygon(canvas, np.concatenate([upper, crease[::-1]]), blur=0.018 * unit)
    if identity.lipstick > 0.3:
        blend(canvas, lid, identity.skin * np.array([0.62, 0.5, 0.55], np.float32), 0.35 * identity.lipstick)
    else:
        darken(canvas, lid, 0.06)
    darken(canvas, lines(canvas, crease[1:], 0.026 * unit, blur=0.009 * unit), 0.42)


def _eyeball(where, at, identity, side, unit, dim) -> np.ndarray:
    """Colour of the eye opening: float32 (3, h, w)."""
    x, y = _pixels(where)
    upper = at[f"lid_upper{side}"]
    centre = at[f"iris{side}"][0]
    radius = IRIS_RADIUS * unit * (1 + 0.25 * identity.shape["eye_size"])
    away = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2)
    soft = max(0.012 * unit, 0.7)
    corner = np.abs(x - centre[0]) * np.float32(1 / (0.26 * unit))
    ball = np.empty((3, *away.shape), np.float32)
    ball[:] = _plane((238, 232, 227), dim * (1 - 0.49 * darkness(identity))) * (
        1 - np.float32(0.22) * np.minimum(corner, 1.2) ** 2
    )
    inner = np.minimum(away * np.float32(1 / radius), 1)
    lower = np.clip((y - centre[1]) * np.float32(1 / radius), -1, 1)
    tint = (np.float32(0.8) + np.float32(0.28) * lower) * (np.float32(1.15) - np.float32(0.62) * inner**4)
    iris = _plane(identity.iris, 1.25 * dim) * tint
    ball += _step(radius - away, soft) * (iris - ball)
    ball *= 1 - _step(np.float32(0.46 * radius) - away, soft) * np.float32(0.93)
    depth = (y - _height_at(x, upper)) * np.float32(1 / (0.06 * unit))
    ball *= 1 - np.float32(0.5) * np.clip(1 - depth, 0, 1)
    spot = np.sqrt((x - centre[0] + 0.36 * radius) ** 2 + (y - centre[1] + 0.38 * radius) ** 2)
    glint = _step(np.float32(0.24 * radius) - spot, soft)
    return ball + glint * (np.float32(245) - ball)


def _paint_lashes(canvas, upper, lower, identity, unit) -> None:
    dark = np.minimum(identity.hair * 0.35, 40)
    thick = 0.040 if identity.feminine else 0.028
    if identity.feminine:
        wing = upper[-1] + (upper[-1] - upper[-3]) * np.float32(0.45) - np.array([0, 0.02 * unit], np.float32)
        upper = np.concatenate([upper, wing[None]])
    blend(canvas, lines(canvas, upper, thick * unit, blur=0.006 * unit), dark, 0.92)
    blend(canvas, lines(canvas, lower, 0.016 * unit, blur=0.008 * unit), identity.skin * 0.38, 0.62)


def paint_brows(canvas: np.ndarray, at: Curves, identity: Identity, unit: float) -> None:
    """Paint a soft shape with strokes that lean outward."""
    rng = stream(identity.texture_seed)
    place, lean = rng.uniform(0.02, 0.95, 26), rng.uniform(0.6, 1.2, 26)
    colour = np.minimum(identity.hair * 0.62, identity.skin * 0.48)
    for side in (0, 1):
        ring = at[f"brow{side}"]
        blend(canvas, polygon(canvas, ring, blur=0.016 * unit), colour, 0.80)
        half = len(ring) // 2
        upper, lower = ring[:half], ring[:half:-1]
        row = np.minimum((place * (half - 2)).astype(int), half - 3)
        root = lower[row] * 0.8 + upper[row] * 0.2
        reach = np.minimum(row + 2, half - 1)
        tip = root + ((upper[reach] - root).T * lean).T
        strokes = np.stack([root, tip], 1)
        blend(canvas, lines(canvas, strokes, 0.014 * unit), colour * 0.6, 0.55)


def paint_nose(canvas: np.ndarray, at: Curves, identity: Identity, unit: float) -> None:
    """Paint nostrils and the rims of the wings."""
    for side in (0, 1):
        blend(canvas, polygon(canvas, at[f"nostril{side}"], blur=0.014 * unit), identity.skin * 0.2, 0.82)
        darken(canvas, lines(canvas, at[f"ala{side}"][1:], 0.03 * unit, blur=0.016 * unit), 0.36)


def lip_colour(identity: Identity) -> np.ndarray:
    """Return the colour of lips: skin drawn towards red, or towards a lipstick."""
    natural = identity.skin * np.array([0.86, 0.60, 0.60], np.float32) + np.array([10, 4, 6], np.float32)
    paint = np.array([186, 44, 62], np.float32) * np.float32(0.65 + 0.35 * float(identity.skin.mean()) / 200)
    return natural + (paint - natural) * np.float32(0.75 * identity.lipstick)


def paint_mouth(
    canvas: np.ndarray, at: Curves, identity: Identity, geometry: Geometry, unit: float, dim: float
) -> None:
    """Paint lips, then what an open mouth shows, then the line between the lips and the corners."""
    top, inner_top = at["lip_top"], at["lip_inner_top"]
    inner_bottom, bottom = at["lip_inner_bottom"], at["lip_bottom"]
    colour = lip_colour(identity) * np.float32(dim)
    soft = 0.014 * unit
    blend(canvas, polygon(canvas, np.concatenate([top, inner_top[::-1]]), blur=soft), colour * 0.80, 0.88)
    low = np.concatenate([inner_bottom, bottom[::-1]])
    blend(canvas, polygon(canvas, low, blur=soft), colour * 0.98, 0.88)
    shine = inner_bottom[5:12] * np.float32(0.5) + bottom[5:12] * np.float32(0.5)
    blend(canvas, lines(canvas, shine, 0.022 * unit, blur=0.018 * unit), colour * 0.5 + 125, 0.42)
    darken(canvas, lines(canvas, bottom[4:13], 0.03 * unit, blur=0.025 * unit), 0.22)
    if geometry.anchors.opening > 0.012:
        hole = polygon(canvas, np.concatenate([inner_top, inner_bottom[::-1]]), blur=0.006 * unit)
        if hole is not None:
            blend(canvas, hole, _mouth_inside(hole[0], at, identity, geometry, unit, dim))
    seam = lines(canvas, inner_top, 0.024 * unit, blur=0.007 * unit)
    blend(canvas, seam, colour * 0.28, 0.88 if geometry.anchors.opening < 0.03 else 0.5)


def _mouth_inside(where, at, identity, geometry, unit, dim) -> np.ndarray:
    """Paint the dark cavity, soft tongue, two shaded rows of teeth that follow the lips: float32 (3, h, w)."""
    x, y = _pixels(where)
    top, bottom = _height_at(x, at["lip_inner_top"]), _height_at(x, at["lip_inner_bottom"])
    left, right = at["lip_inner_top"][0, 0], at["lip_inner_top"][-1, 0]
    across = np.clip((x - (left + right) / 2) / max((right - left) / 2, 1), -1, 1)
    jaw, opening = float(geometry.anchors.jaw), float(geometry.anchors.opening) * unit
    lowered = float(geometry.au[:, COLUMN[16]].mean() + 0.8 * geometry.au[:, COLUMN[20]].mean())
    inside = np.empty((3, len(y), x.shape[1]), np.float32)
    inside[:] = _plane((44, 16, 18))
    if jaw > 0.06:
        rise = bottom - np.float32(0.15 * unit + 0.30 * max(opening - 0.2 * unit, 0)) * (1 - across**2)
        tongue = _step(y - rise, 0.10 * unit) * (1 - np.float32(0.75) * across**2)
        inside += tongue * (_plane((158, 68, 72), dim) - inside)
    shade = np.clip(1.08 - np.abs(across) ** 3 * 1.1, 0.0, 1) * np.float32(dim * (1 - 0.35 * darkness(identity)))
    upper_row = min(0.105 * unit, 0.85 * opening + 0.02 * unit) * (1 - 0.35 * min(jaw / 0.3, 1))
    _lay_teeth(inside, y, top, top + np.float32(upper_row) * (1 - 0.45 * across**2), across, shade, unit, 0.135)
    if lowered > 0.2:
        lower_row = min(0.07 * unit, 0.45 * opening) * min(lowered, 1.2)
        edge = bottom - np.float32(lower_row) * (1 - 0.5 * across**2)
        _lay_teeth(inside, y, edge, bottom + unit, across, shade * np.float32(0.88), unit, 0.10)
    depth = (y - top) * np.float32(1 / (0.05 * unit))
    inside *= 1 - np.float32(0.35) * np.clip(1 - depth, 0, 1)
    inside *= 1 - np.float32(0.8) * _step(np.abs(across) - np.float32(0.86), 0.18)
    return inside


def _lay_teeth(inside, y, upper, lower, across, shade, unit, tooth) -> None:
    """Lay one row between two edges. Teeth are about `tooth` IOD wide in the middle and foreshorten to the sides."""
    soft = max(0.012 * unit, 0.8)
    row = _step(y - upper, soft) * _step(lower - y, soft)
    place = np.arcsin(np.clip(across * np.float32(0.95), -1, 1)) * np.float32(0.42 / tooth)
    gap = np.abs(place - np.rint(place))
    seam = 1 - np.float32(0.20) * np.clip(1 - gap * np.float32(9), 0, 1)
    colour = _plane((240, 234, 222)) * (shade * seam)
    cover = row * np.clip(shade * 3, 0, 1)
    inside += cover * (colour - inside)


def paint_ears(canvas: np.ndarray, at: Curves, identity: Identity, unit: float, light_x: float) -> None:
    """Paint ears behind the face: a shell and its hollow, lit from the side of the light."""
    for side in (0, 1):
        lit = 0.72 + 0.16 * light_x * (-1, 1)[side]
        ear = at[f"ear{side}"]
        blend(canvas, polygon(canvas, ear, blur=0.012 * unit), identity.skin * np.float32(lit) * [1.03, 0.94, 0.92])
        centre = ear.mean(0)
        hollow = centre + (ear - centre) * np.array([0.5, 0.62], np.float32)
        darken(canvas, polygon(canvas, hollow.astype(np.float32), blur=0.03 * unit), 0.30)
