"""The numbers of the simulated observers' model: profiles, dynamics, one person's, one image's.

Contract: T images, R regions. Images and people draw from separate streams, so that person p is the same in a
cohort of any size. All numbers are ours, calibrated to the paper's figures (§4.3) on the mean over twelve seeds (±
standard deviation between them): accuracy .84 ± .01, r(clicks, time) .93 ± .02, r(clicks, accuracy) −.57 ± .10,
r(time, accuracy) −.68 ± .08.
"""

import dataclasses

import numpy as np
import pandas as pd

from fer_jax import provenance
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS, index_of
from fer_jax.human.observers.regions import NUM_REGIONS, photograph_evidence, region_centres
from fer_jax.streams import stream

IMAGE_STREAM, PERSON_STREAM, ANSWER_STREAM = 1, 2, 3


@dataclasses.dataclass(frozen=True)
class Profile:
    """The habits of looking of a kind of observer.

    Attributes:
      habit: weight of the usual order (left eye, right eye, mouth).
      seek: weight of the logarithm of a region's evidence.
      bias: added to the preference for each region.
      aim: "region", or "anywhere" (uniform over the image), or "centre" (normal around its middle).
    """

    habit: float = 1.0
    seek: float = 0.55
    bias: tuple[float, ...] = (0.0,) * NUM_REGIONS
    aim: str = "region"


_PROFILES = (
    Profile(),
    Profile(bias=(2.5, 2.5, *(0.0,) * (NUM_REGIONS - 2))),
    Profile(bias=(0.0, 0.0, 4.0, *(0.0,) * (NUM_REGIONS - 3))),
    Profile(habit=0.0, seek=2.5),
    Profile(aim="anywhere"),
    Profile(aim="centre"),
)
PROFILES = dict(zip(provenance.PROFILES, _PROFILES, strict=True))

# How readily (true, foil) is taken for what it is. Below 1 the truth looks like the foil. 1 where not named.
CONFUSABILITY = {
    ("contempt", "neutral"): 0.40,
    ("neutral", "contempt"): 1.05,
    ("fear", "surprise"): 0.45,
    ("surprise", "fear"): 0.80,
    ("anger", "disgust"): 0.60,
    ("disgust", "anger"): 0.80,
    ("disgust", "contempt"): 0.65,
    ("contempt", "disgust"): 0.90,
}


@dataclasses.dataclass(frozen=True)
class Dynamics:
    """Numbers of the model.

    Varying numbers are log-normal unless noted: given are its median and its spread, the deviation of the logarithm.

    Attributes:
      strength_power: of a pair's evidence, relative to the study's mean, in the strength of its images.
      strength_spread: between images of a pair.
      strength_noise: standard deviation of what is added to the strength of hard images, so that some mislead.
      gain: evidence added by a first click per unit of strength.
      gain_spread: between people.
      gain_power: of a region's share of the evidence.
      revisit: factor on gain and noise variance for each earlier visit to the region.
      noise: standard deviation of what a first click adds by chance.
      noise_spread: between people.
      start: standard deviation of the sum before the first click.
      threshold: bound on the sum before the first click.
      threshold_spread: between people.
      pair_threshold_spread: between ordered pairs: some make everybody careful.
      patience: clicks in which the bound falls by a factor e.
      max_clicks: after which everybody answers.
      lapse: share of trials answered by guessing.
      boredom: appeal a region loses with each visit.
      return_to_left: appeal the left eye gains for those who are unsure after eyes and mouth.
      return_growth: the same for each visit to it.
      click_s: seconds between clicks.
      click_spread: between clicks.
      speed_spread: between people.
      pair_pace_spread: between ordered pairs.
      image_pace_spread: between images of a pair.
      hesitation: share by which full doubt over a hard image slows a click.
      answer_s: seconds from being ready to the answer.
      answer_spread: between trials.
      onset_s: seconds from onset to the first click.
      onset_spread: between trials.
    """

    strength_power: float = 0.35
    strength_spread: float = 0.41
    strength_noise: float = 0.92
    gain: float = 0.338
    gain_spread: float = 0.10
    gain_power: float = 0.6
    revisit: float = 0.55
    noise: float = 0.80
    noise_spread: float = 0.15
    start: float = 0.25
    threshold: float = 2.80
    threshold_spread: float = 0.18
    pair_threshold_spread: float = 0.14
    patience: float = 10.1
    max_clicks: int = 20
    lapse: float = 0.02
    boredom: float = 1.1
    return_to_left: float = 5.0
    return_growth: float = 0.66
    click_s: float = 0.75
    click_spread: float = 0.35
    speed_spread: float = 0.20
    pair_pace_spread: float = 0.055
    image_pace_spread: float = 0.06
    hesitation: float = 0.40
    answer_s: float = 0.7
    answer_spread: float = 0.4
    onset_s: float = 1.1
    onset_spread: float = 0.3


@dataclasses.dataclass(frozen=True)
class Observer:
    """One simulated person's numbers.

    Attributes:
      threshold: bound on |L| before the first click.
      gain: factor on the evidence gathered.
      noise: deviation of what a first visit adds to L.
      left_bias: preference for the image-left eye at the first click.
      spread: deviation of the clicked point from a region's centre, interocular distances.
      speed: factor on all times. Above 1 is slow.
      lapse: share of trials answered by guessing.
    """

    threshold: float
    gain: float
    noise: float
    left_bias: float
    spread: float
    speed: float
    lapse: float


def draw_observer(seed: int, person: int, dynamics: Dynamics | None = None) -> Observer:
    """Draw the observer number `person`, from 0, of the cohort `seed`."""
    dynamics = dynamics or Dynamics()
    generator = stream(seed, PERSON_STREAM, person)
    threshold, gain, noise, left, speed = generator.standard_normal(5)
    return Observer(
        threshold=dynamics.threshold * np.exp(dynamics.threshold_spread * threshold),
        gain=dynamics.gain * np.exp(dynamics.gain_spread * gain),
        noise=dynamics.noise * np.exp(dynamics.noise_spread * noise),
        left_bias=1.7 + 0.35 * left,
        spread=generator.uniform(0.10, 0.18),
        speed=np.exp(dynamics.speed_spread * speed),
        lapse=dynamics.lapse,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """The images, alike for everybody.

    Attributes:
      side: pixels.
      strength: (T,), how readily an image is taken for what it is. A negative one misleads.
      share: (T, R) of the evidence. Rows sum to 1.
      caution: (T,), factor on the bound.
      pace: (T,), factor on the times.
      centres: (T, R, 2), pixels.
      unit: (T,), distance between the eyes, pixels.
    """

    side: int
    strength: np.ndarray
    share: np.ndarray
    caution: np.ndarray
    pace: np.ndarray
    centres: np.ndarray
    unit: np.ndarray

    def take(self, rows: np.ndarray) -> "Images":
        """Return some images, in the order given."""
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "side"}
        return Images(side=self.side, **{name: array[rows] for name, array in arrays.items()})


def draw_images(
    study: pd.DataFrame,
    *,
    seed: int,
    image_px: int,
    evidence: np.ndarray | None = None,
    landmarks: np.ndarray | None = None,
    dynamics: Dynamics | None = None,
) -> Images:
    """Draw what the images of a study are like. Arguments as for `observers.simulate`.

    Raises:
      DataError: arrays that do not fit the study.
    """
    dynamics, count = dynamics or Dynamics(), len(study)
    if evidence is None:
        evidence = photograph_evidence(study["true_label"], study["false_label"])
    evidence = np.asarray(evidence, np.float64)
    if evidence.shape != (count, NUM_REGIONS) or not np.isfinite(evidence).all() or evidence.min() < 0:
        raise DataError(
            f"`evidence`: wanted finite numbers from 0 of shape ({count}, {NUM_REGIONS}), got {evidence.shape}."
        )
    total = evidence.sum(1, keepdims=True)
    if not total.all():
        raise DataError(f"`evidence`: wanted some for every image, got none in row {int((total == 0).argmax())}.")
    generator = stream(seed, IMAGE_STREAM)
    of_pair = generator.standard_normal((2, len(EXPRESSIONS), len(EXPRESSIONS)))
    spread, noise, pace = generator.standard_normal((3, count))
    true, false = ([index_of(name) for name in study[column]] for column in ("true_label", "false_label"))
    ease = (total[:, 0] / total.mean()) ** dynamics.strength_power * _confusability()[true, false]
    centres, unit = region_centres(count, image_px=image_px, landmarks=landmarks)
    own_noise = dynamics.strength_noise * np.clip(1.4 - ease, 0.3, 1.2)
    return Images(
        side=image_px,
        strength=ease * np.exp(dynamics.strength_spread * spread) + own_noise * noise,
        share=evidence / total,
        caution=np.exp(dynamics.pair_threshold_spread * of_pair[0, true, false]),
        pace=np.exp(dynamics.pair_pace_spread * of_pair[1, true, false] + dynamics.image_pace_spread * pace),
        centres=centres,
        unit=unit,
    )


def _confusability() -> np.ndarray:
    table = np.ones((len(EXPRESSIONS), len(EXPRESSIONS)))
    for (true, false), factor in CONFUSABILITY.items():
        table[index_of(true), index_of(false)] = factor
    return table
