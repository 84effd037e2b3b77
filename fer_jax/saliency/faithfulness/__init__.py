"""Measure whether a saliency map says what the model does: pixels taken away, filled in or kept, weights drawn anew.

Every function takes one image (or one set of variables), knows no model and is batched by `jax.vmap`. Pixels are
ordered by their saliency, equals in row-major order, all channels of a pixel together. What is undefined is NaN: a
constant map orders nothing, nor does one that holds a NaN, which outside `jax.jit` is an error. Compile once for many
images, such as `jax.jit(jax.vmap(lambda image, heat: deletion(score_fn, image, heat).area))`. A call outside
`jax.jit` compiles once for each score function and shape, so the function must be pure.
`chunk` bounds the memory of one image, and `saliency.over_images` that of many.
"""

from fer_jax.saliency.faithfulness._curves import Curve, average_drop, deletion, increase, insertion, masked_image
from fer_jax.saliency.faithfulness._imputation import ROAD_SHARES, Road, noisy_linear_impute, road
from fer_jax.saliency.faithfulness._probe import BASELINES
from fer_jax.saliency.faithfulness._sanity import DRAWS, Cascade, cascading_randomisation
from fer_jax.saliency.faithfulness._subsets import mu_fidelity

__all__ = [
    "BASELINES",
    "DRAWS",
    "ROAD_SHARES",
    "Cascade",
    "Curve",
    "Road",
    "average_drop",
    "cascading_randomisation",
    "deletion",
    "increase",
    "insertion",
    "masked_image",
    "mu_fidelity",
    "noisy_linear_impute",
    "road",
]
