"""The card that scores saliency against a known truth: tiny but whole, and what it refuses."""

import contextlib
import dataclasses
import io
import json
import pathlib
import signal
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments import config, localise
from experiments.harness import command
from experiments.localisation import drawn_run, known_truth, truth_report, truth_scores
from experiments.study.run import open_run
from fer_jax import explanation, metrics
from fer_jax.expressions import EXPRESSIONS

COUNT = len(EXPRESSIONS.ordered_pairs)
SIZE = 32
SMALL = {
    "image_size": SIZE,
    "train_per_expression": 12,
    "validation_per_expression": 12,
    "per_ordered_pair": 1,
    "batch_size": 8,
    "max_images": 16,
}


class Made(NamedTuple):
    """What one command leaves that began with nothing."""

    run: pathlib.Path
    json: pathlib.Path
    out: str
    err: str


@pytest.fixture(scope="module", autouse=True)
def quick_figures():
    """None here: these are the figures that users get."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The card without --run: it trains the members itself, here on few pictures."""
    folder, out, err = tmp_path_factory.mktemp("localisation"), io.StringIO(), io.StringIO()
    full = config.resolve
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(config, "resolve", lambda chosen: dataclasses.replace(full(chosen), **SMALL))
        patch.setattr(known_truth, "OTHERS_PER_PAIR", 2)
        assert _run("--iterations=8", "--resamples=200", "--out=new/found.json") == 0, err.getvalue()
    return Made(folder / localise.MADE_RUN, folder / "new" / "found.json", out.getvalue(), err.getvalue())


def _run(*arguments):
    return command.run(
        localise.main, localise.LocalisationConfig, usage="", argv=["localise", f"--images={COUNT}", *arguments]
    )


def test_one_command_works_from_nothing_and_keeps_its_run(made, monkeypatch, capsys):
    said = "no --run given: drawing faces and training 28 members in runs/localisation.\n"
    assert made.err.index(said) < made.err.index("training ensemble") < made.err.index("explaining")
    full = config.resolve
    monkeypatch.setattr(config, "resolve", lambda chosen: dataclasses.replace(full(chosen), **SMALL))
    monkeypatch.chdir(made.run.parent.parent)
    before = signal.getsignal(signal.SIGINT)
    assert drawn_run.make(localise.MADE_RUN) == 0
    assert signal.getsignal(signal.SIGINT) is before  # one Ctrl-C ends what comes after the training
    assert "training" not in capsys.readouterr().err


def test_everything_is_written(made):
    found = json.loads(made.json.read_text())
    assert set(found) == {"facts", "scores", "scores_right", "contrasts", "pairs", "pictures"}
    scores = pd.DataFrame(found["scores"])
    methods = [*explanation.METHODS, *map(known_truth.untrained, explanation.METHODS)]
    assert list(dict.fromkeys(scores["method"])) == [*methods, *known_truth.REFERENCES, "truth_cells", "truth"]
    assert set(scores["score"]) == set(truth_scores.SCORES)
    assert (scores["n_pairs"] == EXPRESSIONS.num_pairs).all() and found["facts"]["n_pictures"] == COUNT
    assert found["facts"]["run"]  # which run was scored, also where none was named
    assert ((scores["ci_low"] <= scores["mean"]) & (scores["mean"] <= scores["ci_high"])).all()
    wide = scores.pivot(index="method", columns="score", values="mean")
    assert list(wide.loc["truth", ["auc", "dice", "pointing"]]) == [1, 1, 1]
    assert wide.loc["truth", "spearman"] == pytest.approx(1, abs=1e-6)
    assert wide.loc["pair_mean", "dice"] > wide.loc["face_mean", "dice"] > wide.loc["random_field", "dice"] + 0.2
    contrasts = pd.DataFrame(found["contrasts"])
    assert (
        len(contrasts) == 18 * len(truth_scores.SCORES)
        and (contrasts["p_holm"].dropna() >= contrasts["p"].dropna()).all()
    )
    for name, rows in (
        ("scores", len(scores)),
        ("pairs", 13 * EXPRESSIONS.num_pairs),
        ("pictures", 13 * COUNT),
        ("contrasts", 108),
    ):
        assert len(pd.read_csv(made.json.with_name(f"found_{name}.csv"))) == rows
    for name in ("scores", "pairs", "faces"):
        assert made.json.with_name(f"found_{name}.png").stat().st_size > 10_000


def test_the_table_can_be_read(made):
    lines = made.out.splitlines()
    assert f"{COUNT} synthetic faces (easy, {SIZE} px)" in lines[0]
    heads = next(line for line in lines if "pointing game" in line)
    assert heads.split() == ["pointing", "game", "energy", "inside", "AUC", "Dice", "Spearman", "swap"]
    ceiling = next(line for line in lines if line.startswith("  the truth itself"))
    assert "1.00 (1.00, 1.00)" in ceiling
    chance = next(line for line in lines if line.startswith("  expected")).split()
    assert chance[1:] == [".10", ".10", ".50", ".10", ".00", "-"]
    assert sum("Extremal Perturbation" in line for line in lines) == 8
    assert max(map(len, lines[:30])) <= 140


@pytest.fixture(scope="module")
def known(made):
    return known_truth.draw(open_run(str(made.run)), COUNT)


def test_faces_are_balanced_and_differ_from_their_twins_where_the_truth_lies(known):
    cells = np.zeros((8, 8), int)
    np.add.at(cells, (known.shown, known.foils), 1)
    np.testing.assert_array_equal(cells, 1 - np.eye(8, dtype=int))
    assert len(np.unique(known.pictures.reshape(len(known), -1), axis=0)) == len(known)
    apart = np.abs(known.pictures.astype(int) - known.twins).mean(3)
    inside = truth_scores.regions(known, area=0.1)
    clear = known.truths.max((1, 2)) > 10
    assert clear.mean() > 0.9
    assert (apart[clear][inside[clear]].mean()) > 4 * apart[clear][~inside[clear]].mean()


def test_means_of_other_people_are_not_those_of_the_scored_ones(made, known, monkeypatch):
    monkeypatch.setattr(known_truth, "OTHERS_PER_PAIR", 2)
    means = known_truth.pair_means(open_run(str(made.run)))
    assert means.shape == (EXPRESSIONS.num_pairs, SIZE, SIZE) and (means >= 0).all() and means.max((1, 2)).min() > 0.5
    own = np.stack([known.truths[known.pairs == pair].mean(0) for pair in range(EXPRESSIONS.num_pairs)])
    assert not np.allclose(own, means)
    alike = np.corrcoef(own.reshape(EXPRESSIONS.num_pairs, -1), means.reshape(EXPRESSIONS.num_pairs, -1))[
        : EXPRESSIONS.num_pairs, EXPRESSIONS.num_pairs :
    ]
    assert (alike.argmax(1) == np.arange(EXPRESSIONS.num_pairs)).mean() > 0.3  # by chance 1 in 28


class _Bright:
    """Stands in for the members: the probability is the brightness of the picture."""

    def of_true_class(self, pictures):
        return pictures.mean((1, 2, 3)) / 255


def test_swap_is_the_fall_when_named_pixels_are_exchanged():
    truths = np.zeros((2, 10, 10), np.float32)
    truths[:, 2, :] = np.arange(1, 11)  # ten pixels of a hundred
    pictures = np.full((2, 10, 10, 3), 255, np.uint8)
    known = known_truth.KnownFaces(
        pictures,
        np.zeros_like(pictures),
        truths,
        np.array([0, 1]),
        np.array([1, 0]),
        np.array([0, 0]),
        np.array([0, 1]),
    )
    table = truth_scores.score(known, {"m": truths, "flat": np.ones_like(truths)}, _Bright(), area=0.1)
    own, flat = table[table["method"] == "m"], table[table["method"] == "flat"]
    np.testing.assert_allclose(own["swap"], 0.1)  # a tenth of the brightness
    assert flat[list(truth_scores.SCORES)].isna().all(axis=None) and own["right"].all()
    wanted = metrics.localisation(jnp.asarray(truths[0]), jnp.asarray(truths[0]), area=0.1)
    np.testing.assert_allclose(own.iloc[0][list(wanted._fields)].astype(float), np.asarray(wanted))


def test_comparisons_are_fixed_beforehand():
    found = truth_report.comparisons(("cam", "grad_cam"))
    assert len(found) == len(set(found)) == 2 * 5 + 1
    assert ("cam", "cam_untrained") in found and ("grad_cam", "centre") in found and ("cam", "grad_cam") in found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--images=57"], "`--images`: wanted a multiple of 56, as many of each (true, foil), got 57"),
        (["--images=0"], "`--images`: wanted a number in [56, 1000000], got 0"),
        (["--area=1.5"], "`--area`: wanted a number in [0.001, 0.999], got 1.5"),
        (["--out=rows.txt"], "`--out`: wanted a name that ends in .json, got rows.txt"),
        (["--methods=cam,lime"], "`--methods`: wanted some of cam, grad_cam, extremal_perturbation, got 'lime'"),
        (["--run=gone"], "`--run`: wanted a run folder of experiments.reproduce, got gone"),
        (["--repeats=3"], "Unknown command line flag 'repeats'"),
    ],
)
def test_a_wrong_flag_is_named(arguments, said, capsys):
    assert command.run(localise.main, localise.LocalisationConfig, usage="", argv=["localise", *arguments]) == 1
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"dataset": "ferplus"}, 1, "which is of ferplus: photographs have no known truth"),
        ({"members": "0-3"}, 1, "does not hold all 28 trained members (stage members)"),
        ({"ended": False}, 1, "does not hold all 28 trained members (stage members)"),
        ({"stopped_by": "failed"}, 2, "has members whose training failed, neutral-happy; train it anew"),
    ],
)
def test_a_run_that_cannot_serve_is_refused(made, tmp_path, capsys, changes, code, said):
    saved = json.loads((made.run / "run.json").read_text())
    saved["config"] |= {name: value for name, value in changes.items() if name in saved["config"]}
    (tmp_path / "run.json").write_text(json.dumps(saved))
    for folder in ("stages", "tables"):
        (tmp_path / folder).mkdir()
    if changes.get("ended", True):
        (tmp_path / "stages" / "members.json").write_text("{}")
    rows = f"neutral-happy,{changes.get('stopped_by', 'target')}\nneutral-sad,target\n"
    (tmp_path / "tables" / "members.csv").write_text(f"pair,stopped_by\n{rows}")
    assert _run(f"--run={tmp_path}") == code
    assert said in capsys.readouterr().err
