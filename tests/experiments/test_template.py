"""The templates of the report: conditions, values that are never markup, and names that a value has to have."""

import pytest

from experiments.study import template

PAGE = """<section><h2>On $what</h2>
<p>Always.
  <span if="few=1">One<span if="sure"> for sure</span>.</span>
  <span if="not few=1">More.</span></p>
<p if="sure">$what &amp; 100 $$.</p>
<figure if="not sure" name="a">A</figure> <table name="b">B of $what</table></section>"""


@pytest.mark.parametrize(
    ("few", "sure", "paragraphs", "figures"),
    [
        (1, True, ["Always. One for sure.", "a  <b>$few & 100 $."], 0),
        (1, False, ["Always. One."], 1),
        (2, False, ["Always. More."], 1),
    ],
)
def test_an_element_stands_where_its_condition_holds(tmp_path, monkeypatch, few, sure, paragraphs, figures):
    monkeypatch.setattr(template, "FOLDER", tmp_path)
    (tmp_path / "page.html").write_text(PAGE)
    values = {"what": "a  <b>$few", "few": few, "sure": sure}
    section = template.section("page", values, pictures=tmp_path, table=lambda name: f"table {name}")
    assert section.title == "On a  <b>$few"
    assert section.text.split("\n\n") == paragraphs
    assert list(section.figures) == [(tmp_path / "a.png", "A")] * figures
    assert list(section.tables) == [("table b", "B of a  <b>$few")]
    with pytest.raises(KeyError, match="sure"):
        template.section("page", {"what": "", "few": 1})
