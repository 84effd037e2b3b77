"""Frontal curves of each part of a face: its shape at rest, and what action units add to it.

Contract: lengths in interocular distances (IOD), origin between the pupils, x to the image's right, y down. Side 0 is
image-left. Half-face formulas have x outward and are mirrored. Magnitudes are ours, tuned by eye.
"""

import numpy as np

from fer_jax.action_units import ACTION_UNITS, COLUMN, NUM_ACTION_UNITS
from fer_jax.faces.geometry.curves import catmull_rom
from fer_jax.faces.person.identity import Identity

SIDE = np.array([-1.0, 1.0], np.float32)

# Linear part: what one full action unit adds to a feature, in IOD, + is down or outward.
EFFECTS = {
    "brow_y0": {1: -0.17, 9: 0.05, 4: 0.135},
    "brow_y1": {1: -0.1224, 9: 0.035, 4: 0.1107, 2: -0.0306},
    "brow_y2": {1: -0.0425, 9: 0.01, 4: 0.0743, 2: -0.102, 6: 0.008},
    "brow_y3": {1: -0.0034, 4: 0.0378, 2: -0.17, 6: 0.022},
    "brow_y4": {4: 0.0162, 2: -0.1445, 6: 0.03},
    "brow_x0": {4: -0.075},
    "brow_x1": {4: -0.05625},
    "brow_x2": {4: -0.0375},
    "brow_x3": {4: -0.015},
    "brow_x4": {4: -0.00375},
    "lid_raise": {5: 0.088},
    "upper_closure": {7: 0.03, 4: 0.012, 9: 0.02},
    "lower_closure": {7: 0.045, 6: 0.04, 9: 0.03},
    "droop": {43: 0.2},
    "gaze": {64: 0.05},
    "ala_y": {9: -0.075, 10: -0.02},
    "ala_x": {9: 0.03, 12: 0.022, 10: 0.015},
    "tip_y": {9: -0.035, 12: 0.008},
    "corner_x": {12: 0.13, 14: 0.035, 20: 0.13, 23: -0.03, 24: -0.035, 15: 0.0, 10: -0.01},
    "corner_y": {12: -0.145, 14: -0.045, 15: 0.115, 20: 0.07, 9: 0.01, 10: 0.012},
    "upper_lip": {10: -0.085, 9: -0.05, 12: -0.012},
    "lower_lip": {16: 0.075, 20: 0.02},
    "lip_push": {17: -0.055},
    "chin": {17: -0.035},
    "gap": {25: 0.055},
    "jaw": {26: 0.34, 27: 0.45},
}
FEATURES = tuple(EFFECTS)
_MATRIX = np.zeros((NUM_ACTION_UNITS, len(FEATURES)), np.float32)
for _feature, _units in EFFECTS.items():
    for _unit, _amount in _units.items():
        _MATRIX[ACTION_UNITS.index(_unit), FEATURES.index(_feature)] = _amount

MAX_JAW = 0.5
_BROW = np.array([(0.19, -0.33), (0.34, -0.385), (0.53, -0.425), (0.72, -0.405), (0.88, -0.32)], np.float32)
_BROW_THICKNESS = np.array([0.038, 0.05, 0.045, 0.032, 0.008], np.float32)
_OBLIQUE = np.array([-0.35, 0.0, 0.5, 0.8, 0.7], np.float32) * 0.055
_OUTLINE = np.array(
    [
        (0.93, -0.78),
        (0.985, -0.38),
        (1.04, 0.05),
        (1.045, 0.42),
        (0.985, 0.82),
        (0.86, 1.20),
        (0.63, 1.55),
        (0.32, 1.79),
        (0.0, 1.86),
    ],
    np.float32,
)
_JAW_LIKE = np.array([0, 0, 0, 0.1, 0.6, 1.0, 1.0, 0.6, 0], np.float32)
_CHIN_LIKE = np.array([0, 0, 0, 0, 0, 0.1, 0.4, 0.85, 1.0], np.float32)
_CROWN = -1.42
_EYE_X = 0.5
_EYE_HALF_WIDTH = 0.245
_UPPER_LID, _LOWER_LID = 0.092, 0.085
IRIS_RADIUS = 0.103
# Lids never close past this share of their opening by the summed pull of units 4, 6, 7 and 9.
_FREE_CLOSURE, _MORE_CLOSURE = 0.3, 0.2

_LID_T = np.linspace(0, 1, 13, dtype=np.float32)
# Mouth samples are dense towards the corner, f = 0 in the middle and 1 at the corner.
_MOUTH_F = np.sin(np.linspace(0, np.pi / 2, 9)).astype(np.float32)


def parts(identity: Identity, au: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, dict]:
    """Return the parts of a face as curves seen from the front.

    Args:
      identity: the person.
      au: float32 (2, 21).

    Returns:
      Name -> (n, 2) curve. Linear features of each side float32 (2, F), by `FEATURES`. The fields of
      `geometry.Anchors`.
    """
    shape = identity.shape
    features = au @ _MATRIX
    value = {name: features[:, column] for column, name in enumerate(FEATURES)}
    jaw = min(float(value["jaw"].mean()), MAX_JAW)
    long = 1 + shape["face_length"]
    tip_y = 0.60 * (1 + shape["nose_length"]) * long + float(value["tip_y"].mean())
    mouth_y = (1.13 + 0.45 * 0.6 * shape["nose_length"]) * long + shape["mouth_height"]
    planar: dict[str, np.ndarray] = {}
    _add_brows(planar, identity, au, features)
    anchors: dict = {"tip_y": tip_y, "jaw": jaw}
    anchors |= _add_eyes(planar, identity, au, value)
    anchors |= _add_nose(planar, identity, value, tip_y)
    anchors |= _add_mouth(planar, identity, au, value, mouth_y, jaw)
    anchors |= _add_outline(planar, identity, value, jaw)
    return planar, features, anchors


def _add_brows(planar, identity, au, features) -> None:
    shape = identity.shape
    a1, a2, a4 = (au[:, COLUMN[unit], None] for unit in (1, 2, 4))
    dy = features[:, 0:5] - a4 * _MATRIX[COLUMN[4], 0:5][None] * (0.85 * np.minimum(a1, 1))
    dy = dy + a1 * a4 * np.maximum(1 - a2, 0) * _OBLIQUE[None]
    arch = np.array([0.25, -0.1, -0.9, -0.5, 0.5], np.float32) * shape["brow_arch"]
    x = _BROW[None, :, 0] * (1 + 0.5 * shape["eye_size"]) + features[:, 5:10] * (1 - 0.5 * np.minimum(a1, 1))
    y = _BROW[None, :, 1] + shape["brow_height"] + arch[None] + dy + identity.asymmetry[:, :1]
    half = _BROW_THICKNESS[None] * (1 + shape["brow_thickness"])
    middle = np.stack([x * SIDE[:, None], y], -1).astype(np.float32)
    lift = np.stack([np.zeros_like(half), half], -1)
    upper = catmull_rom((middle - lift).astype(np.float32), 4)
    lower = catmull_rom((middle + lift).astype(np.float32), 4)
    for side in (0, 1):
        planar[f"brow{side}"] = np.concatenate([upper[side], lower[side, ::-1]])
        planar[f"brow_middle{side}"] = middle[side]


def _add_eyes(planar, identity, au, value) -> dict:
    """Add lids from inner (t = 0) to outer corner (t = 1), thirteen points each, with crease and iris centre."""
    shape, t = identity.shape, _LID_T
    a1, a4 = au[:, COLUMN[1]], au[:, COLUMN[4]]
    half = _EYE_HALF_WIDTH * (1 + shape["eye_size"])
    centre_x = _EYE_X * (1 + shape["eye_distance"])
    scale = (1 + shape["eye_open"]) * (1 + 0.5 * shape["eye_size"])
    upper, lower = _UPPER_LID * scale, _LOWER_LID * scale
    opening = upper + lower
    pull = (value["upper_closure"] + value["lower_closure"]) / opening
    kept = np.where(
        pull > _FREE_CLOSURE,
        (_FREE_CLOSURE + _MORE_CLOSURE * np.tanh((pull - _FREE_CLOSURE) / _MORE_CLOSURE)) / np.maximum(pull, 1e-6),
        1.0,
    )
    upper = upper + value["lid_raise"] + identity.asymmetry[:, 1] - value["upper_closure"] * kept - value["droop"]
    lower = np.maximum(lower - value["lower_closure"] * kept, 0.01)
    upper = np.maximum(upper, 0.004 - lower)
    sadness = 0.6 * a1 * a4
    bow = (4 * t * (1 - t))[None] ** 0.75
    lean = 1 + (0.5 - t)[None] * (0.25 + 1.1 * sadness)[:, None]
    flat = np.clip(value["lower_closure"] * 6, 0, 1)[:, None]
    bow_low = bow * (1 - 0.25 * flat * (1 - bow)) * (1 + (t - 0.5)[None] * 0.35)
    tilt = ((0.5 - t) * (0.06 + 2 * shape["eye_tilt"]))[None] + (t - 0.5)[None] * (0.05 * sadness)[:, None]
    x = (centre_x + half * (2 * t - 1))[None] * SIDE[:, None] + identity.asymmetry[:, 2:3] * 0.5
    top = tilt - upper[:, None] * bow * lean
    bottom = np.maximum(tilt + lower[:, None] * bow_low, top)
    crease = top - (0.045 + 0.02 * np.sqrt(bow)) * (1 - 0.5 * np.clip(a4, 0, 1))[:, None]
    for side in (0, 1):
        planar[f"lid_upper{side}"] = np.column_stack([x[side], top[side]])
        planar[f"lid_lower{side}"] = np.column_stack([x[side], bottom[side]])
        planar[f"crease{side}"] = np.column_stack([x[side] * 1.0, crease[side]])
        gaze = -0.008 + float(value["gaze"][side])
        planar[f"iris{side}"] = np.array([(centre_x * SIDE[side], gaze)], np.float32)
    return {"lid_top": top, "lid_bottom": bottom}


def _add_nose(planar, identity, value, tip_y) -> dict:
    shape = identity.shape
    wide = 1 + shape["nose_width"]
    neutral_tip = tip_y - float(value["tip_y"].mean())
    ala_x = (0.235 * wide + value["ala_x"]).astype(np.float32)
    ala_y = (neutral_tip + 0.10 + value["ala_y"]).astype(np.float32)
    base_y = neutral_tip + 0.165 + 0.4 * float(value["ala_y"].mean())
    for side in (0, 1):
        sign, ax, ay = SIDE[side], ala_x[side], ala_y[side]
        planar[f"nostril{side}"] = np.array(
            [
                (0.055, base_y - 0.03),
                (0.085, base_y - 0.058),
                (0.135, base_y - 0.055),
                (0.155, base_y - 0.03),
                (0.115, base_y - 0.012),
            ],
            np.float32,
        ) * np.array([sign * wide, 1], np.float32)
        planar[f"ala{side}"] = np.array(
            [
                (ax * 0.80, ay - 0.125),
                (ax * 0.98, ay - 0.06),
                (ax * 1.0, ay + 0.005),
                (ax * 0.86, ay + 0.055),
                (ax * 0.62, ay + 0.05),
            ],
            np.float32,
        ) * np.array([sign, 1], np.float32)
    bridge = np.linspace(0.02, tip_y, 4)
    planar["bridge"] = np.column_stack([np.zeros(4), bridge])
    mid_x = np.array([-0.8, -0.4, 0.0, 0.4, 0.8]) * np.repeat(ala_x, [2, 3])
    drop = np.array([0.0, 0.5, 1.0, 0.5, 0.0])
    side_y = np.interp(np.arange(5), [0, 4], ala_y) + 0.05
    planar["nose_base"] = np.column_stack([mid_x, side_y + (base_y - side_y) * drop])
    return {"ala_x": ala_x, "ala_y": ala_y, "base_y": base_y}


def _add_mouth(planar, identity, au, value, mouth_y, jaw) -> dict:
    """Add four lip curves from image-left to image-right corner."""
    shape, f = identity.shape, _MOUTH_F[None]
    pick = lambda unit: au[:, COLUMN[unit]]  # noqa: E731 (four letters for a column)
    width = 0.40 * (1 + shape["mouth_width"])
    corner_x = width + value["corner_x"] + identity.asymmetry[:, 4] - 0.25 * jaw
    corner_dy = value["corner_y"] + 0.48 * jaw + identity.asymmetry[:, 5]
    round_share = np.clip(jaw / 0.25, 0, 1)
    rise = (1 - round_share) * f**2 + round_share * (1 - np.sqrt(np.maximum(1 - f**2, 0)))
    square = 1 - f**4
    upper, lower, push = (_across(value[name]) for name in ("upper_lip", "lower_lip", "lip_push"))
    part = np.clip(_across(pick(25)) + 4 * jaw, 0, 1)
    line = mouth_y + corner_dy[:, None] * rise + (0.35 * upper * square + 0.8 * push * (1 - f**2))
    inner_top = line + 0.65 * part * upper * square
    opening = (0.95 * jaw + _across(value["gap"])) * (1 - rise) + part * lower * square
    inner_bottom = np.maximum(line + opening, inner_top)
    full = 1 + shape["lip_thickness"]
    thin = (1 - 0.22 * pick(12)) * (1 - 0.22 * pick(20)) * (1 - 0.38 * pick(23)) * (1 - 0.42 * pick(24))
    thin = _across(thin * full * (1 - 0.3 * jaw) * (1 - 0.1 * pick(14)))
    bow = 1 - 0.16 * np.exp(-((f / 0.13) ** 2))
    outer_top = inner_top + 0.65 * (1 - part) * upper * square - 0.085 * thin * (1 - f**2.4) * bow
    thick_low = 0.125 * thin * (1 - f**2) ** 0.8
    outer_bottom = inner_bottom + thick_low + (1 - part) * lower * 0.6 * square + 0.2 * push * (1 - f**2)
    outer_bottom = np.maximum(outer_bottom, inner_bottom)
    x = corner_x[:, None] * f * SIDE[:, None]
    for name, y in (
        ("lip_top", outer_top),
        ("lip_inner_top", inner_top),
        ("lip_inner_bottom", inner_bottom),
        ("lip_bottom", outer_bottom),
    ):
        half = np.stack([x, np.broadcast_to(y, x.shape)], -1)
        half[:, 0] = half[:, 0].mean(0)
        planar[name] = np.concatenate([half[0, ::-1], half[1, 1:]]).astype(np.float32)
    return {
        "mouth_y": mouth_y,
        "corner_x": corner_x,
        "corner_y": mouth_y + corner_dy,
        "lip_bottom": float(outer_bottom[:, 0].mean()),
        "opening": float((inner_bottom - inner_top)[:, 0].mean()),
    }


def _across(sides: np.ndarray) -> np.ndarray:
    """Return each side's number at its corner, blended into the mean of both in the middle: (2,) -> (2, 9)."""
    mean = (sides[0] + sides[1]) / 2
    return mean + (sides - mean)[:, None] * _MOUTH_F[None]


def _add_outline(planar, identity, value, jaw) -> dict:
    shape = identity.shape
    half = _OUTLINE.copy()
    half[:, 0] *= 1 + shape["face_width"] + shape["jaw"] * _JAW_LIKE
    half[:, 0] += shape["cheekbone"] * np.exp(-(((half[:, 1] - 0.42) / 0.35) ** 2))
    half[:, 1] *= np.where(half[:, 1] > 0, 1 + shape["face_length"], 1)
    half[:, 1] += shape["chin"] * _CHIN_LIKE
    half[7, 0] *= 1 + 0.8 * shape["jaw"]
    resting_chin = float(half[-1, 1])
    half[:, 1] += float(value["chin"].mean()) * _CHIN_LIKE
    neutral_chin = float(half[-1, 1])
    half[:, 1] += jaw * np.clip((half[:, 1] - 0.6) / 1.1, 0, 1)
    half[5:8, 0] *= 1 - 0.08 * min(jaw / 0.34, 1)
    right = catmull_rom(half, 4)
    left = right * np.array([-1, 1], np.float32)
    planar["outline"] = np.concatenate([left, right[-2::-1]])
    top = np.array([(0.93, -0.78), (0.72, -1.18), (0.0, _CROWN)], np.float32)
    top[:, 0] *= 1 + shape["face_width"]
    arc = catmull_rom(np.concatenate([top, (top * np.array([-1, 1], np.float32))[-2::-1]]), 4)
    planar["crown"] = arc
    return {
        "chin_y": float(half[-1, 1]),
        "neutral_chin": neutral_chin,
        "resting_chin": resting_chin,
        "half_width": float(half[:, 0].max()),
    }
