"""One line that says what is being done, how far it is, and how long yet."""

import shutil
import sys
import time


class Progress:
    """A rewritten line on a terminal, one line a minute elsewhere, always on stderr.

    Args:
      what: name of the work.
      total: units of work, or None if unknown.
      unit: what is counted.
      done: units already done before the start (a resumed run).
      quiet: say nothing, for another process does.
    """

    def __init__(self, what: str, total: int | None, *, unit: str = "", done: int = 0, quiet: bool = False):
        self._quiet = quiet
        self._what, self._total, self._unit = what, total, unit
        self._done, self._first = done, done
        self._start = self._last = self._idle = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._every = 0.2 if self._terminal else 60.0

    def update(self, done: int, note: str = "", *, total: int | None = None) -> None:
        """Show how many units are done now, perhaps of how many, if the last line is old enough."""
        self._done, self._total = done, self._total if total is None else total
        now = time.monotonic()
        if done == self._first:  # nothing done yet: what is being looked up meanwhile says nothing of the pace
            self._idle = now
        if now - self._last >= self._every:
            self._last = now
            self._write(self._line(note))

    def finish(self, note: str = "") -> None:
        """Write the closing line."""
        seconds = time.monotonic() - self._start
        end = "\n" if self._terminal else ""
        self._write(f"{self._what}: done in {_duration(seconds)}{', ' + note if note else ''}", end)

    def _line(self, note):
        seconds = time.monotonic() - self._idle
        rate = (self._done - self._first) / seconds if seconds else 0.0
        share = f" {100 * self._done / self._total:.0f} %" if self._total else ""
        left = f", {_duration((self._total - self._done) / rate)} left" if self._total and rate else ""
        return f"{self._what}:{share} ({self._done} {self._unit}{left}){'  ' + note if note else ''}"

    def _write(self, line, end=""):
        if self._quiet:
            return
        if self._terminal:
            # A line that wraps would stay: only its last row is rewritten. Asked each time, for windows change.
            room = shutil.get_terminal_size().columns - 1
            shown = line if len(line) <= room else f"{line[: max(0, room - 1)]}…"
            sys.stderr.write(f"\r\x1b[2K{shown}{end}")
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()


def _duration(seconds: float) -> str:
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min {seconds % 60:02d} s"
