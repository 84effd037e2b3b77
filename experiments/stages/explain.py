"""Stage `saliency`: three maps of each study image, through its own pair's member (paper §5.3)."""

import functools

import jax
import numpy as np

from experiments.progress import Progress
from experiments.stages.study import Study
from fer_jax import ensemble, images, models, saliency
from fer_jax.expressions import NUM_PAIRS, PAIRS, index_of, pair_name

METHODS = ("cam", "grad_cam", "extremal_perturbation")
# The published settings of Extremal Perturbation, at 224 px; smaller pictures get them in proportion (ours).
REFERENCE_PX = 224
STEP_AT_REFERENCE = 7
SIGMA_AT_REFERENCE = 21.0
MAX_BLUR_AT_REFERENCE = 20.0


def explain(study: Study) -> None:
    """Three maps for each study image, for its true label; one file a pair, then one for all."""
    config, pairs, shown = study.config, study.study_pairs, study.study_pictures
    truth = np.asarray([index_of(label) for label in study.study_table["true_label"]])
    members = study.load_ensemble()
    explain_pair = jax.jit(jax.vmap(functools.partial(_explain_one, _networks(study), config), (None, 0, 0)))
    progress = Progress("explaining", len(shown), unit="images")
    for pair in range(NUM_PAIRS):
        rows = np.flatnonzero(pairs == pair)
        name = f"saliency/{pair:02d}_{pair_name(pair)}"
        if not study.folder.has(f"{name}.npz"):
            target = (truth[rows] == PAIRS[pair][1]).astype(np.int32)
            maps = explain_pair(ensemble.member(members, pair), shown.images[rows], target)
            study.folder.write_arrays(name, rows=rows, **jax.tree.map(np.asarray, maps))
        progress.update(int((pairs <= pair).sum()))
        study.stop.check()
    progress.finish(f"{len(shown)} images, {len(METHODS)} methods")
    study.folder.write_arrays("maps", **_gathered(study))


def _networks(study):
    """One network, twice: convolutions lowered for a plain pass and for the inside of a compiled loop."""
    in_loop = "frozen" if jax.default_backend() == "cpu" else "native"
    return study.network(2), study.network(2, lowering=in_loop)


def _options(config):
    share = config.image_size / REFERENCE_PX
    return {
        "area": config.area,
        "iterations": config.ep_iterations,
        "step": max(2, round(STEP_AT_REFERENCE * share)),
        "sigma": SIGMA_AT_REFERENCE * share,
        "max_blur": MAX_BLUR_AT_REFERENCE * share,
    }


def _explain_one(networks, config, variables, picture, target):
    """Maps of one byte image (H, W, 3) through one member, all resized to (H, W)."""
    network, network_in_loop = networks
    image = images.normalise(images.to_float(picture))
    output = network.apply(variables, image[None])
    weights, bias = models.head_weights(variables)
    features = output.features[0]

    def head(cells):
        return cells.mean((0, 1)) @ weights + bias

    def score(view):
        logits = network_in_loop.apply(variables, view[None]).logits[0]
        kind = "difference" if config.ep_target == "difference" else "logit"
        return config.ep_reward_scale * saliency.class_score(logits, target, score=kind)

    mask, _ = saliency.extremal_perturbation(score, image, **_options(config))
    coarse = {
        "cam": saliency.cam(features, weights, target),
        "grad_cam": saliency.grad_cam(head, features, target),
    }
    maps = {name: images.resize(one[..., None], picture.shape[:2])[..., 0] for name, one in coarse.items()}
    return maps | {"extremal_perturbation": mask, "logits": output.logits[0], "final_area": mask.mean()}


def _gathered(study):
    """The pairs' files as arrays in the study table's order."""
    parts = [study.folder.read_arrays(f"saliency/{pair:02d}_{pair_name(pair)}") for pair in range(NUM_PAIRS)]
    order = np.argsort(np.concatenate([part["rows"] for part in parts]))
    names = (*METHODS, "logits", "final_area")
    return {name: np.concatenate([part[name] for part in parts])[order] for name in names}
