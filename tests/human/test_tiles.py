"""Weight maps of people whom faces were uncovered to tile by tile."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.categories import Categories
from fer_jax.errors import DataError

SEVEN = Categories(("happy", "sad", "anger", "fear", "disgust", "surprise", "neutral"))


def published(path):
    """(7, 8, 6): the article's sum, straight from one person's file."""
    weights = np.zeros((7, 48))
    log = pd.read_csv(path)
    for row in log[(log["evaluation"] == "HIT") & (log["maskNum"] <= 16)].itertuples():
        tiles = [int(tile) for tile in str(row.maskList).split("-")]
        weights[int(row.express), tiles] += 1 - len(tiles) / 16
    return weights.reshape(7, 6, 8).swapaxes(1, 2)


def test_weight_maps_are_the_published_sum(real_data):
    folder = real_data / "wegrzyn2017"
    maps, people = human.tiles.weight_maps(human.readers.read_wegrzyn2017(folder), categories=SEVEN)
    files = sorted(folder.glob("pandas_logfile*.csv"))
    assert people == [path.stem.removeprefix("pandas_logfile") for path in files]
    assert len(people) == 19
    np.testing.assert_allclose(maps, np.stack([published(path) for path in files]), rtol=0, atol=1e-9)


def one_person(tiles, *, correct=True):
    """Trials of one person, as the reader of tile logs returns them, in which `tiles` were shown."""
    rows = pd.DataFrame(
        {
            "participant": "1", "trial": [1], "image": "face", "true_label": "happy", "correct": correct,
            "n_clicks": len(tiles), "simulated": False,
        }
    )  # fmt: skip
    clicks = pd.DataFrame(
        {
            "participant": "1", "trial": 1, "image": "face", "click": np.arange(len(tiles)) + 1,
            "x_px": [50 * (column + 0.5) for _, column in tiles], "y_px": [50 * (row + 0.5) for row, _ in tiles],
        }
    )  # fmt: skip
    people = pd.DataFrame({"participant": ["1"], "simulated": [False]})
    typed = human.columns.typed
    return human.Trials(
        typed("participants", people), typed("trials", rows), typed("clicks", clicks), typed("events", pd.DataFrame())
    )


def test_a_tile_weighs_the_less_the_more_tiles_were_needed():
    maps, _ = human.tiles.weight_maps(one_person([(0, 5), (7, 0)]), categories=SEVEN)
    assert maps.shape == (1, 7, 8, 6)
    assert maps[0, 0, 0, 5] == maps[0, 0, 7, 0] == 1 - 2 / 16
    assert maps.sum() == 2 * (1 - 2 / 16)
    for trials in (one_person([(0, 5)], correct=False), one_person([(0, 0)] * 17)):
        assert human.tiles.weight_maps(trials, categories=SEVEN)[0].sum() == 0


def test_clicks_that_are_no_tiles_are_refused():
    trials = one_person([(0, 5)])
    for x in (20.0, 325.0):
        clicked = dataclasses.replace(trials, clicks=trials.clicks.assign(x_px=x))
        with pytest.raises(DataError, match="wanted clicks at the centres of 8 x 6 tiles of 50 px"):
            human.tiles.weight_maps(clicked, categories=SEVEN)
