"""The card `experiments.evaluate` on other pictures: generated sets whose categories, copies and faults are known."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest

from experiments import evaluate, reproduce
from experiments.config import StudyConfig
from experiments.harness import command
from experiments.study.run import open_run
from fer_jax import ensemble
from tests.data import affectnet_copies as copies

OURS = ("happy", "sad", "anger", "contempt")
TINY = ("--image_size=32", "--per_ordered_pair=1", "--batch_size=8", "--max_images=16", "--multiclass_epochs=1")


def fill(folder, start, count=12):
    for number in range(count):
        copies.write_picture(folder / f"{number:02d}.png", copies.picture(start + number))


@pytest.fixture(scope="module")
def own_set(tmp_path_factory):
    root = tmp_path_factory.mktemp("own")
    for place, (split, count) in enumerate({"train": 12, "validation": 12, "test": 5}.items()):
        for label, name in enumerate(OURS):
            fill(root / split / name, 1000 * place + 20 * label, count)
    return root


@pytest.fixture(scope="module")
def run(own_set, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    flags = ["--dataset=class_folders", f"--data_dir={own_set}", "--stages=data,design,members,multiclass,vote"]
    argv = ["reproduce", f"--out={out}", "--model=tiny", *TINY, *flags]
    assert command.run(reproduce.main, StudyConfig, usage="", argv=argv) == 0
    return out


@pytest.fixture(scope="module")
def other_set(own_set, tmp_path_factory):
    """Happy, sad, furious and fearful faces: two of the happy ones are training pictures of the run."""
    root = tmp_path_factory.mktemp("other")
    for label, (name, count) in enumerate({"happy": 7, "sad": 6, "raging_faces": 5, "fear": 4}.items()):
        fill(root / name, 5000 + 20 * label, count)
    for number in range(2):
        picture = cv2.imread(str(own_set / "train" / "happy" / f"{number:02d}.png"))
        cv2.imwrite(str(root / "happy" / f"copy{number}.png"), picture)
    return root


def score(run, out, *flags):
    argv = ["evaluate", f"--run={run}", f"--out={out}", "--resamples=40", *flags]
    return command.run(evaluate.main, evaluate.EvaluateConfig, usage="", argv=argv)


def tables_of(out):
    return {path.stem: pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in out.glob("*.csv")}


@pytest.fixture(scope="module")
def scored(run, other_set, tmp_path_factory):
    out = tmp_path_factory.mktemp("scores") / "other"
    flags = ("--dataset=class_folders", f"--data_dir={other_set}", "--class_map=raging_faces:anger")
    assert score(run, out, *flags) == 0
    return out, tables_of(out)


def test_what_one_side_lacks_and_what_was_learned_is_left_out_and_counted(scored):
    out, tables = scored
    told = list(tables["left_out"].itertuples(index=False, name=None))
    assert told == [("the run has learned from this picture", "happy", 2), ("the run has no such category", "fear", 4)]
    named = tables["decisions"]
    assert named["true"].value_counts().to_dict() == {"happy": 7, "sad": 6, "anger": 5}
    assert not named["name"].str.contains("copy|fear").any()
    settings = json.loads((out / "settings.json").read_text())
    assert settings["shared"] == ["happy", "sad", "anger"]
    for words in (
        "of 4 categories (happy, sad, anger, contempt), name 18 pictures of class_folders",
        "of 3 shared categories. class_folders shows no contempt.",
        "Left out: 2 happy (the run has learned from this picture); 4 fear (the run has no such category).",
        "The 3 members of shared pairs vote; under all_members_* all 6 do",
    ):
        assert words in settings["pictures"]


def test_decisions_are_those_of_the_networks_by_hand(run, other_set, scored):
    _, tables = scored
    named, study = tables["decisions"], open_run(run)
    files = [cv2.cvtColor(cv2.imread(str(other_set / name)), cv2.COLOR_BGR2RGB) for name in named["name"]]
    from fer_jax.data import square

    pictures = np.stack([square(file, 32) for file in files])
    logits = study.ensemble_logits(study.load_ensemble(), pictures)
    kept = [member for member, pair in enumerate(study.categories.pairs) if 3 not in pair]
    shared = np.asarray(OURS[:3])
    np.testing.assert_array_equal(named["simple_vote"], shared[np.asarray(ensemble.simple_vote(logits[kept]))])
    weighted = np.asarray(ensemble.weighted_ballots(logits))[:, :3]
    np.testing.assert_array_equal(named["all_members_weighted_vote"], shared[weighted.argmax(1)])
    eight = study.multiclass_logits(study.load_multiclass(), pictures)
    np.testing.assert_array_equal(named["multiclass"], shared[eight[:, :3].argmax(1)])
    scores = tables["scores"].set_index(["pictures", "rule", "measure"])
    for rule in ("simple_vote", "all_members_weighted_vote", "multiclass"):
        right = (named[rule] == named["true"]).mean()
        row = scores.loc[("other", rule, "accuracy")]
        assert row["value"] == pytest.approx(right, abs=1e-6) and row["low"] <= right <= row["high"] and row["n"] == 18
        counts = tables["confusion"].query("rule == @rule")
        assert counts["n"].sum() == 18 and counts.query("true == predicted")["n"].sum() == round(18 * right)
    # The run's own pictures of the same three: 12 of each, less the study images.
    assert scores.loc[("own", "simple_vote", "accuracy"), "n"] == 3 * (12 - 3)
    assert list(tables["members"]["pair"]) == ["happy-sad", "happy-anger", "sad-anger"]


def test_the_official_test_split_of_the_runs_own_set(run, tmp_path, capsys):
    assert score(run, tmp_path / "test", "--split=test") == 0
    printed = capsys.readouterr().out
    assert "name 20 pictures of class_folders (folders, split test, crop square; 32 px) of 4 shared" in printed
    assert "Nothing was left out." in printed and "all_members" not in printed
    assert len(tables_of(tmp_path / "test")["decisions"]) == 20


def test_a_prepared_set_gives_the_same_decisions(run, other_set, scored, tmp_path):
    pytest.importorskip("array_record", reason="no array_record on this platform: the readers work without it")
    from tests.datasets.sets import build

    path = build("class_folders", other_set, tmp_path / "tfds", class_map="raging_faces:surprise").data_path
    assert score(run, tmp_path / "out", "--dataset=prepared", f"--data_dir={path}", "--class_map=surprise:anger") == 0
    ours, theirs = tables_of(tmp_path / "out"), scored[1]
    assert ours["left_out"].equals(theirs["left_out"])
    pd.testing.assert_frame_equal(
        ours["decisions"].sort_values("name", ignore_index=True),
        theirs["decisions"].sort_values("name", ignore_index=True),
    )


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--data_dir={other}",), 1, "`--dataset`: --data_dir wants the kind of set beside it"),
        (("--dataset=rafdb",), 1, "`--data_dir`: --dataset=rafdb wants the folder or zip it lies in, got none"),
        (("--dataset=rafdb", "--data_dir={other}", "--target=majority"), 1, "`--target`: goes with --dataset=ferplus"),
        (("--dataset=prepared", "--data_dir=x", "--crop=box"), 1, "`--crop`: goes with photographs read at once"),
        (("--dataset=class_folders", "--data_dir={other}/gone"), 2, "which does not exist"),
        (("--dataset=class_folders", "--data_dir={other}", "--class_map=raging_faces:anger,glad:sad"), 1, "glad"),
        (
            (
                "--dataset=class_folders",
                "--data_dir={other}",
                "--class_map=raging_faces:surprise,sad:surprise,happy:sad",
            ),
            1,
            "wanted two or more categories that both have, got sad. The run has happy, sad, anger, contempt",
        ),
        (
            ("--dataset=class_folders", "--data_dir={other}", "--class_map=raging_faces:anger", "--split=test"),
            2,
            "`--split`: wanted one that the set has (train), got test",
        ),
        (("--split=train",), 2, "pictures that the run has not learned from, all 48 in"),
    ],
)
def test_bad_calls_end_in_one_line(run, other_set, tmp_path, capsys, flags, code, message):
    assert score(run, tmp_path / "out", *(flag.replace("{other}", str(other_set)) for flag in flags)) == code
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and message in told[0], told
    assert not (tmp_path / "out").exists()
