"""Pictures on the device, batches of rows, and several steps in one call."""

import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fer_jax import models, placement, training
from fer_jax.augment import Augmentation
from fer_jax.errors import UsageError

BATCH, SIZE, PICTURES = 4, 16, 24
MODEL = models.ResNet(num_classes=2, stage_sizes=(1,), width=4, stem="small")
OPTIMISER = optax.adam(1e-2)
IMAGES = np.random.default_rng(0).integers(0, 256, (PICTURES, SIZE, SIZE, 3), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 2, PICTURES).astype(np.int32)
SIZES = {0: 12, 1: 18}  # epochs of three steps, and of four or five
INIT = jax.jit(lambda key: training.init_state(MODEL.init(key, jnp.zeros((1, SIZE, SIZE, 3))), OPTIMISER))


@functools.cache
def _step():
    return training.make_step(MODEL, OPTIMISER, training.cross_entropy(), training.plain_view)


def _rows(member, step):
    return ((np.arange(BATCH) + step * BATCH) * (1 + 2 * member) % PICTURES).astype(np.int32)


def _rows_of(member, step):
    row = _rows(member, step)
    return {"row": row, "labels": LABELS[row]}


def _pixels_of(member, step):
    row = _rows(member, step)
    return {"image": IMAGES[row], "labels": LABELS[row]}


def _trainer(batch_of, step, **options):
    return training.Trainer(
        step,
        [training.Job(member, size) for member, size in SIZES.items()],
        start=lambda member: INIT(jax.random.key(member)),
        batch_of=batch_of,
        key=jax.random.key(9),
        batch_size=BATCH,
        **{"stop": training.StopRule(None, 2), **options},
    )


def _put(how="none", **where):
    return {
        "image": placement.put_whole((IMAGES[at : at + 10] for at in range(0, PICTURES, 10)), PICTURES, how, **where)
    }


def _told(events):
    """What happened, without states, and the states by member."""
    left, told = {}, []
    for event in events:
        match event:
            case training.MemberLeft():
                left[event.member] = jax.device_get(event.state)
                told.append((event.member, event.status, event.epochs, event.steps, event.accuracy))
            case training.EpochEnded():
                told.append((event.member, event.epoch, event.step, event.images, event.accuracy))
    return sorted(told, key=str), left


@functools.cache
def _from_host():
    return _told(_trainer(_pixels_of, _step(), over_members="map").run())


LAYOUTS = {
    "loop": {"over_members": "loop", "at_once": 1},
    "loop, side by side": {"over_members": "loop", "at_once": 2},
    "map": {"over_members": "map"},
    "vmap": {"over_members": "vmap"},
    "devices": {"over_devices": "shard_map", "devices": 2},
}


@pytest.mark.parametrize(("layout", "columns"), list(zip(LAYOUTS, (1, 3, 2, 7, 2), strict=True)))
def test_rows_of_pictures_on_the_device_train_as_pictures_do(layout, columns):
    where = LAYOUTS[layout]
    placed = {name: value for name, value in where.items() if name == "devices"}
    pictures = _put(where.get("over_devices", "none"), **placed)
    told, left = _told(_trainer(_rows_of, _step(), pictures=pictures, steps_per_call=columns, **where).run())
    expected, states = _from_host()
    assert told == expected
    for member, state in left.items():
        if layout == "map":
            jax.tree.map(np.testing.assert_array_equal, state, states[member])
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5), state, states[member])


def test_a_batch_that_devices_share_has_several_steps_too():
    where = {"over_devices": "shard_map", "devices": 4, "data_devices": 2}
    view = training.augmented_view(Augmentation())
    step = training.make_step(MODEL.clone(axis_name=placement.DATA), OPTIMISER, training.cross_entropy(), view)
    placed = _put("shard_map", devices=4, data_devices=2)
    told, left = _told(_trainer(_rows_of, step, pictures=placed, steps_per_call=3, **where).run())
    expected, states = _told(_trainer(_pixels_of, step, **where).run())
    assert told == expected
    for member, state in left.items():
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5), state, states[member])


def test_a_run_goes_on_from_between_two_calls():
    options = {"pictures": _put(), "over_members": "map"}
    trainer = _trainer(_rows_of, _step(), steps_per_call=2, **options)
    for event in trainer.run():
        if isinstance(event, training.Stepped):
            break
    account = trainer.snapshot()
    assert [cursor["step"] for cursor in account["running"]] == [2, 2]
    states = {member: jax.device_get(trainer.state_of(member)) for member in SIZES}
    again = _trainer(_rows_of, _step(), steps_per_call=3, **options)
    again.resume(account, states.__getitem__)
    _, left = _told(again.run())
    for member, state in _from_host()[1].items():
        jax.tree.map(np.testing.assert_array_equal, left[member], state)


def _call(steps):
    batch = {name: np.stack([leaf] * 3, 1) for name, leaf in _rows_of(0, 0).items()}
    batch["row"][:, steps:] = -1
    return batch


def test_one_program_takes_any_number_of_steps(compilations):
    slots = training.make_slots(_step(), 1, over_members="map", pictures=_put())
    slots.load(0, INIT(jax.random.key(0)))
    slots.step([_call(3)], [jax.random.key(1)])
    before = len(compilations)
    for steps in (1, 2):
        slots.step([_call(steps)], [jax.random.key(1)])
    assert int(slots.take(0).step) == 6
    assert len(compilations) - before == 1  # of `take`


def test_the_memory_of_slots_with_pictures_on_the_device_counts_rows_alone():
    state, batch = INIT(jax.random.key(0)), _rows_of(0, 0)
    many = {"image": placement.put_whole([np.zeros((8192, SIZE, SIZE, 3), np.uint8)], 8192, "none")}
    with_rows = training.slots_memory(_step(), state, batch, over_members="map", pictures=many)
    with_pixels = training.slots_memory(_step(), state, _pixels_of(0, 0), over_members="map")
    assert with_pixels.kept - with_rows.kept == IMAGES[:BATCH].nbytes - batch["row"].nbytes
    assert with_rows.working == pytest.approx(with_pixels.working, rel=0.2)


def test_pictures_are_put_whole_or_not_at_all():
    np.testing.assert_array_equal(_put()["image"], IMAGES)
    for rows, got in ((PICTURES - 1, "more"), (PICTURES + 1, PICTURES)):
        with pytest.raises(UsageError, match=f"`parts`: wanted {rows} rows, got {got}"):
            placement.put_whole([IMAGES], rows, "none")


def test_batches_are_read_ahead_by_a_thread_and_none_after_a_members_last():
    asked, threads = [], set()

    def batch_of(member, step):
        asked.append((member, step))
        threads.add(threading.current_thread())
        return _pixels_of(member, step)

    told, left = _told(_trainer(batch_of, _step(), over_members="map", ahead=2).run())
    expected, states = _from_host()
    assert told == expected
    jax.tree.map(np.testing.assert_array_equal, left, states)
    assert sorted(asked) == [(0, step) for step in range(6)] + [(1, step) for step in range(9)]
    assert asked[:6] == [(1, 0), (1, 1), (1, 2), (0, 0), (0, 1), (0, 2)]  # the longer one has the first slot
    assert threading.main_thread() not in threads and len(threads) == 1


def test_what_was_read_ahead_of_a_member_that_leaves_is_let_go():
    trainer = _trainer(_pixels_of, _step(), over_members="map", ahead=2, stop=training.StopRule(0.01, 9))
    assert len(_told(trainer.run())[1]) == 2
    assert not trainer._reading


def test_a_batch_that_cannot_be_read_is_told_at_its_step():
    def batch_of(member, step):
        if step == 2:
            raise OSError("no picture")
        return _pixels_of(member, step)

    events = _trainer(batch_of, _step(), over_members="map", ahead=2).run()
    assert sum(isinstance(next(events), training.Stepped) for _ in range(4)) == 2  # two members started
    with pytest.raises(OSError, match="no picture"):
        list(events)


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="`steps_per_call`: wanted 1 without `pictures`"):
        _trainer(_pixels_of, _step(), steps_per_call=2)
    with pytest.raises(UsageError, match=r"`batch_of`: wanted `row`, int32 \(B,\), with `pictures`, got image, labels"):
        list(_trainer(_pixels_of, _step(), over_members="map", pictures=_put()).run())
    with pytest.raises(UsageError, match="`pictures`: wanted none on the device with over_devices='pmap'"):
        training.make_slots(_step(), 2, over_devices="pmap", pictures=_put())
