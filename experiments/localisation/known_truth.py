"""Drawn faces whose evidence is known, and every map that is scored against it.

Contract: pictures are bytes (N, H, W, 3), truths and maps float32 (N, H, W). They go through the ordered pairs in turn.
"""

import dataclasses
import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from experiments.harness.progress import Progress
from experiments.study.run import Run
from fer_jax import ensemble, explanation, faces, images
from fer_jax.compare import reference_maps
from fer_jax.expressions import EXPRESSIONS

REFERENCES = ("pair_mean", "face_mean", "edges", "centre", "random_field")
# The truth at the resolution of the network's features, and as it is: the most that maps can reach.
CELLS, CEILING = "truth_cells", "truth"
# Oracles averaged for what any face of a pair looks like: people and poses of the training split.
OTHERS_PER_PAIR = 16


@dataclasses.dataclass(frozen=True)
class KnownFaces:
    """Pictures and where their evidence lies.

    Attributes:
      pictures: bytes (N, H, W, 3).
      twins: bytes (N, H, W, 3), the same person, pose, light and photometry showing the foil.
      truths: float32 (N, H, W), the oracle of each picture against its foil.
      shown: int (N,), the expression shown.
      foils: int (N,), the other one of the pair.
      pairs: int (N,), unordered.
      targets: int32 (N,), which logit of the pair's member is the shown expression's.
    """

    pictures: np.ndarray
    twins: np.ndarray
    truths: np.ndarray
    shown: np.ndarray
    foils: np.ndarray
    pairs: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.pairs)


def draw(run: Run, count: int) -> KnownFaces:
    """Draw faces of people that no network has seen, balanced over the ordered pairs, and their truths.

    Args:
      run: a run on drawn faces: its seed, difficulty and size.
      count: a multiple of 56.
    """
    shown, foils = np.asarray(EXPRESSIONS.ordered_pairs).T[:, np.arange(count) % len(EXPRESSIONS.ordered_pairs)]
    progress, made = Progress("drawing faces and truths", count, unit="faces"), []
    for index in range(count):
        face = _parameters(run, "stimuli", index, shown[index])
        twin = faces.twin(face, int(foils[index]))
        made.append((faces.render(face).image, faces.render(twin).image, _truth(face, foils[index])))
        progress.update(index + 1)
    progress.finish(f"{count} faces")
    pairs = np.asarray([EXPRESSIONS.pair_index(a, b) for a, b in zip(shown, foils, strict=True)])
    targets = (shown == np.asarray(EXPRESSIONS.pairs)[pairs, 1]).astype(np.int32)
    pictures, twins, truths = (np.stack(column) for column in zip(*made, strict=True))
    return KnownFaces(pictures, twins, truths, shown, foils, pairs, targets)


def pair_means(run: Run) -> np.ndarray:
    """Return the mean truth of each unordered pair over other people and poses, float32 (28, H, W)."""
    progress, means = Progress("truths of other people", EXPRESSIONS.num_pairs, unit="pairs"), []
    for pair, (first, second) in enumerate(EXPRESSIONS.pairs):
        total = 0.0
        for place in range(OTHERS_PER_PAIR):
            shown, foil = (first, second) if place % 2 else (second, first)
            total = total + _truth(_parameters(run, "train", pair * OTHERS_PER_PAIR + place, shown), foil)
        means.append(total / OTHERS_PER_PAIR)
        progress.update(pair + 1)
    progress.finish(f"{EXPRESSIONS.num_pairs * OTHERS_PER_PAIR} faces")
    return np.stack(means)


def reference_of(run: Run, known: KnownFaces, *, seed: int) -> dict[str, np.ndarray]:
    """Return maps that ask no network, by name: all of `REFERENCES`, then `CELLS` and `CEILING`."""
    means = pair_means(run)
    height, width = known.truths.shape[1:]
    stacked = {
        "pair_mean": means[known.pairs],
        "face_mean": np.broadcast_to(means.mean(0), known.truths.shape),
        "edges": np.stack([reference_maps.edges(picture) for picture in known.pictures]),
        "centre": np.broadcast_to(reference_maps.centre(height, width), known.truths.shape),
        "random_field": np.stack(
            [reference_maps.random_field(height, width, seed=(seed, index)) for index in range(len(known))]
        ),
        CELLS: _through_cells(run, known.truths),
        CEILING: known.truths,
    }
    return {name: maps.astype(np.float32) for name, maps in stacked.items()}


def explained(run: Run, known: KnownFaces, settings: explanation.Settings, *, seed: int) -> dict[str, np.ndarray]:
    """Explain every picture for the expression it shows, through its pair's member and an untrained one.

    Args:
      run: a run whose members are trained.
      known: the pictures.
      settings: methods and their options.
      seed: of the untrained members' weights.

    Returns:
      Maps by method, the untrained members' under the name that `untrained` gives.
    """
    explain = explanation.program(functools.partial(run.network, 2), settings)
    names = (*settings.methods, *map(untrained, settings.methods))
    maps = {name: np.zeros(known.truths.shape, np.float32) for name in names}
    trained = run.load_ensemble()
    fresh = jax.jit(run.network(2).init)
    sample = jnp.zeros((1, *known.pictures.shape[1:]), jnp.float32)
    progress = Progress("explaining", 2 * len(known), unit="maps of each method")
    for pair in range(EXPRESSIONS.num_pairs):
        rows = np.flatnonzero(known.pairs == pair)
        raw = fresh(jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), pair), sample)
        for name_of, variables in ((str, ensemble.member(trained, pair)), (untrained, raw)):
            found = explain(variables, known.pictures[rows], known.targets[rows])
            for method in settings.methods:
                maps[name_of(method)][rows] = found[method]
        progress.update(2 * len(rows) * (pair + 1))
    progress.finish(f"{len(known)} faces, {len(settings.methods)} methods, trained and untrained")
    return maps


def untrained(method: str) -> str:
    """Name a method's map through a network that was never trained."""
    return f"{method}_untrained"


def _parameters(run, split, index, expression):
    config = run.config
    return faces.draw(
        config.seed, split, int(index), preset=config.faces, size=config.image_size, expression=int(expression)
    )


def _through_cells(run, truths):
    """Average truths over the cells of the network's last features and stretch them again, as CAM does its maps."""
    like = jax.ShapeDtypeStruct((1, *truths.shape[1:], 3), jnp.float32)
    cells = jax.eval_shape(run.network(2).apply, run.variables_like(2), like).features.shape[1:3]
    averaged = [cv2.resize(truth, cells[::-1], interpolation=cv2.INTER_AREA) for truth in truths]
    return np.asarray(images.resize(jnp.asarray(averaged)[..., None], truths.shape[1:])[..., 0])


def _truth(parameters, foil):
    return faces.oracle(parameters, int(foil), both_sides=True)
