"""What the database of a web study holds: people, trials and pictures, one row each."""

import dataclasses
import datetime
import hashlib


class Refused(Exception):
    """What a browser asked for that the study does not allow now: a word for its page, and the HTTP status."""

    def __init__(self, word: str, status: int):
        super().__init__(word)
        self.word, self.status = word, status


@dataclasses.dataclass(frozen=True)
class Participant:
    """One row of the participants: who, and in which state.

    Attributes:
      id: number in the database.
      label: such as P01.
      simulated: whether a program takes part.
      epoch: counts the windows that opened the study. Only the newest may write.
      closed: why the run is closed, or "".
      last_seen: of the newest event, ISO 8601, UTC, or "".
    """

    id: int
    label: str
    simulated: bool
    epoch: int
    closed: str
    last_seen: str


@dataclasses.dataclass(frozen=True)
class Trial:
    """One row of a plan. Practice trials have numbers below 0 and block 0."""

    trial: int
    block: int
    image: str
    stim_id: str
    options: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Stimulus:
    """One picture, its answers, and the sizes and hashes of its two files."""

    image: str
    file: str
    true_label: str
    false_label: str
    options: tuple[str, ...]
    practice: bool
    sharp_bytes: int
    sharp_sha256: str
    blurred_bytes: int
    blurred_sha256: str


def sha256(text: str | bytes) -> str:
    """Return the SHA-256 of a text, as hexadecimal digits."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def now() -> str:
    """Return the time, ISO 8601, UTC, in ms."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
