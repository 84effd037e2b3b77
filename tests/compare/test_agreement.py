"""Maps against people: the library's metrics, laws of floors and ceilings, and people who gave nothing to compare."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import human, metrics
from fer_jax.categories import Categories
from fer_jax.compare import _map_scores, agreement, dice, reference_maps
from fer_jax.compare.clicks import clicks_of
from fer_jax.errors import UsageError

PX, RADIUS = 40, 4
TRIO = Categories(("neutral", "happy", "sad"))
CELLS = np.repeat(np.arange(6), 4)
_ORDERED = [TRIO.pair_index(*sorted(pair)) for pair in TRIO.ordered_pairs]
PAIRS = np.repeat(_ORDERED, 4)


@pytest.fixture(scope="module")
def study():
    labels, names = np.repeat(np.arange(3), 10), [str(number) for number in range(30)]
    return human.study.make_study(labels, names, seed=0, per_ordered_pair=4, categories=TRIO)


@pytest.fixture(scope="module")
def clicks(study):
    """Clicks of eight people, who look at another place of each image."""
    people = human.observers.simulate(study, seed=1, image_px=PX, participants=8, with_dropouts=False)
    found = clicks_of(people, study, image_px=PX, radius=RADIUS)
    random = np.random.default_rng(0)
    centres = random.uniform(8, PX - 8, (found.images, 1, 2))
    points = np.floor(centres[found.image] + random.normal(0, 4, found.points.shape)) + 0.5
    points = np.where(np.isnan(found.points), np.nan, np.clip(points, 0.5, PX - 0.5))
    return dataclasses.replace(found, points=points.astype(np.float32))


@pytest.fixture(scope="module")
def attention(clicks):
    return np.stack([clicks.discs(image)[0].mean(0, dtype=np.float64).reshape(PX, PX) for image in range(24)]).astype(
        np.float32
    )


def _random_maps(seed, count=24):
    return np.stack([reference_maps.random_field(PX, PX, seed=(seed, image)) for image in range(count)])


@pytest.fixture(scope="module")
def tables(clicks, attention):
    methods = {
        "people": attention,
        "chance": _random_maps(0),
        "noisy": attention + 0.2 * _random_maps(1),
        "shuffled": np.roll(attention, 8, 0),  # of another pair
    }
    pictures = np.random.default_rng(0).integers(0, 256, (24, PX, PX, 3), np.uint8)
    baselines = reference_maps.of_study(attention, PAIRS, pictures)
    return agreement.agreement(clicks, methods, baselines, PAIRS, CELLS, seed=0, resamples=300)


def _value(tables, metric, source, column="value"):
    table = tables[0]
    return table[(table["metric"] == metric) & (table["source"] == source)].iloc[0][column]


def test_scores_of_an_image_are_those_of_the_metrics(clicks, attention):
    random = np.random.default_rng(1)
    maps = np.stack([random.random((PX, PX)), np.round(4 * _random_maps(2, 1)[0]) / 4, np.zeros((PX, PX))])
    image = 3
    points = jnp.asarray(clicks.points[clicks.image == image].reshape(-1, 2))
    elsewhere = [jnp.asarray(clicks.points[clicks.image == other].reshape(-1, 2)) for other in range(8, 24)]
    counts = np.zeros(PX * PX)
    for other in range(8, 24):
        np.add.at(counts, clicks.pixels(other)[0], 1)
    prior = _map_scores.mixed(attention[8:].mean(0).reshape(1, -1))[0]
    found = agreement._scores(maps.reshape(3, -1), attention[image].reshape(-1), clicks.pixels(image)[0], prior, counts)
    with jax.enable_x64():
        for place, heat in enumerate(maps):
            people, heat = jnp.asarray(attention[image]), jnp.asarray(heat)
            wanted = {
                "nss": metrics.nss(heat, points),
                "auc_judd": metrics.auc_judd(heat, points),
                "auc_shuffled": metrics.auc_shuffled(heat, points, jnp.concatenate(elsewhere)),
                "cc": metrics.cc(heat, people),
                "sim": metrics.sim(heat, people),
                "kl": metrics.kl(heat, people),
                "spearman": metrics.spearman(heat, people),
                "information_gain": metrics.information_gain(
                    _map_scores.mixed(np.asarray(heat).reshape(1, -1)).reshape(PX, PX), prior.reshape(PX, PX), points
                ),
            }
            for name, value in wanted.items():
                np.testing.assert_allclose(found[name][place], float(value), rtol=1e-6, atol=1e-9, err_msg=name)


def test_dice_of_pairs_is_that_of_the_protocol_and_of_matched_areas(tables, attention):
    noisy = attention + 0.2 * _random_maps(1)
    assert _value(tables, "dice", "noisy") == dice.dice_per_pair(attention, noisy, PAIRS)["dice"].mean()
    means = [[maps[pair == PAIRS].mean(0) for pair in range(3)] for maps in (attention, noisy)]
    count = round(agreement.TOP * PX * PX)
    wanted = [metrics.dice_at_area(jnp.asarray(a), jnp.asarray(b), count) for a, b in zip(*means, strict=True)]
    np.testing.assert_allclose(_value(tables, "dice_top", "noisy"), np.mean(wanted), atol=1 / count)


def test_a_method_that_is_people_scores_as_well_as_can_be(tables):
    for metric, best in (("dice", 1), ("dice_top", 1), ("cc", 1), ("sim", 1), ("spearman", 1), ("kl", 0)):
        assert _value(tables, metric, "people") == pytest.approx(best, abs=1e-12)
    table = tables[0]
    for metric in ("nss", "auc_judd", "auc_shuffled", "information_gain"):
        own = table[(table["metric"] == metric) & ~table["source"].isin(["people", "noisy"])]
        assert _value(tables, metric, "people") > own["value"].max(), metric


def test_random_maps_score_what_their_areas_would(tables):
    chance = {"nss": 0, "auc_shuffled": 0.5, "cc": 0, "spearman": 0, "dice_top": agreement.TOP}
    for metric, wanted in chance.items():
        low, high = (_value(tables, metric, "chance", column) for column in ("low", "high"))
        assert low - 0.1 < wanted < high + 0.1, metric
        assert abs(_value(tables, metric, "chance") - wanted) < 0.2, metric


def test_shuffled_maps_score_lower_than_matched_ones(tables):
    for metric in agreement.METRICS:
        better = _value(tables, metric, "noisy") - _value(tables, metric, "shuffled")
        assert better * (-1 if metric == "kl" else 1) > 0, metric
    row = tables[1].set_index(["metric", "a", "b"]).loc["cc", "noisy", "shuffled"]
    assert row["low"] > 0
    assert row["difference"] == pytest.approx(_value(tables, "cc", "noisy") - _value(tables, "cc", "shuffled"))


def test_every_number_has_an_interval_around_it_or_a_reason(tables):
    for table, value in zip(tables, ("value", "difference"), strict=True):
        known = table[value].notna()
        assert table["reason"][~known].ne("").all()
        inside = (table["low"] <= table[value] + 1e-9) & (table[value] <= table["high"] + 1e-9)
        assert inside[known].all(), table[known & ~inside]
    assert not tables[0].duplicated(["metric", "source"]).any()
    own = tables[0][tables[0]["source"] == "another image"].set_index("metric")["value"]
    assert own.isna().to_dict() == {metric: metric in agreement.OF_PAIRS for metric in agreement.METRICS}


def test_one_half_of_the_people_as_a_method_scores_the_ceiling(clicks):
    (first,) = agreement._first_halves(clicks.people, 5, 1)
    pair = np.flatnonzero(PAIRS >= 0)
    one, other = (
        dataclasses.replace(clicks, image=clicks.image[rows], person=clicks.person[rows], points=clicks.points[rows])
        for rows in (first[clicks.person], ~first[clicks.person])
    )
    maps = np.full((24, PX, PX), np.nan)
    for image in pair:
        discs, _ = one.discs(image)
        if len(discs):
            maps[image] = discs.mean(0).reshape(PX, PX)
    settings = {"seed": 5, "resamples": 20, "halves": 1}
    whole = agreement.agreement(clicks, {"none": _random_maps(3)}, {}, PAIRS, CELLS, **settings)[0]
    ceiling = whole[whole["source"] == agreement.HALF].set_index("metric")
    # The clicks on other images, which two metrics count over, are those of the other half alone here.
    half = agreement.agreement(other, {"half": maps}, {}, PAIRS, CELLS, **settings)[0]
    half = half[half["source"] == "half"].set_index("metric")
    for metric in set(agreement.METRICS) - {"auc_shuffled", "information_gain"}:
        assert half["value"][metric] == pytest.approx(ceiling["value"][metric], abs=1e-6), metric
    best = whole[whole["source"] == agreement.BEST].set_index("metric")["value"]
    r = ceiling["value"]["cc"]
    assert best["cc"] == pytest.approx(math.sqrt(2 * r / (1 + r)))


def test_neither_the_order_of_people_nor_that_of_images_changes_a_number(clicks, tables, attention):
    order = np.random.default_rng(2).permutation(24)
    place = np.argsort(order)
    rows = np.argsort(place[clicks.image], kind="stable")
    moved = dataclasses.replace(
        clicks, image=place[clicks.image][rows], person=7 - clicks.person[rows], points=clicks.points[rows]
    )
    methods = {"noisy": (attention + 0.2 * _random_maps(1))[order]}
    again = agreement.agreement(moved, methods, {}, PAIRS[order], CELLS[order], seed=0, resamples=300)[0]
    for row in again[again["source"] == "noisy"].itertuples():
        assert row.value == pytest.approx(_value(tables, row.metric, "noisy"), abs=1e-12)


def test_what_is_missing_is_left_out_and_said(clicks, attention):
    maps = _random_maps(4)
    maps[3] = np.nan
    maps[PAIRS == 2] = 0.5
    table = agreement.agreement(clicks, {"gaps": maps}, {}, PAIRS, CELLS, seed=0, resamples=50)[0]
    table = table[table["source"] == "gaps"].set_index("metric")
    assert table["n"].to_dict() == {
        **dict.fromkeys(("dice", "dice_top"), 2),
        **dict.fromkeys(("nss", "auc_judd", "auc_shuffled", "information_gain", "cc", "sim", "kl"), 23),
        "spearman": 15,
    }
    assert table["reason"]["dice"] == "1 of 3 pairs left out: a map is missing or flat"
    assert table[["value", "low", "high"]].notna().all(axis=None)
    # Nobody, and one person.
    nobody = dataclasses.replace(clicks, image=clicks.image[:0], person=clicks.person[:0], points=clicks.points[:0])
    table, gaps = agreement.agreement(nobody, {"m": _random_maps(4), "n": maps}, {}, PAIRS, CELLS, seed=0, resamples=20)
    assert table[["value", "low", "high"]].isna().all(axis=None) and table["reason"].ne("").all()
    assert gaps["difference"].isna().all() and gaps["reason"].ne("").all()
    rows = clicks.person == 0
    alone = dataclasses.replace(
        clicks, image=clicks.image[rows], person=clicks.person[rows], points=clicks.points[rows]
    )
    table = agreement.agreement(alone, {"m": _random_maps(4)}, {}, PAIRS, CELLS, seed=0, resamples=20)[0]
    assert table["value"][table["source"] == "m"].notna().all()
    assert table[["low", "high"]].isna().all(axis=None)
    assert table["reason"].str.contains("one person|1 people|left out").all()


def test_mistakes_are_named(clicks, attention):
    with pytest.raises(UsageError, match=r"wanted maps \(24, 40, 40\), got \(23, 40, 40\) for 'cam'"):
        agreement.agreement(clicks, {"cam": attention[:23]}, {}, PAIRS, CELLS, seed=0)
    with pytest.raises(UsageError, match="`methods`: wanted maps by names that no baseline has, got cam"):
        agreement.agreement(clicks, {"cam": attention}, {"cam": attention}, PAIRS, CELLS, seed=0)
    with pytest.raises(UsageError, match=r"`cells`: wanted whole numbers from 0 \(24,\), got int64 \(23,\)"):
        agreement.agreement(clicks, {"cam": attention}, {}, PAIRS, CELLS[:23], seed=0)
    with pytest.raises(UsageError, match=r"`pictures`: wanted \(24, 40, 40, 3\)"):
        reference_maps.of_study(attention, PAIRS, np.zeros((24, 40, 40), np.uint8))


def test_clicks_are_in_the_order_of_people(study):
    people = human.observers.simulate(study, seed=1, image_px=PX, participants=4, with_dropouts=False)
    found = clicks_of(people, study, image_px=PX, radius=RADIUS)
    right = people.trials[people.trials["correct"].fillna(False).to_numpy(bool)]
    for image in range(3):
        own = right[right["image"] == study["image"].iloc[image]].sort_values("participant")
        _, who = found.discs(image)
        names = np.unique(right["participant"])
        assert names[who].tolist() == own["participant"].tolist()
    maps = human.attention.attention_maps(people, study, image_px=PX, radius=RADIUS)
    mean = agreement._Seen(found, PAIRS).human.reshape(maps.shape)
    np.testing.assert_array_equal(mean, maps)
