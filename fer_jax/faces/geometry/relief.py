"""Relief, shade and redness of a face: every bump, wrinkle and freckle as a sum of Gaussians.

Contract: places are frontal, in IOD. Maps are float32 (rows, columns) over a `Grid`. A bead is a row of x, y, width,
height, relief (IOD), shade (minus log albedo), redness. Thirteen beads make a groove. One matrix product sums them.
"""

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from fer_jax.action_units import COLUMN
from fer_jax.faces.geometry.curves import basis
from fer_jax.faces.geometry.frontal import SIDE
from fer_jax.faces.geometry.head import Geometry
from fer_jax.faces.person.identity import Identity
from fer_jax.streams import stream

X_RANGE, Y_RANGE = (-1.32, 1.32), (-1.5, 2.5)
_GROOVE_BEADS = 13
_RAMP = np.linspace(0, 3, _GROOVE_BEADS)
_LOW = np.minimum(_RAMP.astype(int), 2)
_TAPER = np.sin(np.linspace(0.28, np.pi - 0.28, _GROOVE_BEADS)) ** 0.8
# The grid is summed in tiles, each over the beads that reach it: products this small stay in one thread.
_BANDS = 6  # of rows
_STRIP = 72  # columns
_REACH = 5.5  # widths. What lies further off is below 1e-13


@dataclass(frozen=True)
class Grid:
    """Places of the texture: float32 axes and their step in IOD."""

    x: np.ndarray
    y: np.ndarray
    step: float


@functools.cache
def grid(size: int) -> Grid:
    """Return the grid for a picture's side: about one cell a pixel up to 224, never finer."""
    step = max(3.6 / size, 0.0205)
    columns = int(np.ceil((X_RANGE[1] - X_RANGE[0]) / step)) + 1
    rows = int(np.ceil((Y_RANGE[1] - Y_RANGE[0]) / step)) + 1
    x, y = X_RANGE[0] + step * np.arange(columns), Y_RANGE[0] + step * np.arange(rows)
    return Grid(x.astype(np.float32), y.astype(np.float32), step)


def maps(identity: Identity, geometry: Geometry, places: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return relief (IOD), shade (minus log albedo) and redness over the grid.

    Args:
      identity: age, freckles.
      geometry: where features are and which units act.
      places: the grid.

    Returns:
      Three float32 (rows, columns).
    """
    beads = np.concatenate([_bumps(identity, geometry), _grooves(identity, geometry), _freckles(identity)])
    single = beads.astype(np.float32)
    across = np.exp(-(((places.x[None] - single[:, :1]) / single[:, 2:3]) ** 2)).astype(np.float64)
    down = np.exp(-(((places.y[None] - single[:, 1:2]) / single[:, 3:4]) ** 2)).astype(np.float64)
    low, high = beads[:, 1] - 2.8 * beads[:, 3], beads[:, 1] + 2.8 * beads[:, 3]
    left, right = beads[:, 0] - _REACH * beads[:, 2], beads[:, 0] + _REACH * beads[:, 2]
    acts = np.abs(beads[:, 4:]) > 1e-4
    out = np.empty((3, len(places.y), len(places.x)), np.float32)
    strips = _pieces(len(places.x), -(-len(places.x) // _STRIP))
    for top, bottom in _pieces(len(places.y), _BANDS):
        in_rows = (low < places.y[bottom - 1]) & (high > places.y[top])
        for start, stop in strips:
            near = in_rows & (left < places.x[stop - 1]) & (right > places.x[start])
            for number in range(3):
                kept = np.flatnonzero(near & acts[:, number])
                weighted = down[kept, top:bottom] * beads[kept, 4 + number, None]
                # Double precision, so that a BLAS that sums in another order still rounds to the same float32.
                out[number, top:bottom, start:stop] = weighted.T @ across[kept, start:stop]
    return out[0], out[1], out[2]


@functools.cache
def _pieces(count: int, pieces: int) -> list[tuple[int, int]]:
    """Return bounds of stretches that cover `count` cells."""
    return list(itertools.pairwise(np.linspace(0, count, pieces + 1).astype(int).tolist()))


def _freckles(identity: Identity) -> np.ndarray:
    if identity.freckles <= 0:
        return np.zeros((0, 7))
    rng = stream(identity.texture_seed)
    x = rng.normal(0, 0.42, 70)
    y = 0.36 + rng.normal(0, 0.13, 70) + 0.1 * np.abs(x)
    size = rng.uniform(0.012, 0.02, 70)
    dark = rng.uniform(0.1, 0.35, 70) * identity.freckles
    return np.column_stack([x, y, size, size, np.zeros(70), dark, 0.2 * dark])


def _bumps(identity: Identity, geometry: Geometry) -> np.ndarray:
    """Return beads that are no groove: rows of x, y, width, height, relief, shade, redness."""
    au, anchors = geometry.au, geometry.anchors
    left, right = (dict(zip(COLUMN, side, strict=True)) for side in au.tolist())
    a4, a9, a17 = (float(au[:, COLUMN[u]].mean()) for u in (4, 9, 17))
    tip, chin = anchors.tip_y, anchors.chin_y
    ala_y, low = float(anchors.ala_y.mean()), anchors.lip_bottom
    bridge = identity.shape["nose_bridge"]
    young = 1 - identity.age
    brow_y = geometry.curves["brow_middle0"][2, 1], geometry.curves["brow_middle1"][2, 1]
    middle = [
        (0.0, tip, 0.13, 0.10, 0.05, -0.06, 0.10),
        (0.0, 0.15, 0.09, 0.28, 0.04 + 0.05 * bridge, -0.02, 0),
        (0.0, ala_y + 0.14, 0.16, 0.05, 0.0, 0.34, 0),
        (0.0, ala_y + 0.20, 0.035, 0.09, -0.018, 0.08, 0),
        (0.0, chin - 0.17, 0.20, 0.13, 0.07, 0.0, 0.04),
        (0.0, low + 0.07, 0.22, 0.045, -0.035, 0.22, 0),
        (0.0, -0.95, 0.5, 0.3, 0.05, 0.0, 0.0),
        (0.0, -0.30, 0.10, 0.12, 0.03 * a4, 0.10 * a4, 0.05),
        (0.0, 0.06, 0.11, 0.10, 0.0, 0.10 * a9, 0.06 * a9),
        (0.0, low + 0.12, 0.20, 0.10, 0.03 * a17, 0.0, 0.0),
    ]
    rows = []
    for s in (0, 1):
        sign = float(SIDE[s])
        a4, a6, a9, a12, a14, a17, a20, a10, a15 = ((left, right)[s][u] for u in (4, 6, 9, 12, 14, 17, 20, 10, 15))
        cheek = max(a6, 0.75 * a12, 0.3 * a10)
        cx, cy = float(anchors.corner_x[s]), float(anchors.corner_y[s])
        ax, ay = float(anchors.ala_x[s]), float(anchors.ala_y[s])
        by = float(brow_y[s])
        rows += [
            (sign * 0.42, by - 0.02, 0.30, 0.09, 0.045 + 0.02 * a4, 0, 0),
            (sign * 0.50, by + 0.18, 0.27, 0.07, -0.02, 0.12 + 0.10 * a4, 0.02),
            (sign * 0.27, -0.02, 0.09, 0.13, -0.05, 0.20, 0.02),
            (sign * 0.50, 0.0, 0.24, 0.16, -0.055, 0.10, 0.03),
            (sign * 0.50, 0.0, 0.20, 0.13, 0.05, 0, 0),
            (sign * 0.50, 0.20, 0.20, 0.07, -0.012, 0.05 + 0.06 * identity.age, 0.02),
            (sign * 0.66, 0.36, 0.26, 0.18, 0.045 + 0.02 * young, -0.04, 0.09),
            (sign * 0.60, 0.42, 0.20, 0.15, 0.10 * cheek, -0.07 * cheek, 0.10 * cheek),
            (sign * 0.62, 0.64, 0.22, 0.06, -0.02 * cheek, 0.10 * cheek, 0.0),
            (sign * 0.70, 0.95, 0.20, 0.28, -0.03 * (0.6 + 0.6 * identity.age) - 0.02 * a20, 0.05, 0),
            (sign * 0.98, -0.55, 0.14, 0.25, -0.04, 0.08, 0),
            (sign * ax * 0.78, ay, 0.095, 0.075, 0.085 + 0.02 * a9, 0.0, 0.08),
            (sign * (ax * 0.78 + 0.085), ay + 0.02, 0.035, 0.07, -0.02, 0.20, 0.03),
            (sign * 0.19, 0.38, 0.055, 0.22, -0.02, 0.10, 0),
            (sign * (cx + 0.02), cy, 0.05, 0.04, -0.02, 0.20 + 0.25 * a14 + 0.12 * a12 + 0.1 * a15, 0),
            (sign * (cx + 0.17), cy - 0.02, 0.09, 0.14, 0.055 * a14 + 0.02 * a12, -0.06 * a14, 0.04 * a14),
            (sign * (cx + 0.06), cy + 0.16, 0.08, 0.08, 0.045 * a15, 0, 0),
            (sign * 0.10, low + 0.16, 0.055, 0.05, 0.03 * a17, 0, 0),
            (sign * 0.19, low + 0.20, 0.04, 0.05, -0.03 * a17, 0.15 * a17, 0),
            (sign * 0.05, chin - 0.12, 0.03, 0.04, -0.022 * a17, 0.12 * a17, 0),
        ]
    return np.array(middle + rows, np.float64)


def _grooves(identity: Identity, geometry: Geometry) -> np.ndarray:
    """Return wrinkles as rows of beads, tapered at both ends."""
    au, anchors, age = geometry.au, geometry.anchors, identity.age
    aged = 0.6 + 0.5 * age
    controls, strength, width = [], [], []

    def add(points, power, sigma):
        power = [power] * 4 if isinstance(power, float) else power.tolist()
        if max(power) > 0.05:
            controls.append(points)
            strength.append(power)
            width.append(sigma)

    low = anchors.lip_bottom
    for s in (0, 1):
        a = dict(zip(COLUMN, au[s].tolist(), strict=True))
        side = float(SIDE[s])
        start = len(controls)
        ax, ay = float(anchors.ala_x[s]), float(anchors.ala_y[s])
        cx, cy = float(anchors.corner_x[s]), float(anchors.corner_y[s])
        lid = float(anchors.lid_bottom[s, 6])
        brow = geometry.curves[f"brow_middle{s}"][:, 1]
        fold = min(0.03 + 0.16 * age + max(0.95 * a[12], 0.9 * a[10], 0.85 * a[9], 0.4 * a[20], 0.35 * a[14]), 1.1)
        out = 0.02 + 0.07 * max(a[12], a[10], 0.6 * a[9])
        add(
            [(ax + 0.01, ay - 0.09), (ax + 0.07 + out, ay + 0.06), (cx + 0.09, cy - 0.20), (cx + 0.11, cy - 0.02)],
            fold * aged,
            0.030,
        )
        bag = 0.05 + 0.22 * age + 0.45 * a[6] + 0.25 * a[7] + 0.35 * a[9]
        add([(0.30, 0.10), (0.40, lid + 0.09), (0.56, lid + 0.10), (0.72, lid + 0.04)], bag * aged, 0.026)
        for fan in (-0.10, 0.0, 0.10):
            add(
                [(0.80, -0.01 + 0.3 * fan), (0.87, fan * 0.7), (0.93, fan * 1.1), (1.0, fan * 1.6 + 0.01)],
                (0.85 * a[6] + 0.25 * a[9] + 0.2 * age) * (0.25 + 0.75 * age),
                0.016,
            )
        rise, outer = a[1], a[2]
        for line in (0, 1, 2):
            y = -0.64 - 0.115 * line - 0.05 * rise
            power = np.array([rise, 0.9 * max(rise, 0.7 * outer), 0.75 * outer + 0.15 * rise, 0.45 * outer])
            arc = 0.04 * max(rise - outer, 0)
            add(
                [(0.0, y - 0.01 - arc), (0.22, y), (0.48, y - 0.02 + arc), (0.74, y + 0.03 + arc)],
                (power + 0.10 * age) * aged * (1, 0.85, 0.6)[line],
                0.025,
            )
        add(
            [
                (0.085, -0.16),
                (0.075, -0.28),
                (0.085 - 0.01 * a[4], float(brow[0]) - 0.06),
                (0.11, float(brow[0]) - 0.19),
            ],
            a[4] * (0.95 - 0.25 * a[1]) * aged + 0.05 * age,
            0.024,
        )
        for line in (0, 1, 2):
            y = -0.08 + 0.085 * line
            add(
                [(0.01, y + 0.012), (0.06, y), (0.11, y + 0.02), (0.17, y + 0.075)],
                0.75 * a[9] * (1, 1, 0.8)[line],
                0.023,
            )
        add([(0.13, 0.22), (0.17, 0.32), (0.21, 0.40), (0.27, 0.46)], 0.8 * a[9], 0.024)
        add(
            [(cx + 0.01, cy + 0.015), (cx + 0.05, cy + 0.09), (cx + 0.06, cy + 0.19), (cx + 0.02, cy + 0.30)],
            1.0 * a[15] * aged + 0.10 * age,
            0.028,
        )
        add(
            [(cx + 0.055, cy - 0.13), (cx + 0.085, cy - 0.05), (cx + 0.085, cy + 0.04), (cx + 0.045, cy + 0.12)],
            1.25 * a[14] + 0.3 * a[12] + 0.55 * a[20],
            0.022,
        )
        add(
            [(0.0, low + 0.055), (0.10, low + 0.05), (0.19, low + 0.065), (0.27, low + 0.12)],
            0.1 + 0.75 * a[17] + 0.3 * a[24],
            0.026,
        )
        for points in range(start, len(controls)):
            controls[points] = [(side * x, y) for x, y in controls[points]]
    return _as_beads(np.array(controls), np.array(strength), np.array(width))


def _as_beads(controls: np.ndarray, strength: np.ndarray, width: np.ndarray) -> np.ndarray:
    matrix = basis(4, (_GROOVE_BEADS - 1) // 3).astype(np.float64)
    places = matrix @ controls  # (G, 13, 2)
    power = strength[:, _LOW] * (1 - (_RAMP - _LOW)) + strength[:, _LOW + 1] * (_RAMP - _LOW)
    power = power * _TAPER
    gap = np.sqrt((np.diff(places, axis=1) ** 2).sum(2)).max(1)
    # Beads closer than two widths sum to a smooth groove. The sum grows with their density.
    power = power * np.minimum(gap / (width * np.sqrt(np.pi)), 1.0)[:, None]
    sigma = np.maximum(np.repeat(width[:, None], _GROOVE_BEADS, 1), gap[:, None] * 0.75)
    beads = np.stack(
        [
            places[..., 0],
            places[..., 1],
            sigma,
            sigma,
            -0.55 * sigma * power,
            0.42 * power,
            0 * power,
        ],
        -1,
    )
    return beads.reshape(-1, 7)
