"""Simulated people who take part through the same server as everybody else. They are always called simulated.

Contract: a robot asks for its trials as a page does, opens discs and answers as `human.observers` does, and sends every
event. Its times are the simulated ones: no robot waits.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from fer_jax.errors import StorageError
from fer_jax.human.trials import Trials

BATCH = 40
PATIENCE_S = 120.0


class Client:
    """One participant's connection to a server.

    Args:
      host: of the server.
      port: of the server.
      token: from the participant's link.
    """

    def __init__(self, host: str, port: int, token: str):
        self._address, self._token = (host, port), token
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict]:
        """Send one request. Return the status and the answer. The status is 0 where there was none."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=30)
        text = None if body is None else json.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        try:
            self._connection.request(method, f"/s/{self._token}/{path}", text, headers)
            answer = self._connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if answer.getheader("content-type") == "application/json" else {}
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return 0, {}

    def insist(self, method: str, path: str, body: Any = None) -> tuple[int, dict]:
        """Send a request until there is an answer that is no fault of the network or the server.

        Raises:
          StorageError: there was none for a long time.
        """
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            status, answer = self.ask(method, path, body)
            if status and status < 500 and status != 429:
                return status, answer
            time.sleep(0.2)
        raise StorageError(f"the study's server at {self._address[0]}:{self._address[1]} does not answer.")

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def take_part(
    client: Client,
    *,
    clicks: Mapping[str, Sequence[tuple[float, float, float]]],
    answers: Mapping[str, tuple[str, float]],
    images: Mapping[str, str],
    acknowledged: Callable[[int], None] = lambda seq: None,
) -> int:
    """Take part from where the server says to the end.

    Args:
      client: of the participant.
      clicks: image -> x, y (pixels) and t (ms) of each click.
      answers: image -> response and t (ms). An image that is not there ends the run, as a person who leaves.
      images: stimulus id -> image. A page cannot know this. A simulation must.
      acknowledged: called with the number up to which the server has everything.

    Returns:
      How many events the server has.

    Raises:
      StorageError: the server does not answer, or refuses.
    """
    status, standing = client.insist("POST", "claim", {})
    if status != 200:
        raise StorageError(f"the study's server refuses the claim: {status} {standing.get('error', '')}.")
    epoch, high, seq = standing["epoch"], standing["high_seq"], 0
    for part in _parts(client, standing, clicks, answers, images):
        numbered = [{"seq": seq + place, **event} for place, event in enumerate(part, 1)]
        seq += len(numbered)
        while high < seq:
            batch = [event for event in numbered if event["seq"] > high][:BATCH]
            status, answer = client.insist("PUT", "events", {"epoch": epoch, "events": batch})
            if status != 200:
                raise StorageError(f"the study's server refuses events: {status} {answer.get('error', '')}.")
            high = answer["high_seq"]
            acknowledged(high)
    return high


def _parts(client, standing, clicks, answers, images) -> Iterator[list[dict]]:
    """Yield everything this person does, from the very beginning, block by block."""
    body = {"version": standing["lang"], "sha256": standing["consent_sha256"]}
    window = {"width": 0, "height": 0, "device_pixel_ratio": 1, "webdriver": True}
    yield [_event("consent", None, 0.0, body), _event("window", None, 0.0, window)]
    for block, _ in standing["blocks"]:
        _, listed = client.insist("GET", f"block/{block}")
        part = []
        for trial in listed["trials"]:
            image = images[trial["stim"]]
            rehearsed = trial["trial"] < 0
            if not rehearsed and image not in answers:
                yield part
                return
            response, t = (trial["options"][0], 1000.0) if rehearsed else answers[image]
            part.append(_event("trial_start", trial["trial"], 0.0, {}))
            for x, y, at in [(1.0, 1.0, 500.0)] if rehearsed else clicks.get(image, ()):
                pressed = {"x": x, "y": y, "inside": True, "pointer": "simulated"}
                part.append(_event("click", trial["trial"], at, pressed))
            part.append(_event("answer", trial["trial"], t, {"response": response, "with": "simulated"}))
        yield part
    yield [_event("finish", None, 0.0, {})]


def _event(kind: str, trial: int | None, t_ms: float, body: dict) -> dict:
    return {"trial": trial, "type": kind, "t_ms": t_ms, "body": body}


def habits_of(trials: Trials, participant: str) -> tuple[dict, dict]:
    """Return one simulated person's clicks and answers by image, for `take_part`.

    Args:
      trials: of simulated people.
      participant: which of them.

    Returns:
      image -> clicks (x, y, t), and image -> (response, t).
    """
    own = trials.of([participant])
    clicks: dict[str, list[tuple[float, float, float]]] = {}
    for row in own.clicks.to_dict("records"):
        clicks.setdefault(row["image"], []).append((float(row["x_px"]), float(row["y_px"]), float(row["t_ms"])))
    answers = {
        row["image"]: (row["response"], float(row["rt_total_ms"]))
        for row in own.trials.to_dict("records")
        if pd.notna(row["response"])
    }
    return clicks, answers
