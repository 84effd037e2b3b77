"""The ensemble trained on 1 to 28 forced CPU devices, and by 1 to 4 processes that know of each other."""

import json
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from experiments import train_distributed
from experiments.harness import command, launchers
from fer_jax.errors import UsageError

from .jobs import EVERY_STEP, Job, environment

SMALL = (
    "--train_per_expression=12",
    "--validation_per_expression=12",
    "--per_ordered_pair=1",
    "--stop_accuracy=0.7",
    "--max_epochs=3",
    "--batch_size=8",
    "--image_size=32",
    "--max_images=0",
    "--slots=28",
)


def _trained(out, root, devices, *flags, threads=None):
    line = [sys.executable, "-m", "experiments.train_ensemble", f"--out={out}", *SMALL, *flags]
    forced = {"NPROC": str(threads)} if threads else {}
    forced = environment(root, devices=devices) | forced
    done = subprocess.run(line, cwd=root, env=forced, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return _result(out)


def _result(out):
    arrays = json.loads((out / "ensemble" / "manifest.json").read_text())["arrays"]
    return {path: entry["sha256"] for path, entry in arrays.items()}, pd.read_csv(out / "tables" / "members.csv")


@pytest.mark.slow
def test_one_to_twenty_eight_devices_train_the_same_members_bit_for_bit(tmp_path, root):
    """Under map, in as many threads; members stop at different epochs, so that slots fall idle on the way."""
    hashes, members = _trained(tmp_path / "none", root, 1, "--over_members=map", threads=28)
    assert members["epochs"].nunique() > 1
    for devices in (1, 2, 4, 7, 14, 28):
        again, table = _trained(
            tmp_path / str(devices), root, devices, "--over_members=map", "--over_devices=shard_map", threads=28
        )
        pd.testing.assert_frame_equal(table, members)
        assert again == hashes, f"{devices} devices"


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("--over_devices=pmap",), ("--over_devices=shard_map", "--data_devices=2")])
def test_other_layouts_stop_every_member_at_the_same_epoch(tmp_path, root, flags):
    _, members = _trained(tmp_path / "none", root, 1, "--over_members=map")
    _, table = _trained(tmp_path / "split", root, 4, *flags)
    pd.testing.assert_frame_equal(table, members, rtol=0.05)
    assert list(table["epochs"]) == list(members["epochs"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "allowed"),
    [
        (("--over_devices=shard_map",), set()),
        (("--over_devices=pmap",), set()),
        (("--over_devices=shard_map", "--over_members=vmap"), set()),
        (("--over_devices=shard_map", "--data_devices=2"), {"all-reduce"}),
    ],
    ids=" ".join,
)
def test_a_whole_run_compiles_no_collective_outside_a_shared_batch(tmp_path, root, flags, allowed):
    """As XLA itself writes them down: every program of a run that saves after every step."""
    dump = tmp_path / "programs"
    job = Job(tmp_path / "run", root, *flags, devices=4, xla=f"--xla_dump_to={dump} --xla_dump_hlo_as_text")
    job.environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    job.finish(EVERY_STEP, "--max_epochs=2")
    texts = [path.read_text() for path in dump.glob("*after_optimizations.txt")]
    words = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter", "collective-broadcast")
    found = {word for text in texts for word in words if f" {word}(" in text or f" {word}-start(" in text}
    print(f"{len(texts)} programs, {found or 'no collective'}")
    assert len(texts) > 10 and found == allowed


class Cluster:
    """Processes that train one ensemble together, all on this machine."""

    def __init__(self, out, root, count, *flags):
        self._line = [sys.executable, "-m", "experiments.train_distributed", f"--out={out}", *SMALL, *flags]
        self._root, self._count = root, count

    def start(self, index, variables=None):
        """Process `index`, told by flags, or by what a launcher puts into its environment."""
        named = [f"--num_processes={self._count}", f"--process_id={index}"]
        return subprocess.Popen(
            [*self._line, *([] if variables else named)],
            cwd=self._root,
            env=environment(self._root) | (variables(index) if variables else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, variables=None):
        workers = [self.start(index, variables) for index in range(self._count)]
        said = [worker.communicate(timeout=300) for worker in workers]
        for worker, (_, error) in zip(workers, said, strict=True):
            assert worker.returncode == 0, error
        return [output for output, _ in said]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, root):
    """What one process leaves."""
    return _trained(tmp_path_factory.mktemp("alone") / "run", root, 1)


def _check(out, alone):
    hashes, members = _result(out)
    pd.testing.assert_frame_equal(members, alone[1])
    assert hashes == alone[0]


def test_two_processes_leave_what_one_leaves_bit_for_bit(tmp_path, root, alone, capsys):
    cluster = Cluster(tmp_path / "run", root, 2)
    assert [output.strip() for output in cluster.finish()] == [str(tmp_path / "run")] * 2
    _check(tmp_path / "run", alone)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]  # nothing is left of the parts
    assert len(pd.read_json(tmp_path / "run" / "metrics.jsonl", lines=True)["member"].unique()) == 28
    # Done is done, whoever asks.
    for index in range(2):
        again = ["train", f"--out={tmp_path / 'run'}", *SMALL, "--num_processes=2", f"--process_id={index}"]
        assert command.run(train_distributed.main, train_distributed.DistributedConfig, usage="", argv=again) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_any_number_of_processes(tmp_path, root, alone, count):
    Cluster(tmp_path / "run", root, count).finish()
    _check(tmp_path / "run", alone)


@pytest.mark.slow
def test_slurm_says_who_is_who(tmp_path, root, alone):
    Cluster(tmp_path / "run", root, 2).finish(lambda index: {"SLURM_NTASKS": "2", "SLURM_PROCID": str(index)})
    _check(tmp_path / "run", alone)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_process_costs_the_other_nothing(tmp_path, root, alone, lost):
    cluster = Cluster(tmp_path / "run", root, 2, "--save_every_s=0")
    workers = [cluster.start(index) for index in range(2)]
    _until(lambda: list(tmp_path.glob(f"run.parts/{lost}-of-2/training/ensemble/3/manifest.json")), workers)
    workers[lost].kill()
    workers[lost].communicate()
    _until(lambda: (tmp_path / f"run.parts/{1 - lost}-of-2/stages/members.json").exists(), [workers[1 - lost]])
    workers[lost] = cluster.start(lost)
    for each in workers:
        _, error = each.communicate(timeout=120)
        assert each.returncode == 0, error
    _check(tmp_path / "run", alone)


@pytest.mark.slow
def test_processes_stop_when_they_are_asked_to(tmp_path, root, alone):
    cluster = Cluster(tmp_path / "run", root, 2)
    workers = [cluster.start(0), cluster.start(1)]
    _until(lambda: len(list(tmp_path.glob("run.parts/*/stages/design.json"))) == 2, workers)
    for each in workers:
        each.send_signal(signal.SIGTERM)
    for each in workers:
        _, error = each.communicate(timeout=120)
        assert each.returncode == 75 and "Traceback" not in error, error
    cluster.finish()
    _check(tmp_path / "run", alone)


def _until(ready, workers):
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline and all(worker.poll() is None for worker in workers)
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("given", "environment", "wanted"),
    [
        ((0, 2), {}, (0, 2)),
        ((None, None), {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, (3, 4)),
        ((None, None), {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 2)),
        ((None, 7), {"JOB_COMPLETION_INDEX": "6"}, (6, 7)),
        ((1, 2), {"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (1, 2)),
        ((None, None), {"PMI_RANK": "3", "PMI_SIZE": "4"}, (3, 4)),
        # mpirun inside an allocation: SLURM's own task is one, and number 0.
        *(
            ((None, None), {"SLURM_PROCID": "0", "SLURM_NTASKS": "1", f"{rank}": "3", f"{size}": "4"}, (3, 4))
            for rank, size in (
                ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
                ("PMI_RANK", "PMI_SIZE"),
                ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
            )
        ),
        # srun by way of PMI says the same twice.
        ((None, None), {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "PMI_RANK": "3", "PMI_SIZE": "4"}, (3, 4)),
    ],
)
def test_a_launcher_says_who_is_who(given, environment, wanted):
    assert launchers.which_process(*given, environment) == wanted


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "`--num_processes`: wanted it and --process_id, or a launcher (Open MPI, MVAPICH2, MPICH, SLURM, "),
        (["--process_id=0"], "got None and 0"),
        (["--num_processes=29", "--process_id=0"], "`--num_processes`: wanted a number in [1, 28], got 29"),
        (["--num_processes=2", "--process_id=2"], "`--process_id`: wanted a number in [0, 1], got 2"),
        (["--members=0-3"], "`--members`: processes share out all members themselves"),
    ],
)
def test_a_wrong_flag_is_named(tmp_path, flags, said, capsys):
    argv = ["train", f"--out={tmp_path / 'run'}", *flags]
    assert command.run(train_distributed.main, train_distributed.DistributedConfig, usage="", argv=argv) == 1
    assert said in capsys.readouterr().err


def test_a_launcher_that_says_no_number_is_named():
    with pytest.raises(UsageError, match="`PMI_SIZE`: wanted a whole number from the launcher, got 'many'"):
        launchers.which_process(None, None, {"PMI_RANK": "0", "PMI_SIZE": "many"})
