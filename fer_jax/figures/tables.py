"""Tables of the report: numbers rounded for reading, names without underscores, long ones folded.

Contract: the numbers of a column are rounded alike, so that they compare down the page. The CSV holds all digits.
"""

import html

import numpy as np
import pandas as pd

from fer_jax.figures.style import MISSING

_FOLD = 24  # rows that are shown unfolded
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def table_html(table: pd.DataFrame, caption: str) -> str:
    """Return a table as HTML, escaped, within a box that scrolls.

    Args:
      table: its index is not shown.
      caption: above the table. A folded table is opened by it.

    Returns:
      HTML.
    """
    names = [str(name) for name in table.columns]
    columns = [list(table.iloc[:, place]) for place in range(len(names))]
    right = [_is_numeric(values) for values in columns]
    cells = [column_texts(name, values) for name, values in zip(names, columns, strict=True)]
    heads = "".join(
        f'<th scope="col"{_side(side)}>{html.escape(name.replace("_", " "))}</th>'
        for name, side in zip(names, right, strict=True)
    )
    rows = "".join(
        f"<tr>{''.join(_cell(text, place, right[place]) for place, text in enumerate(row))}</tr>\n"
        for row in zip(*cells, strict=True)
    )
    words = html.escape(caption)
    folded = len(table) > _FOLD
    title = "" if folded else f"<caption><span>{words}</span></caption>"
    box = (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{words}"><table>{title}'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )
    if not folded:
        return box
    return f"<details><summary>{words} <small>{len(table):,} rows</small></summary>\n{box}</details>\n"


def column_texts(name: str, values: list) -> list[str]:
    """Return the cells of a column as text.

    Whole numbers stay whole. Others get decimals by the column's largest, very small ones a power of ten. A column
    named p or p_… is printed as "< .001" where it is smaller.

    Args:
      name: of the column.
      values: numbers, words, truth values or lists. A missing value becomes an en dash.

    Returns:
      One text a row.
    """
    if name == "p" or name.startswith("p_"):
        return [_p(value) for value in values]
    finite = np.asarray([float(value) for value in values if _is_number(value) and np.isfinite(value)])
    decimals = _decimals(finite)
    return [_text(value, decimals) for value in values]


def _decimals(finite):
    if not len(finite) or (finite == np.rint(finite)).all():
        return 0
    largest = np.abs(finite).max()
    return 3 if largest < 10 else 2 if largest < 100 else 1 if largest < 10_000 else 0


def _text(value, decimals):
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(_text(part, _decimals(np.asarray([part])) if _is_number(part) else 0) for part in value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or pd.isna(value):
        return MISSING
    if not _is_number(value):
        return str(value)
    if not np.isfinite(value):
        return "∞" if value > 0 else "−∞"
    if decimals and 0 < abs(value) < 10.0**-decimals:
        digits, _, power = f"{value:.1e}".partition("e")
        return f"{digits} × 10{str(int(power)).translate(_SUPERSCRIPTS)}".replace("-", "−")
    text = f"{value:,.{decimals}f}" if abs(value) >= 10_000 else f"{value:.{decimals}f}"
    return text.replace("-", "−")


def _p(value):
    if not _is_number(value) or not np.isfinite(value):
        return _text(value, 3)
    return "< .001" if value < 0.001 else f"{value:.3f}".replace("0.", ".", 1)


def _is_number(value):
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _is_numeric(values):
    # NaN is the value that differs from itself.
    known = [value for value in values if value is not None and value is not pd.NA and value == value]
    return bool(known) and all(_is_number(value) for value in known)


def _side(right):
    return ' class="number"' if right else ""


def _cell(text, place, right):
    if place == 0 and not right:
        return f'<th scope="row">{html.escape(text)}</th>'
    return f"<td{_side(right)}>{html.escape(text)}</td>"
