"""The card `experiments.clicks_and_gaze` on a generated folder in the layout of OSIE."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest

from experiments import clicks_and_gaze
from experiments.gaze import page
from experiments.harness import command
from fer_jax import human
from fer_jax.compare.gaze import ANOTHER, CEILING, CENTRE, OTHERS, SCORES
from fer_jax.human.columns import TABLES, typed
from fer_jax.streams import stream
from tests.human.test_gaze import osie

SIZE = (24, 36)
IMAGES = ("1001", "1002", "1003", "1004")
TINY = ("--resamples=40", "--halves=2", "--sigma_px=2", "--cell_px=1")
NAMES = {"scores", "differences", "people", "plan", "pictures", "published"}


def run(*arguments):
    given = ["clicks_and_gaze", *TINY, *arguments]
    return command.run(clicks_and_gaze.main, clicks_and_gaze.GazeConfig, usage="usage", argv=given)


def around(seed, image, count):
    """Places (x, y) around two spots of a picture."""
    spots = stream(int(image)).uniform(0.2, 0.8, (2, 2)) * SIZE[::-1]
    random = stream(seed, int(image))
    return np.clip(spots[random.integers(0, 2, count)] + random.normal(0, 1, (count, 2)), 0, 23.9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    looked = {i: [[tuple(xy) for xy in around(p, i, 5)] for p in range(6)] for i in IMAGES}
    moved = {
        i: [(p, *(np.floor(xy[::-1]) + 1).astype(int)) for p in (1, 2, 4) for xy in around(10 + p, i, 9)]
        for i in IMAGES
    }
    return osie(tmp_path_factory.mktemp("gaze") / "osie", looked, moved, SIZE)


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    """A study's folder whose people click where others look."""
    rows, trials = [], []
    for p in range(3):
        for t, image in enumerate(IMAGES, 1):
            trials.append({"participant": f"P{p}", "trial": t, "image": f"{image}.jpg", "n_clicks": 4})
            rows += [
                {"participant": f"P{p}", "trial": t, "image": f"{image}.jpg", "click": c, "x_px": x, "y_px": y}
                for c, (x, y) in enumerate(around(20 + p, image, 4), 1)
            ]
    tables = {"participants": pd.DataFrame({"participant": ["P0", "P1", "P2"]}), "trials": pd.DataFrame(trials)}
    tables |= {"clicks": pd.DataFrame(rows), "events": pd.DataFrame()}
    folder = tmp_path_factory.mktemp("clicks") / "people"
    human.trials.write(folder, human.Trials(**{name: typed(name, tables[name]) for name in TABLES}))
    return folder


@pytest.fixture(scope="module")
def out(folder, clicks, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "gaze"
    assert run(f"--data_dir={folder}", f"--clicks={clicks}", f"--out={out}") == 0
    return out


def test_the_first_paragraph_is_the_answer_and_names_its_baselines(out):
    text = html.unescape(re.search("<p>(.*?)</p>", (out / "report.html").read_text()).group(1))
    cc = pd.read_csv(out / "scores.csv").query("score == 'cc'").set_index("predictor")["mean"]
    assert text.startswith("On 4 photographs, the map of the clicks of 3 people correlates ")
    for name in ("clicks", CEILING, OTHERS, CENTRE, "clicks" + ANOTHER):
        assert page.number(cc[name]) in text, name
    assert "with the gaze of 3 other people" in text
    assert "A map within .03 of its limit needs the clicks of" in text
    assert json.loads((out / "settings.json").read_text())["answer"] == text


def test_each_source_has_its_answer_and_every_table_its_numbers(out):
    page_text = (out / "report.html").read_text()
    assert "the map of the mouse traces of 3 people correlates" in page_text
    assert "These are scenes viewed freely" in page_text
    assert "no question was asked" in page_text
    assert "0 more outside the pictures and left out" in page_text
    assert "$" not in page_text
    tables = {path.stem: pd.read_csv(path) for path in out.glob("*.csv")}
    assert set(tables) == NAMES
    sources = ("clicks", "mouse traces")
    wanted = [(a, b) for a in sources for b in (CEILING, a + ANOTHER, OTHERS, CENTRE)]
    assert list(tables["differences"].query("score == 'cc'")[["a", "b"]].itertuples(index=False, name=None)) == wanted
    assert tables["scores"]["n_pictures"].tolist() == [4] * len(SCORES) * 7
    assert set(tables["people"]["source"]) == {"gaze", *sources}
    assert {path.name for path in (out / "figures").iterdir()} == {
        f"{name}.{kind}" for name in ("scores", "people", "pictures") for kind in ("png", "svg")
    }


def test_a_second_run_writes_the_same(out, folder, clicks, tmp_path):
    assert run(f"--data_dir={folder}", f"--clicks={clicks}", f"--out={tmp_path / 'again'}") == 0
    for name in (*(f"{name}.csv" for name in NAMES), "report.html"):
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name


def test_clicks_of_a_log_of_bubbleview_are_those_of_the_study(out, folder, clicks, tmp_path):
    table = human.trials.read(clicks).clicks.rename(columns={"participant": "user", "x_px": "x", "y_px": "y"})
    table[["image", "user", "x", "y"]].to_csv(tmp_path / "clicks.csv", index=False)
    given = (f"--data_dir={folder}", f"--clicks={tmp_path / 'clicks.csv'}", "--log_format=bubbleview")
    assert run(*given, f"--out={tmp_path / 'out'}") == 0
    assert (tmp_path / "out" / "scores.csv").read_bytes() == (out / "scores.csv").read_bytes()


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        ((0.1, 0.1, 0.1), -0.05, "stand for gaze in part: they surpass every floor"),
        ((0.1, 0.1, 0.1), 0.01, "as well as other people's gaze does, as far as these pictures can tell"),
        ((0.1, -0.1, 0.1), -0.05, f"do not surpass: {CENTRE}"),
    ],
    ids=["part", "full", "none"],
)
def test_the_verdict_follows_the_intervals(out, low, high, words):
    tables = {name: pd.read_csv(out / f"{name}.csv") for name in NAMES}
    apart = tables["differences"]
    own = (apart["score"] == "cc") & (apart["a"] == "clicks")
    for floor, end in zip((OTHERS, CENTRE, "clicks" + ANOTHER), low, strict=True):
        apart.loc[own & (apart["b"] == floor), "ci_low"] = end
    apart.loc[own & (apart["b"] == CEILING), ["ci_low", "ci_high"]] = (-0.2, high)
    values = page.answer_values("clicks", tables, tolerance=0.03)
    text = page.template.section(
        "answer", values | {"num_pictures": 4, "held_out": 3, "tolerance": ".03"}, folder=page.REPORT
    )
    assert words in text.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "`--data_dir`: wanted the folder of OSIE"),
        (("--data_dir=x",), "`--out`: wanted a folder"),
        (("--data_dir=x", "--out=y", "--cell_px=3"), "`--cell_px`: wanted at most --sigma_px, 2, got 3"),
    ],
    ids=["data", "out", "cells"],
)
def test_wrong_flags_are_refused_in_one_line(arguments, message, capsys):
    assert run(*arguments) == 1
    told = capsys.readouterr().err.strip()
    assert message in told
    assert "\n" not in told


def test_a_folder_that_is_no_osie_is_an_error_of_the_data(tmp_path, capsys):
    assert run(f"--data_dir={tmp_path}", f"--out={tmp_path / 'out'}") == 2
    assert "wanted photographs stimuli/NNNN.jpg" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
