import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text

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


def test_resizing_keeps_the_shape_and_says_the_smallest_text():
    drawn = _drawn()
    width, height = drawn.get_size_inches()
    sizes = [text.get_fontsize() for text in drawn.findobj(Text) if text.get_text()]
    smallest = style.resize(drawn, 89)
    assert drawn.get_size_inches()[0] * 25.4 == pytest.approx(89)
    assert np.divide(*drawn.get_size_inches()) == pytest.approx(width / height)
    assert smallest == pytest.approx(min(sizes) * 89 / 25.4 / width)
    plt.close(drawn)
    with pytest.raises(UsageError, match="`width_mm`: wanted 20 to 1,000 millimetres, got 3"):
        style.resize(_drawn(), 3)


def test_a_style_lies_on_top_of_the_house_s_and_ends(tmp_path):
    def size():
        ax = figures.draw_recall({"net": {"happy": 0.5, "sad": 0.7}})
        plt.close(ax.figure)
        return ax.yaxis.label.get_fontsize()

    own = tmp_path / "own.mplstyle"
    own.write_text("axes.labelsize: 23\n")
    before = size()
    with style.restyled(str(own)):
        assert size() == 23
    assert size() == before
    with style.restyled("house"):
        assert size() == before
    for name in ("seaborn-nothing", str(tmp_path / "gone.mplstyle")):
        with pytest.raises(UsageError, match=r"`style`: wanted one of house, .*grayscale.* or a .mplstyle file"):
            style.restyled(name).__enter__()


def test_every_format_is_written_and_the_same_twice(tmp_path):
    paths = figures.save(_drawn(), tmp_path / "a", formats=("pdf", "eps", "png"), dpi=40)
    assert [path.suffix for path in paths] == [".pdf", ".eps", ".png"]
    again = figures.save(_drawn(), tmp_path / "b", formats=("pdf", "png"), dpi=40)
    assert paths[0].read_bytes() == again[0].read_bytes()
    assert paths[2].read_bytes() == again[1].read_bytes()
    with pytest.raises(UsageError, match="`formats`: wanted one of png, svg, pdf, eps, got 'tiff'"):
        figures.save(_drawn(), tmp_path / "c", formats=("tiff",))
