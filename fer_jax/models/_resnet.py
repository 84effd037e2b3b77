"""ResNets that return their logits and their last feature map: ResNet-50 and small siblings from the same code.

Contract: input float (B, H, W, 3), already normalised (`fer_jax.images.normalise`). Output `Output(logits, features)`
with logits (B, classes) before any softmax and features (B, h, w, C) after the final ReLU, which global average
pooling and one linear layer turn into the logits. Variables are `{"params", "batch_stats"}`. Of a folded network
(`fold_batch_norm`) `{"params"}` alone.

A network is a row of named layers, "stem", "layer1", "layer2", ..., and the head. A call may stop after any of them
and another may start there, so that every map in between can be explained.

The architecture is He et al. 2016 in its "v1.5" form (the stride of a stage on its 3×3 convolution), padded
explicitly as the reference weights expect.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from fer_jax.errors import UsageError, check_one_of
from fer_jax.models._conv import conv2d, max_pool

BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.9

STEMS = ("imagenet", "small")
BLOCKS = ("bottleneck", "basic")
HEAD_INIT = nn.initializers.lecun_normal()


class Output(NamedTuple):
    """Logits (B, classes) and the last feature map (B, h, w, C)."""

    logits: jax.Array
    features: jax.Array


class Conv(nn.Module):
    """A convolution with symmetric padding and a choice of lowering. It has no bias unless BatchNorm is folded in."""

    features: int
    size: int
    stride: int = 1
    lowering: str | None = None
    dtype: Any = jnp.float32
    use_bias: bool = False

    @nn.compact
    def __call__(self, x):
        """Convolve (B, H, W, C)."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape, jnp.float32)
        y = conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            padding=self.size // 2,
            lowering=self.lowering,
        )
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
            y += bias.astype(self.dtype).reshape(1, 1, 1, -1)
        return y


class Block(nn.Module):
    """A residual block: bottleneck (1×1, 3×3, 1×1, four times as wide outside) or basic (3×3, 3×3)."""

    features: int
    stride: int
    kind: str
    conv: Any
    norm: Any

    @nn.compact
    def __call__(self, x):
        """Add the block's own path to its shortcut, then rectify."""
        bottleneck = self.kind == "bottleneck"
        if bottleneck:
            layers = ((self.features, 1, 1), (self.features, 3, self.stride), (4 * self.features, 1, 1))
        else:
            layers = ((self.features, 3, self.stride), (self.features, 3, 1))
        y = x
        for number, (features, size, stride) in enumerate(layers, start=1):
            y = self.conv(features, size, stride, name=f"conv{number}")(y)
            y = self.norm(name=f"bn{number}")(y)
            if number < len(layers):
                y = nn.relu(y)
        if x.shape != y.shape:
            x = self.conv(layers[-1][0], 1, self.stride, name="downsample_conv")(x)
            x = self.norm(name="downsample_bn")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """A residual network of any depth and width.

    Attributes:
      num_classes: size of the linear head.
      stage_sizes: blocks in each stage. Every stage after the first halves the resolution, unless `strides` says other.
      width: channels of the first stage, doubled at each further stage.
      block: "bottleneck" or "basic".
      stem: how the resolution falls to a quarter: "imagenet" (7×7 stride 2, then a max-pool) or "small" (3×3 stride 2
        with half the width, then a first stage that halves as well: for pictures of 32 to 96 pixels, ours).
      strides: by how much each stage lowers the resolution, 1 or 2. None: the published ones, as said above.
      lowering: how convolutions are computed, see `default_lowering`, whose choice None takes for a network by itself.
        Changes no number beyond rounding.
      dtype: of the computation. Parameters and batch statistics keep theirs (float32 when made here).
      axis_name: mapped axis over which batch statistics are averaged, if data is split over devices.
      folded: whether every BatchNorm is part of the convolution before it, see `fold_batch_norm`.
      remat: whether the backward pass computes the inside of each block again instead of keeping it (`jax.checkpoint`).
    """

    num_classes: int
    stage_sizes: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    block: str = "bottleneck"
    stem: str = "imagenet"
    strides: tuple[int, ...] | None = None
    lowering: str | None = None
    dtype: Any = jnp.float32
    axis_name: str | None = None
    folded: bool = False
    remat: bool = False

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers before the head, in their order."""
        return ("stem", *(f"layer{number}" for number in range(1, len(self.stage_sizes) + 1)))

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        *,
        train: bool = False,
        start_after: str | None = None,
        stop_after: str | None = None,
    ) -> Output | jax.Array:
        """Return logits and features of a batch. `train` uses and updates batch statistics.

        Args:
          images: float (B, H, W, 3), normalised. With `start_after` the feature map (B, h, w, C) there.
          train: normalise by the batch (mutable "batch_stats") instead of the running statistics.
          start_after: one of `layers`, to leave out it and all before it.
          stop_after: one of `layers`, to leave out all behind it, and the head.

        Returns:
          `Output` of logits (B, num_classes) and features (B, h, w, C), at least float32. With `stop_after` the feature
          map (B, h, w, C) there alone.

        Raises:
          UsageError: not a batch of images or of such features, an unknown stem, block or layer, or a folded network
            in training.
        """
        _check(self, train)
        first, last = _span(self, start_after, stop_after)
        _check_input(self, images, first)
        conv = functools.partial(Conv, lowering=self.lowering, dtype=self.dtype, use_bias=self.folded)
        norm = functools.partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=BATCH_NORM_MOMENTUM,
            epsilon=BATCH_NORM_EPSILON,
            dtype=self.dtype,
            axis_name=self.axis_name if train else None,
        )
        if self.folded:
            norm = _no_norm
        x = images
        for position in range(first, last):
            x = x.astype(self.dtype)
            x = self._stage(x, position, conv, norm) if position else self._stem(x, conv, norm)
        features = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if stop_after is not None:
            return features
        pooled = features.mean((1, 2))
        head = nn.Dense(self.num_classes, kernel_init=HEAD_INIT, name="fc")
        return Output(head(pooled), features)

    @nn.nowrap
    def _stem(self, x, conv, norm):
        large = self.stem == "imagenet"
        x = conv(_channels(self, 0), 7 if large else 3, 2, name="conv1")(x)
        x = nn.relu(norm(name="bn1")(x))
        return max_pool(x, lowering=self.lowering) if large else x

    @nn.nowrap
    def _stage(self, x, number, conv, norm):
        published = 2 if number > 1 or self.stem != "imagenet" else 1
        first = published if self.strides is None else self.strides[number - 1]
        block = nn.remat(Block) if self.remat else Block
        for index in range(self.stage_sizes[number - 1]):
            features = self.width * 2 ** (number - 1)
            stride = first if index == 0 else 1
            x = block(features, stride, self.block, conv, norm, name=f"layer{number}_{index}")(x)
        return x


def _no_norm(name):
    return lambda x: x


def _channels(model, position):
    """Return the channels of the map after a layer."""
    if position == 0:
        return model.width if model.stem == "imagenet" else model.width // 2
    return model.width * 2 ** (position - 1) * (4 if model.block == "bottleneck" else 1)


def _position(model, layer, argument):
    check_one_of(argument, layer, model.layers)
    return model.layers.index(layer)


def _span(model, start_after, stop_after):
    """Return positions of the layers to run: the first, and the one behind the last."""
    first = 0 if start_after is None else _position(model, start_after, "start_after") + 1
    last = len(model.layers) if stop_after is None else _position(model, stop_after, "stop_after") + 1
    if stop_after is not None and last <= first:
        raise UsageError(f"`stop_after`: wanted a layer behind {start_after}, got {stop_after!r}.")
    return first, last


def _check(model, train):
    check_one_of("stem", model.stem, STEMS)
    check_one_of("block", model.block, BLOCKS)
    if model.strides is not None and (len(model.strides) != len(model.stage_sizes) or {*model.strides} - {1, 2}):
        raise UsageError(
            f"`strides`: wanted 1 or 2 for each of the {len(model.stage_sizes)} stages, or None, got {model.strides}."
        )
    if model.folded and train:
        raise UsageError("`train`: a folded network has no BatchNorm to train; use the model before `fold_batch_norm`.")


def _check_input(model, images, first):
    if first == 0:
        if images.ndim != 4 or images.shape[-1] != 3:
            raise UsageError(
                f"`images`: wanted a batch (B, H, W, 3), got shape {images.shape}; {_mending(images.shape)}."
            )
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise UsageError(
                f"`images`: wanted normalised floats, got {images.dtype}; pass images.normalise(images.to_float(x))."
            )
        return
    channels = _channels(model, first - 1)
    if images.ndim != 4 or images.shape[-1] != channels or not jnp.issubdtype(images.dtype, jnp.floating):
        raise UsageError(
            f"`images`: wanted the float map (B, h, w, {channels}) after {model.layers[first - 1]}, "
            f"got {images.dtype} {images.shape}."
        )


def _mending(shape):
    """Say how to mend images of such a shape."""
    if len(shape) == 4 and shape[1] == 3:
        return "channels come last: jnp.moveaxis(images, 1, -1)"
    if len(shape) == 4 and shape[-1] == 1:
        return "grey pictures are repeated for three channels: jnp.repeat(images, 3, -1)"
    if len(shape) == 3 and shape[-1] == 3:
        return "add a leading axis to one: images[None]"
    return "a batch of RGB pictures, channels last"


ResNet50 = functools.partial(ResNet, stage_sizes=(3, 4, 6, 3), width=64)
# Ours: from scratch on a CPU, for pictures of 48 to 96 pixels. Features are an eighth of the side.
SmallResNet = functools.partial(ResNet, stage_sizes=(1, 1), width=64, block="basic", stem="small")
# Ours: 1.2 million parameters, to tell eight expressions of photographs apart. Features are an eighth of the side, too:
# a last map of 3x3 cells could explain little.
MediumResNet = functools.partial(SmallResNet, stage_sizes=(1, 1, 1), strides=(2, 2, 1))
# Ours: for first runs in minutes.
TinyResNet = functools.partial(SmallResNet, width=32)

MODELS = {"resnet50": ResNet50, "medium": MediumResNet, "small": SmallResNet, "tiny": TinyResNet}


def head_weights(variables) -> tuple[jax.Array, jax.Array]:
    """Return the linear head of a ResNet's variables: weights (C, classes) and bias (classes,)."""
    head = variables["params"]["fc"]
    return head["kernel"], head["bias"]


def features_at(model: ResNet, variables, images: jax.Array, *, layer: str) -> jax.Array:
    """Return the feature maps of a batch after a named layer.

    Args:
      model: a ResNet.
      variables: its variables.
      images: float (B, H, W, 3), normalised.
      layer: one of `model.layers`: "stem", "layer1" and so on. The last has the features of `Output`.

    Returns:
      (B, h, w, C), at least float32.

    Raises:
      UsageError: an unknown layer, or not a batch of images.
    """
    _position(model, layer, "layer")
    maps: Any = model.apply(variables, images, stop_after=layer)
    return maps


def head_after(model: ResNet, variables, *, layer: str) -> Callable[[jax.Array], jax.Array]:
    """Return the part of a network behind a named layer, as the function that `saliency.grad_cam` wants.

    Args:
      model: a ResNet.
      variables: its variables.
      layer: one of `model.layers`.

    Returns:
      A function from the features (h, w, C) of one image there to its logits (classes,).

    Raises:
      UsageError: an unknown layer. From the function: features of a batch or of another layer.
    """
    _position(model, layer, "layer")

    def head(features):
        if jnp.ndim(features) != 3:
            raise UsageError(
                f"`features`: wanted (h, w, C) of one image, got shape {jnp.shape(features)}; use jax.vmap."
            )
        output: Any = model.apply(variables, features[None], start_after=layer)
        return output.logits[0]

    return head
