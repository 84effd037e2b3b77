"""Explain a network's decision on pictures of your own: CAM, Grad-CAM and Extremal Perturbation (paper §5.3, Fig. 9).

    python -m experiments.explain --run=runs/first --pair=happy-sad --images=PATH --out=explained
    python -m experiments.explain --weights=net.safetensors --explain_class=3 --images=PATH --out=explained

PATH is a picture, a folder or a zip. The network is a pair's member of a run, the run's multiclass network (without
--pair), or a ResNet of your own. For each picture: NAME.png to look at, NAME.npz with the raw maps (not normalised),
the masks, the logits and what the network saw. For all: summary.csv, settings.json, and rejected.csv with what was no
picture. The same command goes on where it was stopped. Two CPU cores: about a second a picture for the networks of
the first run (64 px, 150 iterations). ResNet-50 at 224 px and 800 iterations wants a GPU, or --methods=cam,grad_cam.
"""

import contextlib
import dataclasses
import importlib.util
import sys

from experiments.config import Explain, OfRun, Pictures, Training
from experiments.explain_options import FURTHER, METHODS, SCORES, checked, record, settings
from experiments.harness import command
from experiments.harness.command import again, option
from fer_jax.errors import UsageError


@dataclasses.dataclass(frozen=True)
class ExplainConfig(OfRun):
    """What to explain, and how. An empty string means: not given."""

    images: str = option("", "A picture, or a folder or zip of pictures.", fills=("path",))
    out: str = option("", "Folder for the results, such as explained.")
    weights: str = option("", "Instead of --run: a safetensors file of a classifier of your own.", fills=("path",))
    arch: str | None = option(
        None,
        "With --weights: its architecture.",
        choices=("resnet50", "medium", "small", "tiny"),
        unset="what a file of experiments.export says, or resnet50",
    )
    class_names: str = option(
        "",
        "With --weights: names of its classes, comma-separated, in the order of its logits; none given: what a file of "
        "experiments.export says, or numbers.",
    )
    image_size: int | None = again(
        Pictures, "image_size", unset="the network's; with --weights what a file of experiments.export says, or 224"
    )
    explain_class: str = option(
        "",
        "Class to explain, by name or number; none given: the one predicted for each picture.",
        aliases=("target",),
    )
    methods: str = option(METHODS, f"Comma-separated methods; further ones: {FURTHER} (rise: 4,000 passes a picture).")
    score: str = option("logit", "Grad-CAM, its kin and gradients: score to explain.", choices=SCORES)
    signed: bool = option(False, "Grad-CAM and its kin: keep negative evidence.")
    areas: str = option(
        "",
        "Extremal Perturbation: share of the picture to keep, or several, comma-separated, whose masks are summed; "
        "none given: the run's, or 0.1.",
        aliases=("area",),
    )
    ep_iterations: int | None = again(Explain, "ep_iterations", unset="the run's, or 800", aliases=("iterations",))
    ep_score: str | None = again(Explain, "ep_score", unset="the run's, or logit", old_values={"auto": None})
    ep_reward_scale: float | None = again(Explain, "ep_reward_scale", unset="the run's, or 1")
    variant: str = option("preserve", "Extremal Perturbation: variant.", choices=("preserve", "delete", "dual"))
    perturbation: str = option("blur", "Extremal Perturbation: what is done to the rest.", choices=("blur", "fade"))
    ep_stop: str | None = again(Explain, "ep_stop", default=None, unset="the run's, or never", aliases=("stop",))
    crop: str = again(Pictures, "crop", default="square", choices=("none", "square", "box"), old_values={"face": "box"})
    detector: str | None = again(Pictures, "detector", default=None, unset="none")
    compute_dtype: str | None = again(Training, "compute_dtype", default=None, unset="the run's, or float32")
    chunk: int = option(8, "Pictures explained at once: more needs more memory.", low=1, high=4096)


def main(config: ExplainConfig) -> None:
    """Explain every picture that is not explained yet, and print the folder."""
    methods, areas = checked(config)
    stop = command.StopRequest().install()
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("`matplotlib` is not installed; the drawings want it: pip install 'fer-jax[figures]'.")
    from experiments import explained_folder, networks, picture_files
    from fer_jax import explanation
    from fer_jax.data import face_detector

    detector = face_detector(config.detector) if config.crop == "box" else None
    if config.run:
        network = networks.from_run(config.run, config.pair, finetuned=config.finetuned)
    else:
        network = networks.from_weights(config.weights, config.arch, config.class_names, config.image_size or 0)
    network = network.computing_in(config.compute_dtype)
    if network.crop in ("box", "eyes") and config.crop != "box":
        sys.stderr.write(
            f"The run's networks were trained on faces cut out of their photographs (--crop={network.crop}); these are "
            f"shown as --crop={config.crop}. If they show more than a face: --crop=box --detector=...\n"
        )
    target = networks.parse_target(config.explain_class, network.class_names)
    chosen = settings(network.settings, config, methods, areas)
    crop = "face" if config.crop == "box" else config.crop  # as folders of explanations record the crop
    made = {
        "network": network.identity,
        "image_size": network.image_size,
        "class_names": network.class_names,
        "target": "predicted" if target == explanation.PREDICTED else network.class_names[target],
        "crop": crop,
        **record(chosen),
    }
    with (
        picture_files.open_pictures(config.images, leave_out=config.out) as files,
        contextlib.closing(explained_folder.ExplainedFolder(config.out, config.images, made)) as folder,
    ):
        explain = explanation.queue(network.build, chosen, slots=max(1, min(config.chunk, len(files))))
        explained_folder.fill(
            folder,
            files,
            explain=lambda pictures: explain(network.variables, ((each, target, None) for each in pictures)),
            to_input=lambda data: picture_files.to_input(data, network.image_size, crop=crop, detector=detector),
            stop=stop,
        )
    print(config.out)


if __name__ == "__main__":
    sys.exit(command.run(main, ExplainConfig, usage=__doc__))
