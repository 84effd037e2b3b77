"""The line that is rewritten fits the terminal, whatever it says and however narrow the window is."""

import io
import re

import pytest

from experiments.harness import progress


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_a_line_never_wraps(monkeypatch, columns):
    screen = _Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    line = progress.Progress("training ensemble", 100_000, unit="images at most")
    monkeypatch.setattr(line, "_every", 0.0)
    line.update(48_000, "27 running, 1 waiting, 0 done, and a note that goes on for a long while")
    line.update(49_000)
    line.finish("100000 images, and another note that no terminal of eighty columns has room for")
    shown = [re.sub("\x1b\\[2K", "", part) for part in screen.getvalue().rstrip("\n").split("\r") if part]
    assert len(shown) == 3 and shown[0].startswith("training ensem")
    assert all(len(text) < columns for text in shown)
    assert shown[0].endswith("…") == (columns < 120)


def test_elsewhere_lines_are_whole(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.setenv("COLUMNS", "20")
    progress.Progress("drawing", 10).finish("a note that is longer than twenty columns")
    assert log.getvalue() == "drawing: done in 0 s, a note that is longer than twenty columns\n"


def test_share_and_time_left_are_of_the_rows_that_are_known_by_then(monkeypatch):
    log, clock = io.StringIO(), iter([0, 100])
    monkeypatch.setattr("sys.stderr", log)
    monkeypatch.setattr("time.monotonic", lambda: next(clock, 110))
    line = progress.Progress("reading pictures", None, unit="rows")
    monkeypatch.setattr(line, "_every", 0.0)
    line.update(0, total=50)  # listing them took long, which says nothing of the pace
    line.update(20, total=50)
    assert log.getvalue().splitlines()[-1] == "reading pictures: 40 % (20 rows, 15 s left)"
