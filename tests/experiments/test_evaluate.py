"""The card `experiments.evaluate` on predictions made up here: numbers again by numpy, repetition, errors."""

import json

import numpy as np
import pandas as pd
import pytest

from experiments import evaluate
from experiments.harness import command
from fer_jax import ensemble
from fer_jax.compare import decisions
from fer_jax.expressions import EXPRESSIONS
from tests.compare.test_decisions import N, predictions

RULES = [
    "simple_vote",
    "weighted_vote",
    "weighted_vote_softmax",
    "weighted_vote_margin",
    "probability_vote",
    "calibrated_probability_vote",
    "multiclass",
    "calibrated_multiclass",
]


def write(folder, name="predictions", **arrays):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text("{}")
    np.savez(folder / f"{name}.npz", **arrays)
    return folder


def run(*arguments):
    return command.run(evaluate.main, evaluate.EvaluateConfig, usage="usage", argv=["evaluate", *arguments])


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A run folder scored with both ensembles: its arrays, scores by rule and measure, members, folder."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    made = predictions()
    write(folder, **made)
    tuned = 0.5 * predictions(seed=9)["ensemble_logits"]
    write(folder, "predictions_finetuned", ensemble_logits=tuned, labels=made["labels"])
    assert run(f"--run={folder}", "--resamples=300", "--finetuned") == 0
    scores = pd.read_csv(folder / "evaluation" / "scores.csv").set_index(["rule", "measure"])
    return made, scores, pd.read_csv(folder / "evaluation" / "members.csv"), folder


def test_numbers_equal_those_of_numpy(scored):
    made, scores, _, _ = scored
    labels = made["labels"]
    predicted = {
        "multiclass": made["multiclass_logits"].argmax(-1),
        "calibrated_multiclass": made["multiclass_logits"].argmax(-1),
        "simple_vote": np.asarray(ensemble.simple_vote(made["ensemble_logits"])),
        "weighted_vote_margin": np.asarray(ensemble.weighted_vote(made["ensemble_logits"], weight="margin")),
        "probability_vote": np.asarray(ensemble.probability_vote(made["ensemble_logits"])),
    }
    for rule, answers in predicted.items():
        recalls = [np.mean(answers[labels == label] == label) for label in range(8)]
        f1 = [
            2 * np.sum((answers == label) & (labels == label)) / (np.sum(answers == label) + np.sum(labels == label))
            for label in range(8)
        ]
        expected = {"accuracy": np.mean(answers == labels), "balanced_accuracy": np.mean(recalls)}
        expected |= {"macro_f1": np.mean(f1), **{f"recall_{n}": r for n, r in zip(EXPRESSIONS, recalls, strict=True)}}
        for measure, value in expected.items():
            assert scores.loc[(rule, measure), "value"] == pytest.approx(value, abs=2e-6), (rule, measure)
    gain = np.mean(predicted["multiclass"] == labels) - np.mean(predicted["simple_vote"] == labels)
    assert scores.loc[("multiclass", "accuracy_minus_simple_vote"), "value"] == pytest.approx(gain, abs=2e-6)


def test_every_rule_has_every_measure_with_an_interval_around_it(scored):
    made, scores, _, _ = scored
    rules = list(dict.fromkeys(scores.index.get_level_values("rule")))
    assert rules == RULES + [f"finetuned_{rule}" for rule in RULES[:6]]
    for rule in rules:
        measures = set(scores.loc[rule].index)
        assert {"accuracy", "balanced_accuracy", "macro_f1", *(f"recall_{name}" for name in EXPRESSIONS)} <= measures
        assert ({"ece", "brier"} <= measures) == (not rule.endswith("weighted_vote"))  # ballots that may be negative
    ece = scores.index.get_level_values("measure") == "ece"
    assert scores[ece][["low", "high"]].isna().all(axis=None)
    others = scores[~ece]
    assert others.notna().all(axis=None)
    assert ((others["low"] <= others["value"]) & (others["value"] <= others["high"])).all()
    for label, name in enumerate(EXPRESSIONS):
        assert scores.loc[("multiclass", f"recall_{name}"), "n"] == np.sum(made["labels"] == label)
    assert scores.loc[("multiclass", "accuracy"), "n"] == N


def test_temperatures_undo_what_made_the_networks_too_sure(scored):
    scores = scored[1]["value"]
    assert scores[("calibrated_multiclass", "ece")] < scores[("multiclass", "ece")] / 2
    assert scores[("calibrated_multiclass", "brier")] < scores[("multiclass", "brier")]
    made = predictions(seed=1, count=1500)
    half = decisions.split_halves(made["labels"], 0)
    table = decisions.member_table(made["ensemble_logits"], made["labels"], half, EXPRESSIONS)
    assert (table["temperature"] > 1.2).all()
    assert (table["nll_calibrated"] < table["nll"]).sum() >= 25
    assert table["ece_calibrated"].mean() < table["ece"].mean() / 2
    # Both halves pull at the whole.
    between = table[["temperature_a", "temperature_b"]]
    assert (between.min(axis=1) <= table["temperature"]).all() and (table["temperature"] <= between.max(axis=1)).all()


def test_members_are_judged_by_pictures_of_their_own_expressions(scored):
    made, _, members, _ = scored
    assert list(members["ensemble"]) == ["trained"] * 28 + ["finetuned"] * 28
    for index, (first, second) in enumerate(EXPRESSIONS.pairs):
        own = np.isin(made["labels"], [first, second])
        right = made["ensemble_logits"][index, own].argmax(-1) == (made["labels"][own] == second)
        row = members.iloc[index]
        assert (row["pair"], row["n"]) == (f"{EXPRESSIONS[first]}-{EXPRESSIONS[second]}", own.sum())
        assert row["accuracy"] == pytest.approx(right.mean(), abs=2e-6)


def test_expressions_that_are_absent_are_told_as_such(tmp_path):
    made = predictions()
    keep = made["labels"] < 5
    arrays = {name: value[:, keep] if name == "ensemble_logits" else value[keep] for name, value in made.items()}
    folder = write(tmp_path / "few", **arrays)
    assert run(f"--run={folder}", "--resamples=50") == 0
    scores = pd.read_csv(folder / "evaluation" / "scores.csv").set_index(["rule", "measure"])
    absent = scores.loc[("simple_vote", "recall_contempt")]
    assert absent[["value", "low", "high"]].isna().all() and absent["n"] == 0
    assert scores.loc[("simple_vote", "balanced_accuracy")].notna().all()
    members = pd.read_csv(folder / "evaluation" / "members.csv").set_index("pair")
    assert members.loc["disgust-anger", "n"] == 0 and np.isnan(members.loc["disgust-anger", "accuracy"])
    assert (members.loc[["disgust-anger", "neutral-anger"], "temperature"] == 1).all()


def test_the_same_seed_gives_the_same_bytes(scored, tmp_path, capsys):
    folder = scored[3]

    def files(out, *flags):
        assert run(f"--run={folder}", f"--out={tmp_path / out}", "--resamples=60", *flags) == 0
        return {name: (tmp_path / out / name).read_bytes() for name in ("scores.csv", "members.csv", "settings.json")}

    first = files("one")
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == str(tmp_path / "one")
    assert printed.out.count("calibrated_multiclass") == 2 and "resampling: done" in printed.err
    table = printed.out.splitlines()[1 : len(RULES) + 2]
    assert len({len(line) for line in table}) == 1 and [line.split()[0] for line in table[1:]] == RULES
    assert files("two") == first == files("one")
    assert files("three", "--seed=1")["scores.csv"] != first["scores.csv"]
    settings = json.loads(first["settings.json"])
    assert settings["resamples"] == 60 and set(settings["sha256"]) == {"predictions"}


def _spoil(**changed):
    return lambda folder: write(folder, **(predictions() | changed))


def _other_labels(folder):
    made = predictions()
    write(folder, **made)
    write(folder, "predictions_finetuned", ensemble_logits=made["ensemble_logits"], labels=made["labels"][::-1])


def _damaged(folder):
    (write(folder, **predictions()) / "predictions.npz").write_bytes(b"PK\x03\x04 cut off")


@pytest.mark.parametrize(
    ("prepare", "flags", "code", "message"),
    [
        (lambda folder: None, (), 1, "`--run`: wanted a run folder of experiments.reproduce, got "),
        (
            lambda folder: write(folder, "other"),
            (),
            1,
            "has no predictions yet (stage vote); finish it: python -m experiments.reproduce --flagfile=",
        ),
        (_spoil(), ("--finetuned",), 1, "has no fine-tuned predictions yet (stage finetune); finish it: python"),
        (_spoil(labels=np.zeros(N - 1, int)), (), 3, "wanted ensemble_logits (28, 119, 2), N > 0 pictures, got (28,"),
        (_spoil(multiclass_logits=np.zeros((N, 7))), (), 3, "wanted multiclass_logits (120, 8), N > 0 pictures, got"),
        (_spoil(labels=np.full(N, 8)), (), 3, "wanted labels in 0..7, got 8..8."),
        (_spoil(labels=np.zeros(N)), (), 3, "wanted labels in 0..7, got 0.0..0.0."),
        (_spoil(multiclass_logits=np.full((N, 8), np.nan)), (), 3, "wanted finite multiclass_logits, got NaN"),
        (_damaged, (), 3, "predictions.npz`: is damaged (File is not a zip file)."),
        (_other_labels, ("--finetuned",), 3, "its labels are not those of predictions.npz."),
        (_spoil(), ("--resamples=10",), 1, "`--resamples`: wanted a number in [40, 1000000], got 10."),
        (_spoil(), ("--seed=-1",), 1, "`--seed`: wanted a number in [0, "),
        (_spoil(), ("--rules=all",), 1, "Unknown command line flag 'rules'"),
    ],
)
def test_bad_calls_end_in_one_line(tmp_path, capsys, prepare, flags, code, message):
    prepare(tmp_path / "run")
    assert run(f"--run={tmp_path / 'run'}", *flags) == code
    told = capsys.readouterr().err.strip()
    assert message in told and told.startswith("error: ") and "\n" not in told
    assert not (tmp_path / "run" / "evaluation").exists()


def test_folders_that_cannot_be_used_are_refused(tmp_path, capsys):
    folder = write(tmp_path / "run", **predictions())
    assert run() == 1
    assert "`--run`: wanted a run folder, such as --run=runs/first, got none." in capsys.readouterr().err
    assert run(f"--run={folder}", f"--out={folder}") == 1
    assert "is not empty and holds no scores (predictions.npz). Choose another." in capsys.readouterr().err
    (tmp_path / "file").write_text("in the way")
    for out in ("file", "file/below"):
        assert run(f"--run={folder}", f"--out={tmp_path / out}") == 3
        assert "cannot be written: " in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["predictions.npz", "run.json"]
