"""What people did, worked out from plans and events alone.

Contract: the same plans and events give the same tables, whenever and however often they are asked. Practice stands in
the events only. A trial counts from the last time it was begun: clicks before a reload stay, as their discs do.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from fer_jax.human.columns import SCHEMA_VERSION, TABLES, typed
from fer_jax.human.trials import Trials
from fer_jax.study.records import Participant, Stimulus, Trial
from fer_jax.study.settings import Settings
from fer_jax.study.store import Store


@dataclasses.dataclass
class _Shown:
    """One trial as its events tell it."""

    utc: str | None = None
    css_scale: float | None = None
    device_pixel_ratio: float | None = None
    clicks: list = dataclasses.field(default_factory=list)
    answer: dict | None = None
    starts: int = 0
    focus_lost: bool = False
    resizes: int = 0


def answered(events: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the trials that have an answer."""
    return {event["trial"] for event in events if event["type"] == "answer"}


def open_clicks(events: Sequence[Mapping[str, Any]], trial: int) -> list[dict]:
    """Return the clicks of a trial, each as x, y, inside and t_ms, in their order."""
    clicks = [event for event in events if event["trial"] == trial and event["type"] == "click"]
    return [{name: event["body"][name] for name in ("x", "y", "inside")} | {"t_ms": event["t_ms"]} for event in clicks]


def tables(store: Store, settings: Settings) -> Trials:
    """Return the four tables of everybody who gave consent, as of one moment.

    Args:
      store: an open database.
      settings: of the study.

    Returns:
      Tables with the columns of `human.columns`.
    """
    rows: dict[str, list[dict]] = {name: [] for name in TABLES}
    with store.snapshot():
        stimuli = store.stimuli()
        for person in store.participants():
            events = store.events(person.id)
            if any(event["type"] == "consent" for event in events):
                project(person, store.plan(person.id), events, stimuli, settings, rows)
    return Trials(
        **{name: typed(name, pd.DataFrame(rows[name], columns=list(TABLES[name]), dtype=object)) for name in TABLES}
    )


def project(
    person: Participant,
    plan: Sequence[Trial],
    events: Sequence[Mapping[str, Any]],
    stimuli: Mapping[str, Stimulus],
    settings: Settings,
    rows: dict[str, list[dict]],
) -> None:
    """Add one person's rows to the tables.

    Args:
      person: who.
      plan: the person's trials in order.
      events: the person's events in order of their numbers.
      stimuli: every picture by its name.
      settings: of the study.
      rows: table -> rows, which grow.
    """
    shown = {trial.trial: _Shown() for trial in plan}
    screen: dict[str, Any] = {}
    consent: dict[str, Any] = {}
    finished = None
    for event in events:
        _note(event, shown, screen)
        if event["type"] == "consent":
            consent = consent or {**event["body"], "utc": event["received_utc"]}
        elif event["type"] == "finish":
            finished = finished or event["received_utc"]
        rows["events"].append(_event_row(person, event))
    in_block: dict[int, int] = {}
    answers = []
    for trial in plan:
        in_block[trial.block] = in_block.get(trial.block, 0) + 1
        told = shown[trial.trial]
        if trial.block == 0 or told.answer is None:
            continue
        row = _trial_row(person, trial, in_block[trial.block], told, stimuli[trial.image], settings, screen)
        answers.append(row)
        rows["trials"].append(row)
        rows["clicks"] += _click_rows(person, trial, told)
    rows["participants"].append(_person_row(person, consent, finished, answers, shown, screen))


def _note(event, shown, screen) -> None:
    """Take one event into the trial it falls into, and into what is known of the screen."""
    kind, body, told = event["type"], event["body"], shown.get(event["trial"])
    if kind in ("window", "calibrate"):
        screen.update(body)
    if told is None:
        return
    if kind == "trial_start":
        told.starts += 1
        told.utc = told.utc or body.get("utc")
        told.css_scale, told.device_pixel_ratio = body.get("css_scale"), body.get("device_pixel_ratio")
    elif kind == "click" and told.answer is None:
        told.clicks.append(event)
    elif kind == "answer" and told.answer is None:
        told.answer = event
    elif kind == "blur":
        told.focus_lost = True
    elif kind == "resize":
        told.resizes += 1


def _trial_row(person, trial, place, told, stimulus, settings, screen) -> dict:
    openings = [event for event in told.clicks if event["body"]["inside"]]
    first = openings[0]["t_ms"] if openings else None
    end, response = told.answer["t_ms"], told.answer["body"]["response"]
    two = len(trial.options) == 2
    row = {
        "participant": person.label,
        "simulated": person.simulated,
        "block": trial.block,
        "trial": trial.trial,
        "trial_in_block": place,
        "image": trial.image,
        "image_sha256": stimulus.sharp_sha256,
        "true_label": stimulus.true_label,
        "n_options": len(trial.options),
        "response": response,
        "correct": response == stimulus.true_label,
        "n_clicks": len(openings),
        "rt_first_click_ms": first,
        "rt_decision_ms": None if first is None else end - first,
        "rt_total_ms": end,
        "answered_with": told.answer["body"].get("with"),
        "resumed": told.starts > 1,
        "focus_lost": told.focus_lost,
        "n_resizes": told.resizes,
        "image_px": settings.image_px,
        "reveal_radius_px": settings.radius,
        "blur_k": settings.blur,
        "css_scale": told.css_scale,
        "device_pixel_ratio": told.device_pixel_ratio,
        "px_per_cm": screen.get("px_per_cm"),
        "distance_cm": screen.get("distance_cm"),
        "view_deg": _angle(told.css_scale, settings.image_px, screen),
        "onset_utc": told.utc,
        "schema_version": SCHEMA_VERSION,
        "program_version": _program_version(),
        "source": "fer-study",
    }
    if two:
        foil = next(option for option in trial.options if option != stimulus.true_label)
        return row | {"false_label": foil, "left_label": trial.options[0], "right_label": trial.options[1]}
    return row | {"options": "|".join(trial.options)}


@functools.cache
def _program_version() -> str:
    return metadata.version("fer-jax")


def _angle(css_scale, image_px, screen) -> float | None:
    """Return the visual angle of the picture's width, degrees: twice that of its half."""
    if not css_scale or not screen.get("px_per_cm") or not screen.get("distance_cm"):
        return None
    width_cm = css_scale * image_px / screen["px_per_cm"]
    return 2 * math.degrees(math.atan(width_cm / 2 / screen["distance_cm"]))


def _click_rows(person, trial, told) -> list[dict]:
    return [
        {
            "participant": person.label,
            "trial": trial.trial,
            "image": trial.image,
            "click": number,
            "x_px": event["body"]["x"],
            "y_px": event["body"]["y"],
            "t_ms": event["t_ms"],
            "pointer_type": event["body"]["pointer"],
            "inside": event["body"]["inside"],
            "chosen": True,
        }
        for number, event in enumerate(told.clicks, 1)
    ]


def _event_row(person, event) -> dict:
    value = "; ".join(f"{name}={_cell(value)}" for name, value in sorted(event["body"].items()))
    return {
        "participant": person.label,
        "seq": event["seq"],
        "trial": event["trial"],
        "t_ms": event["t_ms"],
        "type": event["type"],
        "value": value or None,
    }


def _cell(value) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _person_row(person, consent, finished, answers, shown, screen) -> dict:
    age = str(consent.get("age", "")).strip()
    return {
        "participant": person.label,
        "simulated": person.simulated,
        "consent_version": consent.get("version"),
        "consent_sha256": consent.get("sha256"),
        "started_utc": consent.get("utc"),
        "finished_utc": finished,
        "n_trials": len(answers),
        "n_blocks": len({row["block"] for row in answers}),
        "accuracy": float(np.mean([row["correct"] for row in answers])) if answers else None,
        "excluded": bool(person.closed),
        "exclusion_reason": person.closed or None,
        "age": int(age) if age.isascii() and age.isdecimal() and len(age) < 4 else None,
        "gender": consent.get("gender"),
        "vision": consent.get("vision"),
        "webdriver": screen.get("webdriver"),
        **_habits(shown),
    }


def _habits(shown) -> dict:
    """Return two numbers by which programs can be told from people. Nobody is excluded by them.

    Straightness is the way from click to click over the way the pointer went, 1 for a straight line. The other is the
    deviation of the times between clicks over their mean, 0 for a metronome.
    """
    straight, between = [], []
    for told in shown.values():
        for before, after in zip(told.clicks, told.clicks[1:], strict=False):
            between.append(after["t_ms"] - before["t_ms"])
            travel = after["body"].get("travel", 0)
            if travel > 0:
                way = math.dist(*((event["body"]["x"], event["body"]["y"]) for event in (before, after)))
                straight.append(min(way / travel, 1.0))
    mean = float(np.mean(between)) if len(between) > 1 else 0.0
    return {
        "path_straightness": float(np.mean(straight)) if straight else None,
        "click_interval_cv": float(np.std(between, ddof=1)) / mean if mean > 0 else None,
    }
