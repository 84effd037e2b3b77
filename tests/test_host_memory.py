"""Memory: caches count as free, and control groups end before the machine does."""

import pytest

from fer_jax.host_memory import available_memory

GROUP_OF_A_JOB = {
    "cgroup2": (
        "0::/slurm/job_7\n",
        "30 23 0:26 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
        "sys/fs/cgroup/slurm/job_7",
        ("memory.max", "memory.current", "inactive_file"),
        "max",
    ),
    "cgroup": (
        "9:cpu,cpuacct:/\n4:memory:/slurm/job_7\n0::/\n",
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
        "36 31 0:33 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n",
        "sys/fs/cgroup/memory/slurm/job_7",
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        str(2**63 - 4096),
    ),
}
MIB = 2**20


def _machine(root, cgroup="", mounts="", available=16_000 * MIB):
    proc = root / "proc" / "self"
    proc.mkdir(parents=True, exist_ok=True)
    free, cached = available // 1024 // 10, available // 1024
    (root / "proc" / "meminfo").write_text(
        f"MemTotal: {2 * cached} kB\nMemFree: {free} kB\nMemAvailable: {cached} kB\nHugePages_Total: 0\n"
    )
    (proc / "cgroup").write_text(cgroup)
    (proc / "mountinfo").write_text(mounts)


def _group(folder, names, limit, used, spare):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (limit, used), strict=False):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file 0\n{names[2]} {spare}\n")


def test_caches_count_as_free(tmp_path):
    _machine(tmp_path)
    assert available_memory(tmp_path) == 16_000 * MIB


@pytest.mark.parametrize("kind", GROUP_OF_A_JOB)
def test_a_control_group_ends_before_the_machine_does(tmp_path, kind):
    cgroup, mounts, place, names, unlimited = GROUP_OF_A_JOB[kind]
    _machine(tmp_path, cgroup, mounts)
    group = tmp_path / place
    _group(group, names, 4_000 * MIB, 3_000 * MIB, 500 * MIB)
    assert available_memory(tmp_path) == 1_500 * MIB  # of the 3,000 used, 500 are cache
    _group(group, names, unlimited, 3_000 * MIB, 500 * MIB)
    assert available_memory(tmp_path) == 16_000 * MIB
    _group(group.parent, names, 1_000 * MIB, 400 * MIB, 0)  # the limit of a group around it binds as well
    assert available_memory(tmp_path) == 600 * MIB
    _group(group, names, 100 * MIB, 200 * MIB, 0)
    assert available_memory(tmp_path) == 0


def test_a_container_sees_its_group_at_the_root(tmp_path):
    _, mounts, _, names, _ = GROUP_OF_A_JOB["cgroup2"]
    for told, root in (("0::/", "/"), ("0::/docker/abc", "/docker/abc"), ("0::/docker/abc", "/")):
        _machine(tmp_path, told + "\n", mounts.replace(" / /sys", f" {root} /sys"))
        _group(tmp_path / "sys/fs/cgroup", names, 2_000 * MIB, 500 * MIB, 0)
        assert available_memory(tmp_path) == 1_500 * MIB


def test_a_soft_limit_counts(tmp_path):
    cgroup, mounts, place, names, unlimited = GROUP_OF_A_JOB["cgroup2"]
    _machine(tmp_path, cgroup, mounts)
    _group(tmp_path / place, names, unlimited, 100 * MIB, 0)
    (tmp_path / place / "memory.high").write_text(f"{900 * MIB}\n")
    assert available_memory(tmp_path) == 800 * MIB


def test_a_system_without_these_files_has_all_its_memory(tmp_path):
    assert available_memory(tmp_path) > 2**29
