"""Clicks or mouse traces against gaze: how well the maps of some people predict where others look.

Contract: the gaze of a random half of the people is held out and predicted, on every picture, by the maps of clicking
people, by an equal half of the other gaze (the ceiling), and by maps that know nothing of the picture (the floors). A
score is averaged over the halves. Pictures are the units of every interval.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np
import pandas as pd
from jax import lax

from fer_jax import metrics
from fer_jax.compare import intervals, localisation, reference_maps
from fer_jax.errors import UsageError, check_count, check_one_of, check_range
from fer_jax.human.gaze import Places, person_maps, person_places
from fer_jax.streams import stream

SCORES = ("nss", "auc_judd", "auc_shuffled", "cc", "sim", "kl", "information_gain")
# A map that says nothing scores this, as far as a number is known beforehand.
CHANCE = {"nss": 0.0, "auc_judd": 0.5, "auc_shuffled": 0.5, "cc": 0.0}
CEILING, CENTRE, OTHERS = "other half of gaze", "centre", "gaze on other pictures"
ANOTHER = " on another picture"
GAZE = "gaze"
WEIGHTS = ("places", "people")
TOLERANCES = (0.1, 0.05, 0.03, 0.02, 0.01)
# Candidates for the number of people whose map is half signal, half noise.
_HALF_SIGNAL = np.geomspace(1e-3, 1e3, 1201)


@dataclasses.dataclass(frozen=True)
class GazeOptions:
    """The choices of the protocol, all ours.

    Attributes:
      sigma_px: deviation of the Gaussian around each place, pixels.
      cell_px: side of the cells on which maps are made, pixels. A quarter of the deviation or less changes little.
      halves: random halves of the people whose gaze is known.
      weight: "places", where every place counts alike, or "people", where every person does.
      even: share of a map's mass that is spread over the picture before `kl` and `information_gain`, which are infinite
        where a map holds nothing.
      centre_sigma: deviation of the centre Gaussian, a share of the width.

    Raises:
      UsageError: a value out of its range.
    """

    sigma_px: float = 24.0
    cell_px: int = 4
    halves: int = 20
    weight: str = "places"
    even: float = 0.1
    centre_sigma: float = reference_maps.CENTRE_SIGMA

    def __post_init__(self):
        check_count("cell_px", self.cell_px, 1)
        check_range("sigma_px", self.sigma_px, self.cell_px / 4, 1e6)
        check_count("halves", self.halves, 1)
        check_one_of("weight", self.weight, WEIGHTS)
        check_range("even", self.even, 0, 1, open_low=True)


DEFAULTS = GazeOptions()


@dataclasses.dataclass(frozen=True, eq=False)
class Agreement:
    """How well each map predicts held-out gaze.

    Attributes:
      pictures: one row a picture and map: predictor, picture, people (whose places made the map), and `SCORES`.
      curve: the same for groups of 1, 2, 4 ... people: source, people, picture, and `SCORES`. Every picture has every
        number of people.
      held_out: people in each half.
    """

    pictures: pd.DataFrame
    curve: pd.DataFrame
    held_out: int


def agreement(gaze: Places, sources: Mapping[str, Places], *, seed: int, options: GazeOptions = DEFAULTS) -> Agreement:
    """Score maps against the gaze of random halves of the people.

    Args:
      gaze: where people looked.
      sources: name -> where others clicked or moved a mouse, on the same pictures.
      seed: of halves, of groups of people, and of the other picture.
      options: of the protocol.

    Returns:
      Scores of the pictures that gaze and every source have. Maps: each source, `CEILING`, each source `ANOTHER`,
      `OTHERS` and `CENTRE`. With an odd number of people one, another each time, sits out.

    Raises:
      UsageError: fewer than two people with gaze, or than two pictures in common.

    Example:
      >>> from fer_jax.human.gaze import places
      >>> rows = [(i, p, 4.0 + 8 * k, 4.0) for k, i in enumerate("ab") for p in ("P1", "P2")]
      >>> seen = places(pd.DataFrame(rows, columns=["image", "participant", "x", "y"]), {"a": (8, 16), "b": (8, 16)})
      >>> found = agreement(seen, {"clicks": seen}, seed=0, options=GazeOptions(sigma_px=2, cell_px=1, halves=2))
      >>> found.pictures.set_index("predictor").loc["clicks", "cc"].round(2).tolist()
      [1.0, 1.0]
    """
    people = gaze.participants
    images = sorted(set(gaze.images).intersection(*(source.images for source in sources.values())))
    if len(people) < 2:
        raise UsageError(f"`gaze`: wanted two people or more, to hold out a half, got {len(people)}.")
    if len(images) < 2:
        raise UsageError(f"`sources`: wanted two pictures or more in common with the gaze, got {len(images)}.")
    halves, half = options.halves, len(people) // 2
    order = np.argsort(stream(seed).random((halves, len(people))), axis=1, kind="stable")
    looked = {image: _maps(gaze, image, options, people) for image in images}
    made = {name: {image: _maps(source, image, options) for image in images} for name, source in sources.items()}
    groups = {name: group_sizes(min(map(len, maps.values()))) for name, maps in made.items()}
    places = {image: person_places(gaze, image, people, cell_px=options.cell_px) for image in images}
    most = max(each.shape[1] for each in places.values())
    pictures, curve = [], []
    for number, image in enumerate(images):
        shape = looked[image].shape[1:]
        prior = sum(_at(looked[other].sum(0), shape) for other in images if other != image)
        centre = reference_maps.centre(*shape, sigma=options.centre_sigma).astype(np.float32)
        shifts = stream(seed, 1, number).integers(1, len(images), halves)
        strangers = [images[(number + shift) % len(images)] for shift in shifts]
        maps = {(CEILING, half): _pooled(looked[image], order[:, half : 2 * half])}
        of_groups = {(GAZE, n): _pooled(looked[image], order[:, half : half + n]) for n in group_sizes(half)}
        for stream_number, (name, of_image) in enumerate(made.items(), 2):
            own = of_image[image]
            drawn = np.argsort(stream(seed, stream_number, number).random((halves, len(own))), axis=1, kind="stable")
            maps[name, len(own)] = own.sum(0)
            maps[name + ANOTHER, 0] = np.stack([_at(of_image[other].sum(0), shape) for other in strangers])
            of_groups |= {(name, n): _pooled(own, drawn[:, :n]) for n in groups[name]}
        maps |= {(OTHERS, len(people)): prior, (CENTRE, 0): centre}
        every = [np.broadcast_to(each, (halves, *shape)) for each in (*maps.values(), *of_groups.values())]
        held = np.full((len(people), most, 2), np.nan, np.float32)
        held[:, : places[image].shape[1]] = places[image]
        found = _score(
            np.stack(every, axis=1),
            _pooled(looked[image], order[:, :half]),
            held[order[:, :half]].reshape(halves, -1, 2),
            _elsewhere(places, image, shape, looked),
            prior,
            options.even,
        )
        means = {score: np.asarray(values, np.float64).mean(0) for score, values in found.items()}
        for place, (name, n) in enumerate([*maps, *of_groups]):
            row = {"predictor": name, "picture": image, "people": n} | {key: each[place] for key, each in means.items()}
            (pictures if place < len(maps) else curve).append(row)
    order_of = {name: place for place, name in enumerate([*sources, CEILING, *(n + ANOTHER for n in sources), OTHERS])}
    table = pd.DataFrame(pictures).sort_values(
        "predictor", key=lambda names: names.map(order_of).fillna(len(order_of)), kind="stable", ignore_index=True
    )
    return Agreement(table, pd.DataFrame(curve).rename(columns={"predictor": "source"}), half)


def group_sizes(people: int) -> list[int]:
    """Return the sizes of groups on a curve: 1, 2, 4 ... and everybody.

    Example:
      >>> group_sizes(12)
      [1, 2, 4, 8, 12]
    """
    check_count("people", people, 1)
    return sorted({people} | {2**power for power in range(people.bit_length())})


def summarise(found: Agreement, *, seed: int, resamples: int = intervals.RESAMPLES) -> pd.DataFrame:
    """Average the scores of each map over pictures, with intervals.

    Args:
      found: by `agreement`.
      seed: of the resampling.
      resamples: of the pictures.

    Returns:
      One row a map and score: predictor, score, mean, ci_low, ci_high (95 %, percentile bootstrap over pictures),
      n_pictures (with a score), missing.

    Example:
      >>> table = pd.DataFrame({"predictor": "clicks", "picture": ["a", "b"], "people": 9} | dict.fromkeys(SCORES, 0.5))
      >>> summarise(Agreement(table, table, 2), seed=0, resamples=100)["mean"].tolist()[:2]
      [0.5, 0.5]
    """
    table = localisation.summarise(_as_scores(found), seed=seed, resamples=resamples, scores=SCORES)
    return table.rename(columns={"method": "predictor"}).drop(columns="n_pairs")


def contrasts(found: Agreement, *, seed: int, resamples: int = intervals.RESAMPLES) -> pd.DataFrame:
    """Compare each source with the ceiling and the floors, picture by picture.

    Args:
      found: by `agreement`.
      seed: of the resampling.
      resamples: of the pictures.

    Returns:
      One row a score and comparison: score, a, b, difference (mean a - mean b), ci_low, ci_high (95 %, percentile
      bootstrap over pictures), p (paired t), p_holm (Holm within a score), n.

    Example:
      >>> values = {name: 0.1 * k for k, name in enumerate(["clicks", CEILING, "clicks" + ANOTHER, OTHERS, CENTRE])}
      >>> rows = [(name, i, 9, *[value] * len(SCORES)) for name, value in values.items() for i in "ab"]
      >>> table = pd.DataFrame(rows, columns=["predictor", "picture", "people", *SCORES])
      >>> contrasts(Agreement(table, table, 2), seed=0, resamples=100)["b"].unique().tolist()
      ['other half of gaze', 'clicks on another picture', 'gaze on other pictures', 'centre']
    """
    names = list(dict.fromkeys(found.pictures["predictor"]))
    sources = [name for name in names if name + ANOTHER in names]
    compared = [(name, other) for name in sources for other in (CEILING, name + ANOTHER, OTHERS, CENTRE)]
    table = localisation.contrasts(_as_scores(found), compared, seed=seed, resamples=resamples, scores=SCORES)
    return table.drop(columns="n_pictures")


def people_curve(found: Agreement, *, seed: int, resamples: int = intervals.RESAMPLES) -> pd.DataFrame:
    """Average the scores of each size of group over pictures, with intervals.

    Args:
      found: by `agreement`.
      seed: of the resampling.
      resamples: of the pictures.

    Returns:
      One row a source, size and score: source, people, score, mean, ci_low, ci_high, fitted (for `cc` and `nss`, see
      `plan`, else NaN), n_pictures.

    Example:
      >>> table = pd.DataFrame({"source": "gaze", "picture": ["a", "b"], "people": 1} | dict.fromkeys(SCORES, 0.5))
      >>> people_curve(Agreement(table, table, 2), seed=0, resamples=100)["mean"].tolist()[:2]
      [0.5, 0.5]
    """
    rows = []
    for source, own in found.curve.groupby("source", sort=False):
        for score in SCORES:
            sizes, values = _by_size(own, score)
            means = values.mean(0)
            fitted = np.full(len(sizes), np.nan)
            if score in ("cc", "nss"):
                limit, half_signal = fit_reliability(sizes, means[None])
                fitted = limit * np.sqrt(sizes / (sizes + half_signal))
            for place, people in enumerate(sizes):
                low, high = intervals.mean_interval(stream(seed), values[:, place], resamples=resamples)
                row = {"source": source, "people": people, "score": score, "mean": means[place], "ci_low": low}
                rows.append(row | {"ci_high": high, "fitted": fitted[place], "n_pictures": len(values)})
    return pd.DataFrame(rows)


def fit_reliability(people: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit how a correlation with a fixed map grows with the number of people: limit · √(n / (n + h)).

    The mean of n maps holds a share n/(n + h) of signal by the Spearman-Brown formula, and a correlation with another
    map grows with the square root of that share.

    Args:
      people: n, (N,).
      values: correlations, (R, N), each row fitted by itself. Least squares.

    Returns:
      The limit for endlessly many people, float (R,), and h, the number of people whose map is half signal, float (R,).
      NaN with fewer than two sizes of groups, and in a row that has a NaN.

    Example:
      >>> limit, half_signal = fit_reliability(np.array([1, 2, 8]), 0.9 * np.sqrt(np.array([[1 / 3, 1 / 2, 4 / 5]])))
      >>> limit.round(2).tolist(), half_signal.round(1).tolist()
      ([0.9], [2.0])
    """
    people, values = np.asarray(people, np.float64), np.asarray(values, np.float64)
    if len(people) < 2:
        return np.full(len(values), np.nan), np.full(len(values), np.nan)
    shape = np.sqrt(people / (people + _HALF_SIGNAL[:, None]))
    limits = values @ shape.T / (shape**2).sum(1)
    errors = ((values[:, None] - limits[..., None] * shape) ** 2).sum(-1)
    best = errors.argmin(1)
    known = np.isfinite(values).all(1)
    return np.where(known, limits[np.arange(len(values)), best], np.nan), np.where(known, _HALF_SIGNAL[best], np.nan)


def people_needed(limit: np.ndarray, half_signal: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the number of people whose map scores within a tolerance of the limit.

    Args:
      limit: of `fit_reliability`.
      half_signal: of `fit_reliability`.
      tolerance: how far below the limit, in the score's unit.

    Returns:
      float, a whole number of people. NaN where the fit is, or where its limit is not above 0: noise has no signal
      that more people would show.

    Raises:
      UsageError: a tolerance that is not above 0.

    Example:
      >>> people_needed(np.array([0.8]), np.array([2.0]), 0.03).tolist()
      [26.0]
    """
    check_range("tolerance", tolerance, 0, np.inf, open_low=True)
    limit = np.asarray(limit, np.float64)
    share = np.clip(1 - tolerance / np.where(limit > 0, limit, np.nan), 0, None) ** 2
    return np.maximum(1, np.ceil(half_signal * share / (1 - share) - 1e-9))


def plan(
    found: Agreement,
    *,
    seed: int,
    score: str = "cc",
    tolerances: Sequence[float] = TOLERANCES,
    resamples: int = intervals.RESAMPLES,
) -> pd.DataFrame:
    """Say how many people a map needs, by the curve that `fit_reliability` lays through the groups.

    Args:
      found: by `agreement`.
      seed: of the resampling.
      score: "cc" or "nss", which are correlations with what was held out, as far as a factor.
      tolerances: how far the score may lie below that of endlessly many people.
      resamples: of the pictures. Each is fitted.

    Returns:
      One row a source and tolerance: source, tolerance, people, people_low, people_high, largest (group that was seen),
      limit, limit_low, limit_high, half_signal, checked (largest group, held out of a second fit), seen, predicted,
      pictures (how many make the interval of the mean as narrow as the tolerance, at the largest group), of_gaze
      (limit over that of gaze: the correlation of both maps without noise), of_gaze_low, of_gaze_high, gaze_people
      (how many people's gaze predicts as well as the largest group, infinite beyond the limit of gaze),
      gaze_people_low, gaze_people_high.

    Raises:
      UsageError: another score.

    Example:
      >>> rows = [("gaze", i, n, *[(n / (n + 2)) ** 0.5] * len(SCORES)) for n in (1, 2, 4, 7) for i in "ab"]
      >>> curve = pd.DataFrame(rows, columns=["source", "picture", "people", *SCORES])
      >>> plan(Agreement(curve, curve, 7), seed=0, tolerances=[0.1], resamples=100)["people"].tolist()
      [9.0]
    """
    check_one_of("score", score, ("cc", "nss"))
    fits = {}
    for source, own in found.curve.groupby("source", sort=False):
        sizes, values = _by_size(own, score)
        drawn = intervals.resample(stream(seed), len(values), resamples=resamples)
        # The first row is the pictures as they are.
        means = np.concatenate([values.mean(0)[None], values[drawn].mean(1)])
        fits[source] = (sizes, means, *fit_reliability(sizes, means))
    rows = []
    _, _, gaze_limit, gaze_half = fits[GAZE]
    for source, (sizes, means, limit, half_signal) in fits.items():
        share = (means[:, -1] / gaze_limit) ** 2
        as_good = np.where(share < 1, gaze_half * share / np.where(share < 1, 1 - share, 1), np.inf)
        earlier, earlier_half = fit_reliability(sizes[:-1], means[:1, :-1])
        half_width = np.subtract(*intervals.percentile_interval(means[1:, -1])[::-1]) / 2
        pictures = found.curve["picture"].nunique()
        shared = {
            "largest": int(sizes[-1]),
            **_ends("limit", limit),
            "half_signal": half_signal[0],
            "checked": int(sizes[-1]) if len(sizes) > 2 else np.nan,
            "seen": means[0, -1],
            "predicted": (earlier * np.sqrt(sizes[-1] / (sizes[-1] + earlier_half)))[0],
        }
        for tolerance in tolerances:
            row = {
                "source": source,
                "tolerance": tolerance,
                **_ends("people", people_needed(limit, half_signal, tolerance)),
            }
            row |= shared | {"pictures": np.ceil(pictures * (half_width / tolerance) ** 2)}
            rows.append(row | _ends("of_gaze", limit / gaze_limit) | _ends("gaze_people", as_good))
    return pd.DataFrame(rows)


def _ends(name, values):
    """Return a value, which stands first, and the ends of the interval that its resamples give."""
    low, high = intervals.percentile_interval(values[1:], method="nearest")
    return {name: values[0], f"{name}_low": low, f"{name}_high": high}


def _by_size(own, score):
    """Return the sizes of groups (N,) and a score of each picture and size (P, N), without pictures that lack one."""
    wide = own.pivot(index="picture", columns="people", values=score).dropna()
    return wide.columns.to_numpy(), wide.to_numpy(np.float64)


def _as_scores(found):
    """Return the table that `localisation` takes: each picture is a unit by itself."""
    table = found.pictures.rename(columns={"predictor": "method"})
    return table.assign(pair=table["picture"].map({name: k for k, name in enumerate(table["picture"].unique())}))


def _maps(places: Places, image, options, people=None) -> np.ndarray:
    maps = person_maps(places, image, sigma_px=options.sigma_px, cell_px=options.cell_px, people=people)
    if options.weight == "people":
        mass = maps.sum((1, 2), keepdims=True)
        maps = maps / np.where(mass > 0, mass, 1)
    return maps


def _pooled(maps, chosen) -> np.ndarray:
    """Return the summed maps (R, h, w) of the people whom each row of positions (R, N) names."""
    weights = np.zeros((len(chosen), len(maps)), np.float32)
    np.put_along_axis(weights, chosen, 1, axis=1)
    return (weights @ maps.reshape(len(maps), -1)).reshape(len(chosen), *maps.shape[1:])


def _at(heat, shape) -> np.ndarray:
    """Return a map of another picture, stretched over this one where their sizes differ."""
    return heat if heat.shape == tuple(shape) else np.asarray(jax.image.resize(heat, shape, "linear"))


def _elsewhere(places, image, shape, looked) -> np.ndarray:
    """Return all places on other pictures at their share of width and height. Those on this one are NaN."""
    parts = []
    for other, each in places.items():
        scale = np.asarray(shape[::-1], np.float32) / np.asarray(looked[other].shape[:0:-1], np.float32)
        parts.append(np.where(other == image, np.nan, each * scale).reshape(-1, 2))
    return np.concatenate(parts).astype(np.float32)


@jax.jit
def _score(maps, human, places, elsewhere, prior, even):
    """Score maps (R, K, h, w) against held-out maps (R, h, w) and places (R, P, 2). Return (R, K) a score."""

    def softened(heat):
        return (1 - even) * metrics.density(heat) + even / heat.size

    def one(heat, human, places):
        return {
            "nss": metrics.nss(heat, places),
            "auc_judd": metrics.auc_judd(heat, places),
            "auc_shuffled": metrics.auc_shuffled(heat, places, elsewhere),
            "cc": metrics.cc(heat, human),
            "sim": metrics.sim(heat, human),
            "kl": metrics.kl(softened(heat), human),
            "information_gain": metrics.information_gain(softened(heat), softened(prior), places),
        }

    return lax.map(lambda each: jax.vmap(one, (0, None, None))(*each), (maps, human, places))
