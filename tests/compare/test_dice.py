import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_jax.compare import dice
from fer_jax.compare.dice import DiceOptions
from fer_jax.errors import UsageError

ROUND = DiceOptions(integer="round")


def _maps(seed, count=12, size=10):
    return np.random.default_rng(seed).random((count, size, size))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_dice_laws(seed, share):
    random = np.random.default_rng(seed)
    one, other = random.random((2, 9, 11)) < share
    value = dice.dice(one, other)
    assert value == dice.dice(other, one)
    if one.any():
        assert dice.dice(one, one) == 1
    union = (one | other).sum()
    if union:
        jaccard = (one & other).sum() / union
        np.testing.assert_allclose(value, 2 * jaccard / (1 + jaccard), rtol=1e-12)


def test_goldens(goldens):
    golden = goldens("metrics")
    maps, human = golden["maps_f64"], golden["human_f64"]
    on, usable = dice.binary_maps(maps, ROUND)
    np.testing.assert_array_equal(on, golden["bin_maps"])
    assert usable.all()
    one, _ = dice.binary_maps(human[None], ROUND)
    np.testing.assert_allclose([dice.dice(m, one[0]) for m in on], golden["dice_f64"], atol=1e-12)
    pairs = np.zeros(1, int)
    for index, wanted in enumerate(golden["dice_f64"]):
        table = dice.dice_per_pair(human[None], maps[index][None], pairs, ROUND)
        np.testing.assert_allclose(table["dice"], wanted, atol=1e-12)


def test_maps_are_averaged_within_the_pair_and_chance_is_its_formula():
    human, model, pairs = _maps(0), _maps(1), np.repeat([3, 5, 20], 4)
    table = dice.dice_per_pair(human, model, pairs)
    assert list(table["unit"]) == [3, 5, 20]
    assert list(table["n_images"]) == [4, 4, 4]
    mean = human[4:8].mean(0)
    scaled = np.floor((mean - mean.min()) / np.ptp(mean) * 255) > 50
    assert table["area_human"][1] == scaled.mean()
    a, b = table["area_human"], table["area_model"]
    np.testing.assert_allclose(table["chance"], 2 * a * b / (a + b), rtol=1e-12)


def test_a_map_against_itself_is_one_and_order_of_images_does_not_matter():
    human, pairs = _maps(2), np.repeat([0, 1], 6)
    np.testing.assert_array_equal(dice.dice_per_pair(human, human, pairs)["dice"], 1)
    shuffled = np.random.default_rng(0).permutation(12)
    one = dice.dice_per_pair(human, _maps(3), pairs)
    other = dice.dice_per_pair(human[shuffled], _maps(3)[shuffled], pairs[shuffled])
    np.testing.assert_allclose(one["dice"], other["dice"], atol=1e-12)


def test_a_constant_map_gives_nan_with_a_reason_and_never_a_silent_zero():
    human, model, pairs = _maps(4), _maps(5), np.repeat([0, 1], 6)
    model[6:] = 0.25
    table = dice.dice_per_pair(human, model, pairs)
    assert np.isfinite(table["dice"][0])
    assert np.isnan(table["dice"][1])
    assert list(table["reason"]) == ["", "constant model map"]


def test_options_do_what_they_say():
    values = np.asarray([[[0.0, 50.0, 50.6, 255.0]]])
    for options, wanted in (
        ({}, [0, 0, 0, 1]),
        ({"integer": "round"}, [0, 0, 1, 1]),
        ({"compare": "ge"}, [0, 1, 1, 1]),
        ({"threshold": 20}, [0, 1, 1, 1]),
    ):
        np.testing.assert_array_equal(
            dice.binary_maps(values, DiceOptions(**options))[0][0, 0], np.asarray(wanted, bool)
        )
    lifted = values + 100  # a raised floor: dividing by the maximum turns everything on
    assert dice.binary_maps(lifted, DiceOptions(normalise="max"))[0].all()
    assert not dice.binary_maps(lifted, DiceOptions(normalise="minmax"))[0].all()


def test_the_grid_holds_the_default_and_the_baselines_know_their_n():
    human, model, pairs = _maps(6), _maps(7), np.repeat([0, 1, 2], 4)
    grid = dice.dice_grid(human, model, pairs)
    assert len(grid) == 24
    default = grid[
        (grid[["per_image", "normalise", "integer", "compare"]] == ["none", "minmax", "floor", "gt"]).all(axis=1)
    ]
    np.testing.assert_allclose(default["dice"], dice.dice_per_pair(human, model, pairs)["dice"].mean())
    base = dice.baselines(human, pairs).set_index("baseline")
    assert set(base.index) == {"centre", "other pairs", "neighbouring pair", "uniform"}
    assert (base["n"] == 3).all()
    on, _ = dice.binary_maps(np.stack([human[pairs == p].mean(0) for p in range(3)]))
    area = on.mean((1, 2))
    np.testing.assert_allclose(base.loc["uniform", "dice"], (2 * area / (area + 1)).mean())


def test_women_against_men_on_real_logs(real_data):
    maps = _weight_maps(real_data / "wegrzyn2017")
    women, men = maps[0], maps[1]
    pairs = np.arange(7)
    table = dice.dice_per_pair(women, men, pairs)
    np.testing.assert_allclose(table["dice"].mean(), 0.71, atol=0.01)
    np.testing.assert_allclose(table["corrected"].mean(), 0.16, atol=0.01)
    over_max = dice.dice_per_pair(women, men, pairs, DiceOptions(normalise="max"))
    np.testing.assert_allclose(over_max["dice"].mean(), 0.96, atol=0.01)


def _weight_maps(folder):
    """(2 sexes, 7 expressions, 8, 6): Σ over correct trials with n <= 16 tiles of 1 - n/16 on each tile shown."""
    import pandas as pd

    weights = np.zeros((2, 7, 48))
    for path in sorted(folder.glob("pandas_logfile*.csv")):
        log = pd.read_csv(path)
        for row in log[(log["evaluation"] == "HIT") & (log["maskNum"] <= 16)].itertuples():
            tiles = [int(tile) for tile in str(row.maskList).split("-") if tile]
            weights[int(row.ident), int(row.express), tiles] += 1 - len(tiles) / 16
    return weights.reshape(2, 7, 6, 8).swapaxes(2, 3)


def test_errors_teach():
    with pytest.raises(UsageError, match=r"`normalise`: wanted one of minmax, max, got 'sum'"):
        DiceOptions(normalise="sum")
    with pytest.raises(
        UsageError, match=r"wanted \(T, H, W\), \(T, H, W\) and \(T,\), got \(12, 10, 10\), \(11, 10, 10\)"
    ):
        dice.dice_per_pair(_maps(0), _maps(0)[:11], np.zeros(12, int))
