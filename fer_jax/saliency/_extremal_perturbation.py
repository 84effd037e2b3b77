"""Extremal perturbation in one call: the loop, when to stop it, and what is done to the mask afterwards."""

import dataclasses
import math
import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fer_jax.arrays import vary_over, varying_axes
from fer_jax.errors import AreaWarning, UsageError
from fer_jax.saliency._extremal import PUBLISHED, Energies, Extremal, ExtremalOptions, ExtremalState, extremal
from fer_jax.saliency._normalise import resize
from fer_jax.saliency._once import compiled
from fer_jax.saliency._perturbation import gaussian_blur, perturb, pyramid
from fer_jax.saliency._score import ScoreFn, check_image, check_score
from fer_jax.saliency._smooth_mask import axis, grid_shape

_CANDIDATES = ExtremalOptions(area=(0.025, 0.05, 0.1, 0.2, 0.4))
_FAR = 0.5  # of the area, or of what it leaves closed: beyond, a mask is not of the size that was asked
_ARRIVED = 1.2  # times the area: masks that settle wider go on shrinking as the area weight grows


class ExtremalInfo(NamedTuple):
    """What an optimisation went through, without the K axis where one area was asked for.

    Attributes:
      reward: float (T, K), the signed score in each iteration. NaN after an early stop.
      area_term: float (T, K), minus the weighted distance from the area. NaN after an early stop.
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
    score_fn: ScoreFn,
    image: jax.Array,
    options: ExtremalOptions = PUBLISHED,
    *,
    initial: jax.Array | None = None,
) -> tuple[jax.Array, ExtremalInfo]:
    """Find the smooth mask of a given area under which a score stays highest.

    Many images: `jax.jit(jax.vmap(lambda image: extremal_perturbation(score_fn, image, options)))`. A call outside
    `jax.jit` compiles once for each function object, options and shape, so the function must be pure.

    Args:
      score_fn: any function from one image (H, W, C) to a scalar, such as a class's logit (see `class_score`).
      image: float (H, W, C), already normalised for the network: perturbing goes towards 0 at the borders.
      options: the published setting by default. For images much smaller than 224 px use `options.at_size`.
      initial: mask parameters to start from instead of `options.start`, (K, h, w) or (h, w). Or a typed random key,
        for uniform ones.

    Returns:
      The mask, float (H, W), or (K, H, W) for a tuple of areas, in [0, 1], and an `ExtremalInfo`. As published, the
      mask is the last one measured, made before the last update.

    Raises:
      UsageError: a batch, an integer image, a score that is no scalar, an option that cannot be used, or (outside
        `jax.jit` only, see `info.finite` inside) a score that is not finite.

    Warns:
      AreaWarning: outside `jax.jit` only (see `info.area` inside), a mask whose area is off by more than half of what
        was asked, or of what that leaves closed. With "padded_mask" a mask may be smaller, as the margin counts too.

    Example:
      >>> image = jnp.zeros((8, 8, 1)).at[:4, :4].set(1.0)
      >>> options = ExtremalOptions(area=0.25, iterations=20, step=2, sigma=2.0, perturbation="fade")
      >>> mask, info = extremal_perturbation(lambda x: 100 * x.mean(), image, options)
      >>> bool(mask[:4, :4].mean() > 0.7), bool(mask[4:, 4:].mean() < 0.1)
      (True, True)
    """
    image = check_image(image)
    check_score(score_fn, image)
    initial = None if initial is None else _parameters(initial, image, options)
    mask, info = compiled(_optimise, score_fn, options=options)(image, initial)
    if not isinstance(info.finite, jax.core.Tracer):
        _tell(info, image.shape[:2], options)
    return as_asked(mask, info, options)


def as_asked(masks, info: ExtremalInfo, options: ExtremalOptions) -> tuple[jax.Array, ExtremalInfo]:
    """Drop the K axis of masks and info where one area was asked for, and no tuple."""
    if isinstance(options.area, tuple):
        return masks, info
    first = {name: getattr(info, name)[:, 0] for name in ("reward", "area_term")}
    return masks[0], info._replace(area=info.area[0], parameters=info.parameters[0], **first)


def _optimise(score_fn, image, initial, *, options):
    problem = extremal(score_fn, image, options)
    state = begin(problem, initial, options)
    if options.stop == "never":
        state, energies = problem.run(state, options.iterations)
    else:
        state, energies = _run_until_converged(problem, state, options)
    return finish(state, energies, options)


def begin(problem: Extremal, initial: jax.Array | None, options: ExtremalOptions) -> ExtremalState:
    """Return the first state: from initial parameters (K, h, w), else from `options.start`."""
    return problem.init(problem.gradient_start() if initial is None and options.start == "gradient" else initial)


def finish(state: ExtremalState, energies: Energies, options: ExtremalOptions) -> tuple[jax.Array, ExtremalInfo]:
    """Return the finished masks (K, H, W) and what the optimisation went through, energies (T, K)."""
    done = jnp.arange(options.iterations) < state.iteration
    finite = jnp.all(jnp.isfinite(energies.reward) | ~done[:, None]) & jnp.all(jnp.isfinite(state.mask))
    reached = state.mask.mean((1, 2))
    mask = state.mask if options.resize is None else resize(state.mask, options.resize)
    if options.smooth:
        mask = gaussian_blur(mask[..., None], sigma=options.smooth * min(mask.shape[-2:]))[..., 0]
    return mask, ExtremalInfo(energies.reward, energies.area_term, state.iteration, reached, state.parameters, finite)


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
    score_fn: ScoreFn,
    image: jax.Array,
    options: ExtremalOptions = _CANDIDATES,
    *,
    threshold: float,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Find the smallest of several areas whose mask keeps the score at a threshold (the method's article, §3.1).

    Args:
      score_fn: from one image (H, W, C) to a scalar.
      image: float (H, W, C).
      options: with rising candidates as `area`. All are optimised jointly, in one loop.
      threshold: the score to reach. It may be traced.

    Returns:
      The area, its mask (H, W), and the score of every candidate, (K,). Where none reaches the threshold, the area is
      NaN and the mask is that of the largest candidate.

    Raises:
      UsageError: areas that do not rise, another variant than "preserve", a resized or smoothed mask, or as
        `extremal_perturbation`.

    Example:
      >>> image = jnp.zeros((8, 8, 1)).at[:4, :4].set(1.0)
      >>> options = ExtremalOptions(area=(0.1, 0.3, 0.6), iterations=30, step=2, sigma=2.0, perturbation="fade")
      >>> area, mask, scores = extremal_area(lambda x: 100 * x.mean(), image, options, threshold=15)
      >>> round(float(area), 1), mask.shape, scores.shape
      (0.3, (8, 8), (3,))
    """
    if list(options.areas) != sorted(set(options.areas)):
        raise UsageError(f"`area`: wanted rising shares, got {options.area!r}.")
    for name, wanted in (("variant", "preserve"), ("resize", None), ("smooth", 0)):
        if getattr(options, name) != wanted:
            raise UsageError(f"`{name}`: not an option of the search for the smallest area, leave it out.")
    options = dataclasses.replace(options, area=options.areas)
    masks, _ = extremal_perturbation(score_fn, image, options)
    levels = pyramid(image, kind=options.perturbation, levels=options.levels, max_blur=options.max_blur)
    scores = jax.vmap(score_fn)(perturb(levels, masks).astype(image.dtype))
    reached = scores >= threshold
    chosen = jnp.where(reached.any(), jnp.argmax(reached), len(options.areas) - 1)
    area = jnp.where(reached.any(), jnp.asarray(options.areas, masks.dtype)[chosen], jnp.nan)
    return area, masks[chosen], scores


def _run_until_converged(problem: Extremal, state: ExtremalState, options: ExtremalOptions):
    """Run as `Extremal.run`, with a way out: (state, energies padded with NaN to `iterations`)."""
    iterations = options.iterations
    blank = jnp.full((iterations, len(options.areas)), jnp.nan, state.parameters.dtype)

    def unfinished(carry):
        state, _, _, settled = carry
        return (state.iteration < iterations) & ~settled

    def advance(carry):
        state, energies, seen, _ = carry
        at = state.iteration
        state, now = problem.step(state)
        energies = jax.tree.map(lambda rows, row: lax.dynamic_update_index_in_dim(rows, row, at, 0), energies, now)
        return state, energies, *look(state, seen, options)

    carry = (state, Energies(blank, blank), unseen(state), jnp.zeros((), bool))
    carry = vary_over(carry, varying_axes(state))
    state, energies, _, _ = lax.while_loop(unfinished, advance, carry)
    return state, energies


def unseen(state: ExtremalState) -> jax.Array:
    """Return the opened pixels that stand for no look yet: all of them, bool (K, H, W)."""
    return jnp.ones(state.mask.shape, bool)


def look(state: ExtremalState, seen: jax.Array, options: ExtremalOptions) -> tuple[jax.Array, jax.Array]:
    """Compare the opened pixels with those of the last look, in every `patience`-th iteration.

    Returns:
      The opened pixels of the last look, bool (K, H, W), and whether all masks have converged.
    """
    areas = jnp.asarray(options.areas, state.mask.dtype)
    arrived = jnp.minimum(_ARRIVED * areas, (1 + areas) / 2)  # a mask that starts all open has not arrived
    due = state.iteration % options.patience == 0
    opened = state.mask > 0.5
    # 1 - Dice <= tolerance, without a division: two empty sets agree.
    apart, both = (opened ^ seen).sum((1, 2)), opened.sum((1, 2)) + seen.sum((1, 2))
    settled = (apart <= options.tolerance * both) & (opened.mean((1, 2)) < arrived)
    return jnp.where(due, opened, seen), due & settled.all()


def _parameters(initial, image, options):
    """Return initial parameters (K, h, w) from a random key or an array."""
    dtype = jnp.promote_types(image.dtype, jnp.float32)
    if jnp.issubdtype(initial.dtype, jax.dtypes.prng_key):
        grid = grid_shape(image.shape[:2], step=options.step)
        return jax.random.uniform(initial, (len(options.areas), *grid), dtype)
    return initial[None] if initial.ndim == 2 else initial
