"""The suite `training`: the stacked ensemble against its members one by one, plain stacking, and torch.

The small network is one bottleneck a stage, 16 wide (half a million parameters), 28 members of 16 pictures at 48 px.
"""

import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import cv2
import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import plain_torch, rate
from benchmarks.pairing import Row, chosen, row, speed_row
from fer_jax import compiler, ensemble, faces, images, models, training
from fer_jax.augment import Augmentation, augment
from fer_jax.cores import usable_cores
from fer_jax.expressions import EXPRESSIONS

NUM_MEMBERS = EXPRESSIONS.num_pairs

LARGE = {"resnet50": models.ResNet50, "mini": functools.partial(models.ResNet, stage_sizes=(1, 1), width=8)}
SMALL = functools.partial(models.ResNet, num_classes=2, stage_sizes=(1, 1, 1, 1), width=16)
SMALL_PX, SMALL_BATCH, SMALL_STEPS = 48, 16, 200
BATCH = 8
FACE_PX = 96
# Rated training pictures of AffectNet (8 classes, canonical order): the smaller class of a pair counts twice.
AFFECTNET = (74_874, 134_415, 25_459, 14_090, 6_378, 3_803, 24_882, 3_750)
_COMPILED = "/jax/core/compile/backend_compile_duration"


class Subject(NamedTuple):
    """The subject of the suite: flags, the large network (lowering=...) and its side."""

    config: Any
    build: Callable[..., models.ResNet]


def rows(config) -> Iterator[Row]:
    """Yield the suite's rows, each as soon as it is measured."""
    subject = Subject(config, functools.partial(LARGE[config.model], num_classes=2))
    suite: dict[str, Callable[[Subject], list[Row]]] = {
        "stacked step": _stacked,
        "small members": _small_members,
        "small members, whole run": _whole_run,
        "training rate": _rate,
        "one member's step": _one_member,
        "useful slot-steps": _useful,
        "memory": _memory,
        "data path": _data_path,
    }
    for measure in chosen(suite, config.only):
        yield from measure(subject)


def member_step(model):
    """Return one member's step with Adam, on normalised floats: (state, {"image", "labels"}) -> state."""
    step = training.make_step(model, optax.adam(1e-4), training.cross_entropy(), lambda key, batch: batch["image"])
    return lambda state, batch: step(state, batch, jax.random.key(0), jnp.bool_(True))


def start(model, members: int, size: int, batch: int):
    """Return fresh states and batches of members, stacked."""
    variables = ensemble.init(jax.random.key(0), model, members=members)
    states = jax.jit(jax.vmap(lambda v: training.init_state(v, optax.adam(1e-4))))(variables)
    pictures = jax.random.normal(jax.random.key(1), (members, batch, size, size, 3))
    labels = jnp.tile(jnp.arange(batch, dtype=jnp.int32) % 2, (members, 1))
    return states, {"image": pictures, "labels": labels}


def _stacked(subject) -> list[Row]:
    """Time four large members of two pictures at half size: every layout against one after another."""
    size = subject.config.size // 2
    states, batches = start(subject.build(), 4, size, 2)
    each, given = ensemble.unstack(states), ensemble.unstack(batches)
    one = jax.jit(member_step(subject.build(lowering="dots")), compiler_options=compiler.options())
    what = f"stacked step, {subject.config.model}, 4 members x 2 pictures of {size} px, a member-image, "
    timed = functools.partial(speed_row, repeats=subject.config.repeats, parts=(8, 8))

    def one_by_one():
        return [one(state, batch) for state, batch in zip(each, given, strict=True)]

    def lifted(lowering, how):
        step = ensemble.over_members(member_step(subject.build(lowering=lowering)), over_members=how)
        step = step if how == "loop" else jax.jit(step)
        return lambda: step(states, batches)

    stacks = {"loop": lifted("dots", "loop"), "map": lifted("matmul", "map"), "vmap": lifted("matmul", "vmap")}
    slots = training.make_slots(_keyed(member_step(subject.build(lowering="dots"))), 4, over_members="loop")
    for slot, state in enumerate(each):
        slots.load(slot, state)
    keys = [jax.random.key(0)] * 4

    def engine():
        slots.step(given, keys)
        return slots.take(3)

    out = [timed(what + "slots of the engine over one by one", engine, one_by_one, cost=True, goal="<= 1.05")]
    out += [timed(what + f"{name} over one by one", call, one_by_one, cost=True) for name, call in stacks.items()]
    plain = lifted("native", "vmap")
    out.append(timed(what + "slots of the engine against plain vmap", engine, plain, goal=">= 4"))
    out.append(timed(what + "vmap as matrix products against plain vmap", stacks["vmap"], plain))
    return out


def _small_members(subject) -> list[Row]:
    """Time 28 small members a step, with Adam, against torch.func's vmap without an optimiser, and compiling."""
    states, batches = start(SMALL(), NUM_MEMBERS, SMALL_PX, SMALL_BATCH)
    slots = training.make_slots(_keyed(member_step(SMALL())), NUM_MEMBERS)
    for slot, state in enumerate(ensemble.unstack(states)):
        slots.load(slot, state)
    given, keys = ensemble.unstack(batches), [jax.random.key(0)] * NUM_MEMBERS

    def ours():
        slots.step(given, keys)
        return slots.take(NUM_MEMBERS - 1)

    out = []
    if plain_torch.INSTALLED:
        variables = ensemble.unstack({"params": states.params, "batch_stats": states.batch_stats})
        several = [plain_torch.tensors(models.to_state_dict(SMALL(), each)) for each in variables]
        pictures = [plain_torch.picture(np.asarray(each)) for each in batches["image"]]
        labels = plain_torch.torch.tensor(np.asarray(batches["labels"])).long()
        theirs = plain_torch.stacked_gradients(several, plain_torch.torch.stack(pictures), labels)
        what = f"small members, {NUM_MEMBERS} x {SMALL_BATCH} pictures, a step with Adam against torch.func without"
        out.append(speed_row(what, ours, theirs, repeats=subject.config.repeats, goal=">= 1.4"))
    for how in ("map", "vmap"):
        step = jax.jit(ensemble.over_members(member_step(SMALL(lowering="matmul")), over_members=how))
        before = time.perf_counter()
        step.lower(states, batches).compile()
        name = f"small members, trace and compile the stacked step, {how}"
        out.append(row(name, time.perf_counter() - before, None, "s", goal="<= 10"))
    return out


def _whole_run(subject) -> list[Row]:
    """Time 28 small members through the whole engine, augmentation and compiling included. Members leave and come."""
    del subject
    pictures = np.random.default_rng(0).integers(0, 256, (64, SMALL_PX, SMALL_PX, 3), np.uint8)
    labels = np.arange(64, dtype=np.int32) % 2
    optimiser, model = optax.adam(1e-4), SMALL()
    fresh = jax.jit(lambda key: training.init_state(model.init(key, jnp.zeros((1, 48, 48, 3))), optimiser))

    def train(steps, width):
        seen = {"steps": 0, "early": 0, "late": 0}

        def count(name, seconds, **_):
            if name == _COMPILED:
                seen["late" if seen["steps"] >= 2 else "early"] += 1

        def batch_of(member, step):
            at = (step * SMALL_BATCH + np.arange(SMALL_BATCH)) % 64
            return {"image": pictures[at], "labels": labels[at]}

        trainer = training.Trainer(
            training.make_step(model, optimiser, training.cross_entropy(), training.augmented_view(Augmentation())),
            [training.Job(member, 64) for member in range(NUM_MEMBERS)],
            start=lambda member: fresh(jax.random.fold_in(jax.random.key(0), member)),
            batch_of=batch_of, key=jax.random.key(1), batch_size=SMALL_BATCH, width=width,
            stop=training.StopRule(None, steps * SMALL_BATCH // 64),
        )  # fmt: skip
        jax.monitoring.register_event_duration_secs_listener(count)
        before = time.perf_counter()
        try:
            for event in trainer.run():
                seen["steps"] += isinstance(event, training.Stepped)
        finally:
            jax.monitoring.unregister_event_duration_listener(count)
        return time.perf_counter() - before, seen["late"]

    jax.clear_caches()
    seconds, _ = train(SMALL_STEPS, NUM_MEMBERS)
    # The first member to leave an epoch compiles what reads it. Afterwards nothing may.
    _, late = train(8, 7)
    what = f"small members, whole run, {NUM_MEMBERS} members x {SMALL_STEPS} steps x {SMALL_BATCH} pictures"
    return [
        row(f"{what}, compiling included", seconds, None, "s", goal="<= 75"),
        row("small members, whole run, compilations through 28 stops and 21 refills", late, None, "", goal="<= 0"),
    ]


def _rate(subject) -> list[Row]:
    """Measure pictures a second of 28 members in one run, and how many cores it keeps busy."""
    del subject
    return rate.rows(SMALL(), SMALL_PX, SMALL_BATCH, usable_cores())


def _one_member(subject) -> list[Row]:
    """Time a training step of one large member, its parts, and compiling."""
    size, repeats = subject.config.size, subject.config.repeats
    model = subject.build()
    states, batches = start(model, 1, size, BATCH)
    state, batch = ensemble.member(states, 0), ensemble.member(batches, 0)
    step = jax.jit(member_step(model), compiler_options=compiler.options())
    before = time.perf_counter()
    step.lower(state, batch).compile()
    seconds = time.perf_counter() - before
    variables = training.variables_of(state)
    forward = jax.jit(
        lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"])[0].logits,
        compiler_options=compiler.options(),
    )
    what = f"one member's step, {subject.config.model}, {size} px, batch {BATCH}, a picture, "
    timed = functools.partial(speed_row, repeats=repeats, parts=(BATCH, BATCH))

    def ours():
        return step(state, batch)

    out = [row("one member's step, trace and compile", seconds, None, "s", goal="<= 8")]
    out.append(timed(what + "its forward pass as a share", lambda: forward(variables, batch["image"]), ours, cost=True))
    if plain_torch.INSTALLED:
        arrays = models.to_state_dict(model, variables)
        labels = plain_torch.torch.tensor(np.asarray(batch["labels"])).long()
        for memory, goal in (("channels_last", "<= 1.35"), ("contiguous", "")):
            tensors = plain_torch.tensors(arrays, layout=memory, trainable=True)
            given = plain_torch.picture(np.asarray(batch["image"]), layout=memory)
            shown = "torch NCHW" if memory == "contiguous" else "torch channels_last"
            theirs = plain_torch.adam_step(tensors, given, labels)
            out.append(timed(what + f"over {shown}, both with Adam", ours, theirs, cost=True, goal=goal))
    return out


def _useful(subject) -> list[Row]:
    """Run the engine's queue over AffectNet's pair sizes, in hundredths, with steps that compute nothing."""
    del subject
    sizes = [2 * min(AFFECTNET[a], AFFECTNET[b]) // 100 for a, b in EXPRESSIONS.pairs]
    out = []
    for width, epochs in itertools.product((4, 7), ("equal epochs", "1 to 5 epochs")):
        last = np.random.default_rng(0).integers(1, 6, NUM_MEMBERS) if epochs != "equal epochs" else [1] * NUM_MEMBERS
        # A member's epochs as one: only when it leaves matters here, and the queue knows sizes, not epochs.
        steps = {member: size * int(count) for member, (size, count) in enumerate(zip(sizes, last, strict=True))}
        share, before = useful_share(sizes, steps, width)
        name = f"useful slot-steps, AffectNet-8 pairs, {epochs}, width {width}"
        out.append(row(f"{name}, until the last {width} run", before, None, "share", goal=">= 0.9"))
        out.append(
            row(
                f"{name}, whole run",
                share,
                None,
                "share",
                goal=">= 0.9" if width == 4 and epochs == "equal epochs" else "",
            )
        )
    return out


def useful_share(sizes: list[int], steps: dict[int, int], width: int) -> tuple[float, float]:
    """Return the share of useful slot-steps, of a whole run and until nobody waits any more.

    Args:
      sizes: images of each member's epoch, by which the queue is ordered.
      steps: member -> steps it runs.
      width: slots.
    """
    waiting = sorted(range(len(sizes)), key=lambda member: (-sizes[member], member))
    left: list[int] = []
    useful = ticks = useful_full = ticks_full = 0
    while waiting or left:
        while waiting and len(left) < width:
            left.append(steps[waiting.pop(0)])
        stretch = min(left)
        useful, ticks = useful + stretch * len(left), ticks + stretch
        if waiting:
            useful_full, ticks_full = useful, ticks
        left = [more - stretch for more in left if more > stretch]
    return useful / (width * ticks), useful_full / (width * ticks_full) if ticks_full else 1.0


def _memory(subject) -> list[Row]:
    """Measure the memory of members: kept for all 28, and to work on some at once (docs: performance table)."""
    size, model = subject.config.size, subject.build()
    states, _ = jax.eval_shape(lambda: start(model, 1, size, 2))
    kept = {name: _gib(getattr(states, name)) for name in ("params", "batch_stats", "opt_state")}
    out = [
        row("memory, one member's parameters", 1024 * kept["params"], None, "MiB"),
        row("memory, 28 members' parameters", NUM_MEMBERS * kept["params"], None, "GiB"),
        row("memory, 28 members with Adam and batch statistics", NUM_MEMBERS * sum(kept.values()), None, "GiB"),
        row(
            "memory, the same with gradients",
            NUM_MEMBERS * (sum(kept.values()) + kept["params"]),
            None,
            "GiB",
        ),
    ]
    for side in (size, 64):
        few, many = (_working_mib(model, side, batch) for batch in (2, BATCH))
        out.append(row(f"memory, activations of a training step, a picture of {side} px",
                       (many - few) / (BATCH - 2), None, "MiB"))  # fmt: skip
    return out


def _working_mib(model, side, batch):
    states, batches = jax.eval_shape(lambda: start(model, 1, side, batch))
    one = [jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), x) for x in (states, batches)]
    compiled = jax.jit(member_step(model), donate_argnums=0).lower(*one).compile()
    return compiled.memory_analysis().temp_size_in_bytes / 2**20


def _gib(tree):
    return sum(np.prod(leaf.shape[1:]) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)) / 2**30


def _data_path(subject) -> list[Row]:
    """Measure pictures a second: decoding and drawing on one core, and augmentation where the networks are."""
    size = subject.config.size
    random = np.random.default_rng(0)
    smooth = cv2.resize(random.integers(0, 256, (12, 12, 3), np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)
    jpeg = cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    decoding = _per_second(lambda: [cv2.imdecode(jpeg, cv2.IMREAD_COLOR) for _ in range(200)], 200, subject)
    drawn = [faces.draw(0, "train", index, size=FACE_PX) for index in range(20)]
    drawing = _per_second(lambda: [faces.render(each) for each in drawn], len(drawn), subject)
    cv2.setNumThreads(threads)
    batch = np.broadcast_to(smooth, (64, size, size, 3))

    @jax.jit
    def view(key, batch):
        keys = jax.random.split(key, len(batch))
        return jax.vmap(lambda k, image: augment(k, image, Augmentation()))(keys, images.to_float(batch))

    augmenting = _per_second(lambda: view(jax.random.key(0), batch), 64, subject)
    return [
        row(f"data path, decode JPEG of {size} px, one core", decoding, None, "1/s", goal=">= 5500"),
        row(f"data path, draw a face of {FACE_PX} px, one core", drawing, None, "1/s", goal=">= 180"),
        row(f"data path, augment {size} px, all cores", augmenting, None, "1/s", goal=">= 4000"),
    ]


def _per_second(call, pictures, subject):
    jax.block_until_ready(call())
    seconds = []
    for _ in range(subject.config.repeats):
        before = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - before)
    return pictures / statistics.median(seconds)


def _keyed(step):
    """Wrap a step as the slots call one."""
    return lambda state, batch, key, active: step(state, batch)
