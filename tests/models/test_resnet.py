import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import models
from fer_jax.errors import UsageError


def relative(got, wanted):
    return np.abs(np.asarray(got) - wanted).max() / np.abs(wanted).max()


def channels_first(maps):
    return maps.transpose(0, 3, 1, 2)


def every_layer(model, variables, images):
    """Every named map, each made from the one before it, and the output."""
    maps, x, before = {}, images, None
    for layer in model.layers:
        x = maps[layer] = model.apply(variables, x, start_after=before, stop_after=layer)
        before = layer
    return maps, model.apply(variables, x, start_after=before)


@pytest.mark.parametrize("lowering", [*models.LOWERINGS, "folded"])
def test_every_layer_of_a_bottleneck_resnet_equals_the_reference(mini, lowering):
    if lowering == "folded":
        model, variables = models.fold_batch_norm(mini.model, mini.variables)
    else:
        model, variables = mini.model.clone(lowering=lowering), mini.variables
    maps, output = jax.jit(functools.partial(every_layer, model))(variables, mini.images)
    assert maps.keys() == {"stem", "layer1", "layer2", "layer3", "layer4"}
    for name, got in maps.items():
        assert relative(channels_first(got), mini.arrays[name]) < 1e-5, name
    assert relative(output.logits, mini.arrays["logits"]) < 1e-5
    np.testing.assert_array_equal(output.features, maps["layer4"])


@pytest.mark.parametrize("folded", [False, True])
def test_float64_logits_equal_the_reference(x64, mini, folded):
    weights = {name: array.astype(np.float64) for name, array in mini.weights.items()}
    model = mini.model.clone(dtype=jnp.float64)
    variables = models.from_state_dict(weights, model)
    if folded:
        model, variables = models.fold_batch_norm(model, variables)
    output = jax.jit(model.apply)(variables, mini.arrays["x"].transpose(0, 2, 3, 1).astype(np.float64))
    assert output.logits.dtype == output.features.dtype == jnp.float64
    assert relative(output.logits, mini.arrays["logits_f64"]) < 1e-10


@pytest.mark.parametrize(
    ("stem", "block", "dtype"),
    [
        ("imagenet", "bottleneck", jnp.float32),
        ("imagenet", "basic", jnp.float32),
        ("small", "basic", jnp.bfloat16),
    ],
)
def test_stopping_and_going_on_is_the_whole_call(random_variables, stem, block, dtype):
    model = models.ResNet(num_classes=3, stage_sizes=(1, 2), width=4, stem=stem, block=block, dtype=dtype)
    x = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))

    @jax.jit
    def every_way(variables):
        ways = {}
        for layer in model.layers:
            maps = models.features_at(model, variables, x, layer=layer)
            again = model.apply(variables, maps, start_after=layer)
            ways[layer] = maps, again, models.head_after(model, variables, layer=layer)(maps[1])
        return model.apply(variables, x), ways

    whole, ways = every_way(random_variables(model))
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5 * float(abs(whole.features).max()))
    for maps, again, of_one in ways.values():
        assert maps.dtype == again.features.dtype == jnp.float32
        close(again.features, whole.features)
        close(again.logits, whole.logits)
        close(of_one, whole.logits[1])
    close(ways[model.layers[-1]][0], whole.features)


def test_resnet50_has_the_published_number_of_parameters():
    like = jax.eval_shape(models.ResNet50(num_classes=2).init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(like["params"])) == 23_512_130


@pytest.mark.parametrize(
    ("build", "size", "cells", "channels"),
    [
        (models.SmallResNet, 48, 6, 128),
        (models.SmallResNet, 64, 8, 128),
        (models.SmallResNet, 50, 7, 128),
        (models.MediumResNet, 48, 6, 256),
    ],
)
def test_small_nets_keep_an_eighth_of_the_side(build, size, cells, channels):
    model = build(num_classes=8)
    output = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x)[0], jax.ShapeDtypeStruct((3, size, size, 3), jnp.float32)
    )
    assert output.logits.shape == (3, 8)
    assert output.features.shape == (3, cells, cells, channels)


def test_the_medium_net_has_over_a_million_parameters():
    like = jax.eval_shape(models.MediumResNet(num_classes=8).init, jax.random.key(0), jnp.zeros((1, 48, 48, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(like["params"])) == 1_209_896


def test_logits_are_the_head_on_pooled_features(random_variables):
    model = models.SmallResNet(num_classes=2, width=8)
    x = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    variables = random_variables(model)
    output = jax.jit(model.apply)(variables, x)
    weights, bias = models.head_weights(variables)
    np.testing.assert_allclose(output.features.mean((1, 2)) @ weights + bias[None], output.logits, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (jnp.zeros((8, 8, 3)), r"`images`: wanted a batch \(B, H, W, 3\), got shape \(8, 8, 3\); add a leading axis"),
        (jnp.zeros((2, 3, 8, 8)), r"got shape \(2, 3, 8, 8\); channels come last: jnp.moveaxis"),
        (jnp.zeros((2, 8, 8, 1)), r"got shape \(2, 8, 8, 1\); grey pictures are repeated for three channels"),
        (jnp.zeros((1, 8, 8, 3), jnp.uint8), r"`images`: wanted normalised floats, got uint8"),
    ],
)
def test_wrong_images_are_refused_while_tracing(images, message):
    with pytest.raises(UsageError, match=message):
        models.SmallResNet(num_classes=2).init(jax.random.key(0), images)


def test_unknown_parts_are_named():
    x = jnp.zeros((1, 32, 32, 3))
    with pytest.raises(UsageError, match=r"`stem`: wanted one of imagenet, small, got 'large'"):
        models.ResNet(num_classes=2, stem="large").init(jax.random.key(0), x)
    with pytest.raises(UsageError, match=r"`strides`: wanted 1 or 2 for each of the 4 stages, or None, got \(2, 1\)"):
        models.ResNet(num_classes=2, strides=(2, 1)).init(jax.random.key(0), x)
    with pytest.raises(UsageError, match=r"`block`: wanted one of bottleneck, basic, got 'wide'"):
        models.ResNet(num_classes=2, block="wide").init(jax.random.key(0), x)


TINY = models.TinyResNet(num_classes=2, width=4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda v, x: models.features_at(TINY, v, x, layer="layer3"),
            "`layer`: wanted one of stem, layer1, layer2, got",
        ),
        (lambda v, x: models.head_after(TINY, v, layer="fc"), "`layer`: wanted one of stem, layer1, layer2, got 'fc'"),
        (lambda v, x: models.head_after(TINY, v, layer="stem")(x), r"`features`: wanted \(h, w, C\) of one image"),
        (
            lambda v, x: TINY.apply(v, x, stop_after="conv1"),
            "`stop_after`: wanted one of stem, layer1, layer2, got 'conv1'",
        ),
        (lambda v, x: TINY.apply(v, x, start_after=""), "`start_after`: wanted one of stem, layer1, layer2, got ''"),
        (
            lambda v, x: TINY.apply(v, x, start_after="layer1", stop_after="layer1"),
            "`stop_after`: wanted a layer behind layer1, got 'layer1'",
        ),
        (
            lambda v, x: TINY.apply(v, x, start_after="stem"),
            r"`images`: wanted the float map \(B, h, w, 2\) after stem, got float32 \(1, 16, 16, 3\)",
        ),
    ],
)
def test_wrong_layers_are_named(random_variables, call, message):
    with pytest.raises(UsageError, match=message):
        call(random_variables(TINY), jnp.zeros((1, 16, 16, 3)))
