import numpy as np
import pytest

from fer_jax import faces
from fer_jax.errors import UsageError
from fer_jax.faces import sheets

PX = 48


@pytest.fixture(scope="module")
def scenes():
    return sheets.cast(3, preset=faces.Preset(nuisance=0.5, intensity=(0.8, 1.0)), size=PX, identities=2)


def test_a_cast_is_everybody_showing_everything(scenes):
    assert [(each.identity_seed, each.expression) for each in scenes] == [(p, e) for p in (0, 1) for e in range(8)]
    assert len({each.background_seed for each in scenes}) == 16
    assert scenes[0].identity.shape == scenes[7].identity.shape != scenes[8].identity.shape
    some = sheets.cast(3, size=PX, identities=1, expressions=("disgust", "happy"))
    assert [each.expression for each in some] == [5, 1]


def test_the_contact_sheet_holds_each_face_in_its_place(scenes):
    sheet = sheets.contact_sheet(scenes, foot="a note")
    assert sheet.shape == (2 * sheets.BAND + 2 * PX, 8 * PX, 3) and sheet.dtype == np.uint8
    for place, each in enumerate(scenes):
        row, column = divmod(place, 8)
        top = sheets.BAND + row * PX
        tile = sheet[top : top + PX, column * PX : (column + 1) * PX]
        np.testing.assert_array_equal(tile, faces.render(each).image)
    names = sheet[: sheets.BAND].reshape(sheets.BAND, 8, PX, 3)
    assert (names < 128).any((0, 2, 3)).all(), "each column has a name"
    assert (sheet[-sheets.BAND :] < 128).any(), "the foot says what they are"


def test_the_naming_sheet_is_shuffled_and_its_key_fits(scenes):
    sheet, key = sheets.naming_sheet(scenes, seed=1)
    shown = {(each.expression, each.identity_seed): faces.render(each).image for each in scenes}
    assert sorted(key) == sorted(shown)
    strip = (sheet.shape[0] - sheets.BAND) // 2 - PX
    for place, entry in enumerate(key):
        row, column = divmod(place, 8)
        top = row * (PX + strip) + strip
        tile = sheet[top : top + PX, column * PX : (column + 1) * PX]
        np.testing.assert_array_equal(tile, shown[tuple(entry)])
    assert [each.expression for each in key] != [each.expression for each in scenes]
    again, other = sheets.naming_sheet(scenes, seed=1)[1], sheets.naming_sheet(scenes, seed=2)[1]
    assert again == key != other


def test_the_oracle_sheet_shows_both_faces_and_red_where_they_differ(scenes):
    sheet = sheets.oracle_sheet(scenes[:2])
    assert sheet.shape[1] == 6 * PX
    strip = sheet.shape[0] - sheets.BAND - PX
    neutral, happy, heat = (sheet[strip : strip + PX, PX * column : PX * (column + 1)] for column in range(3))
    bare = scenes[0].replace(occluder=0)
    for tile, units in zip((neutral, happy), faces.pair_units(scenes[0], 1), strict=True):
        np.testing.assert_array_equal(tile, faces.render(bare.replace(au=units), photometry=False).image)
    difference = faces.oracle(scenes[0], 1)
    redness = heat[..., 0].astype(float) - heat[..., 2]
    assert np.corrcoef(redness.ravel(), difference.ravel())[0, 1] > 0.9
    assert redness[difference == 0].max(initial=0) == 0
    assert sheets.oracle_sheet(scenes[:8]).shape[0] == 14 * (PX + strip) + sheets.BAND, "28 pairs, two to a row"
    with pytest.raises(UsageError, match="`expressions`: wanted at least two"):
        sheets.oracle_sheet(scenes[:1])


def test_the_mask_sheet_marks_landmarks_regions_and_units(scenes):
    scene = scenes[1].replace(occluder=0)
    sheet = sheets.mask_sheet([scene])
    strip = (sheet.shape[0] - sheets.BAND) // 6 - PX
    tiles = [sheet[row * (PX + strip) + strip :][:PX] for row in range(6)]
    face = faces.render(scene)
    x, y = np.rint(face.landmarks[30]).astype(int)
    assert tiles[0][y, x, 1] > 200 > tiles[0][y, x, 0], "the nose tip is seen: green"
    outside = faces.region_mask(face, PX) == 0
    np.testing.assert_array_equal(tiles[1][outside], face.image[outside])
    assert (tiles[1][~outside] != face.image[~outside]).any(1).mean() > 0.95
    for tile in tiles[2:4]:  # AU 6 and 12
        redness = tile[..., 0].astype(int) - tile[..., 2]
        assert redness.max() > 100 and (redness > 20).mean() < 0.25
    at_rest = sheets.mask_sheet([scene.replace(au=scene.au * 0)])
    assert (at_rest[2 * (PX + strip) : -sheets.BAND] == 255).all(), "no unit acts: white"


def test_nobody_and_nothing_are_refused():
    with pytest.raises(UsageError, match="`identities`: wanted a whole number from 1, got 0"):
        sheets.cast(0, identities=0)
    with pytest.raises(UsageError, match="`expressions`: wanted at least one, got none"):
        sheets.cast(0, expressions=())
