"""Maps of networks against people's clicks and maps, with what any map has to beat and what none can beat.

Contract: maps are float (T, H, W), one for each study image, `pairs` and `cells` int (T,) the unordered and the ordered
pair of each. Baselines know nothing of a network. The ceiling is people against people: the map of one half of them
scored as if it were a network's, on the clicks and the map of the other half. Intervals resample people and, within
each ordered pair, images (Owen 2007). What they resample is each person's part in the score of each image: how the
score changes without that person (the jackknife), of maps shrunk to `JACKKNIFE_SIDE` pixels. A resample of the maps
themselves would repeat people, and a map of repeated people is noisier than one of as many different people.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from fer_jax.compare import _map_scores, dice, intervals
from fer_jax.compare.clicks import Clicks
from fer_jax.errors import UsageError
from fer_jax.human.reliability import first_halves, spearman_brown
from fer_jax.streams import stream

OF_PAIRS = ("dice", "dice_top")
METRICS = (*OF_PAIRS, *_map_scores.OF_CLICKS, *_map_scores.OF_MAPS)
CORRELATIONS = ("cc", "spearman")
# Share of pixels that count as on where areas are matched.
TOP = 0.10
JACKKNIFE_SIDE, HALVES = 32, 5
HALF, BEST = "people, half against half", "people, best score"
_HALVES, _RESAMPLED = 0, 1  # streams of the seed


def agreement(
    clicks: Clicks,
    methods: dict[str, np.ndarray],
    baselines: dict[str, np.ndarray],
    pairs: np.ndarray,
    cells: np.ndarray,
    *,
    seed: int,
    resamples: int = intervals.RESAMPLES,
    halves: int = HALVES,
    check: Callable[[], None] = lambda: None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score methods, baselines and people against people, by every metric.

    Args:
      clicks: of the people who are analysed.
      methods: maps (T, H, W) by name.
      baselines: maps (T, H, W) by name, such as `reference_maps.of_study` returns.
      pairs: int (T,).
      cells: int (T,), from 0.
      seed: of halves and resamples.
      resamples: how many.
      halves: random divisions of the people.
      check: called between pairs, may raise to stop.

    Returns:
      A table of scores. And the differences between methods, and between each method and each baseline: metric, a, b,
      difference, low, high, n and reason.

    Columns:
      metric: "dice" (the protocol of the paper, §5.3) and "dice_top" (of the highest tenth of either map, so that areas
        are equal) compare mean maps of a pair. All others are means over images: "nss", "auc_judd", "auc_shuffled" and
        "information_gain" (bits a click over the map of other pairs, each with 1 % of an even map mixed in) score
        clicks, "cc", "sim", "kl" (nats, the lower the better) and "spearman" score maps.
      source: of the map: a method, a baseline, or one half of the people ("people, half against half"). "people, best
        score" is the correlation that a perfect prediction of people's map would have: √(2r/(1 + r)), r between halves
        (Spearman and Brown), of maps as they are.
      kind: method, baseline or ceiling.
      value: mean over pairs or images.
      low, high: 95 % interval over people and images, over people alone where no cell has two
        images. That of a ceiling speaks of other images or pairs alone.
      n: pairs or images with a number.
      reason: why a number or an interval is missing, or what was left out, else empty.
      a, b: the maps that are compared.
      difference: value of a less value of b, over the images or pairs that both have.

    Raises:
      UsageError: maps, pairs or cells that do not fit.

    Example:
      >>> from fer_jax import human
      >>> labels, names = np.repeat(np.arange(3), 4), [str(number) for number in range(12)]
      >>> trio = fer.Categories(("neutral", "happy", "sad"))
      >>> study = human.study.make_study(labels, names, seed=0, per_ordered_pair=2, categories=trio)
      >>> people = human.observers.simulate(study, seed=0, image_px=64, participants=6, with_dropouts=False)
      >>> clicks = fer.compare.clicks.clicks_of(people, study, image_px=64, radius=6)
      >>> maps = human.attention.attention_maps(people, study, image_px=64, radius=6)
      >>> cells = np.repeat(np.arange(6), 2)
      >>> table, _ = agreement(clicks, {"people": maps}, {}, cells // 2, cells, seed=0, resamples=20)
      >>> table.set_index(["metric", "source"])["value"].round(3)[[("dice", "people"), ("cc", "people")]].tolist()
      [1.0, 1.0]
    """
    names, maps, pairs, cells = _checked(clicks, methods, baselines, pairs, cells)
    seen = _Seen(clicks, pairs)
    drawn = intervals.crossed_counts(stream(seed, _RESAMPLED), max(clicks.people, 1), cells, resamples=resamples)
    first = _first_halves(clicks.people, seed, halves)
    parts: list[tuple] = []
    for pair in np.unique(pairs):
        check()
        parts.append((_whole(seen, maps, pair), _deviations(seen, maps, pair), _of_halves(seen, pair, first)))
    order = np.argsort(np.concatenate([seen.rows(pair) for pair in np.unique(pairs)]))
    whole, deviations, of_halves = (
        {name: np.concatenate([part[name] for part in each], axis=-2) for name in METRICS}
        for each in zip(*parts, strict=True)
    )
    sources = [*((name, "method") for name in methods), *((name, "baseline") for name in baselines)]
    rows, differences = [], []
    for metric in METRICS:
        scores, parts_of = whole[metric], deviations[metric][:, order]
        own = [(scores[:, place], parts_of[..., place]) for place in range(len(names))]
        means = [_resampled_means(each[0], each[1], drawn, metric) for each in own]
        for (name, kind), each, mean in zip(sources, own, means, strict=True):
            scored = _summary(each[0], mean, metric, clicks.people)
            if name == "another image" and metric in OF_PAIRS:
                reason = "over a pair it has the mean map of people themselves"
                scored |= {"value": math.nan, "low": math.nan, "high": math.nan, "n": 0, "reason": reason}
            rows.append({"metric": metric, "source": name, "kind": kind, **scored})
        rows += _ceilings(metric, of_halves[metric][..., 0], seed, resamples, clicks.people)
        for a, b in _compared(methods, baselines, metric):
            one, other = names.index(a), names.index(b)
            gaps = [x - y for x, y in zip(own[one], own[other], strict=True)]
            # The mean of differences is the difference of means where neither lacks what the other has.
            alike = all(
                (np.isfinite(gap) == np.isfinite(x)).all()
                for gap, x in zip(gaps * 2, own[one] + own[other], strict=True)
            )
            mean = means[one] - means[other] if alike else _resampled_means(gaps[0], gaps[1], drawn, metric)
            scored = _summary(gaps[0], mean, metric, clicks.people)
            differences.append({"metric": metric, "a": a, "b": b, "difference": scored.pop("value"), **scored})
    columns = ["metric", "a", "b", "difference", "low", "high", "n", "reason"]
    return pd.DataFrame(rows), pd.DataFrame(differences, columns=columns)


class _Seen:
    """What people uncovered: their maps (T, P), and for each pair the clicks on the images of others."""

    def __init__(self, clicks: Clicks, pairs: np.ndarray):
        self.clicks, self.pairs, self.shrink = clicks, pairs, _Shrink(clicks.size)
        self.human = np.full((clicks.images, math.prod(clicks.size)), np.nan)
        counts = np.zeros_like(self.human)
        for image in range(clicks.images):
            discs, _ = clicks.discs(image)
            if len(discs):
                self.human[image] = _mean(discs)
            np.add.at(counts[image], clicks.pixels(image)[0], 1)
        self._counts = counts

    def rows(self, pair) -> np.ndarray:
        """Return the images of a pair."""
        return np.flatnonzero(self.pairs == pair)

    def elsewhere(self, pair) -> tuple[np.ndarray, np.ndarray]:
        """Return people's density (P,) on the images of other pairs, and the number of clicks on each pixel."""
        other = self.pairs != pair
        maps = self.human[other & np.isfinite(self.human).all(1)]
        return _map_scores.mixed((maps.mean(0) if len(maps) else np.ones(self.human.shape[1]))[None])[0], self._counts[
            other
        ].sum(0)


class _Shrink:
    """Mean of blocks of pixels, at most `JACKKNIFE_SIDE` blocks a side."""

    def __init__(self, size):
        self._size = size
        self._edges = [np.unique(np.linspace(0, side, JACKKNIFE_SIDE, endpoint=False).astype(int)) for side in size]

    def __call__(self, maps) -> np.ndarray:
        shaped = maps.reshape(len(maps), *self._size).astype(np.float64)
        for axis, edges in enumerate(self._edges, 1):
            lengths = np.diff(np.r_[edges, self._size[axis - 1]])
            shaped = np.add.reduceat(shaped, edges, axis) / np.expand_dims(lengths, [0, 3 - axis])
        return shaped.reshape(len(maps), math.prod(shaped.shape[1:]))


def _scores(heat, human, pixels, prior, elsewhere) -> dict[str, np.ndarray]:
    """Return all scores of one image, (M,) each."""
    of_clicks = _map_scores.per_click(heat, pixels, prior, elsewhere)
    found = {name: values.mean(1) if len(pixels) else np.full(len(heat), np.nan) for name, values in of_clicks.items()}
    of_maps = {name: values[0] for name, values in _map_scores.per_map(heat, human[None]).items()}
    return found | of_maps | {"auc_judd": _map_scores.judd(heat, pixels)}


def _whole(seen, maps, pair) -> dict[str, np.ndarray]:
    """Return the scores of a pair's maps in full, (images, M), and of its mean maps, (1, M)."""
    rows, elsewhere = seen.rows(pair), seen.elsewhere(pair)
    flat = maps[:, rows].reshape(len(maps), len(rows), -1)
    images = [
        _scores(flat[:, place], seen.human[row], seen.clicks.pixels(row)[0], *elsewhere)
        for place, row in enumerate(rows)
    ]
    found = {name: np.stack([each[name] for each in images]) for name in images[0]}
    return found | _dice_of_means(seen.human[rows][None], flat[:, None], np.ones((1, len(rows))))


def _deviations(seen, maps, pair) -> dict[str, np.ndarray]:
    """Return what each person adds to the score of each image of a pair, (S, images, M), NaN where there is no trial.

    What a person adds to the Dice of a pair, and what an image adds to it, stand in every cell together.
    """
    rows, elsewhere, people = seen.rows(pair), seen.elsewhere(pair), max(seen.clicks.people, 1)
    shape = (people, len(rows), len(maps))
    found = {name: np.full(shape, np.nan) for name in METRICS}
    models = [seen.shrink(maps[:, row].reshape(len(maps), -1)) for row in rows]
    own, trials = np.zeros((people, len(rows), models[0].shape[1])), np.zeros((people, len(rows)))
    for place, row in enumerate(rows):
        (discs, who), (pixels, clicker) = seen.clicks.discs(row), seen.clicks.pixels(row)
        np.add.at(own[:, place], who, seen.shrink(discs))
        np.add.at(trials[:, place], who, 1)
        there = trials[:, place] > 0
        clicked = np.eye(people)[clicker]
        of_clicks = _map_scores.per_click(maps[:, row].reshape(len(maps), -1), pixels, *elsewhere)
        for name, each in of_clicks.items():
            if len(pixels):
                added = (each - each.mean(1, keepdims=True)) @ clicked * (there.sum() / len(pixels))
                found[name][there, place] = added.T[there]
        for name, values in _map_scores.per_map(models[place], _without(own[:, place], trials[:, place])).items():
            found[name][there, place] = intervals.jackknife_parts(values[there])
    models, there = np.stack(models, 1)[:, None], (trials > 0)[..., None]
    left = np.stack([_without(own[:, place], trials[:, place]) for place in range(len(rows))], 1)
    with np.errstate(invalid="ignore"):
        human = own.sum(0) / trials.sum(0)[:, None]
    of_people = _dice_of_means(left, models, np.ones(left.shape[:2]))
    of_images = _dice_of_means(human[None], models, 1.0 - np.eye(len(rows)))
    for name in OF_PAIRS:
        added = intervals.jackknife_parts(of_people[name])[:, None] + intervals.jackknife_parts(of_images[name])
        found[name] = np.where(there, added, np.nan)
    return found


def _without(own, trials):
    """Return the mean map without each person (S, P), of sums (S, P) over trials (S,). NaN where nobody is left."""
    rest = trials.sum() - trials
    return (own.sum(0) - own) / np.where(rest > 0, rest, np.nan)[:, None]


def _of_halves(seen, pair, first) -> dict[str, np.ndarray]:
    """Return the scores of one half of the people on the other, (H, images, 1), and of its mean maps, (H, 1, 1)."""
    rows, elsewhere = seen.rows(pair), seen.elsewhere(pair)
    halves, images = np.full((2, len(first), len(rows), seen.human.shape[1]), np.nan), []
    for place, row in enumerate(rows):
        (discs, who), (pixels, clicker) = seen.clicks.discs(row), seen.clicks.pixels(row)
        for number, one in enumerate(first):
            for side, group in enumerate((one[who], ~one[who])):
                if group.any():
                    halves[side, number, place] = _mean(discs[group])
        one, other = halves[:, :, place]
        scored = [
            _scores(heat[None], human, pixels[~group[clicker]], *elsewhere)
            for heat, human, group in zip(one, other, first, strict=True)
        ]
        images.append({name: np.stack([each[name] for each in scored]) for name in scored[0]})
    found = {name: np.stack([each[name] for each in images], 1) for name in images[0]}
    means = _dice_of_means(halves[1], halves[:1], np.ones((len(first), len(rows))))
    return found | {name: values[:, None] for name, values in means.items()}


def _dice_of_means(human, models, weights) -> dict[str, np.ndarray]:
    """Compare weighted mean maps over a pair's images n by both kinds of Dice.

    `human` is (R or 1, n, P), `models` (M, R or 1, n, P), `weights` (R, n). Each value is (R, M).
    """
    found: dict[str, list] = {name: [] for name in OF_PAIRS}
    there = np.isfinite(human).all(2)
    for model in models:
        used = weights * (there & np.isfinite(model).all(2))
        one, other = (_mean_map(maps, used) for maps in (human, model))
        (on, usable), (on_model, usable_model) = (dice.binary_maps(maps[:, None]) for maps in (one, other))
        known = usable & usable_model
        found["dice"].append(np.where(known, dice.dice(on, on_model), np.nan))
        top, top_model = (_map_scores.top(np.where(known[:, None], maps, 0), TOP)[:, None] for maps in (one, other))
        found["dice_top"].append(np.where(known, dice.dice(top, top_model), np.nan))
    return {name: np.stack(values, 1) for name, values in found.items()}


def _mean_map(maps, weights):
    """Average maps (R or 1, n, P) by weights (R, n). NaN where nothing weighs."""
    maps, total = np.where(np.isfinite(maps), maps, 0), weights.sum(1, keepdims=True)
    sums = weights @ maps[0] if len(maps) == 1 else (weights[:, None] @ maps)[:, 0]
    return sums / np.where(total > 0, total, np.nan)


def _mean(discs):
    """Average discs in the precision of attention maps."""
    return discs.mean(0).astype(np.float32)


def _first_halves(people, seed, halves) -> np.ndarray:
    """Draw halves of the people, bool (H, S): none with fewer than two."""
    if people < 2:
        return np.zeros((1, max(people, 1)), bool)
    return first_halves(stream(seed, _HALVES), people, halves=halves)


def _resampled_means(scores, deviations, drawn, metric) -> np.ndarray:
    """Return the mean of each resample, (R,), of scores (n,) and of people's parts in them (S, T), around 0."""
    # Images differ by their scores, too, where the score is an image's.
    parts = deviations + (0 if metric in OF_PAIRS else scores)
    means = intervals.crossed_means(parts, np.zeros(parts.shape[1], int), *drawn)[:, 0]
    return means - (np.nanmean(means) if np.isfinite(means).any() else math.nan)


def _summary(scores, means, metric, people) -> dict:
    """Return value, interval, n and reason of scores (n,) and of the means of their resamples."""
    unit, known = "pairs" if metric in OF_PAIRS else "images", np.isfinite(scores)
    n, low, high = int(known.sum()), math.nan, math.nan
    reason = "" if n == len(scores) else f"{len(scores) - n} of {len(scores)} {unit} left out: a map is missing or flat"
    value = float(scores[known].mean()) if n else math.nan
    if not n:
        reason = f"none of {len(scores)} {unit} has both maps and clicks"
    elif people < 2:
        reason = "no interval: one person"
    else:
        low, high = (value + end for end in intervals.percentile_interval(means[np.isfinite(means)]))
    return {"value": value, "low": low, "high": high, "n": n, "reason": reason}


def _ceilings(metric, of_halves, seed, resamples, people) -> list[dict]:
    """Return the row of people against people, and for a correlation that of the best score."""
    known = np.isfinite(of_halves)
    scores = np.where(known, of_halves, 0).sum(0) / np.where(known.any(0), known.sum(0), np.nan)
    row = {"metric": metric, "source": HALF, "kind": "ceiling", "value": math.nan, "low": math.nan, "high": math.nan}
    kept = scores[np.isfinite(scores)]
    row |= {"n": len(kept), "reason": ""}
    if people < 2 or not len(kept):
        reason = f"{people} people with right answers: no halves" if people < 2 else "no half has maps and clicks"
        rows = [row | {"n": 0, "reason": reason}]
    else:
        ends = intervals.mean_interval(stream(seed, _RESAMPLED), kept, resamples=resamples)
        rows = [row | {"value": kept.mean(), "low": ends[0], "high": ends[1]}]
    if metric in CORRELATIONS:
        best = {name: _best_score(rows[0][name]) for name in ("value", "low", "high")}
        reason = rows[0]["reason"] or ("" if np.isfinite(best["value"]) else "halves do not agree")
        rows.append(rows[0] | {"source": BEST, **best, "reason": reason})
    return rows


def _best_score(half) -> float:
    whole = spearman_brown(half)
    return math.sqrt(whole) if whole >= 0 else math.nan


def _compared(methods, baselines, metric):
    """List the maps that are compared: each two methods, then each method with each baseline."""
    yield from itertools.combinations(methods, 2)
    for two in itertools.product(methods, baselines):
        if metric not in OF_PAIRS or two[1] != "another image":
            yield two


def _checked(clicks, methods, baselines, pairs, cells):
    twice = [name for name in methods if name in baselines]
    if twice or not methods:
        raise UsageError(f"`methods`: wanted maps by names that no baseline has, got {', '.join(twice) or 'none'}.")
    wanted, names = (clicks.images, *clicks.size), [*methods, *baselines]
    for name, maps in {**methods, **baselines}.items():
        if np.shape(maps) != wanted:
            raise UsageError(f"`methods`, `baselines`: wanted maps {wanted}, got {np.shape(maps)} for {name!r}.")
    for name, units in (("pairs", pairs), ("cells", cells)):
        units = np.asarray(units)
        if units.shape != (clicks.images,) or not np.issubdtype(units.dtype, np.integer) or units.min(initial=0) < 0:
            raise UsageError(
                f"`{name}`: wanted whole numbers from 0 ({clicks.images},), got {units.dtype} {units.shape}."
            )
    return names, np.stack([np.asarray({**methods, **baselines}[name]) for name in names]), np.asarray(pairs), cells
