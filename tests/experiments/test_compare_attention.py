"""The card that compares maps under every open choice: which maps it takes, and which it makes."""

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from experiments import compare_attention
from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.people_and_networks import versions, versions_page
from experiments.study import run as runs
from fer_jax.categories import Categories
from fer_jax.compare import multiverse
from fer_jax.explanation import METHODS
from fer_jax.provenance import Provenance

TRIO = Categories(("neutral", "happy", "sad"))
PX = 8
AREAS = [0.05, 0.1]


class _Folder:
    """A folder of results in which nothing is locked."""

    def __init__(self, path):
        self.path = path

    def write_arrays(self, name, **arrays):
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(self.path / f"{name}.npz", **arrays)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A run whose members are wrong about images 1 and 4, and the maps that were asked for."""
    truth = np.array([0, 1, 0, 1, 0, 1], np.int32)
    table = pd.DataFrame([(TRIO[a], TRIO[b]) for a, b in TRIO.ordered_pairs], columns=["true_label", "false_label"])
    table["image"] = [f"{row}.png" for row in range(6)]
    right = np.array([True, False, True, True, False, True])
    logits = 3.0 * np.eye(2)[np.where(right, truth, 1 - truth)]
    own = {method: np.full((6, PX, PX), 10.0 * (place + 1)) for place, method in enumerate(METHODS)}
    (tmp_path / "run" / "ensemble").mkdir(parents=True)
    (tmp_path / "run" / "ensemble" / "manifest.json").write_text("{}")
    config = resolve(StudyConfig(out="run", image_size=32, ep_iterations=3, ep_score="logit"))
    run = types.SimpleNamespace(
        config=config,
        categories=TRIO,
        study_table=table,
        study_pairs=np.array([TRIO.pair_index(*pair) for pair in TRIO.ordered_pairs]),
        provenance=Provenance(people="simulated"),
        folder=types.SimpleNamespace(path=tmp_path / "run", read_arrays=lambda name: own | {"logits": logits}),
    )
    asked = []

    def explain_rows(run, settings, targets, rows, *, check):
        check()
        (method,) = settings.methods
        asked.append((method, settings.score, settings.ep_score, float(settings.extremal.area), rows.tolist()))
        value = 100 * settings.extremal.area + (settings.score == "difference")
        yield rows, {method: np.full((len(rows), PX, PX), value) - targets[rows, None, None]}

    monkeypatch.setattr(versions, "explain_rows", explain_rows)
    monkeypatch.setattr(versions, "true_sides", lambda run: truth)
    return types.SimpleNamespace(run=run, own=own, asked=asked, truth=truth, folder=_Folder(tmp_path / "out"))


def _versions(made, targets=tuple(versions.TARGETS)):
    found = versions.network_versions(made.run, made.folder, AREAS, targets, check=lambda: None)
    return {(chosen["target"], chosen["area"]): maps for chosen, maps in found}


def test_what_the_run_has_is_not_made_again(made):
    found = _versions(made, ["true"])
    assert [job[0] for job in made.asked] == ["extremal_perturbation"]
    assert made.asked[0][3:] == (0.05, list(range(6)))
    for method in METHODS:
        np.testing.assert_array_equal(found["true label", 0.1][method], made.own[method])
    assert found["true label", 0.05]["cam"] is found["true label", 0.1]["cam"]


def test_a_prediction_differs_from_the_truth_where_the_member_is_wrong(made):
    found = _versions(made)["predicted label", 0.1]["extremal_perturbation"]
    wrong = [1, 4]
    np.testing.assert_array_equal(np.delete(found, wrong, 0), 30)
    np.testing.assert_allclose(found[wrong, 0, 0], 10.0 - (1 - made.truth[wrong]))
    jobs = [job for job in made.asked if job[0] == "extremal_perturbation" and job[4] == wrong]
    assert [job[3] for job in jobs] == AREAS


def test_a_difference_is_that_of_the_scores(made):
    found = _versions(made)["difference", 0.05]
    foil = 10.0 - (1 - made.truth)
    np.testing.assert_allclose(found["cam"][:, 0, 0], 10 - foil)  # by its linearity
    np.testing.assert_allclose(found["extremal_perturbation"][:, 0, 0], 6.0 - made.truth)
    assert all(job[1:3] == ("difference", "difference") for job in made.asked if job[1] == "difference")


def test_the_same_command_goes_on_and_another_network_starts_anew(made):
    first = _versions(made)
    jobs = len(made.asked)
    again = _versions(made)
    assert len(made.asked) == jobs
    for chosen, maps in first.items():
        for method in METHODS:
            np.testing.assert_array_equal(again[chosen][method], maps[method])
    (made.folder.path / "maps" / "grad_cam_logit_foil.npz").write_bytes(b"damaged")
    _versions(made)
    assert len(made.asked) == jobs + 1
    (made.run.folder.path / "ensemble" / "manifest.json").write_text("another")
    _versions(made)
    assert len(made.asked) == 2 * jobs + 1


def test_winners_are_counted_by_target_and_area():
    random = np.random.default_rng(0)
    human = random.random((6, PX, PX))
    networks = [
        ({"target": target, "area": area}, {method: human + (0.1 if method == best else 2) * random.random(human.shape)
                                            for method in METHODS})
        for target, area, best in (("true label", 0.1, "cam"), ("difference", 0.1, "grad_cam"))
    ]  # fmt: skip
    table = multiverse.multiverse([({}, human)], networks, np.repeat(np.arange(3), 2), np.arange(6))
    found = versions_page.measure(table)
    assert found["winners"]["CAM"].tolist() == [1, 0]
    assert found["winners"]["Grad-CAM"].tolist() == [0, 1]
    assert found["winners"]["specifications"].tolist() == [63, 63]
    assert found["choices"]["choice"].iloc[0] == "target"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--out=x"], "`--run`: wanted a folder, such as --run=runs/first, got none"),
        (["--run=x"], "`--out`: wanted a folder, such as --out=attention, got none"),
        (
            ["--run=x", "--out=x", "--each_area=0.1,2"],
            "`--each_area`: wanted different shares strictly between 0 and 1",
        ),
        (["--run=x", "--out=x", "--each_target=foil"], "`--each_target`: wanted some of"),
        (["--run=x", "--out=x"], "`--run`: wanted a run with people, got x, which was made with --people=none"),
    ],
)
def test_errors_teach(made, monkeypatch, capsys, flags, told):
    made.run.config = dataclasses.replace(made.run.config, people="none")
    monkeypatch.setattr(runs, "open_to_compute", lambda path: made.run)
    argv = ["compare_attention", *flags]
    assert command.run(compare_attention.main, compare_attention.CompareAttentionConfig, usage="", argv=argv) != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line
