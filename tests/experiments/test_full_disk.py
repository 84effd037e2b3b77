"""A disk that fills up while a run saves: one line, exit 3, and once there is room the same command ends the same."""

import os
import shutil
import subprocess

import pytest

from .jobs import EVERY_STEP, Job

MIB = 2**20


@pytest.fixture
def disk(tmp_path):
    """A small disk in memory; mounting one is the superuser's."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk of a size of its own can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def _leave(disk, room):
    """Fill the disk up to `room` bytes."""
    with open(disk / "ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(disk).free - room))


@pytest.mark.slow
def test_twenty_disks_fill_up_in_a_save(unbroken, disk, root):
    told = 0
    for step in range(20):
        job = Job(disk / "run", root)
        child = job.start(EVERY_STEP)
        while job.saved() < 1 + step % 5 and child.poll() is None:
            pass
        # From nothing at all to most of what a checkpoint wants, while the run goes on.
        _leave(disk, step * MIB // 20)
        _, error = child.communicate(timeout=120)
        assert child.returncode == 3, error
        assert error.rstrip().splitlines()[-1].startswith("error: `") and "Traceback" not in error, error
        told += 1
        (disk / "ballast").unlink()
        job.finish()
        assert job.result() == unbroken
        shutil.rmtree(disk / "run")
    print(f"{told} disks")
