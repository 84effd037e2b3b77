"""Methods that weigh or follow gradients, against their published definitions written down independently."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import saliency
from fer_jax.errors import UsageError
from fer_jax.saliency._rise import random_mask

RNG = np.random.default_rng(0)
FEATURES = RNG.random((3, 2, 4))
PLACES, WEIGHTS, BIAS = RNG.normal(size=(3, 2, 4, 3)), RNG.normal(size=(4, 3)), RNG.normal(size=3)


def placed_head(features):
    """A linear head in which every place has its own weights."""
    return jnp.einsum("hwc,hwcn->n", features, jnp.asarray(PLACES, features.dtype)) + jnp.asarray(BIAS, features.dtype)


def pooled_head(features):
    return features.mean((0, 1)) @ jnp.asarray(WEIGHTS, features.dtype) + jnp.asarray(BIAS, features.dtype)


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def features(x64):
    return jnp.asarray(FEATURES)


@pytest.mark.parametrize("target", range(3))
def test_hires_cam_is_each_features_own_share_of_the_logit(features, target):
    heat = saliency.hires_cam(placed_head, features, target, rectify=False)
    np.testing.assert_allclose(heat, (FEATURES * PLACES[..., target]).sum(-1), rtol=1e-12)
    np.testing.assert_allclose(heat.sum() + BIAS[target], placed_head(features)[target], rtol=1e-12)
    np.testing.assert_allclose(saliency.hires_cam(placed_head, features, target), np.maximum(heat, 0), rtol=1e-12)
    # Grad-CAM averages the slopes first and so is another map.
    assert not np.allclose(heat, saliency.grad_cam(placed_head, features, target, rectify=False))


@pytest.mark.parametrize("target", range(3))
def test_layer_cam_takes_positive_slopes_only(features, target):
    wanted = np.maximum((FEATURES * np.maximum(PLACES[..., target], 0)).sum(-1), 0)
    np.testing.assert_allclose(saliency.layer_cam(placed_head, features, target), wanted, rtol=1e-12)


def differentiated_by_hand(head, features, target):
    """Grad-CAM++ as it is defined (eq. 19 of its article): derivatives of exp(score), each feature by itself."""
    values = np.asarray(features)
    height, width, channels = values.shape

    def of_one(place, value):
        return jnp.exp(head(features.at[place].set(value))[target])

    derivatives = [of_one]
    for _ in range(3):
        derivatives.append(jax.grad(derivatives[-1], argnums=1))
    weights = np.zeros(channels)
    for row, column, channel in itertools.product(range(height), range(width), range(channels)):
        place = (row, column, channel)
        first, second, third = (float(d(place, values[place])) for d in derivatives[1:])
        below = 2 * second + values[..., channel].sum() * third
        weights[channel] += second / below * max(first, 0) if below else 0
    return np.maximum((values * weights).sum(-1), 0) / np.exp(float(head(features)[target]))


@pytest.mark.parametrize("target", range(3))
@pytest.mark.parametrize("head", [placed_head, pooled_head])
def test_grad_cam_plus_plus_equals_its_definition_by_derivatives_of_the_exponential(features, head, target):
    wanted = differentiated_by_hand(head, features, target)
    np.testing.assert_allclose(saliency.grad_cam_plus_plus(head, features, target), wanted, rtol=1e-9, atol=1e-12)


def test_grad_cam_plus_plus_of_a_score_whose_exponential_overflows():
    heat = saliency.grad_cam_plus_plus(lambda f: 1e3 * pooled_head(f), jnp.asarray(FEATURES, jnp.float32), 0)
    assert jnp.isfinite(heat).all() and heat.max() > 0


@pytest.mark.parametrize("target", range(3))
def test_for_a_pooled_linear_head_all_are_made_of_cams(features, target):
    """Slopes are the same everywhere: W / (h w)."""
    cells, weights = 6, WEIGHTS[:, target]
    heats = {
        name: getattr(saliency, name)(pooled_head, features, target, rectify=False)
        for name in ("grad_cam", "hires_cam", "layer_cam", "grad_cam_plus_plus")
    }
    np.testing.assert_allclose(heats["hires_cam"], heats["grad_cam"], rtol=1e-12)
    positive = np.maximum(weights, 0)
    np.testing.assert_allclose(heats["layer_cam"], FEATURES @ positive / cells, rtol=1e-12)
    shares = 1 / (2 + weights / cells * FEATURES.sum((0, 1)))
    np.testing.assert_allclose(heats["grad_cam_plus_plus"], FEATURES @ (positive * shares), rtol=1e-12)


# Methods on the image itself.
SHAPE = (6, 8, 3)
SLOPES, IMAGE, START = (jnp.asarray(RNG.normal(size=SHAPE), jnp.float32) for _ in range(3))
KEY = jax.random.key(1)


def linear(image):
    return (SLOPES * image).sum() + 3


def curved(image):
    return (SLOPES * jnp.sin(image)).sum() + (image[1:] * image[:-1]).sum()


def relu_network(image):
    """Without biases, so that it is homogeneous: the values of input x gradient sum to the score."""
    hidden = jax.nn.relu(jnp.tensordot(image, SLOPES[:4, 0].T, 1))
    return (hidden * SLOPES[..., :1]).sum()


def test_input_x_gradient_of_homogeneous_scores_sums_to_the_score():
    heat = saliency.input_x_gradient(relu_network, IMAGE)
    assert heat.shape == SHAPE[:2]
    np.testing.assert_allclose(heat.sum(), relu_network(IMAGE), rtol=1e-4)
    kept = saliency.input_x_gradient(linear, IMAGE, channels="keep")
    np.testing.assert_allclose(kept, IMAGE * SLOPES, rtol=1e-5)
    np.testing.assert_allclose(
        saliency.input_x_gradient(linear, IMAGE, channels="magnitude"), jnp.abs(IMAGE * SLOPES).max(-1), rtol=1e-5
    )


@pytest.mark.parametrize("baseline", ["zero", "mean", "blur", START], ids=["zero", "mean", "blur", "image"])
def test_integrated_gradients_are_complete(baseline):
    """Their sum is the score of the image minus that of the baseline, which the source's axioms are named after."""
    starts = {
        "zero": jnp.zeros(SHAPE),
        "mean": jnp.broadcast_to(IMAGE.mean((0, 1), keepdims=True), SHAPE),
        "blur": saliency.gaussian_blur(IMAGE, sigma=2.0, edges="reflect"),
    }
    start = starts[baseline] if isinstance(baseline, str) else baseline
    explain = functools.partial(saliency.integrated_gradients, baseline=baseline, blur_sigma=2.0)
    np.testing.assert_allclose(
        explain(curved, IMAGE, steps=64).sum(), curved(IMAGE) - curved(start), rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(
        explain(linear, IMAGE, steps=1, channels="keep"), SLOPES * (IMAGE - start), rtol=1e-4, atol=1e-5
    )


def test_integrated_gradients_equal_their_integral_in_closed_form():
    """Of Σ s sin x from zero: s sin x itself, feature by feature."""
    heat = saliency.integrated_gradients(lambda x: (SLOPES * jnp.sin(x)).sum(), IMAGE, steps=64, channels="keep")
    np.testing.assert_allclose(heat, SLOPES * jnp.sin(IMAGE), atol=1e-3)


@pytest.mark.parametrize("chunk", [1, 3, 50])
def test_chunks_change_nothing(chunk):
    for explain in (
        functools.partial(saliency.integrated_gradients, curved, IMAGE, steps=7),
        functools.partial(saliency.smooth_grad, KEY, curved, IMAGE, samples=7),
        functools.partial(saliency.rise, KEY, curved, IMAGE, samples=7, cells=3),
    ):
        np.testing.assert_allclose(explain(chunk=chunk), explain(), rtol=1e-4, atol=1e-5)


def test_smooth_grad_is_the_mean_gradient_over_noise_of_a_share_of_the_range():
    wanted = jnp.abs(SLOPES).max(-1)
    np.testing.assert_allclose(saliency.smooth_grad(KEY, linear, IMAGE, samples=3), wanted, rtol=1e-5)
    np.testing.assert_allclose(
        saliency.smooth_grad(KEY, curved, IMAGE, samples=1, noise=0.0, channels="keep"),
        jax.grad(curved)(IMAGE),
        rtol=1e-4,
    )
    # E cos(x + n) = cos(x) exp(-σ² / 2) for Gaussian noise: the mean gradient of Σ s sin x in closed form.
    explain = functools.partial(saliency.smooth_grad, KEY, lambda x: (SLOPES * jnp.sin(x)).sum(), IMAGE)
    spread = 0.2 * float(IMAGE.max() - IMAGE.min())
    got = explain(samples=4000, noise=0.2, chunk=500, channels="keep")
    wanted = SLOPES * jnp.cos(IMAGE) * np.exp(-(spread**2) / 2)
    np.testing.assert_allclose(got, wanted, atol=4 * 0.7 / np.sqrt(4000) * float(jnp.abs(SLOPES).max()))


def enlarging(cells, length):
    """The bilinear matrix of a coarse grid, half-pixel centres and the edge repeated, and the cell's pixels."""
    cell = -(-length // cells)
    wide = (cells + 1) * cell
    matrix = np.zeros((wide, cells))
    for pixel in range(wide):
        place = min(max((pixel + 0.5) * cells / wide - 0.5, 0), cells - 1)
        low = min(int(place), cells - 2)
        matrix[pixel, low : low + 2] = 1 - (place - low), place - low
    return matrix, cell


def test_rise_masks_are_crops_of_enlarged_grids():
    masks = jax.jit(jax.vmap(lambda key: random_mask(key, SHAPE[:2], 3, 0.4, jnp.float32)))(jax.random.split(KEY, 4000))
    assert masks.shape == (4000, *SHAPE[:2])
    assert masks.min() >= 0 and masks.max() <= 1
    np.testing.assert_allclose(masks.mean(0), 0.4, atol=0.04)


def test_rise_of_a_linear_score_equals_its_expectation():
    """E[f M] / p with f = Σ w x M: p Σ w x, and where masks move together (1 - p) Σ_v (A Aᵀ)(u, v) w x more."""
    evidence, probability, cells = np.asarray((SLOPES * IMAGE).sum(-1), float), 0.4, 3
    together = np.zeros((*SHAPE[:2], *SHAPE[:2]))
    (down, cell_down), (across, cell_across) = (enlarging(cells, length) for length in SHAPE[:2])
    for top, left in itertools.product(range(cell_down), range(cell_across)):
        rows, columns = down[top : top + SHAPE[0]], across[left : left + SHAPE[1]]
        together += np.einsum("ab,cd->acbd", rows @ rows.T, columns @ columns.T)
    together /= cell_down * cell_across
    wanted = probability * evidence.sum() + (1 - probability) * np.einsum("abcd,cd->ab", together, evidence)
    got = saliency.rise(
        KEY, lambda x: (SLOPES * x).sum(), IMAGE, samples=20000, cells=cells, probability=probability, chunk=500
    )
    assert wanted.std() > 5 * np.abs(got - wanted).mean()
    np.testing.assert_allclose(got, wanted, atol=0.15 * np.ptp(wanted))


def test_rise_wants_no_gradient_and_says_where_the_evidence_is():
    image = jnp.zeros((12, 12, 1)).at[2:6, 7:11].set(1.0)
    heat = saliency.rise(KEY, lambda x: jnp.round(10 * x[2:6, 7:11].mean()) / 10, image, samples=600, cells=4)
    inside = jnp.zeros((12, 12), bool).at[2:6, 7:11].set(True)
    assert heat[inside].mean() > 1.2 * heat[~inside].mean()
    assert jnp.isnan(saliency.rise(KEY, lambda x: jnp.nan * x.sum(), image, samples=3)).all()


BAD = [
    (lambda f: f(linear, IMAGE[None]), r"`image`: wanted \(H, W, C\) of one image, got shape .*; use jax.vmap"),
    (lambda f: f(linear, IMAGE[..., 0]), r"`image`: wanted \(H, W, C\) .* got shape \(6, 8\); image\[..., None\]"),
    (lambda f: f(linear, jnp.zeros((3, 24, 24))), "`image`: .* looks like channels first; jnp.moveaxis"),
    (lambda f: f(linear, jnp.zeros(SHAPE, jnp.uint8)), "`image`: wanted floating point, got uint8; see fer_jax.images"),
    (lambda f: f(lambda x: x, IMAGE), "`score_fn`: wanted a scalar for one image, it returned shape"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("name", ["input_x_gradient", "integrated_gradients", "smooth_grad", "rise"])
def test_what_is_not_one_image_and_one_score_is_refused(name, call, message):
    method = getattr(saliency, name)
    with pytest.raises(UsageError, match=message):
        call(functools.partial(method, KEY) if name in ("smooth_grad", "rise") else method)


OPTIONS = [
    (lambda: saliency.input_x_gradient(linear, IMAGE, channels="mean"), "`channels`: wanted one of sum, magnitude"),
    (lambda: saliency.integrated_gradients(linear, IMAGE, steps=0), "`steps`: wanted a whole number from 1"),
    (lambda: saliency.integrated_gradients(linear, IMAGE, baseline=IMAGE[0]), "`baseline`: wanted an image"),
    (lambda: saliency.smooth_grad(KEY, linear, IMAGE, noise=-0.1), "`noise`: wanted a share of the image's range"),
    (lambda: saliency.smooth_grad(KEY, linear, IMAGE, samples=0), "`samples`: wanted a whole number"),
    (lambda: saliency.rise(KEY, linear, IMAGE, probability=1.0), "`probability`: wanted a number strictly between"),
    (lambda: saliency.rise(KEY, linear, IMAGE, cells=0), "`cells`: wanted a whole number from 1"),
    (lambda: saliency.hires_cam(pooled_head, jnp.ones((49, 4)), 0), "`features`: .* reshape .* to their grid"),
]


@pytest.mark.parametrize(("call", "message"), OPTIONS, ids=range(len(OPTIONS)))
def test_bad_options_are_named(call, message):
    with pytest.raises(UsageError, match=message):
        call()


def test_whole_numbers_of_numpy_are_whole_numbers():
    saliency.integrated_gradients(linear, IMAGE, steps=np.int64(2), chunk=np.int32(1))
