"""One person: about thirty numbers and a few styles, all from one stream.

Contract: shape numbers are in interocular distances (IOD) or relative to the average face. Colours are RGB in 0..255.
Shape is drawn independently of skin tone.
"""

from dataclasses import dataclass

import numpy as np

# Standard deviations (ours), cut at 2.2 SD.
SHAPE_SD = {
    "face_width": 0.05,
    "face_length": 0.045,
    "jaw": 0.07,
    "chin": 0.06,
    "cheekbone": 0.025,
    "eye_size": 0.08,
    "eye_open": 0.12,
    "eye_tilt": 0.035,
    "eye_distance": 0.02,
    "brow_thickness": 0.22,
    "brow_height": 0.035,
    "brow_arch": 0.03,
    "nose_length": 0.065,
    "nose_width": 0.13,
    "nose_bridge": 0.25,
    "mouth_width": 0.085,
    "mouth_height": 0.04,
    "lip_thickness": 0.2,
}
CUT = 2.2
ASYMMETRY_SD = 0.010

# Correlated components: long narrow faces, heavy jaws, baby faces. Loadings in SD units, added to the independent part.
_COMPONENTS = (
    {"face_length": 0.8, "nose_length": 0.7, "mouth_height": 0.6, "face_width": -0.5, "chin": 0.4},
    {"jaw": 0.8, "chin": 0.5, "brow_thickness": 0.6, "brow_height": 0.4, "mouth_width": 0.5, "eye_size": -0.4},
    {"eye_size": 0.7, "nose_length": -0.6, "nose_width": -0.4, "chin": -0.5, "lip_thickness": 0.5, "cheekbone": 0.5},
)
# Mean shift of the shapes typical of one sex, in SD units. Added once or subtracted once.
_SEX_TYPED = {
    "jaw": 0.55,
    "chin": 0.35,
    "brow_thickness": 0.7,
    "brow_height": 0.35,
    "eye_size": -0.35,
    "lip_thickness": -0.35,
    "brow_arch": -0.4,
    "nose_width": 0.3,
}

SKIN = np.array(
    [
        (250, 220, 200),
        (240, 200, 174),
        (228, 182, 150),
        (212, 162, 126),
        (190, 138, 102),
        (164, 112, 80),
        (138, 90, 64),
        (112, 74, 54),
    ],
    np.float32,
)
HAIR = np.array(
    [
        (34, 26, 24),
        (52, 36, 28),
        (78, 52, 36),
        (108, 72, 44),
        (146, 104, 62),
        (190, 152, 98),
        (124, 56, 32),
        (128, 122, 118),
        (62, 50, 46),
    ],
    np.float32,
)
IRIS = np.array(
    [(60, 38, 24), (84, 54, 30), (112, 78, 42), (92, 98, 58), (74, 112, 126), (98, 130, 158)],
    np.float32,
)
CLOTHES = np.array(
    [
        (52, 60, 82),
        (120, 44, 48),
        (64, 92, 74),
        (196, 190, 180),
        (42, 42, 46),
        (146, 120, 88),
        (88, 72, 110),
        (60, 104, 136),
    ],
    np.float32,
)
HAIR_STYLES = ("crop", "side_part", "long", "bob", "tied", "curls")
BEARDS = ("none", "stubble", "full")


@dataclass(frozen=True, eq=False)
class Identity:
    """A person, independent of what the face does.

    Attributes:
      shape: the numbers named in `SHAPE_SD`.
      asymmetry: float32 (2, 6), IOD: brow, upper lid, eye, nose, corner x, corner y of each side.
      age: 0..1, scales grooves.
      feminine: sex-typed appearance, which steers hair, beard and lipstick odds.
      skin_anchor: 0..7, the place on the skin ramp.
      skin: float32 (3,), as are `hair`, `iris` and `clothes`.
      hair_style: an index into `HAIR_STYLES`.
      beard: an index into `BEARDS`.
      freckles: 0..1.
      lipstick: 0..1.
      texture_seed: seeds freckles, strands and strokes.
    """

    shape: dict[str, float]
    asymmetry: np.ndarray
    age: float
    feminine: bool
    skin_anchor: float
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    clothes: np.ndarray
    hair_style: int
    beard: int
    freckles: float
    lipstick: float
    texture_seed: int


def draw_identity(rng: np.random.Generator) -> Identity:
    """Draw a person.

    Args:
      rng: its own stream.

    Returns:
      An `Identity`.
    """
    feminine = bool(rng.random() < 0.5)
    shape = _draw_shape(rng, feminine)
    asymmetry = (np.clip(rng.normal(size=(2, 6)), -CUT, CUT) * ASYMMETRY_SD).astype(np.float32)
    age = float(rng.beta(1.6, 2.4))
    anchor = float(rng.uniform(0, len(SKIN) - 1))
    skin = _on_ramp(SKIN, anchor) + rng.normal(0, 4, 3)
    hair_odds = np.full(len(HAIR), 1.0)
    hair_odds[7] = 4 * max(age - 0.55, 0)
    hair = HAIR[rng.choice(len(HAIR), p=hair_odds / hair_odds.sum())] * rng.uniform(0.85, 1.15)
    styles = (0.05, 0.05, 0.35, 0.25, 0.18, 0.12) if feminine else (0.42, 0.36, 0.03, 0.0, 0.05, 0.14)
    beards = (1.0, 0.0, 0.0) if feminine else (0.58, 0.26, 0.16)
    return Identity(
        shape=shape,
        asymmetry=asymmetry,
        age=age,
        feminine=feminine,
        skin_anchor=anchor,
        skin=np.clip(skin, 30, 255).astype(np.float32),
        hair=np.clip(hair, 12, 235).astype(np.float32),
        iris=IRIS[rng.integers(len(IRIS))],
        clothes=CLOTHES[rng.integers(len(CLOTHES))],
        hair_style=int(rng.choice(len(HAIR_STYLES), p=styles)),
        beard=int(rng.choice(len(BEARDS), p=beards)),
        freckles=float(max(rng.uniform(-2.5, 1), 0)),
        lipstick=float(max(rng.uniform(-1.2, 1), 0)) if feminine else 0.0,
        texture_seed=int(rng.integers(2**31)),
    )


def average() -> Identity:
    """Return the average face: every shape number 0, mid age, mid skin, short hair."""
    return Identity(
        shape=dict.fromkeys(SHAPE_SD, 0.0),
        asymmetry=np.zeros((2, 6), np.float32),
        age=0.4,
        feminine=False,
        skin_anchor=2.0,
        skin=SKIN[2],
        hair=HAIR[1],
        iris=IRIS[1],
        clothes=CLOTHES[0],
        hair_style=0,
        beard=0,
        freckles=0.0,
        lipstick=0.0,
        texture_seed=0,
    )


def darkness(identity: Identity) -> float:
    """Measure how far the skin lies in the dark third of the ramp: 0 before it, 1 at its end.

    There eye whites, teeth and highlights of one brightness for everybody glow as in no photograph, and detectors
    trained on photographs miss the face. What is painted beside dark skin is toned down by this.
    """
    return float(np.clip((130 - identity.skin.mean()) / 50, 0, 1))


def _draw_shape(rng: np.random.Generator, feminine: bool) -> dict[str, float]:
    own = rng.normal(size=len(SHAPE_SD))
    shared = rng.normal(size=len(_COMPONENTS))
    sign = -1.0 if feminine else 1.0
    shape = {}
    for (name, sd), value in zip(SHAPE_SD.items(), own, strict=True):
        loaded = sum(float(weight) * part.get(name, 0.0) for weight, part in zip(shared, _COMPONENTS, strict=True))
        total = float(value) + loaded + sign * _SEX_TYPED.get(name, 0.0)
        shape[name] = min(max(total, -CUT), CUT) * sd
    return shape


def _on_ramp(ramp: np.ndarray, place: float) -> np.ndarray:
    low = min(int(place), len(ramp) - 2)
    return ramp[low] + (ramp[low + 1] - ramp[low]) * np.float32(place - low)
