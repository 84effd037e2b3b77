import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from fer_jax import parallel
from fer_jax.errors import UsageError

SCRIPT = """
import os, sys, time
from fer_jax import parallel
from fer_jax.errors import UsageError

def slow(number):
    with open(os.path.join(sys.argv[1], str(os.getpid())), "w"):
        time.sleep(0.05)
    return number

if __name__ == "__main__":
    print(len(list(parallel.map_ordered(slow, range(4000), workers=2))))
"""


def _square(number):
    return number * number, os.getpid()


def _fail(number):
    if number == 37:
        raise ValueError("37 is not wanted")
    return number


def _die(number):
    if number == 40:
        os._exit(3)
    return number


def test_results_come_in_order_from_several_processes():
    found = list(parallel.map_ordered(_square, range(100), workers=2))
    assert [value for value, _ in found] == [number * number for number in range(100)]
    processes = {process for _, process in found}
    assert os.getpid() not in processes and 1 <= len(processes) <= 2


@pytest.mark.parametrize(("count", "workers"), [(5, 2), (40, 1), (40, None), (0, 4)])
def test_little_work_stays_in_this_process(count, workers):
    found = list(parallel.map_ordered(_square, range(count), workers=workers))
    assert {process for _, process in found} <= {os.getpid()}
    assert len(found) == count


def test_an_error_in_a_worker_is_the_callers():
    results = parallel.map_ordered(_fail, range(100), workers=2)
    assert [next(results) for _ in range(32)] == list(range(32))
    with pytest.raises(ValueError, match="37 is not wanted"):
        list(results)


def test_a_worker_that_is_killed_is_named():
    with pytest.raises(UsageError, match="`workers`: one of 2 was killed"):
        list(parallel.map_ordered(_die, range(100), workers=2))


def test_whoever_stops_listening_ends_the_work():
    results = parallel.map_ordered(_square, range(10_000), workers=2)
    assert next(results)[0] == 0
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 20


def test_no_worker_is_refused():
    with pytest.raises(UsageError, match="`workers`: wanted at least 1, or None, got 0"):
        parallel.map_ordered(_square, range(3), workers=0)


@pytest.mark.skipif(not pathlib.Path("/proc/self").is_dir(), reason="asks /proc which processes live")
def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path, root):
    (tmp_path / "job.py").write_text(SCRIPT)
    seen = tmp_path / "seen"
    seen.mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "job.py"), str(seen)], env=os.environ | {"PYTHONPATH": str(root)}
    )
    until = time.monotonic() + 60
    while len(list(seen.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    workers = [int(path.name) for path in seen.iterdir()]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert len(workers) == 2
    until = time.monotonic() + 20
    while any(_lives(number) for number in workers) and time.monotonic() < until:
        time.sleep(0.05)
    left = [number for number in workers if _lives(number)]
    for number in left:
        os.kill(number, signal.SIGKILL)
    assert not left


def _lives(number):
    try:
        state = pathlib.Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
