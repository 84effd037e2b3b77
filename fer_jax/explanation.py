"""One picture explained through one network, by several methods in one compiled program.

Contract: pictures are bytes (H, W, 3). Maps are float32 (H, W), raw, never normalised.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fer_jax import compiler, images, models, placement, saliency

_EXTREMAL = "extremal_perturbation"
METHODS = ("cam", "grad_cam", _EXTREMAL)
METHOD_NAMES = {"cam": "CAM", "grad_cam": "Grad-CAM", "extremal_perturbation": "Extremal Perturbation"}
# The paper compares the three above. These are offered, too.
ON_FEATURES = {"hires_cam": "HiResCAM", "grad_cam_plus_plus": "Grad-CAM++", "layer_cam": "LayerCAM"}
ON_PICTURE = {
    "input_x_gradient": "Input × gradient",
    "integrated_gradients": "Integrated gradients",
    "smooth_grad": "SmoothGrad",
    "rise": "RISE",
}
OFFERED = METHOD_NAMES | ON_FEATURES | ON_PICTURE

_SEED = 0

# As a target: the class that the network predicts for that picture.
PREDICTED = -1


@dataclasses.dataclass(frozen=True)
class Settings:
    """Methods and their options. Each combination is compiled as another program.

    Attributes:
      methods: some of `OFFERED`.
      score: what Grad-CAM, its kin and the gradients differentiate, see `saliency.class_score`. RISE takes the
        probability, as published.
      signed: Grad-CAM and its kin: keep negative evidence.
      extremal: options of Extremal Perturbation. The map is the sum of the masks of all its areas.
      ep_score: the score that Extremal Perturbation keeps, see `saliency.class_score`.
      ep_reward_scale: factor on that score, which competes with the area weight.
    """

    methods: tuple[str, ...] = METHODS
    score: str = "logit"
    signed: bool = False
    extremal: saliency.ExtremalOptions = dataclasses.field(default_factory=saliency.ExtremalOptions)
    ep_score: str = "logit"
    ep_reward_scale: float = 1.0

    @property
    def ends_early(self) -> bool:
        """Whether each picture takes its own time, so that `queue` is faster than a batch."""
        return _EXTREMAL in self.methods and self.extremal.stop != "never"


class Networks(NamedTuple):
    """One network in two forms: convolutions lowered for a plain pass and for the inside of a compiled loop."""

    plain: Any
    in_loop: Any


def networks(build: Callable[..., Any]) -> Networks:
    """Build both forms of a network from `build(lowering=...)`, whose default lowering serves the plain pass."""
    return Networks(build(), build(lowering=models.default_lowering("frozen")))


def program(build: Callable[..., Any], settings: Settings) -> Callable[..., dict[str, jax.Array]]:
    """Compile `explain_picture` for batches: (variables, pictures (B, H, W, 3), targets (B,) or one) -> results.

    Args:
      build: see `networks`.
      settings: what to compute.
    """
    explain_one = functools.partial(explain_picture, networks(build), settings)

    @functools.partial(jax.jit, compiler_options=compiler.options())
    def explain(variables, pictures, targets):
        targets = jnp.broadcast_to(targets, pictures.shape[:1])
        return jax.vmap(explain_one, (None, 0, 0))(variables, pictures, targets)

    return explain


def queue(
    build: Callable[..., Any],
    settings: Settings,
    *,
    slots: int,
    over_devices: str = "none",
    devices: int | None = None,
) -> Callable[..., Iterator[tuple[int, dict]]]:
    """Compile `explain_picture` for pictures that come one by one: (variables, rows) -> (index, results) of each.

    Where Extremal Perturbation stops on convergence, a finished picture makes room for the next, see
    `saliency.extremal_queue`, and results come in any order. Otherwise pictures are explained in batches of `slots`,
    the last one filled up, with the results of `program`.

    Args:
      build: see `networks`.
      settings: what to compute.
      slots: pictures in work at once on a device.
      over_devices: "none", or "shard_map" or "pmap", which deal pictures that end early out to the devices of this
        process, see `saliency.extremal_queue`. Batches stay on one device.
      devices: how many devices to use. All of them by default.

    Returns:
      A function of variables and of rows (picture (H, W, 3), target, member). A row is read when there is room for it.
      `member` is a network's index in stacked variables, or None in every row where variables are of one network.
    """
    forms = networks(build)

    def explain(chosen, variables, picture, target, member):
        return explain_picture(forms, chosen, _member(variables, member), picture, target)

    if not settings.ends_early:
        over_rows = jax.vmap(functools.partial(explain, settings), (None, 0, 0, 0))
        return functools.partial(_in_batches, jax.jit(over_rows, compiler_options=compiler.options()), slots)

    others = tuple(name for name in settings.methods if name != _EXTREMAL)

    @functools.partial(jax.jit, compiler_options=compiler.options())
    def begin(*row):
        results = explain(dataclasses.replace(settings, methods=others), *row)
        return images.normalise(images.to_float(row[1])), results

    def score_of(own, variables):
        target, member = own
        return _kept_score(forms.in_loop, settings, _member(variables, member), target)

    def explain_rows(variables, rows):
        begun = {}

        def images_of_rows():
            for index, row in enumerate(rows):
                image, begun[index] = begin(variables, *row)
                yield image, (begun[index]["target"], row[2])

        found = saliency.extremal_queue(
            score_of,
            images_of_rows(),
            _all_areas(settings),
            slots=slots,
            shared=variables,
            over_devices=over_devices,
            devices=devices,
        )
        for index, masks, info in found:
            yield index, begun.pop(index) | _perturbed(masks, info)

    return explain_rows


def _in_batches(explain, slots, variables, rows: Iterable[tuple]):
    rows, first = iter(rows), 0
    while batch := list(itertools.islice(rows, slots)):
        full = placement.host_stack(batch + batch[-1:] * (slots - len(batch)))
        results = jax.device_get(explain(variables, *full))
        for place in range(len(batch)):
            yield first + place, {name: values[place] for name, values in results.items()}
        first += len(batch)


def _member(variables, member):
    """Return the variables of one member of a stack, or of the only network where there is no `member`."""
    return variables if member is None else jax.tree.map(lambda leaf: leaf[member], variables)


def explain_picture(networks: Networks, settings: Settings, variables, picture, target) -> dict[str, jax.Array]:
    """Explain one picture, inside the caller's `jax.jit(jax.vmap(...))` over pictures and targets.

    Args:
      networks: of one architecture with global average pooling and a linear head.
      settings: what to compute.
      variables: the network's.
      picture: uint8 (H, W, 3).
      target: index of a class, or `PREDICTED`. It may be traced.

    Returns:
      A map (H, W) for each method, and "logits" (classes,), "target" int32. With Extremal Perturbation also "masks"
      (K, H, W), "final_area" (K,) (share that each mask opens), "iterations" int32 and "finite" bool.
    """
    image = images.normalise(images.to_float(picture))
    output = networks.plain.apply(variables, image[None])
    logits, features = output.logits[0], output.features[0]
    target = jnp.where(target < 0, logits.argmax(), target).astype(jnp.int32)
    weights, bias = models.head_weights(variables)
    results = {"logits": logits, "target": target}
    if "cam" in settings.methods:
        results["cam"] = _stretched(saliency.cam(features, weights, target), picture)
    for name in ("grad_cam", *ON_FEATURES):
        if name in settings.methods:
            heat = getattr(saliency, name)(
                lambda cells: cells.mean((0, 1)) @ weights + bias,
                features,
                target,
                rectify=not settings.signed,
                score=settings.score,
            )
            results[name] = _stretched(heat, picture)
    for name in ON_PICTURE:
        if name in settings.methods:
            results[name] = _of_picture(name, networks, settings, variables, image, target)
    if _EXTREMAL in settings.methods:
        score = _kept_score(networks.in_loop, settings, variables, target)
        results |= _perturbed(*saliency.extremal_perturbation(score, image, _all_areas(settings)))
    return results


def _stretched(heat, picture):
    return images.resize(heat[..., None], picture.shape[:2])[..., 0]


def _of_picture(name, networks, settings, variables, image, target):
    score = "probability" if name == "rise" else settings.score

    def score_fn(view):
        return saliency.class_score(networks.in_loop.apply(variables, view[None]).logits[0], target, score=score)

    method = getattr(saliency, name)
    # The same noise and masks for every picture, so that a picture's map depends on nothing else.
    random = (jax.random.key(_SEED),) if name in ("smooth_grad", "rise") else ()
    return method(*random, score_fn, image).astype(jnp.float32)


def _kept_score(network, settings, variables, target):
    """Return the score of an image that Extremal Perturbation keeps."""

    def score(view):
        logits = network.apply(variables, view[None]).logits[0]
        return settings.ep_reward_scale * saliency.class_score(logits, target, score=settings.ep_score)

    return score


def _all_areas(settings):
    return dataclasses.replace(settings.extremal, area=settings.extremal.areas)


def _perturbed(masks, info):
    return {
        _EXTREMAL: masks.sum(0),
        "masks": masks,
        "final_area": info.area,
        "iterations": info.iterations,
        "finite": info.finite,
    }
