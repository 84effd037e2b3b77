"""Laws of clicks against gaze, on generated people who look at a few spots of generated pictures."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fer_jax.compare import gaze as compared
from fer_jax.compare.gaze import ANOTHER, CEILING, CENTRE, GAZE, OTHERS, SCORES, GazeOptions
from fer_jax.errors import UsageError
from fer_jax.human.gaze import Places, places, read_osie_gaze, read_osie_mouse
from fer_jax.streams import stream

SIZE = (24, 36)
NUM_PICTURES = 8
OPTIONS = GazeOptions(sigma_px=2, cell_px=1, halves=4)
PICTURES = [f"p{number}" for number in range(NUM_PICTURES)]


def made(seed, people, *, scatter=1.5, size=SIZE, shift=0, uniform=False) -> Places:
    """Let people look at one of three spots of each picture at a time. The spots are the same for every seed."""
    random = stream(seed, 9)
    rows = []
    for number, image in enumerate(PICTURES):
        spots = stream(number + shift, 8).uniform(0.1, 0.9, (3, 2)) * size[::-1]
        for person in range(people):
            at = spots[random.integers(0, 3, 6)] + random.normal(0, scatter, (6, 2))
            if uniform:
                at = random.uniform(0, 1, (6, 2)) * size[::-1]
            rows += [(image, f"P{person:02d}", *point) for point in np.clip(at, 0, np.asarray(size[::-1]) - 0.01)]
    return places(pd.DataFrame(rows, columns=["image", "participant", "x", "y"]), dict.fromkeys(PICTURES, size))


def means(found):
    return found.pictures.groupby("predictor")[list(SCORES)].mean()


@pytest.fixture(scope="module")
def lookers():
    return made(1, 9)


@pytest.fixture(scope="module")
def found(lookers):
    """The people who click are as many as a half, and look at the same spots."""
    return compared.agreement(lookers, {"clicks": made(2, 4)}, seed=0, options=OPTIONS)


def test_every_picture_has_every_map_and_half_the_people_are_held_out(found):
    assert found.held_out == 4
    wanted = ["clicks", CEILING, "clicks" + ANOTHER, OTHERS, CENTRE]
    assert list(dict.fromkeys(found.pictures["predictor"])) == wanted
    assert len(found.pictures) == len(wanted) * NUM_PICTURES
    assert np.isfinite(found.pictures[list(SCORES)].to_numpy()).all()
    people = found.curve.groupby("source")["people"].unique()
    assert {name: sizes.tolist() for name, sizes in people.items()} == {GAZE: [1, 2, 4], "clicks": [1, 2, 4]}


def test_people_who_click_where_others_look_reach_the_ceiling(found):
    table = compared.contrasts(found, seed=0, resamples=400).set_index(["score", "b"])
    for score in SCORES:
        own, floor = table.loc[(score, CEILING)], table.loc[(score, OTHERS)]
        assert abs(own["difference"]) < 0.2 * abs(floor["difference"]), score
        assert floor["p_holm"] < 0.05, score
        assert abs(table.loc[(score, "clicks" + ANOTHER), "difference"]) > abs(floor["difference"]) / 2, score
    assert table.loc[("cc", CEILING), "ci_low"] < 0 < table.loc[("cc", CEILING), "ci_high"] + 0.05


def test_the_whole_curve_ends_at_the_ceiling_and_at_everybody(found):
    last = found.curve[found.curve["people"] == 4].groupby("source")[list(SCORES)].mean()
    pd.testing.assert_series_equal(last.loc[GAZE], means(found).loc[CEILING], check_names=False, rtol=1e-5)
    pd.testing.assert_series_equal(last.loc["clicks"], means(found).loc["clicks"], check_names=False, rtol=1e-5)
    grown = found.curve.groupby(["source", "people"])["cc"].mean()
    assert all(grown[source].is_monotonic_increasing for source in (GAZE, "clicks"))


def test_gaze_that_is_the_same_for_all_is_foretold_without_error():
    one = made(3, 1).table
    seen, clicks = (
        places(pd.concat([one.assign(participant=n) for n in names]), dict.fromkeys(PICTURES, SIZE))
        for names in ("ABCDEFGHI", "ABCD")
    )
    scores = means(compared.agreement(seen, {"clicks": clicks}, seed=0, options=OPTIONS))
    for name in (CEILING, "clicks"):
        np.testing.assert_allclose(scores.loc[name, ["cc", "sim"]], 1, atol=1e-5)


def test_clicks_that_are_shuffled_over_pictures_score_at_the_floor(lookers):
    shuffled = compared.agreement(lookers, {"clicks": made(2, 4, shift=1)}, seed=0, options=OPTIONS)
    table = means(shuffled)
    for score in ("nss", "cc", "auc_shuffled", "information_gain"):
        span = table.loc[CEILING, score] - table.loc["clicks" + ANOTHER, score]
        assert abs(table.loc["clicks", score] - table.loc["clicks" + ANOTHER, score]) < 0.25 * span, score


def test_places_at_random_score_what_chance_does(lookers):
    table = means(compared.agreement(lookers, {"clicks": made(5, 4, uniform=True)}, seed=0, options=OPTIONS))
    for score, chance in compared.CHANCE.items():
        span = table.loc[CEILING, score] - chance
        assert abs(table.loc["clicks", score] - chance) < 0.2 * span, score
    even = 0.1
    assert table.loc[OTHERS, "information_gain"] == pytest.approx(0, abs=1e-6)
    assert table["information_gain"].max() < np.log2(1 / even) + table.loc[CEILING, "information_gain"]


def test_order_of_rows_changes_nothing_and_a_seed_gives_the_same_numbers(found, lookers):
    mixed = dataclasses.replace(lookers, table=lookers.table.sample(frac=1, random_state=0))
    again = compared.agreement(mixed, {"clicks": made(2, 4)}, seed=0, options=OPTIONS)
    pd.testing.assert_frame_equal(again.pictures, found.pictures, rtol=1e-4, atol=1e-5)
    other = compared.agreement(lookers, {"clicks": made(2, 4)}, seed=1, options=OPTIONS)
    assert not np.allclose(other.pictures["cc"], found.pictures["cc"], rtol=1e-4)


def test_a_person_who_clicks_a_lot_counts_once_where_people_are_weighted(lookers):
    clicks = made(2, 4)
    many = clicks.table[clicks.table["participant"] == "P00"]
    loud = dataclasses.replace(clicks, table=pd.concat([clicks.table, *[many] * 9], ignore_index=True))
    cc = {
        (weight, name): compared.agreement(
            lookers, {"clicks": source}, seed=0, options=dataclasses.replace(OPTIONS, weight=weight)
        ).pictures.query("predictor == 'clicks'")["cc"].to_numpy()
        for weight in ("places", "people")
        for name, source in (("even", clicks), ("loud", loud))
    }  # fmt: skip
    np.testing.assert_allclose(cc["people", "even"], cc["people", "loud"], atol=1e-4)
    assert abs(cc["places", "even"] - cc["places", "loud"]).max() > 0.05


def test_pictures_may_differ_in_size(lookers):
    sizes = dict(lookers.sizes) | {PICTURES[0]: (30, 20)}
    table = lookers.table.assign(x=lookers.table["x"].where(lookers.table["image"] != PICTURES[0], 10.5))
    mixed = places(table, sizes)
    scores = compared.agreement(mixed, {"clicks": mixed}, seed=0, options=OPTIONS).pictures
    assert np.isfinite(scores[list(SCORES)].to_numpy()).all()
    own = scores.query("predictor == 'clicks'").set_index("picture")["cc"]
    assert own[PICTURES[0]] > 0.8


def test_too_few_people_or_pictures_are_refused(lookers):
    alone = dataclasses.replace(lookers, table=lookers.table[lookers.table["participant"] == "P00"])
    with pytest.raises(UsageError, match="`gaze`: wanted two people or more"):
        compared.agreement(alone, {"clicks": lookers}, seed=0)
    once = dataclasses.replace(lookers, table=lookers.table[lookers.table["image"] == "p0"])
    with pytest.raises(UsageError, match="`sources`: wanted two pictures or more in common"):
        compared.agreement(lookers, {"clicks": once}, seed=0)
    with pytest.raises(UsageError, match="`weight`"):
        GazeOptions(weight="both")


def test_a_fit_of_exact_numbers_gives_them_back():
    people = np.array([1, 2, 4, 8, 12])
    limits, halves = np.array([0.8, 0.95]), np.array([1.6, 0.4])
    values = limits[:, None] * np.sqrt(people / (people + halves[:, None]))
    limit, half_signal = compared.fit_reliability(people, values)
    np.testing.assert_allclose(limit, limits, rtol=0.002)
    np.testing.assert_allclose(half_signal, halves, rtol=0.01)
    for tolerance in (0.1, 0.03):
        needed = compared.people_needed(limits, halves, tolerance)
        reached, short = (limits * np.sqrt(n / (n + halves)) for n in (needed, needed - 1))
        assert (reached >= limits - tolerance).all()
        assert ((short < limits - tolerance) | (needed == 1)).all()
    assert np.isnan(compared.fit_reliability(people[:1], values[:, :1])).all()


def test_a_plan_follows_the_curve_and_is_checked_by_the_largest_group():
    random = stream(4)
    truth = {GAZE: (0.95, 1.1, (1, 2, 4, 7)), "clicks": (0.76, 1.6, (1, 2, 4, 8, 12))}
    rows = [
        (source, image, n, *[limit * np.sqrt(n / (n + half)) + random.normal(0, 0.01)] * len(SCORES))
        for source, (limit, half, sizes) in truth.items()
        for image in range(40)
        for n in sizes
    ]
    curve = pd.DataFrame(rows, columns=["source", "picture", "people", *SCORES])
    plan = compared.plan(compared.Agreement(curve, curve, 7), seed=0, tolerances=(0.1, 0.03), resamples=200)
    row = plan[(plan["source"] == "clicks") & (plan["tolerance"] == 0.03)].iloc[0]
    exact = compared.people_needed(np.array([0.76]), np.array([1.6]), 0.03)[0]
    assert row["people_low"] <= exact <= row["people_high"]
    assert row["people_low"] <= row["people"] <= row["people_high"]
    assert row["limit_low"] < 0.76 < row["limit_high"]
    assert row["of_gaze"] == pytest.approx(0.8, abs=0.01)
    assert row["predicted"] == pytest.approx(row["seen"], abs=0.01)
    assert (row["checked"], row["largest"]) == (12, 12)
    # Gaze of n people reaches what twelve who click do: .95 √(n / (n + 1.1)) = .76 √(12 / 13.6).
    share = (0.76 / 0.95) ** 2 * 12 / 13.6
    assert row["gaze_people"] == pytest.approx(1.1 * share / (1 - share), abs=0.1)
    assert (plan.groupby("source")["people"].first() < plan.groupby("source")["people"].last()).all()


def test_real_traces_lie_between_floor_and_ceiling(real_data):
    seen, moved = read_osie_gaze(real_data / "osie"), read_osie_mouse(real_data / "osie")
    few = seen.images[:10]
    seen, moved = (dataclasses.replace(p, table=p.table[p.table["image"].isin(few)]) for p in (seen, moved))
    options = GazeOptions(cell_px=24, halves=3)
    table = means(compared.agreement(seen, {"mouse": moved}, seed=0, options=options))
    for score in ("nss", "auc_judd", "auc_shuffled", "cc", "sim", "information_gain"):
        floors = table.loc[[OTHERS, CENTRE, "mouse" + ANOTHER], score].max()
        assert floors < table.loc["mouse", score] < table.loc[CEILING, score], score
    assert table.loc["mouse", "cc"] == pytest.approx(0.75, abs=0.1)
    assert table.loc[CEILING, "cc"] == pytest.approx(0.88, abs=0.05)
