"""What is undefined is NaN and never a number; what is a number does not hang on dtype or scale."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import augment, ensemble, expressions, images, masks, metrics, saliency
from fer_jax.errors import UsageError
from fer_jax.saliency import faithfulness

SHAPE = (12, 13)
RNG = np.random.default_rng(0)
HEAT, HUMAN = (jnp.asarray(RNG.random(SHAPE), jnp.float32) for _ in range(2))
REGION = HUMAN > 0.7
CLICKS = jnp.asarray(RNG.random((8, 2)) * SHAPE[::-1], jnp.float32)
OF_A_MAP = {
    "auc_judd": lambda heat: metrics.auc_judd(heat, CLICKS),
    "auc_region": lambda heat: metrics.auc_region(heat, REGION),
    "auc_shuffled": lambda heat: metrics.auc_shuffled(heat, CLICKS, 11 - CLICKS),
    "auc_uniform": lambda heat: metrics.auc_uniform(heat, CLICKS),
    "cc": lambda heat: metrics.cc(heat, HUMAN),
    "cc_of_a_person": lambda heat: metrics.cc(HUMAN, heat),
    "density": metrics.density,
    "dice_at_area": lambda heat: metrics.dice_at_area(heat, HUMAN, 20),
    "dice_at_threshold": lambda heat: metrics.dice_at_threshold(heat, HUMAN),
    "energy_pointing": lambda heat: metrics.energy_pointing(heat, REGION),
    "information_gain": lambda heat: metrics.information_gain(heat, HUMAN, CLICKS),
    "information_gain_over": lambda heat: metrics.information_gain(HUMAN, heat, CLICKS),
    "kendall": lambda heat: metrics.kendall(heat, HUMAN),
    "kl": lambda heat: metrics.kl(heat, HUMAN),
    "kl_of_a_person": lambda heat: metrics.kl(HUMAN, heat),
    "localisation": lambda heat: metrics.localisation(heat, HUMAN),
    "localisation_of_a_truth": lambda heat: metrics.localisation(HUMAN, heat),
    "nss": lambda heat: metrics.nss(heat, CLICKS),
    "pearson": lambda heat: metrics.pearson(heat, HUMAN),
    "pointing_game": lambda heat: metrics.pointing_game(heat, REGION),
    "relevance_rank": lambda heat: metrics.relevance_rank(heat, REGION),
    "sim": lambda heat: metrics.sim(heat, HUMAN),
    "spearman": lambda heat: metrics.spearman(heat, HUMAN),
    "ssim": lambda heat: metrics.ssim(heat, HUMAN * jnp.max(heat) / jnp.max(HUMAN)),
    "to_bytes": metrics.to_bytes,
    "normalise_minmax": saliency.normalise,
    "normalise_max": functools.partial(saliency.normalise, how="max"),
    "normalise_sum": functools.partial(saliency.normalise, how="sum"),
    "masked_image": lambda heat: faithfulness.masked_image(jnp.ones((*SHAPE, 3)), heat),
}
# Of a flat map too, as the benchmark's conventions have it.
COUNTED = ("most_salient", "salience_rank", "evident_region")


@functools.cache
def measured():
    """All of it in one program, over a batch of maps."""
    return jax.jit(jax.vmap(lambda heat: {name: call(heat) for name, call in OF_A_MAP.items()}))


def bad_maps():
    places = [(3, 4), (0, 0), (11, 12)]
    return jnp.stack([HEAT.at[place].set(bad) for bad in (jnp.nan, jnp.inf, -jnp.inf) for place in places])


@pytest.mark.parametrize("name", OF_A_MAP)
def test_a_map_that_is_not_finite_has_no_value(name):
    for leaf in jax.tree.leaves(measured()(bad_maps())[name]):
        assert jnp.isnan(leaf).all()
    for leaf in jax.tree.leaves(measured()(jnp.stack([HEAT] * 9))[name]):
        assert jnp.isfinite(leaf).all()


def test_no_pixel_of_such_a_map_is_among_the_most_salient():
    bad = bad_maps()
    assert not jax.vmap(lambda heat: metrics.most_salient(heat, 5))(bad).any()
    assert not jax.vmap(metrics.evident_region)(bad).any()
    assert (jax.vmap(metrics.salience_rank)(bad) == HEAT.size).all()


@pytest.mark.parametrize("name", OF_A_MAP)
def test_bytes_are_read_as_the_numbers_they_stand_for(name):
    whole = jnp.round(255 * HEAT)
    as_floats, as_bytes, as_halves = (
        measured()(jnp.stack([whole.astype(dtype)] * 9))[name] for dtype in (jnp.float32, jnp.uint8, jnp.float16)
    )
    for other in (as_bytes, as_halves):
        jax.tree.map(
            lambda got, wanted: np.testing.assert_allclose(got, wanted, rtol=2e-3, atol=1e-6), other, as_floats
        )


SCALE_FREE = sorted(set(OF_A_MAP) - {"localisation_of_a_truth"})


@pytest.mark.parametrize("name", SCALE_FREE)
def test_measures_are_the_same_at_every_scale(name):
    scales = jnp.asarray([2.0**-100, 2.0**-80, 2.0**-64, 2.0**-20, 1.0, 2.0**20, 2.0**64, 2.0**100, 2.0**126])
    got = measured()(scales[:, None, None] * HEAT[None])[name]
    jax.tree.map(lambda leaf: np.testing.assert_allclose(leaf, jnp.stack([leaf[4]] * 9), rtol=1e-5, atol=1e-7), got)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_free_measures_equal_float64_arithmetic(scale):
    heat = scale * np.asarray(HEAT, float)
    human = np.asarray(HUMAN, float)
    got = measured()(jnp.stack([jnp.asarray(heat, jnp.float32)] * 9))
    assert got["cc"][0] == pytest.approx(np.corrcoef(heat.ravel(), human.ravel())[0, 1], abs=1e-5)
    rows, columns = np.floor(np.asarray(CLICKS)).astype(int).T[::-1]
    assert got["nss"][0] == pytest.approx(((heat - heat.mean()) / heat.std())[rows, columns].mean(), abs=1e-5)
    assert got["sim"][0] == pytest.approx(np.minimum(heat / heat.sum(), human / human.sum()).sum(), abs=1e-5)


def test_halves_neither_overflow_nor_vanish():
    """Of a float16 map up to 60,000, and of one down to 1e-6, sums and squares are out of its range."""
    for top in (6e4, 1e-4):
        half = (top * HEAT).astype(jnp.float16)
        for metric in (metrics.cc, metrics.sim, metrics.kl, metrics.ssim):
            wanted = metric(half.astype(jnp.float32), half.astype(jnp.float32)[::-1])
            np.testing.assert_allclose(metric(half, half[::-1]), wanted, rtol=1e-5)
        assert jnp.isfinite(metrics.nss(half, CLICKS))


def test_the_gradient_by_a_constant_map_is_a_number_where_the_value_is():
    flat = jnp.full(SHAPE, 0.3)
    assert metrics.cc(flat, HUMAN) == 0
    assert jnp.isfinite(jax.grad(metrics.cc)(flat, HUMAN)).all()
    assert metrics.nss(flat, CLICKS) == 0
    assert jnp.isfinite(jax.grad(metrics.nss)(flat, CLICKS)).all()
    assert jnp.isnan(metrics.cc(HUMAN, flat))
    assert jnp.isnan(jax.grad(metrics.cc)(HUMAN, flat)).all()
    assert jnp.isnan(metrics.cc(flat, HUMAN.at[0, 0].set(jnp.nan)))


HEAD = 0.5 * jax.random.normal(jax.random.key(0), (4, 3))
OF_A_CLASS = {
    "cam": lambda features, target: saliency.cam(features, HEAD, target),
    **{
        f"{name}_{score}": functools.partial(
            getattr(saliency, name), lambda features: jnp.tanh(features).mean((0, 1)) @ HEAD, score=score
        )
        for name in ("grad_cam", "hires_cam", "grad_cam_plus_plus", "layer_cam")
        for score in saliency.SCORES
    },
    "class_score": lambda features, target: saliency.class_score(features.mean((0, 1))[:3], target),
}


def test_a_traced_target_that_is_none_gives_nan():
    features = jnp.abs(jax.random.normal(jax.random.key(1), (5, 6, 4)))
    run = jax.jit(jax.vmap(lambda target: {name: call(features, target) for name, call in OF_A_CLASS.items()}))
    for name, heats in run(jnp.asarray([-1, 3, 7, 0, 2])).items():
        assert jnp.isnan(heats[:3]).all(), name
        assert jnp.isfinite(heats[3:]).all(), name


def test_a_member_that_is_none_is_refused_or_nan():
    stack = {"weights": jnp.arange(6.0).reshape(3, 2), "steps": jnp.arange(3)}
    for index in (3, 7, -1):
        with pytest.raises(UsageError, match=rf"`index`: wanted a member in 0..2, got {index}"):
            ensemble.member(stack, index)
    with pytest.raises(UsageError, match="`index`: wanted one whole number"):
        ensemble.member(stack, 1.0)
    members = jax.jit(jax.vmap(ensemble.member, (None, 0)))(stack, jnp.asarray([7, -1, 2]))
    assert jnp.isnan(members["weights"][:2]).all()
    np.testing.assert_array_equal(members["weights"][2], [4, 5])


def test_an_image_without_a_decided_member_has_no_vote():
    logits = jax.random.normal(jax.random.key(2), (28, 4, 2))
    spoilt = logits.at[5, 1, 0].set(jnp.nan).at[27, 2, 1].set(jnp.inf)
    for ballots in (ensemble.ballots, ensemble.weighted_ballots, ensemble.probability_ballots):
        votes = ballots(spoilt)
        assert jnp.isnan(votes[1:3]).all()
        np.testing.assert_allclose(votes[jnp.asarray([0, 3])], ballots(logits)[jnp.asarray([0, 3])])
    votes = (ensemble.simple_vote, functools.partial(ensemble.simple_vote, tie="first"), ensemble.probability_vote)
    for vote in (*votes, ensemble.weighted_vote):
        np.testing.assert_array_equal(vote(spoilt), vote(logits).at[1:3].set(expressions.DROP))


def test_calibration_of_rows_that_are_not_finite():
    logits = jax.random.normal(jax.random.key(3), (9, 3)).at[4, 1].set(jnp.nan)
    labels, left_out = jnp.arange(9) % 3, jnp.arange(9) != 4
    for measure in (metrics.negative_log_likelihood, metrics.fit_temperature):
        assert jnp.isnan(measure(logits, labels))
        assert jnp.isfinite(measure(logits, labels, where=left_out))
    for measure in (metrics.brier_score, metrics.expected_calibration_error):
        assert jnp.isnan(measure(jax.nn.softmax(logits), labels))
        assert jnp.isfinite(measure(jax.nn.softmax(logits), labels, where=left_out))
    whole = jnp.asarray([[3, 1], [0, 2], [5, 4], [1, 2]])
    assert metrics.fit_temperature(whole, labels[:4] % 2) == metrics.fit_temperature(whole * 1.0, labels[:4] % 2)


def test_labels_of_few_bits_do_not_overflow():
    labels, predictions = np.arange(200, dtype=np.uint8), np.arange(200, dtype=np.uint8)
    assert metrics.confusion(labels, predictions, classes=200).trace() == 200


BYTES, FLOATS = jnp.zeros((8, 8, 3), jnp.uint8), jnp.zeros((8, 8, 3))


REFUSED = [
    (lambda: images.normalise(BYTES), "`image`: wanted floating point, got uint8; see fer_jax.images.to_float"),
    (lambda: images.resize(BYTES, (4, 4)), "`image`: wanted floating point, got uint8"),
    (lambda: images.affine_warp(BYTES, jnp.eye(2, 3)), "`image`: wanted floating point, got uint8"),
    (lambda: augment.augment(jax.random.key(0), BYTES, augment.Augmentation()), "`image`: wanted floating point"),
    (lambda: saliency.gaussian_blur(BYTES, sigma=1.0), "`image`: wanted floating point, got uint8"),
    (lambda: saliency.pyramid(BYTES), "`image`: wanted floating point, got uint8"),
    (lambda: images.to_float(FLOATS), r"`image`: wanted bytes \(uint8, 0..255\), got float32"),
    (lambda: images.grayscale(FLOATS), r"`image`: wanted bytes \(uint8, 0..255\), got float32"),
    (lambda: images.grayscale(BYTES[..., :1]), r"`image`: wanted RGB, .* got shape \(8, 8, 1\)"),
    (lambda: images.box_blur(FLOATS, 3), r"`image`: wanted bytes \(uint8, 0..255\), got float32"),
    (lambda: images.box_blur(BYTES, 0), "`size`: wanted a whole number from 1, got 0"),
    (lambda: images.normalise(FLOATS[..., 0]), r"`image`: wanted channels last, \(H, W, C\), got shape \(8, 8\)"),
    (lambda: images.normalise(jnp.zeros((2, 3, 8, 8))), "`image`: .* channels first; jnp.moveaxis"),
    (lambda: images.normalise(FLOATS[..., :1]), r"`mean`: wanted one number, or 1 for \(8, 8, 1\), got 3"),
    (lambda: masks.composite(BYTES, BYTES, jnp.ones((8, 8))), "`mask`: wanted booleans, True where open"),
    (lambda: masks.composite(FLOATS, BYTES, jnp.ones((8, 8), bool)), "`veiled`: wanted the dtype of `sharp`"),
    (lambda: masks.reveal(CLICKS, (8, 8), radius=-1), "`radius`: wanted whole pixels from 0, got -1"),
    (lambda: metrics.cc(HEAT, HUMAN[1:]), r"`human`: wanted the shape of `heat`, \(12, 13\), got \(11, 13\)"),
    (lambda: metrics.cc(HEAT[None], HUMAN[None]), r"`heat`: wanted one map \(H, W\), got shape .*; use jax.vmap"),
    (lambda: metrics.sim(HEAT + 1j, HUMAN), "`heat`: wanted real numbers, got complex64"),
    (lambda: metrics.sim("map", HUMAN), "`heat`: wanted an array of numbers, got str"),
    (lambda: metrics.accuracy(jnp.ones(3), jnp.ones(3, int)), "`labels`: wanted whole numbers, got float32"),
    (lambda: metrics.confusion(jnp.arange(3), jnp.arange(2)), r"`predictions`: wanted \(3,\), one for each label"),
    (lambda: metrics.relevance_rank(HEAT, HUMAN), "`region`: wanted a boolean map"),
    (lambda: metrics.pointing_game(HEAT, REGION[1:]), "`region`: wanted a boolean map"),
    (lambda: saliency.normalise(HEAT[0]), r"`heat`: wanted a map \(h, w\) or several"),
    (lambda: metrics.brier_score(jnp.ones((2, 2)), jnp.arange(2), where=jnp.ones(2)), "`where`: wanted booleans"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_has_no_one_meaning_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_numpy_maps_meet_traced_clicks():
    heat = np.asarray(HEAT)
    got = jax.jit(lambda clicks: metrics.nss(heat, clicks))(CLICKS)
    np.testing.assert_allclose(got, metrics.nss(HEAT, CLICKS), rtol=1e-5)
