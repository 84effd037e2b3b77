"""The report's prose: HTML files of the folder `report`, filled with values.

Contract: `$name` in a template stands for a value. An element with `if="name"` is kept where the value is true, with
`if="name=word"` where the value is that word, and with `not` before either where that does not hold. `name` of a
`<figure>` or `<table>` is the picture's or table's. Everything is plain text here: `figures.write_report` escapes it.
"""

import pathlib
from collections.abc import Callable, Mapping
from string import Template
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from fer_jax.figures import Headline, Section

FOLDER = pathlib.Path(__file__).parent / "report"


def head(values: Mapping[str, Any]) -> tuple[str, Headline]:
    """Return the title of the page, and what stands below it: the answer and the cards."""
    root = ElementTree.parse(FOLDER / "head.html").getroot()
    answer = "\n\n".join(_text(part, values) for part in _kept(root, "p", values))
    cards = [[_text(part, values) for part in card] for card in _kept(root.find("dl"), "div", values)]
    return _text(root.find("h1"), values), Headline([(value, what, note) for what, value, note in cards], answer)


def section(
    name: str,
    values: Mapping[str, Any],
    *,
    pictures: pathlib.Path = pathlib.Path(),
    table: Callable[[str], pd.DataFrame] = lambda name: pd.DataFrame(),
    folder: pathlib.Path | None = None,
) -> Section:
    """Return a section of the page.

    Args:
      name: of the template, without suffix.
      values: for its `$name` and `if`.
      pictures: the folder of its figures.
      table: returns a table by name.
      folder: of the template. None takes that of the report.
    """
    root = ElementTree.parse((folder or FOLDER) / f"{name}.html").getroot()
    return Section(
        title=_text(root.find("h2"), values),
        text="\n\n".join(_text(each, values) for each in _kept(root, "p", values)),
        figures=[(pictures / f"{each.get('name')}.png", _text(each, values)) for each in _kept(root, "figure", values)],
        tables=[(table(each.get("name")), _text(each, values)) for each in _kept(root, "table", values)],
    )


def _kept(parent, tag, values):
    return [each for each in parent.findall(tag) if _holds(each.get("if"), values)]


def _holds(condition, values) -> bool:
    if condition is None:
        return True
    name, _, word = condition.removeprefix("not ").partition("=")
    holds = str(values[name]) == word if word else bool(values[name])
    return holds is not condition.startswith("not ")


def _text(element, values) -> str:
    """Return the words of an element in one line, filled after spaces are joined: a value stays as it is."""

    def words(part):
        yield part.text or ""
        for child in part:
            yield from words(child) if _holds(child.get("if"), values) else ()
            yield child.tail or ""

    return Template(" ".join("".join(words(element)).split())).substitute(values)
