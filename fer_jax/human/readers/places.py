"""Places in another program's log brought to pixels of the picture, and refused where they cannot be such.

Contract: x counts from the left edge, y from the top edge. A log that gives no scale is taken at its word only where
its numbers can be pixels of the picture.
"""

import numpy as np

from fer_jax.errors import DataError

# A log whose places lie in 0..100 in both directions, and reach that far, counts in percent (ours).
_PERCENT_FROM, _PERCENT_SIDE, _FEW = 90, 150, 20
# By so much more of the places lie on their picture the other way round, where x and y are exchanged (ours).
_EXCHANGED = 0.1
_HINT = "give `scale`, picture pixels per unit of the log ('1' where these are pixels indeed)"


def picture_points(
    x: np.ndarray,
    y: np.ndarray,
    size: np.ndarray,
    *,
    scale: tuple[float, float] | None,
    most_outside: float,
    where: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places in picture pixels, and whether each lies on its picture.

    Args:
      x: float (N,), of the log.
      y: float (N,), of the log.
      size: float (N, 2), width and height of each place's picture, pixels. NaN where unknown.
      scale: picture pixels per unit of the log, across and down. None takes places for pixels.
      most_outside: share of places that may lie off their picture.
      where: the log, for messages.

    Raises:
      DataError: unknown sizes, or numbers that cannot be pixels of these pictures.
    """
    if not len(x):
        return x, y, np.zeros(0, bool)
    if np.isnan(size).any():
        raise DataError(
            f"{where}: wanted the size of every picture, to know which places lie on it, got none for "
            f"{int(np.isnan(size).any(1).sum())} of {len(x)} places; give `picture_px` as width and height, or "
            "width_px and height_px in the table of pictures."
        )
    points = np.column_stack([x, y])
    if scale is None:
        _refuse_fractions(points, size, where)
    else:
        points = points * np.asarray(scale, np.float64)
    inside = ((points >= 0) & (points < size)).all(1)
    outside = 1 - inside.mean()
    turned = ((points[:, ::-1] >= 0) & (points[:, ::-1] < size)).all(1).mean()
    exchanged = turned - inside.mean() > _EXCHANGED and (turned == 1 or len(points) >= _FEW)
    if outside > most_outside or exchanged:
        row = int((~inside).argmax())
        (left, top), (width, height) = points[row], size[row]
        what = (
            "x and y look exchanged: name them the other way round with `columns`"
            if exchanged
            else f"screen pixels, or a canvas drawn at another size? {_HINT}"
        )
        raise DataError(
            f"{where}: wanted places on the pictures, got {outside:.0%} of {len(x)} outside, the first at "
            f"({left:g}, {top:g}) on {width:g} x {height:g} pixels; {what}."
        )
    return points[:, 0], points[:, 1], np.asarray(inside)


def _refuse_fractions(points, size, where) -> None:
    low, high = points.min(), points.max(0)
    side = size.min()
    unit = "fractions of the picture" if low >= 0 and high.max() <= 1 and side > 4 else ""
    if low >= 0 and high.max() <= 100 and high.min() > _PERCENT_FROM and side >= _PERCENT_SIDE:
        unit = "percent of the picture" if len(points) >= _FEW else unit
    if unit:
        width, height = size[0]
        part = 1 if unit.startswith("fractions") else 100
        raise DataError(
            f"{where}: wanted places in pixels, got none above {high.max():g} on pictures of {width:g} x {height:g}, "
            f"which look like {unit}; {_HINT}, here '{width / part:g}x{height / part:g}'."
        )
