"""Extremal perturbation (Fong, Patrick and Vedaldi 2019, arXiv 1910.08485): the smooth mask of a given area that
preserves a score best.

Contract: one image, float (H, W, C). The score is any differentiable function of such an image. Maps over images,
targets or members are the caller's `jax.vmap`. K areas of one image are optimised jointly and do not influence one
another. The optimisation is one compiled loop over `Extremal.step`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fer_jax.arrays import vary_over, varying_axes
from fer_jax.errors import UsageError, check_count, check_one_of
from fer_jax.saliency._area import area_term, check_area
from fer_jax.saliency._perturbation import perturb, pyramid
from fer_jax.saliency._score import ScoreFn
from fer_jax.saliency._smooth_mask import COLDNESS, axis, grid_shape, smooth_mask

VARIANTS = ("preserve", "delete", "dual")
AREAS_OF = ("image", "padded_mask")
STARTS = ("gradient", "ones")
STOPS = ("never", "converged")
PUBLISHED_ITERATIONS = 800
REFERENCE_PX = 224  # shorter side of the pictures that the published step, sigma and blur are meant for
_OPENED = (0.1, 0.3, 0.5, 0.7, 0.9)  # evenly opened masks along which a score is asked where it rises


@dataclasses.dataclass(frozen=True)
class ExtremalOptions:
    """Every option of Extremal Perturbation. The defaults are the published setting unless marked ours.

    An object can be hashed, so it may be a static argument of the caller's `jax.jit`.

    Attributes:
      area: share of the pixels that a mask opens, strictly between 0 and 1. Or K of them, optimised jointly.
      iterations: T, at most.
      step: pixels between mask parameters.
      sigma: width of the bumps a mask is made of, pixels.
      levels: levels of the perturbation pyramid.
      max_blur: standard deviation of its strongest blur, pixels.
      perturbation: "blur" or "fade", see `pyramid`.
      variant: "preserve" keeps what the mask opens and wants a high score. "delete" perturbs it and wants a low one.
        "dual" asks for both at once.
      area_of: what an area is a share of: "image" (ours, see `area_term`) or "padded_mask" (the reference's, which
        counts the margin too: 1.35 times as much at 224 px with the defaults, 2.74 at 64 px).
      flip_jitter: turn the perturbed image left to right in every second iteration. The reference does. Off is ours,
        as turning harms whatever is not symmetric.
      learning_rate: of gradient descent.
      momentum: and dampening. The first step is undamped.
      area_weight: of the area term in the first iteration.
      growth: factor of that weight from one published iteration to the next.
      pace: iterations of the published schedule that one iteration stands for (ours): steps are so many times as long,
        momentum fades and the area weight grows so many times as fast. At 4, 200 iterations go the way of 800. None
        takes the whole published schedule, 800 / `iterations`, or 1 where it may stop before.
      coldness: inverse temperature of the smooth maximum, see `smooth_mask`.
      pooling: how bumps join, see `smooth_mask`.
      start: parameters of the first mask. "gradient" (ours): 1/2 ± 1/2 times the gradient of the score, as a share of
        its largest value, averaged while an even mask opens. "ones" (as published): then thousands of equal mask
        values are ordered by rounding and by their distance from the border, and a score that is weak beside
        `area_weight` never overcomes that order.
      stop: "never" before `iterations`, or when "converged" (ours): the pixels that each mask opens by more than half
        are at most 1.2 times the area, and have changed by less than `tolerance` within `patience` iterations.
        Stopping early only forgoes some sharpening of the edges. A score that outweighs the area term converges late.
        Under `jax.vmap` the loop ends with the last image's.
      patience: iterations between two looks at convergence.
      tolerance: 1 - Dice of the opened pixels.
      resize: (height, width) to which the mask is resized, bilinearly. None keeps the image's size.
      smooth: afterwards, blur by a Gaussian of this share of the mask's shorter side. 0 for none.

    Raises:
      UsageError: an option that cannot be used.

    Example:
      >>> options = ExtremalOptions(area=(0.05, 0.1), iterations=200)
      >>> options.schedule_pace, options.at_size(64).sigma
      (4.0, 6.0)
    """

    area: float | tuple[float, ...] = 0.1
    iterations: int = PUBLISHED_ITERATIONS
    step: int = 7
    sigma: float = 21.0
    levels: int = 8
    max_blur: float = 20.0
    perturbation: str = "blur"
    variant: str = "preserve"
    area_of: str = "image"
    flip_jitter: bool = False
    learning_rate: float = 0.01
    momentum: float = 0.9
    area_weight: float = 300.0
    growth: float = 1.0035
    pace: float | None = None
    coldness: float = COLDNESS
    pooling: str = "smooth_max"
    start: str = "gradient"
    stop: str = "never"
    patience: int = 60
    tolerance: float = 0.005
    resize: tuple[int, int] | None = None
    smooth: float = 0.0

    def __post_init__(self):
        for name in ("area", "resize"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.areas:
            raise UsageError("`area`: wanted at least one share, got an empty tuple.")
        for area in self.areas:
            check_area(area)
        for field in dataclasses.fields(self):
            if isinstance(value := getattr(self, field.name), jax.Array | np.ndarray):
                raise UsageError(f"`{field.name}`: wanted a plain value that can be hashed, got {value!r}.")
        for name, known in (("variant", VARIANTS), ("area_of", AREAS_OF), ("start", STARTS), ("stop", STOPS)):
            check_one_of(name, getattr(self, name), known)
        for name in ("iterations", "patience"):
            check_count(name, getattr(self, name), 1)
        if not 0 <= self.momentum < 1:
            raise UsageError(f"`momentum`: wanted a number in [0, 1), got {self.momentum!r}.")
        if self.pace is not None and not self.pace > 0:
            raise UsageError(f"`pace`: wanted a factor above 0, got {self.pace!r}.")
        if not 0 <= self.smooth < 1:
            raise UsageError(f"`smooth`: wanted a share of the side in [0, 1), got {self.smooth!r}.")

    @property
    def areas(self) -> tuple[float, ...]:
        """`area` as a tuple, also of a single one."""
        return self.area if isinstance(self.area, tuple) else (self.area,)

    @property
    def schedule_pace(self) -> float:
        """`pace`, with the default worked out."""
        if self.pace is not None:
            return self.pace
        return PUBLISHED_ITERATIONS / self.iterations if self.stop == "never" else 1.0

    def at_size(self, pixels: int) -> "ExtremalOptions":
        """Scale step, sigma and strongest blur, meant for pictures of 224 px, to another shorter side (ours)."""
        share = pixels / REFERENCE_PX
        return dataclasses.replace(
            self, step=max(2, round(self.step * share)), sigma=self.sigma * share, max_blur=self.max_blur * share
        )


PUBLISHED = ExtremalOptions()


class ExtremalState(NamedTuple):
    """What goes on from one iteration to the next.

    Attributes:
      parameters: float (K, h, w) in [0, 1].
      velocity: float (K, h, w), the running gradient.
      mask: float (K, H, W), made from the parameters before the last update (zeros at the start).
      iteration: int32, steps taken.
    """

    parameters: jax.Array
    velocity: jax.Array
    mask: jax.Array
    iteration: jax.Array


class Energies(NamedTuple):
    """What one iteration measured on its mask. Both are maximised.

    Attributes:
      reward: float (K,), the signed score.
      area_term: float (K,), minus the weighted distance from the area.
    """

    reward: jax.Array
    area_term: jax.Array


class Extremal(NamedTuple):
    """An extremal perturbation problem, from `extremal`.

    Attributes:
      init: (parameters=None) -> ExtremalState. All ones where no parameters (K, h, w) are given.
      gradient_start: () -> parameters (K, h, w), higher where the score rises faster while the whole mask opens.
      step: (state) -> (state, Energies), one iteration.
      run: (state, iterations) -> (state, Energies with a leading iteration axis), one `lax.scan` over `step`.
    """

    init: Callable[..., ExtremalState]
    gradient_start: Callable[[], jax.Array]
    step: Callable[[ExtremalState], tuple[ExtremalState, Energies]]
    run: Callable[[ExtremalState, int], tuple[ExtremalState, Energies]]


def extremal(score_fn: ScoreFn, image: jax.Array, options: ExtremalOptions = PUBLISHED) -> Extremal:
    """Set up Extremal Perturbation as pure functions, for loops of one's own. See also `extremal_perturbation`.

    Args:
      score_fn: from one image (H, W, C) to a scalar. It is mapped over K perturbed images (2K for "dual").
      image: float (H, W, C).
      options: those on start, end and the finished mask are not read here.

    Returns:
      `init`, `gradient_start`, `step` and `run`.

    Example:
      >>> options = ExtremalOptions(area=(0.2, 0.4), step=2, sigma=2.0, perturbation="fade")
      >>> problem = extremal(lambda image: image[:4].mean(), jnp.ones((8, 8, 1)), options)
      >>> state, energies = problem.run(problem.init(), 3)
      >>> state.mask.shape, energies.reward.shape
      ((2, 8, 8), (3, 2))
    """
    dtype = jnp.promote_types(image.dtype, jnp.float32)
    size, areas = (image.shape[0], image.shape[1]), options.areas
    levels = pyramid(image.astype(dtype), kind=options.perturbation, levels=options.levels, max_blur=options.max_blur)
    grid = (len(areas), *grid_shape(size, step=options.step))
    # Inside a caller's `jax.shard_map` each device optimises the mask of its own score.
    varied = varying_axes((levels, jax.eval_shape(score_fn, image)))

    def init(parameters: jax.Array | None = None) -> ExtremalState:
        parameters = jnp.ones(grid, dtype) if parameters is None else jnp.asarray(parameters, dtype)
        if parameters.shape != grid:
            raise UsageError(f"`parameters`: wanted {grid}, one grid for each area, got {parameters.shape}.")
        state = ExtremalState(
            parameters,
            velocity=jnp.zeros(grid, dtype),
            mask=jnp.zeros((len(areas), *size), dtype),
            iteration=jnp.zeros((), jnp.int32),
        )
        return vary_over(state, varied | varying_axes(parameters))

    def gradient_start() -> jax.Array:
        def reward(parameters):
            mask, image_part = _masks(parameters, size, options)
            return _reward(score_fn, levels, mask[:, *image_part], 1, image.dtype, options)[0].astype(dtype)

        # Integrated over the way from the perturbed image to the whole one, as a score saturates near its ends.
        even = jnp.stack([jnp.full((1, *grid[1:]), share, dtype) for share in _OPENED])
        slope = lax.map(jax.grad(reward), vary_over(even, varied)).mean(0)
        # Its scale does not matter, its sign does: parameters that lower the score start below one half.
        steepest = jnp.abs(slope).max()
        return jnp.broadcast_to((1 + slope / jnp.where(steepest > 0, steepest, 1)) / 2, grid)

    def step(state: ExtremalState) -> tuple[ExtremalState, Energies]:
        def loss(parameters):
            mask, image_part = _masks(parameters, size, options)
            image_mask = mask[:, *image_part]
            within = image_part if options.area_of == "image" else None
            reward = _reward(score_fn, levels, image_mask, state.iteration, image.dtype, options).astype(dtype)
            distance = jnp.stack([area_term(m, area=a, within=within) for m, a in zip(mask, areas, strict=True)])
            energies = Energies(reward, -area_weight(state.iteration, options, dtype) * distance)
            return -(energies.reward + energies.area_term).sum(), (image_mask, energies)

        gradient, (mask, energies) = jax.grad(loss, has_aux=True)(state.parameters)
        parameters, velocity = descend(state.parameters, state.velocity, gradient, state.iteration, options)
        return ExtremalState(parameters, velocity, mask, state.iteration + 1), energies

    def run(state: ExtremalState, iterations: int) -> tuple[ExtremalState, Energies]:
        return lax.scan(lambda s, _: step(s), state, length=iterations)

    return Extremal(init, gradient_start, step, run)


def area_weight(iteration, options: ExtremalOptions, dtype) -> jax.Array:
    """Weigh the area term, in closed form: 800 float32 products would drift."""
    return options.area_weight * jnp.exp(iteration.astype(dtype) * (options.schedule_pace * math.log(options.growth)))


def descend(parameters, velocity, gradient, iteration, options: ExtremalOptions) -> tuple[jax.Array, jax.Array]:
    """Take a step with damped momentum, undamped at first, clipped to [0, 1]: (parameters, velocity)."""
    pace = options.schedule_pace
    fresh = min(1.0, pace * (1 - options.momentum))
    velocity = jnp.where(iteration == 0, gradient, (1 - fresh) * velocity + fresh * gradient)
    return jnp.clip(parameters - pace * options.learning_rate * velocity, 0, 1), velocity


def _masks(parameters, size, options):
    """Return the mask with its margin, (K, H', W'), and where in it the image lies."""
    shape = {"step": options.step, "sigma": options.sigma}
    mask = smooth_mask(parameters, size, margin=True, pooling=options.pooling, coldness=options.coldness, **shape)
    first = [axis(length, margin=True, **shape).image for length in size]
    rows, columns = (slice(at, at + length) for at, length in zip(first, size, strict=True))
    return mask, (rows, columns)


def _reward(score_fn, levels, mask, iteration, dtype, options):
    """Return the signed score of each mask, (K,)."""
    kept = {"preserve": mask, "delete": 1 - mask, "dual": jnp.concatenate([mask, 1 - mask])}[options.variant]
    perturbed = perturb(levels, kept)
    if options.flip_jitter:
        perturbed = jnp.where(iteration % 2 == 0, perturbed[:, :, ::-1], perturbed)
    scores = jax.vmap(score_fn)(perturbed.astype(dtype))
    if options.variant == "dual":
        return scores[: len(mask)] - scores[len(mask) :]
    return -scores if options.variant == "delete" else scores
