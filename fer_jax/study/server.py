"""The server of a web study: pages, stimuli and events over HTTP.

Contract: an answer 200 to events means that they are on disk. The truth about a picture is in no answer, name or
header. There is no address for the researcher: the command line reads the database.
"""

import asyncio
import collections
import functools
import importlib.resources
import pathlib
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fer_jax.study import events, projection, wording
from fer_jax.study.folder import STIMULI, end_code_of, token_of, typed_code
from fer_jax.study.records import Participant, Refused, sha256
from fer_jax.study.settings import Settings
from fer_jax.study.store import Store

PAGE = importlib.resources.files("fer_jax.study") / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
BODY_SECONDS = 20
ENTERED_A_MINUTE = 30

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
}


def make_app(
    folder: pathlib.Path,
    store: Store,
    settings: Settings,
    *,
    hosts: Sequence[str],
    secure: bool = False,
    proxied: bool = False,
):
    """Return the study as an ASGI application.

    Args:
      folder: of the study.
      store: its open database.
      settings: of the study.
      hosts: names by which a browser may call the server, without a port.
      secure: whether browsers reach it by https.
      proxied: whether a proxy passes the requests on, which names the browser's host by X-Forwarded-Host.

    Returns:
      An application for uvicorn.
    """
    study = _Study(pathlib.Path(folder), store, settings)
    routes = [
        Route("/", study.page),
        Route("/favicon.ico", _nothing),
        Route("/page/{name}", study.asset),
        Route("/texts", study.texts),
        Route("/enter", study.enter, methods=["POST"]),
        Route("/join", study.join, methods=["POST"]),
        Route("/s/{token}", study.page),
        Route("/s/{token}/claim", study.claim, methods=["POST"]),
        Route("/s/{token}/block/{block:int}", study.block),
        Route("/s/{token}/stim/{stim}/{kind}.png", study.stimulus),
        Route("/s/{token}/events", study.events, methods=["PUT"]),
        Route("/s/{token}/finish", study.finish, methods=["POST"]),
        Route("/s/{token}/withdraw", study.withdraw, methods=["POST"]),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: _http_error,
            Refused: _refused,
            OSError: _disk_full,
            sqlite3.Error: _disk_full,
            events.BadEvent: _bad_event,
            ClientDisconnect: _nothing,
        },
    )
    return _Guard(app, {host.lower() for host in hosts}, "https" if secure else "http", proxied)


class _Guard:
    """Refuse calls by a strange name or from a strange page, and put the headers on every answer."""

    def __init__(self, app: ASGIApp, hosts: set[str], scheme: str, proxied: bool):
        self._app, self._hosts, self._scheme, self._proxied = app, hosts, scheme, proxied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                added = [(name.encode(), text.encode()) for name, text in HEADERS.items() if name.encode() not in names]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        headers = {name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]}
        host = headers.get("host", "")
        # The first of several proxies names the host that the browser called.
        called = headers.get("x-forwarded-host", host).partition(",")[0].strip() if self._proxied else host
        origin = f"{self._scheme}://{called}"
        # A page elsewhere that points its own name at this machine calls it by that name.
        if not {_without_port(host), _without_port(called)} <= self._hosts:
            await _word("host", 421)(scope, receive, send_guarded)
        elif scope["method"] not in ("GET", "HEAD") and headers.get("origin", origin) != origin:
            await _word("origin", 403)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)


class _Study:
    """The answers to a study's requests."""

    def __init__(self, folder: pathlib.Path, store: Store, settings: Settings):
        self._folder, self._store, self._settings = folder, store, settings
        self._entered: collections.deque[float] = collections.deque()
        # Neither changes while a study is served.
        self._stimuli = store.stimuli()
        self._labels = {label for stimulus in self._stimuli.values() for label in stimulus.options}
        self._page_texts(self._labels)  # a bad file is named before anybody comes
        files = (item for item in PAGE.iterdir() if pathlib.PurePath(item.name).suffix in TYPES)
        self._assets = {item.name: item.read_bytes() for item in files}
        # A plan is drawn once, and every event is checked against it.
        self._options = functools.lru_cache(maxsize=256)(store.options)

    def _page_texts(self, labels) -> dict:
        return wording.page_texts(self._folder, self._settings, labels, trials=len(self._stimuli))

    async def page(self, request: Request) -> Response:
        del request
        return Response(self._assets["index.html"], media_type=TYPES[".html"])

    async def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._assets:
            raise Refused("unknown", 404)
        return Response(self._assets[name], media_type=TYPES[pathlib.PurePath(name).suffix])

    async def texts(self, request: Request) -> Response:
        """Say what the first page needs before anybody is known."""
        del request
        told = self._page_texts(())
        names = {"title": self._settings.title, "open_link": self._settings.open_link}
        return JSONResponse({"lang": told["lang"], "texts": told["texts"], **names})

    async def enter(self, request: Request) -> Response:
        """Give the link of whoever types a code."""
        values = await _body(request)
        self._count_entry()
        code = values.get("code") if isinstance(values, dict) else None
        if not isinstance(code, str) or len(code) > 100:
            raise events.BadEvent("code: wanted text")
        label = self._store.label_of_code(sha256(typed_code(code)))
        if label is None:
            raise Refused("unknown", 404)
        return JSONResponse({"token": token_of(self._folder, label)})

    async def join(self, request: Request) -> Response:
        """Give the next free place to whoever comes by the open link."""
        await _body(request)
        if not self._settings.open_link:
            raise Refused("unknown", 404)
        self._count_entry()
        label = await asyncio.wrap_future(self._store.take_place())
        return JSONResponse({"token": token_of(self._folder, label)})

    async def claim(self, request: Request) -> Response:
        """Let this window have the study, and say where the participant stands."""
        await _body(request)
        person = self._person(request)
        await self._close_stale(person)
        epoch = await asyncio.wrap_future(self._store.claim(person.id))
        return JSONResponse(
            {
                "epoch": epoch,
                **self._standing(person),
                **self._page_texts(self._labels),
                "settings": self._public_settings(),
            }
        )

    async def block(self, request: Request) -> Response:
        """List the trials of a block that has been reached: what to load, and the answers on offer."""
        person = self._person(request)
        block = request.path_params["block"]
        plan = self._store.plan(person.id)
        reached = self._current_block(person, plan)
        trials = [trial for trial in plan if trial.block == block]
        if not trials or block > reached:
            raise Refused("unknown", 404)
        listed = []
        for trial in trials:
            found = self._stimuli[trial.image]
            files = {
                "blurred": {"bytes": found.blurred_bytes, "sha256": found.blurred_sha256},
                "sharp": {"bytes": found.sharp_bytes, "sha256": found.sharp_sha256},
            }
            listed.append({"trial": trial.trial, "stim": trial.stim_id, "options": trial.options, **files})
        return JSONResponse({"block": block, "trials": listed})

    async def stimulus(self, request: Request) -> Response:
        person = self._person(request)
        kind = request.path_params["kind"]
        if kind not in ("blurred", "sharp"):
            raise Refused("unknown", 404)
        name = self._store.stimulus_of(person.id, request.path_params["stim"])
        return Response((self._folder / STIMULI / f"{name}.{kind}.png").read_bytes(), media_type="image/png")

    async def events(self, request: Request) -> Response:
        """Store events. The answer says up to which number all are on disk."""
        values = await _body(request)
        person = self._person(request)
        if not isinstance(values, dict) or set(values) != {"epoch", "events"}:
            raise events.BadEvent("wanted epoch and events")
        if not isinstance(values["epoch"], int) or isinstance(values["epoch"], bool):
            raise events.BadEvent("epoch: wanted a whole number")
        checked = events.check_events(values["events"], self._options(person.id))
        checked = events.asked_for(checked, ask=self._settings.ask, url_parameters=self._settings.url_parameters)
        high = await asyncio.wrap_future(self._store.append(person.id, values["epoch"], checked))
        return JSONResponse({"high_seq": high})

    async def finish(self, request: Request) -> Response:
        """Give the end code, once every answer and all events before the end are on disk."""
        await _body(request)
        person = self._person(request)
        told = self._store.events(person.id)
        ended = any(event["type"] == "finish" for event in told)
        if not ended or self._current(person, self._store.plan(person.id), told) is not None:
            raise Refused("unfinished", 409)
        code = end_code_of(self._folder, person.label)
        url = self._settings.completion_url.replace("{code}", code)
        return JSONResponse({"end_code": code, "completion_url": url})

    async def withdraw(self, request: Request) -> Response:
        """Delete everything of a participant who asks for it."""
        values = await _body(request)
        person = self._person(request)
        if values != {"delete": True}:
            raise events.BadEvent("wanted delete")
        await asyncio.wrap_future(self._store.withdraw(person.label))
        return JSONResponse({"withdrawn": True})

    def _person(self, request) -> Participant:
        person = self._store.participant(sha256(request.path_params["token"]))
        if person.closed:
            raise Refused(person.closed, 410)
        return person

    def _count_entry(self) -> None:
        now = time.monotonic()
        while self._entered and now - self._entered[0] > 60:
            self._entered.popleft()
        if len(self._entered) >= ENTERED_A_MINUTE:
            raise Refused("busy", 429)
        self._entered.append(now)

    async def _close_stale(self, person) -> None:
        """Close a run that was begun, not finished, and left for longer than the study allows."""
        hours = self._settings.resume_hours
        seen = wording.seconds_since(person.last_seen)
        if not hours or seen is None or seen <= hours * 3600:
            return
        if self._current(person, self._store.plan(person.id)) is not None:
            await asyncio.wrap_future(self._store.shut(person.id, "resumed too late"))
            raise Refused("resumed too late", 410)

    def _standing(self, person) -> dict[str, Any]:
        plan, told = self._store.plan(person.id), self._store.events(person.id)
        trial = self._current(person, plan, told)
        seen = {event["type"] for event in told}
        blocks = collections.Counter(one.block for one in plan)
        clicks = projection.open_clicks(told, trial.trial) if trial is not None else []
        begun = trial is not None and any(
            event["type"] == "trial_start" and event["trial"] == trial.trial for event in told
        )
        last = max((event["t_ms"] for event in told if trial is not None and event["trial"] == trial.trial), default=0)
        return {
            "high_seq": told[-1]["seq"] if told else 0,
            "consented": "consent" in seen,
            "calibration": next((event["body"] for event in reversed(told) if event["type"] == "calibrate"), None),
            "instructed": "instructions" in seen,
            "blocks": [[block, blocks[block]] for block in sorted(blocks)],
            "trial": None if trial is None else trial.trial,
            "block": None if trial is None else trial.block,
            "begun": begun,
            "elapsed_ms": last,
            "clicks": clicks,
        }

    def _current(self, person, plan, told=None):
        """Return the first trial without an answer, None when all have one."""
        done = projection.answered(self._store.events(person.id) if told is None else told)
        return next((trial for trial in plan if trial.trial not in done), None)

    def _current_block(self, person, plan) -> int:
        trial = self._current(person, plan)
        return max(one.block for one in plan) if trial is None else trial.block

    def _public_settings(self) -> dict[str, Any]:
        chosen = self._settings
        names = ("title", "image_px", "allow_blind", "iti_ms", "pointer", "size", "view_deg", "distance_cm", "ask")
        width, height = chosen.smallest_window
        return {name: getattr(chosen, name) for name in names} | {
            "reveal_radius_px": chosen.radius,
            "min_width": width,
            "min_height": height,
            "url_parameters": chosen.url_parameters,
        }


async def _body(request: Request) -> Any:
    """Return the JSON of a request that is neither too long nor too slow.

    Raises:
      Refused: too long (413), of another type (415), or too slow (408).
      BadEvent: no JSON.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refused("not JSON", 415)
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > events.MAX_BODY:
                    raise Refused("too large", 413)
                parts.append(part)
    except TimeoutError:
        raise Refused("too slow", 408) from None
    return events.parse(b"".join(parts))


def _without_port(host: str) -> str:
    name = host.lower()
    return name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]


async def _nothing(request: Request, error: Exception | None = None) -> Response:
    del request, error
    return Response(status_code=204)


def _word(word: str, status: int) -> Response:
    return JSONResponse({"error": word}, status_code=status)


async def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Refused)
    return _word(error.word, error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    return _word({404: "unknown", 405: "method"}.get(error.status_code, "refused"), error.status_code)


async def _disk_full(request: Request, error: Exception) -> Response:
    del request, error
    return _word("disk", 507)


async def _bad_event(request: Request, error: Exception) -> Response:
    del request
    return _word(str(error), 422)
