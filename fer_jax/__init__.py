"""Facial expressions seen by people and by networks: a stacked ensemble in JAX, its explanations, and their comparison.

    import jax, fer_jax as fer

    model = fer.models.ResNet50(num_classes=2)
    variables = fer.ensemble.init(jax.random.key(0), model)       # every leaf gains a leading 28
    output = fer.ensemble.apply(model, variables, images)         # output.logits (28, B, 2)
    labels = fer.ensemble.simple_vote(output.logits)              # (B,) over fer.EXPRESSIONS

Namespaces load when they are first used, so importing the package is quick and touches no device. One whose packages
are not installed is there all the same. Its functions say what to install.
"""

import importlib
import types
from typing import TYPE_CHECKING

from fer_jax.categories import Categories
from fer_jax.errors import MissingPackage, MissingRoom
from fer_jax.expressions import EXPRESSIONS

if TYPE_CHECKING:
    from fer_jax import (
        augment,
        checkpoints,
        compare,
        compiler,
        data,
        ensemble,
        errors,
        explanation,
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
    "Categories",
    "__version__",
    "augment",
    "checkpoints",
    "compare",
    "compiler",
    "data",
    "ensemble",
    "errors",
    "explanation",
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


class _AbsentRoom(types.ModuleType):
    """Stands for a namespace whose packages are not installed. Any name in it says which."""

    def __init__(self, name: str, reason: str):
        super().__init__(name, reason)

    def __getattr__(self, name: str):
        raise MissingRoom(self.__doc__)


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module 'fer_jax' has no attribute {name!r}")
    try:
        return importlib.import_module(f"fer_jax.{name}")
    except MissingPackage as error:
        reason = str(error)
    except ImportError as error:
        if (error.name or "").startswith("fer_jax"):
            raise
        reason = f"`fer_jax.{name}`: cannot be loaded: {error}; pip install fer-jax brings what it wants."
    # Not kept: once the package is there, the next use finds it. help, hasattr and import * want a module.
    return _AbsentRoom(f"fer_jax.{name}", reason)


def __dir__() -> list[str]:
    return list(__all__)
