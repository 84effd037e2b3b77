"""One run by several processes that `jax.distributed` joins: started, stopped, killed, and gone on with by others.

Two runs by two processes are among the fast tests. Twenty kills of one of four, stops of all, and moves between four,
two and one are `slow`.
"""

import collections
import io
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import types

import pandas as pd
import pytest

from experiments import train_distributed
from experiments.config import StudyConfig, resolve
from experiments.harness import command, hosts, kept_programs, launchers, supervised
from experiments.study import resumption, run_folder, stages
from fer_jax.errors import Preempted, StorageError, UsageError

from .jobs import DEADLINE_S, EVERY_STEP, environment

# Three members; of four categories six.
FLAGS = (
    "--categories=happy,sad,anger",
    "--train_per_expression=8",
    "--validation_per_expression=12",
    "--per_ordered_pair=1",
    "--stop_accuracy=0",
    "--max_epochs=6",
    "--batch_size=8",
    "--image_size=32",
    "--max_images=0",
    "--slots=6",
)
LONGER = ("--categories=happy,sad,anger,fear", "--max_epochs=20")


def _free_port(of=lambda port: True):
    """A port that nobody listens on, of some kind."""
    while True:
        with socket.socket() as found:
            found.bind(("", random.randrange(61440, 65535)))
            if of(found.getsockname()[1]):
                return found.getsockname()[1]


class Cluster:
    """One run, started again and again by any number of processes on this machine."""

    def __init__(self, out, root, *flags):
        self.out, self._root, self._flags = out, root, (*FLAGS, *flags)

    def start(self, count, *flags, variables=None):
        """Processes told by flags, or by what a launcher puts into their environment."""
        line = [sys.executable, "-m", "experiments.train_distributed", f"--out={self.out}", *self._flags, *flags]
        address = f"--coordinator=localhost:{_free_port()}"
        named = [[f"--num_processes={count}", f"--process_id={index}", address] for index in range(count)]
        return [
            subprocess.Popen(
                [*line, *([] if variables else named[index])],
                cwd=self._root,
                env=environment(self._root) | (variables(index) if variables else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index in range(count)
        ]

    def finish(self, count, *flags, variables=None):
        """What each process has written to its two streams."""
        return _ended(self.start(count, *flags, variables=variables), 0)

    def alone(self, *flags):
        """One process, in the layout that a split has on each device."""
        return self.finish(1, "--over_members=map", *flags)

    def saved(self):
        """Number of the newest checkpoint."""
        found = (self.out / "training" / "ensemble").glob("[0-9]*/manifest.json")
        return max((int(path.parent.name) for path in found), default=0)

    def locked_by(self, worker):
        """Whether the run folder is locked by the child of a process, which has then joined the others."""
        lock = self.out / "LOCK"
        return lock.exists() and any(lock.read_text().startswith(f"process {child} ") for child in _children(worker))

    @property
    def ended(self):
        return (self.out / "ensemble" / "manifest.json").exists()

    def result(self):
        """Everything that must not depend on who trained, and on interruptions."""
        arrays = json.loads((self.out / "ensemble" / "manifest.json").read_text())["arrays"]
        metrics = pd.read_json(self.out / "metrics.jsonl", lines=True).sort_values(["member", "epoch"])
        metrics = metrics.drop(columns=["run", "images_per_s", "wall_s", "time_utc"])
        members = (self.out / "tables" / "members.csv").read_text()
        return {path: entry["sha256"] for path, entry in arrays.items()}, metrics.to_csv(index=False), members


def _ended(workers, code):
    """Wait for all and check how they ended."""
    said = [worker.communicate(timeout=DEADLINE_S) for worker in workers]
    assert [worker.returncode for worker in workers] == [code] * len(workers), said
    assert all("Traceback" not in error for _, error in said), said
    return said


def _until(ready, workers):
    deadline = time.monotonic() + DEADLINE_S
    while not ready():
        assert time.monotonic() < deadline, "the cue never came"
        if any(worker.poll() is not None for worker in workers):
            return
        time.sleep(0.01)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, root):
    """What one process leaves."""
    cluster = Cluster(tmp_path_factory.mktemp("alone") / "run", root)
    cluster.alone()
    return cluster.result()


def test_two_processes_stop_when_one_is_asked_to_and_one_goes_on(tmp_path, root, alone):
    """Three members on two devices; the second process is asked, the first one writes."""
    cluster = Cluster(tmp_path / "run", root)
    workers = cluster.start(2, EVERY_STEP)
    _until(lambda: cluster.saved() >= 3, workers)
    workers[1].send_signal(signal.SIGTERM)
    said = _ended(workers, 75)
    for index, (output, error) in enumerate(said):
        assert error.startswith(f"process {index} of 2: 1 of 2 devices (cpu), mesh 2 row, 1 data\n"), error
        assert output == ""
    accounts = list((cluster.out / "training" / "ensemble").glob("[0-9]*"))
    assert len(accounts) == 2 and not (cluster.out / "ensemble").exists()
    cluster.alone()
    assert cluster.result() == alone


def _slurm(count):
    """The variables of `srun`, of a job whose port is free: JAX takes it from the job's number."""
    job = _free_port() - 61440
    return lambda index: {
        "SLURM_JOB_ID": str(job),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": str(count),
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
        "SLURM_STEP_NUM_NODES": "1",
    }


def test_under_slurm_two_processes_leave_what_one_leaves_bit_for_bit(tmp_path, root, alone):
    """Here with all pictures on the devices of both."""
    cluster = Cluster(tmp_path / "run", root, "--pictures_on=device", "--steps_per_call=3")
    said = cluster.finish(2, variables=_slurm(2))
    assert [output for output, _ in said] == [f"{cluster.out}\n", ""]
    assert cluster.result() == alone
    assert not any((cluster.out / "training").iterdir())


@pytest.mark.slow
def test_an_indexed_job_of_kubernetes_says_who_is_who(tmp_path, root, alone):
    cluster = Cluster(tmp_path / "run", root, "--num_processes=2", f"--coordinator=localhost:{_free_port()}")
    cluster.finish(2, variables=lambda index: {"JOB_COMPLETION_INDEX": str(index)})
    assert cluster.result() == alone


@pytest.mark.slow
def test_processes_that_share_batches_leave_what_as_many_devices_of_one_leave(tmp_path, root):
    """Of three members' batches each process has a half."""
    one, two = (Cluster(tmp_path / name, root, "--data_devices=2") for name in ("one", "two"))
    two.finish(2)
    line = [sys.executable, "-m", "experiments.train_ensemble", f"--out={one.out}", *FLAGS]
    split = ["--over_devices=shard_map", "--data_devices=2"]
    done = subprocess.run([*line, *split], cwd=root, env=environment(root, devices=2), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert two.result() == one.result()


@pytest.fixture(scope="module")
def longer(tmp_path_factory, root):
    """What one process leaves of six members."""
    cluster = Cluster(tmp_path_factory.mktemp("longer") / "run", root, *LONGER)
    cluster.alone()
    return cluster.result()


@pytest.mark.slow
def test_from_four_to_two_to_one_and_from_one_to_four(tmp_path, root, longer):
    for counts in ((4, 2, 1), (1, 4, 2)):
        cluster = Cluster(tmp_path / "-".join(map(str, counts)), root, *LONGER)
        for count in counts:
            workers, before = cluster.start(count, EVERY_STEP, "--over_members=map"), cluster.saved()
            _until(lambda cluster=cluster, before=before: cluster.saved() >= before + 4, workers)
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            _ended(workers, 75)
        cluster.finish(4)
        assert cluster.result() == longer


@pytest.mark.slow
def test_all_are_asked_to_stop_ten_times(tmp_path, root, longer):
    chance, stops, runs = random.Random(5), 0, 0
    while stops < 10:
        cluster, runs, ended = Cluster(tmp_path / f"run{runs}", root, *LONGER), runs + 1, False
        while stops < 10 and not ended:
            workers, before = cluster.start(4, EVERY_STEP), cluster.saved()
            _until(lambda cluster=cluster, before=before: cluster.saved() >= before + 2, workers)
            time.sleep(chance.uniform(0, 0.3))
            for worker in workers:
                worker.send_signal(chance.choice([signal.SIGTERM, signal.SIGINT]))
            said = _all_end(workers)
            ended = cluster.ended  # before they heard of it
            assert ended or [worker.returncode for worker in workers] == [75] * 4, said
            stops += not ended
        cluster.finish(4)
        assert cluster.result() == longer, f"run {runs}"
    print(f"{stops} stops in {runs} runs")
    assert runs <= 10


# On a busy machine a process that gets no processor for so long counts as lost, too.
HEARTBEAT_S, PATIENT = 10, "--heartbeat_s=100"


@pytest.mark.slow
def test_one_of_four_is_killed_at_twenty_random_moments(tmp_path, root, longer):
    """Now the process that the launcher knows, now its child; now the first, which keeps the store, now another."""
    chance, kills, runs, slowest, spurious = random.Random(6), 0, 0, 0.0, 0
    while kills < 20:
        cluster, runs = Cluster(tmp_path / f"run{runs}", root, *LONGER), runs + 1
        for _ in range(5):
            workers, before = cluster.start(4, EVERY_STEP, f"--heartbeat_s={HEARTBEAT_S}"), cluster.saved()
            cue = before + chance.randint(0, 4)
            # They have joined, and then perhaps saved.
            _until(lambda cluster=cluster, workers=workers: cluster.locked_by(workers[0]), workers)
            _until(lambda cluster=cluster, cue=cue: cluster.saved() >= cue, workers)
            time.sleep(chance.uniform(0, 1.0 if cue == before else 0.2))
            if any(worker.poll() is not None for worker in workers):
                _ended(workers, 75)  # so it was here
                spurious += 1
                continue
            victim = workers[kills % 4]
            if (kills // 4) % 2:
                victim.kill()
            else:
                os.kill(*_children(victim), signal.SIGKILL)
            kills, since = kills + 1, time.monotonic()
            rest = [worker for worker in workers if worker is not victim]
            said = _all_end(rest)
            slowest = max(slowest, time.monotonic() - since)
            victim.communicate(timeout=DEADLINE_S)
            for worker, (_, error) in zip(rest, said, strict=True):
                assert worker.returncode == 75, (kills, worker.returncode, error)
                assert re.search(r"^stopped: .* was lost; .*Run the same command again to go on\.$", error, re.M), error
                assert "Traceback" not in error and "***" not in error, error
        cluster.finish(4, PATIENT)
        assert cluster.result() == longer, f"run {runs}"
    print(f"{kills} kills in {runs} runs, the rest ended within {slowest:.1f} s at a heartbeat of {HEARTBEAT_S} s; ")
    print(f"{spurious} ended for want of a processor")
    assert slowest <= 2 * HEARTBEAT_S + 5


def _all_end(workers):
    """What they say; read at the same time, for none ends before its pipe is read."""
    said = [None] * len(workers)

    def read(at):
        said[at] = workers[at].communicate(timeout=DEADLINE_S)

    threads = [threading.Thread(target=read, args=(at,)) for at in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def _children(worker):
    """The process that does the work, once it is there."""
    return [int(pid) for pid in pathlib.Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()]


@pytest.mark.slow
def test_one_that_never_comes_is_told(tmp_path, root):
    cluster = Cluster(tmp_path / "run", root)
    workers = cluster.start(2, "--wait_s=5")
    workers[1].kill()
    workers[1].communicate()
    ((_, error),) = _ended(workers[:1], 75)
    assert (
        error == "stopped: Not all processes came within --wait_s seconds. Run the same command again, all of them.\n"
    )


# Who is who


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


OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911",
}


def test_jax_is_asked_for_the_first_process_where_it_knows_the_launcher(monkeypatch):
    place = launchers.find_place
    assert place(None, None, None, OPEN_MPI) == launchers.Place(1, 2, None, "ompi")
    assert place(None, None, None, _slurm(4)(3)) == launchers.Place(3, 4, None, "slurm")
    pmi = {"PMI_RANK": "3", "PMI_SIZE": "4"}
    assert place(None, None, None, _slurm(4)(3) | pmi) == launchers.Place(3, 4, None, "slurm")
    with pytest.raises(UsageError, match="`--coordinator`"):  # of mpirun in an allocation JAX knows nothing
        place(None, None, None, _slurm(4)(0) | pmi)
    assert place(None, None, "node0:1234", OPEN_MPI) == launchers.Place(1, 2, "node0:1234")
    assert place(None, 2, "net-0.net:99", {"JOB_COMPLETION_INDEX": "1"}) == launchers.Place(1, 2, "net-0.net:99")
    assert place(0, 1, None, {}) == place(None, None, None, OPEN_MPI, mode="off") == launchers.ALONE
    # On a TPU slice only JAX knows.
    monkeypatch.setattr(launchers.importlib.util, "find_spec", lambda name: name == "libtpu")
    assert place(None, None, None, {}) == launchers.Place(None, None)
    slice_under_kubernetes = {"JOB_COMPLETION_INDEX": "1"}
    assert place(None, None, None, slice_under_kubernetes) == launchers.Place(None, None)
    assert place(None, 2, "net-0.net:99", slice_under_kubernetes) == launchers.Place(1, 2, "net-0.net:99")


@pytest.mark.parametrize(
    ("environment", "variable", "said"),
    [
        (OPEN_MPI, "OMPI_MCA_orte_hnp_uri", "got none; Open MPI tells it no more since version 5."),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, "SLURM_STEP_NODELIST", "start all processes with srun."),
    ],
)
def test_a_launcher_that_does_not_tell_jax_the_address_is_named(environment, variable, said):
    environment = {name: value for name, value in environment.items() if name != variable}
    with pytest.raises(UsageError, match="`--coordinator`: wanted the address of process 0") as error:
        launchers.find_place(None, None, None, environment)
    assert str(error.value).endswith(said)
    assert launchers.find_place(None, None, None, environment | {"JAX_COORDINATOR_ADDRESS": "node0:99"}).method


@pytest.mark.parametrize(("seen", "wanted"), [("0", [0]), ("3", [0]), ("GPU-5a", [0]), ("0,1", None), ("", None)])
def test_a_process_that_sees_one_gpu_takes_it(seen, wanted, monkeypatch):
    """Whatever its number on its host, which JAX would take under SLURM and Open MPI."""
    given = []
    monkeypatch.setattr("jax.distributed.initialize", lambda *places, **more: given.append(places[3]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    hosts.join(launchers.Place(3, 4, None, "slurm"), heartbeat_s=30, wait_s=30)
    monkeypatch.setenv("JAX_LOCAL_DEVICE_IDS", "0")  # as the user says
    hosts.join(launchers.Place(3, 4, None, "slurm"), heartbeat_s=30, wait_s=30)
    assert given == [wanted, None]


@pytest.mark.parametrize(("count", "platform", "kept"), [(2, "gpu", False), (2, "cpu", True), (1, "gpu", True)])
def test_several_processes_on_gpus_keep_no_programs(count, platform, kept, monkeypatch, tmp_path):
    import jax

    monkeypatch.setattr("jax.distributed.initialize", lambda *places, **more: None)
    monkeypatch.setattr("jax.process_count", lambda: count)
    monkeypatch.setattr("jax.default_backend", lambda: platform)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = jax.config.jax_compilation_cache_dir
    try:
        for folder, stays in ((str(kept_programs._own_folder()), kept), (str(tmp_path / "named"), True)):
            jax.config.update("jax_compilation_cache_dir", folder)
            hosts.join(launchers.Place(0, count, "here:1"), heartbeat_s=30, wait_s=30)
            assert jax.config.jax_compilation_cache_dir == (folder if stays else None)
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "`--num_processes`: wanted it and --process_id, or a launcher (Open MPI, MVAPICH2, MPICH, SLURM, "),
        (["--process_id=0"], "got None and 0"),
        (["--num_processes=2", "--process_id=2"], "`--process_id`: wanted a number in [0, 1], got 2"),
        (["--num_processes=2", "--process_id=1"], "`--coordinator`: wanted the address of process 0, such as node0"),
        (["--num_processes=2", "--process_id=1", "--coordinator=here"], "`--coordinator`: wanted HOST:PORT of process"),
        (["--distributed=off", "--process_id=1"], "`--process_id`: wanted none with --distributed=off, got 1"),
        (["--members=0-3"], "`--members`: processes share out all members themselves"),
        (["--stages=data"], "`--stages`: processes make data, design, members; leave it out"),
        (["--overwrite"], "`--overwrite`: the same command goes on after a stop, and would delete all"),
        (["--minutes=5"], "`--minutes`: the steps that one process times are not those of all; give --max_images"),
        (["--dry_run"], "`--dry_run`: experiments.train_ensemble --dry_run --over_devices=shard_map tells"),
        (
            ["--over_members=loop", "--num_processes=2", "--process_id=0", "--coordinator=here:1"],
            "`--over_members`: wanted map or vmap with several processes, got loop",
        ),
    ],
)
def test_a_wrong_flag_is_named(tmp_path, flags, said, capsys):
    argv = ["train", f"--out={tmp_path / 'run'}", *flags]
    assert command.run(train_distributed.main, train_distributed.DistributedConfig, usage="", argv=argv) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_launcher_that_says_no_number_is_named():
    with pytest.raises(UsageError, match="`PMI_SIZE`: wanted a whole number from the launcher, got 'many'"):
        launchers.which_process(None, None, {"PMI_RANK": "0", "PMI_SIZE": "many"})


# What processes agree on


class Store(dict):
    """The store of JAX's coordination service, in one process."""

    def __init__(self):
        self._come = threading.Condition()

    def key_value_set(self, key, value):
        with self._come:
            if key in self:
                raise RuntimeError(f"ALREADY_EXISTS: {key}")
            self[key] = value
            self._come.notify_all()

    def blocking_key_value_get(self, key, milliseconds):
        with self._come:
            if not self._come.wait_for(lambda: key in self, min(milliseconds, 50) / 1000):
                raise RuntimeError("DEADLINE_EXCEEDED: ...")
            return self[key]

    def key_value_try_get(self, key):
        if key not in self:
            raise RuntimeError(f"NOT_FOUND: {key}")
        return self[key]

    def key_value_dir_get(self, key):
        return [(each, value) for each, value in self.items() if each.startswith(key)]

    def key_value_delete(self, key):
        for each in [each for each in self if each.startswith(key)]:
            del self[each]


def _together(work, count=3):
    """What each of several processes, threads here, returns or raises."""
    store, said = Store(), [None] * count

    def run(index):
        try:
            said[index] = work(hosts.JoinedHosts(index, count, store))
        except Exception as error:
            said[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said, store


def test_processes_exchange_values_and_leave_nothing_behind():
    def work(each):
        return [each.exchange([turn, each.index, None]) for turn in range(20)]

    said, store = _together(work)
    assert said == [[[[turn, index, None] for index in range(3)] for turn in range(20)]] * 3
    assert len(store) <= 2 * 4
    assert [list(hosts.JoinedHosts(index, 3, store).deals("abcde")) for index in range(3)] == [
        ["a", "d"],
        ["b", "e"],
        ["c"],
    ]


def test_one_that_fails_ends_those_that_wait_for_it():
    def work(each):
        if each.index == 2:
            each._client.key_value_set("fer_jax/failed", json.dumps({"index": 2, "code": 3, "text": "disk full."}))
            return None
        return each.exchange(1) if each.leads else each.next_call()

    (first, second, _), store = _together(work)
    for error in (first, second):
        assert isinstance(error, hosts.OtherFailed) and error.exit_code == 3
        assert str(error) == "Process 2 ended: disk full."
    # An error of a device that waited for it is explained by it.
    gloo = ValueError("UNKNOWN: Gloo all-reduce failed: Connection reset by peer")
    assert isinstance(hosts.JoinedHosts(0, 3, store).explained(gloo), hosts.OtherFailed)
    unknown = hosts.JoinedHosts(0, 3, Store()).explained(gloo)
    assert isinstance(unknown, Preempted)
    assert "whole (JAX says: UNKNOWN: Gloo all-reduce failed: Connection reset by peer). Run" in str(unknown)
    bug = ValueError("wanted three rows")
    assert hosts.JoinedHosts(0, 3, Store()).explained(bug) is bug


def test_all_save_and_stop_after_the_same_step():
    """Only the second is asked to stop."""

    def work(each):
        stop, saves = command.StopRequest(), []
        turns = hosts.Turns(each, stop, 0.0)
        for step in range(10):
            if each.index == 1 and step == 6:
                stop.signal = signal.SIGTERM
            if turns.save_now():
                saves.append(step)
                try:
                    turns.saved()
                except Preempted:
                    return saves
        return None

    said, _ = _together(work)
    assert said == [list(range(7))] * 3


def test_a_process_that_waits_tells_the_one_that_works_alone_to_stop(monkeypatch):
    monkeypatch.setattr(hosts, "_LOOK_MS", 10)
    stops = [command.StopRequest() for _ in range(3)]
    stops[1].signal = stops[2].signal = signal.SIGTERM

    def work(each):
        if not each.leads:
            return each.next_call(stops[each.index])
        each.hear_stop(stops[0])
        deadline = time.monotonic() + 30
        while stops[0].signal is None and time.monotonic() < deadline:
            time.sleep(0.01)
        each.end(Preempted.exit_code)
        return stops[0].signal

    said, _ = _together(work)
    assert said == [signal.SIGTERM, 75, 75]


@pytest.mark.parametrize(("flag", "told"), [(None, True), ("map", False)])
def test_members_that_go_on_with_several_processes_tell_of_another_layout(flag, told, tmp_path, monkeypatch, capsys):
    """A process alone has them in a loop on a CPU, several in a map."""

    class Two(hosts.Hosts):
        count = 2

        def exchange(self, value):
            return [value, value]

    def stopped(run):
        raise Preempted("Stopped.")

    config = resolve(StudyConfig(out=str(tmp_path / "run"), over_members=flag))
    monkeypatch.setattr(stages, "TOGETHER", ("data",))
    monkeypatch.setitem(stages.WORK, "data", stopped)
    for count in (hosts.ALONE, Two(), Two(), hosts.ALONE):
        with pytest.raises(Preempted):
            stages.run_stages(config, ("data",), stop=command.StopRequest(), hosts=count)
    lines = [line for line in capsys.readouterr().err.splitlines() if "another layout" in line]
    there = [
        f"data: goes on in another layout (--over_members was {was}), which rounds otherwise" for was in (None, "map")
    ]
    assert lines == (there if told else [])


def test_processes_agree_seldom_where_steps_are_short():
    def work(each):
        looks, exchange = [], each.exchange
        each.exchange = lambda value: looks.append(value) or exchange(value)
        turns = hosts.Turns(each, command.StopRequest(), 1e9)
        return [turns.save_now() for _ in range(1000)], len(looks)

    said, _ = _together(work, 2)
    assert said[0] == said[1] and not any(said[0][0]) and said[0][1] <= 20


def test_processes_that_were_started_differently_are_refused(monkeypatch):
    def started(**changes):
        said, _ = _together(lambda each: stages.check_alike(_started_with(**{} if each.index != 2 else changes), each))
        assert len(set(map(str, said))) == 1
        return said[0]

    assert started(out="/mnt/here", data_dir="/mnt/there") is None
    for name, value, shown in (("learning_rate", 0.1, "None"), ("save_every_s", 7.0, "60.0"), ("seed", 5, "0")):
        refused = started(**{name: value})
        assert isinstance(refused, UsageError)
        assert f"`--{name}`: wanted the same in all processes, got {shown} in process 0 and {value} in" in str(refused)
    newer = itertools.count()
    monkeypatch.setattr(run_folder, "versions", lambda: {"python": "3", "jax": f"0.{next(newer)}"})
    assert "`version of jax`: wanted the same in all processes, got 0." in str(started())


def _started_with(**changes):
    return StudyConfig(**{"out": "runs/net", "save_every_s": 60.0} | changes)


@pytest.mark.parametrize(("run", "said"), [("other", "process 1 finds another run there"), (None, "finds none there")])
def test_a_process_that_does_not_see_the_run_folder_is_refused(tmp_path, run, said):
    for name, identity in (("first", "ours"), ("second", run)):
        (tmp_path / name).mkdir()
        if identity:
            (tmp_path / name / "run.json").write_text(json.dumps({"run": identity}))

    def work(each, names):
        stages.check_shared(run_folder.FinishedFiles(tmp_path / names[each.index]), each)

    assert _together(lambda each: work(each, ["first", "first"]), 2)[0] == [None, None]
    told, _ = _together(lambda each: work(each, ["first", "second"]), 2)
    assert all(isinstance(error, UsageError) and said in str(error) for error in told)


def test_no_process_says_saved_before_the_account_is_written(tmp_path, monkeypatch):
    def full(*arguments, **more):
        raise StorageError("disk full.")

    monkeypatch.setattr(resumption.checkpoints, "save", full)
    trainer = types.SimpleNamespace(snapshot=lambda: {"running": [], "waiting": []})

    def work(each):
        folder = types.SimpleNamespace(path=tmp_path, file=lambda *parts: tmp_path.joinpath(*parts))
        run = types.SimpleNamespace(hosts=each, folder=folder, facts=lambda kind: {})
        try:
            resumption.Resumption(run, "ensemble", trainer, None).save({}, {})
        except StorageError as error:
            told = {"index": each.index, "code": error.exit_code, "text": str(error)}
            each._client.key_value_set("fer_jax/failed", json.dumps(told))
            raise

    said, _ = _together(work)
    assert [type(error) for error in said] == [StorageError, hosts.OtherFailed, hosts.OtherFailed]
    assert [error.exit_code for error in said] == [StorageError.exit_code] * 3


class _Exit(BaseException):
    """In place of the end of this process."""


@pytest.fixture
def exits(monkeypatch):
    """Codes with which processes have ended."""
    codes = []

    def leave(code):
        codes.append(code)
        raise _Exit

    monkeypatch.setattr(hosts.os, "_exit", leave)
    return codes


def test_all_that_fail_at_once_leave_with_their_code(exits):
    store, failed = Store(), UsageError("`--seed`: wanted the same.")
    for index in (1, 0):
        with pytest.raises(_Exit):
            hosts.JoinedHosts(index, 2, store).leave(1, failed)
    assert exits == [1, 1] and json.loads(store["fer_jax/failed"])["index"] == 1
    assert {"fer_jax/gone/0", "fer_jax/gone/1"} < set(store)


def test_one_that_is_gone_when_all_part_changes_no_exit_code(exits, monkeypatch):
    def shutdown():
        raise RuntimeError("UNAVAILABLE: the coordination service is gone")

    monkeypatch.setattr("jax.distributed.shutdown", shutdown)
    with pytest.raises(_Exit):
        hosts.JoinedHosts(1, 2, Store()).leave(75, None)
    assert exits == [75]


def test_who_reads_the_output_of_the_first_one_is_no_matter_of_the_others(tmp_path, monkeypatch):
    done = []

    class Joined(hosts.Hosts):
        count = 2

        def hear_stop(self, stop):
            pass

        def end(self, code):
            done.append(("end", code))

        def leave(self, code, error):
            done.append(("leave", code, error))
            return code

    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    for name in ("check_alike", "tell_place"):
        monkeypatch.setattr(stages, name, lambda *arguments: None)
    monkeypatch.setattr(stages, "run_stages", lambda *arguments, **more: 0)
    monkeypatch.setattr(hosts, "join", lambda place, **more: Joined())
    monkeypatch.setattr(command, "_leave_quietly", lambda: 141)
    monkeypatch.setattr(sys, "argv", ["train", f"--out={tmp_path}"])
    monkeypatch.setattr(sys, "stdout", Gone())
    assert train_distributed._work(StudyConfig(out=str(tmp_path)), None, command.StopRequest()) == 141
    assert done == [("end", 0), ("leave", 141, None)]


def test_states_that_were_read_to_check_them_are_not_kept(monkeypatch):
    def checked(count):
        with monkeypatch.context() as patch:
            patch.setattr(resumption.Resumption, "_read", lambda self, name, like: name)
            host = hosts.JoinedHosts(0, count, Store()) if count > 1 else hosts.ALONE
            made = resumption.Resumption(types.SimpleNamespace(hosts=host), "ensemble", None, None)
            running = [{"member": member, "step": 5} for member in range(4)]
            return made._checked({"left": [], "account": {"running": running}})[1]

    assert checked(1) == {member: f"running/{member}-5" for member in range(4)}
    assert checked(2) == {}


# The end of a child


def test_what_a_child_writes_after_a_warning_of_cpp_is_shown(capsys):
    reading, writing = os.pipe()
    error = [b"E0101 00:00:00 first\n", b"of two lines\n"]
    with os.fdopen(writing, "wb") as noise:
        noise.writelines([b"[Gloo] Rank 0\n", b"W0101 00:00:00 slow\n", b"a library says\n", *error])
    kept = collections.deque(maxlen=2)
    supervised._read(reading, kept)
    assert capsys.readouterr().err == "a library says\n"
    assert list(kept) == error


def test_signals_of_the_first_moments_are_heard(root):
    """They come to the child as Python starts, and to the parent as it starts the child."""
    script = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT) if "FER_JAX_SUPERVISED" in os.environ else ():
    os.kill(os.getpid(), number)
from experiments.harness import supervised
popen = supervised.subprocess.Popen
def start(*arguments, **more):
    os.kill(os.getpid(), signal.SIGTERM)
    return popen(*arguments, **more)
supervised.subprocess.Popen = start
def work(stop):
    while stop.signal is None:
        time.sleep(0.01)
    return 75
sys.exit(supervised.supervise(work))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 75, done
    assert done.stderr == "\nStopping at the next safe point; once more stops at once.\n"


@pytest.mark.parametrize(
    ("number", "noise", "said"),
    [
        (
            6,
            "F1 JAX distributed service detected fatal errors. (stopped sending heartbeats):\n3\nThe",
            "Process 3 was lost",
        ),
        (6, "F1 JAX distributed service detected fatal errors. Socket closed", "Another process was lost"),
        (
            6,
            "F1 service detected fatal errors.\n\nRPC: /xla.coordination.CoordinationService/RegisterTask",
            "all processes came",
        ),
        (9, "", "killed .signal 9., perhaps for want of memory"),
    ],
)
def test_an_abort_is_one_line(number, noise, said):
    with pytest.raises(Preempted, match=said):
        supervised._explain(number, noise.encode())


def test_an_abort_that_is_not_understood_shows_what_was_kept_back(capsys):
    assert supervised._explain(11, b"E0101 00:00:00 strange\n") == 70
    error = capsys.readouterr().err
    assert "strange" in error and "ended by signal 11" in error
