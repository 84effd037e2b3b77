"""Stage `saliency`: three maps of each study image, through its own pair's member (paper §5.3)."""

import functools
from collections.abc import Callable, Iterator

import numpy as np

from experiments.config import StudyConfig
from experiments.harness.progress import Progress
from experiments.study.run import Run
from fer_jax import ensemble, explanation, placement, saliency
from fer_jax.explanation import METHODS

# Pictures in work at once on a device, where each ends by itself. On a CPU they run one after another: 1, 8 and 32
# slots took the same CPU time (3.1, 3.0 and 3.0 s for 32 pictures of 48 px). Elsewhere 8 is a guess.
_SLOTS = 8
_KEPT = (*METHODS, "logits", "final_area")


def settings_of(config: StudyConfig) -> explanation.Settings:
    """Return the methods of the paper, with a run's options of Extremal Perturbation."""
    options = saliency.ExtremalOptions(area=config.area, iterations=config.ep_iterations, stop=config.ep_stop)
    return explanation.Settings(
        extremal=options.at_size(config.image_size),
        ep_score=config.ep_score,
        ep_reward_scale=config.ep_reward_scale,
    )


def explain(run: Run) -> None:
    """Write three maps for each study image, for its true label, one file a pair, then one for all."""
    pairs = run.study_pairs
    done = [pair for pair in np.unique(pairs) if run.folder.has(f"{_file(run, pair)}.npz")]
    rows = np.flatnonzero(~np.isin(pairs, done))
    for own, maps in explain_rows(run, settings_of(run.config), true_sides(run), rows, check=run.stop.check):
        maps["final_area"] = maps["final_area"][:, 0]
        run.folder.write_arrays(_file(run, pairs[own[0]]), rows=own, **{key: maps[key] for key in _KEPT})
    run.folder.write_arrays("maps", **_gathered(run))


def true_sides(run: Run) -> np.ndarray:
    """Return the side of its pair, 0 or 1, that the true label of each study image is on, int32 (T,)."""
    truth = np.asarray([run.categories.index_of(label) for label in run.study_table["true_label"]])
    return (truth == np.asarray(run.categories.pairs)[run.study_pairs, 1]).astype(np.int32)


def explain_rows(
    run: Run, settings: explanation.Settings, targets: np.ndarray, rows: np.ndarray, *, check: Callable[[], None]
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Explain study images, each through its own pair's member.

    Args:
      run: with members.
      settings: what to compute.
      targets: (T,) the class of its member, 0 or 1, that is explained in each study image.
      rows: of the study images that are explained.
      check: called between pairs, may raise to stop.

    Yields:
      For each pair its rows, and what `explanation.explain_picture` returns of each.
    """
    progress = Progress("explaining", len(rows), unit="images")
    done, explained = 0, _one_by_one if settings.ends_early else _pair_by_pair
    for own, maps in explained(run, settings, targets, rows, check):
        yield own, maps
        done += len(own)
        progress.update(done)
        check()
    progress.finish(f"{len(rows)} images, {len(settings.methods)} methods")


def _pair_by_pair(run, settings, targets, rows, _):
    pairs, shown, members = run.study_pairs, run.study_pictures, run.load_ensemble()
    explain_pair = explanation.program(functools.partial(run.network, 2), settings)
    most = np.bincount(pairs[rows]).max(initial=0)
    for pair in np.unique(pairs[rows]):
        own = rows[pairs[rows] == pair]
        # As many pictures for each pair, so that one program serves all.
        full = np.resize(own, most)
        maps = explain_pair(ensemble.member(members, int(pair)), shown.images[full], targets[full])
        yield own, {key: np.asarray(each)[: len(own)] for key, each in maps.items()}


def _one_by_one(run, settings, targets, rows, check):
    """Explain the pictures of all pairs in one queue, in the order of pairs."""
    pairs, shown, members = run.study_pairs, run.study_pictures, run.load_ensemble()
    order = rows[np.argsort(pairs[rows], kind="stable")]
    explain = explanation.queue(
        functools.partial(run.network, 2),
        settings,
        slots=min(_SLOTS, max(1, len(rows))),
        over_devices=run.config.over_devices,
        devices=run.config.devices or None,
    )
    found = {}
    for index, results in explain(members, ((shown.images[row], targets[row], pairs[row]) for row in order)):
        found[order[index]] = results
        own = rows[pairs[rows] == pairs[order[index]]]
        if all(row in found for row in own):
            yield own, placement.host_stack([found.pop(row) for row in own])
        check()


def _file(run, pair) -> str:
    return f"saliency/{pair:02d}_{run.categories.pair_name(pair)}"


def _gathered(run):
    """Read the pairs' files as arrays in the study table's order."""
    parts = [run.folder.read_arrays(_file(run, pair)) for pair in np.unique(run.study_pairs).tolist()]
    order = np.argsort(np.concatenate([part["rows"] for part in parts]))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in _KEPT}
