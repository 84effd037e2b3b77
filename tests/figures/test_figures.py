import html.parser

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_jax import figures
from fer_jax.expressions import EXPRESSIONS, ORDERED_PAIRS, PAIRS, pair_name


def _random():
    return np.random.default_rng(0)


def _texts(ax):
    return [text.get_text() for text in ax.texts]


@pytest.fixture
def pairs():
    cells = [(EXPRESSIONS[a], EXPRESSIONS[b]) for a, b in ORDERED_PAIRS]
    table = pd.DataFrame(cells, columns=["true_label", "false_label"])
    return table.assign(accuracy=_random().uniform(0.5, 1, 56), n=110)


@pytest.fixture
def dice():
    rows = [
        {"unit": pair, "method": method, "dice": _random().uniform(0.2, 0.6), "chance": 0.3}
        for method in ("CAM", "Grad-CAM", "Extremal Perturbation")
        for pair in range(28)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def members():
    return pd.DataFrame(
        {
            "pair": [pair_name(i) for i in range(len(PAIRS))],
            "train_images": 480,
            "epochs": 9,
            "train_accuracy": _random().uniform(0.8, 0.95, 28),
            "validation_accuracy": _random().uniform(0.5, 0.9, 28),
            "stopped_by": ["target"] * 20 + ["max_epochs"] * 7 + ["failed"],
        }
    )


def test_a_confusion_prints_plain_row_shares_and_leaves_empty_rows_blank():
    counts = np.diag([3, 2, 4, 1, 2, 2, 5, 0]).astype(int)
    counts[0, 1] = 1
    ax = figures.draw_confusion(counts, title="People", simulated=True)
    texts = _texts(ax)
    assert texts[:3] == [".75", ".25", "0"]
    assert texts[9] == "1"
    assert texts[-8:] == [""] * 8
    assert ax.get_title() == "People\nsimulated people, n = 20"
    assert [label.get_text() for label in ax.get_xticklabels()] == list(EXPRESSIONS)


def test_marks_appear_only_when_asked_for(pairs):
    plain = figures.draw_pair_matrix(pairs, "accuracy", title="Accuracy")
    marked = figures.draw_pair_matrix(pairs, "accuracy", title="Accuracy", simulated=True, synthetic=True)
    assert plain.get_title() == "Accuracy\nn = 6160 answers"
    assert marked.get_title() == "Accuracy\nsimulated people, synthetic faces, n = 6160 answers"


def test_a_pair_matrix_has_an_empty_diagonal_and_the_tables_numbers(pairs):
    texts = _texts(figures.draw_pair_matrix(pairs, "accuracy", title="Accuracy"))
    assert [texts[9 * i] for i in range(8)] == [""] * 8
    assert texts[1] == f"{pairs['accuracy'][0]:.2f}"


def test_dice_names_methods_baselines_and_n(dice):
    baselines = pd.DataFrame({"baseline": ["centre", "uniform"], "dice": [0.47, 0.31]})
    dice.loc[0, "dice"] = np.nan
    ax = figures.draw_dice(dice, baselines=baselines, simulated=True)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert [label.split("\n")[0] for label in labels] == ["CAM", "Grad-CAM", "Extremal Perturbation"]
    assert labels[1].endswith(f"mean {dice[dice['method'] == 'Grad-CAM']['dice'].mean():.2f}")
    assert "n = 27 to 28 pairs" in ax.get_title()
    assert {"centre 0.47", "uniform 0.31"} <= set(_texts(ax))


def test_a_method_without_a_number_is_drawn_without_one(dice):
    dice.loc[dice["method"] == "CAM", "dice"] = np.nan
    assert "mean nan" in figures.draw_dice(dice).get_xticklabels()[0].get_text()


def test_members_and_training_show_every_member(members):
    ax = figures.draw_members(members)
    assert len(ax.get_yticklabels()) == 28
    assert "stopped by failed" in " ".join(text.get_text() for text in ax.get_legend().get_texts())
    epochs = [
        {"pair": pair_name(i), "images": 480 * (e + 1), "train_accuracy": 0.5 + 0.04 * e}
        for i in range(28)
        for e in range(5)
    ]
    ax = figures.draw_training(pd.DataFrame(epochs), target=0.9)
    assert "n = 28 members" in ax.get_title()


def test_recall_correlations_and_scatter_draw_what_is_missing_too():
    recall = dict.fromkeys(EXPRESSIONS, 0.5) | {"contempt": None}
    assert isinstance(figures.draw_recall({"Multiclass model": recall}), Axes)
    table = pd.DataFrame(
        {"model": ["a", "b"], "r_all": [0.9, np.nan], "r_off_diagonal": [0.2, np.nan], "p_qap": [0.0004, np.nan]}
    )
    assert "p < .001" in _texts(figures.draw_correlations(table))
    share = np.full((8, 8), 0.02) + np.eye(8) * 0.84
    assert "n = 56 cells" in figures.draw_confusion_scatter(share, share).get_title()


def test_pictures_become_panels():
    pictures = _random().integers(0, 256, (8, 16, 16, 3), np.uint8)
    assert len(figures.draw_stimuli(pictures, pictures, pictures, EXPRESSIONS).axes) == 24
    flat = {"CAM": np.zeros((16, 16)), "people": _random().random((16, 16))}
    figure = figures.draw_saliency(pictures[0], flat, simulated=True)
    assert isinstance(figure, Figure)
    assert [ax.get_title() for ax in figure.axes[:3]] == ["picture", "CAM", "people"]
    assert len(figures.draw_click_sequence([(pictures[0], "one"), (pictures[1], "two")]).axes) == 2


def test_two_saves_of_one_figure_are_the_same_bytes(tmp_path, dice):
    files = []
    for name in ("one", "two"):
        files += figures.save(figures.draw_dice(dice).figure, tmp_path / name)
    assert files[0].read_bytes() == files[2].read_bytes()
    assert files[1].read_bytes() == files[3].read_bytes()


class _Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.images, self.words = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_is_one_file_that_escapes_what_it_is_given(tmp_path, members):
    payload = "<script>alert('x')</script>"
    png, _ = figures.save(figures.draw_members(members).figure, tmp_path / "members")
    table = pd.DataFrame({"name": [payload, "b"], "share": [0.12345, np.nan], "count": [6160, 3]})
    section = figures.Section("Networks & people", f"One.\n\nTwo {payload}", [(png, "a caption")], [(table, "rows")])
    page = figures.write_report(
        tmp_path / "report.html", "A title", figures.Headline([("49 %", "vote", payload)]), [section]
    ).read_text()
    reader = _Reader()
    reader.feed(page)
    assert "script" not in reader.tags
    assert "http://" not in page
    assert "https://" not in page
    assert reader.images[0]["src"].startswith("data:image/png;base64,")
    assert reader.images[0]["alt"] == "a caption"
    words = " ".join(reader.words)
    assert payload in words
    assert "0.123" in words
    assert "–" in words
    assert "6\u202f160" in words
    assert reader.tags.count("p") == 2


def test_a_long_table_is_folded_and_an_empty_one_says_none(tmp_path):
    long = pd.DataFrame({"x": range(30)})
    section = figures.Section("S", "text", tables=[(long, "many"), (long.iloc[:0], "Exclusions.")])
    page = figures.write_report(tmp_path / "r.html", "t", figures.Headline([]), [section]).read_text()
    assert "<details><summary>many (30 rows)</summary>" in page
    assert "<p>Exclusions. None.</p>" in page
