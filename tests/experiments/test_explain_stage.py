"""Stage `saliency` where each picture ends by itself: the same maps as pair by pair, in the same parts."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.config import StudyConfig, resolve
from experiments.study import explain
from fer_jax import ensemble, models

SIZE = 32
PAIRS = np.asarray([2, 0, 1, 0, 2, 2, 0])
TARGETS = np.asarray([0, 1, 1, 0, 1, 0, 0], np.int32)


@pytest.fixture(scope="module")
def run():
    network = functools.partial(models.TinyResNet, width=8)
    fresh = jax.jit(network(num_classes=2).init)
    members = [fresh(jax.random.key(seed), jnp.zeros((1, SIZE, SIZE, 3))) for seed in range(3)]
    pictures = np.random.default_rng(0).integers(0, 256, (len(PAIRS), SIZE, SIZE, 3), np.uint8)
    return types.SimpleNamespace(
        config=types.SimpleNamespace(over_devices="none", devices=0),
        study_pairs=PAIRS,
        study_pictures=types.SimpleNamespace(images=pictures),
        load_ensemble=lambda: ensemble.stack(members),
        network=lambda num_classes, **options: network(num_classes=num_classes, **options),
    )


def settings(**flags):
    return explain.settings_of(
        resolve(StudyConfig(out="run", image_size=SIZE, area=0.3, ep_reward_scale=0.05, **flags))
    )


def test_one_by_one_gives_what_pair_by_pair_gives(run):
    chosen = settings(ep_stop="converged", ep_iterations=250)
    rows = np.asarray([0, 1, 3, 4, 5, 6])
    parts = dict(_by_pair(explain._pair_by_pair(run, chosen, TARGETS, rows, None)))
    checks = []
    found = explain.explain_rows(run, chosen, TARGETS, rows, check=lambda: checks.append(True))
    found = dict(_by_pair(found))
    assert set(found) == set(parts) == {0, 2}
    assert len(checks) >= len(rows)
    for pair, (own, maps) in parts.items():
        np.testing.assert_array_equal(found[pair][0], own)
        assert set(found[pair][1]) == set(maps)
        np.testing.assert_array_equal(found[pair][1]["iterations"], maps["iterations"])
        for name, wanted in maps.items():
            np.testing.assert_allclose(found[pair][1][name], wanted, atol=2e-3, err_msg=name)
    ends = np.concatenate([maps["iterations"] for _, maps in found.values()])
    assert ends.max() < 250


def _by_pair(found):
    for own, maps in found:
        yield int(PAIRS[own[0]]), (own, maps)


def test_pictures_dealt_out_to_devices_have_the_same_maps(run):
    chosen = settings(ep_stop="converged", ep_iterations=40)
    two = types.SimpleNamespace(**vars(run) | {"config": types.SimpleNamespace(over_devices="shard_map", devices=2)})
    wanted, found = (
        dict(_by_pair(explain.explain_rows(each, chosen, TARGETS, np.arange(len(PAIRS)), check=lambda: None)))
        for each in (run, two)
    )
    assert set(found) == set(wanted) == {0, 1, 2}
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_stopped_in_the_middle_whole_pairs_have_been_given(run):
    chosen = settings(ep_stop="converged", ep_iterations=40)
    given = []

    def check():
        if given:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for own, _ in explain.explain_rows(run, chosen, TARGETS, np.arange(len(PAIRS)), check=check):
            given.append(own.tolist())
    assert given == [[1, 3, 6]]


def test_early_stopping_takes_the_published_schedule_unless_told_otherwise():
    never, early = (settings(ep_stop=stop).extremal for stop in ("never", "converged"))
    assert (never.iterations, never.stop, never.schedule_pace) == (150, "never", 800 / 150)
    assert (early.iterations, early.stop, early.schedule_pace) == (800, "converged", 1)
    assert settings(ep_stop="converged", ep_iterations=400).extremal.iterations == 400
    assert not settings().ends_early and settings(ep_stop="converged").ends_early
