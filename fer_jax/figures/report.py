"""The report: one HTML file that a person reads without a network, its pictures inside it.

Contract: all text is plain. It is escaped, and blank lines part paragraphs. Nothing is fetched and nothing runs.
"""

import base64
import dataclasses
import html
import os
import pathlib
import re
from collections.abc import Sequence

import pandas as pd

from fer_jax.errors import DataError, StorageError
from fer_jax.figures.style import DPI, SMALLEST_PT
from fer_jax.figures.stylesheet import STYLESHEET
from fer_jax.figures.tables import table_html

_ROOMY = 1.2  # times the least width: as large as a picture is shown where there is room
# A picture is not shown so small that its text falls below this. On a narrow screen the picture scrolls instead.
_SMALLEST_TEXT_PX = 11
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class Headline:
    """What a reader should take away.

    Attributes:
      items: (value as text, what it is, a note or "") for each card.
      text: the answer in paragraphs, parted by blank lines, above the cards.
    """

    items: Sequence[tuple[str, str, str]] = ()
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
      title: one line, also its entry in the table of contents.
      text: paragraphs, parted by blank lines.
      figures: (path of a PNG, caption). The caption is the picture's alternative text, too.
      tables: (table, caption). A long table is folded.
    """

    title: str
    text: str = ""
    figures: Sequence[tuple[str | pathlib.Path, str]] = ()
    tables: Sequence[tuple[pd.DataFrame, str]] = ()


def write_report(path: str | pathlib.Path, title: str, headline: Headline, sections: Sequence[Section]) -> pathlib.Path:
    """Write the report. The same content gives the same bytes.

    Args:
      path: of the HTML file. An older file is replaced only when the new one is whole.
      title: of the page.
      headline: the cards at the top.
      sections: in reading order.

    Returns:
      The path.

    Raises:
      DataError: a figure is missing or no PNG.
      StorageError: the file cannot be written.
    """
    path = pathlib.Path(path)
    page = _page(title, headline, sections)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(page, encoding="utf-8", newline="\n")
        os.replace(part, path)
    except OSError as error:
        raise StorageError(f"`path`: cannot write the report {path}: {error.strerror or error}.") from error
    return path


def _page(title, headline, sections):
    contents = "".join(
        f'<li><a href="#section-{place}">{html.escape(section.title)}</a></li>'
        for place, section in enumerate(sections, 1)
    )
    body = "".join(_section(place, section) for place, section in enumerate(sections, 1))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLESHEET}</style>\n</head>\n<body>\n"
        f"<header>\n<h1>{html.escape(title)}</h1>\n{_answer(headline)}{_cards(headline)}</header>\n"
        f'<nav aria-label="Contents"><h2>Contents</h2><ol>{contents}</ol></nav>\n'
        f"<main>\n{body}</main>\n</body>\n</html>\n"
    )


def _answer(headline):
    text = _paragraphs(headline.text)
    return f'<div class="answer">\n{text}</div>\n' if text else ""


def _paragraphs(text):
    parts = (part.strip() for part in re.split(r"\n\s*\n", text))
    return "".join(f"<p>{html.escape(part)}</p>\n" for part in parts if part)


def _cards(headline):
    cards = "".join(
        f"<div><dt>{html.escape(label)}</dt><dd><strong>{html.escape(str(value))}</strong>"
        + (f"<span>{html.escape(note)}</span>" if note else "")
        + "</dd></div>\n"
        for value, label, note in headline.items
    )
    return f'<dl class="cards">\n{cards}</dl>\n' if cards else ""


def _section(place, section):
    text = _paragraphs(section.text)
    pictures = "".join(_figure(path, caption) for path, caption in section.figures)
    pictures = f'<div class="figures">\n{pictures}</div>\n' if pictures else ""
    tables = "".join(table_html(table, caption) for table, caption in section.tables)
    name = f"section-{place}"
    title = f'<h2 id="{name}-title">{html.escape(section.title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">\n{title}\n{text}{pictures}{tables}</section>\n'


def _figure(path, caption):
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"`figures`: cannot read {path}: {error.strerror or error}; draw it first.") from error
    if data[:8] != _SIGNATURE or len(data) < 24:
        raise DataError(f"`figures`: {path} is no PNG; save it with `figures.save`.")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    words = html.escape(caption)
    source = base64.b64encode(data).decode("ascii")
    least = round(width * _SMALLEST_TEXT_PX / (SMALLEST_PT * DPI / 72))
    return (
        f'<figure><div class="picture" role="region" tabindex="0" aria-label="{words}">'
        f'<img src="data:image/png;base64,{source}" width="{width}" height="{height}" '
        f'style="min-width:{least}px;max-width:min(100%,{round(_ROOMY * least)}px)" '
        f'alt="{words}"></div><figcaption>{words}</figcaption></figure>\n'
    )
