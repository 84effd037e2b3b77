"""Maps from the gradient of a score by the image itself: times the image, along a path, and under noise."""

import jax
import jax.numpy as jnp

from fer_jax.errors import UsageError, check_count, check_one_of
from fer_jax.saliency._once import compiled
from fer_jax.saliency._score import ScoreFn, check_image, check_score, slope
from fer_jax.saliency.faithfulness._probe import BLUR_SIGMA, in_chunks, replacement

CHANNELS = ("sum", "magnitude", "keep")


def input_x_gradient(score_fn: ScoreFn, image: jax.Array, *, channels: str = "sum") -> jax.Array:
    """Return the image times the gradient of its score (Shrikumar et al. 2016, arXiv 1605.01713).

    For a network of ReLUs and linear layers without biases the values sum to the score.

    Args:
      score_fn: any differentiable function from one image (H, W, C) to a scalar.
      image: float (H, W, C).
      channels: "sum" over the channels, signed, "magnitude", the largest absolute value of a pixel's channels, or
        "keep" them.

    Returns:
      float (H, W), or (H, W, C) with "keep", raw. At least float32.

    Raises:
      UsageError: a batch, bytes, a score that is no scalar, or an option that cannot be used.

    Example:
      >>> input_x_gradient(lambda image: (image**2).sum(), jnp.asarray([[[1.0], [3.0]]])).tolist()
      [[2.0, 18.0]]
    """
    image = _checked(score_fn, image, channels)
    return _over_channels(image * slope(score_fn, image).astype(_wide(image)), channels)


def integrated_gradients(
    score_fn: ScoreFn,
    image: jax.Array,
    *,
    baseline: str | jax.Array = "zero",
    blur_sigma: float = BLUR_SIGMA,
    steps: int = 32,
    chunk: int = 8,
    channels: str = "sum",
) -> jax.Array:
    """Return the gradient integrated from a baseline to the image, times their difference (arXiv 1703.01365, eq. 1).

    The values sum to the score of the image minus that of the baseline, as exactly as the steps integrate. Results
    and errors are those of `input_x_gradient`.

    Args:
      score_fn: any differentiable function from one image (H, W, C) to a scalar.
      image: float (H, W, C).
      baseline: where the path starts: "zero" (the data mean of a normalised image), "mean", "blur" or an image, as in
        `faithfulness.deletion`.
      blur_sigma: of "blur", pixels.
      steps: gradients taken, at the middle of equal parts of the path (ours: the source's sum takes their ends).
      chunk: images differentiated at once, which bounds the memory.
      channels: see `input_x_gradient`.

    Example:
      >>> integrated_gradients(lambda image: (image**2).sum(), jnp.asarray([[[1.0], [3.0]]])).tolist()
      [[1.0, 9.0]]
    """
    image = _checked(score_fn, image, channels)
    steps = check_count("steps", steps, 1)
    chunk = check_count("chunk", chunk, 1)
    start = replacement(image, baseline, blur_sigma=blur_sigma)
    return _over_channels(compiled(_integral, score_fn, steps=steps, chunk=chunk)(image, start), channels)


def _integral(score_fn, image, start, *, steps, chunk):
    way = image.astype(_wide(image)) - start

    def gradient(share):
        return slope(score_fn, (start + share * way).astype(image.dtype)).astype(way.dtype)

    shares = (jnp.arange(steps, dtype=way.dtype) + 0.5) / steps
    return way * in_chunks(gradient, shares, chunk).mean(0)


def smooth_grad(
    key: jax.Array,
    score_fn: ScoreFn,
    image: jax.Array,
    *,
    samples: int = 50,
    noise: float = 0.15,
    chunk: int = 8,
    channels: str = "magnitude",
) -> jax.Array:
    """Return the mean gradient over noisy copies of the image (Smilkov et al. 2017, arXiv 1706.03825).

    It says how sensitive the score is to a pixel, not how much the pixel gives to it. Results and errors are those of
    `input_x_gradient`.

    Args:
      key: typed random key of the noise.
      score_fn: any differentiable function from one image (H, W, C) to a scalar.
      image: float (H, W, C).
      samples: noisy copies (50 in the source's figures).
      noise: standard deviation as a share of the image's range, .1 to .2 in the source.
      chunk: images differentiated at once, which bounds the memory.
      channels: see `input_x_gradient`. "magnitude" as the source draws its maps.

    Example:
      >>> smooth_grad(jax.random.key(0), lambda image: 2 * image.sum(), jnp.asarray([[[1.0], [3.0]]])).tolist()
      [[2.0, 2.0]]
    """
    image = _checked(score_fn, image, channels)
    samples = check_count("samples", samples, 1)
    chunk = check_count("chunk", chunk, 1)
    if not isinstance(noise, jax.core.Tracer) and not noise >= 0:
        raise UsageError(f"`noise`: wanted a share of the image's range, at least 0, got {noise!r}.")
    program = compiled(_mean_gradient, score_fn, samples=samples, chunk=chunk)
    return _over_channels(program(key, image, noise), channels)


def _mean_gradient(score_fn, key, image, noise, *, samples, chunk):
    wide = image.astype(_wide(image))
    spread = noise * (wide.max() - wide.min())

    def gradient(key):
        noisy = wide + spread * jax.random.normal(key, image.shape, wide.dtype)
        return slope(score_fn, noisy.astype(image.dtype)).astype(wide.dtype)

    return in_chunks(gradient, jax.random.split(key, samples), chunk).mean(0)


def _checked(score_fn, image, channels):
    image = check_image(image)
    check_score(score_fn, image)
    check_one_of("channels", channels, CHANNELS)
    return image


def _over_channels(values, channels):
    if channels == "keep":
        return values
    return values.sum(-1) if channels == "sum" else jnp.abs(values).max(-1)


def _wide(image):
    return jnp.promote_types(image.dtype, jnp.float32)
