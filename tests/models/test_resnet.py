import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import models
from fer_jax.errors import UsageError


def _variables_from_torch(weights, stage_sizes):
    """Our variables from arrays under torchvision's names."""

    def conv(name):
        return {"kernel": jnp.asarray(weights[f"{name}.weight"]).transpose(2, 3, 1, 0)}

    def norm(name):
        params = {"scale": weights[f"{name}.weight"], "bias": weights[f"{name}.bias"]}
        return params, {"mean": weights[f"{name}.running_mean"], "var": weights[f"{name}.running_var"]}

    params, stats = {"conv1": conv("conv1")}, {}
    params["bn1"], stats["bn1"] = norm("bn1")
    for stage, blocks in enumerate(stage_sizes, start=1):
        for index in range(blocks):
            theirs, ours = f"layer{stage}.{index}", f"layer{stage}_{index}"
            params[ours], stats[ours] = {}, {}
            names = {f"conv{n}": f"conv{n}" for n in (1, 2, 3)} | {f"bn{n}": f"bn{n}" for n in (1, 2, 3)}
            if f"{theirs}.downsample.0.weight" in weights:
                names |= {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"}
            for name, source in names.items():
                if "conv" in name:
                    params[ours][name] = conv(f"{theirs}.{source}")
                else:
                    params[ours][name], stats[ours][name] = norm(f"{theirs}.{source}")
    params["fc"] = {"kernel": jnp.asarray(weights["fc.weight"]).T, "bias": weights["fc.bias"]}
    return jax.tree.map(jnp.asarray, {"params": params, "batch_stats": stats})


def _relative(got, wanted):
    return np.abs(np.asarray(got) - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize("lowering", models.LOWERINGS)
def test_a_bottleneck_resnet_equals_the_reference(goldens, lowering):
    golden = np.load(goldens / "miniresnet.npz")
    weights = {name[2:]: golden[name] for name in golden.files if name.startswith("w/")}
    model = models.ResNet(num_classes=2, stage_sizes=(1, 2, 1, 1), width=8, lowering=lowering)
    output = jax.jit(model.apply)(_variables_from_torch(weights, (1, 2, 1, 1)), golden["x"].transpose(0, 2, 3, 1))
    assert _relative(output.logits, golden["logits"]) < 1e-5
    assert _relative(output.features.transpose(0, 3, 1, 2), golden["layer4"]) < 1e-5


@pytest.mark.slow
def test_resnet50_equals_the_reference(goldens):
    golden = np.load(goldens / "resnet50.npz")
    model = models.ResNet50(num_classes=2)
    like = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    weights = _weights_by_recipe(like, seed=5001)
    output = jax.jit(model.apply)(_variables_from_torch(weights, (3, 4, 6, 3)), golden["x"].transpose(0, 2, 3, 1))
    assert _relative(output.logits, golden["logits"]) < 1e-5
    assert _relative(output.features.transpose(0, 3, 1, 2), golden["features"]) < 1e-5


def _weights_by_recipe(like, seed):
    """The reference file's weight recipe: one uniform stream over the tensors in the order of their names."""
    shapes = {}

    def name_of(parts):
        block, *rest = parts
        block = block.replace("_", ".", 1) if block.startswith("layer") else block
        return ".".join([block, *(part.replace("_conv", ".0").replace("_bn", ".1") for part in rest)])

    leaf_names = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    for path, leaf in jax.tree_util.tree_flatten_with_path(like)[0]:
        _, *parts, last = [part.key for part in path]
        shape = leaf.shape
        if last == "kernel":
            shape = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]
        shapes[f"{name_of(parts)}.{leaf_names[last]}"] = shape
    stream, weights = np.random.PCG64(seed), {}
    for name in sorted(shapes):
        shape = shapes[name]
        u = (stream.random_raw(int(np.prod(shape))) >> 11) * 2.0**-53
        if name.endswith("running_var"):
            value = 0.8 + 0.4 * u
        elif name.endswith("running_mean"):
            value = 0.2 * (2 * u - 1)
        elif len(shape) == 4:
            value = (2 * u - 1) * np.sqrt(6 / np.prod(shape[1:]))
        elif len(shape) == 2:
            value = (2 * u - 1) * np.sqrt(12 / shape[1])
        elif name.endswith("bn3.weight"):
            value = 0.2 + 0.2 * u
        elif name.endswith("weight"):
            value = 0.8 + 0.4 * u
        else:
            value = (0.1 if name == "fc.bias" else 0.2) * (2 * u - 1)
        weights[name] = value.astype(np.float32).reshape(shape)
    return weights


def test_resnet50_has_the_published_number_of_parameters():
    like = jax.eval_shape(models.ResNet50(num_classes=2).init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    assert sum(leaf.size for leaf in jax.tree.leaves(like["params"])) == 23_512_130


@pytest.mark.parametrize(("size", "cells"), [(48, 6), (64, 8), (50, 7)])
def test_the_small_net_keeps_an_eighth_of_the_side(size, cells):
    model = models.SmallResNet(num_classes=8)
    output = jax.eval_shape(
        lambda x: model.init_with_output(jax.random.key(0), x)[0], jax.ShapeDtypeStruct((3, size, size, 3), jnp.float32)
    )
    assert output.logits.shape == (3, 8)
    assert output.features.shape == (3, cells, cells, 128)


def test_logits_are_the_head_on_pooled_features():
    model = models.SmallResNet(num_classes=2, width=8)
    x = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    variables = model.init(jax.random.key(0), x)
    output = model.apply(variables, x)
    weights, bias = models.head_weights(variables)
    np.testing.assert_allclose(output.features.mean((1, 2)) @ weights + bias[None], output.logits, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (jnp.zeros((8, 8, 3)), r"`images`: wanted a batch \(B, H, W, 3\), got shape \(8, 8, 3\); add a leading axis"),
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
    with pytest.raises(UsageError, match=r"`block`: wanted one of bottleneck, basic, got 'wide'"):
        models.ResNet(num_classes=2, block="wide").init(jax.random.key(0), x)
