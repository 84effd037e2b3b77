"""Rows on the rate of training: pictures a second of 28 members once everything is compiled, cores at work, the host.

Pictures are noise in the numbers of FER+ (plurality labels), batches are drawn as in a run, and views are augmented.
"""

import time
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.pairing import Row, row
from experiments.config import PRESETS
from fer_jax import data, models, training
from fer_jax.augment import Augmentation
from fer_jax.data.published import PUBLISHED
from fer_jax.expressions import EXPRESSIONS

COUNTS = PUBLISHED["ferplus plurality of label.csv"]["train"]
_STEPS = 10  # between two readings of the counters, which wait for the device
_SEED = 0


class Rate(NamedTuple):
    """Pictures of all members in a second, seconds of all cores in one by the wall, and of these the loop's share."""

    images_a_second: float
    cores: float
    host: float


def rows(small, side: int, batch: int, cores: int) -> list[Row]:
    """Measure the network of a first run on photographs, of FER+'s side, and the suite's small one.

    Args:
      small: the suite's small network.
      side: of its pictures, pixels.
      batch: pictures of its batch.
      cores: that this process may use.
    """
    preset = PRESETS["small"]
    model, pixels = models.MODELS[preset["model"]["photographs"]](num_classes=2), preset["image_size"]["ferplus"]
    busy = f">= {0.9 * cores:g}"
    ferplus = rate(model, pixels, preset["batch_size"]["photographs"])
    other = rate(small, side, batch)
    return [
        row("training rate, FER+, 28 members, pictures of all of them",
            ferplus.images_a_second, None, "1/s", goal=">= 1900"),
        row("training rate, FER+, 28 members, cores busy", ferplus.cores, cores, "cores"),
        row("training rate, FER+, 28 members, the host's share of CPU time", ferplus.host, None, "", goal="<= 0.05"),
        row("training rate, small network, 28 members, pictures of all of them", other.images_a_second, None, "1/s"),
        row("training rate, small network, 28 members, cores busy", other.cores, cores, "cores", goal=busy),
    ]  # fmt: skip


def rate(model, side: int, batch: int, *, counts=COUNTS, epochs: int = 5) -> Rate:
    """Train all members side by side, and measure from the end of the first short epoch to the end of the last.

    Args:
      model: of a member.
      side: of the pictures, pixels.
      batch: pictures of a batch.
      counts: pictures of each expression.
      epochs: of ten steps each, at least 2.
    """
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    pictures = np.random.default_rng(_SEED).integers(0, 256, (len(labels), side, side, 3), np.uint8)
    source = types.SimpleNamespace(labels=labels, images=lambda rows: pictures[rows], categories=EXPRESSIONS)
    drawn = [
        data.Batches(source, batch_size=batch, seed=_SEED, pair=pair, ahead=0) for pair in range(EXPRESSIONS.num_pairs)
    ]
    optimiser, sample = optax.adam(1e-3), jnp.zeros((1, side, side, 3))
    fresh = jax.jit(lambda key: training.init_state(model.init(key, sample), optimiser))

    def batch_of(member, step):
        found = drawn[member].at(step)
        return {"image": found["image"], "labels": found["label"].astype(np.int32)}

    trainer = training.Trainer(
        training.make_step(model, optimiser, training.cross_entropy(), training.augmented_view(Augmentation())),
        [training.Job(member, _STEPS * batch) for member in range(len(drawn))],
        start=lambda member: fresh(jax.random.fold_in(jax.random.key(_SEED), member)),
        batch_of=batch_of,
        key=jax.random.key(1),
        batch_size=batch,
        width=len(drawn),
        stop=training.StopRule(None, epochs),
    )
    begun, ended, images = None, 0, 0
    for event in trainer.run():
        if isinstance(event, training.Stepped) and begun:
            images += event.images
        if isinstance(event, training.EpochEnded):
            ended += 1
            if ended == len(drawn):
                begun = time.perf_counter(), time.process_time(), time.thread_time()
            if ended == epochs * len(drawn):
                break
    seconds, busy = time.perf_counter() - begun[0], time.process_time() - begun[1]
    # Side by side, members step in threads of their own: this one chooses and gathers pictures and starts steps.
    return Rate(images / seconds, busy / seconds, (time.thread_time() - begun[2]) / busy)
