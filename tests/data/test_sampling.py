"""Orders: permutations, streams and subsets are pure functions whose values never change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_jax import data
from fer_jax.categories import Categories
from fer_jax.data import sampling as order
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS

MASK = (1 << 64) - 1

# Pinned: a change here changes what every trained member has seen.
GOLDEN = {
    "epoch": [0, 3, 4, 6, 5, 7, 1, 2],
    "stream": [2, 3, 1, 4, 3, 0, 2, 1, 3],
    "subset": [0, 2, 4, 7, 8, 9, 12, 14, 15, 16, 20, 23],
    "subset_of_epoch": [0, 3, 4, 5, 8, 11, 12, 13, 16, 20, 21, 23],
}


def _mixed(x):
    """SplitMix64's finaliser on Python's whole numbers: an oracle without NumPy."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def test_the_mix_is_splitmix64():
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]  # its first outputs from the state 0
    assert order._stream(3, np.zeros(1, np.uint64)).tolist() == published


def test_epoch_order_equals_an_oracle_in_whole_numbers():
    key = 0
    for word in (1, 7, 3, 2):  # stream, seed, member, epoch
        key = _mixed(((key ^ word) + 0x9E3779B97F4A7C15) & MASK)
    values = [_mixed((key + 0x9E3779B97F4A7C15 * i) & MASK) for i in range(1, 51)]
    wanted = sorted(range(50), key=values.__getitem__)
    assert data.epoch_order(50, seed=7, member=3, epoch=2).tolist() == wanted


def test_golden_values():
    assert data.epoch_order(8, seed=0, member=0, epoch=0).tolist() == GOLDEN["epoch"]
    assert data.stream_indices(5, seed=1, member=27, start=3, count=9).tolist() == GOLDEN["stream"]
    labels = np.where(np.arange(24) % 4 == 0, 0, 1)
    assert data.pair_subset(labels, 0, seed=0).tolist() == GOLDEN["subset"]
    fresh = data.pair_subset(labels, 0, seed=2, undersample="per_epoch", epoch=4)
    assert fresh.tolist() == GOLDEN["subset_of_epoch"]


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 200), seed=st.integers(0, MASK), member=st.integers(0, 27), epoch=st.integers(0, 200))
def test_epoch_order_is_a_permutation(n, seed, member, epoch):
    found = data.epoch_order(n, seed=seed, member=member, epoch=epoch)
    assert found.dtype == np.int32
    assert np.sort(found).tolist() == list(range(n))


def test_orders_of_members_seeds_and_epochs_differ():
    arguments = [{"seed": s, "member": m, "epoch": e} for s in range(3) for m in range(3) for e in range(3)]
    found = {data.epoch_order(30, **one).tobytes() for one in arguments}
    assert len(found) == len(arguments)


def test_first_picture_of_an_epoch_is_uniform():
    counts = np.bincount([data.epoch_order(8, seed=0, member=0, epoch=e)[0] for e in range(4000)], minlength=8)
    assert (((counts - 500) ** 2) / 500).sum() < 24.3  # chi-square, 7 degrees of freedom, p = .001


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 40), start=st.integers(0, 500), count=st.integers(0, 130))
def test_stream_is_the_epochs_end_to_end(n, start, count):
    epochs = np.concatenate([data.epoch_order(n, seed=5, member=1, epoch=e) for e in range((start + count) // n + 1)])
    found = data.stream_indices(n, seed=5, member=1, start=start, count=count)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, epochs[start : start + count])


def test_stream_does_not_depend_on_how_it_is_cut():
    whole = data.stream_indices(13, seed=3, member=4, start=0, count=70)
    cut = [data.stream_indices(13, seed=3, member=4, start=s, count=7) for s in range(0, 70, 7)]
    np.testing.assert_array_equal(np.concatenate(cut), whole)


def test_orders_cannot_be_spoilt_by_their_user():
    with pytest.raises(ValueError, match="read-only"):
        data.epoch_order(5, seed=0, member=0, epoch=0)[0] = 1


@settings(deadline=None, max_examples=40)
@given(
    counts=st.lists(st.integers(1, 30), min_size=8, max_size=8),
    pair=st.integers(0, 27),
    undersample=st.sampled_from(["fixed", "per_epoch"]),
)
def test_pair_subset_is_balanced(counts, pair, undersample):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(8), counts))
    found = data.pair_subset(labels, pair, seed=1, undersample=undersample, epoch=None if undersample == "fixed" else 2)
    smaller = min(counts[e] for e in EXPRESSIONS.pairs[pair])
    assert found.dtype == np.int32
    assert (np.diff(found) > 0).all()
    assert [(labels[found] == e).sum() for e in EXPRESSIONS.pairs[pair]] == [smaller, smaller]
    assert len(found) == 2 * smaller


def test_pair_subset_does_not_depend_on_other_classes():
    labels = np.repeat([0, 1, 2], [20, 50, 7])
    without = labels[labels != 2]
    np.testing.assert_array_equal(data.pair_subset(labels, 0, seed=9), data.pair_subset(without, 0, seed=9))


def test_per_epoch_sees_more_of_the_larger_class_and_all_of_the_smaller():
    labels = np.repeat([0, 1], [10, 100])
    found = [data.pair_subset(labels, 0, seed=0, undersample="per_epoch", epoch=e) for e in range(40)]
    assert all(set(range(10)) <= set(one.tolist()) for one in found)
    assert len(set(np.concatenate(found).tolist())) > 100
    assert len(set(data.pair_subset(labels, 0, seed=0).tolist())) == 20


@pytest.mark.parametrize(
    ("function", "arguments", "named"),
    [
        (data.epoch_order, {"n": 0}, "n"),
        (data.epoch_order, {"seed": -1}, "seed"),
        (data.epoch_order, {"seed": 1.5}, "seed"),
        (data.stream_indices, {"start": -1}, "start"),
        (data.pair_subset, {"pair": 28}, "pair"),
        (data.pair_subset, {"undersample": "often"}, "undersample"),
        (data.pair_subset, {"undersample": "per_epoch"}, "epoch"),
        (data.pair_subset, {"epoch": 3}, "epoch"),
    ],
    ids=range(8),
)
def test_arguments_out_of_range_are_named(function, arguments, named):
    sound = {
        data.epoch_order: {"n": 3, "seed": 0, "member": 0, "epoch": 0},
        data.stream_indices: {"n": 3, "seed": 0, "member": 0, "start": 0, "count": 2},
        data.pair_subset: {"labels": np.arange(8), "pair": 0, "seed": 0},
    }
    function(**sound[function])
    with pytest.raises(UsageError, match=f"`{named}`: wanted"):
        function(**sound[function] | arguments)


def test_shares_of_a_pair_are_of_the_votes_for_either():
    three = Categories(("sad", "happy", "calm"))
    votes = np.asarray([[0.6, 0.2, 0.2], [0.0, 0.0, 1.0], [0.1, 0.0, 0.9]], np.float32)
    pair = three.pair_index(0, 1)
    found = data.pair_shares(votes, pair, categories=three)
    np.testing.assert_allclose(found, [[0.75, 0.25], [0, 0], [1, 0]], rtol=1e-6)
    assert found.dtype == np.float32
    with pytest.raises(UsageError, match=r"`votes`: wanted \(N, 8\), got \(3, 3\)"):
        data.pair_shares(votes, pair)
    with pytest.raises(UsageError, match=r"`pair`: wanted a whole number in 0\.\.2, got 3"):
        data.pair_shares(votes, 3, categories=three)


def test_a_pair_without_pictures_is_named():
    with pytest.raises(DataError, match=r"neutral-contempt wants pictures of both, got none of contempt"):
        data.pair_subset(np.zeros(5, int), 6, seed=0)
