"""The cards that train a part of a run, members trained as separate jobs, and where networks start from."""

import json
import runpy
import shlex
import shutil
import sys

import cv2
import jax
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy

from experiments import evaluate, finetune_clicks, merge_members, reproduce, train_ensemble, train_multiclass
from experiments.config import StudyConfig, chosen_members, resolve
from experiments.harness import command
from experiments.study.feed import Feed
from experiments.study.run import open_run
from experiments.study.train import batches_of, starting_variables
from fer_jax import data, models
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS

SMALL = (
    "--per_ordered_pair=1",
    "--max_epochs=1",
    "--batch_size=8",
    "--image_size=32",
)


DRAWN = ("--train_per_expression=16", "--validation_per_expression=20")


def _card(card, usage, config_class, *arguments):
    return command.run(card, config_class, usage=usage, argv=["card", *arguments])


def _train(*arguments):
    drawn = () if any(argument.startswith("--dataset=") for argument in arguments) else DRAWN
    return _card(train_ensemble.main, "", StudyConfig, *SMALL, *drawn, *arguments)


def _merge(*runs, out):
    paths = ",".join(map(str, runs))
    return _card(merge_members.main, "", merge_members.MergeConfig, f"--runs={paths}", f"--out={out}")


def _hashes(run, name="ensemble"):
    arrays = json.loads((run / name / "manifest.json").read_text())["arrays"]
    return {path: entry["sha256"] for path, entry in arrays.items()}


@pytest.fixture(scope="module")
def own_pictures(tmp_path_factory):
    """Flags of pictures in class folders: noise will do."""
    folder, rng = tmp_path_factory.mktemp("own pictures"), np.random.default_rng(0)
    for split, count in (("train", 16), ("validation", 20)):
        for expression in EXPRESSIONS:
            (folder / split / expression).mkdir(parents=True)
            for number in range(count):
                picture = rng.integers(0, 256, (32, 32, 3), np.uint8)
                cv2.imwrite(str(folder / split / expression / f"{number}.png"), picture)
    return "--dataset=class_folders", f"--data_dir={folder}", "--model=tiny"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, own_pictures):
    """One run of all members, and two that share them."""
    folder = tmp_path_factory.mktemp("runs")
    assert _train(f"--out={folder / 'whole'}", *own_pictures) == 0
    assert _train(f"--out={folder / 'low'}", *own_pictures, "--members=0-19") == 0
    assert _train(f"--out={folder / 'high'}", *own_pictures, "--members=27,20-26") == 0
    return folder


def _documented(command_line, *more):
    """Run a command as a document or a message gives it, with flags that make it short; its exit code."""
    module, *flags = shlex.split(command_line)[2:]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", [module, *flags, *more])
        patch.delitem(sys.modules, module, raising=False)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    return end.value.code


def test_the_study_goes_on_from_merged_members_as_the_documents_say(runs, tmp_path, root, capsys):
    whole = tmp_path / "runs" / "all"
    lines = [line.replace("runs/", f"{tmp_path}/runs/") for line in (root / "BUILD.md").read_text().splitlines()]
    (merging,) = (line for line in lines if "experiments.merge_members --runs=" in line and "part1" in line)
    going_on = next(line for line in lines if "experiments.reproduce --flagfile=" in line)
    for part, name in (("part0", "low"), ("part1", "high")):
        shutil.copytree(runs / name, tmp_path / "runs" / part)
    assert _documented(merging) == 0
    assert _documented(going_on, "--stages=members,people") == 0, capsys.readouterr().err
    assert "members: up to date, stays as it is" in capsys.readouterr().err
    assert _hashes(whole) == _hashes(runs / "whole")
    # And what `evaluate` advises while there is nothing to score.
    evaluating = ["evaluate", f"--run={whole}"]
    assert command.run(evaluate.main, evaluate.EvaluateConfig, usage="", argv=evaluating) == 1
    advice = capsys.readouterr().err.partition("finish it: ")[2]
    assert _documented(advice, "--stages=design,people") == 0, capsys.readouterr().err


def test_pictures_on_the_device_train_the_same_members_bit_for_bit(own_pictures, tmp_path, capsys):
    flags = *own_pictures, "--members=0,5", "--over_members=map", "--max_epochs=2"
    assert _train(f"--out={tmp_path / 'host'}", *flags) == 0
    assert "on the device" not in capsys.readouterr().err
    assert _train(f"--out={tmp_path / 'device'}", *flags, "--pictures_on=device", "--steps_per_call=3") == 0
    assert "128 pictures on the device, 0.00 GiB\n" in capsys.readouterr().err
    assert _hashes(tmp_path / "device", "part") == _hashes(tmp_path / "host", "part")
    tables = [(tmp_path / where / "tables" / "members.csv").read_text() for where in ("host", "device")]
    assert tables[0] == tables[1]


def test_parts_of_an_ensemble_merge_into_the_whole_bit_for_bit(runs, tmp_path, capsys):
    assert not (runs / "low" / "ensemble").exists()
    assert _merge(runs / "high", runs / "low", out=tmp_path / "all") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "all")
    assert _hashes(tmp_path / "all") == _hashes(runs / "whole")
    for table in ("members", "study_images", "class_counts"):
        again, wanted = (run / "tables" / f"{table}.csv" for run in (tmp_path / "all", runs / "whole"))
        assert again.read_bytes() == wanted.read_bytes()
    merged = pd.read_json(tmp_path / "all" / "metrics.jsonl", lines=True)
    assert sorted(merged["member"]) == list(range(EXPRESSIONS.num_pairs))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["low", "whole"], "neutral-happy was trained in"),
        (["low"], "`--runs`: 8 members are in none of these runs (surprise-anger, surprise-contempt, "),
        (["low", "gone"], "`--run`: wanted a run folder of experiments.reproduce"),
        ([], "`--runs`: wanted a path, got none"),
    ],
)
def test_parts_that_do_not_make_a_whole_are_refused(runs, tmp_path, capsys, parts, said):
    assert _merge(*(runs / part for part in parts), out=tmp_path / "all") == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "all").exists()


def test_parts_made_otherwise_are_refused(runs, own_pictures, tmp_path, capsys):
    other = tmp_path / "other"
    assert _train(f"--out={other}", *own_pictures, "--members=20-27", "--seed=1") == 0
    capsys.readouterr()
    assert _merge(runs / "low", other, out=tmp_path / "all") == 1
    assert "was made with --seed=1" in capsys.readouterr().err


def test_an_ensemble_starts_where_another_ended(runs):
    before = open_run(runs / "whole")
    config = resolve(StudyConfig(out="unused", image_size=32, init_from=str(runs / "whole")))
    start = starting_variables(_Study(before, config), before.network(2), "ensemble")
    wanted = before.load_ensemble()["params"]["fc"]["kernel"]
    for member in (0, 27):
        np.testing.assert_array_equal(start(member)["params"]["fc"]["kernel"], wanted[member])
    with pytest.raises(UsageError, match="holds networks of --model=tiny, wanted small"):
        other = resolve(StudyConfig(out="unused", model="small", init_from=str(runs / "whole")))
        starting_variables(_Study(before, other), before.network(2), "ensemble")


def test_an_ensemble_starts_from_weights_with_heads_of_its_own(runs, tmp_path):
    before = open_run(runs / "whole")
    donor = before.network(5)
    variables = donor.init(jax.random.key(3), np.zeros((1, 32, 32, 3), np.float32))
    safetensors.numpy.save_file(models.to_state_dict(donor, variables), tmp_path / "net.safetensors")
    config = resolve(StudyConfig(out="unused", image_size=32, init_from=str(tmp_path / "net.safetensors")))
    start = starting_variables(_Study(before, config), before.network(2), "ensemble")
    one, two = start(0)["params"], start(1)["params"]
    np.testing.assert_allclose(one["conv1"]["kernel"], variables["params"]["conv1"]["kernel"])
    assert one["fc"]["kernel"].shape[1] == 2
    assert np.abs(np.asarray(one["fc"]["kernel"]) - np.asarray(two["fc"]["kernel"])).max() > 0


class _Study:
    """A study with another configuration."""

    def __init__(self, run, config):
        self.config, self.key, self.network = config, run.key, run.network


class _Labelled:
    """A study of pictures of which only the labels are known."""

    categories = EXPRESSIONS

    def __init__(self, labels, config):
        self.labels, self.config, self.categories = labels, config, EXPRESSIONS
        self.images, self.votes = np.zeros((len(labels), 1, 1, 3), np.uint8), None

    def __len__(self):
        return len(self.labels)

    def pictures(self, split):
        assert split == "train"
        return self


@pytest.mark.parametrize("undersample", ["fixed", "per_epoch"])
def test_every_epoch_shows_the_smaller_class_once_and_as_many_of_the_larger(undersample):
    labels = np.repeat([EXPRESSIONS.pairs[3][0], EXPRESSIONS.pairs[3][1]], [30, 10]).astype(np.int32)
    run = _Labelled(labels, StudyConfig(batch_size=6, image_size=1, undersample=undersample))
    batches, again = (batches_of(run, 3, Feed(run.config, run)) for _ in range(2))
    assert batches.images_per_epoch == 20
    shown = np.concatenate([batches.at(step)["row"] for step in range(10)]).reshape(3, 20)
    for epoch in shown:
        assert sorted(epoch[epoch >= 30]) == list(range(30, 40))
        assert len(set(epoch[epoch < 30])) == 10
    assert (len(set(shown[shown < 30])) == 10) == (undersample == "fixed")
    if undersample == "fixed":
        np.testing.assert_array_equal(np.unique(shown[0]), data.pair_subset(labels, 3, seed=0))
    np.testing.assert_array_equal(again.at(3)["row"], batches.at(3)["row"])  # history plays no part


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("all", list(range(28))),
        ("3", [3]),
        ("0-2,27", [0, 1, 2, 27]),
        ("5,5-6", [5, 6]),
        ("1/9", [1, 10, 19]),
        ("27/28", [27]),
    ],
)
def test_members_are_numbers_and_ranges(text, wanted):
    assert chosen_members(StudyConfig(members=text), 28) == wanted


@pytest.mark.parametrize("text", ["28", "3-1", "-2", "a", "", "1,,2", "0-28", "1.5"])
def test_other_members_are_refused(text):
    with pytest.raises(UsageError, match=r"`--members`: wanted all, or numbers and ranges in 0..27"):
        chosen_members(StudyConfig(members=text), 28)


@pytest.mark.parametrize(
    ("card", "arguments", "said"),
    [
        (reproduce.main, ["--members=0-3"], "`--members`: 0-3 only is a job for experiments.train_ensemble"),
        (train_ensemble.main, ["--stages=vote"], "`--stages`: this card runs data, design, members"),
        (
            train_ensemble.main,
            ["--over_members=loop", "--over_devices=pmap"],
            "`--over_members`: wanted map or vmap with --over_devices, got loop",
        ),
        (
            train_ensemble.main,
            ["--pictures_on=device", "--over_devices=pmap"],
            "`--pictures_on`: wanted host with --over_devices=pmap, got device",
        ),
        *(
            (train_ensemble.main, [*DRAWN, "--steps_per_call=2", flag], f"with pictures on the host, got 2; {advice}.")
            for flag, advice in (
                ("--pictures_on=host", "leave it out, or give --pictures_on=device"),
                ("--over_devices=none", "leave it out, or give --pictures_on=device"),
                ("--over_devices=pmap", "leave it out"),
            )
        ),
        (
            train_ensemble.main,
            ["--batch_size=16", "--accumulate=3"],
            "`--accumulate`: wanted a divisor of --batch_size=16, got 3",
        ),
        (
            train_ensemble.main,
            ["--accumulate=2", "--over_devices=shard_map", "--data_devices=2"],
            "`--accumulate`: wanted 1 with --data_devices, got 2",
        ),
        (train_ensemble.main, ["--matmul_precision=bfloat16"], "--matmul_precision"),
        (train_multiclass.main, [*DRAWN, "--init_from=gone.safetensors"], "gone.safetensors"),
        (finetune_clicks.main, [], "`--out`: wanted a run folder"),
    ],
)
def test_wrong_flags_are_named(card, arguments, said, tmp_path, capsys):
    out = [] if card is finetune_clicks.main else [f"--out={tmp_path / 'run'}"]
    assert _card(card, "", StudyConfig, *SMALL, *arguments, *out) in (1, 2)
    assert said in capsys.readouterr().err


def test_the_multiclass_network_trains_by_its_own_card(tmp_path, capsys):
    out = f"--out={tmp_path / 'net'}"
    assert _card(train_multiclass.main, "", StudyConfig, *SMALL, *DRAWN, out, "--multiclass_epochs=2") == 0
    assert capsys.readouterr().out.strip().endswith("tables/multiclass.csv")
    metrics = pd.read_csv(tmp_path / "net" / "tables" / "metrics_multiclass.csv")
    assert list(metrics["epoch"]) == [1, 2] and (metrics["images"].diff().dropna() > 0).all()
