import numpy as np
import pandas as pd
import pytest

from fer_jax.study import Settings, Store, make_app, make_study_folder, robots
from fer_jax.study.folder import token_of
from fer_jax.study.server import serving

LABELS = ("happy", "sad", "anger")
PX = 48


def table():
    """Six pictures, one for each ordered pair of three expressions."""
    pairs = [(true, false) for true in LABELS for false in LABELS if true != false]
    return pd.DataFrame(
        [(f"face {row}.png", true, false) for row, (true, false) in enumerate(pairs)],
        columns=["image", "true_label", "false_label"],
    )


def read(name):
    """Noise: every pixel says whether it is sharp or blurred."""
    return np.random.default_rng(sum(map(ord, name))).integers(0, 256, (PX, PX, 3), np.uint8)


def make(folder, *, participants=3, practice=("practice.png",), images=None, **choices):
    settings = Settings(**{"image_px": PX, "practice": len(practice), "blocks": 2, "iti_ms": 0} | choices)
    make_study_folder(
        folder, table() if images is None else images, read,
        settings=settings, participants=participants, practice=practice,
    )  # fmt: skip
    return settings


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
        self.serving = serving(app)
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
