"""Reliability of attention maps: laws, scipy's numbers, and the figures of a published data set."""

import numpy as np
import pytest
from scipy import stats

from fer_jax import human
from fer_jax.errors import UsageError
from fer_jax.human import reliability
from fer_jax.streams import stream


def noisy(people, pixels, signal, seed=0):
    random = stream(seed)
    return random.random(pixels) * signal + random.random((people, pixels))


@pytest.mark.parametrize("correlation", reliability.CORRELATIONS)
@pytest.mark.parametrize("scaling", reliability.SCALINGS)
def test_equal_maps_are_perfectly_reliable(correlation, scaling):
    maps = np.tile(stream(1).random(50), (7, 1))
    named = {"correlation": correlation, "scaling": scaling}
    assert reliability.split_half(maps, seed=0, halves=9, **named) == pytest.approx(1, abs=1e-12)
    assert reliability.leave_one_out(maps, **named) == pytest.approx((1, 1), abs=1e-12)


@pytest.mark.parametrize("correlation", reliability.CORRELATIONS)
def test_independent_maps_are_not_reliable(correlation):
    maps = noisy(12, 4000, 0)
    assert abs(reliability.split_half(maps, seed=0, halves=20, correlation=correlation)) < 0.05
    lower, upper = reliability.leave_one_out(maps, correlation=correlation)
    assert abs(lower) < 0.05
    assert upper == pytest.approx(1 / np.sqrt(12), abs=0.05)  # a person's part in the mean


def test_spearman_brown_of_r():
    for r in (-0.4, 0.0, 0.34, 1.0):
        assert reliability.spearman_brown(r) == pytest.approx(2 * r / (1 + r))
    assert np.isnan(reliability.spearman_brown(-1.0))
    assert np.isnan(reliability.spearman_brown(np.nan))


def test_twice_the_people_are_as_reliable_as_the_formula_says():
    few, many = (reliability.split_half(noisy(2 * n, 20_000, 0.5, 3), seed=0, halves=60) for n in (5, 10))
    assert many == pytest.approx(reliability.spearman_brown(few), abs=0.02)


@pytest.mark.parametrize("correlation", reliability.CORRELATIONS)
def test_ceilings_are_those_of_scipy(correlation):
    maps = noisy(5, 40, 1)
    people = maps / maps.mean(1, keepdims=True) - 1
    measured = {"pearson": stats.pearsonr, "spearman": stats.spearmanr}[correlation]
    lower = [measured(one, np.delete(people, place, 0).mean(0)).statistic for place, one in enumerate(people)]
    upper = [measured(one, people.mean(0)).statistic for one in people]
    found = reliability.leave_one_out(maps, correlation=correlation)
    assert found == pytest.approx((np.mean(lower), np.mean(upper)), abs=1e-12)
    # Two people have one division, up to its order.
    half = reliability.split_half(maps[:2], seed=0, halves=3, correlation=correlation)
    assert half == pytest.approx(measured(*people[:2]).statistic, abs=1e-12)


def test_the_order_of_people_does_not_change_a_ceiling():
    maps = noisy(9, 60, 1)
    order = stream(4).permutation(9)
    assert reliability.leave_one_out(maps[order]) == pytest.approx(reliability.leave_one_out(maps), abs=1e-12)


def test_scaling_lets_everybody_weigh_alike():
    maps = noisy(6, 80, 1)
    loud = maps * np.array([[1], [10], [1], [100], [1], [3]])
    assert reliability.leave_one_out(loud) == pytest.approx(reliability.leave_one_out(maps), abs=1e-12)
    assert reliability.leave_one_out(loud, scaling="none") != pytest.approx(reliability.leave_one_out(maps), abs=1e-3)


def test_a_person_without_a_map_takes_no_part():
    maps = noisy(5, 30, 1)
    with_gaps = np.concatenate([maps, np.zeros((1, 30)), np.full((1, 30), np.nan)])
    assert reliability.leave_one_out(with_gaps) == reliability.leave_one_out(maps)


@pytest.mark.parametrize(
    "maps", [np.zeros((0, 9)), np.ones((1, 9)), np.ones((4, 9)), np.ones((4, 9)) * [[1], [2], [3], [4]]]
)
def test_what_cannot_be_known_is_nan(maps):
    assert np.isnan(reliability.split_half(maps, seed=0, halves=4))
    assert np.isnan(reliability.leave_one_out(maps)).all()


def test_wrong_names_and_shapes_are_refused():
    maps = noisy(4, 9, 1)
    with pytest.raises(UsageError, match="`correlation`: wanted one of pearson, spearman"):
        reliability.split_half(maps, seed=0, correlation="kendall")
    with pytest.raises(UsageError, match="`scaling`"):
        reliability.leave_one_out(maps, scaling="max")
    with pytest.raises(UsageError, match="`maps`: wanted"):
        reliability.split_half(maps[0], seed=0)


def test_the_maps_of_people_average_to_the_attention_map(small_cohort, small_study):
    sizes = {"image_px": 64, "radius": 6}
    whole = human.attention.attention_maps(small_cohort, small_study, **sizes)
    for image, maps in zip(whole, human.attention.person_maps(small_cohort, small_study, **sizes), strict=True):
        assert maps.dtype == np.uint8
        if len(maps):
            np.testing.assert_allclose(maps.mean(0), image, atol=1e-6)
        else:
            assert np.isnan(image).all()


@pytest.mark.parametrize("scaling", reliability.SCALINGS)
def test_counted_pixels_give_what_the_maps_give(small_cohort, small_study, scaling):
    sizes, told = {"image_px": 64, "radius": 6}, {"seed": 2, "halves": 10}
    table = reliability.attention_reliability(small_cohort, small_study, scaling=scaling, **sizes, **told)
    maps = human.attention.person_maps(small_cohort, small_study, **sizes)
    for row, own in zip(table.itertuples(), maps, strict=True):
        flat = own.reshape(len(own), -1).astype(float)
        half = reliability.split_half(flat[flat.any(1)], scaling=scaling, **told)
        bounds = reliability.leave_one_out(flat[flat.any(1)], scaling=scaling)
        given = (row.split_half, row.loo_lower, row.loo_upper)
        np.testing.assert_allclose(given, (half, *bounds), rtol=0, atol=1e-12)


def test_each_image_has_its_reliability_or_a_reason(small_cohort, small_study):
    told = {"image_px": 64, "radius": 6, "seed": 0, "halves": 10}
    table = human.reliability.attention_reliability(small_cohort, small_study, **told)
    assert table["image"].tolist() == small_study["image"].tolist()
    known = table[["split_half", "best_score"]].notna().all(axis=1)
    assert known.any()
    assert (table["reason"] == "").equals(known)
    assert (table["loo_upper"] >= table["loo_lower"])[known].all()
    one = small_cohort.of(["P01"])
    alone = human.reliability.attention_reliability(one, small_study, trials_used="all", **told)
    assert set(alone["reason"]) == {"1 people uncovered anything"}
    assert alone[["split_half", "loo_lower"]].isna().all(axis=None)


def test_the_published_logs_have_the_ceilings_of_the_design(real_data):
    """Weights 1 - n/16 on the n <= 16 tiles of a right answer; faces side by side, missing ones 0."""
    read = human.readers.read_wegrzyn2017(real_data / "wegrzyn2017")
    right = read.trials[read.trials["correct"].fillna(False) & (read.trials["n_clicks"] <= 16)]
    kept = ["participant", "trial"]
    shown = read.clicks.merge(right[[*kept, "n_clicks"]], on=kept)
    tile = (shown["x_px"] // 50 * 8 + shown["y_px"] // 50).astype(int)
    people, faces = (sorted(read.trials[name].unique()) for name in ("participant", "image"))
    maps = np.zeros((len(faces), len(people), 48))
    places = shown["image"].map(faces.index), shown["participant"].map(people.index), tile
    np.add.at(maps, tuple(map(np.asarray, places)), 1 - shown["n_clicks"].to_numpy(float) / 16)
    scaled = np.concatenate([np.nan_to_num(reliability.scaled(face)) for face in maps], axis=1)
    half = reliability.split_half(scaled, seed=0, scaling="none")
    assert half == pytest.approx(0.34, abs=0.03)
    assert reliability.spearman_brown(half) == pytest.approx(0.51, abs=0.03)
    assert reliability.leave_one_out(scaled, scaling="none") == pytest.approx((0.16, 0.32), abs=0.01)
    between = np.corrcoef(scaled)[np.triu_indices(len(people), 1)].mean()
    assert between == pytest.approx(0.05, abs=0.01)
