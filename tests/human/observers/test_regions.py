import numpy as np
import pytest

from fer_jax import human
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human.observers import regions


def test_the_table_is_symmetric_and_complete():
    names = [(EXPRESSIONS[a], EXPRESSIONS[b]) for a, b in EXPRESSIONS.ordered_pairs]
    there = regions.photograph_evidence(*zip(*names, strict=True))
    back = regions.photograph_evidence(*zip(*[pair[::-1] for pair in names], strict=True))
    np.testing.assert_array_equal(there, back)
    assert there.shape == (56, regions.NUM_REGIONS)
    assert (there.sum(1) > 0).all()
    assert not regions.photograph_evidence(EXPRESSIONS, EXPRESSIONS).any()


def test_it_says_what_is_known_of_faces():
    def strongest(true, false):
        return regions.REGIONS[int(regions.photograph_evidence([true], [false]).argmax())]

    assert strongest("happy", "neutral") == "mouth"
    assert strongest("contempt", "neutral") == "mouth"
    assert strongest("surprise", "neutral").startswith("eye")
    total = regions.photograph_evidence(["neutral"] * 7, EXPRESSIONS[1:]).sum(1)
    assert EXPRESSIONS[1 + int(total.argmin())] == "contempt"  # the hardest pair of the paper (§4.3)
    assert np.argsort(total)[-2:].tolist() == [3, 2] or np.argsort(total)[-2:].tolist() == [2, 3]  # surprise, fear


def test_difference_maps_are_read_where_the_regions_lie():
    centres, _ = regions.region_centres(2, image_px=100)
    maps = np.zeros((2, 100, 100), np.float32)
    x, y = np.floor(centres[1, regions.MOUTH]).astype(int)
    maps[0] = 3
    maps[1, y - 4 : y + 5, x - 4 : x + 5] = 1
    found = regions.difference_evidence(maps, centres, 4)
    np.testing.assert_allclose(found[0], np.where(np.arange(8) == regions.CHIN, 1.5, 3))
    assert found[1, regions.MOUTH] == pytest.approx(1)
    assert np.delete(found[1], regions.MOUTH).max() == 0
    disc = human.stimuli.reveal_mask(centres[:1, regions.NOSE], (100, 100), 9)
    noise = np.random.default_rng(0).random((1, 100, 100))
    seen = regions.difference_evidence(noise, centres[:1], 9)
    assert seen[0, regions.NOSE] == pytest.approx(noise[0][disc].mean())


def standard_landmarks(image_px):
    """68 points of the standard crop; those that no region uses lie at its middle."""
    unit, origin = 0.25 * image_px, np.array([0.5, 0.37]) * image_px
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (-0.5, 0), (0.5, 0)
    points[17:22], points[22:27] = (-0.53, -0.4), (0.53, -0.4)
    points[21], points[22] = (-0.19, -0.33), (0.19, -0.33)
    points[27:36], points[48:60] = (0, 0.55), (0, 1.13)
    points[48], points[54], points[57], points[8] = (-0.4, 1.13), (0.4, 1.13), (0, 1.26), (0, 1.86)
    points[2], points[14] = (-1.04, 0.4), (1.04, 0.4)
    return origin + unit * points


def test_landmarks_of_the_standard_crop_give_the_standard_centres():
    landmarks = standard_landmarks(224)[None]
    centres, unit = regions.region_centres(1, image_px=224, landmarks=landmarks)
    standard, standard_unit = regions.region_centres(1, image_px=224)
    assert unit[0] == pytest.approx(standard_unit[0])
    assert np.abs(centres - standard).max() < 0.12 * unit[0]
    moved, _ = regions.region_centres(1, image_px=224, landmarks=landmarks * 0.5 + 7)
    np.testing.assert_allclose(moved, centres * 0.5 + 7)


def test_a_picture_without_landmarks_takes_the_crop_frame():
    landmarks = np.stack([standard_landmarks(224) * 0.5, np.full((68, 2), np.nan)])
    centres, unit = regions.region_centres(2, image_px=224, landmarks=landmarks)
    np.testing.assert_array_equal(regions.without_landmarks(landmarks), [False, True])
    known, apart = regions.region_centres(1, image_px=224, landmarks=landmarks[:1])
    standard, usual = regions.region_centres(1, image_px=224)
    np.testing.assert_array_equal(centres, np.concatenate([known, standard]))
    np.testing.assert_array_equal(unit, np.concatenate([apart, usual]))
    landmarks[0, 7, 1] = np.nan
    with pytest.raises(DataError, match=r"`landmarks`: wanted finite numbers of shape \(2, 68, 2\)"):
        regions.region_centres(2, image_px=224, landmarks=landmarks)


def test_bad_arrays():
    with pytest.raises(DataError, match=r"wanted finite numbers of shape \(2, 68, 2\)"):
        regions.region_centres(2, image_px=64, landmarks=np.zeros((2, 5, 2)))
    with pytest.raises(DataError, match="`maps`"):
        regions.difference_evidence(np.zeros((3, 8, 8)), np.zeros((2, 8, 2)), 2)
