"""Saliency maps of any JAX function: extremal perturbation, class activation maps and their kin, gradients, RISE.

Every function takes a single image or feature map and is batched by `jax.vmap`. `extremal_queue` alone takes many, as
a converged image leaves early. Maps are returned raw. Functions in `faithfulness` measure whether a map is true to the
function it explains.

All of it runs inside a caller's `jax.jit`, `jax.vmap`, `jax.pmap` and `jax.shard_map`: each device explains its own
score. Pictures dealt out on a mesh with Explicit axes (the default of JAX) go through `over_images`, or
through `jax.sharding.auto_axes(jax.vmap(explain), out_sharding=...)`: JAX runs no loop or gather along such an axis.
"""

from fer_jax.saliency import faithfulness
from fer_jax.saliency._area import area_term
from fer_jax.saliency._cam import cam
from fer_jax.saliency._extremal import (
    AREAS_OF,
    PUBLISHED_ITERATIONS,
    STARTS,
    STOPS,
    VARIANTS,
    Energies,
    Extremal,
    ExtremalOptions,
    ExtremalState,
    extremal,
)
from fer_jax.saliency._extremal_perturbation import ExtremalInfo, extremal_area, extremal_perturbation
from fer_jax.saliency._extremal_queue import OVER_SLOTS, extremal_queue
from fer_jax.saliency._grad_cam import grad_cam, grad_cam_plus_plus, hires_cam, layer_cam
from fer_jax.saliency._gradients import CHANNELS, input_x_gradient, integrated_gradients, smooth_grad
from fer_jax.saliency._normalise import CONVENTIONS, NORMALISATIONS, RESIZINGS, normalise, postprocess, resize
from fer_jax.saliency._over_images import over_images
from fer_jax.saliency._perturbation import EDGES, PERTURBATIONS, gaussian_blur, perturb, pyramid
from fer_jax.saliency._rise import rise
from fer_jax.saliency._score import SCORES, class_score
from fer_jax.saliency._smooth_mask import POOLINGS, grid_shape, smooth_mask

__all__ = [
    "AREAS_OF",
    "CHANNELS",
    "CONVENTIONS",
    "EDGES",
    "NORMALISATIONS",
    "OVER_SLOTS",
    "PERTURBATIONS",
    "POOLINGS",
    "PUBLISHED_ITERATIONS",
    "RESIZINGS",
    "SCORES",
    "STARTS",
    "STOPS",
    "VARIANTS",
    "Energies",
    "Extremal",
    "ExtremalInfo",
    "ExtremalOptions",
    "ExtremalState",
    "area_term",
    "cam",
    "class_score",
    "extremal",
    "extremal_area",
    "extremal_perturbation",
    "extremal_queue",
    "faithfulness",
    "gaussian_blur",
    "grad_cam",
    "grad_cam_plus_plus",
    "grid_shape",
    "hires_cam",
    "input_x_gradient",
    "integrated_gradients",
    "layer_cam",
    "normalise",
    "over_images",
    "perturb",
    "postprocess",
    "pyramid",
    "resize",
    "rise",
    "smooth_grad",
    "smooth_mask",
]
