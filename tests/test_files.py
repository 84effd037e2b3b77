"""Locks of files; writing whole is tested where disks are full."""

import pytest

from fer_jax.errors import StorageError
from fer_jax.files import lock


def test_a_lock_is_held_until_its_file_is_closed(tmp_path):
    with open(tmp_path / "LOCK", "a") as second:
        with open(tmp_path / "LOCK", "a") as first:
            assert lock(first, "`--out`: here")
            assert not lock(second, "`--out`: here")
        assert lock(second, "`--out`: here")


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def none(file, how):
        del file, how
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", none)
    with (
        open(tmp_path / "LOCK", "a") as file,
        pytest.raises(StorageError, match="`--out`: here cannot be locked: Function"),
    ):
        lock(file, "`--out`: here")
