"""Rows on stopping Extremal Perturbation early: what it saves, and what it costs, on a run's study pictures."""

import dataclasses
import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.pairing import Row, row
from experiments.study.explain import settings_of, true_sides
from experiments.study.run import open_run
from fer_jax import compiler, explanation, metrics, saliency

SLOTS = 8
HALF_PICTURES = 24  # through networks in bfloat16, which a CPU computes slowly


class Pictures(NamedTuple):
    """Study pictures with the stack of members, each picture's own one, and the class to explain."""

    members: Any
    images: np.ndarray
    targets: np.ndarray
    pairs: np.ndarray


def rows(subject) -> list[Row]:
    """Compare a queue of pictures, each until its mask converges, with the whole schedule in one batch."""
    run = open_run(subject.config.run)
    count = min(subject.config.images, len(run.study_table))
    shown = np.linspace(0, len(run.study_table) - 1, count).astype(int)
    pictures = Pictures(
        run.load_ensemble(), run.study_pictures.images[shown], true_sides(run)[shown], run.study_pairs[shown]
    )
    known = settings_of(run.config)
    whole = dataclasses.replace(
        known,
        methods=("extremal_perturbation",),
        extremal=dataclasses.replace(known.extremal, iterations=saliency.PUBLISHED_ITERATIONS, stop="never"),
    )
    scores = {"the true label's logit": ("logit", 1.0)}
    own = (known.ep_score, known.ep_reward_scale)
    if own not in scores.values():
        scores[f"the run's score ({own[0]} times {own[1]:g})"] = own
    out = []
    for name, (score, scale) in scores.items():
        settings = dataclasses.replace(whole, ep_score=score, ep_reward_scale=scale)
        out += of_score(name, functools.partial(run.network, 2), settings, pictures, subject.config.repeats)
    return out


def of_score(name, build, whole, pictures, repeats) -> list[Row]:
    """Compare for one score, where `whole` are the settings of the whole schedule."""
    limit, count = whole.extremal.iterations, len(pictures.pairs)
    early = dataclasses.replace(whole, extremal=dataclasses.replace(whole.extremal, stop="converged"))
    queue, batch = _queue(build, early, pictures), _batch(build, whole, pictures)
    timed = [(_timed(queue), _timed(batch)) for _ in range(repeats)]
    stopped, complete = (run[0] for run in timed[-1])
    wall, cpu = (np.asarray([[run[1][clock] for run in pair] for pair in timed]).T for clock in range(2))
    speeds = wall[1] / wall[0]
    what = f"stopping when converged, {name}, n = {count}: "
    done = stopped["iterations"]
    out = [
        row(
            what + f"seconds, a queue in {SLOTS} slots, against the whole schedule in one batch",
            *np.median(wall, 1),
            "s",
            ratio=np.median(speeds),
            goal=">= 2.5",
        ),
        row(what + "least and greatest speed of the pairs of runs", speeds.min(), speeds.max(), ""),
        row(what + "seconds of all cores", *np.median(cpu, 1), "s", ratio=np.median(cpu[1] / cpu[0])),
        row(what + "mean iterations", done.mean(), limit, "", ratio=limit / done.mean(), goal=">= 3"),
        row(what + "iterations until the slowest of a batch", done.max(), limit, ""),
    ]
    out += _agreement(what, "the whole schedule", stopped, complete, whole.extremal.areas[0], goal=">= 0.98")
    out.append(row(what + "area", stopped["final_area"].mean(), complete["final_area"].mean(), "share"))
    some = np.linspace(0, count - 1, min(count, HALF_PICTURES)).astype(int)
    half = _queue(functools.partial(_in_bfloat16, build), early, _taken(pictures, some))()
    what = f"network in bfloat16, {name}, n = {len(some)}: "
    single = {key: values[some] for key, values in stopped.items()}
    return out + _agreement(what, "float32", half, single, whole.extremal.areas[0])


def _agreement(what, other, found, wanted, area, *, goal="") -> list[Row]:
    """Compare masks at the threshold of one half, and at the area that was asked for."""
    pairs = list(zip(found["masks"][:, 0], wanted["masks"][:, 0], strict=True))
    opened = [float(metrics.dice(a > 0.5, b > 0.5, empty="one")) for a, b in pairs]
    alike = [float(metrics.dice_at_area(a, b, round(area * a.size))) for a, b in pairs]
    return [
        row(what + f"mean Dice to {other}", np.mean(opened), None, "Dice", goal=goal),
        row(what + f"least Dice to {other}, and the median", np.min(opened), np.median(opened), "Dice"),
        row(what + f"mean Dice to {other} at matched area, and the least", np.mean(alike), np.min(alike), "Dice"),
    ]


def _queue(build, settings, pictures):
    """Compile a call that explains pictures one by one, as arrays in their order."""
    explain = explanation.queue(build, settings, slots=SLOTS)
    rows = list(zip(pictures.images, pictures.targets, pictures.pairs, strict=True))
    list(explain(pictures.members, rows[:1]))

    def call():
        found = dict(explain(pictures.members, rows))
        return jax.tree.map(lambda *leaves: np.stack(leaves), *(found[index] for index in range(len(found))))

    return call


def _batch(build, settings, pictures):
    """Compile a call that explains all pictures at once, each through its own member."""
    explain_one = functools.partial(explanation.explain_picture, explanation.networks(build), settings)
    own = jax.tree.map(lambda leaf: leaf[pictures.pairs], pictures.members)
    arguments = (own, pictures.images, pictures.targets)
    explain = jax.jit(jax.vmap(explain_one), compiler_options=compiler.options()).lower(*arguments).compile()
    return lambda: jax.device_get(explain(*arguments))


def _taken(pictures, some):
    return pictures._replace(images=pictures.images[some], targets=pictures.targets[some], pairs=pictures.pairs[some])


def _in_bfloat16(build, **options):
    return build(**options).clone(dtype=jnp.bfloat16)


def _timed(call):
    """Call: (result, seconds by the wall and of all cores)."""
    start = time.perf_counter(), time.process_time()
    result = call()
    return result, (time.perf_counter() - start[0], time.process_time() - start[1])
