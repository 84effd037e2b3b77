import base64
import html.parser
import re

import numpy as np
import pandas as pd
import pytest

from fer_jax import figures
from fer_jax.errors import DataError, StorageError
from fer_jax.figures import style
from fer_jax.figures.stylesheet import STYLESHEET
from fer_jax.figures.tables import column_texts

EVIL = "<script>alert('1')</script>\"&"
VOID = {"meta", "img", "link", "br"}


class Page(html.parser.HTMLParser):
    """Balanced tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    png, _ = figures.save(figures.draw_confusion(np.eye(8, dtype=int)).figure, tmp_path_factory.mktemp("f") / "eye")
    return png


@pytest.fixture
def written(tmp_path, picture):
    long = pd.DataFrame({"pair": [f"p{k}" for k in range(28)], EVIL: range(28)})
    short = pd.DataFrame({"model": [EVIL], "r_all": [0.91234], "p_qap": [2.5e-5]})
    sections = [
        figures.Section(
            "One", f"First\nline.\n\n{EVIL}\n \n\nThird.", [(picture, f"Caption {EVIL}")], [(short, "Short")]
        ),
        figures.Section(EVIL, "", [], [(long, "Long")]),
    ]
    headline = figures.Headline([("49 %", EVIL, "a note"), ("28", "members", "")])
    return figures.write_report(tmp_path / "report.html", f"Title {EVIL}", headline, sections)


def test_the_page_is_whole_and_fetches_nothing(written, picture):
    text = written.read_text(encoding="utf-8")
    page = Page(text)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", text)
    assert page.all("html")[0]["lang"] == "en"
    assert not page.all("script") and not page.all("link")
    (image,) = page.all("img")
    kind, _, data = image["src"].partition(",")
    assert kind == "data:image/png;base64" and base64.b64decode(data) == picture.read_bytes()
    assert image["alt"] == f"Caption {EVIL}"
    assert not list(written.parent.glob("*.part")) and not list(written.parent.glob(".*"))


def test_text_is_escaped_everywhere_and_kept(written):
    page = Page(written.read_text(encoding="utf-8"))
    assert "".join(page.words).count(EVIL) == 9  # title, h1, card, contents, h2, text, caption, cell, column
    assert len(page.all("p")) == 3


def test_contents_lead_to_sections(written):
    page = Page(written.read_text(encoding="utf-8"))
    targets = {attributes["href"].removeprefix("#") for attributes in page.all("a")}
    assert targets == {attributes["id"] for attributes in page.all("section")} and len(targets) == 2


def test_only_long_tables_are_folded(written):
    page = Page(written.read_text(encoding="utf-8"))
    assert len(page.all("table")) == 2 and len(page.all("details")) == len(page.all("caption")) == 1
    assert len(page.all("tr")) == 2 + 1 + 28


@pytest.mark.parametrize(
    ("name", "values", "texts"),
    [
        ("accuracy", [0.83912, -0.5, np.nan, None], ["0.839", "−0.500", "–", "–"]),
        ("F", [85.4512, 1.5], ["85.45", "1.50"]),
        ("n", [3720, 12345], ["3720", "12,345"]),
        ("n", [28.0, np.nan], ["28", "–"]),
        ("value", [120.0, 0.5, 1e-7], ["120.0", "0.5", "1.0 × 10⁻⁷"]),
        ("p_qap", [2.5e-5, 0.04, np.nan], ["< .001", ".040", "–"]),
        ("ok", [True, np.False_], ["yes", "no"]),
        ("pair", [["neutral", "happy"], "x"], ["neutral, happy", "x"]),
        ("t", [np.inf, -np.inf], ["∞", "−∞"]),
    ],
)
def test_numbers_are_rounded_for_reading(name, values, texts):
    assert column_texts(name, values) == texts


def test_the_same_content_gives_the_same_bytes(tmp_path, picture):
    def write(name):
        return figures.write_report(
            tmp_path / name, "T", figures.Headline(), [figures.Section("S", "x", [(picture, "c")])]
        )

    assert write("a").read_bytes() == write("b").read_bytes()


def test_a_lost_or_false_picture_leaves_the_old_report(tmp_path):
    old = tmp_path / "report.html"
    old.write_text("old")
    (tmp_path / "false.png").write_text("no picture at all, but text of some length")
    for name, words in (("lost.png", "draw it first"), ("false.png", "is no PNG")):
        section = figures.Section("S", "", [(tmp_path / name, "c")])
        with pytest.raises(DataError, match=words):
            figures.write_report(old, "T", figures.Headline(), [section])
    assert old.read_text() == "old"
    with pytest.raises(StorageError, match="`path`"):
        figures.write_report(tmp_path / "none" / "r.html", "T", figures.Headline(), [])


def test_text_in_pictures_stays_readable_on_a_phone(written, root):
    """No picture shrinks until its smallest text is below 11 px: it scrolls in a box of its own."""
    page = Page(written.read_text())
    (image,) = page.all("img")
    least = int(re.search(r"min-width:(\d+)px", image["style"])[1])
    smallest = style.SMALLEST_PT / 72 * style.DPI * least / int(image["width"])
    assert 10.9 < smallest < 11.1
    # On a desk it is whole: pictures stand below each other, in a column that is wider than any needs to be.
    assert "grid-template-columns: minmax(0, 1fr)" in STYLESHEET
    largest = int(re.search(r"max-width:min\(100%,(\d+)px\)", image["style"])[1])
    assert least < largest <= 1.25 * least
    assert any(box.get("class") == "picture" for box in page.all("div"))
    assert ".picture { overflow-x: auto; }" in STYLESHEET and "table { width: max-content;" in STYLESHEET
    sizes = [
        float(size)
        for path in (root / "fer_jax" / "figures").glob("*.py")
        for size in re.findall(r"(?:fontsize=|size\": )([\d.]+)", path.read_text())
    ]
    assert len(sizes) > 15 and min(sizes) >= style.SMALLEST_PT
