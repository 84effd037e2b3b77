import inspect
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from fer_jax import metrics
from fer_jax.errors import UsageError

TOLERANCE = 1e-9  # of the reference arrays, float64


_OPTIONS = ("normalise", "integer", "compare", "empty", "classes", "jitter", "data_range")


def _compile(function):
    names = [name for name in inspect.signature(function).parameters if name in _OPTIONS]
    return jax.jit(function, static_argnames=names)


# Every metric compiled whole: far faster here than operation by operation, and a test that it can be.
compiled = types.SimpleNamespace(
    **{name: _compile(function) for name, function in inspect.getmembers(metrics, inspect.isfunction) if name[0] != "_"}
)


@pytest.fixture(scope="module")
def arrays(goldens):
    return goldens("metrics")


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def clicks_of(rows, columns):
    """Somewhere inside the pixels, as people click."""
    return jnp.asarray(np.stack([columns + 0.7, rows + 0.2], -1))


def random_map(seed, shape=(12, 17)):
    return jnp.asarray(np.random.default_rng(seed).random(shape), jnp.float32)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("cc_f64", compiled.cc),
        ("pearson_f64", compiled.pearson),
        ("spearman_f64", compiled.spearman),
        ("sim_f64", compiled.sim),
        ("kl_mit_f64", compiled.kl),
    ],
)
def test_map_against_map_equals_the_reference(x64, arrays, name, metric):
    human = jnp.asarray(arrays["human_f64"])
    got = jax.vmap(lambda heat: metric(heat, human))(jnp.asarray(arrays["maps_f64"]))
    np.testing.assert_allclose(got, arrays[name], atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("nss_f64", compiled.nss),
        ("auc_judd_f64", compiled.auc_judd),
        ("auc_uniform_f64", compiled.auc_uniform),
        ("auc_uniform_sklearn_f64", compiled.auc_uniform),
    ],
)
def test_map_against_clicks_equals_the_reference(x64, arrays, name, metric):
    clicks = clicks_of(arrays["fix_y"], arrays["fix_x"])
    got = [metric(jnp.asarray(heat), clicks) for heat in arrays["maps_f64"]]
    np.testing.assert_allclose(got, arrays[name], atol=TOLERANCE, rtol=0)


def test_kendall_equals_the_reference(x64, arrays):
    human = jnp.asarray(arrays["human_f64"][::3, ::3])
    got = [compiled.kendall(jnp.asarray(heat[::3, ::3]), human) for heat in arrays["maps_f64"]]
    np.testing.assert_allclose(got, arrays["kendall_f64"], atol=TOLERANCE, rtol=0)


def test_shuffled_auc_equals_the_reference(x64, arrays):
    clicks = clicks_of(arrays["fix_y"], arrays["fix_x"])
    others = clicks_of(arrays["nonfix_y"], arrays["nonfix_x"])
    got = [compiled.auc_shuffled(jnp.asarray(heat), clicks, others) for heat in arrays["maps_f64"]]
    np.testing.assert_allclose(got, arrays["auc_shuffled_f64"], atol=TOLERANCE, rtol=0)


def test_paper_dice_equals_the_reference(x64, arrays):
    human = jnp.asarray(arrays["human_f64"])
    for heat, binary, dice, iou in zip(
        arrays["maps_f64"], arrays["bin_maps"], arrays["dice_f64"], arrays["iou_f64"], strict=True
    ):
        heat = jnp.asarray(heat)
        on = compiled.threshold(compiled.to_bytes(heat, integer="round"))
        np.testing.assert_array_equal(on, binary)
        np.testing.assert_allclose(compiled.dice_at_threshold(heat, human, integer="round"), dice, atol=1e-12)
        np.testing.assert_allclose(compiled.iou(on, jnp.asarray(arrays["bin_human"])), iou, atol=1e-12)


def test_localisation_equals_the_reference(x64, arrays):
    region = jnp.asarray(arrays["box"]) > 0
    for index, heat in enumerate(arrays["maps_f64"]):
        heat = jnp.asarray(heat - heat.min())
        assert float(compiled.pointing_game(heat, region)) == arrays["q_pointing_game_f64"][index]
        np.testing.assert_allclose(
            compiled.energy_pointing(heat, region), arrays["q_relevance_mass_f64"][index], atol=1e-7
        )
        np.testing.assert_allclose(
            compiled.relevance_rank(heat, region), arrays["q_relevance_rank_f64"][index], atol=1e-7
        )
        # Attribution localisation is the same share of the mass under another name.
        np.testing.assert_allclose(
            compiled.energy_pointing(heat, region), arrays["q_attribution_localisation_f64"][index], atol=1e-7
        )
        np.testing.assert_allclose(compiled.auc_region(heat, region), arrays["q_loc_auc_f64"][index], atol=TOLERANCE)


@pytest.mark.parametrize("seed", range(5))
def test_dice_laws(seed):
    first, second = random_map(seed) > 0.6, random_map(seed + 50) > 0.3
    dice, jaccard = compiled.dice(first, second), compiled.iou(first, second)
    assert dice == compiled.dice(second, first)
    assert compiled.dice(first, first) == 1
    np.testing.assert_allclose(dice, 2 * jaccard / (1 + jaccard), rtol=1e-6)


def test_two_empty_maps_follow_the_named_convention():
    nothing = jnp.zeros((4, 4), bool)
    assert jnp.isnan(compiled.dice(nothing, nothing))
    assert compiled.dice(nothing, nothing, empty="one") == 1
    assert compiled.iou(nothing, ~nothing) == 0


def test_to_bytes_options():
    heat = jnp.asarray([[2.0, 3.0], [4.0, 6.0]])
    np.testing.assert_array_equal(compiled.to_bytes(heat), [[0, 63], [127, 255]])
    np.testing.assert_array_equal(compiled.to_bytes(heat, integer="round"), [[0, 64], [128, 255]])
    np.testing.assert_array_equal(compiled.to_bytes(heat, normalise="max"), [[85, 127], [170, 255]])
    assert compiled.to_bytes(jnp.asarray([[-3.0, 1.0]]), normalise="max")[0, 0] == 0


def test_constant_maps_are_never_a_silent_zero():
    flat, heat = jnp.full((6, 6), 0.3), random_map(0, (6, 6))
    clicks = jnp.asarray([[1.0, 2.0]])
    assert jnp.isnan(compiled.to_bytes(flat)).all()
    assert jnp.isnan(compiled.dice_at_threshold(flat, heat))
    assert jnp.isnan(compiled.dice_at_area(heat, flat, 4))
    assert jnp.isnan(compiled.spearman(flat, heat))
    assert jnp.isnan(compiled.kendall(heat, flat))
    assert jnp.isnan(compiled.pearson(flat, heat))
    assert jnp.isnan(compiled.auc_region(heat, flat > 0))
    assert compiled.auc_region(flat, heat > 0.5) == 0.5
    assert jnp.isnan(compiled.cc(heat, flat))
    assert jnp.isnan(compiled.energy_pointing(jnp.zeros((6, 6)), heat > 0))
    assert compiled.cc(flat, heat) == 0  # the benchmark's convention
    assert compiled.nss(flat, clicks) == 0
    assert compiled.auc_uniform(flat, clicks) == 0.5


def test_threshold_at_the_very_level():
    values = jnp.asarray([49.0, 50.0, 51.0, jnp.nan])
    np.testing.assert_array_equal(compiled.threshold(values), [False, False, True, False])
    np.testing.assert_array_equal(compiled.threshold(values, compare="ge"), [False, True, True, False])


@pytest.mark.parametrize("count", [0, 1, 20, 204])
def test_matched_area_opens_exactly_so_many_pixels_and_ignores_scale(count):
    heat, human = random_map(1), jnp.round(random_map(2) * 4)
    assert compiled.most_salient(human, count).sum() == count
    plain = compiled.dice_at_area(heat, human, count)
    np.testing.assert_array_equal(compiled.dice_at_area(heat**3, 5 * human + 1, count), plain)


def test_most_salient_breaks_ties_by_place():
    np.testing.assert_array_equal(
        compiled.most_salient(jnp.asarray([[1.0, 2.0], [2.0, 2.0]]), 2), [[False, True], [True, False]]
    )


@pytest.mark.parametrize("metric", [compiled.nss, compiled.auc_judd, compiled.auc_uniform])
def test_padding_clicks_changes_nothing_and_none_is_nan(metric):
    heat = random_map(3)
    clicks = jnp.asarray([[2.5, 3.5], [9.0, 1.0], [2.5, 3.5]])
    padding = jnp.asarray([[jnp.nan, 4.0], [17.0, 3.0], [-0.1, 2.0]])
    padded = jnp.concatenate([padding, clicks])
    np.testing.assert_allclose(metric(heat, padded), metric(heat, clicks), rtol=1e-6)
    assert jnp.isnan(metric(heat, padding))


def test_a_map_that_knows_the_clicks_is_perfect():
    clicks = jnp.asarray([[3.0, 4.0], [10.0, 2.0]])
    heat = jnp.zeros((12, 17)).at[4, 3].set(2.0).at[2, 10].set(1.0)
    assert compiled.auc_judd(heat, clicks) == 1
    # Of 204 pixels the better click beats 203, the other 202; each ties with itself.
    np.testing.assert_allclose(compiled.auc_uniform(heat, clicks), (203.5 + 202.5) / 408, rtol=1e-6)
    noisy = compiled.auc_judd(jnp.zeros_like(heat), clicks, jitter=1e-7, key=jax.random.key(0))
    assert 0 <= noisy <= 1


def test_shuffled_auc_removes_what_all_images_share():
    heat, clicks = random_map(4), jnp.asarray(np.random.default_rng(5).random((30, 2)) * [17, 12])
    assert compiled.auc_shuffled(heat, clicks, clicks) == pytest.approx(0.5, abs=1e-6)


def test_information_gain_in_bits():
    clicks = jnp.asarray([[0.0, 0.0], [1.0, 0.0]])
    model, uniform = jnp.asarray([[0.5, 0.25, 0.125, 0.125]]), jnp.ones((1, 4))
    assert compiled.information_gain(model, uniform, clicks) == pytest.approx(0.5)
    assert compiled.information_gain(uniform, uniform, clicks) == pytest.approx(0, abs=1e-6)
    assert compiled.information_gain(jnp.asarray([[0.0, 1.0, 1.0, 1.0]]), uniform, clicks) == -jnp.inf


def test_rank_correlations_with_ties_equal_scipy(x64):
    first, second = jnp.round(random_map(6) * 5), jnp.round(random_map(7) * 3)
    for ours, theirs in ((compiled.spearman, scipy.stats.spearmanr), (compiled.kendall, scipy.stats.kendalltau)):
        expected = theirs(np.ravel(first), np.ravel(second)).statistic
        np.testing.assert_allclose(ours(first, second), expected, atol=1e-6)


def ssim_by_scipy(first, second, span):
    """Independent, in float64: scipy's own Gaussian, cut at the same 5 px, its border windows thrown away."""
    first, second = np.asarray(first, float), np.asarray(second, float)

    def mean(values):
        return scipy.ndimage.gaussian_filter(values, 1.5, radius=5)[5:-5, 5:-5]

    one, other = mean(first), mean(second)
    squares, product = mean(first**2) + mean(second**2) - one**2 - other**2, mean(first * second) - one * other
    flat = ((0.01 * span) ** 2, (0.03 * span) ** 2)
    return np.mean(
        (2 * one * other + flat[0]) * (2 * product + flat[1]) / ((one**2 + other**2 + flat[0]) * (squares + flat[1]))
    )


@pytest.mark.parametrize(("scale", "data_range"), [(1.0, 1.0), (255.0, 255.0), (3.0, None)])
def test_ssim_equals_scipy(scale, data_range):
    first = scale * random_map(13, (20, 31))
    second = 0.6 * first + 0.3 * scale * random_map(14, (20, 31))
    span = data_range or float(max(first.max(), second.max()) - min(first.min(), second.min()))
    got = compiled.ssim(first, second, data_range=data_range)
    assert got == pytest.approx(ssim_by_scipy(first, second, span), abs=1e-5)
    assert 0.1 < got < 0.95


def test_ssim_laws():
    first, second = random_map(15, (20, 31)), random_map(16, (20, 31))
    assert compiled.ssim(first, first) == pytest.approx(1)
    assert compiled.ssim(first, second) == pytest.approx(compiled.ssim(second, first))
    assert compiled.ssim(first, 1 - first) < -0.5
    assert jnp.isnan(compiled.ssim(jnp.ones((11, 11)), jnp.ones((11, 11))))


def test_kl_is_zero_on_itself_and_not_symmetric():
    first, second = random_map(8), random_map(9) ** 4
    assert abs(compiled.kl(first, first)) < 1e-6
    assert abs(compiled.kl(first, second) - compiled.kl(second, first)) > 0.01
    assert compiled.sim(first, first) == pytest.approx(1)


def test_pointing_tolerance_is_strict():
    heat = jnp.zeros((20, 20)).at[10, 2].set(1.0)
    region = jnp.zeros((20, 20), bool).at[10, 5].set(True)
    assert not compiled.pointing_game(heat, region)
    assert not compiled.pointing_game(heat, region, tolerance=3)
    assert compiled.pointing_game(heat, region, tolerance=3.01)
    assert not compiled.pointing_game(heat, jnp.zeros_like(region), tolerance=99)


def test_confusion_counts_merge_and_drop_what_is_outside():
    rng = np.random.default_rng(10)
    labels, predictions = rng.integers(-1, 8, 300), rng.integers(0, 9, 300)
    counts = compiled.confusion(jnp.asarray(labels), jnp.asarray(predictions))
    expected = np.zeros((8, 8), int)
    for label, prediction in zip(labels, predictions, strict=True):
        if label >= 0 and prediction < 8:
            expected[label, prediction] += 1
    np.testing.assert_array_equal(counts, expected)
    halves = [compiled.confusion(jnp.asarray(labels[s]), jnp.asarray(predictions[s])) for s in (np.s_[:90], np.s_[90:])]
    np.testing.assert_array_equal(halves[0] + halves[1], counts)


def test_rates_of_a_confusion_matrix():
    counts = jnp.asarray([[3, 1, 0], [0, 0, 0], [2, 2, 4]])
    np.testing.assert_array_equal(compiled.recall(counts), [0.75, np.nan, 0.5])
    assert compiled.balanced_accuracy(counts) == 0.625
    assert compiled.confusion_accuracy(counts) == pytest.approx(7 / 12)
    assert jnp.isnan(compiled.balanced_accuracy(jnp.zeros((3, 3), jnp.int32)))
    np.testing.assert_array_equal(compiled.row_shares(counts)[1], [np.nan] * 3)


def test_accuracy_equals_the_trace_of_the_confusion():
    labels, predictions = jnp.asarray([0, 1, 2, 2]), jnp.asarray([0, 2, 2, 1])
    assert compiled.accuracy(labels, predictions) == 0.5
    assert compiled.confusion_accuracy(compiled.confusion(labels, predictions, classes=3)) == 0.5
    assert jnp.isnan(compiled.accuracy(labels[:0], predictions[:0]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.to_bytes(random_map(0), normalise="mean"), "`normalise`: wanted one of minmax, max"),
        (lambda: metrics.to_bytes(random_map(0), integer="up"), "`integer`: wanted one of floor, round"),
        (lambda: metrics.threshold(random_map(0), compare="eq"), "`compare`: wanted one of gt, ge"),
        (lambda: metrics.dice(random_map(0), random_map(0)), "`first`: wanted a boolean map, got float32"),
        (lambda: metrics.nss(random_map(0), jnp.zeros((2, 3))), r"`clicks`: wanted \(N, 2\), x then y, got \(2, 3\)"),
        (lambda: metrics.ssim(random_map(0, (10, 20)), random_map(0, (10, 20))), "`heat`: wanted .* at least 11 x 11"),
        (lambda: metrics.ssim(random_map(0), random_map(0).T), r"`human`: wanted the shape of `heat`, \(12, 17\)"),
        (lambda: metrics.ssim(random_map(0), random_map(0), data_range=0), "`data_range`: wanted a positive span"),
        (lambda: metrics.auc_region(random_map(0), random_map(0)), "`region`: wanted a boolean map"),
        (lambda: metrics.auc_judd(random_map(0), jnp.zeros((2, 2)), jitter=1e-7), "`key`: wanted a typed random key"),
    ],
)
def test_bad_calls_name_the_argument(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_everything_maps_over_a_batch():
    heats, humans = random_map(11, (3, 12, 17)), random_map(12, (3, 12, 17))
    by_name = ("cc", "spearman", "kendall", "sim", "ssim", "kl", "dice_at_threshold")
    for metric in (getattr(compiled, name) for name in by_name):
        got = jax.jit(jax.vmap(metric))(heats, humans)
        np.testing.assert_allclose(got, [metric(p, q) for p, q in zip(heats, humans, strict=True)], rtol=2e-5)
