"""How many members train side by side: as asked for, or as memory allows."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

from experiments.config import StudyConfig, resolve
from experiments.study import slots
from experiments.study.run import Run
from fer_jax import models, training
from fer_jax.errors import UsageError

SIZE = 32
MODEL = models.TinyResNet(num_classes=2)
OPTIMISER = optax.adam(1e-3)
STEP = training.make_step(MODEL, OPTIMISER, training.cross_entropy(), training.plain_view)
LIKE = jax.eval_shape(
    lambda: training.init_state(MODEL.init(jax.random.key(0), np.zeros((1, SIZE, SIZE, 3), np.float32)), OPTIMISER)
)
BATCH = {"image": np.zeros((16, SIZE, SIZE, 3), np.uint8), "labels": np.zeros(16, np.int32)}


def _width(**options):
    return slots.slots_of(resolve(StudyConfig(out="run", **options)), STEP, LIKE, BATCH, members=28)["width"]


def test_all_members_train_side_by_side_where_there_is_room():
    assert slots.free_memory() > 2**30
    assert _width() == 28
    assert _width(slots=5) == 5


def test_a_budget_bounds_the_slots_and_is_kept(monkeypatch):
    measured = training.slots_memory(STEP, LIKE, BATCH)
    for wanted, how in ((6, None), (3, "vmap")):
        memory = dataclasses.replace(measured, together=how == "vmap")
        monkeypatch.setattr(training, "slots_memory", lambda *step, memory=memory, **where: memory)
        budget = memory.needed(wanted) + memory.kept // 2
        options = {"memory_gb": budget / slots.GIB, "over_members": how}
        assert _width(**options) == wanted
        assert _width(slots=wanted, **options) == wanted
        with pytest.raises(UsageError, match=rf"`--slots`: {wanted + 1} want 0.\d GiB, .* lower --slots={wanted} at m"):
            _width(slots=wanted + 1, **options)


def test_no_room_for_one_member_is_told_before_anything_starts():
    with pytest.raises(UsageError, match=r"`--slots`: 1 want 0.\d GiB, 0.0 GiB are free; lower --batch_size, or say"):
        _width(memory_gb=1e-3)


def test_one_slot_on_an_accelerator_unless_asked(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert _width() == 1
    assert _width(slots=4) == 4


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
    assert slots.machine_memory(tmp_path) == 16_000 * MIB


@pytest.mark.parametrize("kind", GROUP_OF_A_JOB)
def test_a_control_group_ends_before_the_machine_does(tmp_path, kind):
    cgroup, mounts, place, names, unlimited = GROUP_OF_A_JOB[kind]
    _machine(tmp_path, cgroup, mounts)
    group = tmp_path / place
    _group(group, names, 4_000 * MIB, 3_000 * MIB, 500 * MIB)
    assert slots.machine_memory(tmp_path) == 1_500 * MIB  # of the 3,000 used, 500 are cache
    _group(group, names, unlimited, 3_000 * MIB, 500 * MIB)
    assert slots.machine_memory(tmp_path) == 16_000 * MIB
    _group(group.parent, names, 1_000 * MIB, 400 * MIB, 0)  # the limit of a group around it binds as well
    assert slots.machine_memory(tmp_path) == 600 * MIB
    _group(group, names, 100 * MIB, 200 * MIB, 0)
    assert slots.machine_memory(tmp_path) == 0


def test_a_container_sees_its_group_at_the_root(tmp_path):
    _, mounts, _, names, _ = GROUP_OF_A_JOB["cgroup2"]
    for told, root in (("0::/", "/"), ("0::/docker/abc", "/docker/abc"), ("0::/docker/abc", "/")):
        _machine(tmp_path, told + "\n", mounts.replace(" / /sys", f" {root} /sys"))
        _group(tmp_path / "sys/fs/cgroup", names, 2_000 * MIB, 500 * MIB, 0)
        assert slots.machine_memory(tmp_path) == 1_500 * MIB


def test_a_soft_limit_counts(tmp_path):
    cgroup, mounts, place, names, unlimited = GROUP_OF_A_JOB["cgroup2"]
    _machine(tmp_path, cgroup, mounts)
    _group(tmp_path / place, names, unlimited, 100 * MIB, 0)
    (tmp_path / place / "memory.high").write_text(f"{900 * MIB}\n")
    assert slots.machine_memory(tmp_path) == 800 * MIB


def test_a_system_without_these_files_has_all_its_memory(tmp_path):
    assert slots.machine_memory(tmp_path) > 2**29


@pytest.mark.parametrize(
    ("options", "how"), [({}, "loop"), ({"over_members": "vmap"}, "vmap"), ({"over_devices": "shard_map"}, "map")]
)
def test_convolutions_are_lowered_for_the_layout(options, how):
    config = resolve(StudyConfig(out="run", image_size=SIZE, **options))
    run = Run(config, None, None)
    assert slots.layout(config) == how
    assert slots.training_network(run, 2).lowering == models.default_lowering(how)
    assert slots.slots_of(config, STEP, LIKE, BATCH, members=28)["over_members"] == how
