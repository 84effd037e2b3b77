"""Sheets of drawn faces to look at: who is drawn, what tells two expressions apart, what is known of each pixel.

Contract: sheets and tiles are uint8 (H, W, 3) RGB. Every sheet says at its foot that its faces are synthetic.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from fer_jax.action_units import ACTION_UNITS
from fer_jax.errors import UsageError, check_count
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces.oracle import oracle, pair_units, unit_mask
from fer_jax.faces.person.regions import region_mask
from fer_jax.faces.presets import Preset
from fer_jax.faces.render import Face, render
from fer_jax.faces.scene import Parameters, draw, expression_indices
from fer_jax.streams import stream

BAND = 28  # px above the tiles and below the last row
_STRIP = 18  # px above a tile that has a caption of its own
_UNIT_ROWS = 4
_SHUFFLE = 48  # the stream of the naming sheet's order
_HOT, _SHOWN, _HIDDEN = (255, 40, 0), (60, 255, 60), (255, 60, 60)
_REGION_COLOURS = np.array(
    [
        (0, 0, 0),
        (230, 60, 60),
        (60, 90, 230),
        (240, 160, 40),
        (50, 180, 220),
        (200, 120, 200),
        (110, 190, 110),
        (240, 230, 70),
        (160, 110, 60),
        (220, 40, 150),
        (120, 230, 200),
    ],
    np.float32,
)  # of no region, then of REGIONS


class Shown(NamedTuple):
    """The expression that a tile of a naming sheet shows, an index into `EXPRESSIONS`, and the person's number."""

    expression: int
    identity: int


def cast(
    seed: int,
    *,
    preset: str | Preset = "easy",
    size: int = 224,
    identities: int = 6,
    expressions: Sequence[str] = EXPRESSIONS,
    split: str = "stimuli",
) -> list[Parameters]:
    """Draw each of some people showing each of some expressions: people in turn, expressions within.

    Args:
      seed: seed of the data set.
      preset: a name in `PRESETS`, or a `Preset`.
      size: side of a face in pixels.
      identities: how many people, the first of the split.
      expressions: names, in the order of the columns.
      split: "train", "validation" or "stimuli".

    Returns:
      Parameters of identities x expressions pictures, each with its own pose, light and backdrop.

    Raises:
      UsageError: nobody, or nothing to show.
    """
    check_count("identities", identities, 1)
    if not expressions:
        raise UsageError("`expressions`: wanted at least one, got none.")
    return [
        draw(
            seed,
            split,
            person * len(EXPRESSIONS) + expression,
            preset=preset,
            size=size,
            expression=expression,
            identity=person,
        )
        for person in range(identities)
        for expression in expression_indices(expressions)
    ]


def contact_sheet(scenes: Sequence[Parameters], *, foot: str = "") -> np.ndarray:
    """Draw a row for each person and a column for each expression, named above.

    Args:
      scenes: from `cast`.
      foot: added to the line at the foot.

    Returns:
      uint8 (2 bands + people * size, expressions * size, 3).
    """
    columns = list(dict.fromkeys(each.expression for each in scenes))
    tiles = [render(each).image for each in scenes]
    head = _band([EXPRESSIONS[column] for column in columns], scenes[0].size)
    return _footed(np.concatenate([head, _grid(tiles, len(columns))]), foot)


def naming_sheet(scenes: Sequence[Parameters], *, seed: int = 0, foot: str = "") -> tuple[np.ndarray, list[Shown]]:
    """Draw the faces unnamed, shuffled and numbered from 1, so that a person can try to name what they show.

    Args:
      scenes: from `cast`.
      seed: of the order.
      foot: added to the line at the foot.

    Returns:
      The sheet, eight tiles to a row, and its key: what tile 1, 2, ... shows.
    """
    rng = stream(seed, _SHUFFLE)
    order = [scenes[place] for place in rng.permutation(len(scenes)).tolist()]
    tiles = [_captioned(render(each).image, str(number)) for number, each in enumerate(order, 1)]
    key = [Shown(each.expression, each.identity_seed) for each in order]
    return _footed(_grid(tiles, min(8, len(tiles))), foot), key


def oracle_sheet(scenes: Sequence[Parameters], *, foot: str = "") -> np.ndarray:
    """Draw every two expressions of one person in one pose and light, and the oracle D that tells them apart.

    Photometry and occluders are off, as they are for the oracle. D is laid over the first picture in red. Full red is
    the pair's largest difference, which the caption gives in Lab units.

    Args:
      scenes: from `cast`, with two expressions or more.
      foot: added to the line at the foot.

    Returns:
      A sheet with two pairs to a row.

    Raises:
      UsageError: fewer than two expressions.
    """
    pairs = [(a, b) for i, a in enumerate(scenes) for b in scenes[i + 1 :] if a.identity_seed == b.identity_seed]
    if not pairs:
        raise UsageError("`expressions`: wanted at least two, to be told apart, got one.")
    tiles = []
    for first, second in pairs:
        names = EXPRESSIONS[first.expression], EXPRESSIONS[second.expression]
        change = oracle(first, second.expression)
        bare = first.replace(occluder=0)
        pictures = [
            render(bare.replace(au=units), photometry=False).image for units in pair_units(first, second.expression)
        ]
        heat = _heated(pictures[0], change / max(float(change.max()), 1e-6))
        captions = (*names, f"D <= {change.max():.0f}")
        tiles += [_captioned(tile, text) for tile, text in zip((*pictures, heat), captions, strict=True)]
    return _footed(_grid(tiles, 6), foot)


def mask_sheet(scenes: Sequence[Parameters], *, foot: str = "") -> np.ndarray:
    """Draw a column for each scene: 68 landmarks (red where hidden), ten regions, and where its strongest units show.

    Args:
      scenes: from `cast`.
      foot: added to the line at the foot.

    Returns:
      A sheet of six rows.
    """
    columns = []
    for each in scenes:
        face = render(each)
        column = [
            _captioned(_with_landmarks(face), EXPRESSIONS[each.expression]),
            _captioned(_with_regions(face), "regions"),
            *_units(each),
        ]
        columns.append(np.concatenate(column))
    return _footed(np.concatenate(columns, 1), foot)


def _units(scene: Parameters) -> Iterable[np.ndarray]:
    """Yield tiles of the strongest units of a scene, and white ones where fewer act."""
    plain = render(scene.replace(occluder=0), photometry=False).image
    strength = scene.au.max(0)
    for place in np.argsort(-strength, kind="stable")[:_UNIT_ROWS]:
        if strength[place] <= 0:
            yield _captioned(np.full_like(plain, 255), "")
            continue
        change = unit_mask(scene, ACTION_UNITS[place])
        heat = _heated(plain, change / max(float(change.max()), 1e-6))
        yield _captioned(heat, f"AU {ACTION_UNITS[place]}: {strength[place]:.2f}")


def _with_landmarks(face: Face) -> np.ndarray:
    image = face.image.copy()
    radius = max(1, image.shape[0] // 120)
    for (x, y), seen in zip(np.rint(face.landmarks).astype(int).tolist(), face.visible, strict=True):
        cv2.circle(image, (x, y), radius, _SHOWN if seen else _HIDDEN, -1, cv2.LINE_AA)
    return image


def _with_regions(face: Face) -> np.ndarray:
    regions = region_mask(face, face.image.shape[0])
    tint = _REGION_COLOURS[regions]
    share = np.float32(0.45) * (regions > 0)[..., None]
    return np.rint(face.image * (1 - share) + tint * share).astype(np.uint8)


def _heated(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay red over a grey copy, as strong as the heat in 0..1."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    share = np.float32(0.9) * heat[..., None]
    return np.rint(grey * (1 - share) + np.array(_HOT, np.float32) * share).astype(np.uint8)


def _grid(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows, columns, height, width, 3), 255, np.uint8)
    for place, tile in enumerate(tiles):
        sheet[divmod(place, columns)] = tile
    return np.ascontiguousarray(sheet.transpose(0, 2, 1, 3, 4)).reshape(rows * height, columns * width, 3)


def _captioned(tile: np.ndarray, text: str) -> np.ndarray:
    strip = np.full((_STRIP, tile.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, text, (3, _STRIP - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([strip, tile])


def _band(names: Sequence[str], size: int) -> np.ndarray:
    band = np.full((BAND, size * len(names), 3), 255, np.uint8)
    for column, name in enumerate(names):
        place = (column * size + size // 28, BAND - 9)
        cv2.putText(band, name, place, cv2.FONT_HERSHEY_SIMPLEX, size / 350, (0, 0, 0), 1, cv2.LINE_AA)
    return band


def _footed(sheet: np.ndarray, foot: str) -> np.ndarray:
    band = np.full((BAND, sheet.shape[1], 3), 255, np.uint8)
    text = "synthetic faces" + (f": {foot}" if foot else "")
    cv2.putText(band, text, (6, BAND - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([sheet, band])
