"""One simulated person's trials, all at once: click by click, evidence adds up to a choice.

Contract: T trials, at most K clicks each, R regions. Row t of every array is a trial. NaN stands after the last click.
The running sum of evidence ("belief") favours the true label where positive.
"""

import dataclasses

import numpy as np

from fer_jax.human.observers.parameters import Dynamics, Images, Observer, Profile
from fer_jax.human.observers.regions import EYE_LEFT, EYE_RIGHT, GLABELLA, MOUTH, NOSE, NUM_REGIONS


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """One person's clicks, times and choices.

    Attributes:
      points: (T, K, 2), pixels.
      times_s: (T, K) from onset.
      clicks: int (T,) made.
      answer_s: (T,) from onset.
      correct: bool (T,).
    """

    points: np.ndarray
    times_s: np.ndarray
    clicks: np.ndarray
    answer_s: np.ndarray
    correct: np.ndarray


def answer_trials(
    images: Images, observer: Observer, profile: Profile, dynamics: Dynamics, generator: np.random.Generator
) -> Answers:
    """Let one person uncover the images of their trials and choose.

    Args:
      images: the T images in the order shown.
      observer: the person's numbers.
      profile: where the person looks.
      dynamics: numbers of the model.
      generator: of this person's answers only.

    Returns:
      The person's answers.
    """
    trials, most = len(images.strength), dynamics.max_clicks
    chance = _draw(generator, trials, most)
    belief = dynamics.start * chance.start
    visits = np.zeros((trials, NUM_REGIONS))
    points = np.full((trials, most, 2), np.nan)
    clicks, doubt = np.zeros(trials, int), np.zeros((trials, most))
    bound = observer.threshold * images.caution
    still, previous = np.arange(trials), np.full(trials, NUM_REGIONS)
    for click in range(most):
        here, luck = images.take(still), chance.take(still, click)
        appeal = _appeal(here, observer, profile, dynamics, visits[still], previous, belief[still], click)
        region, points[still, click] = _aim(here, observer, profile, appeal, luck)
        fresh = dynamics.revisit ** visits[still, region]
        shown = _shown(here, points[still, click], region, dynamics)
        belief[still] += observer.gain * here.strength * shown * fresh + observer.noise * np.sqrt(fresh) * luck.noise
        visits[still, region] += 1
        clicks[still] += 1
        size = np.abs(belief[still])
        doubt[still, click] = np.maximum(0, 1 - size / observer.threshold)
        # Nobody answers after a single click.
        going = (size <= bound[still] * np.exp(-(click + 1) / dynamics.patience)) | (click < 1)
        still, previous = still[going], region[going]
    guessed = generator.random(trials) < observer.lapse
    correct = np.where(guessed, generator.random(trials) < 0.5, belief > 0)
    times, answer = _clock(images, observer, dynamics, chance, clicks, doubt)
    return Answers(points, times, clicks, answer, correct)


@dataclasses.dataclass(frozen=True, eq=False)
class _Chance:
    """Standard random numbers, before anything is scaled."""

    gumbel: np.ndarray  # (T, K, R)
    jitter: np.ndarray  # (T, K, 2), normal
    anywhere: np.ndarray  # (T, K, 2), uniform
    noise: np.ndarray  # (T, K), normal
    interval: np.ndarray  # (T, K), normal
    answer: np.ndarray  # (T,), normal
    onset: np.ndarray  # (T,), normal
    start: np.ndarray  # (T,), normal

    def take(self, trials, click) -> "_Chance":
        """Return the draws of some trials, at one click."""
        of_click = {name: getattr(self, name)[trials, click] for name in ("gumbel", "jitter", "anywhere", "noise")}
        return dataclasses.replace(self, **of_click)


def _draw(generator, trials, most) -> _Chance:
    normal = generator.standard_normal
    return _Chance(
        gumbel=generator.gumbel(size=(trials, most, NUM_REGIONS)),
        jitter=normal((trials, most, 2)),
        anywhere=generator.random((trials, most, 2)),
        noise=normal((trials, most)),
        interval=normal((trials, most)),
        answer=normal(trials),
        onset=normal(trials),
        start=normal(trials),
    )


def _habits() -> np.ndarray:
    """Return (R + 1, R): appeal of the next region after each region. The last row is for the first click."""
    table = np.full((NUM_REGIONS + 1, NUM_REGIONS), -2.6)
    table[:, [EYE_LEFT, EYE_RIGHT, MOUTH]] = 0
    table[:, NOSE], table[:, GLABELLA] = -1.6, -1.3
    table[NUM_REGIONS, [EYE_RIGHT, MOUTH]] = 0.3, -0.3
    table[EYE_LEFT, EYE_RIGHT] = table[EYE_RIGHT, MOUTH] = 1.6
    return table


_HABITS = _habits()


def _appeal(images, observer, profile, dynamics, visits, previous, belief, click) -> np.ndarray:
    """Return (T, R): how much each region attracts the next click."""
    habit = _HABITS[previous]
    if click == 0:
        habit[:, EYE_LEFT] += observer.left_bias
    # §4.3: whoever is unsure after eyes and mouth goes back to the left eye.
    seen = (visits[:, [EYE_LEFT, EYE_RIGHT, MOUTH]] > 0).all(1)
    back = seen & (click >= 3) & (np.abs(belief) < 0.6 * observer.threshold)
    habit[:, EYE_LEFT] += np.where(back, dynamics.return_to_left + dynamics.return_growth * visits[:, EYE_LEFT], 0)
    sought = np.log(NUM_REGIONS * images.share + 0.05)
    return profile.habit * habit + np.asarray(profile.bias) + profile.seek * sought - dynamics.boredom * visits


def _aim(images, observer, profile, appeal, luck) -> tuple[np.ndarray, np.ndarray]:
    """Return the region (T,) and the point (T, 2) of the next click."""
    centres, rows = images.centres, np.arange(len(images.strength))
    if profile.aim == "region":
        region = (appeal + luck.gumbel).argmax(1)
        points = centres[rows, region] + observer.spread * images.unit[:, None] * luck.jitter
    else:
        points = images.side * (luck.anywhere if profile.aim == "anywhere" else 0.5 + 0.15 * luck.jitter)
        region = np.linalg.norm(centres - points[:, None], axis=2).argmin(1)
    return region, np.clip(np.round(points, 2), 0, images.side - 0.01)


def _shown(images, points, region, dynamics) -> np.ndarray:
    """Return (T,): what a disc shows of its region's evidence. Beside the region it shows less."""
    rows = np.arange(len(region))
    miss = np.linalg.norm(points - images.centres[rows, region], axis=1) / images.unit
    return (NUM_REGIONS * images.share[rows, region]) ** dynamics.gain_power * np.exp(-2 * miss**2)


def _clock(images, observer, dynamics, chance, clicks, doubt) -> tuple[np.ndarray, np.ndarray]:
    """Return the times of the clicks (T, K) and of the answer (T,), seconds from onset."""
    pace = observer.speed * images.pace
    hard = np.clip(1.6 - images.strength, 0.2, 2.2)[:, None]
    interval = dynamics.click_s * np.exp(dynamics.click_spread * chance.interval) * pace[:, None]
    interval *= 1 + dynamics.hesitation * doubt * hard
    onset = (dynamics.onset_s * observer.speed * np.exp(dynamics.onset_spread * chance.onset))[:, None]
    # Interval k follows click k. After the last one comes the choice itself.
    ends = onset + np.cumsum(interval, 1)
    starts = np.concatenate([onset, ends[:, :-1]], 1)
    times = np.where(np.arange(starts.shape[1]) < clicks[:, None], starts, np.nan)
    choice = dynamics.answer_s * np.exp(dynamics.answer_spread * chance.answer) * pace
    return times, ends[np.arange(len(clicks)), clicks - 1] + choice
