"""The events of a participant's page: their vocabulary, and the check of what a browser sends.

Contract: an event is a dict with seq (1, 2, ...), trial (a planned one, or None), type, t_ms (from the trial's onset,
or from the page's start) and body. Practice trials have numbers below 0. A browser is never believed: a value that is
not in the vocabulary is refused.
"""

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

MAX_SEQ = 1_000_000
MAX_TEXT = 500
MAX_BODY = 64 * 1024

POINTERS = ("mouse", "touch", "pen", "keyboard", "simulated")

# Type -> fields of its body -> kind. A field may be missing.
TYPES: dict[str, dict[str, str]] = {
    "consent": {"version": "text", "sha256": "text", "age": "text", "gender": "text", "vision": "text"},
    "url": {"name": "text", "value": "text"},
    "window": {
        "width": "number",
        "height": "number",
        "device_pixel_ratio": "number",
        "webdriver": "flag",
        "language": "text",
    },
    "calibrate": {"px_per_cm": "number", "distance_cm": "number"},
    "instructions": {},
    "block_start": {"block": "number"},
    "break_start": {"block": "number"},
    "break_end": {"block": "number"},
    "trial_start": {"utc": "text", "css_scale": "number", "device_pixel_ratio": "number"},
    "click": {"x": "number", "y": "number", "inside": "flag", "pointer": "pointer", "travel": "number"},
    "answer": {"response": "text", "with": "pointer"},
    "focus": {},
    "blur": {},
    "resize": {"width": "number", "height": "number", "device_pixel_ratio": "number"},
    "reload": {},
    "offline": {},
    "online": {},
    "finish": {},
    "rescued": {"seq": "number", "type": "text", "body": "text"},
}
# Types that fall into a trial. All others may.
IN_TRIAL = ("trial_start", "click", "answer")


class BadEvent(ValueError):
    """A request whose events cannot be taken. The text names the first fault."""


def parse(text: bytes) -> Any:
    """Return the JSON of a request.

    Raises:
      BadEvent: no JSON, or a value that no browser of ours sends: NaN, a huge number, a lone surrogate.
    """
    try:
        found = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant, parse_int=_whole)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BadEvent(f"wanted JSON: {str(error)[:100]}") from None
    return found


def check_events(events: Any, options: Mapping[int, Sequence[str]]) -> list[dict]:
    """Return the events of a request if all of them can be taken.

    Args:
      events: what came.
      options: trial -> its options, of the participant's plan.

    Raises:
      BadEvent: the first fault.
    """
    if not isinstance(events, list) or not events:
        raise BadEvent("events: wanted a list of at least one")
    checked = [_checked(event, options) for event in events]
    for before, after in itertools.pairwise(checked):
        if after["seq"] != before["seq"] + 1:
            raise BadEvent(f"seq: wanted {before['seq'] + 1}, got {after['seq']}")
    return checked


def asked_for(events: Sequence[dict], *, ask: Sequence[str], url_parameters: Sequence[str]) -> list[dict]:
    """Return the events without what the study does not ask for. An event keeps its number, for numbers have no gaps.

    Args:
      events: from `check_events`.
      ask: fields of a person that are asked with the consent.
      url_parameters: names in the address that are stored.
    """
    kept = []
    for event in events:
        body = event["body"]
        if event["type"] == "consent":
            body = {name: value for name, value in body.items() if name in ("version", "sha256", *ask)}
        elif event["type"] == "url" and body.get("name") not in url_parameters:
            body = {}
        kept.append({**event, "body": body})
    return kept


def _checked(event, options) -> dict:
    if not isinstance(event, dict) or set(event) != {"seq", "trial", "type", "t_ms", "body"}:
        raise BadEvent("event: wanted seq, trial, type, t_ms and body")
    seq, trial, kind, body = event["seq"], event["trial"], event["type"], event["body"]
    if not _is_whole(seq) or not 1 <= seq <= MAX_SEQ:
        raise BadEvent(f"seq: wanted 1..{MAX_SEQ}")
    if not isinstance(kind, str) or kind not in TYPES or kind == "rescued":
        raise BadEvent("type: unknown")
    if trial is None:
        if kind in IN_TRIAL:
            raise BadEvent(f"trial: wanted one for {kind}")
    elif not _is_whole(trial) or trial not in options:
        raise BadEvent("trial: unknown")
    _check_value("t_ms", event["t_ms"], "number")
    if not isinstance(body, dict) or not set(body) <= set(TYPES[kind]):
        raise BadEvent(f"body: wanted fields of {kind}")
    for name, value in body.items():
        _check_value(name, value, TYPES[kind][name])
    if kind == "answer" and body.get("response") not in options[trial]:
        raise BadEvent("response: wanted one of the trial's options")
    if kind == "click" and not {"x", "y", "inside", "pointer"} <= set(body):
        raise BadEvent("click: wanted x, y, inside and pointer")
    return {"seq": int(seq), "trial": None if trial is None else int(trial), **_rest(event)}


def _rest(event) -> dict:
    return {"type": event["type"], "t_ms": float(event["t_ms"]), "body": event["body"]}


def _check_value(name, value, kind) -> None:
    if kind == "number":
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        fits = fits and math.isfinite(value) and abs(value) <= 1e12
    elif kind == "flag":
        fits = isinstance(value, bool)
    elif kind == "pointer":
        fits = value in POINTERS if isinstance(value, str) else False
    else:
        fits = isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value
    if not fits:
        raise BadEvent(f"{name}: wanted {'one of ' + ', '.join(POINTERS) if kind == 'pointer' else kind}")


def _is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(digits: str) -> int:
    if len(digits) > 16:
        raise ValueError("a number beyond 2^53")
    return int(digits)


def _refuse_constant(name: str):
    raise ValueError(f"{name} is no number")
