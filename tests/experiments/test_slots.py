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
        with pytest.raises(
            UsageError, match=rf"`--slots`: {wanted + 1} want 0.\d GiB, .* lower --slots to {wanted} or --ba"
        ):
            _width(slots=wanted + 1, **options)


def test_no_room_for_one_member_is_told_before_anything_starts():
    with pytest.raises(
        UsageError, match=r"`--slots`: 1 want 0.\d GiB, 0.0 GiB are free; lower --batch_size, give --accumulate or"
    ):
        _width(memory_gb=1e-3)


def test_one_slot_on_an_accelerator_unless_asked(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert _width() == 1
    assert _width(slots=4) == 4


@pytest.mark.parametrize(
    ("options", "how"), [({}, "loop"), ({"over_members": "vmap"}, "vmap"), ({"over_devices": "shard_map"}, "map")]
)
def test_convolutions_are_lowered_for_the_layout(options, how):
    config = resolve(StudyConfig(out="run", image_size=SIZE, **options))
    run = Run(config, None, None)
    assert slots.layout(config) == how
    assert slots.training_network(run, 2).lowering == models.default_lowering(how)
    assert slots.slots_of(config, STEP, LIKE, BATCH, members=28)["over_members"] == how
