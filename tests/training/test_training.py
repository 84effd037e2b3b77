import dataclasses
import functools
import importlib
import threading
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fer_jax import checkpoints, masks, models, placement, training
from fer_jax.augment import Augmentation
from fer_jax.errors import UsageError

BATCH, SIZE = 4, 16
MODEL = models.ResNet(num_classes=2, stage_sizes=(1, 1), width=4, stem="small")
OPTIMISER = optax.adam(1e-2)
PICTURES = np.random.default_rng(0).integers(0, 256, (3, 12, SIZE, SIZE, 3), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 2, (3, 12)).astype(np.int32)


def _batch_of(member, step):
    rows = (np.arange(BATCH) + step * BATCH) % 12
    return {"image": PICTURES[member, rows], "labels": LABELS[member, rows]}


INIT = jax.jit(lambda key: training.init_state(MODEL.init(key, jnp.zeros((1, SIZE, SIZE, 3))), OPTIMISER))


def _start(member):
    return INIT(jax.random.fold_in(jax.random.key(5), member))


STEP = training.make_step(MODEL, OPTIMISER, training.cross_entropy(), training.augmented_view(Augmentation()))


# Without augmentation, where layouts are compared: it takes most of the time to compile.
PLAIN_STEP = training.make_step(MODEL, OPTIMISER, training.cross_entropy(), training.plain_view)


def _trainer(members=(0, 1, 2), *, stop=None, batch_of=_batch_of, step=STEP, **options):
    return training.Trainer(
        step,
        [training.Job(member, 12) for member in members],
        start=_start,
        batch_of=batch_of,
        key=jax.random.key(9),
        batch_size=BATCH,
        stop=stop or training.StopRule(None, 2),
        **options,
    )


def _seen(logits):
    return training.ForwardPass(logits, None, None)


def _saved(trainer):
    """An account of the queue and the states of the members begun, as they are now."""
    account = trainer.snapshot()
    return account, {cursor["member"]: trainer.state_of(cursor["member"]) for cursor in account["running"]}


def _resumable(trainer):
    account, states = _saved(trainer)
    return account, states.__getitem__


def _left(events):
    return {event.member: event for event in events if isinstance(event, training.MemberLeft)}


def _same(one, two):
    return jax.tree.all(jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), one, two))


@pytest.fixture(scope="module")
def together():
    return _left(_trainer(over_members="loop").run())


def test_a_member_alone_equals_itself_among_others_bit_for_bit(together):
    alone = _left(_trainer((1,), over_members="loop").run())
    assert _same(alone[1].state, together[1].state)


def test_one_slot_equals_many_bit_for_bit(together):
    queued = _left(_trainer(width=1, over_members="loop").run())
    assert all(_same(queued[member].state, together[member].state) for member in range(3))


def test_members_that_step_at_the_same_time_equal_those_that_step_one_by_one(together):
    one_by_one = _left(_trainer(over_members="loop", at_once=1).run())
    assert all(_same(one_by_one[member].state, together[member].state) for member in range(3))


def test_members_of_a_loop_step_at_the_same_time_and_each_in_its_order(monkeypatch):
    monkeypatch.setattr(jax, "jit", lambda function, **_: function)
    two, alone = threading.Barrier(2), [True]

    def step(state, batch, key, active):
        if alone:  # the first call compiles, by itself
            alone.pop()
        else:
            two.wait(timeout=60)  # goes on when another member has come here as well
        return [*state, batch["step"]]

    slots = training.make_slots(step, 4, over_members="loop", at_once=2)
    for slot in range(4):
        slots.load(slot, [])
    for number in range(3):
        # The first call took a slot's first step, which leaves an odd number to meet: one is idle then.
        slots.step([{"step": number} if number or slot != 1 else None for slot in range(4)], [None] * 4)
    assert [slots.take(slot) for slot in range(4)] == [[0, 1, 2], [1, 2], [0, 1, 2], [0, 1, 2]]


def test_a_step_that_fails_is_told_when_its_slot_is_asked_for(monkeypatch):
    monkeypatch.setattr(jax, "jit", lambda function, **_: function)

    def step(state, batch, key, active):
        if batch["bad"]:
            raise FloatingPointError("no step")
        return state + 1

    slots = training.make_slots(step, 2, over_members="loop", at_once=2)
    for slot in range(2):
        slots.load(slot, 0)
    slots.step([{"bad": False}, {"bad": False}], [None] * 2)
    slots.step([{"bad": False}, {"bad": True}], [None] * 2)
    assert slots.take(0) == 2
    with pytest.raises(FloatingPointError, match="no step"):
        slots.take(1)


@pytest.mark.parametrize("how", ["map", "vmap"])
def test_stacked_layouts_agree_with_the_loop(together, how):
    stacked = _left(_trainer(over_members=how, width=2).run())
    for member in range(3):
        for got, wanted in zip(
            jax.tree.leaves(stacked[member].state.params), jax.tree.leaves(together[member].state.params), strict=True
        ):
            np.testing.assert_allclose(got, wanted, atol=2e-3)
        assert stacked[member].epochs == together[member].epochs


@pytest.mark.parametrize(
    ("split", "how", "devices"),
    [
        ("shard_map", "map", 2),
        ("pmap", "map", 2),
        pytest.param("shard_map", "vmap", 4, marks=pytest.mark.slow),
    ],
)
def test_slots_on_several_devices_train_as_on_one(split, how, devices):
    """Three members and idle slots; at as many slots a device even the bits are the same under map."""
    one = _left(_trainer(step=PLAIN_STEP, over_members=how).run())
    many = _left(_trainer(step=PLAIN_STEP, over_members=how, over_devices=split, devices=devices).run())
    for member in range(3):
        assert many[member].epochs == one[member].epochs and many[member].accuracy == one[member].accuracy
        for got, wanted in zip(jax.tree.leaves(many[member].state), jax.tree.leaves(one[member].state), strict=True):
            if how == "map":
                np.testing.assert_array_equal(got, wanted)
            else:
                np.testing.assert_allclose(got, wanted, atol=2e-3)


@pytest.mark.parametrize("reduction", ["weighted_mean", "mean"])
def test_weighted_losses_of_shares_average_to_that_of_the_batch(reduction):
    logits = jax.random.normal(jax.random.key(0), (8, 3))
    labels = jnp.asarray([0, 0, 0, 1, 2, 2, 1, 2])
    options = {"class_weights": [0.2, 1.0, 5.0], "reduction": reduction}
    whole = training.cross_entropy(**options)(_seen(logits), {"labels": labels})
    share = training.cross_entropy(**options, axis_name="data")
    shares = jax.vmap(lambda logits, labels: share(_seen(logits), {"labels": labels}), axis_name="data")(
        logits.reshape(2, 4, 3), labels.reshape(2, 4)
    )
    np.testing.assert_allclose(shares.mean(), whole, rtol=1e-6)


@pytest.fixture
def optimised():
    """Let XLA optimise: without, one picture a device gives numbers that are wrong in their first digits."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize(
    ("devices", "data_devices", "how"),
    [
        (4, 2, "vmap"),
        pytest.param(2, 2, "map", marks=pytest.mark.slow),
        pytest.param(8, 4, "map", marks=pytest.mark.slow),
    ],
)
def test_a_batch_split_over_devices_trains_as_a_whole_one(devices, data_devices, how):
    """By SGD: Adam would hide gradients of the wrong scale. The counters, which stop a member, are equal."""
    optimiser = optax.sgd(0.05)
    view = training.augmented_view(Augmentation())

    def trained(model, **options):
        trainer = training.Trainer(
            training.make_step(model, optimiser, training.cross_entropy(), view),
            [training.Job(member, 12) for member in range(3)],
            start=lambda member: training.init_state(training.variables_of(_start(member)), optimiser),
            batch_of=_batch_of,
            key=jax.random.key(9),
            batch_size=BATCH,
            stop=training.StopRule(None, 2),
            **options,
        )
        return _left(trainer.run())

    whole = trained(MODEL, over_members="loop")
    split = trained(
        MODEL.clone(axis_name=placement.DATA),
        over_members=how,
        over_devices="shard_map",
        devices=devices,
        data_devices=data_devices,
    )
    for member in range(3):
        assert split[member].state.seen == whole[member].state.seen == 24
        for got, wanted in zip(
            jax.tree.leaves(split[member].state.params), jax.tree.leaves(whole[member].state.params), strict=True
        ):
            np.testing.assert_allclose(got, wanted, atol=2e-5)


def test_members_on_devices_of_their_own_need_no_collective_and_split_batches_only_sums():
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), _start(0), _start(1))
    batch = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), _batch_of(0, 0))
    arguments = (stacked, batch, jax.random.split(jax.random.key(0), 2), np.ones(2, bool))
    over_rows = functools.partial(placement.over_devices, how="shard_map", devices=2)
    over_both = functools.partial(placement.over_grid, data_argument=1, data_devices=2, devices=4)
    texts = []
    for split, model in ((over_rows, MODEL), (over_both, MODEL.clone(axis_name=placement.DATA))):
        step = training.make_step(model, OPTIMISER, training.cross_entropy(), training.plain_view)
        texts.append(jax.jit(split(jax.vmap(step))).lower(*arguments).compile().as_text())
    gathers = ("all-gather(", "all-to-all(", "collective-permute(")
    assert not any(word in text for word in gathers for text in texts)
    assert "all-reduce(" not in texts[0]
    assert "all-reduce(" in texts[1]


COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter", "collective-broadcast")


@pytest.fixture
def programs(monkeypatch):
    """The compiled text of every program from here on, eager operations' among them."""
    compiler = importlib.import_module("jax._src.compiler")
    seen, compile_or_get_cached = [], compiler.compile_or_get_cached

    def listen(*arguments, **options):
        made = compile_or_get_cached(*arguments, **options)
        seen.extend(module.to_string() for module in made.hlo_modules())
        return made

    jax.clear_caches()  # what other tests compiled would not be seen
    monkeypatch.setattr(compiler, "compile_or_get_cached", listen)
    return seen


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"over_members": "map", "over_devices": "shard_map", "devices": 2}, set()),
        pytest.param({"over_members": "map", "over_devices": "pmap", "devices": 2}, set(), marks=pytest.mark.slow),
        pytest.param(
            {"over_members": "vmap", "over_devices": "shard_map", "devices": 2}, set(), marks=pytest.mark.slow
        ),
        pytest.param({"over_members": "vmap", "over_devices": "pmap", "devices": 2}, set(), marks=pytest.mark.slow),
        pytest.param(
            {"over_devices": "shard_map", "devices": 4, "data_devices": 2}, {"all-reduce"}, marks=pytest.mark.slow
        ),
    ],
    ids=["shard_map", "pmap", "shard_map of vmap", "pmap of vmap", "shared batches"],
)
def test_no_program_of_a_run_has_a_collective_outside_a_shared_batch(options, allowed, programs, tmp_path):
    """A run that is saved after every step and goes on in another trainer; members come, go and wait."""
    axis = placement.DATA if "data_devices" in options else None
    step = training.make_step(
        MODEL.clone(axis_name=axis), OPTIMISER, training.cross_entropy(axis_name=axis), training.plain_view
    )
    trainer = _trainer(step=step, width=2, **options)
    for event in trainer.run():
        account, states = _saved(trainer)
        for member, state in states.items():
            checkpoints.save(tmp_path / str(member), state, facts=account)
        if isinstance(event, training.Stepped) and states[0].step == 5:
            break
    resumed = _trainer(step=step, width=2, **options)
    like = jax.eval_shape(_start, 0)
    resumed.resume(checkpoints.facts(tmp_path / "0"), lambda member: checkpoints.load(tmp_path / str(member), like))
    assert len(_left(resumed.run())) == 3
    found = {word for text in programs for word in COLLECTIVES if f"{word}(" in text or f"{word}-start(" in text}
    assert len(programs) > 5 and found == allowed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"over_devices": "shard_map", "devices": 4, "data_devices": 3}, "wanted a divisor of the batch size 4, got 3"),
        ({"over_devices": "shard_map", "devices": 3, "data_devices": 2}, "wanted a divisor of the 3 devices, got 2"),
        ({"over_devices": "pmap", "devices": 2, "data_devices": 2}, "wanted 1 unless over_devices is shard_map, got 2"),
        ({"over_devices": "shard_map", "devices": 99}, r"`devices`: wanted 1..8, got 99"),
        ({"over_devices": "shard_map", "over_members": "loop"}, "wanted map or vmap inside a split over devices"),
    ],
)
def test_layouts_that_cannot_be_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        _trainer(**options)


@pytest.mark.parametrize("width", [1, 2])
def test_fewer_slots_after_an_interruption_send_members_back_to_the_queue(together, width):
    """Three members are running; they go on in one or two slots, are saved once more, and end as unbroken ones."""
    trainer, stepped = _trainer(over_members="loop"), 0
    for event in trainer.run():
        stepped += isinstance(event, training.Stepped)
        if stepped == 4:
            break
    fewer = _trainer(over_members="loop", width=width)
    fewer.resume(*_resumable(trainer))
    left, stepped = {}, 0
    for event in fewer.run():
        left |= _left([event])
        stepped += isinstance(event, training.Stepped)
        if stepped == 1:
            break
    account, states = _saved(fewer)
    assert len(states) == len(account["running"]) == 3 and account["waiting"] == []
    last = _trainer(over_members="loop", width=width)
    last.resume(account, states.__getitem__)
    left |= _left(last.run())
    assert all(_same(left[member].state, together[member].state) for member in range(3))


@pytest.mark.parametrize(
    "options",
    [
        {"over_members": "loop", "width": 2},
        {"over_members": "map", "width": 2, "over_devices": "shard_map", "devices": 2},
        pytest.param({"over_members": "map", "width": 2}, marks=pytest.mark.slow),
    ],
    ids=["loop", "shard_map", "map"],
)
def test_nothing_is_compiled_after_the_second_step_through_stops_and_refills(options, compilations):
    trainer = _trainer(step=PLAIN_STEP, stop=training.StopRule(None, 2), **options)
    steps, before = 0, None
    for event in trainer.run():
        if isinstance(event, training.Stepped):
            steps += 1
            if steps == 2:
                before = len(compilations)
    # What ends an epoch (taking a member out, once) is compiled when the first one ends.
    assert steps == 12 and len(compilations) - before <= 1


def test_a_resumed_run_ends_where_the_unbroken_one_does(together):
    trainer = _trainer(over_members="loop")
    events = []
    for event in trainer.run():
        events.append(event)
        if len([e for e in events if isinstance(e, training.Stepped)]) == 4:
            break
    resumed = _trainer(over_members="loop")
    resumed.resume(*_resumable(trainer))
    after = _left(resumed.run())
    assert all(_same(after[member].state, together[member].state) for member in range(3))
    assert all(after[member].accuracy == together[member].accuracy for member in range(3))


@pytest.mark.parametrize(
    "options",
    [
        {"over_members": "loop"},
        {"over_members": "vmap"},
        {"over_members": "map", "over_devices": "shard_map", "devices": 2},
        pytest.param({"over_members": "map"}, marks=pytest.mark.slow),
        pytest.param({"over_members": "vmap", "over_devices": "pmap", "devices": 2}, marks=pytest.mark.slow),
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_a_nan_in_one_member_leaves_the_others_bit_identical(options):
    def poisoned(key, batch):
        return training.plain_view(key, batch) + jnp.where(batch["poison"].any(), jnp.nan, 0.0)

    step = training.make_step(MODEL, OPTIMISER, training.cross_entropy(), poisoned)

    def trained(victim):
        def batch_of(member, step):
            return _batch_of(member, step) | {"poison": np.asarray([member == victim and step == 2] * BATCH)}

        trainer = training.Trainer(
            step,
            [training.Job(member, 12) for member in range(3)],
            start=_start,
            batch_of=batch_of,
            key=jax.random.key(9),
            batch_size=BATCH,
            stop=training.StopRule(None, 2),
            **options,
        )
        return _left(trainer.run())

    sound, left = trained(victim=None), trained(victim=1)
    assert left[1].status == "failed"
    assert [left[member].status for member in (0, 2)] == ["max_epochs"] * 2
    assert all(_same(left[member].state, sound[member].state) for member in (0, 2))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(left[1].state.params))


def test_the_last_step_says_that_nobody_runs_any_more():
    stepped = [event for event in _trainer(width=2).run() if isinstance(event, training.Stepped)]
    assert [stepped[0].running, stepped[0].waiting] == [2, 1]
    assert [stepped[-1].running, stepped[-1].waiting] == [0, 0]
    assert sum(event.images for event in stepped) == 3 * 2 * 12


def test_epochs_end_where_the_images_do():
    ends = [
        event for event in _trainer(stop=training.StopRule(None, 3)).run() if isinstance(event, training.EpochEnded)
    ]
    assert [(e.epoch, e.step, e.images) for e in ends if e.member == 0] == [(1, 3, 12), (2, 6, 24), (3, 9, 36)]


def test_a_member_stops_at_its_target_and_learns_on_the_way():
    sorted_by_brightness = PICTURES.copy()
    sorted_by_brightness[:, :, :, :, :] = np.where(LABELS[:, :, None, None, None] == 1, 200, 40)

    def batch_of(member, step):
        return _batch_of(member, step) | {"image": sorted_by_brightness[member, (np.arange(BATCH) + step * BATCH) % 12]}

    left = _left(_trainer((0,), stop=training.StopRule(0.9, 60), batch_of=batch_of).run())
    assert left[0].status == "target"
    assert left[0].accuracy >= 0.9
    assert left[0].epochs < 60


def test_the_target_is_compared_in_whole_numbers():
    rule = training.StopRule(0.9)
    assert rule.reached(9, 10)
    assert not rule.reached(8999, 10_000)
    assert rule.reached(9000, 10_000)
    assert not training.StopRule(None).reached(10, 10)


def test_an_image_budget_is_whole_epochs():
    assert training.StopRule(0.9, 150, 10_000).epochs_for(330) == 30
    assert training.StopRule(0.9, 150, 10_000).epochs_for(14_000) == 1
    assert training.StopRule(0.9, 150).epochs_for(14_000) == 150
    assert training.StopRule(0.9, None, 10_000).epochs_for(10) == 1000


def test_the_limit_that_ends_a_member_is_named():
    rule = training.StopRule(None, 30, 10_000)
    assert [rule.limit_for(count) for count in (330, 334, 333)] == ["max_epochs", "max_images", "max_epochs"]
    assert training.StopRule(None, None, 10_000).limit_for(1) == "max_images"
    left = _left(_trainer((0, 1), stop=training.StopRule(None, 3, 12), step=PLAIN_STEP).run())
    assert {(end.status, end.epochs) for end in left.values()} == {("max_images", 1)}
    for limits, said in (((None, None), "wanted a limit here"), ((0, None), "`max_epochs`"), ((3, 0), "`max_images`")):
        with pytest.raises(UsageError, match=said):
            training.StopRule(0.9, *limits)


def test_nothing_is_compiled_after_the_second_step():
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if name.endswith("backend_compile_duration") else None
    )
    try:
        steps = 0
        for event in _trainer(width=2).run():
            steps += isinstance(event, training.Stepped)
            if steps == 2:
                compiled.clear()
                steps += 1
        # Members end, leave, and are refilled after the second step.
        assert not compiled
    finally:
        jax.monitoring.clear_event_listeners()


def test_frozen_statistics_stay():
    step = training.make_step(MODEL, OPTIMISER, training.cross_entropy(), training.plain_view, train_statistics=False)
    before = _start(0)
    after = jax.jit(step)(before, _batch_of(0, 0), jax.random.key(0), True)
    assert _same(after.batch_stats, before.batch_stats)
    assert not _same(after.params, before.params)


def test_population_statistics_are_those_of_the_batches_at_the_final_weights():
    variables = training.variables_of(_start(0))
    images = [training.plain_view(None, {"image": PICTURES[member]}) for member in (0, 1)]
    again = training.population_statistics(MODEL, variables, images)
    first = variables["params"]["conv1"]["kernel"]
    seen = [models.conv2d(x, first, stride=2, padding=1) for x in images]
    wanted = np.mean([x.mean((0, 1, 2)) for x in seen], 0)
    np.testing.assert_allclose(again["batch_stats"]["bn1"]["mean"], wanted, rtol=1e-3, atol=1e-4)
    assert _same(again["params"], variables["params"])
    with pytest.raises(UsageError, match=r"`batches`: wanted at least one batch"):
        training.population_statistics(MODEL, variables, [])


def test_an_idle_step_changes_nothing():
    before = _start(0)
    assert _same(jax.jit(STEP)(before, _batch_of(0, 0), jax.random.key(0), False), before)


def test_weighted_cross_entropy_is_its_formula():
    logits = np.random.default_rng(2).normal(size=(6, 8)).astype(np.float32)
    labels = np.asarray([0, 1, 2, 3, 7, 7], np.int32)
    weights = np.linspace(0.5, 3, 8).astype(np.float32)
    losses = np.log(np.exp(logits).sum(-1)) - logits[np.arange(6), labels]
    w = weights[labels]
    got = training.cross_entropy(class_weights=weights)(_seen(logits), {"labels": labels})
    np.testing.assert_allclose(got, (w * losses).sum() / w.sum(), rtol=1e-5)
    mean = training.cross_entropy(class_weights=weights, reduction="mean")(_seen(logits), {"labels": labels})
    np.testing.assert_allclose(mean, (w * losses).mean(), rtol=1e-5)


@pytest.mark.parametrize("reduction", ["weighted_mean", "mean"])
@pytest.mark.parametrize("weighed", [False, True])
def test_cross_entropy_against_votes_is_its_formula(weighed, reduction):
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(6, 8)).astype(np.float32)
    votes = rng.dirichlet(np.full(8, 0.4), size=6).astype(np.float32)
    weights = np.linspace(0.5, 3, 8) if weighed else np.ones(8)
    losses = (weights * votes * (np.log(np.exp(logits).sum(-1, keepdims=True)) - logits)).sum(-1)
    wanted = losses.mean() if reduction == "mean" else losses.sum() / (weights * votes).sum()
    objective = training.cross_entropy(class_weights=weights if weighed else None, reduction=reduction)
    # The labels are there for the counters alone.
    got = objective(_seen(logits), {"votes": votes, "labels": np.zeros(6, np.int32)})
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    shared = training.cross_entropy(class_weights=weights if weighed else None, reduction=reduction, axis_name="data")
    shares = jax.vmap(lambda logits, votes: shared(_seen(logits), {"votes": votes}), axis_name="data")(
        logits.reshape(2, 3, 8), votes.reshape(2, 3, 8)
    )
    np.testing.assert_allclose(shares.mean(), wanted, rtol=1e-5)


@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 3, 8).astype(np.float32)])
@pytest.mark.parametrize("reduction", ["weighted_mean", "mean"])
def test_votes_of_one_voice_pull_as_labels_do(weights, reduction):
    logits = np.random.default_rng(2).normal(size=(6, 8)).astype(np.float32)
    labels = np.asarray([0, 1, 2, 3, 7, 7], np.int32)
    objective = training.cross_entropy(class_weights=weights, reduction=reduction)

    def pull(batch):
        return jax.grad(lambda logits: objective(_seen(logits), batch))(logits)

    by_votes = pull({"labels": labels, "votes": np.eye(8, dtype=np.float32)[labels]})
    np.testing.assert_allclose(by_votes, pull({"labels": labels}), atol=1e-7)
    assert np.abs(by_votes).max() > 0.01


def test_an_objective_sees_logits_features_images_and_the_batch():
    shapes = {}

    def objective(output, batch):
        shapes.update({name: array.shape for name, array in output._asdict().items()})
        attention = jnp.abs(output.images).mean() * jnp.square(output.features).mean()
        return training.cross_entropy()(output, batch) + batch["pull"].mean() * attention

    step = training.make_step(MODEL, OPTIMISER, objective, training.plain_view)
    batch = _batch_of(0, 0)
    still, pulled = (
        jax.jit(step)(_start(0), batch | {"pull": np.full(BATCH, pull, np.float32)}, jax.random.key(0), True)
        for pull in (0.0, 1.0)
    )
    assert shapes["logits"] == (BATCH, 2) and shapes["images"] == (BATCH, SIZE, SIZE, 3)
    assert len(shapes["features"]) == 4 and shapes["features"][0] == BATCH
    assert not bool(pulled.bad) and pulled.loss > still.loss and not _same(pulled.params, still.params)


def test_a_revealed_view_shows_what_was_open_and_blurs_the_rest():
    nothing = Augmentation(flip=0, shift=0, scale=0, rotation=0, brightness=0, contrast=0)
    view = training.revealed_view(nothing, radius=3, blur=5)
    picture = PICTURES[0, :3]
    batch = {
        "image": picture,
        "points": np.asarray([[[8.0, 6.0]], [[8.0, 6.0]], [[np.nan, np.nan]]], np.float32),
        "shift": np.asarray([[0, 0], [1, -1], [0, 0]], np.int32),
        "masked": np.asarray([True, True, False]),
    }
    seen = view(jax.random.key(0), batch)
    opened = masks.reveal(jnp.asarray([[8.0, 6.0]]), (SIZE, SIZE), radius=3)
    plain = dataclasses.replace(nothing)
    wanted = [
        masks.composite(picture[0], masks.blurred(picture[0], size=5), opened),
        masks.composite(picture[1], masks.blurred(picture[1], size=5), masks.shift(opened, 1, -1)),
        picture[2],
    ]
    expected = training.augmented_view(plain)(jax.random.key(0), {"image": np.stack(wanted)})
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    # Section 5.1 augments the unmasked pictures; masked ones move their mask by a pixel, and nothing else.
    ranges = Augmentation()
    augmented = training.revealed_view(ranges, radius=3, blur=5)(jax.random.key(0), batch)
    np.testing.assert_array_equal(augmented[:2], seen[:2])
    again = training.augmented_view(ranges)(jax.random.key(0), {"image": np.stack(wanted)})
    np.testing.assert_allclose(augmented[2], again[2], atol=1e-5)
    assert np.abs(augmented[2] - seen[2]).max() > 0.1


def test_errors_teach():
    with pytest.raises(UsageError, match=r"`batch_size`: member 7 has 3 training images, fewer than one batch of 4"):
        training.Trainer(
            STEP, [training.Job(7, 3)], start=_start, batch_of=_batch_of, key=jax.random.key(0), batch_size=4,
            stop=training.StopRule(),
        )  # fmt: skip
    with pytest.raises(UsageError, match=r"`target`: wanted a training accuracy in \(0, 1\] or None, got 90"):
        training.StopRule(90)
    with pytest.raises(UsageError, match=r"`reduction`: wanted one of weighted_mean, mean, got 'sum'"):
        training.cross_entropy(reduction="sum")
    with pytest.raises(UsageError, match=r"`width`: wanted a number of slots from 1, got 0"):
        training.make_slots(STEP, 0)
    with pytest.raises(UsageError, match=r"`at_once`: wanted a number of members from 1, got 0"):
        training.make_slots(STEP, 1, at_once=0)


SHAPES = {
    "image": jax.ShapeDtypeStruct((16, 32, 32, 3), np.uint8),
    "labels": jax.ShapeDtypeStruct((16,), np.int32),
}


@pytest.mark.parametrize(
    ("how", "split"),
    [
        ("loop", {}),
        ("map", {}),
        ("vmap", {}),
        ("map", {"over_devices": "shard_map", "devices": 2}),
        pytest.param("vmap", {"over_devices": "pmap", "devices": 2}, marks=pytest.mark.slow),
        pytest.param("map", {"over_devices": "shard_map", "devices": 4, "data_devices": 2}, marks=pytest.mark.slow),
    ],
)
def test_what_is_promised_of_memory_is_what_the_compiler_takes(how, split):
    axis = placement.DATA if "data_devices" in split else None
    step = training.make_step(
        MODEL.clone(lowering=models.default_lowering(how), axis_name=axis),
        OPTIMISER,
        training.cross_entropy(),
        training.plain_view,
    )
    like = jax.eval_shape(lambda: _start(0))
    memory = training.slots_memory(step, like, SHAPES, over_members=how, **split)
    made = training.make_slots(step, 8, over_members=how, **split).compiled(like, SHAPES).memory_analysis()
    taken = made.argument_size_in_bytes + made.temp_size_in_bytes
    taken += made.output_size_in_bytes - made.alias_size_in_bytes
    if how == "loop":  # its program knows one member
        taken += 7 * memory.kept
    else:  # in place: no second stack of states
        states = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(like))
        assert made.alias_size_in_bytes >= 0.99 * 8 // memory.rows * states
    assert memory.needed(8) == pytest.approx(taken * memory.sharers, rel=0.1)
    if how == "loop":
        assert memory.needed(8, at_once=3) == memory.needed(8) + 2 * memory.working
    assert memory.sharers == split.get("devices", 1)  # a CPU's devices share its memory
    for slots in (memory.rows, 8):
        assert memory.slots_within(memory.needed(slots)) == slots
        assert memory.slots_within(memory.needed(slots) - memory.sharers) < slots
    assert memory.slots_within(memory.working - 1) == 0
    assert [
        memory.at_once_within(memory.needed(8) + spare, 8) for spare in (0, memory.working, 99 * memory.working)
    ] == [
        1,
        2,
        8,
    ]


def test_members_stepped_together_have_no_grouped_convolution():
    stacked, batches = (
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((3, *leaf.shape), leaf.dtype), tree)
        for tree in (jax.eval_shape(lambda: _start(0)), SHAPES)
    )
    keys, active = jax.random.split(jax.random.key(0), 3), np.ones(3, bool)

    def text(lowering):
        step = training.make_step(
            MODEL.clone(lowering=lowering), OPTIMISER, training.cross_entropy(), training.plain_view
        )
        return jax.jit(jax.vmap(step)).lower(stacked, batches, keys, active).as_text()

    assert "group_count = 3" in text("dots")  # what a kernel of each member's own becomes
    assert "group_count = 3" not in text(models.default_lowering("vmap"))


@pytest.mark.parametrize("trained", [False, True], ids=["frozen BatchNorm", "BatchNorm of each part"])
def test_a_batch_in_parts_takes_the_step_of_their_mean_gradient(trained):
    sgd, key, batch = optax.sgd(1.0), jax.random.key(3), _batch_of(0, 0)
    before = training.init_state(training.variables_of(_start(0)), sgd)

    def after(batch, state=before, **options):
        step = training.make_step(MODEL, sgd, training.cross_entropy(), view, train_statistics=trained, **options)
        return jax.jit(step)(state, batch, key, True)

    view = training.augmented_view(Augmentation())
    in_parts = after(batch, accumulate=2)
    if trained:
        placed, place = batch | {"position": np.arange(BATCH)}, np.arange(BATCH)
        first, second = ({name: rows[half] for name, rows in placed.items()} for half in (place < 2, place >= 2))
        one = after(first)
        other = after(second, dataclasses.replace(before, batch_stats=one.batch_stats))
        expected = dataclasses.replace(
            other,
            params=jax.tree.map(lambda a, b: (a + b) / 2, one.params, other.params),
            correct=one.correct + other.correct,
            seen=one.seen + other.seen,
            loss=(one.loss + other.loss) / 2,
        )
    else:
        expected = after(batch)
    assert not _same(in_parts.params, before.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), in_parts, expected)


def test_parts_divide_a_batch():
    step = training.make_step(MODEL, OPTIMISER, training.cross_entropy(), training.plain_view, accumulate=3)
    with pytest.raises(UsageError, match=r"`accumulate`: wanted a divisor of the 4 images of a batch, got 3"):
        jax.eval_shape(step, _start(0), _batch_of(0, 0), jax.random.key(0), True)
    with pytest.raises(UsageError, match=r"`accumulate`: wanted a number of parts from 1, got 0"):
        training.make_step(MODEL, OPTIMISER, training.cross_entropy(), training.plain_view, accumulate=0)


def test_blocks_computed_again_in_the_backward_pass_give_the_same_step():
    def after(model):
        step = training.make_step(model, optax.sgd(1.0), training.cross_entropy(), training.plain_view)
        state = training.init_state(training.variables_of(_start(0)), optax.sgd(1.0))
        made = jax.jit(step).lower(state, _batch_of(0, 0), jax.random.key(0), True)
        return made.as_text(), made.compile()(state, _batch_of(0, 0), jax.random.key(0), True)

    (kept, one), (again, other) = after(MODEL), after(MODEL.clone(remat=True))
    assert "optimization_barrier" in again and "optimization_barrier" not in kept
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, other)


class _Linear:
    """The smallest network with a running variance."""

    def apply(self, variables, images, *, train, mutable):
        del train, mutable
        features = images.mean((1, 2))
        variance = (features**2).mean()
        logits = features[:, :2] / jnp.sqrt(1 + variance) * variables["params"][None]
        return types.SimpleNamespace(logits=logits), {"batch_stats": variance}


@pytest.mark.parametrize(("brightness", "steepness", "bad"), [(1.0, 1.0, False), (1e25, 1.0, True), (1.0, 1e25, True)])
def test_a_variance_or_a_moment_that_overflows_is_a_failure_though_loss_and_update_are_finite(
    brightness, steepness, bad
):
    variables = {"params": jnp.ones(2), "batch_stats": jnp.ones(())}
    before = training.init_state(variables, OPTIMISER)
    step = training.make_step(
        _Linear(),
        OPTIMISER,
        lambda output, batch: steepness * training.cross_entropy()(output, batch),
        lambda key, batch: brightness * training.plain_view(key, batch),
    )
    after = jax.jit(step)(before, _batch_of(0, 0), jax.random.key(0), True)
    assert bool(after.bad) == bad
    assert _same(training.variables_of(after), training.variables_of(before)) == bad


def test_a_program_of_a_step_grows_with_the_network_and_no_faster():
    """Fused into each leaf that depends on it, the test for finite numbers would square the program."""

    class Tower:
        def __init__(self, layers):
            self.params = {f"layer{n:02}": jnp.ones((2 + n, 3 + n)) for n in range(layers)}  # each a shape of its own

        def apply(self, variables, images, *, train, mutable):
            del train, mutable
            features = images.mean((1, 2))[:, :2]
            for kernel in variables["params"].values():
                features = features @ kernel
            return types.SimpleNamespace(logits=features[:, :2]), {"batch_stats": {}}

    def lines(layers):
        model = Tower(layers)
        state = training.init_state({"params": model.params}, OPTIMISER)
        step = training.make_step(model, OPTIMISER, training.cross_entropy(), training.plain_view)
        compiled = jax.jit(step).lower(state, _batch_of(0, 0), jax.random.key(0), True).compile()
        return len(compiled.as_text().splitlines())

    few, many = lines(8), lines(24)
    assert many < 3.3 * few


def test_members_say_when_they_start_and_how_far_they_are():
    trainer = _trainer(width=2, step=PLAIN_STEP)
    events = []
    for event in trainer.run():
        events.append(event)
        if len([e for e in events if isinstance(e, training.Stepped)]) == 2:
            break
    assert events[:2] == [training.MemberStarted(0, 0), training.MemberStarted(1, 0)]
    resumed = _trainer(width=2, step=PLAIN_STEP)
    resumed.resume(*_resumable(trainer))
    started = [event for event in resumed.run() if isinstance(event, training.MemberStarted)]
    assert started == [training.MemberStarted(0, 8), training.MemberStarted(1, 8), training.MemberStarted(2, 0)]


def test_a_batch_without_labels_is_named():
    with pytest.raises(UsageError, match=r"`batch`: wanted `labels`, int32 .*, got image"):
        PLAIN_STEP(None, {"image": jnp.zeros((2, 8, 8, 3), jnp.uint8)}, jax.random.key(0), True)
