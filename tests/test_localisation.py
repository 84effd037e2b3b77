"""A map against a known truth: the five scores against plain definitions, and the laws they keep."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from fer_jax import metrics
from fer_jax.compare import localisation as reduced
from fer_jax.errors import UsageError

SHAPE, AREA = (16, 20), 0.1
COUNT = round(AREA * SHAPE[0] * SHAPE[1])


@functools.cache
def _compiled(area, batched):
    score = functools.partial(metrics.localisation, area=area)
    return jax.jit(jax.vmap(score, (0, None)) if batched else score)


def score(heat, truth, *, area=AREA):
    """Scores as floats, from the compiled function."""
    found = _compiled(area, False)(jnp.asarray(heat, jnp.float32), jnp.asarray(truth, jnp.float32))
    return {name: float(value) for name, value in found._asdict().items()}


def truth_of(seed=0, shape=SHAPE):
    """A smooth truth, above 0 everywhere and without ties."""
    noise = np.random.default_rng(seed).random(shape)
    return scipy.ndimage.gaussian_filter(noise, 2, mode="wrap") ** 4


@pytest.mark.parametrize("seed", range(6))
def test_every_score_is_what_its_definition_says(seed):
    random = np.random.default_rng(seed)
    heat, truth = random.normal(size=SHAPE).astype(np.float32), truth_of(seed).astype(np.float32)
    region = truth >= np.sort(truth.ravel())[-COUNT]
    top = heat >= np.sort(heat.ravel())[-COUNT]
    u = scipy.stats.mannwhitneyu(heat[region], heat[~region]).statistic
    wanted = {
        "pointing": float(region.ravel()[heat.argmax()]),
        "energy": np.maximum(heat, 0)[region].sum() / np.maximum(heat, 0).sum(),
        "auc": u / (COUNT * (~region).sum()),
        "dice": 2 * (region & top).sum() / (2 * COUNT),
        "spearman": scipy.stats.spearmanr(heat.ravel(), truth.ravel()).statistic,
    }
    assert score(heat, truth) == pytest.approx(wanted, rel=2e-5, abs=2e-6)


def test_the_truth_itself_is_perfect_and_its_region_holds_all_energy():
    truth = truth_of()
    own = score(truth, truth)
    assert own == pytest.approx({"pointing": 1, "auc": 1, "dice": 1, "spearman": 1, "energy": own["energy"]}, abs=1e-6)
    region = np.asarray(metrics.evident_region(jnp.asarray(truth, jnp.float32), area=AREA))
    assert region.sum() == COUNT and own["energy"] == pytest.approx(truth[region].sum() / truth.sum(), rel=1e-5)
    masked = score(region, truth)
    assert (masked["energy"], masked["auc"], masked["dice"], masked["pointing"]) == (1, 1, 1, 1)


def test_maps_of_chance_score_what_chance_is_said_to():
    truth = jnp.asarray(truth_of(), jnp.float32)
    heats = jax.random.uniform(jax.random.key(0), (600, *SHAPE))
    found = _compiled(AREA, True)(heats, truth)
    for name, expected in reduced.chance(COUNT / truth.size).items():
        values = np.asarray(getattr(found, name), np.float64)
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(values)), name


@pytest.mark.parametrize(
    "rising",
    [lambda x: 2 * x - 700, lambda x: x**3, np.sqrt, lambda x: -1 / (1 + x)],
    ids=["line", "cube", "root", "reciprocal"],
)
def test_order_alone_counts_for_all_but_energy(rising):
    heat = np.random.default_rng(3).permutation(SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(np.float32)
    before, after = score(heat, truth_of()), score(rising(heat), truth_of())
    for name in ("pointing", "auc", "dice", "spearman"):
        assert after[name] == before[name], name
    assert after["energy"] != before["energy"]  # NaN for a map that is nowhere above 0


def test_the_further_a_map_is_off_the_less_it_scores():
    y, x = np.mgrid[:32, :32]
    blob = np.exp(-((x - 8) ** 2 + (y - 16) ** 2) / (2 * 4**2))
    shifted = [score(np.roll(blob, step, 1), blob) for step in (0, 2, 4, 8, 16)]
    for name in ("energy", "auc", "dice"):
        values = [each[name] for each in shifted]
        assert values == sorted(values, reverse=True) and values[0] > values[1] and values[2] > values[-1]
    assert [each["pointing"] for each in shifted] == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("wrong", ["constant", "nan", "infinite"])
def test_a_map_that_points_nowhere_has_no_scores(wrong):
    heat = np.random.default_rng(0).random(SHAPE)
    heat = {"constant": np.full(SHAPE, 3.0), "nan": np.where(heat > 0.9, np.nan, heat), "infinite": heat}[wrong]
    if wrong == "infinite":
        heat[3, 4] = np.inf
    assert all(np.isnan(list(score(heat, truth_of()).values())))


def test_a_map_below_zero_has_an_order_but_no_mass():
    found = score(truth_of() - 10, truth_of())
    assert np.isnan(found.pop("energy"))
    assert found == pytest.approx({"pointing": 1, "auc": 1, "dice": 1, "spearman": 1}, abs=1e-6)


def test_a_region_holds_no_pixel_without_evidence():
    truth = np.zeros(SHAPE)
    assert all(np.isnan(list(score(truth_of(), truth).values())))
    truth[2, 3:8] = [5, 4, 3, 2, 1]
    region = np.asarray(metrics.evident_region(jnp.asarray(truth), area=AREA))
    np.testing.assert_array_equal(region, truth > 0)
    assert score(truth, truth)["dice"] == 1
    truth[0, 0] = np.nan
    assert not metrics.evident_region(jnp.asarray(truth), area=AREA).any()


def test_of_equal_pixels_the_earlier_are_taken():
    truth = np.ones(SHAPE)
    region = np.asarray(metrics.evident_region(jnp.asarray(truth), area=AREA))
    np.testing.assert_array_equal(region.ravel(), np.arange(region.size) < COUNT)


@pytest.mark.parametrize(
    ("heat", "truth", "area", "said"),
    [
        ((4, 5), (5, 4), 0.1, r"`heat`: wanted the shape of `truth`, \(5, 4\), got \(4, 5\)"),
        ((4, 5), (4, 5), 1.0, "`area`: wanted a share strictly between 0 and 1, got 1.0"),
        ((4, 5), (4, 5), 0, "`area`: wanted a share strictly between 0 and 1, got 0"),
        ((2, 4, 5), (2, 4, 5), 0.1, "`truth`: wanted one map .*use jax.vmap"),
    ],
)
def test_wrong_calls_are_named(heat, truth, area, said):
    with pytest.raises(UsageError, match=said):
        metrics.localisation(jnp.zeros(heat), jnp.zeros(truth), area=area)
