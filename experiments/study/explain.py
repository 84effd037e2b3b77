"""Stage `saliency`: three maps of each study image, through its own pair's member (paper §5.3)."""

import functools

import numpy as np

from experiments.config import StudyConfig
from experiments.harness.progress import Progress
from experiments.study.study import Study
from fer_jax import ensemble, explanation, saliency
from fer_jax.explanation import METHODS

_KEPT = (*METHODS, "logits", "final_area")


def settings_of(config: StudyConfig) -> explanation.Settings:
    """Return the methods of the paper, with a run's options of Extremal Perturbation."""
    options = saliency.ExtremalOptions(area=config.area, iterations=config.ep_iterations)
    return explanation.Settings(
        extremal=options.at_size(config.image_size),
        ep_score=config.ep_score,
        ep_reward_scale=config.ep_reward_scale,
    )


def explain(study: Study) -> None:
    """Write three maps for each study image, for its true label, one file a pair, then one for all."""
    config, pairs, shown = study.config, study.study_pairs, study.study_pictures
    truth = np.asarray([study.categories.index_of(label) for label in study.study_table["true_label"]])
    members = study.load_ensemble()
    explain_pair = explanation.program(functools.partial(study.network, 2), settings_of(config))
    progress = Progress("explaining", len(shown), unit="images")
    for pair in range(study.categories.num_pairs):
        rows = np.flatnonzero(pairs == pair)
        name = f"saliency/{pair:02d}_{study.categories.pair_name(pair)}"
        if not study.folder.has(f"{name}.npz"):
            target = (truth[rows] == study.categories.pairs[pair][1]).astype(np.int32)
            maps = explain_pair(ensemble.member(members, pair), shown.images[rows], target)
            maps["final_area"] = maps["final_area"][:, 0]
            study.folder.write_arrays(name, rows=rows, **{key: np.asarray(maps[key]) for key in _KEPT})
        progress.update(int((pairs <= pair).sum()))
        study.stop.check()
    progress.finish(f"{len(shown)} images, {len(METHODS)} methods")
    study.folder.write_arrays("maps", **_gathered(study))


def _gathered(study):
    """Read the pairs' files as arrays in the study table's order."""
    parts = [
        study.folder.read_arrays(f"saliency/{pair:02d}_{study.categories.pair_name(pair)}")
        for pair in range(study.categories.num_pairs)
    ]
    order = np.argsort(np.concatenate([part["rows"] for part in parts]))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in _KEPT}
