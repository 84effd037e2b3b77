"""The flags of `experiments.explain` as the library wants them: methods, areas and settings, checked."""

import dataclasses
import math
from typing import Any

from experiments.harness import command
from fer_jax.errors import UsageError

METHODS = "cam,grad_cam,extremal_perturbation"
FURTHER = "hires_cam,grad_cam_plus_plus,layer_cam,input_x_gradient,integrated_gradients,smooth_grad,rise"
SCORES = ("logit", "difference", "probability")
# Of Extremal Perturbation's options, those that a folder of explanations records.
_RECORDED = ("areas", "iterations", "variant", "perturbation", "stop", "step", "sigma", "max_blur")


def checked(config: Any) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return methods and areas.

    Raises:
      UsageError: a flag that is wrong whatever the network.
    """
    for name, example in (("images", "faces/"), ("out", "explained")):
        if not getattr(config, name):
            raise UsageError(f"`--{name}`: wanted a path, such as --{name}={example}, got none.")
    if bool(config.run) == bool(config.weights):
        got = "both" if config.run else "neither"
        raise UsageError(f"`--run`: wanted either --run=RUN or --weights=FILE.safetensors, got {got}.")
    belongs = {"pair": "run", "finetuned": "run", "arch": "weights", "class_names": "weights", "image_size": "weights"}
    for name, owner in belongs.items():
        if getattr(config, name) and not getattr(config, owner):
            raise UsageError(f"`--{name}`: goes with --{owner} only; leave it out.")
    if config.detector and config.crop != "box":
        raise UsageError("`--detector`: goes with --crop=box only; leave it out.")
    if config.crop == "box" and config.detector in (None, "given"):
        raise UsageError("`--detector`: --crop=box wants one, such as face_api=FILE.tgz or lbp; see BUILD.md.")
    command.check_bounds(config)
    methods = command.parse_names("methods", config.methods, f"{METHODS},{FURTHER}".split(","), wanted="some of")
    return methods, parse_areas(config.areas)


def settings(defaults: Any, config: Any, methods: tuple[str, ...], areas: tuple[float, ...]) -> Any:
    """Return the settings as given, else as the network's run has them, else as published."""
    from fer_jax.saliency import PUBLISHED_ITERATIONS

    known = defaults.extremal
    # A run's few steps are long ones.
    stop = config.ep_stop or known.stop
    iterations = known.iterations if stop in ("never", known.stop) else PUBLISHED_ITERATIONS
    extremal = dataclasses.replace(
        known,
        area=areas or known.area,
        iterations=config.ep_iterations or iterations,
        variant=config.variant,
        perturbation=config.perturbation,
        stop=stop,
    )
    return dataclasses.replace(
        defaults,
        methods=methods,
        score=config.score,
        signed=config.signed,
        extremal=extremal,
        ep_score=config.ep_score or defaults.ep_score,
        ep_reward_scale=config.ep_reward_scale or defaults.ep_reward_scale,
    )


def record(chosen: Any) -> dict[str, Any]:
    """Return settings as a folder of explanations records them."""
    return {name: getattr(chosen, name) for name in ("methods", "score", "signed", "ep_score", "ep_reward_scale")} | {
        name: getattr(chosen.extremal, name) for name in _RECORDED
    }


def parse_areas(text: str, *, flag: str = "areas") -> tuple[float, ...]:
    """Return the shares of a flag, comma-separated, none of "".

    Raises:
      UsageError: one that is no share, or that is there twice.
    """
    try:
        areas = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        areas = (math.nan,)
    if not all(0 < area < 1 for area in areas) or len(set(areas)) < len(areas):
        raise UsageError(
            f"`--{flag}`: wanted different shares strictly between 0 and 1, such as 0.05,0.1, got {text!r}."
        )
    return areas
