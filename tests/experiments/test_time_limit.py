"""Training shortened to fit into minutes, and repeated from the folder without a clock."""

import dataclasses
import json
import types

import numpy as np
import pytest

from experiments import train_ensemble
from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.study import time_limit
from experiments.study.run_folder import RunFolder
from experiments.study.stage_table import LIMITS
from fer_jax.errors import StorageError, UsageError
from fer_jax.expressions import EXPRESSIONS

SIZES = (40, 60, 100)  # images of the members' epochs


def _members(config):
    return sum(size * min(config.max_epochs, max(1, config.max_images // size)) for size in SIZES)


def _multiclass(config):
    return 500 * config.multiclass_epochs


def _finetune(config):
    return 28 * config.finetune_images


IMAGES = {"members": _members, "multiclass": _multiclass, "finetune": _finetune}


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of which nothing is computed: an image takes 10 ms."""
    monkeypatch.setattr(time_limit, "seconds_an_image", lambda *_, **__: 0.01)
    monkeypatch.setattr(time_limit, "roughly_at_once", lambda *_: 1)
    made = []

    def with_flags(**flags):
        config = time_limit.as_recorded(resolve(StudyConfig(out=str(tmp_path / "run"), **flags)))
        folder = RunFolder(config)
        made.append(folder)
        pictures = {"train": np.zeros(500), "validation": np.zeros(100)}
        return types.SimpleNamespace(config=config, folder=folder, pictures=pictures.get, categories=EXPRESSIONS)

    yield with_flags
    for folder in made:
        folder.close()


def _bounded(study, name):
    return getattr(time_limit.bounded(study, name, None, lambda: None, None, IMAGES[name]), LIMITS[name])


FLAGS = {
    "per_ordered_pair": 1,
    "ep_iterations": 10,
    "finetune_images": 640,
    "max_epochs": 150,
    "max_images": 6000,
    "multiclass_epochs": 40,
}


def test_time_enough_changes_nothing(study):
    one = study(minutes=1e5, **FLAGS)
    assert _bounded(one, "members") == 6000
    one.config = dataclasses.replace(one.config, minutes=0.0)
    assert _bounded(one, "multiclass") == 40
    assert list(time_limit.limits_of(one.folder.path)) == ["members"]


def _shortened(study):
    """A study whose three stages have trained as long as they were given; stage -> its limit."""
    one, spent, given = study(minutes=8.0, **FLAGS), 0.0, {}
    for name in LIMITS:
        one.folder.stages.spent = lambda spent=spent: spent
        given[name] = _bounded(one, name)
        spent += 0.01 * IMAGES[name](one.config)
    return one, given


def test_all_training_is_shortened_by_one_factor_and_fits(study, capsys):
    one, _ = _shortened(study)
    said = capsys.readouterr().err
    limits = json.loads((one.folder.path / "limits.json").read_text())
    shares = {}
    for name, limit in limits.items():
        assert limit["given"] < limit["asked"] and limit["minutes"] == 8.0
        assert f"{name}: --{limit['flag']}={limit['given']}, not {limit['asked']}, to end within --minutes=8" in said
        asked = dataclasses.replace(one.config, **{limit["flag"]: limit["asked"]})
        shares[name] = 0.01 * IMAGES[name](one.config) / (0.01 * IMAGES[name](asked))
        assert 0.01 * IMAGES[name](one.config) <= limit["seconds"] * 1.001
    fixed = 30 + 0.01 * (1.5 * 560 + 2 * 29 * 100 / 3)
    demand = 0.01 * (_members(StudyConfig(max_epochs=150, max_images=6000)) + 500 * 40 + 28 * 640)
    assert list(shares.values()) == pytest.approx([(480 - fixed) / demand] * 3, abs=0.02)


def test_a_run_repeats_from_its_flags_and_goes_on_with_its_limits(study, tmp_path):
    one, given = _shortened(study)
    one.folder.close()
    flags = command.parse(StudyConfig, ["p", f"--flagfile={tmp_path / 'run' / 'flags.txt'}"], usage="")
    assert {name: getattr(flags, flag) for name, flag in LIMITS.items()} == given
    assert flags.minutes == 0  # the clock plays no part in the repetition
    for minutes in (8.0, 80.0):  # what training has begun with stays
        two = study(minutes=minutes, **FLAGS)
        assert {name: _bounded(two, name) for name in LIMITS} == given
        two.folder.close()


def test_too_few_minutes_are_told_and_the_least_is_done(study, capsys):
    assert _bounded(study(minutes=0.01, **(FLAGS | {"finetune_images": 64_000})), "members") == 1
    said = capsys.readouterr().err
    assert "training is the least. Give more, fewer --per_ordered_pair, or --ep_stop=converged.\n" in said
    assert "members: --max_images=1, not 6000, to end within --minutes=0.01" in said


def test_without_people_no_minute_is_kept_for_fine_tuning(study, tmp_path):
    one, stages = study(minutes=8.0, people="none", **FLAGS), ("members", "multiclass")
    given = {name: _bounded(one, name) for name in stages}
    fixed = 30 + 0.01 * (1.5 * 560 + 29 * 100 / 3)
    trained = 0.01 * (_members(one.config) + _multiclass(one.config))
    assert 480 - fixed - 60 < trained <= 480 - fixed
    one.folder.close()
    flags = command.parse(StudyConfig, ["p", f"--flagfile={tmp_path / 'run' / 'flags.txt'}"], usage="")
    assert {name: getattr(flags, LIMITS[name]) for name in stages} == given and flags.minutes == 0


def test_a_damaged_record_is_named(study, tmp_path):
    study(minutes=8.0, **FLAGS).folder.close()
    (tmp_path / "run" / "limits.json").write_text('{"members": 3}')
    with pytest.raises(StorageError, match=r"limits.json`: is damaged"):
        study(minutes=8.0, **FLAGS)


@pytest.mark.parametrize("flags", [{"members": "0-3"}, {"over_devices": "shard_map", "data_devices": 2}])
def test_what_must_train_alike_takes_no_clock(flags):
    with pytest.raises(UsageError, match=r"`--minutes`: cannot be shared out with --.* give --max_images"):
        resolve(StudyConfig(out="x", minutes=3.0, **flags))


def test_members_trained_against_the_clock_are_trained_again_without_it(tmp_path):
    small = ("--train_per_expression=16", "--validation_per_expression=20", "--batch_size=8", "--image_size=32")
    hashes = []
    for name, flags in (
        ("one", ("--minutes=0.01", *small)),
        ("two", (f"--flagfile={tmp_path / 'one' / 'flags.txt'}",)),
    ):
        argv = ["card", *flags, f"--out={tmp_path / name}"]
        if name == "two":  # later stages have had no limit yet, so the minutes still stand among the flags
            argv.append("--minutes=0")
        assert command.run(train_ensemble.main, StudyConfig, usage="", argv=argv) == 0
        arrays = json.loads((tmp_path / name / "ensemble" / "manifest.json").read_text())["arrays"]
        hashes.append({path: entry["sha256"] for path, entry in arrays.items()})
    assert hashes[0] == hashes[1]
    assert "--max_images=1\n" in (tmp_path / "two" / "flags.txt").read_text()
