import asyncio
import time

import numpy as np
import pandas as pd
import pytest

from fer_jax.study import Settings, Store, make_app, make_study_folder, robots
from fer_jax.study.folder import token_of
from fer_jax.study.listening import serving

LABELS = ("happy", "sad", "anger")
PX = 48


def table():
    """Six pictures, one for each ordered pair of three expressions."""
    pairs = [(true, false) for true in LABELS for false in LABELS if true != false]
    return pd.DataFrame(
        [(f"face {row}.png", true, false) for row, (true, false) in enumerate(pairs)],
        columns=["image", "true_label", "false_label"],
    )


def two_trials():
    """A table of two pictures."""
    two = LABELS[:2]
    return table()[lambda rows: rows["true_label"].isin(two) & rows["false_label"].isin(two)]


def read(name):
    """Noise: every pixel says whether it is sharp or blurred."""
    return np.random.default_rng(sum(map(ord, name))).integers(0, 256, (PX, PX, 3), np.uint8)


def make(folder, *, participants=3, practice=("practice.png",), images=None, read=read, **choices):
    settings = Settings(**{"image_px": PX, "practice": len(practice), "blocks": 2, "iti_ms": 0} | choices)
    make_study_folder(
        folder, table() if images is None else images, read,
        settings=settings, participants=participants, practice=practice,
    )  # fmt: skip
    return settings


class Faults:
    """An application that fails where a test says so, and is the study's otherwise.

    Each fault is called with method and path, and returns a status, "cut" (half of the answer), "silent" (none at all),
    "bent" (a byte is wrong), or None for no fault.
    """

    def __init__(self, app):
        self._app = app
        self.faults = []
        self.seen = []  # method, path, and the fault or the study's status
        self.times = []  # of each, seconds

    def _note(self, *seen):
        self.seen.append(seen)
        self.times.append(time.monotonic())

    async def __call__(self, scope, receive, send):
        method, path = scope["method"], scope["path"]
        fault = next((found for found in (fault(method, path) for fault in self.faults) if found), None)
        if fault == "silent":
            self._note(method, path, fault)
            while (await receive())["type"] != "http.disconnect":
                await asyncio.sleep(0)
            return
        if isinstance(fault, int):
            self._note(method, path, fault)
            await send({"type": "http.response.start", "status": fault, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})
            return

        async def spoiled(message):
            if message["type"] == "http.response.start":
                self._note(method, path, fault or message["status"])
            elif fault == "cut":
                body = message["body"]
                await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
                return
            elif fault == "bent":
                body = message["body"]
                message = {**message, "body": body[:-1] + bytes([body[-1] ^ 1])}
            await send(message)

        await self._app(scope, receive, spoiled)


class Lab:
    """A study that is served by this process."""

    def __init__(self, folder, **choices):
        self.folder = folder
        self.settings = make(folder, **choices)
        self.clients = []
        self.start()

    def start(self):
        self.store = Store(self.folder)
        app = make_app(self.folder, self.store, self.settings, hosts=("127.0.0.1", "localhost"))
        self.web = Faults(app)
        self.serving = serving(self.web)
        self.port = self.serving.__enter__()

    def client(self, label="P01", *, token=None):
        """Somebody's connection, which ends with the study."""
        self.clients.append(robots.Client("127.0.0.1", self.port, token or token_of(self.folder, label)))
        return self.clients[-1]

    def close(self):
        for client in self.clients:
            client.close()
        self.serving.__exit__(None, None, None)
        self.store.close()


@pytest.fixture
def lab(tmp_path):
    opened = []

    def open_lab(**choices):
        opened.append(Lab(tmp_path / f"study{len(opened)}", **choices))
        return opened[-1]

    yield open_lab
    for one in opened:
        one.close()
