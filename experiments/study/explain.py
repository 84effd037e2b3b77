"""Stage `saliency`: three maps of each study image, through its own pair's member (paper §5.3)."""

import functools

import numpy as np

from experiments.config import StudyConfig
from experiments.harness.progress import Progress
from experiments.study.run import Run
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


def explain(run: Run) -> None:
    """Write three maps for each study image, for its true label, one file a pair, then one for all."""
    config, pairs, shown = run.config, run.study_pairs, run.study_pictures
    truth = np.asarray([run.categories.index_of(label) for label in run.study_table["true_label"]])
    members = run.load_ensemble()
    explain_pair = explanation.program(functools.partial(run.network, 2), settings_of(config))
    progress = Progress("explaining", len(shown), unit="images")
    for pair in range(run.categories.num_pairs):
        rows = np.flatnonzero(pairs == pair)
        name = f"saliency/{pair:02d}_{run.categories.pair_name(pair)}"
        if len(rows) and not run.folder.has(f"{name}.npz"):
            target = (truth[rows] == run.categories.pairs[pair][1]).astype(np.int32)
            maps = explain_pair(ensemble.member(members, pair), shown.images[rows], target)
            maps["final_area"] = maps["final_area"][:, 0]
            run.folder.write_arrays(name, rows=rows, **{key: np.asarray(maps[key]) for key in _KEPT})
        progress.update(int((pairs <= pair).sum()))
        run.stop.check()
    progress.finish(f"{len(shown)} images, {len(METHODS)} methods")
    run.folder.write_arrays("maps", **_gathered(run))


def _gathered(run):
    """Read the pairs' files as arrays in the study table's order."""
    parts = [
        run.folder.read_arrays(f"saliency/{pair:02d}_{run.categories.pair_name(pair)}")
        for pair in np.unique(run.study_pairs).tolist()
    ]
    order = np.argsort(np.concatenate([part["rows"] for part in parts]))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in _KEPT}
