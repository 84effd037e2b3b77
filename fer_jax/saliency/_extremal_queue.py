"""Extremal perturbation of a queue of images in a fixed number of slots.

Contract: a mask that has converged leaves its slot, and the next image takes the place. Images come and go without
another compilation, and an image's numbers are the same whatever its neighbours are.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fer_jax import compiler
from fer_jax.errors import UsageError, check_count, check_one_of
from fer_jax.placement import on_each_device, set_row
from fer_jax.saliency._extremal import PUBLISHED, Energies, ExtremalOptions, ExtremalState, extremal
from fer_jax.saliency._extremal_perturbation import ExtremalInfo, as_asked, begin, finish, look, unseen
from fer_jax.saliency._once import once
from fer_jax.saliency._score import ScoreFn, check_image, check_score

OVER_SLOTS = ("map", "vmap")


class _Slot(NamedTuple):
    """What a slot holds: an image with what belongs to it, and how far its masks are."""

    image: jax.Array
    own: Any
    state: ExtremalState
    seen: jax.Array  # opened pixels of the last look at convergence, bool (K, H, W)


def extremal_queue(
    score_of: Callable[[Any, Any], ScoreFn],
    rows: Iterable[tuple[jax.Array, Any]],
    options: ExtremalOptions = PUBLISHED,
    *,
    slots: int,
    shared: Any = (),
    over_slots: str | None = None,
    over_devices: str = "none",
    devices: int | None = None,
) -> Iterator[tuple[int, jax.Array, ExtremalInfo]]:
    """Find the masks of many images, with `slots` of them in work, each until its own end.

    A batch under `jax.vmap` runs until its slowest image has converged. Here an early end saves its time. With
    `stop="never"` nothing ends early, and the images go through the function as batches of `slots`.

    Args:
      score_of: (own, shared) -> the score of one image, see `extremal_perturbation`. What it computes itself, such as
        choosing one of many networks, is computed once in `patience` iterations. It is compiled once for each function
        object, options and shapes, so it must be pure, and should not be made anew each time.
      rows: (image (H, W, C), own) of any number, read when a slot is free. `own` is a tree of arrays that belongs to
        the image, such as its target. Images and trees have equal shapes.
      options: as in `extremal_perturbation`.
      slots: how many images are in work at once.
      shared: tree of arrays that serves all images, such as a network's variables.
      over_slots: "map" runs one slot after another: results do not depend on `slots` at all, and an idle one costs
        nothing. "vmap" batches them: results depend on `slots` by rounding. Default: map on a CPU, where it is as fast
        (measured for small networks), vmap elsewhere (reasoned).
      over_devices: "none", or "shard_map" or "pmap": images are dealt out to the devices of this process, each with
        `slots` of its own and a copy of `shared`. No device waits for another's image, and maps stay the same.
      devices: how many devices to use. All of them by default.

    Yields:
      (index of the image, mask, info) as images finish, in any order. Mask and info are those of
      `extremal_perturbation`. Look at `info.finite` and `info.area`, as nothing is raised and nobody is warned.

    Raises:
      UsageError: no slot, an unknown layout, more devices than there are, or as `extremal_perturbation` for a row, or
        rows of unequal shapes.

    Example:
      >>> images = [jnp.zeros((8, 8, 1)).at[top : top + 4].set(1.0) for top in (0, 2, 4)]
      >>> options = ExtremalOptions(area=0.5, iterations=80, step=2, sigma=2.0, perturbation="fade", stop="converged")
      >>> def score_of(own, shared):
      ...     return lambda image: 100 * own * image.mean()
      >>> found = extremal_queue(score_of, [(image, 1.0) for image in images], options, slots=2)
      >>> sorted((index, mask.shape) for index, mask, info in found)
      [(0, (8, 8)), (1, (8, 8)), (2, (8, 8))]
    """
    slots = check_count("slots", slots, 1)
    if over_slots is None:
        over_slots = "map" if jax.default_backend() == "cpu" else "vmap"
    check_one_of("over_slots", over_slots, OVER_SLOTS)
    work = _in_batches if options.stop == "never" else _in_slots
    programs = once(_programs, score_of, options=options, over_slots=over_slots)
    places = on_each_device(shared, over_devices, devices)
    return work(programs, _checked(score_of, rows, shared), options, slots, places)


class _Programs(NamedTuple):
    """The compiled functions of a queue.

    Attributes:
      whole: (images, owns, shared) -> (masks, infos) of a batch, from start to end.
      begin: (image, own, shared) -> _Slot.
      spread: (_Slot, slots) -> the same in every slot.
      load: (slots, index, _Slot) -> slots.
      advance: (slots, active, shared) -> (slots, energies (slots, n, K), whether each has ended).
      take: (slots, index, energies (T, K)) -> (masks, info) of a slot.
    """

    whole: Callable
    begin: Callable
    spread: Callable
    load: Callable
    advance: Callable
    take: Callable


def _programs(score_of, *, options, over_slots):
    length = min(options.patience, options.iterations)

    def start(image, own, shared):
        state = begin(extremal(score_of(own, shared), image, options), None, options)
        return _Slot(image, own, state, unseen(state))

    def whole(image, own, shared):
        problem = extremal(score_of(own, shared), image, options)
        return finish(*problem.run(begin(problem, None, options), options.iterations), options)

    def advance(slot, shared):
        problem = extremal(score_of(slot.own, shared), slot.image, options)

        def step(state, _):
            going = state.iteration < options.iterations
            after, energies = problem.step(state)
            state = jax.tree.map(functools.partial(jnp.where, going), after, state)
            return state, jax.tree.map(lambda energy: jnp.where(going, energy, jnp.nan), energies)

        state, energies = lax.scan(step, slot.state, length=length)
        seen, settled = look(state, slot.seen, options)
        ended = settled | (state.iteration >= options.iterations)
        return slot._replace(state=state, seen=seen), energies, ended

    def advance_if(slot, active, shared):
        def idle(slot, shared):
            shapes = jax.eval_shape(advance, slot, shared)[1:]
            return slot, *jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        return lax.cond(active, advance, idle, slot, shared)

    def over(function, shared, *rows):
        if over_slots == "map":
            return lax.map(lambda row: function(*row, shared), rows)
        return jax.vmap(lambda *row: function(*row, shared))(*rows)

    def advance_all(slots, active, shared):
        if over_slots == "map":
            return over(advance_if, shared, slots, active)
        return over(advance, shared, slots)

    def take(slots, index, energies):
        return finish(jax.tree.map(lambda leaf: leaf[index], slots.state), energies, options)

    of_networks = functools.partial(jax.jit, compiler_options=compiler.options())
    return _Programs(
        whole=of_networks(lambda images, owns, shared: over(whole, shared, images, owns)),
        begin=of_networks(start),
        spread=jax.jit(lambda slot, slots: jax.tree.map(lambda a: jnp.stack([a] * slots), slot), static_argnums=1),
        load=jax.jit(set_row("none"), donate_argnums=0),
        advance=of_networks(advance_all, donate_argnums=0),
        take=jax.jit(take),
    )


class _Place:
    """The slots of one device."""

    def __init__(self, programs, options, slots, device, shared):
        self._programs, self._options, self._slots = programs, options, slots
        self._device, self._shared = device, shared
        self._filled: Any = None
        self._found: Any = None
        self._told: list[list[Energies]] = [[] for _ in range(slots)]
        self.inside: dict[int, int] = {}  # slot -> index of the image in it

    @property
    def free(self):
        return self._slots - len(self.inside)

    def load(self, index, row):
        slot = min(set(range(self._slots)) - set(self.inside))
        fresh = self._programs.begin(*_put(row, self._device), self._shared)
        self._filled = self._programs.spread(fresh, self._slots) if self._filled is None else self._filled
        self._filled = self._programs.load(self._filled, np.int32(slot), fresh)
        self.inside[slot], self._told[slot] = index, []

    def advance(self):
        """Start a stretch of iterations. Nothing is waited for, so that other devices start theirs."""
        active = np.isin(np.arange(self._slots), list(self.inside))
        self._filled, energies, ended = self._programs.advance(self._filled, active, self._shared)
        self._found = energies, ended

    def finished(self):
        energies, ended = jax.device_get(self._found)
        for slot in list(self.inside):
            self._told[slot].append(jax.tree.map(lambda leaf, slot=slot: leaf[slot], energies))
            if ended[slot]:
                index, told = self.inside.pop(slot), self._told[slot]
                history = jax.tree.map(lambda *parts: _padded(np.concatenate(parts), self._options.iterations), *told)
                masks, info = _back(self._programs.take(self._filled, np.int32(slot), history), self._device)
                yield index, *as_asked(masks, info, self._options)


def _in_slots(programs, rows, options, slots, devices):
    waiting = enumerate(rows)
    places = [_Place(programs, options, slots, *each) for each in devices]
    while True:
        # A place is sought first, so that no row is read before there is room for it.
        while (emptiest := max(places, key=lambda place: place.free)).free and (given := next(waiting, None)):
            emptiest.load(*given)
        working = [place for place in places if place.inside]
        if not working:
            return
        for place in working:
            place.advance()
        for place in working:
            yield from place.finished()


def _in_batches(programs, rows, options, slots, devices):
    rows, first = iter(rows), 0
    while batches := list(itertools.islice(iter(lambda: list(itertools.islice(rows, slots)), []), len(devices))):
        found = []
        for batch, (device, shared) in zip(batches, devices, strict=False):
            full = batch + batch[-1:] * (slots - len(batch))
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *full)
            found.append((device, programs.whole(*_put(stacked, device), shared)))
        for batch, (device, results) in zip(batches, found, strict=True):
            masks, infos = _back(results, device)
            for place in range(len(batch)):
                mask, info = jax.tree.map(lambda leaf, place=place: leaf[place], (masks, infos))
                yield first + place, *as_asked(mask, info, options)
            first += len(batch)


def _put(tree, device):
    return tree if device is None else jax.device_put(tree, device)


def _back(tree, device):
    """Bring results of one of several devices to where those of the others are."""
    return tree if device is None else jax.tree.map(jnp.asarray, jax.device_get(tree))


def _padded(energy, iterations):
    """Return energies (n, K) as (iterations, K), NaN where none was measured."""
    out = np.full((iterations, *energy.shape[1:]), np.nan, energy.dtype)
    out[: min(len(energy), iterations)] = energy[:iterations]
    return out


def _checked(score_of, rows, shared):
    """Yield rows, all of the first one's shapes."""
    wanted = None
    for image, own in rows:
        image = check_image(image)
        shapes = jax.tree.map(lambda leaf: f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}", (image, own))
        if wanted is None:
            wanted = shapes
            check_score(score_of(own, shared), image)
        if shapes != wanted:
            raise UsageError(f"`rows`: wanted (image, own) alike, {wanted} as the first one, got {shapes}.")
        yield image, own
