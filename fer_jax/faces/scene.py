"""Everything that defines one picture, and how it is drawn from (seed, split, index).

Contract: `Parameters` do not depend on the picture's size. Lengths are in IOD or shares of the side. Each thing that
varies has a random stream of its own, so changing how one is drawn leaves the others as they were.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fer_jax import action_units, streams
from fer_jax.categories import Categories
from fer_jax.errors import UsageError, check_count, check_index, check_one_of
from fer_jax.expressions import EXPRESSIONS
from fer_jax.faces.geometry.camera import Light, Pose
from fer_jax.faces.painting.photometry import Photometry
from fer_jax.faces.person.identity import CUT, Identity, draw_identity
from fer_jax.faces.presets import AFFECTNET_PRIOR, Preset, get
from fer_jax.frame import EYES_APART, EYES_MIDDLE

MIN_SIZE = 32
SPLITS = ("train", "validation", "stimuli")
OCCLUDERS = ("none", "glasses", "mask", "hand", "patch")
_STREAMS = ("identity", "expression", "label", "nuisance", "photometry", "units")
# AffectNet's own confusions (ours, after the confusion matrices of its papers).
_CONFUSED = {"contempt": "neutral", "fear": "surprise", "anger": "disgust", "disgust": "contempt"}


@dataclass(frozen=True, eq=False)
class Parameters:
    """One picture.

    Attributes:
      seed: seed of the data set.
      split: one of `SPLITS`.
      index: place in the split.
      size: default side in pixels for `render`.
      preset: the mixture it was drawn from.
      expression: what the face shows, an index into `EXPRESSIONS`.
      label: what the data set says it shows. Differs under label noise only.
      soft_label: float32 (8,), what is in the face when expressions are blended. The noise of labels is not in it.
      intensity: 0..1.2.
      difficulty: 0..1, ours: weak expressions under much nuisance are difficult.
      au: float32 (2, 21).
      identity_seed: number of the person within (seed, split).
      identity: the person.
      pose: head and frame.
      light: light.
      background_seed: seeds the backdrop.
      occluder: an index into `OCCLUDERS`.
      photometry: the last stage.
    """

    seed: int
    split: str
    index: int
    size: int
    preset: Preset
    expression: int
    label: int
    soft_label: np.ndarray
    intensity: float
    difficulty: float
    au: np.ndarray
    identity_seed: int
    identity: Identity
    pose: Pose
    light: Light
    background_seed: int
    occluder: int
    photometry: Photometry

    def replace(self, **changes) -> "Parameters":
        """Return a copy with some fields changed."""
        return replace(self, **changes)


def stream(seed: int, split: str, index: int, name: str, *more: int) -> np.random.Generator:
    """Return the random stream of one thing that varies in one picture."""
    return streams.stream(seed, SPLITS.index(split), index, _STREAMS.index(name), *more)


def prototype_units(seed: int, split: str, index: int, expression: int, *, intensity: float) -> np.ndarray:
    """Draw how the person of a picture shows an expression: float32 (2, 21).

    Each expression has a stream of its own, so that its units do not depend on which expression the picture shows.
    """
    rng = stream(seed, split, index, "units", expression)
    return action_units.sample(rng, expression, intensity=intensity)


def draw(
    seed: int,
    split: str,
    index: int,
    *,
    preset: str | Preset = "study",
    size: int = 96,
    expression: int | None = None,
    identity: int | None = None,
    intensity: float | None = None,
    categories: Categories = EXPRESSIONS,
) -> Parameters:
    """Draw everything that defines picture `index` of a split.

    Args:
      seed: seed of the data set, 0 or more.
      split: "train", "validation" or "stimuli". Their people are different.
      index: place in the split, 0 or more.
      preset: a name in `PRESETS`, or a `Preset`.
      size: default side in pixels for `render`. Nothing else depends on it.
      expression: an index into `EXPRESSIONS`. By default the categories take turns, or come as the prior says.
      identity: the person's number in the split. By default each picture has its own person.
      intensity: of the expression, 0..1.2. By default drawn from the preset's range.
      categories: the expressions that come by turns, by the prior, in blends and as wrong labels.

    Returns:
      The parameters. Equal arguments give equal parameters, in any process and order.

    Raises:
      UsageError: an argument out of range.
    """
    preset = get(preset)
    _check(seed, split, index, size, expression, identity)
    rng = stream(seed, split, index, "expression")
    drawn_intensity = rng.uniform(*preset.intensity)
    intensity = float(drawn_intensity if intensity is None else intensity)
    place = seed, split, index
    shown = expression_indices(categories)
    expression = _expression(place, preset, expression, shown)
    au, soft = _face(rng, place, expression, intensity, preset, shown)
    identity_seed = index if identity is None else identity
    nuisance = stream(seed, split, index, "nuisance")
    return Parameters(
        seed=seed,
        split=split,
        index=index,
        size=size,
        preset=preset,
        expression=expression,
        label=_noisy(place, expression, preset, shown),
        soft_label=soft,
        intensity=intensity,
        difficulty=float(np.clip(0.75 * (1 - intensity) + 0.25 * preset.nuisance / 1.5, 0, 1)),
        au=au,
        identity_seed=identity_seed,
        identity=draw_identity(stream(seed, split, identity_seed, "identity")),
        pose=_pose(nuisance, preset.nuisance),
        light=_light(nuisance, preset.nuisance),
        background_seed=int(nuisance.integers(2**31)),
        occluder=_occluder(nuisance, preset),
        photometry=_photometry(stream(seed, split, index, "photometry"), preset.nuisance),
    )


def expression_indices(categories: Sequence[str]) -> tuple[int, ...]:
    """Return the indices into `EXPRESSIONS` of categories that drawn faces can show.

    Args:
      categories: names of expressions.

    Raises:
      UsageError: a category that is none of the eight expressions.
    """
    for name in categories:
        check_one_of("categories", name, EXPRESSIONS)
    return tuple(EXPRESSIONS.index(name) for name in categories)


def check_size(size: int) -> None:
    """Refuse a picture too small to draw a face in."""
    if size < MIN_SIZE:
        raise UsageError(f"`size`: wanted at least {MIN_SIZE} pixels, got {size}.")


def _check(seed, split, index, size, expression, identity) -> None:
    check_count("seed", seed, 0)
    check_count("index", index, 0)
    check_one_of("split", split, SPLITS)
    check_count("identity", 0 if identity is None else identity, 0)
    check_size(size)
    check_index("expression", 0 if expression is None else expression, len(EXPRESSIONS))


def _expression(place: tuple[int, str, int], preset, expression, shown) -> int:
    if expression is not None:
        return int(expression)
    if preset.prior == "balanced":
        return shown[place[2] % len(shown)]
    odds = np.array(AFFECTNET_PRIOR, float)[list(shown)]
    return shown[int(stream(*place, "label").choice(len(shown), p=odds / odds.sum()))]


def _another(rng, expression: int, shown: tuple[int, ...]) -> int:
    """Draw one of the other expressions shown, each as likely."""
    first = shown.index(expression) if expression in shown else 0
    return shown[int((first + rng.integers(1, len(shown))) % len(shown))]


def _face(rng, place: tuple[int, str, int], expression, intensity, preset, shown) -> tuple[np.ndarray, np.ndarray]:
    """Draw the action units, and say in a soft label what is in them."""
    au = prototype_units(*place, expression, intensity=intensity)
    stir = action_units.stir(rng, preset.nuisance)
    soft = np.zeros(len(EXPRESSIONS), np.float32)
    soft[expression] = 1
    blended, open_set = rng.random(2)
    if open_set < preset.open_set:
        au = action_units.sample_open_set(rng, intensity=intensity)
        soft[:] = 0
        soft[list(shown)] = 1 / len(shown)
    elif blended < preset.blend:
        other = _another(rng, expression, shown)
        share = np.float32(rng.uniform(0.1, 0.5))
        au = (1 - share) * au + share * prototype_units(*place, other, intensity=intensity)
        soft[expression], soft[other] = 1 - share, share
    return np.minimum(au + stir, np.float32(action_units.MAX_INTENSITY)), soft


def _noisy(place: tuple[int, str, int], expression, preset, shown) -> int:
    if not preset.label_noise:
        return expression
    rng = stream(*place, "label")
    rng.random()  # the prior's draw
    if rng.random() >= preset.label_noise:
        return expression
    if preset.label_noise_kind == "affectnet":
        name = EXPRESSIONS[expression]
        confused = EXPRESSIONS.index(_CONFUSED.get(name, name))
        return confused if confused in shown else expression
    return _another(rng, expression, shown)


def _cut_normal(rng, count) -> list[float]:
    return np.clip(rng.normal(size=count), -CUT, CUT).tolist()


def _pose(rng, nuisance) -> Pose:
    yaw, pitch, roll, scale, x, y = _cut_normal(rng, 6)
    return Pose(
        yaw=yaw * 0.20 * nuisance,
        pitch=pitch * 0.10 * nuisance,
        roll=roll * 0.07 * nuisance,
        scale=EYES_APART + 0.01 * float(np.clip(scale * nuisance, -1, 1)),
        centre=(EYES_MIDDLE[0] + 0.01 * nuisance * x * 2 / CUT, EYES_MIDDLE[1] + 0.01 * nuisance * y * 1.5 / CUT),
    )


def _light(rng, nuisance) -> Light:
    across, down, power = _cut_normal(rng, 3)
    about_y = -0.3 + 0.55 * nuisance * across
    about_x = np.clip(0.45 + 0.25 * nuisance * down, -0.2, 1.0)
    direction = (np.sin(about_y) * np.cos(about_x), -np.sin(about_x), np.cos(about_y) * np.cos(about_x))
    key = 0.60 + 0.06 * nuisance * power
    x, y, z = (float(part) for part in direction)
    return Light((x, y, z), 1.06 - key, key)


def _occluder(rng, preset) -> int:
    glasses, other, which = rng.random(3)
    if other < preset.occluders:
        return 2 + int(which * 3)
    return int(glasses < preset.glasses)


def _photometry(rng, nuisance) -> Photometry:
    temperature, gamma, brightness = _cut_normal(rng, 3)
    return Photometry(
        temperature=0.35 * nuisance * temperature / CUT,
        gamma=float(np.exp(0.14 * nuisance * gamma)),
        brightness=float(np.exp(0.09 * nuisance * brightness)),
        blur=float(rng.uniform(0, 1.1) * nuisance),
        noise=1 + float(rng.uniform(0, 5)) * min(nuisance, 1.2),
        jpeg=int(95 - rng.uniform(0, 50) * min(nuisance, 1.0)),
        noise_offset=int(rng.integers(2**20)),
    )
