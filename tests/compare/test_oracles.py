"""Statistics against plain loops on fifty seeded tables each, degenerate ones among them.

The code here shares nothing with the library's. A degenerate table gives a number, or NaN with a reason: never a silent
wrong value. Analysis of variance, Welch, Games-Howell and effects of categories have theirs in test_statistics.py.
"""

import fractions
import itertools
import math
import statistics

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fer_jax.categories import Categories
from fer_jax.compare import confusion, dice, pair_answers
from fer_jax.human import behaviour

SEEDS = range(50)
REL, P = 1e-10, 1e-6


def _table(seed):
    """Two confusion matrices of shares, and what is wrong with them."""
    random = np.random.default_rng(seed)
    n = int(random.integers(3, 6))
    one, other = random.dirichlet(np.ones(n), (2, n))
    kind = ("", "few answers", "twice the same row", "flat", "a row is missing", "same")[seed % 6]
    if kind == "few answers":  # with ties
        one, other = (np.stack([random.multinomial(4, row) for row in m]) / 4 for m in (one, other))
    if kind == "twice the same row":
        one[1] = one[0]
    if kind == "flat":
        one = np.full((n, n), 0.1) + np.eye(n) * (1 - 0.1 * n)
    if kind == "a row is missing":
        other[int(random.integers(n))] = np.nan
    return one, (one.copy() if kind == "same" else other), kind


def _pearson(x, y):
    """Pearson's correlation of two lists, None where one does not vary or has a NaN."""
    if any(map(math.isnan, [*x, *y])) or min(max(v) - min(v) for v in (x, y)) < 1e-12:
        return None
    return statistics.correlation(x, y)


@pytest.mark.parametrize("seed", SEEDS)
def test_exact_qap(seed):
    one, other, kind = _table(seed)
    n = len(one)
    cells = [(i, j) for i in range(n) for j in range(n) if i != j]
    first = [float(one[cell]) for cell in cells]
    r = _pearson(first, [float(other[cell]) for cell in cells])
    found_r, found_p = confusion.qap(one, other)
    reason = confusion.correlation(one, other)["reason"]
    if r is None:
        assert math.isnan(found_r) and math.isnan(found_p)
        assert reason.startswith("no answers" if kind == "a row is missing" else "flat errors")
        return
    assert reason == ""
    larger = 0
    for order in itertools.permutations(range(n)):
        moved = statistics.correlation(first, [float(other[order[i], order[j]]) for i, j in cells])
        larger += abs(moved) >= abs(r) - 1e-11
    assert found_r == pytest.approx(r, rel=REL, abs=1e-13)
    assert found_p == pytest.approx(larger / math.factorial(n), abs=P)


def _answers(seed):
    """Two lists of answers, 1, 0 or None."""
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 30))
    kind = ("", "missing", "always right", "always wrong and right", "copy", "opposite")[seed % 6]
    one, other = (random.random((2, n)) < random.uniform(0.2, 0.9, (2, 1))).astype(int).tolist()
    if kind == "always right":
        one, other = [1] * n, [1] * n
    if kind == "always wrong and right":
        one, other = [0] * n, [1] * n
    if kind == "copy":
        other = list(one)
    if kind == "opposite":
        other = [1 - answer for answer in one]
    if kind == "missing":
        one = [None if random.random() < 0.4 else answer for answer in one]
    return one, other


@pytest.mark.parametrize("seed", SEEDS)
def test_error_consistency_and_its_bounds(seed):
    one, other = _answers(seed)
    both = [(a, b) for a, b in zip(one, other, strict=True) if a is not None]
    found = confusion.error_consistency(one, other)
    assert (found["n"], found["missing"]) == (len(both), len(one) - len(both))
    if not both:
        assert math.isnan(found["kappa"]) and found["reason"]
        return
    n, right = len(both), [sum(pair[k] for pair in both) for k in (0, 1)]
    p, q = (fractions.Fraction(count, n) for count in right)
    chance = p * q + (1 - p) * (1 - q)
    assert found["expected"] == pytest.approx(float(chance), rel=REL)
    if chance == 1:
        assert math.isnan(found["kappa"]) and found["reason"]
        return

    def kappa(share):
        return (share - chance) / (1 - chance)

    agree = fractions.Fraction(sum(a == b for a, b in both), n)
    assert found["kappa"] == pytest.approx(float(kappa(agree)), rel=REL, abs=1e-13)
    assert found["reason"] == ""
    # Every number of images that both may have right, at these accuracies.
    shares = [
        fractions.Fraction(shared + n - right[0] - right[1] + shared, n)
        for shared in range(max(0, sum(right) - n), min(right) + 1)
    ]
    assert found["low"] == pytest.approx(float(kappa(min(shares))), rel=REL, abs=1e-13)
    assert found["high"] == pytest.approx(float(kappa(max(shares))), rel=REL, abs=1e-13)
    assert found["low"] - 1e-12 <= found["kappa"] <= found["high"] + 1e-12
    value = kappa(agree)
    if n > 1 and n - 1 + value > 0:
        assert found["unbiased"] == pytest.approx(float(n * value / (n - 1 + value)), rel=REL, abs=1e-13)
    else:
        assert math.isnan(found["unbiased"])
    # The same number by the code that compares people with members.
    cells, pair = np.zeros(n, int), Categories(("no", "yes"))
    people, members = (np.array(side, float) for side in zip(*both, strict=True))
    row = pair_answers.compare_answers(people[None], members, cells, seed=0, resamples=2, categories=pair)
    row = row.set_index("statistic").loc["κ of people with members"]
    for name, key in (("value", "kappa"), ("least", "low"), ("most", "high")):
        assert row[name] == pytest.approx(found[key], rel=REL, abs=1e-13)


def _maps(seed):
    """Maps of people and of a network (T, 5, 6), their pairs, and options of the protocol."""
    random = np.random.default_rng(seed)
    count = int(random.integers(2, 7))
    people, model = random.random((2, count, 5, 6)) ** 2
    model -= random.uniform(0, 1)
    pairs = np.sort(random.integers(0, 3, count))
    kind = ("", "constant", "missing", "twice the same", "nobody", "zero", "one pixel")[seed % 7]
    if kind == "constant":
        model[pairs == pairs[0]] = 0.3
    if kind == "missing":
        people[0, 2, 2] = np.nan
        model[-1] = np.inf
    if kind == "twice the same":
        people[1], model[1], pairs[1] = people[0], model[0], pairs[0]
    if kind == "nobody":
        people[:] = np.nan
    if kind == "zero":
        people[:] = 0
    if kind == "one pixel":
        model[:] = 0
        model[:, 1, 1] = 1
    names = ("per_image", "normalise", "integer", "compare", "empty")
    options = {name: str(random.choice(dice.CHOICES[name])) for name in names}
    return people, model, pairs, options


def _flat(maps):
    return [[float(value) for value in one.ravel()] for one in maps]


def _of_image(values, per_image):
    low, high = min(values), max(values)
    if per_image == "minmax":
        return [(value - low) / (high - low) if high > low else 0.0 for value in values]
    if per_image == "sum":
        shifted = [value - min(low, 0.0) for value in values]
        total = math.fsum(shifted)
        return [value / total if total > 0 else value for value in shifted]
    return values


def _cut(values, options):
    """Return which pixels of a mean map are on, None where it cannot be scaled."""
    low, high = (min(values) if options["normalise"] == "minmax" else 0.0), max(values)
    if not high > low:
        return None
    on = []
    for value in values:
        scaled = 255 * min(max((value - low) / (high - low), 0.0), 1.0)
        whole = math.floor(scaled) if options["integer"] == "floor" else round(scaled)
        on.append(whole > 50 if options["compare"] == "gt" else whole >= 50)
    return on


@pytest.mark.parametrize("seed", SEEDS)
def test_dice_of_maps(seed):
    people, model, pairs, options = _maps(seed)
    table = dice.dice_per_pair(people, model, pairs, dice.DiceOptions(**options)).set_index("unit")
    assert table.index.tolist() == sorted(set(pairs.tolist()))
    flat = _flat(people), _flat(model)
    for pair, row in table.iterrows():
        own = [t for t in range(len(pairs)) if pairs[t] == pair]
        whole = [t for t in own if all(math.isfinite(value) for side in flat for value in side[t])]
        assert (row["n_images"], row["n_missing"]) == (len(whole), len(own) - len(whole))
        masks = []
        for side in flat:
            scaled = [_of_image(side[t], options["per_image"]) for t in whole]
            mean = [math.fsum(column) / len(whole) for column in zip(*scaled, strict=True)]
            masks.append(_cut(mean, options) if whole else None)
        if None in masks or not (any(masks[0]) or any(masks[1])):
            if None not in masks and options["empty"] == "one":
                assert row["dice"] == 1
            else:
                assert math.isnan(row["dice"]) and row["reason"]
            continue
        shared = sum(a and b for a, b in zip(*masks, strict=True))
        areas = [sum(mask) / 30 for mask in masks]
        chance = 2 * areas[0] * areas[1] / sum(areas)
        value = 2 * shared / (30 * sum(areas))
        found = row[["dice", "area_human", "area_model", "chance"]].astype(float)
        np.testing.assert_allclose(found, [value, *areas, chance], rtol=REL)
        if chance < 1:
            assert row["corrected"] == pytest.approx((value - chance) / (1 - chance), rel=1e-9, abs=1e-12)
        assert row["reason"] == ""


@pytest.mark.parametrize("seed", SEEDS)
def test_sensitivity_and_criterion(seed):
    random, trio = np.random.default_rng(seed), Categories(("neutral", "happy", "sad"))
    rows = []
    for true, false in trio.ordered_pairs:
        n = int(random.integers(0, 12))
        right = int(random.choice([0, n, random.integers(0, n + 1)]))  # nobody right and everybody right among them
        rows.append((trio[true], trio[false], right / n if n else math.nan, n, right))
    pairs = pd.DataFrame(rows, columns=["true_label", "false_label", "accuracy", "n", "right"])
    pairs = pairs.sample(frac=1, random_state=seed)[: 6 - seed % 3]  # pairs may be missing
    counts = {(row.true_label, row.false_label): (row.right, row.n) for row in pairs.itertuples()}
    table = behaviour.sensitivity(pairs.drop(columns="right"), categories=trio)
    for row, (a, b) in zip(table.itertuples(), trio.pairs, strict=True):
        (hits, n), (rejections, m) = (counts.get(names, (0, 0)) for names in ((trio[a], trio[b]), (trio[b], trio[a])))
        assert (row.n_first, row.n_second) == (n, m)
        if not n or not m:
            assert math.isnan(row.d_prime) and math.isnan(row.criterion)
            continue
        hit, false = stats.norm.ppf((hits + 0.5) / (n + 1)), stats.norm.ppf((m - rejections + 0.5) / (m + 1))
        assert row.d_prime == pytest.approx(hit - false, rel=REL, abs=1e-12)
        assert row.criterion == pytest.approx(-(hit + false) / 2, rel=REL, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_correlations_over_ordered_pairs(seed):
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 20))
    table = pd.DataFrame(random.random((n, 3)), columns=["accuracy", "clicks", "time_ms"])
    table = table.mask(random.random(table.shape) < 0.2 * (seed % 2))
    if seed % 5 == 0:
        table["clicks"] = 0.1 + 0.2
    if seed % 7 == 0:
        table = table.iloc[np.repeat(0, n)]
    found = behaviour.correlations(table)
    for first, second in (("clicks", "time"), ("clicks", "accuracy"), ("time", "accuracy")):
        columns = [table[{"time": "time_ms"}.get(name, name)].tolist() for name in (first, second)]
        both = [pair for pair in zip(*columns, strict=True) if not any(map(math.isnan, pair))]
        name = f"{first}_{second}"
        assert found[f"n_{name}"] == len(both)
        r = _pearson(*map(list, zip(*both, strict=True))) if len(both) > 1 else None
        if r is None:
            assert math.isnan(found[f"r_{name}"]) and found["reason"]
        else:
            assert found[f"r_{name}"] == pytest.approx(r, rel=1e-9, abs=1e-12)
