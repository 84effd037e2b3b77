"""The database of a web study: plans and events, and nothing that can be worked out from them.

Contract: what `Store` has answered to an `append` is on disk. Events are only ever added. One thread writes: it commits
everything that waits in one transaction and answers afterwards. Codes and links are kept as SHA-256 only.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fer_jax.errors import DataError, StorageError
from fer_jax.study.records import Participant, Refused, Stimulus, Trial, now, sha256

FILE = "study.sqlite"
# STRICT tables came with this version.
OLDEST_SQLITE = (3, 37)
# FULL: without it a power cut may take rows that were acknowledged.
PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;"
SCHEMA = """
CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE stimulus (
  image TEXT PRIMARY KEY, file TEXT NOT NULL UNIQUE, true_label TEXT NOT NULL, false_label TEXT NOT NULL,
  options TEXT NOT NULL, practice INTEGER NOT NULL CHECK (practice IN (0, 1)),
  sharp_bytes INTEGER NOT NULL, sharp_sha256 TEXT NOT NULL,
  blurred_bytes INTEGER NOT NULL, blurred_sha256 TEXT NOT NULL) STRICT;
CREATE TABLE participant (
  id INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE, token_sha256 TEXT NOT NULL UNIQUE,
  code_sha256 TEXT NOT NULL UNIQUE, created TEXT NOT NULL,
  simulated INTEGER NOT NULL CHECK (simulated IN (0, 1)), epoch INTEGER NOT NULL DEFAULT 0,
  taken INTEGER NOT NULL DEFAULT 0, closed TEXT NOT NULL DEFAULT '', last_seen TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE plan (
  participant INTEGER NOT NULL REFERENCES participant(id) ON DELETE CASCADE, trial INTEGER NOT NULL,
  block INTEGER NOT NULL, image TEXT NOT NULL REFERENCES stimulus(image), stim_id TEXT NOT NULL UNIQUE,
  options TEXT NOT NULL, PRIMARY KEY (participant, trial)) STRICT, WITHOUT ROWID;
CREATE TABLE event (
  participant INTEGER NOT NULL REFERENCES participant(id) ON DELETE CASCADE, seq INTEGER NOT NULL CHECK (seq > 0),
  epoch INTEGER NOT NULL, trial INTEGER, type TEXT NOT NULL, t_ms REAL NOT NULL, body TEXT NOT NULL,
  received_utc TEXT NOT NULL, PRIMARY KEY (participant, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE tombstone (label TEXT PRIMARY KEY, token_sha256 TEXT NOT NULL, utc TEXT NOT NULL) STRICT;
"""


class Store:
    """An open database.

    Args:
      folder: of the study.
      create: whether the database is made.

    Raises:
      StorageError: no database, one that is there already, or one that cannot be opened.
    """

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = False):
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise StorageError(f"sqlite: wanted version 3.37 or newer, got {sqlite3.sqlite_version}. Update Python.")
        self.path = pathlib.Path(folder) / FILE
        if create == self.path.exists():
            there = "there is one already" if create else "there is none; make one with `fer-study init`"
            raise StorageError(f"`study_dir`: database {self.path}: {there}.")
        self._reading = self._connect()
        if create:
            os.chmod(self.path, 0o600)
            with self._reading:
                self._reading.executescript(SCHEMA)
        self._file = _identity(self.path)
        self._scrub_due = False
        self._jobs: queue.SimpleQueue = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="study-writer", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Finish what waits and close."""
        self._jobs.put(None)
        self._writer.join()
        self._reading.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # What is read.

    def participant(self, token_sha256: str) -> Participant:
        """Return who has a link.

        Raises:
          Refused: nobody (404), or somebody who withdrew (410).
        """
        row = self._one(
            "SELECT id, label, simulated, epoch, closed, last_seen FROM participant WHERE token_sha256 = ?",
            token_sha256,
        )
        if row is None:
            if self._one("SELECT 1 FROM tombstone WHERE token_sha256 = ?", token_sha256):
                raise Refused("withdrawn", 410)
            raise Refused("unknown", 404)
        return Participant(row[0], row[1], bool(row[2]), *row[3:])

    def label_of_code(self, code_sha256: str) -> str | None:
        """Return whose code it is, or None."""
        row = self._one("SELECT label FROM participant WHERE code_sha256 = ?", code_sha256)
        return row and row[0]

    def participants(self) -> list[Participant]:
        """Return everybody, in the order of their numbers."""
        rows = self._all("SELECT id, label, simulated, epoch, closed, last_seen FROM participant ORDER BY id")
        return [Participant(row[0], row[1], bool(row[2]), *row[3:]) for row in rows]

    def plan(self, participant: int) -> list[Trial]:
        """Return a participant's trials in the order shown, practice first."""
        rows = self._all(
            "SELECT trial, block, image, stim_id, options FROM plan WHERE participant = ? ORDER BY trial", participant
        )
        return [Trial(trial, block, image, stim, tuple(text.split("|"))) for trial, block, image, stim, text in rows]

    def options(self, participant: int) -> dict[int, tuple[str, ...]]:
        """Return the answers on offer in each of a participant's trials."""
        rows = self._all("SELECT trial, options FROM plan WHERE participant = ?", participant)
        split = {text: tuple(text.split("|")) for _, text in rows}
        return {trial: split[text] for trial, text in rows}

    def stimuli(self) -> dict[str, Stimulus]:
        """Return every picture by its name, in the order of the study."""
        rows = self._all("SELECT * FROM stimulus ORDER BY rowid")
        return {
            image: Stimulus(image, file, true, false, tuple(options.split("|")), bool(practice), *files)
            for image, file, true, false, options, practice, *files in rows
        }

    def stimulus_of(self, participant: int, stim_id: str) -> str:
        """Return the file of one of a participant's own pictures.

        Raises:
          Refused: it is nobody's, or another person's.
        """
        row = self._one(
            "SELECT file FROM plan JOIN stimulus USING (image) WHERE participant = ? AND stim_id = ?",
            participant,
            stim_id,
        )
        if row is None:
            raise Refused("unknown", 404)
        return row[0]

    def events(self, participant: int) -> list[dict]:
        """Return a participant's events in the order of their numbers."""
        rows = self._all(
            "SELECT seq, trial, type, t_ms, body, received_utc FROM event WHERE participant = ? ORDER BY seq",
            participant,
        )
        names = ("seq", "trial", "type", "t_ms", "body", "received_utc")
        return [dict(zip(names, row, strict=True)) | {"body": json.loads(row[4])} for row in rows]

    def high_seq(self, participant: int) -> int:
        """Return the number of the newest event, 0 before the first. Numbers have no gaps."""
        return self._one("SELECT coalesce(max(seq), 0) FROM event WHERE participant = ?", participant)[0]

    def tombstones(self) -> list[tuple[str, str]]:
        """Return who withdrew, and when."""
        return self._all("SELECT label, utc FROM tombstone ORDER BY label")

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all that is read within be of one moment, whatever is written meanwhile."""
        self._reading.execute("BEGIN")
        try:
            yield
        finally:
            self._reading.execute("ROLLBACK")

    # What is written. Each returns a future that is done once the change is on disk.

    def append(self, participant: int, epoch: int, events: Sequence[dict]) -> concurrent.futures.Future[int]:
        """Add events, each once. The result is the number up to which everything is on disk.

        The result raises:
          Refused: a newer window has the study (409), a number holds another event (409), a gap before the first (409),
            or the person is gone (410).
          StorageError: the disk is full or cannot be written.
        """
        received = now()
        bodies = [json.dumps(event["body"], sort_keys=True, ensure_ascii=False) for event in events]

        def work(database):
            row = database.execute("SELECT epoch, closed FROM participant WHERE id = ?", (participant,)).fetchone()
            if row is None:
                raise Refused("withdrawn", 410)
            if row[1]:
                raise Refused(row[1], 410)
            if row[0] != epoch:
                raise Refused("superseded", 409)
            high = _high_seq(database, participant)
            for event, body in zip(events, bodies, strict=True):
                if event["seq"] > high + 1:
                    raise Refused("gap", 409)
                if event["seq"] <= high:
                    same = database.execute(
                        "SELECT trial IS ? AND type = ? AND t_ms = ? AND body = ? FROM event "
                        "WHERE participant = ? AND seq = ?",
                        (event["trial"], event["type"], event["t_ms"], body, participant, event["seq"]),
                    ).fetchone()[0]
                    if not same:
                        raise Refused("seq_conflict", 409)
                    continue
                _insert(database, participant, epoch, event, body, received)
                high = event["seq"]
            database.execute("UPDATE participant SET last_seen = ? WHERE id = ?", (received, participant))
            return high

        return self._do(work)

    def claim(self, participant: int) -> concurrent.futures.Future[int]:
        """Let a new window take the study over. The result is its epoch. Older windows can write no more."""

        def work(database):
            database.execute("UPDATE participant SET epoch = epoch + 1, taken = 1 WHERE id = ?", (participant,))
            row = database.execute("SELECT epoch FROM participant WHERE id = ?", (participant,)).fetchone()
            if row is None:
                raise Refused("withdrawn", 410)
            return row[0]

        return self._do(work)

    def take_place(self) -> concurrent.futures.Future[str]:
        """Give the next free place to somebody who came by the open link. The result is its label."""

        def work(database):
            row = database.execute(
                "SELECT id, label FROM participant WHERE taken = 0 AND simulated = 0 AND closed = '' "
                "ORDER BY id LIMIT 1"
            ).fetchone()
            if row is None:
                raise Refused("full", 410)
            database.execute("UPDATE participant SET taken = 1 WHERE id = ?", (row[0],))
            return row[1]

        return self._do(work)

    def shut(self, participant: int, why: str) -> concurrent.futures.Future[None]:
        """Close a run. Its data are kept."""
        return self._do(
            lambda database: database.execute(
                "UPDATE participant SET closed = ? WHERE id = ? AND closed = ''", (why, participant)
            )
        )

    def withdraw(self, label: str) -> concurrent.futures.Future[None]:
        """Delete everything of a person and leave a tombstone.

        The result raises:
          DataError: nobody has that label, or somebody who has withdrawn.
        """

        def work(database):
            row = _named(database, label, "id, token_sha256")
            database.execute("INSERT INTO tombstone VALUES (?, ?, ?)", (label, row[1], now()))
            database.execute("DELETE FROM participant WHERE id = ?", (row[0],))
            self._scrub_due = True

        return self._do(work)

    def ingest(self, label: str, events: Sequence[dict]) -> concurrent.futures.Future[tuple[int, int]]:
        """Add the events of a rescue file. The result: how many were added, and how many were there already.

        An event whose number holds another event is added behind the last as `rescued`, so that neither is lost.

        The result raises:
          DataError: nobody has that label.
        """
        received = now()

        def work(database):
            row = _named(database, label, "id, epoch")
            added = 0
            for event in events:
                body = json.dumps(event["body"], sort_keys=True, ensure_ascii=False)
                there = database.execute(
                    "SELECT type, t_ms, body FROM event WHERE participant = ? AND seq = ?", (row[0], event["seq"])
                ).fetchone()
                high = _high_seq(database, row[0])
                if there is None and event["seq"] == high + 1:
                    _insert(database, row[0], row[1], event, body, received)
                    added += 1
                elif there != (event["type"], event["t_ms"], body):
                    kept = {"seq": event["seq"], "type": event["type"], "body": body}
                    text = json.dumps(kept, sort_keys=True, ensure_ascii=False)
                    known = database.execute(
                        "SELECT 1 FROM event WHERE participant = ? AND type = 'rescued' AND body = ?", (row[0], text)
                    ).fetchone()
                    if known is None:
                        _insert(database, row[0], row[1], {**event, "seq": high + 1, "type": "rescued"}, text, received)
                        added += 1
            return added, len(events) - added

        return self._do(work)

    def add_stimuli(self, stimuli: Iterable[Stimulus]) -> None:
        """Add pictures."""
        rows = [
            (*dataclasses.astuple(one)[:4], "|".join(one.options), int(one.practice), *dataclasses.astuple(one)[6:])
            for one in stimuli
        ]
        self._do(
            lambda database: database.executemany(f"INSERT INTO stimulus VALUES ({','.join('?' * 10)})", rows)
        ).result()

    def add_participant(
        self, label: str, *, token: str, code: str, plan: Sequence[Trial], simulated: bool = False
    ) -> None:
        """Add a person with a plan that is never drawn again."""

        def work(database):
            cursor = database.execute(
                "INSERT INTO participant (label, token_sha256, code_sha256, created, simulated) VALUES (?, ?, ?, ?, ?)",
                (label, sha256(token), sha256(code), now(), int(simulated)),
            )
            rows = [(cursor.lastrowid, *dataclasses.astuple(one)[:4], "|".join(one.options)) for one in plan]
            database.executemany("INSERT INTO plan VALUES (?, ?, ?, ?, ?, ?)", rows)

        self._do(work).result()

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the database while it is in use.

        Raises:
          StorageError: the file is there already or cannot be written.
        """
        path = pathlib.Path(path)
        if path.exists():
            raise StorageError(f"`out`: {path} is there already; choose another name.")
        try:
            with contextlib.closing(sqlite3.connect(path)) as copy:
                os.chmod(path, 0o600)
                self._reading.backup(copy)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"`out`: {path} cannot be written: {error}.") from error

    def _connect(self) -> sqlite3.Connection:
        with contextlib.ExitStack() as refused:
            try:
                database = sqlite3.connect(self.path, timeout=5.0, isolation_level=None, check_same_thread=False)
                refused.callback(database.close)
                database.executescript(PRAGMAS)
            except sqlite3.Error as error:
                raise StorageError(f"`study_dir`: {self.path} cannot be opened: {error}.") from error
            refused.pop_all()
        return database

    def _one(self, query: str, *values) -> Any:
        return self._reading.execute(query, values).fetchone()

    def _all(self, query: str, *values) -> list:
        return self._reading.execute(query, values).fetchall()

    def _do(self, work: Callable[[sqlite3.Connection], Any]) -> concurrent.futures.Future:
        future: concurrent.futures.Future = concurrent.futures.Future()
        self._jobs.put((work, future))
        return future

    def _write(self) -> None:
        database = self._connect()
        while True:
            jobs = [self._jobs.get()]
            while not self._jobs.empty():
                jobs.append(self._jobs.get())
            last = None in jobs
            self._commit(database, [job for job in jobs if job is not None])
            if last:
                database.close()
                return

    def _commit(self, database, jobs) -> None:
        """Write everything that waits in one transaction. What one job refuses leaves the others as they are."""
        done: list[tuple[Callable, Any]] = []
        try:
            if jobs:
                database.execute("BEGIN IMMEDIATE")
            for work, future in jobs:
                database.execute("SAVEPOINT job")
                try:
                    done.append((future.set_result, work(database)))
                except (Refused, DataError, sqlite3.IntegrityError) as error:
                    database.execute("ROLLBACK TO job")
                    done.append((future.set_exception, error))
                database.execute("RELEASE job")
            if jobs:
                database.execute("COMMIT")
            if self._scrub_due:
                self._scrub(database)
            # SQLite goes on writing into a file that somebody has deleted.
            if _identity(self.path) != self._file:
                raise sqlite3.OperationalError("it is no longer there")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            failed = StorageError(
                f"{self.path}: cannot be written: {error}. Free space or put it back; nothing acknowledged is lost."
            )
            for _, future in jobs:
                future.set_exception(failed)
            return
        for answer, given in done:
            answer(given)

    def _scrub(self, database) -> None:
        """Clear the log of changes, which holds what was deleted. The next commit does what a reader hinders."""
        with contextlib.suppress(sqlite3.Error):
            self._scrub_due = bool(database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])


def _identity(path: pathlib.Path) -> tuple[int, int] | None:
    """Return what tells a file from another of its name, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _named(database, label: str, columns: str) -> tuple:
    row = database.execute(f"SELECT {columns} FROM participant WHERE label = ?", (label,)).fetchone()
    if row is not None:
        return row
    if database.execute("SELECT 1 FROM tombstone WHERE label = ?", (label,)).fetchone():
        raise DataError(f"`participant`: {label} has withdrawn already, and nothing of them is left.")
    raise DataError(f"`participant`: wanted one of this study, such as P01, got {label!r}. See `fer-study status`.")


def _high_seq(database, participant: int) -> int:
    newest = "SELECT coalesce(max(seq), 0) FROM event WHERE participant = ?"
    return database.execute(newest, (participant,)).fetchone()[0]


def _insert(database, participant, epoch, event, body, received) -> None:
    database.execute(
        "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (participant, event["seq"], epoch, event["trial"], event["type"], event["t_ms"], body, received),
    )
