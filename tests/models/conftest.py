"""Reference networks: weights under torchvision's names, from a file or from the reference's weight recipe."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import models


class Reference:
    """A network of the reference numbers: its arrays, its weights by torchvision's names, and our model of it."""

    def __init__(self, arrays, weights, model):
        self.arrays, self.weights, self.model = arrays, weights, model
        self.images = jnp.asarray(arrays["x"].transpose(0, 2, 3, 1))

    @functools.cached_property
    def variables(self):
        return models.from_state_dict(self.weights, self.model)


@pytest.fixture(scope="session")
def mini(goldens):
    arrays = goldens("miniresnet")
    weights = weights_by_recipe(torchvision_shapes((1, 2, 1, 1), width=8), seed=1001)
    images = images_by_recipe((2, 3, 96, 96), seed=1002)
    model = models.ResNet(num_classes=2, stage_sizes=(1, 2, 1, 1), width=8)
    return Reference(type(arrays)(arrays, x=images), weights, model)


@pytest.fixture(scope="session")
def large(goldens):
    weights = weights_by_recipe(torchvision_shapes((3, 4, 6, 3)), seed=5001)
    return Reference(goldens("resnet50"), weights, models.ResNet50(num_classes=2))


@pytest.fixture(scope="session")
def shapes_of():
    return torchvision_shapes


@pytest.fixture(scope="session")
def by_recipe():
    return weights_by_recipe


@pytest.fixture(scope="session")
def random_variables():
    """Variables of a model as after training, without compiling its initialisation: every leaf away from its start."""

    def make(model, *, seed=0, dtype=np.float32):
        like = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3))))
        generator = np.random.Generator(np.random.PCG64(seed))

        def leaf(path, shape):
            if path[-1].key in ("scale", "var"):
                return generator.uniform(0.5, 1.5, shape)
            fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 50
            return generator.normal(0, np.sqrt(2 / fan_in), shape)

        return jax.tree_util.tree_map_with_path(lambda p, each: jnp.asarray(leaf(p, each.shape), dtype), like)

    return make


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def torchvision_shapes(stage_sizes, width=64, num_classes=2, block="bottleneck"):
    """Names and shapes of torchvision's ResNets, written down from its documentation alone."""
    shapes = {}

    def pair(conv, norm, *shape):
        shapes[f"{conv}.weight"] = shape
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{name}"] = shape[:1]

    pair("conv1", "bn1", width, 3, 7, 7)
    channels = width
    for stage, blocks in enumerate(stage_sizes):
        inner = width * 2**stage
        outer = inner * (4 if block == "bottleneck" else 1)
        for index in range(blocks):
            at = f"layer{stage + 1}.{index}"
            if block == "bottleneck":
                pair(f"{at}.conv1", f"{at}.bn1", inner, channels, 1, 1)
                pair(f"{at}.conv2", f"{at}.bn2", inner, inner, 3, 3)
                pair(f"{at}.conv3", f"{at}.bn3", outer, inner, 1, 1)
            else:
                pair(f"{at}.conv1", f"{at}.bn1", inner, channels, 3, 3)
                pair(f"{at}.conv2", f"{at}.bn2", inner, inner, 3, 3)
            if index == 0 and (stage > 0 or channels != outer):
                pair(f"{at}.downsample.0", f"{at}.downsample.1", outer, channels, 1, 1)
            channels = outer
    return shapes | {"fc.weight": (num_classes, channels), "fc.bias": (num_classes,)}


def weights_by_recipe(shapes, seed):
    """The reference file's weight recipe: one uniform stream over the tensors in the order of their names."""
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


def images_by_recipe(shape, seed):
    """The reference file's input recipe: noise, and a bright spot above and to the right of the middle."""
    height, width = shape[2:]
    u = (np.random.PCG64(seed).random_raw(int(np.prod(shape))) >> 11) * 2.0**-53
    row, column = np.ogrid[:height, :width]
    spot = np.exp(-(((row - 0.4 * height) / (0.15 * height)) ** 2 + ((column - 0.6 * width) / (0.2 * width)) ** 2))
    return (0.8 * (2 * u - 1).reshape(shape) + 1.5 * spot).astype(np.float32)
