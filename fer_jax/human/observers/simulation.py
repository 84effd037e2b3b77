"""Simulated people who uncover faces click by click and choose between two labels.

Simulations test code. They are never evidence about people. Every row they leave says simulated = 1.
"""

import dataclasses

import numpy as np
import pandas as pd

from fer_jax import masks
from fer_jax.errors import UsageError, check_count, check_one_of
from fer_jax.human.columns import SCHEMA_VERSION, typed
from fer_jax.human.observers.answers import Answers, answer_trials
from fer_jax.human.observers.parameters import (
    ANSWER_STREAM,
    PROFILES,
    Dynamics,
    Profile,
    draw_images,
    draw_observer,
)
from fer_jax.human.plan import BLOCKS, draw_plan
from fer_jax.human.study import check_study, positions
from fer_jax.human.trials import Trials
from fer_jax.streams import stream

PARTICIPANTS = 24  # §4.1

# Lapse rate of the one person whom the outlier rule should find.
_CARELESS = 0.9


def simulate(
    study: pd.DataFrame,
    *,
    seed: int,
    image_px: int,
    participants: int = PARTICIPANTS,
    evidence: np.ndarray | None = None,
    landmarks: np.ndarray | None = None,
    profile: str | Profile = "typical",
    with_dropouts: bool = True,
    reveal_radius: int | None = None,
    blur_k: int | None = None,
    blocks: int = BLOCKS,
    dynamics: Dynamics | None = None,
) -> Trials:
    """Let simulated people take part in a study.

    Args:
      study: a study table of T images.
      seed: whole number from 0, of images, people and plans alike.
      image_px: side of the stimuli.
      participants: S people.
      evidence: (T, R), 0 or more, how much each region tells the truth from the foil. None takes the table
        for photographs. `difference_evidence` makes it from the pair oracle of procedural faces.
      landmarks: (T, 68, 2), pixels. An image whose landmarks are all NaN has none. Its regions are placed by the
        standard crop. None places those of all images so.
      profile: a key of `PROFILES`, or a profile.
      with_dropouts: the last two people are one who mostly guesses and one who skips the last block, as in §4.1.
      reveal_radius: disc radius, pixels. None takes `masks.reveal_radius`.
      blur_k: blur window, pixels. None takes `masks.blur_size`.
      blocks: breaks cut the trials into this many.
      dynamics: numbers of the model. None takes the calibrated ones.

    Returns:
      Trials of S people, all simulated.

    Raises:
      UsageError: an option or number out of range.
      DataError: a study table that is not balanced, or arrays that do not fit it.
    """
    check_study(study)
    profile, dynamics = _profile(profile), dynamics or Dynamics()
    if with_dropouts and (participants < 3 or blocks < 2):
        raise UsageError(f"`with_dropouts`: wanted 3 people and 2 blocks or more, got {participants} and {blocks}.")
    check_count("participants", participants, 1, what="a number of people")
    check_count("image_px", image_px, 1, what="pixels")
    check_count("seed", seed, 0)
    images = draw_images(study, seed=seed, image_px=image_px, evidence=evidence, landmarks=landmarks, dynamics=dynamics)
    parts = []
    for person in range(participants):
        observer = draw_observer(seed, person, dynamics)
        if with_dropouts and person == participants - 2:
            observer = dataclasses.replace(observer, lapse=_CARELESS)
        plan = draw_plan(study, participant=person, seed=seed, blocks=blocks)
        if with_dropouts and person == participants - 1:
            plan = plan[plan["block"] < blocks]
        shown = images.take(positions(study, plan["image"]))
        generator = stream(seed, ANSWER_STREAM, person)
        answers = answer_trials(shown, observer, profile, dynamics, generator)
        parts.append(_rows(f"P{person + 1:02d}", plan, answers))
    people, trials, clicks = (pd.concat(part, ignore_index=True) for part in zip(*parts, strict=True))
    return Trials(
        participants=typed("participants", people),
        trials=typed(
            "trials",
            trials.assign(
                image_px=image_px,
                reveal_radius_px=masks.reveal_radius(image_px) if reveal_radius is None else reveal_radius,
                blur_k=masks.blur_size(image_px) if blur_k is None else blur_k,
            ),
        ),
        clicks=typed("clicks", clicks),
        events=typed("events", {}),
    )


def _rows(code: str, plan: pd.DataFrame, answers: Answers) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return one person's rows of the tables of participants, trials and clicks."""
    trial, click = np.nonzero(np.isfinite(answers.times_s))
    times = np.round(1000 * answers.times_s, 2)
    total = np.round(1000 * answers.answer_s, 2)
    person = pd.DataFrame(
        {
            "participant": [code],
            "simulated": True,
            "n_trials": len(plan),
            "n_blocks": plan["block"].nunique(),
            "accuracy": answers.correct.mean(),
            "excluded": False,
        }
    )
    trials = pd.DataFrame(
        {
            **plan.to_dict("series"),
            "participant": code,
            "simulated": True,
            "n_options": 2,
            "response": np.where(answers.correct, plan["true_label"], plan["false_label"]),
            "correct": answers.correct,
            "n_clicks": answers.clicks,
            "rt_first_click_ms": times[:, 0],
            "rt_decision_ms": np.round(total - times[:, 0], 2),
            "rt_total_ms": total,
            "answered_with": "simulated",
            "resumed": False,
            "focus_lost": False,
            "n_resizes": 0,
            "schema_version": SCHEMA_VERSION,
            "source": "simulated",
        }
    )
    clicks = pd.DataFrame(
        {
            "participant": code,
            "trial": np.asarray(plan["trial"])[trial],
            "image": np.asarray(plan["image"])[trial],
            "click": click + 1,
            "x_px": answers.points[trial, click, 0],
            "y_px": answers.points[trial, click, 1],
            "t_ms": times[trial, click],
            "pointer_type": "simulated",
            "inside": True,
            "chosen": True,
        }
    )
    return person, trials, clicks


def _profile(profile) -> Profile:
    if isinstance(profile, Profile):
        return profile
    check_one_of("profile", profile, PROFILES)
    return PROFILES[profile]
