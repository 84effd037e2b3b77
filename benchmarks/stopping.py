"""Rows on stopping Extremal Perturbation early: what it saves, and what it costs, on a run's study pictures."""

import dataclasses
import functools
import time

import jax
import numpy as np

from benchmarks.pairing import Row, row
from experiments.study.explain import settings_of
from experiments.study.run import open_run
from fer_jax import explanation, metrics, saliency
from fer_jax.expressions import EXPRESSIONS, index_of

CHUNK = 4


def rows(subject) -> list[Row]:
    """Compare stopped masks with those of the whole schedule, for the published score and for the run's."""
    run = open_run(subject.config.run)
    count = min(subject.config.images, len(run.study_table)) // CHUNK * CHUNK
    shown = np.linspace(0, len(run.study_table) - 1, count).astype(int)
    pairs = run.study_pairs[shown]
    truth = np.asarray([index_of(label) for label in run.study_table["true_label"]])[shown]
    targets = np.asarray(
        [EXPRESSIONS.pairs[pair][1] == label for pair, label in zip(pairs, truth, strict=True)]
    ).astype(np.int32)
    pictures = run.study_pictures.images[shown]
    variables = jax.tree.map(lambda leaf: leaf[pairs], run.load_ensemble())
    config = run.config
    known = settings_of(config)
    options = dataclasses.replace(known.extremal, iterations=saliency.PUBLISHED_ITERATIONS)
    scores = {"the true label's logit": ("logit", 1.0)}
    own = (known.ep_score, known.ep_reward_scale)
    if own not in scores.values():
        scores[f"the run's score ({own[0]} times {own[1]:g})"] = own
    out = []
    for name, (score, scale) in scores.items():
        settings = explanation.Settings(("extremal_perturbation",), ep_score=score, ep_reward_scale=scale)
        explain = functools.partial(_explained, functools.partial(run.network, 2), variables, pictures, targets)
        whole, seconds = explain(dataclasses.replace(settings, extremal=options))
        early, seconds_early = explain(
            dataclasses.replace(settings, extremal=dataclasses.replace(options, stop="converged"))
        )
        dices = [
            float(metrics.dice(a > 0.5, b > 0.5, empty="one"))
            for a, b in zip(early["masks"][:, 0], whole["masks"][:, 0], strict=True)
        ]
        done = early["iterations"].mean()
        what = f"stopping when converged, {name}, n = {len(shown)}: "
        limit = options.iterations
        out += [
            row(what + "mean iterations", done, limit, "", ratio=limit / done, goal=">= 3"),
            row(what + f"seconds, {CHUNK} at a time", seconds_early, seconds, "s", ratio=seconds / seconds_early),
            row(what + "mean Dice to the whole schedule", np.mean(dices), None, "Dice", goal=">= 0.98"),
            row(what + "least Dice", np.min(dices), None, "Dice"),
            row(what + "area", early["final_area"].mean(), whole["final_area"].mean(), "share"),
        ]
    return out


def _explained(build, variables, pictures, targets, settings):
    """Explain every picture through its pair's member, a few at a time: (arrays, seconds without compiling)."""
    explain_one = functools.partial(explanation.explain_picture, explanation.networks(build), settings)
    explain = jax.jit(jax.vmap(explain_one))
    parts, seconds = [], 0.0
    for first in range(0, len(pictures) - CHUNK + 1, CHUNK):
        at = slice(first, first + CHUNK)
        arguments = (jax.tree.map(lambda leaf, at=at: leaf[at], variables), pictures[at], targets[at])
        if first == 0:
            jax.block_until_ready(explain(*arguments))
        start = time.perf_counter()
        parts.append(jax.tree.map(np.asarray, explain(*arguments)))
        seconds += time.perf_counter() - start
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts), seconds
