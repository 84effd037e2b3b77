import numpy as np
import pytest
from matplotlib import pyplot as plt

from fer_jax import figures
from fer_jax.errors import StorageError, UsageError
from fer_jax.figures import style
from fer_jax.provenance import Provenance


@pytest.mark.parametrize(
    ("value", "text"), [(0.49, ".49"), (-0.56, "−.56"), (1.0, "1.00"), (10.31, "10.31"), (np.nan, "–"), (None, "–")]
)
def test_numbers_as_text(value, text):
    assert style.number(value) == text


def test_spread_keeps_order_and_distance_and_moves_no_more_than_it_must():
    random = np.random.default_rng(0)
    for _ in range(200):
        values = random.random(random.integers(1, 9))
        places = style.spread(values, 0.05, 0, 1)
        order = np.argsort(values, kind="stable")
        assert (np.diff(places[order]) >= 0.05 - 1e-12).all()
        assert places.min() >= -1e-12 and places.max() <= 1 + 1e-12
    apart = np.asarray([0.8, 0.1, 0.4])
    np.testing.assert_allclose(style.spread(apart, 0.05, 0, 1), apart)
    np.testing.assert_allclose(style.spread(np.asarray([0.5, 0.5]), 0.1, 0, 1), [0.45, 0.55])


def test_spread_of_more_labels_than_fit_is_even():
    np.testing.assert_allclose(np.sort(style.spread(np.full(5, 0.5), 0.9, 0, 1)), np.linspace(0, 1, 5))
    assert style.spread(np.zeros(0), 0.1, 0, 1).shape == (0,)


def test_a_heading_tears_no_note_apart_and_ends_no_line_with_a_dot():
    notes = ["n = 3,720 answers", "mean of rows .49"]
    text = style.heading("Title", notes, provenance=Provenance(pictures="drawn", people="simulated"), width=40)
    title, *below = text.split("\n")
    assert title == "Title" and len(below) > 1
    assert not any(line.endswith("·") for line in below)
    for part in ("simulated people", "synthetic faces", *notes):
        assert any(part in line for line in below)
    assert style.heading("Title", provenance=Provenance()) == "Title"


def _drawn():
    return figures.draw_confusion(np.arange(64).reshape(8, 8)).figure


def test_two_saves_are_the_same_bytes_and_name_no_date(tmp_path):
    first = [path.read_bytes() for path in figures.save(_drawn(), tmp_path / "a.b")]
    again = [path.read_bytes() for path in figures.save(_drawn(), tmp_path / "new" / "c")]
    assert first == again
    assert first[0].startswith(b"\x89PNG") and b"<svg" in first[1]
    assert b"dc:date" not in first[1]
    assert {path.name for path in tmp_path.glob("a*")} == {"a.b.png", "a.b.svg"}


def test_one_figure_saved_twice_stays_the_same(tmp_path):
    figure = _drawn()
    one, two = figures.save(figure, tmp_path / "a"), figures.save(figure, tmp_path / "b")
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_saving_closes_a_pyplot_figure(tmp_path):
    figure = plt.figure()
    figures.save(figure, tmp_path / "a")
    assert not plt.fignum_exists(figure.number)


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="`path`"):
        figures.save(_drawn(), tmp_path / "file" / "a")


def test_drawing_leaves_the_callers_settings_alone():
    before = dict(plt.rcParams)
    _drawn()
    assert dict(plt.rcParams) == before


def test_a_missing_column_is_named():
    import pandas as pd

    with pytest.raises(UsageError, match="lacks dice"):
        figures.draw_dice(pd.DataFrame({"unit": [], "method": [], "chance": []}))
