"""Fine-tuning views on the host: which there are, and that they are the device's pixels."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fer_jax import data, human, images, masks, training
from fer_jax.augment import Augmentation
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS

PAIR = 11


def stream(kind, size, start, count):
    return data.stream_indices(size, seed=3, member=("masked", "whole").index(kind), start=start, count=count)


def in_turn(kind, size, start, count):
    return np.arange(start, start + count) % size


@pytest.fixture(scope="module")
def clicked(study, cohort):
    pictures = np.random.default_rng(5).integers(0, 256, (len(study), 224, 224, 3), np.uint8)
    return human.clicks.assemble(cohort, pictures, study)


@pytest.fixture(scope="module")
def views(clicked):
    return human.clicks.views_of_pair(clicked, PAIR)


def test_correct_trials_nine_moves_and_whole_pictures(clicked, views):
    trials = clicked.trials.trials
    own = clicked.study["image"][clicked.study["pair"] == PAIR]
    right = trials[trials["image"].isin(own) & trials["correct"].to_numpy(bool)]
    assert views.masked == 9 * len(right)
    assert len(right) < trials["image"].isin(own).sum()  # some were wrong, and are left out
    assert len(views.whole) == 10
    assert set(clicked.study["pair"].iloc[views.rows]) == {PAIR}
    assert {tuple(sorted(EXPRESSIONS.pairs[PAIR]))} == {
        tuple(sorted(human.study.EXPRESSIONS.index(name) for name in cell))
        for cell in clicked.study.iloc[views.whole][["true_label", "false_label"]].itertuples(index=False)
    }
    batch = views.batch(0, views.masked, masked_ratio=1, draw=in_turn)
    moves = batch["shift"].reshape(len(right), 9, 2)
    np.testing.assert_array_equal(moves, np.broadcast_to([(0, 0), *masks.SHIFTS], moves.shape))
    np.testing.assert_array_equal(batch["row"].reshape(-1, 9), np.repeat(views.rows[:, None], 9, 1))


@pytest.mark.parametrize(("ratio", "masked"), [(0, 0), (0.25, 2), (0.5, 4), (1, 8)])
def test_the_share_of_masked_views(views, ratio, masked):
    batch = views.batch(2, 8, masked_ratio=ratio, draw=stream)
    assert batch["masked"].tolist() == [True] * masked + [False] * (8 - masked)
    assert np.isnan(batch["points"][masked:]).all()
    assert not batch["shift"][masked:].any()
    assert set(batch["row"][masked:]) <= set(views.whole)


def test_an_epoch_of_batches_shows_every_view_once(views):
    steps = views.masked // 3
    seen = [views.batch(step, 3, masked_ratio=1, draw=stream) for step in range(steps)]
    keys = np.concatenate(
        [np.column_stack([b["row"], b["shift"], np.nan_to_num(b["points"]).reshape(3, -1)]) for b in seen]
    )
    assert len(np.unique(keys, axis=0)) == steps * 3


def test_without_a_right_answer_all_views_are_whole(clicked, views):
    nothing = human.clicks.select_views(views.rows[:0], views.points[:0], views.whole)
    batch = nothing.batch(0, 6, masked_ratio=0.5, draw=stream)
    assert not batch["masked"].any()
    np.testing.assert_array_equal(
        human.clicks.shown(batch, clicked.pictures, radius=20, blur_k=70), clicked.pictures[batch["row"]]
    )


def test_a_fold_is_held_out(clicked, views):
    parts = [human.clicks.views_of_pair(clicked, PAIR, held_out=fold) for fold in range(human.clicks.FOLDS)]
    for fold, part in enumerate(parts):
        assert len(part.whole) == 8
        held = set(views.whole) - set(part.whole)
        assert set(clicked.study["fold"].iloc[sorted(held)]) == {fold}
        assert len(set(clicked.study["true_label"].iloc[sorted(held)])) == 2
        assert not held & set(part.rows)
    assert sum(part.masked for part in parts) == 4 * views.masked


def test_the_host_shows_what_the_device_computes(small_cohort, small_study):
    pictures = np.random.default_rng(6).integers(0, 256, (56, 64, 64, 3), np.uint8)
    clicked = human.clicks.assemble(small_cohort, pictures, small_study)
    batch = human.clicks.views_of_pair(clicked, PAIR).batch(1, 12, masked_ratio=0.75, draw=stream)
    radius, blur_k = clicked.reveal_radius, clicked.blur_k
    host = human.clicks.shown(batch, pictures, radius=radius, blur_k=blur_k)

    def one(image, points, shift, masked):
        opened = masks.shift(masks.reveal(points, image.shape[:2], radius=radius), shift[0], shift[1])
        return masks.composite(image, masks.blurred(image, size=blur_k), opened | ~masked)

    sharp = pictures[batch["row"]]
    device = jax.jit(jax.vmap(one))(sharp, batch["points"], batch["shift"], batch["masked"])
    np.testing.assert_array_equal(host, device)
    assert (host != sharp).any((1, 2, 3)).tolist() == batch["masked"].tolist()
    still = Augmentation(flip=0, shift=0, scale=0, rotation=0, brightness=0, contrast=0)
    view = jax.jit(training.revealed_view(still, radius=radius, blur=blur_k))
    seen = view(jax.random.key(0), {"image": sharp, **{name: batch[name] for name in ("points", "shift", "masked")}})
    np.testing.assert_allclose(seen, images.normalise(images.to_float(jnp.asarray(host))), atol=1e-4)


def test_views_have_the_masks_of_their_trials(clicked, views):
    batch = views.batch(0, views.masked, masked_ratio=1, draw=in_turn)
    trials = clicked.trials.trials.reset_index()
    for number in (0, 9 * 50, 9 * 120):
        image = clicked.study["image"].iloc[batch["row"][number]]
        own = trials[(trials["image"] == image) & trials["correct"].to_numpy(bool)]
        mask = human.stimuli.reveal_mask(batch["points"][number], (224, 224), 20)
        assert any((mask == other).all() for other in human.clicks.masks(clicked, own["index"]))


@pytest.mark.parametrize(("rows", "columns"), [*masks.SHIFTS, (0, 0), (3, -5), (-7, 2), (40, 0), (0, -12), (-10, 99)])
@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_a_shift_is_that_of_the_device(rows, columns, dtype):
    mask = np.random.default_rng(0).integers(0, 2, (10, 12)).astype(dtype)
    moved = human.stimuli.shift(mask, rows, columns)
    assert moved.dtype == dtype
    np.testing.assert_array_equal(moved, masks.shift(jnp.asarray(mask), rows, columns))


def test_wrong_calls(clicked, views, small_cohort, small_study):
    for call, told in (
        (lambda: human.clicks.views_of_pair(clicked, 28), r"`pair`: wanted an index in 0\.\.27, got 28"),
        (lambda: human.clicks.views_of_pair(clicked, 0, held_out=5), r"`held_out`: wanted an index in 0\.\.4, got 5"),
        (
            lambda: views.batch(0, 8, masked_ratio=1.5, draw=stream),
            r"`masked_ratio`: wanted a number in \[0, 1\], got 1.5",
        ),
    ):
        with pytest.raises(UsageError, match=told):
            call()
    few = human.clicks.assemble(small_cohort, np.zeros((56, 64, 64, 3), np.uint8), small_study)
    with pytest.raises(DataError, match="`held_out`: wanted images of neutral-happy to learn from outside fold 0"):
        human.clicks.views_of_pair(few, 0, held_out=0)
    assert len(set(itertools.chain(*[human.clicks.MOVES]))) == 9
