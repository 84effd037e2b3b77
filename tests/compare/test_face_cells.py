"""Maps of people and networks over the cells of one face."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fer_jax import frame
from fer_jax.compare import face_cells
from fer_jax.errors import UsageError
from fer_jax.human.reliability import scaled

CELLS = {"rows": 8, "columns": 6, "cell_px": 50}
SAME = np.eye(2, 3)
UNITS, N = 7, 48


def test_cells_of_the_same_frame_are_block_means():
    maps = np.random.default_rng(0).random((2, 8, 6)).repeat(50, 1).repeat(50, 2)
    found = face_cells.cell_means(maps, SAME, **CELLS)
    # Only points within half a pixel of a cell's edge see the neighbour.
    np.testing.assert_allclose(found, maps[:, ::50, ::50].reshape(2, 48), atol=1e-12)


def test_cells_follow_the_face():
    """A plane's mean in a cell is its value at the cell's centre, wherever the matrix puts it."""
    y, x = np.mgrid[:48, :48].astype(float)
    face = np.array([[75, 125], [225, 125], [150, 280]]) - 0.5
    matrix = frame.points_matrix(face, np.array([[15, 18], [32, 19], [24, 37]]))
    np.testing.assert_allclose(frame.transform(face, matrix), [[15, 18], [32, 19], [24, 37]])
    found = face_cells.cell_means(np.stack([2 * x - 3 * y]), matrix, **CELLS)[0].reshape(8, 6)
    centres = np.stack(np.meshgrid(np.arange(6) * 50 + 24.5, np.arange(8) * 50 + 24.5), -1)
    wanted = frame.transform(centres, matrix) @ np.array([2, -3])
    inside = np.isfinite(found)
    assert 30 <= inside.sum() < 48
    np.testing.assert_allclose(found[inside], wanted[inside], atol=1e-9)
    corner = frame.transform(np.array([[0.0, 0.0], [299.0, 399.0]]), matrix)
    assert (corner[0] < -0.5).any() == np.isnan(found[0, 0])
    assert (corner[1] > 47.5).any() == np.isnan(found[7, 5])


def test_agreement_is_scipys():
    random = np.random.default_rng(1)
    one, other = random.random((50, 20)), random.random((50, 20))
    other[7], one[8] = 0.3, one[8].round(1)
    found = face_cells.agreement(one, other)
    for row in set(range(50)) - {7}:
        assert found["pearson"][row] == pytest.approx(stats.pearsonr(one[row], other[row]).statistic, rel=1e-10)
        assert found["spearman"][row] == pytest.approx(stats.spearmanr(one[row], other[row]).statistic, rel=1e-10)
        if row != 8:
            top = [set(np.argsort(-each[row])[:5]) for each in (one, other)]
            assert found["dice"][row] == pytest.approx(len(top[0] & top[1]) / 5)
    assert all(np.isnan(values[7]) for values in found.values())


def test_cells_beyond_the_picture_count_nowhere():
    random = np.random.default_rng(2)
    one, other = random.random((3, 20)), random.random((3, 20))
    other[1, 4] = np.nan
    kept = np.arange(20) != 4
    for name, values in face_cells.agreement(one, other).items():
        np.testing.assert_array_equal(values, face_cells.agreement(one[:, kept], other[:, kept])[name])


def crossed(seed, *, people=19, pictures=6, signal=0.6, noise=2.0, shared=True):
    """People's maps (S, K, N) and a network's (T, N) of true maps that are partly the same."""
    random = np.random.default_rng(seed)
    common = random.random(N)
    truth = common + random.random((UNITS, N)) * (1 if shared else 0)
    human = np.maximum(truth + noise * random.standard_normal((people, UNITS, N)), 0)
    human = scaled(human.reshape(-1, N)).reshape(human.shape)
    units = np.repeat(np.arange(UNITS), pictures)
    model = signal * truth[units] + (1 - signal) * random.random((UNITS, N))[units]
    return human, model + random.random((len(units), N)), units


def test_laws_of_the_summary():
    human, model, units = crossed(0, noise=0.3)
    perfect = human.mean(0)[units]
    shuffled = np.random.default_rng(3).permuted(model, axis=1)
    table, differences = face_cells.summarise(
        human, {"perfect": perfect, "model": model, "shuffled": shuffled}, units,
        references={"flat": np.ones((UNITS, N))},
    )  # fmt: skip
    value = table.set_index(["method", "score"])["value"]
    assert value["perfect"].tolist() == pytest.approx([1, 1, 1])
    assert value["model", "pearson"] > 0.3
    assert abs(value["shuffled", "pearson"]) < 0.15
    assert abs(value["shuffled", "dice"] - face_cells.TOP) < 0.15
    assert np.isnan(value["flat", "pearson"])
    assert table[table["method"] == "flat"]["reason"].str.contains("does not vary").all()
    bounds = table[(table["method"] != "flat") & (table["method"] != "perfect")]
    assert (bounds["low"] < bounds["value"]).all()
    assert (bounds["value"] < bounds["high"]).all()
    found = differences.set_index(["first", "second", "score"])
    assert found.loc[("model", "shuffled", "pearson"), "low"] > 0
    assert found.loc[("model", "shuffled", "pearson"), "p_holm"] <= 0.05
    assert found["difference"].to_dict()["perfect", "model", "pearson"] == pytest.approx(
        value["perfect", "pearson"] - value["model", "pearson"]
    )


def test_order_of_people_and_pictures_is_nothing():
    human, model, units = crossed(4)
    order = np.random.default_rng(5).permutation(len(units))
    one, _ = face_cells.summarise(human, {"model": model}, units)
    other, _ = face_cells.summarise(human[::-1], {"model": model[order]}, units[order])
    np.testing.assert_allclose(one["value"], other["value"], rtol=1e-12)


def test_the_interval_of_a_mean_correlation_covers_the_truth():
    """Other people, other pictures of the same faces. The truth is the mean over many studies of this size."""
    tables = pd.concat([_study(seed).iloc[:1] for seed in range(300)])
    truth = tables["value"].mean()
    assert ((tables["low"] <= truth) & (truth <= tables["high"])).mean() >= 0.93


def _study(seed):
    """One study of the same truth: only people's and pictures' noise differ."""
    base, model, units = crossed(6)
    random = np.random.default_rng(seed)
    human = base.mean(0) + random.standard_normal(base.shape)
    model = model + random.standard_normal(model.shape)
    return face_cells.summarise(human, {"model": model}, units)[0]


def test_specificity_counts_every_matching():
    human, model, units = crossed(7, noise=0.2, signal=0.9)
    found = face_cells.specificity(human, {"model": model}, units).iloc[0]
    means = np.stack([model[units == unit].mean(0) for unit in range(UNITS)])
    scores = np.corrcoef(human.mean(0), means)[:UNITS, UNITS:]
    matched = [np.mean([scores[i, j] for i, j in enumerate(order)]) for order in itertools.permutations(range(UNITS))]
    assert found["matched"] == pytest.approx(matched[0])
    assert found["p"] == pytest.approx(np.mean(np.array(matched) >= matched[0] - 1e-12))
    assert found["p"] < 0.01
    assert found["difference"] > 0
    generic = face_cells.specificity(*_generic()).iloc[0]
    assert generic["p"] > 0.05
    assert generic["matched"] > 0.3


def _generic():
    """Maps that fit people, and fit every expression alike."""
    human, model, units = crossed(8, noise=0.2, shared=False)
    return human, {"model": model.mean(0) + 0.05 * np.random.default_rng(9).random(model.shape)}, units


def test_the_ceiling_is_what_other_people_reach():
    human, _, _ = crossed(10, noise=0.3)
    table = face_cells.ceiling(human, seed=0)
    assert (table["best_score"] > 0.9).all()
    noise = np.random.default_rng(11).standard_normal(human.shape)
    assert (face_cells.ceiling(noise, seed=0)["split_half"].abs() < 0.3).all()


def test_errors_teach():
    human, model, units = crossed(12)
    with pytest.raises(UsageError, match=r"`models`: wanted maps \(42, 48\) of every method, got"):
        face_cells.summarise(human, {"model": model[1:]}, units)
    with pytest.raises(UsageError, match=r"`units`: wanted each of 0..6 at least once, got \[1, 2"):
        face_cells.specificity(human, {"model": model}, np.maximum(units, 1))
    with pytest.raises(UsageError, match="wanted 2 to 8 categories for an exact test, got 9"):
        face_cells.specificity(np.ones((2, 9, 4)), {"model": np.ones((9, 4))}, np.arange(9))
    with pytest.raises(UsageError, match="wanted three points"):
        frame.points_matrix(np.zeros((3, 2)), np.eye(3, 2))
