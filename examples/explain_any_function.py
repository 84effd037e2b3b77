"""Saliency of a plain function: extremal perturbation and Grad-CAM find the patch that a score depends on."""

import jax
import jax.numpy as jnp

from fer_jax import saliency

SIDE = 32
PATCH = (slice(6, 14), slice(18, 26))


def score(image):
    """Return the mean brightness of one patch."""
    return image[PATCH].mean()


def head(features):
    """Return two logits from a feature map (h, w, C): the first rises with channel 0, the second with channel 1."""
    return features.mean((0, 1))[:2]


image = jax.random.uniform(jax.random.key(0), (SIDE, SIDE, 3)) * 0.2
image = image.at[PATCH].set(1.0)
options = saliency.ExtremalOptions(area=0.06, iterations=100, step=2, sigma=3.0, max_blur=6.0)
mask, info = saliency.extremal_perturbation(score, image, options)
inside = jnp.zeros((SIDE, SIDE)).at[PATCH].set(1.0)
print(f"extremal perturbation: {float((mask * inside).sum() / mask.sum()):.0%} of the mask lies in the patch")
print(f"the patch covers {float(inside.mean()):.0%} of the picture, the mask {float(mask.mean()):.0%}")

features = saliency.resize(image.transpose(2, 0, 1), (8, 8)).transpose(1, 2, 0)
heat = saliency.grad_cam(head, features, 0)
row, column = divmod(int(heat.argmax()), 8)
print(f"Grad-CAM: highest at cell ({row}, {column}), that is pixel ({4 * row + 2}, {4 * column + 2})")
