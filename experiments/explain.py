"""Explain a network's decision on pictures of your own: CAM, Grad-CAM and Extremal Perturbation (paper §5.3, Fig. 9).

    python -m experiments.explain --run=runs/first --pair=happy-sad --images=PATH --out=explained
    python -m experiments.explain --weights=net.safetensors --arch=resnet50 --target=3 --images=PATH --out=explained

PATH is a picture, a folder or a zip. The network is a pair's member of a run, the run's multiclass network (without
--pair), or a ResNet of your own. For each picture: NAME.png to look at, NAME.npz with the raw maps (not normalised),
the masks, the logits and what the network saw. For all: summary.csv, settings.json, and rejected.csv with what was no
picture. The same command goes on where it was stopped. Two CPU cores: about a second a picture for the networks of
the first run (64 px, 150 iterations). ResNet-50 at 224 px and 800 iterations wants a GPU, or --methods=cam,grad_cam.
"""

import contextlib
import dataclasses
import importlib.util
import math
import sys

from experiments.harness import command
from experiments.harness.command import option
from fer_jax.errors import UsageError, check_range

_METHODS = "cam,grad_cam,extremal_perturbation"
_FURTHER = "hires_cam,grad_cam_plus_plus,layer_cam,input_x_gradient,integrated_gradients,smooth_grad,rise"
_SCORES = ("logit", "difference", "probability")
# Options of Extremal Perturbation that settings.json records.
_RECORDED = ("areas", "iterations", "variant", "perturbation", "stop", "step", "sigma", "max_blur")


@dataclasses.dataclass(frozen=True)
class ExplainConfig:
    """What to explain, and how. An empty string or 0 means: not given."""

    images: str = option("", "A picture, or a folder or zip of pictures.", fills=("path",))
    out: str = option("", "Folder for the results, such as explained.")
    run: str = option("", "Run folder of experiments.reproduce whose network is explained.")
    pair: str = option("", "With --run: the member of this pair, such as happy-sad; without: the multiclass network.")
    finetuned: bool = option(False, "With --pair: the member after fine-tuning on what people uncovered.")
    weights: str = option("", "Instead of --run: a safetensors file of a classifier of your own.", fills=("path",))
    arch: str | None = option(
        None,
        "With --weights: its architecture.",
        choices=("resnet50", "small", "tiny"),
        unset="what a file of experiments.export says, or resnet50",
    )
    class_names: str = option(
        "",
        "With --weights: names of its classes, comma-separated, in the order of its logits; none given: what a file of "
        "experiments.export says, or numbers.",
    )
    image_size: int = option(
        0,
        "With --weights: side of its input, pixels; 0: what a file of experiments.export says, or 224.",
        low=0,
        high=1024,
    )
    target: str = option("", "Class to explain, by name or number; none given: the one predicted for each picture.")
    methods: str = option(
        _METHODS,
        "Comma-separated methods; further ones: hires_cam, grad_cam_plus_plus, layer_cam, input_x_gradient, "
        "integrated_gradients, smooth_grad, rise (4,000 passes a picture).",
    )
    score: str = option("logit", "Grad-CAM, its kin and gradients: score to explain.", choices=_SCORES)
    signed: bool = option(False, "Grad-CAM and its kin: keep negative evidence.")
    area: str = option(
        "",
        "Extremal Perturbation: share of the picture to keep, or several, comma-separated, whose masks are summed; "
        "none given: the run's, or 0.1.",
    )
    iterations: int = option(
        0,
        "Extremal Perturbation: steps in which the published schedule of 800 is taken (with --stop=converged: at most "
        "so many of its own); 0: the run's, or 800.",
        low=0,
        high=100_000,
    )
    variant: str = option("preserve", "Extremal Perturbation: variant.", choices=("preserve", "delete", "dual"))
    perturbation: str = option("blur", "Extremal Perturbation: what is done to the rest.", choices=("blur", "fade"))
    stop: str = option("never", "Extremal Perturbation: when to stop early.", choices=("never", "converged"))
    ep_score: str = option(
        "auto", "Extremal Perturbation: score to keep; auto: the run's, or the logit.", choices=("auto", *_SCORES)
    )
    ep_reward_scale: float = option(
        0.0, "Extremal Perturbation: factor on that score; 0: the run's, or 1.", low=0, high=1e6
    )
    crop: str = option(
        "square",
        "What the network sees of a picture: the whole, squeezed; the central square; or a square around its largest "
        "face.",
        choices=("none", "square", "face"),
    )
    detector: str | None = option(
        None,
        "With --crop=face: face_api=FILE.tgz, lbp (scikit-image's), haar (OpenCV 4's) or yunet=FILE.onnx; see "
        "BUILD.md.",
        unset="none",
    )
    chunk: int = option(8, "Pictures explained at once: more needs more memory.", low=1, high=4096)


def explain(config: ExplainConfig) -> None:
    """Explain every picture that is not explained yet, and print the folder."""
    methods, areas = _check(config)
    stop = command.StopRequest().install()
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("`matplotlib` is not installed; the drawings want it: pip install 'fer-jax[figures]'.")
    from experiments import explained_folder, networks, picture_files
    from fer_jax import explanation
    from fer_jax.data import face_detector

    detector = face_detector(config.detector) if config.crop == "face" else None
    if config.run:
        network = networks.from_run(config.run, config.pair, finetuned=config.finetuned)
    else:
        network = networks.from_weights(config.weights, config.arch, config.class_names, config.image_size)
    if network.crop in ("box", "eyes") and config.crop != "face":
        sys.stderr.write(
            f"The run's networks were trained on faces cut out of their photographs (--crop={network.crop}); these are "
            f"shown as --crop={config.crop}. If they show more than a face: --crop=face --detector=...\n"
        )
    target = explanation.PREDICTED
    if config.target:
        target = networks.parse_target(config.target, network.class_names)
    settings = _settings(network.settings, config, methods, areas)
    made = {
        "network": network.identity,
        "image_size": network.image_size,
        "class_names": network.class_names,
        "target": network.class_names[target] if config.target else "predicted",
        "crop": config.crop,
        **{name: getattr(settings, name) for name in ("methods", "score", "signed", "ep_score", "ep_reward_scale")},
        **{name: getattr(settings.extremal, name) for name in _RECORDED},
    }
    with (
        picture_files.open_pictures(config.images, leave_out=config.out) as files,
        contextlib.closing(explained_folder.ExplainedFolder(config.out, config.images, made)) as folder,
    ):
        program = explanation.program(network.build, settings)
        explained_folder.fill(
            folder,
            files,
            explain=lambda pictures: program(network.variables, pictures, target),
            to_input=lambda data: picture_files.to_input(data, network.image_size, crop=config.crop, detector=detector),
            chunk=config.chunk,
            stop=stop,
        )
    print(config.out)


def _check(config) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return methods and areas, or raise where a flag is wrong whatever the network."""
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
    if config.detector and config.crop != "face":
        raise UsageError("`--detector`: goes with --crop=face only; leave it out.")
    if config.crop == "face" and not config.detector:
        raise UsageError("`--detector`: --crop=face wants one, such as face_api=FILE.tgz or lbp; see BUILD.md.")
    command.check_bounds(config)
    if config.image_size:
        check_range("image_size", config.image_size, 32, 1024)
    methods = command.parse_names("methods", config.methods, f"{_METHODS},{_FURTHER}".split(","), wanted="some of")
    return methods, _areas(config.area)


def _areas(text):
    try:
        areas = tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        areas = (math.nan,)
    if not all(0 < area < 1 for area in areas) or len(set(areas)) < len(areas):
        raise UsageError(f"`--area`: wanted different shares strictly between 0 and 1, such as 0.05,0.1, got {text!r}.")
    return areas


def _settings(defaults, config, methods, areas):
    """Return the settings as given, else as the network's run has them, else as published."""
    from fer_jax.saliency import PUBLISHED_ITERATIONS

    known = defaults.extremal
    # A run's few steps are long ones.
    iterations = PUBLISHED_ITERATIONS if config.stop == "converged" else known.iterations
    extremal = dataclasses.replace(
        known,
        area=areas or known.area,
        iterations=config.iterations or iterations,
        variant=config.variant,
        perturbation=config.perturbation,
        stop=config.stop,
    )
    return dataclasses.replace(
        defaults,
        methods=methods,
        score=config.score,
        signed=config.signed,
        extremal=extremal,
        ep_score=defaults.ep_score if config.ep_score == "auto" else config.ep_score,
        ep_reward_scale=config.ep_reward_scale or defaults.ep_reward_scale,
    )


if __name__ == "__main__":
    sys.exit(command.run(explain, ExplainConfig, usage=__doc__))
