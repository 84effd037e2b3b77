"""Networks in Flax Linen that return named intermediates: `(logits, features)`."""

from fer_jax.models._conv import LOWERINGS, conv2d
from fer_jax.models._resnet import MODELS, Output, ResNet, ResNet50, SmallResNet, head_weights

__all__ = ["LOWERINGS", "MODELS", "Output", "ResNet", "ResNet50", "SmallResNet", "conv2d", "head_weights"]
