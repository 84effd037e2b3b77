"""One page to read: text, figures and tables in a single HTML file that needs no network."""

import base64
import dataclasses
import html
import os
import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

_LONG_TABLE = 12

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #0072b2; }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0 1rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
p { max-width: 44rem; }
nav ol { padding-left: 1.2rem; columns: 2; font-size: .95rem; }
a { color: var(--accent); }
@media (prefers-color-scheme: dark) { :root { --accent: #56b4e9; } }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .8rem; margin: 1rem 0; padding: 0; }
.cards li { list-style: none; background: var(--soft); border-radius: .5rem; padding: .8rem 1rem; }
.cards b { display: block; font-size: 1.6rem; line-height: 1.2; }
.cards small { display: block; opacity: .8; }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem; align-items: flex-start; }
figure { margin: 1rem 0; flex: 1 1 24rem; max-width: 100%; }
figure img { max-width: 100%; height: auto; background: #fff; border-radius: .3rem; }
figcaption, caption { font-size: .9rem; text-align: left; opacity: .85; padding: .3rem 0; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th.text, td.text { text-align: left; }
summary { cursor: pointer; font-size: .95rem; margin: .8rem 0; }
@media print { nav { display: none; } details > * { display: block; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
""".strip()


@dataclasses.dataclass(frozen=True)
class Headline:
    """What to read first: (value, label, note) each."""

    items: Sequence[tuple[str, str, str]]


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading with paragraphs (parted by blank lines), figures (PNG path, caption) and tables (table, caption)."""

    title: str
    text: str
    figures: Sequence[tuple[str | os.PathLike, str]] = ()
    tables: Sequence[tuple[pd.DataFrame, str]] = ()


def write_report(path: str | os.PathLike, title: str, headline: Headline, sections: Sequence[Section]) -> pathlib.Path:
    """Write one self-contained HTML file.

    Args:
      path: where; replaced whole or not at all.
      title: of the page.
      headline: cards at the top.
      sections: in order; each becomes an entry of the table of contents.

    Returns:
      The path.

    Raises:
      FileNotFoundError: a figure that is not there.
    """
    path = pathlib.Path(path)
    cards = "".join(
        f"<li><b>{_text(v)}</b>{_text(label)}<small>{_text(note)}</small></li>" for v, label, note in headline.items
    )
    contents = "".join(f'<li><a href="#s{number}">{_text(s.title)}</a></li>' for number, s in enumerate(sections))
    body = "\n".join(_section(number, section) for number, section in enumerate(sections))
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{_text(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{_text(title)}</h1>\n"
        f'<ul class="cards">{cards}</ul>\n<nav aria-label="Contents"><ol>{contents}</ol></nav>\n{body}\n</main>\n</body>\n</html>\n'
    )
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(page, encoding="utf-8")
    os.replace(unfinished, path)
    return path


def _section(number, section):
    paragraphs = "".join(f"<p>{_text(part)}</p>" for part in section.text.split("\n\n") if part.strip())
    figures = "".join(_figure(path, caption) for path, caption in section.figures)
    shown = f'<div class="figures">{figures}</div>' if figures else ""
    tables = "".join(_table(table, caption) for table, caption in section.tables)
    return f'<section id="s{number}"><h2>{_text(section.title)}</h2>{paragraphs}{shown}{tables}</section>'


def _figure(path, caption):
    content = base64.b64encode(pathlib.Path(path).read_bytes()).decode()
    image = f'<img alt="{_text(caption)}" src="data:image/png;base64,{content}">'
    return f"<figure>{image}<figcaption>{_text(caption)}</figcaption></figure>"


def _table(table, caption):
    if table.empty:
        return f"<p>{_text(caption)} None.</p>"
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    kinds = ["" if number else ' class="text"' for number in numeric]
    head = "".join(
        f'<th scope="col"{kind}>{_text(_words(name))}</th>' for name, kind in zip(table.columns, kinds, strict=True)
    )
    rows = [
        "<tr>"
        + "".join(f"<td{kind}>{_text(_cell(value))}</td>" for value, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in table.itertuples(index=False)
    ]
    body = f"<table><caption>{_text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    scroll = f'<div class="scroll" tabindex="0">{body}</div>'
    if len(table) <= _LONG_TABLE:
        return scroll
    return f"<details><summary>{_text(caption)} ({len(table)} rows)</summary>{scroll}</details>"


def _cell(value) -> str:
    """A number as a reader wants it: whole numbers whole, others with three digits that count."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}".replace(",", "\u202f")
    if isinstance(value, (float, np.floating)):
        if value != 0 and abs(value) < 0.001:
            return "< .001" if value > 0 else f"{value:.1e}"
        return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}".replace(",", "\u202f")
    return str(value)


def _words(name) -> str:
    return str(name).replace("_", " ")


def _text(value) -> str:
    return html.escape(str(value), quote=True)
