"""Tables printed for a person: words aligned in columns."""

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]], *, right: bool = False) -> str:
    """Align lines of equally many words as columns.

    Args:
      lines: the words of each line, the head first.
      right: whether all columns but the first are flush right, as numbers are.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = [str.rjust if right and place else str.ljust for place in range(len(widths))]
    rows = ([side(*cell) for side, *cell in zip(sides, line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(row).rstrip() for row in rows)
