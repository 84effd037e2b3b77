"""Places on pictures, their maps, and the readers of OSIE."""

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import io

from fer_jax.errors import DataError, UsageError
from fer_jax.human import gaze
from fer_jax.human.columns import TABLES
from fer_jax.human.trials import Trials


def table(*rows):
    return pd.DataFrame(rows, columns=["image", "participant", "x", "y"])


def osie(folder, looked, moved, size=(12, 16)):
    """Write a folder in the layout of OSIE.

    Args:
      folder: is made.
      looked: image -> one list of places (x, y) a person.
      moved: image -> (number of the person, row, column) from 1, one a position.
      size: of every picture.
    """
    for name in ("stimuli", "mouse_lab"):
        (folder / name).mkdir(parents=True)
    for image in looked:
        cv2.imwrite(str(folder / "stimuli" / f"{image}.jpg"), np.full((*size, 3), 120, np.uint8))
    people = {
        image: [
            {"fix_x": [x for x, _ in one], "fix_y": [y for _, y in one], "fix_duration": [1] * len(one)} for one in each
        ]
        for image, each in looked.items()
    }
    pictures = [{"img": f"{image}.jpg", "subjects": np.array(each, object)} for image, each in people.items()]
    pictures.append({"img": "9999.jpg", "subjects": np.array([{"fix_x": 1, "fix_y": 1, "fix_duration": 1}], object)})
    io.savemat(folder / "fixations.mat", {"fixations": np.array(pictures, object)})
    for image, each in moved.items():
        each = np.asarray(each)
        trace = {"subj": each[:, 0], "coord": each[:, 1:], "order": np.arange(len(each))}
        io.savemat(folder / "mouse_lab" / f"{image}.mat", {"fixations": trace})
    return folder


@pytest.fixture
def folder(tmp_path):
    looked = {"1001": [[(3.5, 2.5), (15.9, 11.9)], [(16.0, 3.0)]], "1002": [[(1, 1)], [(2, 2), (-1, 2)]]}
    moved = {"1001": [(1, 1, 1), (1, 12, 16), (3, 2, 5)], "1002": [(2, 13, 5), (2, 5, 5)]}
    return osie(tmp_path / "osie", looked, moved)


def test_fixations_are_places_and_those_off_the_picture_are_counted(folder):
    read = gaze.read_osie_gaze(folder)
    assert read.table.to_numpy().tolist() == [
        ["1001", "G01", 3.5, 2.5], ["1001", "G01", 15.9, 11.9], ["1002", "G01", 1, 1], ["1002", "G02", 2, 2],
    ]  # fmt: skip
    assert read.outside == 2
    assert read.sizes == {"1001": (12, 16), "1002": (12, 16)}
    assert (read.images, read.participants) == (["1001", "1002"], ["G01", "G02"])
    assert read.people_of("1001") == ["G01"]


def test_a_trace_counts_rows_and_columns_from_one(folder):
    read = gaze.read_osie_mouse(folder)
    assert read.table.to_numpy().tolist() == [
        ["1001", "M01", 0.5, 0.5], ["1001", "M01", 15.5, 11.5], ["1001", "M03", 4.5, 1.5], ["1002", "M02", 4.5, 4.5],
    ]  # fmt: skip
    assert read.outside == 1


@pytest.mark.parametrize(
    ("spoil", "read", "message"),
    [
        (lambda f: (f / "fixations.mat").unlink(), gaze.read_osie_gaze, "fixations.mat: cannot be read: No such file"),
        (
            lambda f: (f / "fixations.mat").write_bytes(b"0" * 200),
            gaze.read_osie_gaze,
            "fixations.mat: wanted a file of OSIE",
        ),
        (lambda f: io.savemat(f / "fixations.mat", {"a": 1}), gaze.read_osie_gaze, "fixations.mat: wanted a file"),
        (lambda f: io.savemat(f / "fixations.mat", {"fixations": 1}), gaze.read_osie_gaze, "wanted a file of OSIE"),
        (
            lambda f: io.savemat(f / "mouse_lab" / "1001.mat", {"fixations": 1}),
            gaze.read_osie_mouse,
            "1001.mat: wanted",
        ),
        (lambda f: [p.unlink() for p in (f / "mouse_lab").iterdir()], gaze.read_osie_mouse, "wanted traces mouse_lab/"),
        (lambda f: [p.unlink() for p in (f / "stimuli").iterdir()], gaze.read_osie_gaze, "wanted photographs stimuli/"),
        (lambda f: (f / "stimuli" / "1001.jpg").write_bytes(b"no"), gaze.read_osie_mouse, "1001.jpg: wanted a photo"),
    ],
)
def test_a_folder_that_is_no_osie_is_refused(folder, spoil, read, message):
    spoil(folder)
    with pytest.raises(DataError, match=message):
        read(folder)


def test_pictures_without_a_size_and_places_that_are_all_outside_are_refused():
    with pytest.raises(DataError, match="`sizes`: wanted the size of every picture, got none of 'b'"):
        gaze.places(table(("a", "P", 1, 1), ("b", "P", 1, 1)), {"a": (4, 4)})
    with pytest.raises(DataError, match="got 2, all of them outside"):
        gaze.places(table(("a", "P", 4.0, 1), ("a", "P", np.nan, 1)), {"a": (4, 4)})


def test_clicks_of_a_study_are_places_whatever_the_suffix():
    empty = {name: pd.DataFrame(columns=list(columns)) for name, columns in TABLES.items()}
    clicks = pd.DataFrame({"image": ["a.png", "c"], "participant": "P", "x_px": [1.5, 2], "y_px": [2.5, 2]})
    trials = Trials(**empty | {"clicks": clicks})
    assert gaze.from_trials(trials, {"a": (4, 4)}).table.to_numpy().tolist() == [["a", "P", 1.5, 2.5]]
    with pytest.raises(DataError, match=r"wanted clicks on pictures such as 'z', got \['a'\]"):
        gaze.from_trials(trials, {"z": (4, 4)})


def test_a_map_holds_a_persons_places_where_they_are():
    seen = gaze.places(table(("a", "Q", 30.5, 10.5), ("a", "P", 5.0, 20.0), ("a", "P", 5.0, 20.0)), {"a": (40, 60)})
    maps = gaze.person_maps(seen, "a", sigma_px=2)
    assert maps.shape == (2, 40, 60)
    assert maps.dtype == np.float32
    assert [np.unravel_index(each.argmax(), each.shape) for each in maps] == [(20, 5), (10, 30)]
    # Places add up, and nothing of them is lost far from the edges.
    np.testing.assert_allclose(maps.sum((1, 2)), [2, 1], rtol=0.01)
    across = maps[1].sum(0)
    deviation = np.sqrt((across * (np.arange(60) - 30) ** 2).sum())
    np.testing.assert_allclose(deviation, 2, rtol=0.01)


def test_cells_hold_as_much_as_pixels():
    seen = gaze.places(table(("a", "P", 30.5, 10.5), ("a", "P", 41.0, 38.0)), {"a": (42, 63)})
    fine, coarse = (gaze.person_maps(seen, "a", sigma_px=8, cell_px=cell)[0] for cell in (1, 3))
    assert coarse.shape == (14, 21)
    pooled = fine.reshape(14, 3, 21, 3).sum((1, 3))
    assert np.corrcoef(pooled.ravel(), coarse.ravel())[0, 1] > 0.99
    np.testing.assert_allclose(coarse.sum(), fine.sum(), rtol=0.05)
    assert gaze.cells((43, 62), 3) == (15, 21)


def test_people_without_a_place_have_an_empty_map_and_nan_places():
    seen = gaze.places(table(("a", "P", 3, 1), ("b", "Q", 1, 1)), {"a": (4, 8), "b": (4, 8)})
    maps = gaze.person_maps(seen, "a", sigma_px=1, people=["P", "Q"])
    assert maps[0].sum() > 0
    assert not maps[1].any()
    found = gaze.person_places(seen, "a", ["Q", "P"], cell_px=2)
    np.testing.assert_array_equal(found, [[[np.nan, np.nan]], [[1.5, 0.5]]])


def test_a_blur_smaller_than_the_cells_is_refused():
    seen = gaze.places(table(("a", "P", 3, 1)), {"a": (4, 8)})
    with pytest.raises(UsageError, match="`sigma_px`"):
        gaze.person_maps(seen, "a", sigma_px=0.5, cell_px=4)
    with pytest.raises(UsageError, match="`image`: wanted a picture with a size, got 'b'"):
        gaze.person_maps(seen, "b", sigma_px=1)


def test_osie_is_read_as_it_lies_on_disk(real_data):
    looked, moved = (read(real_data / "osie") for read in (gaze.read_osie_gaze, gaze.read_osie_mouse))
    assert len(looked.images) == len(moved.images) == 51
    assert (len(looked.participants), len(moved.participants)) == (15, 16)
    assert (len(looked.table), len(moved.table)) == (7117, 74409)
    assert (looked.outside, moved.outside) == (0, 0)
    assert set(looked.sizes.values()) == {(600, 800)}
    # Rows and columns are not exchanged: people look where others move.
    assert np.corrcoef(*(p.table.groupby("image")["x"].mean() for p in (looked, moved)))[0, 1] > 0.5
    assert np.corrcoef(*(p.table.groupby("image")["y"].mean() for p in (looked, moved)))[0, 1] > 0.5
