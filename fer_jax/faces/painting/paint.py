"""Soft shapes on a float picture, each composited in its own region of interest.

Contract: a canvas is float32 (3, H, W), planes R, G, B in 0..255 (planes, because a mask then multiplies long rows).
Shapes are float32 (N, 2) pixels, x then y. A patch is a pair (slices, mask) with the mask float32 (h, w) in [0, 1], or
None when the shape lies outside.
"""

import functools

import cv2
import numpy as np

from fer_jax.streams import stream

_SHIFT = 4
_ONE = 1 << _SHIFT
Patch = tuple[tuple[slice, slice], np.ndarray]


def region(canvas: np.ndarray, points: np.ndarray, margin: float) -> tuple[int, int, int, int] | None:
    """Return the box (x0, y0, x1, y1) of whole pixels around points, cut to the canvas. None when nothing is left."""
    height, width = canvas.shape[1:]
    left, top, across, down = cv2.boundingRect(np.ascontiguousarray(points, np.float32))
    x0, y0 = max(int(left - margin), 0), max(int(top - margin), 0)
    x1, y1 = min(int(left + across + margin) + 2, width), min(int(top + down + margin) + 2, height)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def soften(mask: np.ndarray, blur: float) -> np.ndarray:
    """Return a Gaussian blur of a byte mask. Below .3 px it is left alone."""
    if blur < 0.3:
        return mask
    width = 2 * max(1, round(2.5 * blur)) + 1
    return cv2.GaussianBlur(mask, (width, width), blur, borderType=cv2.BORDER_REPLICATE)


def polygon(canvas: np.ndarray, points: np.ndarray, *, blur: float = 0.0) -> Patch | None:
    """Return a filled polygon as a patch, its rim softened by `blur` pixels."""
    box = region(canvas, points, 3 * blur + 1)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    fixed = np.rint((points - (x0, y0)) * _ONE).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, _SHIFT)
    return (slice(y0, y1), slice(x0, x1)), soften(mask, blur).astype(np.float32) * np.float32(1 / 255)


def lines(
    canvas: np.ndarray, curves: np.ndarray, thickness: float, *, closed: bool = False, blur: float = 0.0
) -> Patch | None:
    """Draw curves (N, 2), or many of one length (K, N, 2), of a thickness in pixels as one patch.

    What is thinner than a pixel becomes fainter.
    """
    curves = curves.reshape(-1, *curves.shape[-2:])
    box = region(canvas, curves.reshape(-1, 2), thickness + 3 * blur + 1)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    fixed = list(np.rint((curves - (x0, y0)) * _ONE).astype(np.int32))
    whole = max(1, round(thickness))
    cv2.polylines(mask, fixed, closed, 255, whole, cv2.LINE_AA, _SHIFT)
    strength = min(1.0, thickness / whole) if thickness < 1 else 1.0
    return (slice(y0, y1), slice(x0, x1)), soften(mask, blur).astype(np.float32) * np.float32(strength / 255)


def blend(canvas: np.ndarray, patch: Patch | None, colour, alpha: float = 1.0) -> None:
    """Lay a colour (3 numbers, or float32 (3, h, w)) over the canvas through a patch, in place."""
    if patch is None or alpha <= 0:
        return
    (rows, columns), mask = patch
    colour = np.asarray(colour, np.float32)
    if colour.ndim == 1:
        colour = colour[:, None, None]
    under = canvas[:, rows, columns]
    change = colour - under
    change *= mask if alpha == 1 else mask * np.float32(alpha)
    under += change


def darken(canvas: np.ndarray, patch: Patch | None, amount: float) -> None:
    """Multiply the canvas by 1 - amount · mask, in place."""
    if patch is None:
        return
    (rows, columns), mask = patch
    canvas[:, rows, columns] *= 1 - np.float32(amount) * mask


@functools.cache
def noise(size: int, across: float, down: float) -> np.ndarray:
    """Return a fixed read-only noise field float32 (size, size), smooth over the given pixels, mean 0, deviation 1."""
    rng = stream(size, 7)
    field = rng.normal(size=(size, size)).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), sigmaX=max(across, 0.3), sigmaY=max(down, 0.3))
    field = ((field - field.mean()) / field.std()).astype(np.float32)
    field.flags.writeable = False
    return field
