"""ResNets that return their logits and their last feature map: ResNet-50 and small siblings from the same code.

Contract: input float (B, H, W, 3), already normalised (`fer_jax.images.normalise`); output `Output(logits, features)`
with logits (B, classes) before any softmax and features (B, h, w, C) after the final ReLU, which global average
pooling and one linear layer turn into the logits. Variables are `{"params", "batch_stats"}`.

The architecture is He et al. 2016 in its "v1.5" form (the stride of a stage on its 3×3 convolution), padded
explicitly as the reference weights expect.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from fer_jax.errors import UsageError
from fer_jax.models._conv import conv2d

BATCH_NORM_EPSILON = 1e-5
BATCH_NORM_MOMENTUM = 0.9

STEMS = ("imagenet", "small")
BLOCKS = ("bottleneck", "basic")


class Output(NamedTuple):
    """Logits (B, classes) and the last feature map (B, h, w, C)."""

    logits: jax.Array
    features: jax.Array


class Conv(nn.Module):
    """A bias-free convolution with symmetric padding and a choice of lowering."""

    features: int
    size: int
    stride: int = 1
    lowering: str = "dots"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x):
        """Convolve (B, H, W, C)."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape, jnp.float32)
        return conv2d(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            stride=self.stride,
            padding=self.size // 2,
            lowering=self.lowering,
        )


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
      stage_sizes: blocks in each stage; every stage after the first halves the resolution.
      width: channels of the first stage, doubled at each further stage.
      block: "bottleneck" or "basic".
      stem: how the resolution falls to a quarter: "imagenet" (7×7 stride 2, then a max-pool) or "small" (3×3 stride 2
        with half the width, then a first stage that halves as well: for pictures of 32 to 96 pixels, ours).
      lowering: how convolutions are computed (see `_conv`); changes no number beyond rounding.
      dtype: of the computation; parameters and batch statistics stay float32.
      axis_name: mapped axis over which batch statistics are averaged, if data is split over devices.
    """

    num_classes: int
    stage_sizes: tuple[int, ...] = (3, 4, 6, 3)
    width: int = 64
    block: str = "bottleneck"
    stem: str = "imagenet"
    lowering: str = "dots"
    dtype: Any = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> Output:
        """Logits and features of a batch; `train` uses and updates batch statistics.

        Args:
          images: float (B, H, W, 3), normalised.
          train: normalise by the batch (mutable "batch_stats") instead of the running statistics.

        Returns:
          `Output` of logits (B, num_classes) and features (B, h, w, C), float32.

        Raises:
          UsageError: not a batch of images, or an unknown stem or block.
        """
        _check(images, self.stem, self.block)
        conv = functools.partial(Conv, lowering=self.lowering, dtype=self.dtype)
        norm = functools.partial(
            nn.BatchNorm,
            use_running_average=not train,
            momentum=BATCH_NORM_MOMENTUM,
            epsilon=BATCH_NORM_EPSILON,
            dtype=self.dtype,
            axis_name=self.axis_name if train else None,
        )
        large = self.stem == "imagenet"
        x = conv(self.width if large else self.width // 2, 7 if large else 3, 2, name="conv1")(images)
        x = nn.relu(norm(name="bn1")(x))
        if large:
            x = nn.max_pool(x, (3, 3), (2, 2), [(1, 1), (1, 1)])
        for stage, blocks in enumerate(self.stage_sizes):
            for index in range(blocks):
                halves = index == 0 and (stage > 0 or not large)
                features = self.width * 2**stage
                x = Block(features, 2 if halves else 1, self.block, conv, norm, name=f"layer{stage + 1}_{index}")(x)
        features = x.astype(jnp.float32)
        pooled = features.mean((1, 2))
        head = nn.Dense(self.num_classes, kernel_init=nn.initializers.lecun_normal(), name="fc")
        return Output(head(pooled), features)


def _check(images, stem, block):
    if images.ndim != 4 or images.shape[-1] != 3:
        raise UsageError(f"`images`: wanted a batch (B, H, W, 3), got shape {images.shape}; add a leading axis to one.")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise UsageError(
            f"`images`: wanted normalised floats, got {images.dtype}; pass images.normalise(images.to_float(x))."
        )
    if stem not in STEMS:
        raise UsageError(f"`stem`: wanted one of {', '.join(STEMS)}, got {stem!r}.")
    if block not in BLOCKS:
        raise UsageError(f"`block`: wanted one of {', '.join(BLOCKS)}, got {block!r}.")


ResNet50 = functools.partial(ResNet, stage_sizes=(3, 4, 6, 3), width=64)
# Ours: from scratch on a CPU, for pictures of 48 to 96 pixels; features are an eighth of the side.
SmallResNet = functools.partial(ResNet, stage_sizes=(1, 1), width=64, block="basic", stem="small")
# Ours: for first runs in minutes.
TinyResNet = functools.partial(SmallResNet, width=32)

MODELS = {"resnet50": ResNet50, "small": SmallResNet, "tiny": TinyResNet}


def head_weights(variables) -> tuple[jax.Array, jax.Array]:
    """The linear head of a ResNet's variables: weights (C, classes) and bias (classes,)."""
    head = variables["params"]["fc"]
    return head["kernel"], head["bias"]
