"""Shards written as their rows come, and a journal of them: a killed build goes on after its last whole shard.

Contract: the shards of a split hold its examples in the order given. A shard ends with the example that brings it to
`SHARD_BYTES`, so an unbroken build and one that was killed leave the same bytes. What the journal says of rows after
the last whole shard is forgotten with the kill, as they are.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterable

from array_record.python import array_record_module

from fer_jax.errors import StorageError

# What a kill costs at most, and what a reader opens at once (ours).
SHARD_BYTES = 128 << 20
_JOURNAL = "journal.sqlite"
_TABLES = """
CREATE TABLE identity (text TEXT);
CREATE TABLE shards (split TEXT, number INTEGER, examples INTEGER, bytes INTEGER, size INTEGER, taken INTEGER);
CREATE TABLE ended (split TEXT);
CREATE TABLE pieces (split TEXT, piece BLOB);
"""


class Shards:
    """The work of one build, for a `with` statement: an error deletes it if there is no whole shard to go on from.

    Args:
      folder: where shards and journal lie until the set is whole, made if missing.
      identity: what is built. Work on anything else that lies there is deleted.
      place: how messages call the folder that the set is built in.

    Attributes:
      journal: a database for whatever a builder wants to remember of its rows. It is written to disk with each shard.
    """

    def __init__(self, folder: str | os.PathLike, identity: str, *, place: str):
        self._folder, self._place = pathlib.Path(folder), place
        self.journal = self._opened(f"{SHARD_BYTES} {identity}")

    def __enter__(self) -> "Shards":
        return self

    def __exit__(self, kind, error, trace):
        empty = False
        with contextlib.suppress(sqlite3.Error):
            empty = not self.journal.execute("SELECT count(*) FROM shards").fetchone()[0]
        self.journal.close()
        if kind is not None and empty:
            shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, split: str, examples: Callable[[int], Iterable], serialize: Callable[[dict], bytes]) -> None:
        """Write a split, or the part that is not written yet.

        Args:
          split: its name.
          examples: called with the number of rows that are done. It yields the following ones, each an example, or None
            for a row of which nothing is stored.
          serialize: an example's record.

        Raises:
          StorageError: the disk is full, or will not be written for another reason.
        """
        if self.journal.execute("SELECT 1 FROM ended WHERE split = ?", [split]).fetchone():
            return
        number, taken = self.journal.execute(
            "SELECT count(*), coalesce(max(taken), 0) FROM shards WHERE split = ?", [split]
        ).fetchone()
        shard = None
        try:
            for example in examples(taken):
                taken += 1
                if example is None:
                    continue
                shard = shard or _Shard(self._part(split, number), self._place)
                shard.add(serialize(example))
                if shard.bytes >= SHARD_BYTES:
                    self._keep(split, number, shard, taken)
                    number, shard = number + 1, None
            if shard is not None:
                self._keep(split, number, shard, taken)
            self.journal.execute("INSERT INTO ended VALUES (?)", [split])
            self.journal.commit()
        except sqlite3.Error as error:
            raise _unwritable(self._place, error) from error

    def note(self, split: str, piece: bytes) -> None:
        """Add to what the fingerprint of a split is made of."""
        self.journal.execute("INSERT INTO pieces VALUES (?, ?)", [split, piece])

    def fingerprint(self, split: str) -> str:
        """Return the SHA-256 of everything noted of a split, 64 hex digits."""
        digest = hashlib.sha256()
        for (piece,) in self.journal.execute("SELECT piece FROM pieces WHERE split = ? ORDER BY rowid", [split]):
            digest.update(piece)
        return digest.hexdigest()

    def rows_done(self) -> int:
        """Count the rows of all splits that need not be done again."""
        return self.journal.execute(
            "SELECT coalesce(sum(taken), 0) FROM (SELECT max(taken) AS taken FROM shards GROUP BY split)"
        ).fetchone()[0]

    def place(self, split: str, name: Callable[[int, int], os.PathLike]) -> tuple[list[int], int]:
        """Give the shards of a split their names in the set.

        Args:
          split: its name.
          name: of a number and the number of all.

        Returns:
          Examples of each shard, and bytes of all records.
        """
        found = self.journal.execute(
            "SELECT number, examples, bytes FROM shards WHERE split = ? ORDER BY number", [split]
        ).fetchall()
        for number, _, _ in found:
            part, target = self._part(split, number), name(number, len(found))
            try:
                os.link(part, target)  # a build killed from here on still finds its work whole
            except OSError:  # a file system without hard links
                os.replace(part, target)
        return [examples for _, examples, _ in found], sum(size for _, _, size in found)

    def _opened(self, identity) -> sqlite3.Connection:
        self._folder.mkdir(parents=True, exist_ok=True)
        journal = self._connected()
        with contextlib.suppress(sqlite3.DatabaseError):  # none there, or damaged
            if self._goes_on(journal, identity):
                return journal
        journal.close()
        shutil.rmtree(self._folder)
        self._folder.mkdir()
        journal = self._connected()
        try:
            journal.executescript(_TABLES)
            journal.execute("INSERT INTO identity VALUES (?)", [identity])
            journal.commit()
        except sqlite3.Error as error:
            journal.close()
            raise _unwritable(self._place, error) from error
        return journal

    def _connected(self) -> sqlite3.Connection:
        # Builds exclude each other by another lock, for that of SQLite fails on some file systems of clusters.
        path = urllib.parse.quote(str(self._folder / _JOURNAL))
        return sqlite3.connect(f"file:{path}?nolock=1", uri=True)

    def _goes_on(self, journal, identity) -> bool:
        """Return whether the folder holds work on the same set with every shard in place."""
        if journal.execute("SELECT text FROM identity").fetchone() != (identity,):
            return False
        shards = journal.execute("SELECT split, number, size FROM shards").fetchall()
        parts = [(self._part(split, number), size) for split, number, size in shards]
        return all(part.is_file() and part.stat().st_size == size for part, size in parts)

    def _keep(self, split, number, shard, taken):
        size = shard.close()
        self.journal.execute(
            "INSERT INTO shards VALUES (?, ?, ?, ?, ?, ?)", [split, number, shard.examples, shard.bytes, size, taken]
        )
        self.journal.commit()

    def _part(self, split, number) -> pathlib.Path:
        return self._folder / f"{split}-{number:05d}"


class _Shard:
    """A file of records while it is written."""

    def __init__(self, path: pathlib.Path, place: str):
        self.examples = self.bytes = 0
        self._path, self._place = path, place
        with self._writing():
            self._writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")

    def add(self, record: bytes) -> None:
        """Append a record."""
        with self._writing():
            self._writer.write(record)
        self.examples, self.bytes = self.examples + 1, self.bytes + len(record)

    def close(self) -> int:
        """End the file, and return its size in bytes, all of them on disk."""
        with self._writing():
            self._writer.close()
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
            return self._path.stat().st_size

    @contextlib.contextmanager
    def _writing(self):
        try:
            yield
        except (RuntimeError, OSError) as error:  # RuntimeError is ArrayRecord's word for a disk that is full
            raise _unwritable(self._place, error) from error


def _unwritable(place, error) -> StorageError:
    told = str(error).partition(";")[0]
    return StorageError(
        f"`data_dir`: {place} cannot be written: {told}. Whole shards are kept, nothing half-built is visible; free "
        "the disk and run the same command again."
    )
