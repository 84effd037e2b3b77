"""Extremal perturbation in one call: the loop, when to stop it, and what is done to the mask afterwards."""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.arrays import vary_over, varying_axes
from fer_jax.errors import AreaWarning, UsageError, check_count
from fer_jax.saliency._extremal import Energies, Extremal, ExtremalOptions, ExtremalState, extremal
from fer_jax.saliency._normalise import resize as resize_map
from fer_jax.saliency._perturbation import gaussian_blur, perturb, pyramid
from fer_jax.saliency._score import check_image, output_shape
from fer_jax.saliency._smooth_mask import COLDNESS, axis, grid_shape

STOPS = ("never", "converged")
STARTS = ("gradient", "ones")
PUBLISHED_ITERATIONS = 800
_FAR = 0.5  # of the area, or of what it leaves closed: beyond, a mask is not of the size that was asked
_ARRIVED = 1.2  # times the area: masks that settle wider go on shrinking as the area weight grows


class ExtremalInfo(NamedTuple):
    """What an optimisation went through; without the K axis where one area was asked for.

    Attributes:
      reward: float (T, K), the signed score in each iteration; NaN after an early stop.
      area_term: float (T, K), minus the weighted distance from the area; NaN after an early stop.
      iterations: int32, iterations done.
      area: float (K,), the share of the image that each mask opens: the mean of its values over the image's pixels,
        before it is resized or smoothed.
      parameters: float (K, h, w) after the last update, a start for going on.
      finite: bool, whether every score and every mask value was finite.
    """

    reward: jax.Array
    area_term: jax.Array
    iterations: jax.Array
    area: jax.Array
    parameters: jax.Array
    finite: jax.Array


def extremal_perturbation(
    score_fn: Callable[[jax.Array], jax.Array],
    image: jax.Array,
    *,
    area: float | tuple[float, ...] = 0.1,
    iterations: int = PUBLISHED_ITERATIONS,
    step: int = 7,
    sigma: float = 21.0,
    levels: int = 8,
    max_blur: float = 20.0,
    perturbation: str = "blur",
    variant: str = "preserve",
    area_of: str = "image",
    flip_jitter: bool = False,
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    area_weight: float = 300.0,
    growth: float = 1.0035,
    pace: float | None = None,
    coldness: float = COLDNESS,
    pooling: str = "smooth_max",
    initial: jax.Array | str = "gradient",
    stop: str = "never",
    patience: int = 40,
    tolerance: float = 0.01,
    resize: tuple[int, int] | None = None,
    smooth: float = 0.0,
) -> tuple[jax.Array, ExtremalInfo]:
    """The smooth mask of a given area under which a score stays highest.

    Compile it once for many images: `jax.jit(jax.vmap(lambda image: extremal_perturbation(score_fn, image)))`.
    A call outside `jax.jit` compiles anew each time.

    Args:
      score_fn: any function from one image (H, W, C) to a scalar, such as a class's logit (see `class_score`).
      image: float (H, W, C), already normalised for the network: perturbing goes towards 0 at the borders.
      area: share of the pixels the mask opens, in (0, 1); or K of them, optimised jointly.
      iterations: T, at most.
      step: see `ExtremalOptions`; for images much smaller than 224 px scale it down, and sigma with it.
      sigma: see `ExtremalOptions`, as are the next ones.
      levels: of the pyramid.
      max_blur: pixels.
      perturbation: "blur" or "fade".
      variant: "preserve", "delete" or "dual".
      area_of: "image" or "padded_mask".
      flip_jitter: whether every second iteration sees a flipped image.
      learning_rate: of gradient descent.
      momentum: and dampening.
      area_weight: in the first iteration.
      growth: of that weight.
      pace: published iterations that one iteration stands for, see `ExtremalOptions`. By default (ours) the whole
        published schedule is taken: 800 / `iterations`, or 1 where it may stop before.
      coldness: of the smooth maximum.
      pooling: "smooth_max", "sum" or "sigmoid".
      initial: what mask parameters to start from. "gradient" (ours): 1/2 ± 1/2 times the gradient of the score, as a
        share of its largest value, averaged while an even mask opens. "ones" (as published): then thousands of equal
        mask values are ordered by rounding and by their distance from the border, and a score that is weak beside
        `area_weight` never overcomes that order. Or an array (K, h, w) or (h, w); or a typed random key, for uniform
        ones.
      stop: "never" before `iterations`, or when "converged" (ours): the pixels that each mask opens by more than half
        are at most 1.2 times the area, and have changed by less than `tolerance` within `patience` iterations. What is
        cut off is a sharpening of the edges. A score that outweighs the area term converges late. Under `jax.vmap` the
        loop ends with the last image's.
      patience: iterations between two looks at convergence.
      tolerance: 1 - Dice of the opened pixels.
      resize: (height, width) to which the mask is resized, bilinearly; the image's size where None.
      smooth: afterwards, blur by a Gaussian of this share of the mask's shorter side; 0 for none.

    Returns:
      The mask, float (H, W), or (K, H, W) for a tuple of areas, in [0, 1]; and an `ExtremalInfo`. As published, the
      mask is the last one measured, made before the last update.

    Raises:
      UsageError: a batch, an integer image, an area outside (0, 1), another bad option, a score that is no scalar, or
        (outside `jax.jit` only; see `info.finite` inside) a score that is not finite.

    Warns:
      AreaWarning: outside `jax.jit` only (see `info.area` inside), a mask whose area is off by more than half of what
        was asked, or of what that leaves closed. With "padded_mask" a mask may be smaller, as the margin counts too.
    """
    check_image(image)
    if stop not in STOPS:
        raise UsageError(f"`stop`: wanted one of {', '.join(STOPS)}, got {stop!r}.")
    for name, count in (("iterations", iterations), ("patience", patience)):
        check_count(name, count, 1)
    single = not isinstance(area, (tuple, list))
    options = ExtremalOptions(
        areas=(area,) if single else tuple(area),
        step=step,
        sigma=sigma,
        levels=levels,
        max_blur=max_blur,
        perturbation=perturbation,
        variant=variant,
        area_of=area_of,
        flip_jitter=flip_jitter,
        learning_rate=learning_rate,
        momentum=momentum,
        area_weight=area_weight,
        growth=growth,
        pace=_pace(pace, iterations, stop),
        coldness=coldness,
        pooling=pooling,
    )
    if not 0 <= smooth < 1:
        raise UsageError(f"`smooth`: wanted a share of the side in [0, 1), got {smooth!r}.")
    start = initial if isinstance(initial, str) else ""
    if start not in ("", *STARTS):
        raise UsageError(
            f"`initial`: wanted one of {', '.join(STARTS)}, an array or a typed random key, got {start!r}."
        )
    shape = output_shape(score_fn, image, "score_fn", "one image (H, W, C)")
    if shape != ():
        raise UsageError(f"`score_fn`: wanted a scalar for one image, it returned shape {shape}.")

    @jax.jit
    def optimise(image, initial):
        problem = extremal(score_fn, image, options)
        state = problem.init(problem.gradient_start() if start == "gradient" else initial)
        if stop == "never":
            state, energies = problem.run(state, iterations)
        else:
            state, energies = _run_until_converged(problem, state, options.areas, iterations, patience, tolerance)
        done = jnp.arange(iterations) < state.iteration
        finite = jnp.all(jnp.isfinite(energies.reward) | ~done[:, None]) & jnp.all(jnp.isfinite(state.mask))
        reached = state.mask.mean((1, 2))
        mask = state.mask if resize is None else resize_map(state.mask, resize)
        if smooth:
            mask = gaussian_blur(mask[..., None], sigma=smooth * min(mask.shape[-2:]))[..., 0]
        return mask, ExtremalInfo(
            energies.reward, energies.area_term, state.iteration, reached, state.parameters, finite
        )

    mask, info = optimise(image, None if start else _array(initial, image, options))
    if not isinstance(info.finite, jax.core.Tracer):
        _tell(info, image.shape[:2], options)
    if single:
        first = {name: getattr(info, name)[:, 0] for name in ("reward", "area_term")}
        info = info._replace(area=info.area[0], parameters=info.parameters[0], **first)
        mask = mask[0]
    return mask, info


def _pace(pace, iterations, stop):
    if pace is not None:
        return pace
    return PUBLISHED_ITERATIONS / iterations if stop == "never" else 1.0


def _tell(info: ExtremalInfo, size, options) -> None:
    """Raise for what is not finite, warn of the first mask that is far from its area."""
    if not bool(info.finite):
        first = int(jnp.argmin(jnp.isfinite(info.reward).all(1)))
        raise UsageError(
            f"`score_fn`: wanted finite scores and gradients, got scores {info.reward[first].tolist()} "
            f"in iteration {first}."
        )
    counted = 1.0  # pixels that are counted to those of the image
    if options.area_of == "padded_mask":
        kept = [axis(length, step=options.step, sigma=options.sigma, margin=True).length for length in size]
        counted = math.prod(kept) / math.prod(size)
    for area, reached in zip(options.areas, info.area.tolist(), strict=True):
        wanted = min(area * counted, 1.0)
        apart = reached - wanted if counted > 1 else abs(reached - wanted)
        if apart > _FAR * min(area, 1 - area):
            warnings.warn(
                f"`area`: asked for {wanted:.3g} of the image, the mask opens {reached:.3g} after {info.iterations} "
                "iterations. Allow more `iterations`; or scale the score down, if it holds the mask open.",
                AreaWarning,
                stacklevel=3,
            )
            return


def extremal_area(
    score_fn: Callable[[jax.Array], jax.Array],
    image: jax.Array,
    *,
    threshold: float,
    areas: tuple[float, ...] = (0.025, 0.05, 0.1, 0.2, 0.4),
    **options,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The smallest of several areas whose mask keeps the score at a threshold (defined in the method's article, §3.1).

    Args:
      score_fn: from one image (H, W, C) to a scalar.
      image: float (H, W, C).
      threshold: the score to reach; may be traced.
      areas: candidate shares in (0, 1), rising. All are optimised jointly, in one loop.
      **options: of `extremal_perturbation`, other than `area`, `variant`, `resize` and `smooth`.

    Returns:
      The area, NaN where none reaches the threshold; its mask (H, W), that of the largest area then; and the score
      of every candidate, (K,).

    Raises:
      UsageError: areas that do not rise, or as `extremal_perturbation`.
    """
    if list(areas) != sorted(set(areas)):
        raise UsageError(f"`areas`: wanted rising shares, got {areas!r}.")
    reserved = sorted({"area", "variant", "resize", "smooth"} & set(options))
    if reserved:
        raise UsageError(f"`{reserved[0]}`: not an option of the search for the smallest area; leave it out.")
    masks, _ = extremal_perturbation(score_fn, image, area=tuple(areas), **options)
    defaults = ExtremalOptions()
    perturbations = pyramid(
        image,
        kind=options.get("perturbation", defaults.perturbation),
        levels=options.get("levels", defaults.levels),
        max_blur=options.get("max_blur", defaults.max_blur),
    )
    scores = jax.vmap(score_fn)(perturb(perturbations, masks).astype(image.dtype))
    reached = scores >= threshold
    chosen = jnp.where(reached.any(), jnp.argmax(reached), len(areas) - 1)
    area = jnp.where(reached.any(), jnp.asarray(areas, masks.dtype)[chosen], jnp.nan)
    return area, masks[chosen], scores


def _run_until_converged(problem: Extremal, state: ExtremalState, areas, iterations, patience, tolerance):
    """`Extremal.run` with a way out: (state, energies padded with NaN to `iterations`)."""
    blank = jnp.full((iterations, len(areas)), jnp.nan, state.parameters.dtype)
    areas = jnp.asarray(areas, state.mask.dtype)
    arrived = jnp.minimum(_ARRIVED * areas, (1 + areas) / 2)  # a mask that starts all open has not arrived

    def unfinished(carry):
        state, _, _, settled = carry
        return (state.iteration < iterations) & ~settled

    def advance(carry):
        state, energies, seen, _ = carry
        at = state.iteration
        state, now = problem.step(state)
        energies = jax.tree.map(lambda rows, row: lax.dynamic_update_index_in_dim(rows, row, at, 0), energies, now)
        look = state.iteration % patience == 0
        opened = state.mask > 0.5
        # 1 - Dice <= tolerance, without a division: two empty sets agree.
        apart, both = (opened ^ seen).sum((1, 2)), opened.sum((1, 2)) + seen.sum((1, 2))
        settled = (apart <= tolerance * both) & (opened.mean((1, 2)) < arrived)
        return state, energies, jnp.where(look, opened, seen), look & settled.all()

    carry = (state, Energies(blank, blank), jnp.ones(state.mask.shape, bool), jnp.zeros((), bool))
    carry = vary_over(carry, varying_axes(state))
    state, energies, _, _ = lax.while_loop(unfinished, advance, carry)
    return state, energies


def _array(initial, image, options):
    """Initial parameters (K, h, w) from a key or an array."""
    dtype = jnp.promote_types(image.dtype, jnp.float32)
    if jnp.issubdtype(initial.dtype, jax.dtypes.prng_key):
        grid = grid_shape(image.shape[:2], step=options.step)
        return jax.random.uniform(initial, (len(options.areas), *grid), dtype)
    return initial[None] if initial.ndim == 2 else initial
