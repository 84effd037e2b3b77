"""The suite `saliency`: explanations of a ResNet against plain implementations of the same mathematics."""

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import plain_jax, plain_torch, stopping
from benchmarks.pairing import Row, chosen, row, speed_row
from fer_jax import compiler, models, saliency

EXTREMAL_BATCH, GRAD_CAM_BATCH = 4, 8
MODELS = {
    "resnet50": models.ResNet50,
    "mini": functools.partial(models.ResNet, stage_sizes=(1, 1, 1, 1), width=8),
}
TARGET = 1


class Subject(NamedTuple):
    """The subject of the suite: a network with random weights, whole and folded, and pictures (8, size, size, 3)."""

    config: Any
    model: models.ResNet
    variables: Any
    folded: models.ResNet
    folded_variables: Any
    images: jax.Array


def rows(config) -> Iterator[Row]:
    """Yield the suite's rows, each as soon as it is measured."""
    model = MODELS[config.model](num_classes=2)
    shape = (GRAD_CAM_BATCH, config.size, config.size, 3)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, *shape[1:])))
    images = jax.random.normal(jax.random.key(1), shape)
    subject = Subject(config, model, variables, *models.fold_batch_norm(model, variables), images)
    suite: dict[str, Callable[[Subject], list[Row]]] = {
        "area term": _area_term,
        "Extremal Perturbation": _extremal,
        "Extremal Perturbation, compile": _compile,
        "Extremal Perturbation, memory": _memory,
        "Grad-CAM": _grad_cam,
        "logits + CAM + Grad-CAM": _all_from_one_pass,
    }
    if config.run:
        suite["stopping"] = stopping.rows
    for measure in chosen(suite, config.only):
        yield from measure(subject)


def _area_term(subject) -> list[Row]:
    """Time value and gradient of the area term of masks with their margin, without and with a sort."""
    side = plain_jax.geometry(subject.config.size).full
    out = []
    for batch in (1, EXTREMAL_BATCH):
        masks = jax.random.uniform(jax.random.key(2), (batch, side, side))
        ours, theirs = (
            jax.jit(jax.vmap(jax.value_and_grad(term)))
            for term in (
                functools.partial(saliency.area_term, area=plain_jax.AREA),
                functools.partial(plain_jax.sorted_area_term, area=plain_jax.AREA),
            )
        )
        # Half a millisecond a call: many calls a run.
        name = f"area term and gradient, {batch} of {side} x {side} px, against sorting"
        out.append(
            speed_row(
                name,
                lambda ours=ours, masks=masks: [ours(masks) for _ in range(20)],
                lambda theirs=theirs, masks=masks: [theirs(masks) for _ in range(2)],
                repeats=subject.config.repeats,
                goal=">= 20",
                parts=(20 * batch, 2 * batch),
            )
        )
    loss, wanted = ours(masks)[0], theirs(masks)[0]
    apart = np.abs(np.asarray(loss) / np.asarray(wanted) - 1).max()
    out.append(row("area term, relative difference from sorting", loss[0], wanted[0], "", ratio=apart, goal="<= 1e-6"))
    return out


def optimiser(subject, iterations: int) -> Callable[..., jax.Array]:
    """Return Extremal Perturbation with published settings over a batch: (variables, images) -> masks."""
    net = subject.folded.clone(lowering=models.default_lowering("frozen"))
    options = saliency.ExtremalOptions(iterations=iterations, area_of="padded_mask", start="ones", pace=1.0)

    def explain(variables, image):
        def score(view):
            return net.apply(variables, view[None]).logits[0, TARGET]

        return saliency.extremal_perturbation(score, image, options)[0]

    return jax.jit(jax.vmap(explain, (None, 0)), compiler_options=compiler.options())


def _extremal(subject) -> list[Row]:
    """Time one iteration for one picture: four in one compiled loop, against one at a time, eagerly."""
    config, images = subject.config, subject.images[:EXTREMAL_BATCH]
    explain = optimiser(subject, config.iterations)
    layout = plain_jax.geometry(config.size)
    fewer = max(1, config.iterations // 2)
    timed = functools.partial(speed_row, repeats=config.repeats, parts=(config.iterations * EXTREMAL_BATCH, fewer))
    name = f"Extremal Perturbation, {config.size} px, picture and iteration, against eager "
    levels = jax.jit(saliency.pyramid)(images[0])

    def ours():
        return explain(subject.folded_variables, images)

    score = jax.jit(lambda view: subject.model.apply(subject.variables, view).logits[0, TARGET])
    out = [timed(name + "JAX", ours, lambda: plain_jax.extremal(score, levels, layout, iterations=fewer))]
    if plain_torch.INSTALLED:
        state = models.to_state_dict(subject.model, subject.variables)
        for memory, goal in (("contiguous", ">= 1.8"), ("channels_last", "")):
            tensors = plain_torch.tensors(state, layout=memory)
            given = plain_torch.picture(np.asarray(levels), layout=memory)
            call = functools.partial(plain_torch.extremal, tensors, given, layout, TARGET, iterations=fewer)
            shown = "torch NCHW" if memory == "contiguous" else "torch channels_last"
            out.append(timed(name + shown, ours, call, goal=goal))
    return out


def _compile(subject) -> list[Row]:
    """Time tracing and compiling the whole optimisation of 800 iterations, anew each time."""
    seconds = []
    for _ in range(subject.config.repeats):
        explain = optimiser(subject, 800)
        start = time.perf_counter()
        explain.lower(subject.folded_variables, subject.images[:EXTREMAL_BATCH]).compile()
        seconds.append(time.perf_counter() - start)
    return [row("Extremal Perturbation, trace and compile", statistics.median(seconds), None, "s", goal="<= 5")]


def _memory(subject) -> list[Row]:
    """Measure the working memory of the compiled program over few and many pictures, four at a time."""
    explain = optimiser(subject, 2)

    def working_bytes(count):
        images = jax.ShapeDtypeStruct((count, *subject.images.shape[1:]), jnp.float32)

        def over(variables, images):
            return saliency.over_images(lambda x: explain(variables, x[None])[0], images, chunk=EXTREMAL_BATCH)

        analysis = jax.jit(over).lower(subject.folded_variables, images).compile().memory_analysis()
        return analysis.temp_size_in_bytes / 2**20

    few, many = working_bytes(2 * EXTREMAL_BATCH), working_bytes(64 * EXTREMAL_BATCH)
    name = f"Extremal Perturbation, working memory for {64 * EXTREMAL_BATCH} pictures and for {2 * EXTREMAL_BATCH}"
    return [row(name, many, few, "MiB", ratio=many / few, goal="<= 1.05")]


def _maps(subject):
    """Return (variables, images, targets) -> logits, CAM of the target and Grad-CAM, at the pictures' size."""
    size = (subject.config.size,) * 2

    def explain(variables, images, targets):
        output = subject.folded.apply(variables, images)
        weights, bias = models.head_weights(variables)

        def one(features, target):
            def head(cells):
                return cells.mean((0, 1)) @ weights + bias

            return saliency.cam(features, weights, target), saliency.grad_cam(head, features, target)

        cam, grad_cam = jax.vmap(one)(output.features, targets)
        return output.logits, saliency.resize(cam, size), saliency.resize(grad_cam, size)

    return explain


def _grad_cam(subject) -> list[Row]:
    """Time Grad-CAM at full size, from one forward pass, against differentiating the whole network."""
    config, images = subject.config, subject.images
    targets = jnp.arange(len(images)) % 2
    maps = _maps(subject)
    only = jax.jit(lambda *arguments: maps(*arguments)[2])
    whole = jax.jit(functools.partial(plain_jax.full_graph_grad_cam, subject.model))
    timed = functools.partial(speed_row, repeats=config.repeats, parts=(len(images),) * 2)
    name = f"Grad-CAM, batch {len(images)}, a picture, against the full graph in "

    def ours():
        return only(subject.folded_variables, images, targets)

    out = [timed(name + "JAX", ours, lambda: whole(subject.variables, images, targets))]
    wanted = saliency.resize(whole(subject.variables, images, targets)[0], (config.size,) * 2)
    if plain_torch.INSTALLED:
        state = models.to_state_dict(subject.model, subject.variables)
        classes = plain_torch.torch.tensor(np.asarray(targets)).long()
        for memory, goal in (("contiguous", ">= 3"), ("channels_last", "")):
            tensors = plain_torch.tensors(state, layout=memory, trainable=True)
            given = plain_torch.picture(np.asarray(images), layout=memory)
            call = functools.partial(plain_torch.full_graph_grad_cam, tensors, given, classes, config.size)
            out.append(
                timed(name + ("torch NCHW" if memory == "contiguous" else "torch channels_last"), ours, call, goal=goal)
            )
    apart = jnp.abs(ours() - wanted).max() / wanted.max()
    out.append(row("Grad-CAM, difference from the full graph's over its maximum", apart, None, "", goal="<= 1e-5"))
    return out


def _all_from_one_pass(subject) -> list[Row]:
    """Time three results beside the forward pass they come from."""
    targets = jnp.zeros(len(subject.images), jnp.int32)
    maps = jax.jit(_maps(subject))
    forward = jax.jit(lambda variables, images: subject.folded.apply(variables, images).logits)
    return [
        speed_row(
            f"logits + CAM + Grad-CAM, batch {len(subject.images)}, a picture, over the forward pass alone",
            lambda: maps(subject.folded_variables, subject.images, targets),
            lambda: forward(subject.folded_variables, subject.images),
            repeats=subject.config.repeats,
            parts=(len(subject.images),) * 2,
            goal="<= 1.1",
            cost=True,
        )
    ]
