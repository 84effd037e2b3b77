"""Calibration against brute force, closed forms and scipy's minimiser, and F1, which stands beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special

from fer_jax import metrics
from fer_jax.errors import UsageError

LOW, HIGH = metrics.TEMPERATURE_BOUNDS
fit = jax.jit(metrics.fit_temperature)
ece = jax.jit(metrics.expected_calibration_error, static_argnames="bins")
nll = jax.jit(metrics.negative_log_likelihood)
brier = jax.jit(metrics.brier_score)


def simulated(seed, n=400, k=4, scale=2.0, truth=1.0):
    """Logits, and labels drawn from their softmax at temperature `truth`: perfectly calibrated at 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)).astype(np.float32) * scale
    drawn = rng.gumbel(size=(n, k)) + logits / truth
    return logits, drawn.argmax(-1).astype(np.int32)


def loss(logits, labels):
    """Mean negative log-likelihood in float64, by scipy."""
    return -np.mean(scipy.special.log_softmax(np.asarray(logits, float), -1)[np.arange(len(labels)), labels])


def ece_by_loops(probabilities, labels, bins):
    total = 0.0
    for low in range(bins):
        inside = [
            (row.max(), row.argmax() == label)
            for row, label in zip(probabilities, labels, strict=True)
            if low / bins < row.max() <= (low + 1) / bins
        ]
        if inside:
            confidence, right = np.mean(inside, 0)
            total += len(inside) / len(labels) * abs(confidence - right)
    return total


@pytest.mark.parametrize(("seed", "k", "truth"), [(0, 2, 1.0), (1, 8, 0.4), (2, 3, 5.0)])
def test_temperature_equals_scipy(seed, k, truth):
    logits, labels = simulated(seed, k=k, truth=truth)
    found = scipy.optimize.minimize_scalar(
        lambda u: loss(logits / np.exp(u), labels),
        bounds=(np.log(LOW), np.log(HIGH)),
        method="bounded",
        options={"xatol": 1e-9},
    )
    np.testing.assert_allclose(fit(logits, labels), np.exp(found.x), rtol=1e-4)


def test_calibrated_logits_have_temperature_one_and_scaling_them_scales_it():
    logits, labels = simulated(3, n=20_000)
    temperature = fit(logits, labels)
    assert temperature == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(fit(3 * logits, labels), 3 * temperature, rtol=1e-4)
    np.testing.assert_allclose(fit(logits + 100.0, labels), temperature, rtol=1e-3)
    assert ece(jax.nn.softmax(logits), labels) < 0.02
    assert ece(jax.nn.softmax(3 * logits), labels) > 0.1
    assert ece(jax.nn.softmax(3 * logits / fit(3 * logits, labels)), labels) < 0.02


def test_temperature_stays_within_its_bounds():
    logits = jnp.asarray([[2.0, 0.0], [0.0, 1.0], [3.0, -1.0]])
    labels = jnp.asarray([0, 1, 0])
    assert fit(logits, labels) == pytest.approx(LOW)  # all right: no temperature is sharp enough
    assert fit(logits, 1 - labels) == pytest.approx(HIGH)  # all wrong: none is flat enough
    assert jnp.isnan(fit(logits, labels, where=jnp.zeros(3, bool)))
    assert jnp.isnan(fit(logits.at[1, 0].set(jnp.nan), labels))
    assert not jax.grad(fit)(logits, labels).any()  # a constant to differentiation


def test_temperatures_of_a_stack_equal_those_of_a_loop():
    stack = [simulated(seed, n=60, k=2, truth=1 + seed) for seed in range(5)]
    logits, labels = (np.stack(each) for each in zip(*stack, strict=True))
    where = np.random.default_rng(0).random(labels.shape) < 0.7
    together = jax.jit(jax.vmap(lambda z, y, own: metrics.fit_temperature(z, y, where=own)))(logits, labels, where)
    alone = [fit(z[own], y[own]) for z, y, own in zip(logits, labels, where, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=1e-4)


@pytest.mark.parametrize("bins", [1, 7, 15])
@pytest.mark.parametrize("k", [2, 8])
def test_calibration_error_equals_loops(bins, k):
    logits, labels = simulated(4, k=k, truth=0.3)
    probabilities = np.asarray(jax.nn.softmax(logits))
    expected = ece_by_loops(probabilities.astype(float), labels, bins)
    assert expected > 0.05
    np.testing.assert_allclose(ece(probabilities, labels, bins=bins), expected, rtol=1e-4)


def test_calibration_error_in_closed_form():
    sure, labels = np.tile(np.float32([0.875, 0.125]), (8, 1)), np.zeros(8, np.int32)
    assert ece(sure, labels) == pytest.approx(0.125)
    labels[0] = 1
    assert ece(sure, labels) == 0  # 7 of 8
    # Errors of both signs: told apart by two bins, cancelled in one.
    both = np.float32([[0.75, 0.25]] * 2 + [[0.5, 0.5]] * 2)
    assert ece(both, np.int32([0, 1, 0, 0]), bins=2) == pytest.approx(0.375)
    assert ece(both, np.int32([0, 1, 0, 0]), bins=1) == pytest.approx(0.125)
    assert jnp.isnan(ece(both[:0], labels[:0]))


def test_likelihood_and_brier_equal_float64_and_closed_forms():
    logits, labels = simulated(5, k=8)
    np.testing.assert_allclose(nll(logits, labels), loss(logits, labels), rtol=1e-5)
    shares = scipy.special.softmax(logits.astype(float), -1)
    expected = np.mean(1 - 2 * shares[np.arange(len(labels)), labels] + (shares**2).sum(-1))
    np.testing.assert_allclose(brier(shares.astype(np.float32), labels), expected, rtol=1e-5)
    assert nll(np.zeros((5, 8), np.float32), labels[:5]) == pytest.approx(np.log(8))
    assert brier(np.full((5, 8), 1 / 8, np.float32), labels[:5]) == pytest.approx(7 / 8)
    assert brier(np.eye(8, dtype=np.float32)[labels], labels) == 0
    assert brier(np.eye(8, dtype=np.float32)[(labels + 1) % 8], labels) == 2


@pytest.mark.parametrize("measure", [fit, ece, nll, brier])
def test_rows_left_out_change_nothing(measure):
    logits, labels = simulated(6, n=80, k=2)
    values = logits if measure in (fit, nll) else np.asarray(jax.nn.softmax(logits))
    own = np.random.default_rng(1).random(80) < 0.6
    expected = measure(values[own], labels[own])
    spoiled = np.where(own[:, None], values, np.float32(np.nan))
    np.testing.assert_allclose(measure(spoiled, np.where(own, labels, 7), where=own), expected, rtol=1e-4)
    foreign = np.where(own, labels, np.random.default_rng(2).choice([-1, 2], 80))  # nobody's class
    np.testing.assert_allclose(measure(values, foreign), expected, rtol=1e-4)
    assert jnp.isnan(measure(values, np.full(80, -1)))


def test_f1_by_hand_and_as_the_harmonic_mean():
    counts = jnp.asarray([[3, 1, 0, 0], [0, 0, 0, 0], [2, 2, 4, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(metrics.precision(counts), [0.6, 0, 1, np.nan])
    np.testing.assert_allclose(metrics.f1(counts), [6 / 9, 0, 8 / 12, np.nan], rtol=1e-6)
    assert metrics.macro_f1(counts) == pytest.approx(4 / 9)  # the fourth class neither came nor was predicted
    assert jnp.isnan(metrics.macro_f1(jnp.zeros((3, 3), jnp.int32)))
    full = jnp.asarray(np.random.default_rng(3).integers(1, 9, (8, 8)))
    harmonic = 2 / (1 / metrics.precision(full) + 1 / metrics.recall(full))
    np.testing.assert_allclose(metrics.f1(full), harmonic, rtol=1e-6)
    np.testing.assert_allclose(metrics.macro_f1(full), harmonic.mean(), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z, y: metrics.fit_temperature(z[0], y), r"`logits`: wanted \(N, K\), a row for each picture, got \(4,"),
        (lambda z, y: metrics.negative_log_likelihood(z, y[:3]), r"`labels`: wanted \(400,\), one for each row of"),
        (lambda z, y: metrics.brier_score(z, y, where=y[:3] > 0), r"`where`: wanted \(400,\), one .*, got \(3,\)"),
        (lambda z, y: metrics.expected_calibration_error(z, y, bins=0), "`bins`: wanted a whole number from 1, got 0"),
    ],
)
def test_bad_calls_name_the_argument(call, message):
    with pytest.raises(UsageError, match=message):
        call(*simulated(7))
