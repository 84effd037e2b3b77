"""Training that is stopped and goes on: its checkpoints, whose they are, and the log beside them."""

import contextlib
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments.config import StudyConfig, resolve
from experiments.harness import command, numerics
from experiments.study import fit
from experiments.study.run import Run
from experiments.study.run_folder import RunFolder
from fer_jax import checkpoints, placement, training
from fer_jax.checkpoints import _manifest
from fer_jax.errors import Preempted, StorageError

EPOCHS, BATCH = 6, 4


def _start(member):
    zero = np.zeros((), np.int32)
    return training.MemberState(
        {"w": np.full(2, member, np.float32)}, {}, {}, zero, zero, zero, np.zeros((), np.float32), np.zeros((), bool)
    )


LIKE = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, _start(0)))


def _step(state, batch, key, active):
    """Not a network, but as easily told one step from another."""
    del key, active
    w = state.params["w"] * 0.5 + batch["image"].sum()
    seen = state.seen + BATCH
    return state.replace(params={"w": w}, step=state.step + 1, seen=seen, correct=seen // 2, loss=state.loss + 0.5)


def _plan(run, name, stop_at, **layout):
    """Three members of one step an epoch; the run is asked to stop in its step `stop_at`."""
    steps = []

    def batch_of(member, step):
        steps.append(step)
        if len(steps) == stop_at:
            run.stop.signal = 15
        return {"image": np.full(BATCH, member + step, np.float32), "labels": np.zeros(BATCH, np.int32)}

    trainer = training.Trainer(
        _step, [training.Job(member, BATCH) for member in range(3)], start=_start, batch_of=batch_of,
        key=jax.random.key(0), batch_size=BATCH, stop=training.StopRule(None, EPOCHS),
        **({"width": 2, "over_members": "loop"} | layout),
    )  # fmt: skip
    return fit.Plan(name, trainer, LIKE, lambda member: f"pair {member}", 3 * EPOCHS * BATCH)


def _train(out, name="ensemble", *, stop_at=None, **layout):
    """Train in a run folder, or go on there; the members' weights, or None where it was stopped."""
    with contextlib.closing(RunFolder(resolve(StudyConfig(out=str(out), save_every_s=0.0)))) as folder:
        run = Run(folder.config, folder, command.StopRequest())
        try:
            left = fit.fit(run, _plan(run, name, stop_at, **layout))
        except Preempted:
            return None
        return {member: np.asarray(variables["params"]["w"]).tolist() for member, (variables, _) in left.items()}


def _rows(out, model):
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(row["member"], row["epoch"]) for row in rows if row["model"] == model]


@pytest.fixture
def unbroken(tmp_path):
    return _train(tmp_path / "unbroken")


def _newest(out, member):
    """The folder of a running member's newest state."""
    found = (out / "training" / "ensemble" / "running").glob(f"{member}-*")
    return max(found, key=lambda path: int(path.name.partition("-")[2]))


def _in_a_stack(out):
    """Lay the newest checkpoint out as it was before each member had a file of its own, and drop the rest."""
    folder = out / "training" / "ensemble"
    newest = max(folder.glob("[0-9]*"), key=lambda path: int(path.name))
    facts = {name: value for name, value in checkpoints.facts(newest).items() if name != "apart"}
    running = [checkpoints.load(_newest(out, cursor["member"]), LIKE) for cursor in facts["account"]["running"]]
    variables = training.variables_of(LIKE)
    left = [checkpoints.load(folder / "finished" / str(member), variables) for member, _ in facts["left"]]
    tree = {"running": placement.host_stack(running)} | ({"left": placement.host_stack(left)} if left else {})
    shutil.rmtree(folder)
    checkpoints.save(folder / newest.name, tree, facts=facts)


def _all_rows():
    return sorted((member, epoch) for member in range(3) for epoch in range(1, EPOCHS + 1))


def test_a_resumed_stage_leaves_the_lines_of_others(tmp_path, unbroken):
    out = tmp_path / "run"
    assert _train(out, "ensemble", stop_at=5) is None
    assert _train(out, "multiclass", stop_at=3) is None
    assert _train(out, "finetuned") == unbroken
    with open(out / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"model": "ens')  # of a process that was killed
    for name in ("ensemble", "multiclass"):
        assert _train(out, name) == unbroken
    for name in ("ensemble", "multiclass", "finetuned"):
        assert sorted(_rows(out, name)) == _all_rows()
        assert len(pd.read_csv(out / "tables" / f"metrics_{name}.csv")) == 3 * EPOCHS


@pytest.mark.parametrize("loss", ["missing", "short", "garbage", "empty"])
def test_a_lost_log_costs_the_log(tmp_path, unbroken, loss, capsys):
    out = tmp_path / "run"
    assert _train(out, stop_at=9) is None
    log = out / "metrics.jsonl"
    content = log.read_bytes()
    if loss == "missing":
        log.unlink()
    else:
        log.write_bytes({"short": content[: len(content) // 2], "garbage": b"\xff\0{}\n[]\nnull\n", "empty": b""}[loss])
    capsys.readouterr()
    assert _train(out) == unbroken
    assert f"{log}: " in capsys.readouterr().err
    rows = _rows(out, "ensemble")
    assert len(set(rows)) == len(rows) and {(member, EPOCHS) for member in range(3)} <= set(rows)
    assert len(pd.read_csv(out / "tables" / "metrics_ensemble.csv")) == len(rows)


def test_a_damaged_checkpoint_is_gone_back_from_and_one_that_cannot_be_read_is_not(tmp_path, unbroken, capsys):
    out = tmp_path / "run"
    assert _train(out, stop_at=9) is None
    arrays = _newest(out, "0") / "arrays.safetensors"
    content = bytearray(arrays.read_bytes())
    arrays.unlink()
    arrays.mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        _train(out)
    arrays.rmdir()
    content[-1] ^= 1
    arrays.write_bytes(content)
    assert _train(out) == unbroken
    assert "Going back to the checkpoint before it" in capsys.readouterr().err


@pytest.mark.parametrize("gone", [False, True])
def test_a_finished_member_whose_file_is_damaged_begins_anew_and_the_others_stay(tmp_path, unbroken, capsys, gone):
    out = tmp_path / "run"
    assert _train(out, stop_at=EPOCHS * 2 + 3) is None
    finished = out / "training" / "ensemble" / "finished"
    assert sorted(path.name for path in finished.iterdir()) == ["0", "1"]
    arrays = finished / "1" / "arrays.safetensors"
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(content)
    if gone:  # as where a kill came while checkpoints were removed
        shutil.rmtree(finished / "1")
    stamp = (finished / "0" / "manifest.json").stat().st_mtime_ns
    assert _train(out, stop_at=3) is None
    assert "That member begins anew" in capsys.readouterr().err
    assert (finished / "0" / "manifest.json").stat().st_mtime_ns == stamp  # written once
    assert _train(out) == unbroken
    assert sorted(_rows(out, "ensemble")) == _all_rows()


@pytest.mark.parametrize("stop_at", [5, EPOCHS * 2 + 3])
def test_a_checkpoint_of_before_members_had_files_of_their_own_is_read(tmp_path, unbroken, stop_at):
    out = tmp_path / "run"
    assert _train(out, stop_at=stop_at) is None
    _in_a_stack(out)
    assert _train(out, stop_at=2) is None
    assert _train(out) == unbroken
    assert sorted(_rows(out, "ensemble")) == _all_rows()


def test_states_that_no_checkpoint_needs_are_removed(tmp_path):
    out = tmp_path / "run"
    assert _train(out, stop_at=9) is None
    folder = out / "training" / "ensemble"
    (folder / "running" / ".7-3.unfinished").mkdir()
    assert _train(out, stop_at=3) is None
    accounts = sorted(path.name for path in folder.glob("[0-9]*"))
    needed = {f"{each['member']}-{each['step']}" for name in accounts for each in _running(folder / name)}
    assert len(accounts) == 2 and {path.name for path in (folder / "running").iterdir()} == needed


def _running(account):
    return checkpoints.facts(account)["account"]["running"]


def test_a_run_moves_between_device_counts(tmp_path, unbroken):
    """Begun on four devices, gone on with on one, on seven, and in one slot of the loop: nothing is lost."""
    out = tmp_path / "run"
    for devices in (4, 1, 7):
        split = {"over_members": "map", "over_devices": "shard_map", "devices": devices, "width": 3}
        assert _train(out, stop_at=2, **split) is None
    assert _train(out, width=1) == unbroken
    assert sorted(_rows(out, "ensemble")) == _all_rows()


def test_training_that_begins_anew_says_so(tmp_path, unbroken, capsys):
    """Its checkpoints have lost what names their arrays."""
    out = tmp_path / "run"
    assert _train(out, stop_at=9) is None
    for manifest in (out / "training" / "ensemble").glob("[0-9]*/manifest.json"):
        manifest.unlink()
    assert _train(out) == unbroken
    assert "No checkpoint of ensemble is whole: its training starts anew." in capsys.readouterr().err


def test_another_runs_checkpoint_is_refused(tmp_path, unbroken):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    assert _train(ours, stop_at=5) is None and _train(theirs, stop_at=9) is None
    shutil.move(ours / "training", tmp_path / "aside")
    shutil.copytree(theirs / "training", ours / "training")
    with pytest.raises(StorageError, match=r"`.*training/ensemble/\d+`: wanted a file of this run \(\w{16}\), got one"):
        _train(ours)
    shutil.rmtree(ours / "training")
    shutil.move(tmp_path / "aside", ours / "training")
    assert _train(ours) == unbroken
    # A whole run that was copied is that run.
    shutil.copytree(theirs, tmp_path / "copy")
    assert _train(tmp_path / "copy") == unbroken


def test_other_settings_of_jax_are_recorded_and_told_once(tmp_path, unbroken, capsys, monkeypatch):
    monkeypatch.setattr(numerics, "_told", set())
    out = tmp_path / "run"
    assert _train(out, stop_at=5) is None
    record = checkpoints.facts(_newest(out, "0"))["numerics"]
    assert record == numerics.numerics() and record["jax_enable_x64"] is False and record["devices"] == 8
    assert capsys.readouterr().err.count("other settings") == 0
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    with jax.default_matmul_precision("highest"), jax.threefry_partitionable(False):
        assert _train(out) == unbroken
    told = capsys.readouterr().err
    assert told.count("other settings") == 1
    for change in (
        "jax_threefry_partitionable was True, is False",
        "jax_default_matmul_precision was None, is 'highest'",
        "NVIDIA_TF32_OVERRIDE was '', is '0'",
    ):
        assert change in told


def test_a_run_of_before_there_were_identities_goes_on(tmp_path, unbroken):
    """Its record, its checkpoints and its arrays say nothing of whose they are."""
    out = tmp_path / "run"
    assert _train(out, stop_at=9) is None
    record = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({k: v for k, v in record.items() if k not in ("run", "numerics")}))
    log = (out / "metrics.jsonl").stat().st_size
    for path in [found.parent for found in (out / "training").glob("**/manifest.json")]:
        manifest = json.loads((path / "manifest.json").read_text())
        facts = {k: v for k, v in manifest["facts"].items() if k not in ("run", "numerics", "metrics_rows")}
        _manifest.write(path, facts | {"metrics_bytes": log}, manifest["arrays"])
    np.savez(out / "attention.npz", maps=np.ones(3))
    assert _train(out) == unbroken
    assert sorted(_rows(out, "ensemble")) == _all_rows()
    with contextlib.closing(RunFolder(resolve(StudyConfig(out=str(out), save_every_s=0.0)))) as folder:
        assert folder.run is None and folder.read_arrays("attention")["maps"].sum() == 3


def test_another_runs_arrays_are_refused(tmp_path):
    folders = [RunFolder(resolve(StudyConfig(out=str(tmp_path / name)))) for name in "ab"]
    for at, folder in enumerate(folders):
        folder.write_arrays("data/pictures", train_labels=np.full(2, at))
        assert folder.read_arrays("data/pictures").keys() == {"train_labels"}
        folder.close()
    shutil.copy(tmp_path / "a" / "data" / "pictures.npz", tmp_path / "b" / "data" / "pictures.npz")
    with pytest.raises(StorageError, match=r"b/data/pictures.npz`: wanted a file of this run \(\w+\), got one of anot"):
        folders[1].read_arrays("data/pictures")
