"""Scores of maps against the clicks and the map of one picture. One sort of a map serves all scores of ranks.

Contract: maps are float (M, P), the pixels of one picture in a row, and clicks are pixel numbers (C,).
The numbers are those of `fer_jax.metrics`, which sorts a map anew for each score and is many times slower on a CPU.
"""

import numpy as np
import scipy

EPSILON = 2.2204e-16  # the benchmark's constant in KL
# Share of an even density that is mixed into a map before bits are counted: else one click off a mask costs all.
EVEN = 0.01
OF_CLICKS = ("nss", "auc_judd", "auc_shuffled", "information_gain")
OF_MAPS = ("cc", "sim", "kl", "spearman")


def per_click(heat: np.ndarray, clicks: np.ndarray, prior: np.ndarray, elsewhere: np.ndarray) -> dict[str, np.ndarray]:
    """Return what each click contributes to the scores of clicks, (M, C) each.

    Args:
      heat: (M, P).
      clicks: int (C,).
      prior: (P,) the density that bits are counted over.
      elsewhere: (P,) how many clicks each pixel has on other pictures.

    Returns:
      The mean of a row is the score, but for "auc_judd", where it is the area under the whole curve and the benchmark's
      is half a step of a click larger (see `judd`).
    """
    known = np.isfinite(heat).all(1, keepdims=True)
    heat = np.where(known, heat, 0)
    order, ordered, at = _sorted(heat, clicks)
    clicked = np.zeros(heat.shape[1])
    clicked[clicks] = 1
    constant = ordered[:, :1] == ordered[:, -1:]
    spread = np.where(constant, 1, heat.std(1, keepdims=True))
    found = {
        "nss": np.where(constant, 0, (at - heat.mean(1, keepdims=True)) / spread),
        "auc_judd": _share_below(order, ordered, at, 1 - clicked),
        "auc_shuffled": _share_below(order, ordered, at, elsewhere),
        "information_gain": np.log2(mixed(heat)[:, clicks]) - np.log2(prior[clicks]),
    }
    return {name: np.where(known, values, np.nan) for name, values in found.items()}


def judd(heat: np.ndarray, clicks: np.ndarray) -> np.ndarray:
    """Return the benchmark's area under the curve with thresholds at clicked values only, (M,). NaN without clicks."""
    found = np.full(len(heat), np.nan)
    free = np.ones(heat.shape[1], bool)
    free[clicks] = False
    for row, values in enumerate(heat):
        if len(clicks) and free.any() and np.isfinite(values).all():
            positives, negatives = np.sort(values[clicks]), np.sort(values[free])
            hit = 1 - np.searchsorted(positives, positives) / len(positives)
            false = 1 - np.searchsorted(negatives, positives) / len(negatives)
            found[row] = np.trapezoid(np.r_[0, hit[::-1], 1], np.r_[0, false[::-1], 1])
    return found


def per_map(heat: np.ndarray, human: np.ndarray) -> dict[str, np.ndarray]:
    """Return the scores of maps against each of several maps of people, (B, M) each.

    Args:
      heat: (M, P).
      human: (B, P), rows that are NaN where there is no map.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        model, people = density(heat), density(human)
        entropy = np.where(people > 0, people * np.log(np.where(people > 0, people, 1)), 0).sum(1, keepdims=True)
        found = {
            "cc": _correlations(heat, human, constant=0.0),
            "sim": np.stack([np.minimum(one, people).sum(1) for one in model], 1),
            # ln(ε + Q/(P + ε)) without the first ε, which matters to no digit: Q = 0 counts 0 in either form.
            "kl": entropy - people @ np.log(model + EPSILON).T,
            "spearman": _correlations(_ranks(heat), _ranks(human), constant=np.nan),
        }
    known = np.isfinite(human).all(1, keepdims=True) & np.isfinite(heat).all(1, keepdims=True).T
    return {name: np.where(known, values, np.nan) for name, values in found.items()}


def density(maps: np.ndarray) -> np.ndarray:
    """Scale maps to sum 1, shifted by their minimum only where that is negative, even where nothing is left."""
    shifted = maps - np.minimum(maps.min(1, keepdims=True), 0)
    total = shifted.sum(1, keepdims=True)
    return np.where(total > 0, shifted / np.where(total > 0, total, 1), 1 / maps.shape[1])


def mixed(maps: np.ndarray) -> np.ndarray:
    """Return densities with a share `EVEN` of the even one, so that no pixel is impossible."""
    return (1 - EVEN) * density(maps) + EVEN / maps.shape[1]


def top(maps: np.ndarray, share: float) -> np.ndarray:
    """Mark the largest pixels of each map (..., P), a share of all. Among equals the earlier."""
    count = max(1, round(share * maps.shape[-1]))
    marked = np.zeros(maps.shape, bool)
    np.put_along_axis(marked, np.argsort(-maps, axis=-1, kind="stable")[..., :count], True, -1)
    return marked


def _sorted(heat, clicks):
    order = np.argsort(heat, axis=1)
    return order, np.take_along_axis(heat, order, 1), heat[:, clicks]


def _share_below(order, ordered, at, weights):
    """Return P(other < value) + P(other = value) / 2 of weighted other pixels, NaN where none has a weight."""
    total = weights.sum()
    found = np.full(at.shape, np.nan)
    if total > 0:
        for row, values in enumerate(at):
            below = np.r_[0, np.cumsum(weights[order[row]])]
            ends = (np.searchsorted(ordered[row], values, side=side) for side in ("left", "right"))
            found[row] = sum(below[end] for end in ends) / (2 * total)
    return found


def _ranks(maps):
    known = np.isfinite(maps).all(1, keepdims=True)
    return np.where(known, scipy.stats.rankdata(np.where(known, maps, 0), axis=1), np.nan)


def _correlations(heat, human, constant):
    """Correlate each row of `human` with each of `heat`, (B, M). A flat row of people's is NaN."""
    flat, unknown = (np.ptp(maps, axis=1) == 0 for maps in (heat, human))
    one, other = (maps - maps.mean(1, keepdims=True) for maps in (heat, human))
    one, other = (each / np.sqrt((each**2).sum(1, keepdims=True)) for each in (one, other))
    found = np.where(flat, constant, other @ np.where(flat[:, None], 0, one).T)
    return np.where(unknown[:, None], np.nan, found)
