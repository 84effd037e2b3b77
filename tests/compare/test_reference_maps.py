import numpy as np
import pytest

from fer_jax.compare import dice, reference_maps
from fer_jax.errors import UsageError


def test_the_centre_is_a_gaussian_about_the_middle():
    heat = reference_maps.centre(31, 41)
    y, x = np.mgrid[:31, :41]
    assert heat.max() == heat[15, 20] == 1
    np.testing.assert_allclose(heat, heat[::-1, ::-1])
    spread = np.log(heat[15, 20] / heat[15, 30])  # ten pixels off
    assert spread == pytest.approx(10**2 / (2 * (41 / 4) ** 2))
    assert (heat * (x - 20)).sum() == pytest.approx(0, abs=1e-9) and (heat * (y - 15)).sum() == pytest.approx(
        0, abs=1e-9
    )


def test_people_are_held_against_the_same_centre():
    human = np.broadcast_to(reference_maps.centre(24, 24), (6, 24, 24))
    table = dice.baselines(human, np.arange(6) // 2).set_index("baseline")
    assert table.loc["centre", "dice"] == 1


def test_a_random_field_has_no_favourite_place():
    fields = np.stack([reference_maps.random_field(12, 12, seed=(5, index)) for index in range(900)])
    assert fields.min() == 0 and fields.max() == 1
    mean = fields.mean(0)
    # Every pixel alike, the border too: its mean lies within chance of the common one.
    assert np.abs(mean - fields.mean()).max() < 4.5 * fields.std() / np.sqrt(len(fields))
    np.testing.assert_array_equal(fields[7], reference_maps.random_field(12, 12, seed=(5, 7)))
    near = np.corrcoef(fields[:, 5, 5], fields[:, 5, 6])[0, 1]
    assert near > 0.3  # smooth


def test_edges_are_where_the_picture_changes():
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, 20:] = 200
    heat = reference_maps.edges(picture)
    assert set(np.flatnonzero(heat.mean(0) > 0.9 * heat.mean(0).max())) == {19, 20}
    assert heat[:, :8].max() < 1e-3 * heat.max()
    assert not reference_maps.edges(np.full((40, 40, 3), 9, np.uint8)).any()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: reference_maps.centre(0, 5), "`height`, `width`: wanted at least 1 pixel, got 0 and 5"),
        (lambda: reference_maps.centre(5, 5, sigma=0), "`sigma`: wanted a share of the width above 0, got 0"),
        (lambda: reference_maps.random_field(5, 5, seed=0, smoothing=-1), "`smoothing`: wanted a share .* got -1"),
        (lambda: reference_maps.edges(np.zeros((5, 5, 3))), r"`picture`: wanted uint8 \(H, W, 3\), got float64"),
    ],
)
def test_wrong_calls_are_named(call, said):
    with pytest.raises(UsageError, match=said):
        call()
