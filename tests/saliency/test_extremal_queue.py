"""Laws of the queue. The oracle is `extremal_perturbation`, one image at a time."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import saliency
from fer_jax.errors import UsageError
from tests.test_compiling import counting

SIDE, COUNT = 16, 7
OPTIONS = saliency.ExtremalOptions(
    area=(0.15,), iterations=60, step=4, sigma=4.0, max_blur=4.0, levels=4, stop="converged", patience=8, tolerance=0.05
)
# Of the networks that the images go through; the last holds any mask open, so that it never converges.
MEMBERS = jnp.stack([jnp.eye(SIDE)[row : row + 4].sum(0) for row in (1, 6, 11)] + [jnp.full(SIDE, 300.0)])


def score_of(own, members):
    """A member's rows, at a place of the image's own."""
    weights = members[own["member"]]

    def score(view):
        return own["scale"] * weights @ (view**2).mean((1, 2))

    return score


def rows_of(count=COUNT, *, never=(), broken=()):
    """Images and their own members, 0, 1, 2 in turn, 3 for those that never converge. Broken images hold NaN."""
    out = []
    for index in range(count):
        image = 1 + 0.3 * jax.random.normal(jax.random.key(index), (SIDE, SIDE, 3))
        member = 3 if index in never else index % 3
        own = {"member": jnp.int32(member), "scale": jnp.float32(10 ** (index % 2))}
        out.append((image.at[3].set(jnp.nan) if index in broken else image, own))
    return out


@functools.partial(jax.jit, static_argnums=2)
def alone(image, own, options):
    return saliency.extremal_perturbation(score_of(own, MEMBERS), image, options)


def queued(rows, slots, options=OPTIONS, **layout):
    found = list(saliency.extremal_queue(score_of, rows, options, slots=slots, shared=MEMBERS, **layout))
    assert sorted(index for index, *_ in found) == list(range(len(rows)))
    return {index: (mask, info) for index, mask, info in found}


def assert_same(got, wanted):
    jax.tree.map(np.testing.assert_array_equal, got, wanted)


def assert_close(got, wanted):
    assert got[1].iterations == wanted[1].iterations
    assert got[1].finite == wanted[1].finite
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), got, wanted)


@pytest.mark.parametrize("over_slots", saliency.OVER_SLOTS)
def test_each_image_ends_where_it_ends_alone(over_slots):
    rows = rows_of(never=(4,))
    found = queued(rows, 3, over_slots=over_slots)
    for index, (image, own) in enumerate(rows):
        assert_close(found[index], alone(image, own, OPTIONS))
    ends = {int(info.iterations) for _, info in found.values()}
    assert len(ends - {60}) > 1  # several lengths, so that slots are filled again one by one
    assert found[4][1].iterations == 60  # no multiple of the patience
    assert jnp.isfinite(found[4][1].reward).all()


def test_mapped_slots_change_nothing_however_many_there_are():
    rows = rows_of(never=(0,))
    wanted = queued(rows, 1, over_slots="map")
    for slots in (3, 8):
        assert_same(queued(rows, slots, over_slots="map"), wanted)


def test_devices_have_slots_of_their_own_and_change_nothing():
    rows = rows_of(never=(0,))
    wanted = queued(rows, 2, over_slots="map")
    found = queued(rows, 2, over_slots="map", over_devices="shard_map", devices=2)
    assert_same(found, wanted)
    assert len({mask.sharding for mask, _ in found.values()}) == 1  # wherever a map was made, it can be stacked
    options = dataclasses.replace(OPTIONS, stop="never", iterations=20)
    batches = [queued(rows, 2, options, over_slots="map", over_devices=how, devices=2) for how in ("none", "pmap")]
    assert_same(batches[1], batches[0])


def test_images_are_read_when_a_device_has_room_and_spread_over_all():
    read = []

    def rows():
        for row in rows_of():
            read.append(len(read))
            yield row

    found = saliency.extremal_queue(
        score_of, rows(), OPTIONS, slots=1, shared=MEMBERS, over_slots="map", over_devices="shard_map", devices=2
    )
    next(found)
    assert read == [0, 1]  # one on each device, and no third before one of them has left


def test_the_number_of_batched_slots_changes_rounding_only():
    rows = rows_of()
    wanted = queued(rows, 1, over_slots="vmap")
    for slots in (3, 8):
        found = queued(rows, slots, over_slots="vmap")
        for index in wanted:
            assert_close(found[index], wanted[index])


@pytest.mark.parametrize("over_slots", saliency.OVER_SLOTS)
def test_order_and_neighbours_change_nothing(over_slots):
    rows = rows_of(never=(2,))
    wanted = queued(rows, 3, over_slots=over_slots)
    backward = queued(rows[::-1], 3, over_slots=over_slots)
    assert_same({COUNT - 1 - index: result for index, result in backward.items()}, wanted)
    assert_same(queued(rows[5:6], 3, over_slots=over_slots)[0], wanted[5])


@pytest.mark.parametrize("over_slots", saliency.OVER_SLOTS)
def test_an_image_that_is_not_finite_stays_in_its_own_slot(over_slots):
    wanted = queued(rows_of(), 3, over_slots=over_slots)
    found = queued(rows_of(broken=(1,)), 3, over_slots=over_slots)
    assert not found[1][1].finite
    for index in set(wanted) - {1}:
        assert_same(found[index], wanted[index])


@pytest.mark.parametrize("over_slots", saliency.OVER_SLOTS)
def test_without_an_early_end_results_are_those_of_a_batch(over_slots):
    options = dataclasses.replace(OPTIONS, stop="never", iterations=20)
    rows = rows_of(6)
    images, owns = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    found = queued(rows, 3, options, over_slots=over_slots)

    def explain(image, own):
        return saliency.extremal_perturbation(score_of(own, MEMBERS), image, options)

    over = jax.vmap if over_slots == "vmap" else lambda one: lambda *rows: jax.lax.map(lambda row: one(*row), rows)
    batch = jax.jit(over(explain))
    for first in (0, 3):
        wanted = batch(*jax.tree.map(lambda leaf, at=first: leaf[at : at + 3], (images, owns)))
        for place in range(3):
            assert_same(found[first + place], jax.tree.map(lambda leaf, at=place: leaf[at], wanted))
    short = queued(rows[:4], 3, options, over_slots=over_slots)  # the last batch is filled up
    assert_same(short, {index: found[index] for index in range(4)})


def test_one_area_has_no_axis_of_areas():
    options = dataclasses.replace(OPTIONS, area=0.15, resize=(8, 8))
    for stop in saliency.STOPS:
        mask, info = queued(rows_of(1), 2, dataclasses.replace(options, stop=stop))[0]
        assert mask.shape == (8, 8)
        assert info.reward.shape == (60,)
        assert info.area.shape == ()


def test_nothing_is_compiled_again_for_other_images_and_numbers():
    queued(rows_of(4), 3)
    with counting() as compiled:
        queued(rows_of(7, never=(2,))[1:], 3)
    assert not compiled


def test_an_empty_queue_yields_nothing_and_rows_are_read_when_a_slot_is_free():
    assert queued([], 3) == {}
    read = []

    def rows():
        for index, row in enumerate(rows_of()):
            read.append(index)
            yield row

    found = saliency.extremal_queue(score_of, rows(), OPTIONS, slots=3, shared=MEMBERS)
    assert read == []
    next(found)
    assert read == [0, 1, 2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: queued(rows_of(1), 0), "`slots`: wanted a whole number from 1, got 0"),
        (lambda: queued(rows_of(1), 1, over_slots="loop"), "`over_slots`: wanted one of map, vmap, got 'loop'"),
        (lambda: queued([(jnp.ones((2, SIDE, SIDE, 3)), ())], 1), r"`image`: wanted \(H, W, C\) of one image"),
        (
            lambda: queued([*rows_of(1), (jnp.ones((8, 8, 3)), rows_of(1)[0][1])], 2),
            r"`rows`: wanted \(image, own\) alike, .*float32\[16, 16, 3\].* got .*float32\[8, 8, 3\]",
        ),
        (
            lambda: list(saliency.extremal_queue(lambda own, _: lambda x: x, rows_of(1), OPTIONS, slots=1)),
            r"`score_fn`: wanted a scalar for one image, it returned shape \(16, 16, 3\)",
        ),
    ],
)
def test_bad_calls_name_the_argument(call, message):
    with pytest.raises(UsageError, match=message):
        call()
