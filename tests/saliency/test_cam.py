import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import saliency
from fer_jax.errors import UsageError


@pytest.fixture(scope="module")
def arrays(goldens):
    return goldens("tinycnn_cam")


@pytest.fixture(scope="module")
def features(arrays):
    return jnp.asarray(arrays["features"].transpose(0, 2, 3, 1))


def close(got, wanted, relative=1e-5):
    np.testing.assert_allclose(got, wanted, atol=relative * abs(wanted).max(), rtol=0)


def class_last(maps):
    return maps.transpose(0, 2, 3, 1)


def grad_cams(tiny_cnn, features, head=None, **options):
    """(N, h, w, 2): both classes of every image."""
    head = head or tiny_cnn.head
    one = functools.partial(saliency.grad_cam, head, **options)
    over_classes = jax.vmap(one, (None, 0), -1)
    return jax.jit(jax.vmap(lambda f: over_classes(f, jnp.arange(2))))(features)


def test_network_and_cam_equal_the_reference(tiny_cnn, tiny_images, arrays, features):
    close(jax.vmap(tiny_cnn)(tiny_images[0]), arrays["logits"])
    got = jax.vmap(lambda f: saliency.cam(f, tiny_cnn.weights))(features)
    close(got, class_last(arrays["cam_raw"]))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gradcam_raw", {}),
        ("gradcam_signed", {"rectify": False}),
        ("gradcam_softmax_signed", {"rectify": False, "score": "probability"}),
    ],
)
def test_grad_cam_equals_the_reference(tiny_cnn, arrays, features, name, options):
    close(grad_cams(tiny_cnn, features, **options), class_last(arrays[name]))


def test_grad_cam_of_an_earlier_layer_equals_the_reference(tiny_cnn, tiny_images, arrays):
    middle = jax.vmap(lambda x: tiny_cnn.features(x, last=2))(tiny_images[0])
    heats = grad_cams(tiny_cnn, middle, head=lambda f: tiny_cnn.head(tiny_cnn.features(f, first=2)))
    close(heats, class_last(arrays["gradcam_mid_raw"]))


def test_resized_and_smoothed_maps_equal_the_reference(tiny_cnn, arrays, features):
    heats = grad_cams(tiny_cnn, features).transpose(0, 3, 1, 2)
    resized = saliency.resize(heats, (64, 64))
    np.testing.assert_allclose(resized, arrays["gradcam_resized"], atol=2e-5)
    smooth = saliency.gaussian_blur(resized[0, arrays["y"][0], :, :, None], sigma=0.02 * 64, edges="replicate")
    np.testing.assert_allclose(smooth[..., 0], arrays["gradcam_smooth"][0, 0], atol=2e-5)


def test_conventions_of_the_peers_equal_the_peers(tiny_cnn, arrays, features):
    signed = grad_cams(tiny_cnn, features, rectify=False)
    for index, target in enumerate(arrays["y"]):
        got = saliency.postprocess(signed[index, :, :, target], (64, 64), convention="pytorch_grad_cam")
        np.testing.assert_allclose(got, arrays["pgc_gradcam"][index], atol=2e-5)
    for target in range(2):
        nearest = saliency.postprocess(signed[0, :, :, target], (64, 64), convention="captum")
        np.testing.assert_allclose(nearest, arrays["gradcam_signed_nearest"][0, target], atol=2e-5)
        raw = jnp.asarray(arrays["cam_raw"][0, target])
        script = saliency.postprocess(raw, (256, 256), convention="cam_script")[::4, ::4]
        # The script rounds again, in OpenCV's fixed point.
        np.testing.assert_allclose(script, arrays["cam_public_u8"][0, target].astype(float), atol=0.75)
        rectified = saliency.postprocess(signed[0, :, :, target], (64, 64), convention="torchray")
        np.testing.assert_allclose(rectified, arrays["gradcam_resized"][0, target], atol=2e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.bfloat16])
@pytest.mark.parametrize("target", [0, 2])
def test_laws_of_a_pooled_linear_head(x64, dtype, target):
    """Grad-CAM = ReLU(CAM) / (h w); mean CAM + bias = logit; the difference is a difference of CAMs."""
    keys = jax.random.split(jax.random.key(0), 3)
    features = jax.random.normal(keys[0], (5, 7, 11), dtype)
    weights, bias = jax.random.normal(keys[1], (11, 3), dtype), jax.random.normal(keys[2], (3,), dtype)
    tolerance = {"rtol": 0, "atol": {2: 0.05, 4: 1e-5, 8: 1e-12}[dtype.dtype.itemsize]}

    def head(f):
        return f.mean((0, 1)) @ weights + bias

    @jax.jit
    def both_sides(features):
        logits, heats = head(features), saliency.cam(features, weights)
        heat = saliency.cam(features, weights, target)
        rival = jnp.argmax(logits.at[target].set(-jnp.inf))
        grad = functools.partial(saliency.grad_cam, head, features, target)
        return (
            (heat, heats[..., target]),
            (heats.mean((0, 1)) + bias, logits),
            (grad(), jax.nn.relu(heat) / 35),
            (grad(rectify=False, score="difference"), (heat - jnp.take(heats, rival, -1)) / 35),
        )

    for left, right in both_sides(features):
        assert left.dtype == dtype
        np.testing.assert_allclose(left.astype(float), right.astype(float), **tolerance)


def test_two_way_probability_maps_are_exact_negatives(tiny_cnn, features):
    both = grad_cams(tiny_cnn, features, rectify=False, score="probability")
    close(both[..., 0], -np.asarray(both[..., 1]), 1e-6)


def test_targets_may_be_traced_and_maps_batched(tiny_cnn, features):
    targets = jnp.asarray([0, 1, 1, 0])
    for method in (
        lambda f, t: saliency.cam(f, tiny_cnn.weights, t),
        functools.partial(saliency.grad_cam, tiny_cnn.head),
    ):
        batched = jax.jit(jax.vmap(method))(features, targets)
        looped = jnp.stack([method(f, int(t)) for f, t in zip(features, targets, strict=True)])
        np.testing.assert_allclose(batched, looped, atol=1e-6)


def test_spatial_outputs_and_rewards_equal_the_reference(goldens):
    arrays = goldens("area_reward")
    logits = jnp.asarray(arrays["logits"])
    for score, name in (("logit", "simple"), ("difference", "contrastive")):
        scores = jax.vmap(lambda y, score=score: saliency.class_score(y, 1, score=score))(logits)
        wanted = arrays["simple_preserve" if name == "simple" else "contrastive_preserve_per_mask"]
        np.testing.assert_allclose(scores[:2], wanted, rtol=1e-5)
        gap = arrays["simple_dual" if name == "simple" else "contrastive_dual_per_mask"]
        np.testing.assert_allclose(scores[:2] - scores[2:], gap, rtol=1e-5)
        spatial = jnp.broadcast_to(logits[0][None, None], (3, 2, 4))
        np.testing.assert_allclose(saliency.class_score(spatial, 1, score=score), scores[0], rtol=1e-6)


def head_of(classes):
    return lambda f: jnp.zeros(classes) + f.mean()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: saliency.cam(f[None], jnp.ones((4, 2))), r"`features`: wanted \(h, w, C\) of one image, got shape"),
        (lambda f: saliency.cam(f.astype(int), jnp.ones((4, 2))), "`features`: wanted floating point, got int32"),
        (lambda f: saliency.cam(f, jnp.ones((3, 2))), r"`weights`: wanted \(4, classes\) to fit features \(5, 5, 4\)"),
        (lambda f: saliency.cam(f, jnp.ones((4, 2)), 2), r"`target`: wanted a class in 0..1, got 2"),
        (lambda f: saliency.cam(f, jnp.ones((4, 2)), 0.5), "`target`: wanted one whole number"),
        (lambda f: saliency.grad_cam(head_of(2), f[None], 0), "`features`: wanted"),
        (lambda f: saliency.grad_cam(head_of((1, 2)), f, 0), r"`head_fn`: wanted logits \(classes,\) for one image"),
        (lambda f: saliency.grad_cam(lambda x: x @ jnp.ones((9, 2)), f, 0), "`head_fn`: wanted a function of features"),
        (lambda f: saliency.grad_cam(lambda x: (x, x), f, 0), "`head_fn`: wanted a function of features .* one float"),
        (lambda f: saliency.grad_cam(head_of(2), f, -1), "`target`: wanted a class in 0..1, got -1"),
        (lambda f: saliency.grad_cam(head_of(2), f, 0, score="loss"), "`score`: wanted one of logit, difference"),
        (
            lambda f: saliency.grad_cam(head_of(1), f, 0, score="difference"),
            "`logits`: a difference wants at least two",
        ),
    ],
)
def test_bad_calls_name_the_argument(call, message):
    with pytest.raises(UsageError, match=message):
        call(jnp.ones((5, 5, 4)))
