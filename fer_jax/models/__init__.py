"""Networks in Flax Linen that return named intermediates: `(logits, features)`."""

from fer_jax.models._conv import LOWERINGS, conv2d, default_lowering
from fer_jax.models._folding import fold_batch_norm
from fer_jax.models._pretrained import from_state_dict, to_state_dict
from fer_jax.models._resnet import (
    BATCH_NORM_MOMENTUM,
    MODELS,
    MediumResNet,
    Output,
    ResNet,
    ResNet50,
    SmallResNet,
    TinyResNet,
    features_at,
    head_after,
    head_weights,
)

__all__ = [
    "BATCH_NORM_MOMENTUM",
    "LOWERINGS",
    "MODELS",
    "MediumResNet",
    "Output",
    "ResNet",
    "ResNet50",
    "SmallResNet",
    "TinyResNet",
    "conv2d",
    "default_lowering",
    "features_at",
    "fold_batch_norm",
    "from_state_dict",
    "head_after",
    "head_weights",
    "to_state_dict",
]
