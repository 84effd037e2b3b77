"""Facial expressions seen by people and by networks: a stacked ensemble in JAX, its explanations, and their comparison.

    import jax, fer_jax as fer

    model = fer.models.ResNet50(num_classes=2)
    variables = fer.ensemble.init(jax.random.key(0), model)       # every leaf gains a leading 28
    output = fer.ensemble.apply(model, variables, images)         # output.logits (28, B, 2)
    labels = fer.ensemble.simple_vote(output.logits)              # (B,) over fer.EXPRESSIONS

Namespaces load when they are first used, so importing the package is quick and touches no device.
"""

import importlib
from typing import TYPE_CHECKING

from fer_jax.expressions import EXPRESSIONS, PAIRS

if TYPE_CHECKING:
    from fer_jax import (
        augment,
        checkpoints,
        compare,
        data,
        ensemble,
        errors,
        expressions,
        faces,
        figures,
        human,
        images,
        masks,
        metrics,
        models,
        placement,
        saliency,
        training,
    )

__version__ = "0.1.0"

__all__ = [
    "EXPRESSIONS",
    "PAIRS",
    "__version__",
    "augment",
    "checkpoints",
    "compare",
    "data",
    "ensemble",
    "errors",
    "expressions",
    "faces",
    "figures",
    "human",
    "images",
    "masks",
    "metrics",
    "models",
    "placement",
    "saliency",
    "training",
]


def __getattr__(name: str):
    if name in __all__:
        return importlib.import_module(f"fer_jax.{name}")
    raise AttributeError(f"module 'fer_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
