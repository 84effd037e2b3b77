"""Models for the laws: one protocol, four kinds. All are equivariant to a left-right flip of 17-pixel pictures."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax

from fer_jax import models

SIZE, CLASSES = 17, 3
KINDS = ("function", "nonlinear_head", "linen", "equinox")


class Explained(NamedTuple):
    """A model cut at its last feature map.

    Attributes:
      features: from an image (17, 17, 3) to its map (h, w, C).
      head: from the map to logits (3,).
      weights: (C, 3) of a head that is pooling and one linear layer, otherwise None.
      bias: (3,), or None.
    """

    features: Callable
    head: Callable
    weights: jax.Array | None = None
    bias: jax.Array | None = None

    def __call__(self, image):
        return self.head(self.features(image))


@functools.cache
def build(kind: str, dtype: str) -> Explained:
    """A model with random weights."""
    makers = {"function": _function, "nonlinear_head": _nonlinear_head, "linen": _linen, "equinox": _equinox}
    return makers[kind](jnp.dtype(dtype))


def _normal(seed, shape, dtype):
    return (0.4 * jax.random.normal(jax.random.key(seed), shape, jnp.float32)).astype(dtype)


def _symmetric(kernel, axis):
    return (kernel + jnp.flip(kernel, axis)) / 2


def _features(dtype):
    kernel = _symmetric(_normal(0, (3, 3, 3, 6), dtype), 1)

    def features(image):
        numbers = ("NHWC", "HWIO", "NHWC")
        out = lax.conv_general_dilated(image[None], kernel, (2, 2), [(1, 1)] * 2, dimension_numbers=numbers)
        return jax.nn.relu(out[0])

    return features


def _pooled(weights, bias):
    return lambda features: features.mean((0, 1)) @ weights + bias


def _function(dtype):
    weights, bias = _normal(1, (6, CLASSES), dtype), _normal(2, (CLASSES,), dtype)
    return Explained(_features(dtype), _pooled(weights, bias), weights, bias)


def _nonlinear_head(dtype):
    hidden, out = _normal(3, (6, 5), dtype), _normal(4, (5, CLASSES), dtype)
    return Explained(_features(dtype), lambda features: jnp.tanh((features**2).mean((0, 1)) @ hidden) @ out)


def _linen(dtype):
    # bf16 as a user would compute in it: float32 variables, a float32 feature map and head.
    outside = jnp.promote_types(dtype, jnp.float32)
    net = models.TinyResNet(num_classes=CLASSES, width=8, dtype=dtype)
    variables = jax.jit(net.init)(jax.random.key(5), jnp.zeros((1, SIZE, SIZE, 3), outside))
    variables = jax.tree.map(lambda leaf: (_symmetric(leaf, 1) if leaf.ndim == 4 else leaf).astype(outside), variables)
    weights, bias = models.head_weights(variables)
    return Explained(lambda image: net.apply(variables, image[None]).features[0], _pooled(weights, bias), weights, bias)


def _equinox(dtype):
    first, second = jax.random.split(jax.random.key(6))
    conv = eqx.nn.Conv2d(3, 6, 3, stride=2, padding=1, key=first, dtype=dtype)
    conv = eqx.tree_at(lambda layer: layer.weight, conv, _symmetric(conv.weight, 3))
    linear = eqx.nn.Linear(6, CLASSES, key=second, dtype=dtype)
    return Explained(
        lambda image: jax.nn.relu(conv(image.transpose(2, 0, 1))).transpose(1, 2, 0),
        lambda features: linear(features.mean((0, 1))),
        linear.weight.T,
        linear.bias,
    )
