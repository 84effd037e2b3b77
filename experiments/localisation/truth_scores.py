"""Every map scored against its picture's truth, and what the networks themselves make of the pixels it names."""

import functools

import jax
import numpy as np
import pandas as pd

from experiments.localisation.known_truth import KnownFaces
from experiments.study.run import Run
from fer_jax import compare, ensemble, images, metrics
from fer_jax.expressions import EXPRESSIONS

# Fall of the true class's probability when the pixels a map names are exchanged for the twin's.
SWAP = "swap"
SCORES = (*compare.localisation.SCORES, SWAP)


class Readers:
    """The trained members, each asked for the probability of the expression its pictures show.

    Args:
      run: a run whose members are trained.
      known: the pictures.
    """

    def __init__(self, run: Run, known: KnownFaces):
        self._known, self._members = known, ensemble.unstack(run.load_ensemble())
        network = run.network(2)

        @jax.jit
        def probabilities(variables, pictures):
            return jax.nn.softmax(network.apply(variables, images.normalise(images.to_float(pictures))).logits)

        self._probabilities = probabilities

    def of_true_class(self, pictures: np.ndarray) -> np.ndarray:
        """Return the probability of the shown expression, float64 (N,), by the member of each picture's pair.

        Args:
          pictures: bytes (N, H, W, 3), one in the place of each known picture.
        """
        found = np.zeros(len(pictures))
        for pair in range(EXPRESSIONS.num_pairs):
            rows = np.flatnonzero(self._known.pairs == pair)
            both = np.asarray(self._probabilities(self._members[pair], pictures[rows]))
            found[rows] = both[np.arange(len(rows)), self._known.targets[rows]]
        return found


def score(known: KnownFaces, maps: dict[str, np.ndarray], readers: Readers, *, area: float) -> pd.DataFrame:
    """Score every map of every picture.

    Args:
      known: pictures and truths.
      maps: float32 (N, H, W) by method.
      readers: the trained members.
      area: share of the pixels that counts as evident.

    Returns:
      One row a method and picture: method, pair, picture, true_label, false_label, right (whether the trained member
      is), and `SCORES`.
    """
    measure = jax.jit(jax.vmap(functools.partial(metrics.localisation, area=area)))
    name_pixels = jax.jit(jax.vmap(metrics.most_salient))
    counts = regions(known, area=area).sum((1, 2))
    whole = readers.of_true_class(known.pictures)
    facts = {
        "pair": known.pairs,
        "picture": np.arange(len(known)),
        "true_label": np.asarray(EXPRESSIONS)[known.shown],
        "false_label": np.asarray(EXPRESSIONS)[known.foils],
        "right": whole > 0.5,
    }
    tables = []
    for method, heats in maps.items():
        scores = {name: np.asarray(each, np.float64) for name, each in measure(heats, known.truths)._asdict().items()}
        named = np.asarray(name_pixels(heats, counts))[..., None]
        fall = whole - readers.of_true_class(np.where(named, known.twins, known.pictures))
        scores[SWAP] = np.where(np.isnan(scores["dice"]), np.nan, fall)
        tables.append(pd.DataFrame({"method": method, **facts, **scores}))
    return pd.concat(tables, ignore_index=True)


def regions(known: KnownFaces, *, area: float) -> np.ndarray:
    """Return where the evidence of each picture is strongest, bool (N, H, W)."""
    return np.asarray(jax.jit(jax.vmap(functools.partial(metrics.evident_region, area=area)))(known.truths))


def pair_evidence(known: KnownFaces) -> pd.DataFrame:
    """Return the amount of evidence in each pair: pair, pair_name, evidence (mean of the truths, Lab units)."""
    mean = known.truths.mean((1, 2), dtype=np.float64)
    rows = [
        (pair, EXPRESSIONS.pair_name(pair), mean[known.pairs == pair].mean()) for pair in range(EXPRESSIONS.num_pairs)
    ]
    return pd.DataFrame(rows, columns=["pair", "pair_name", "evidence"])
