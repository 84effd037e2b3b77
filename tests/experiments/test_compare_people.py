"""The card that compares people of tile logs with a run's networks."""

import itertools
import json
import types

import numpy as np
import pandas as pd
import pytest

from experiments import compare_people
from experiments.harness import command
from experiments.people_and_networks import page, tables
from experiments.study import run as runs
from fer_jax import frame
from fer_jax.categories import Categories
from fer_jax.compare.face_cells import OTHERS
from fer_jax.explanation import METHODS
from fer_jax.provenance import Provenance

FOUR = Categories(("neutral", "happy", "sad", "fear"))
BUTTONS = ("hap", "sad", "ang", "fea", "dis", "sup", "ntr")
# Tiles that tell of happy, sad, fear and neutral in this test: mouth, left eye, right eye, and brow.
TELLING = {"hap": (21, 29), "sad": (10, 11), "fea": (34, 35), "ntr": (17, 25)}
PX = 48


def write_logs(folder, people=5):
    """Logs of people to whom the telling tiles of an expression suffice, and who mostly are right."""
    random = np.random.default_rng(0)
    for person in range(people):
        rows = []
        for number, (label, repeat) in enumerate(itertools.product(TELLING, range(6))):
            wrong = random.random() < 0.2
            button = random.choice([other for other in TELLING if other != label]) if wrong else label
            shown = [*TELLING[label], *random.choice(48, 3, replace=False)] if not wrong else random.permutation(48)[:9]
            tiles = list(dict.fromkeys(int(tile) for tile in shown))
            rows.append(
                {
                    "ident": repeat % 2, "express": BUTTONS.index(label), "id": number, "time": "t", "button": button,
                    "filename": f"{repeat % 2}_{label}.png", "evaluation": "ERR" if wrong else "HIT", "stopRT": 900,
                    "choiceRT": 1500, "maskNum": len(tiles), "maskList": "-".join(map(str, tiles)),
                }
            )  # fmt: skip
        pd.DataFrame(rows).to_csv(folder / f"pandas_logfile{person:03d}.csv", index=False)


def made_run(*, like_people):
    """What the card reads of a run: maps that are bright where people look, or that know nothing of the expression."""
    random = np.random.default_rng(1)
    config = compare_people.ComparePeopleConfig()
    matrix = frame.points_matrix(*tables.points_of(config, PX))
    by_name = {"happy": "hap", "sad": "sad", "fear": "fea", "neutral": "ntr"}
    y, x = np.mgrid[:PX, :PX]
    rows, maps = [], []
    for true, false in FOUR.ordered_pairs:
        for _ in range(2):
            rows.append((FOUR[true], FOUR[false]))
            label = by_name[FOUR[true]] if like_people else "ntr"
            seen = np.zeros((PX, PX))
            for tile in TELLING[label]:
                centre = frame.transform(np.array([50.0 * (tile // 8) + 24.5, 50.0 * (tile % 8) + 24.5]), matrix)
                seen += np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 4**2))
            maps.append(seen + 0.05 * random.random((PX, PX)))
    table = pd.DataFrame(rows, columns=["true_label", "false_label"])
    counts = pd.DataFrame(10 * np.eye(4, dtype=int) + random.integers(0, 4, (4, 4)), columns=list(FOUR))
    pictures = random.integers(0, 256, (len(table), PX, PX, 3)).astype(np.uint8)
    labels = np.arange(4).repeat(10)
    first, second = np.asarray(FOUR.pairs).T[:, :, None]
    logits = np.stack(np.broadcast_arrays(labels == first, labels == second), -1).astype(np.float32)
    logits[0, labels == 1] = (1, 0)  # the member of neutral and happy calls everything neutral
    arrays = {
        "predictions": {"ensemble_logits": logits, "labels": labels},
        "maps": dict.fromkeys(METHODS, np.stack(maps)),
    }
    return types.SimpleNamespace(
        categories=FOUR,
        study_table=table,
        study_pictures=types.SimpleNamespace(images=pictures),
        provenance=Provenance(source="test pictures"),
        folder=types.SimpleNamespace(
            read_arrays=arrays.__getitem__,
            read_table=lambda name: counts,
        ),
    )


@pytest.fixture
def compared(tmp_path, monkeypatch):
    """Return a function that runs the card, and returns its code and folder."""
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    write_logs(logs)

    def compare(*flags, like_people=True):
        monkeypatch.setattr(runs, "open_to_compute", lambda path: made_run(like_people=like_people))
        argv = ["compare_people", "--run=run", f"--people={logs}", f"--out={out}", *flags]
        return command.run(compare_people.main, compare_people.ComparePeopleConfig, usage="", argv=argv), out

    return compare


def test_networks_that_look_where_people_look(compared, capsys):
    code, out = compared()
    assert code == 0
    agreement = pd.read_csv(out / "agreement.csv").set_index(["unit", "score", "method"])["value"]
    assert agreement["expression", "pearson", "CAM"] > 0.7
    assert agreement["expression", "pearson", "CAM"] > agreement["expression", "pearson", OTHERS]
    assert agreement["pair", "pearson", "CAM"] > 0.7
    special = pd.read_csv(out / "specificity.csv").set_index("method")
    assert special.loc["Grad-CAM", "p"] == pytest.approx(1 / 24)
    assert len(pd.read_csv(out / "expressions.csv")) == 4 * 3
    assert len(pd.read_csv(out / "pairs.csv")) == 6 * 3
    moved = pd.read_csv(out / "frame.csv").query("method == 'CAM'").set_index("frame")["pearson"]
    across_and_down = moved[moved.index.str.contains("px")]
    assert len(across_and_down) == 4
    assert (across_and_down < moved["as given"] - 0.05).all()
    told = capsys.readouterr().out
    assert "the maps of CAM agree best with the maps of 5 people" in told
    assert "CAM is better" in told
    assert "Maps of the same expression fit each other better" in told
    assert json.loads((out / "settings.json").read_text())["answer"] in told
    text = (out / "report.html").read_text()
    assert "These members are not shown to be better than guessing" in text
    assert "neutral-happy" in text
    assert "$" not in text.partition("<main>")[2].replace("base64", "").partition("<figure>")[0]


def test_networks_that_look_at_one_place_whatever_the_expression(compared, capsys):
    code, out = compared(like_people=False)
    assert code == 0
    assert "Maps of the same expression are not shown to fit each other better" in capsys.readouterr().out
    assert pd.read_csv(out / "specificity.csv")["p"].gt(0.05).all()


def test_the_same_command_gives_the_same_tables(compared):
    _, out = compared()
    before = {path.name: path.read_bytes() for path in out.glob("*.csv")}
    _, out = compared()
    assert {path.name: path.read_bytes() for path in out.glob("*.csv")} == before
    assert len(before) == 9


def test_people_s_confusion_stands_beside_the_networks(compared):
    _, out = compared()
    table = pd.read_csv(out / "confusion_agreement.csv").set_index("model")
    assert table.loc["people", "accuracy"] == pytest.approx(0.8, abs=0.12)
    assert table.loc["multiclass", "r_all"] > 0.8
    assert np.isnan(table.loc["people", "r_off_diagonal"])


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        ("--people_points=0.2,0.3", "`--people_points`: wanted x,y of left eye, right eye and mouth"),
        ("--picture_points=0.5,0.5,0.5,0.5,0.5,0.5", "that are not on one line"),
        ("--picture_points=0,0,1,0,0.5,1", "pictures that show at least a third"),
        ("--run=", "`--run`: wanted a folder, such as --run=runs/ferplus7, got none"),
        ("--people=nowhere", "got none in 'nowhere'"),
    ],
)
def test_errors_teach(compared, capsys, flag, wanted):
    code, _ = compared(flag)
    assert code != 0
    assert wanted in capsys.readouterr().err


def test_verdicts_follow_the_interval():
    row = pd.Series({"difference": 0.1, "low": -0.1, "high": 0.3})
    assert page._verdict(row) == "does not differ from it reliably"
    assert page._verdict(row.replace(-0.1, 0.05)) == "is better"
    assert page._verdict(-row[["difference", "high", "low"]].set_axis(["difference", "low", "high"])) == (
        "does not differ from it reliably"
    )
