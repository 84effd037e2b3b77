"""Networks in Flax Linen that return named intermediates: `(logits, features)`."""

from fer_jax.models._conv import LOWERINGS, conv2d
from fer_jax.models._resnet import (
    BATCH_NORM_MOMENTUM,
    MODELS,
    Output,
    ResNet,
    ResNet50,
    SmallResNet,
    TinyResNet,
    head_weights,
)

__all__ = [
    "BATCH_NORM_MOMENTUM",
    "LOWERINGS",
    "MODELS",
    "Output",
    "ResNet",
    "ResNet50",
    "SmallResNet",
    "TinyResNet",
    "conv2d",
    "head_weights",
]
