"""The account of a split's rows: kept in the journal of a build, counted, and written down beside the shards."""

import collections
import csv
import dataclasses
import hashlib
import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
from shards import Shards
from study_images import StudyImages, face_key

from fer_jax import data
from fer_jax.categories import Categories
from fer_jax.data.face_set import FLAGGED_COLUMNS
from fer_jax.data.listing import flag_names
from fer_jax.data.pictures.decode import EXPECTED_REASONS
from fer_jax.data.prepared import EXPRESSIONS_FILE
from fer_jax.data.published import differences
from fer_jax.data.read import check_share
from fer_jax.errors import DataError, printable

_REJECTED = list(data.REJECTED_COLUMNS)
_FLAGGED = list(FLAGGED_COLUMNS)
# rows: `reason` is "" for a picture that is stored. `found` is the split that has its face, too, `otherwise` whether as
# another expression. faces: the first of each face that is stored in a split.
_TABLES = (
    "rows (split TEXT, row INTEGER, path TEXT, label INTEGER, reason TEXT, detail TEXT, flags TEXT, found TEXT, "
    "otherwise INTEGER)",
    "faces (face BLOB, split TEXT, label INTEGER, PRIMARY KEY (face, split)) WITHOUT ROWID",
)


def write_accounts(folder, accounts: list["Account"], chosen: StudyImages) -> None:
    """Write what lies beside the shards: rejected.csv, flagged.csv, the labels of each split, stimuli.csv.

    Args:
      folder: where the shards go.
      accounts: one for each split, in the set's order.
      chosen: the study's pictures, perhaps none.
    """
    folder = pathlib.Path(folder)
    _write(folder / "rejected.csv", [_REJECTED], *(account.rejected_rows() for account in accounts))
    _write(folder / "flagged.csv", [_FLAGGED], *(account.flagged_rows() for account in accounts))
    if chosen.rows:
        _write(folder / "stimuli.csv", chosen.table())
    for account in accounts:
        np.save(folder / EXPRESSIONS_FILE.format(split=account.split), account.labels())


class Account:
    """The account of one split's rows: stored, rejected or flagged.

    Args:
      shards: the build's, whose journal remembers it.
      split: its name.
      others: splits that should not hold the same pictures, and how each is called. The first that holds one is named.
      categories: what labels are indices into.
      dedupe: leave out what is in the others, too.

    Attributes:
      rows: how many there were so far.
    """

    def __init__(self, shards: Shards, split: str, others: dict[str, str], categories: Categories, *, dedupe: bool):
        self._shards, self._journal, self.split = shards, shards.journal, split
        self._others, self._dedupe, self._categories = others, dedupe, categories
        for table in _TABLES:
            self._journal.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        self.rows = self._one("SELECT count(*) FROM rows WHERE split = ?")

    def take(self, row, stored) -> data.Stored | None:
        """Count a row, and return what is to be stored of it, or None."""
        self.rows += 1
        if isinstance(stored, data.Rejection):
            self._add(stored.row, stored.path, stored.label, reason=stored.reason, detail=stored.detail)
            return None
        face = face_key(row, stored)
        split, label = self._met(face) or ("", row.label)
        found, otherwise = self._others.get(split, split), label != row.label
        notes = list(row.notes)
        if otherwise:
            notes.append(f"the same picture is in {found} as {self._categories[label]}")
        if self._dedupe and split in self._others:
            told = notes[-1] if otherwise else f"the same picture is in {found}"
            self._add(row.row, row.path, row.label, reason="duplicate", detail=told, found=found, otherwise=otherwise)
            return None
        if found:
            stored = dataclasses.replace(stored, quality=stored.quality | data.Quality.DUPLICATE)
        flags = "|".join(flag_names(stored.quality))
        detail = "; ".join(notes)
        self._add(row.row, row.path, row.label, detail=detail, flags=flags, found=found, otherwise=otherwise)
        self._journal.execute("INSERT OR IGNORE INTO faces VALUES (?, ?, ?)", [face, self.split, row.label])
        name = f"{row.row} {row.label} {row.path}\n".encode(errors="surrogateescape")
        self._shards.note(self.split, name + hashlib.sha256(stored.data).digest())
        return stored

    def check(self, allowed: float, *, ended: bool) -> None:
        """Refuse a split of which too much cannot be used, or nothing is left.

        Args:
          allowed: largest share of rows that may be rejected for an unexpected reason.
          ended: whether these are all rows.

        Raises:
          DataError: saying what is wrong with the first.
        """
        query = "SELECT row, path, reason, detail, label FROM rows WHERE split = ? AND reason <> '' ORDER BY rowid"
        found = itertools.starmap(data.Rejection, self._all(query))
        telling = [one for one in found if one.reason not in EXPECTED_REASONS or one.reason == "document"]
        check_share(self.split, self.rows, telling, allowed)
        if ended and not self._one("SELECT count(*) FROM rows WHERE split = ? AND reason = ''"):
            raise DataError(f"`source`: {self.split} has no usable picture in {self.rows} rows.")

    def write_rejected(self, place: pathlib.Path) -> None:
        """Write the rejected rows to a separate file."""
        place.parent.mkdir(parents=True, exist_ok=True)
        _write(place, [_REJECTED], self.rejected_rows())

    def rejected_rows(self) -> Iterator[tuple]:
        """Return the lines of `rejected.csv`."""
        return self._all(
            "SELECT split, row, path, reason, detail FROM rows WHERE split = ? AND reason <> '' ORDER BY rowid"
        )

    def flagged_rows(self) -> Iterator[tuple]:
        """Return the lines of `flagged.csv`."""
        return self._all(
            "SELECT split, row, path, flags, detail FROM rows "
            "WHERE split = ? AND reason = '' AND flags || detail <> '' ORDER BY rowid"
        )

    def labels(self) -> np.ndarray:
        """Return the labels of what is stored, uint8 (N,)."""
        found = self._all("SELECT label FROM rows WHERE split = ? AND reason = '' ORDER BY rowid")
        return np.fromiter((label for (label,) in found), np.uint8)

    def tell(self, metadata, release: str, beside: np.ndarray | int) -> None:
        """Add this split to what is known of the set.

        Args:
          metadata: the set's.
          release: see `fer_jax.data.Listing`.
          beside: int (K,), study images taken out of the split, which count as there.
        """
        grouped = "SELECT label, reason, count(*) FROM rows WHERE split = ? GROUP BY label, reason"
        left_out = collections.Counter({(label, reason): count for label, reason, count in self._all(grouped)})
        counts = np.asarray([left_out.pop((label, ""), 0) for label in range(len(self._categories))])
        reasons, flags = collections.Counter(), collections.Counter()
        for (_, reason), count in left_out.items():
            reasons[reason] += count
        for _, _, _, told, _ in self.flagged_rows():
            flags.update(flag for flag in told.split("|") if flag)
        copies = "SELECT found, count(*) FROM rows WHERE split = ? AND found <> '' GROUP BY found ORDER BY found"
        official = self.split.removesuffix("_minus_stimuli")
        metadata.setdefault("rejected", {}).update(
            {f"{self.split}/{reason}": count for reason, count in sorted(reasons.items())}
        )
        told = {
            "duplicates": dict(self._all(copies)),
            "labelled_otherwise": self._one("SELECT coalesce(sum(otherwise), 0) FROM rows WHERE split = ?"),
            "counts": counts.tolist(),
            "flags": dict(sorted(flags.items())),
            "fingerprint": self._shards.fingerprint(self.split),
            "differs_from_published": differences(
                release, official, counts + beside, left_out, categories=self._categories
            ),
        }
        for name, value in told.items():
            metadata.setdefault(name, {})[self.split] = value

    def _met(self, face) -> tuple[str, int] | None:
        """Return where a face was stored before, the other splits first, and as what."""
        found = dict(self._journal.execute("SELECT split, label FROM faces WHERE face = ?", [face]))
        return next(((split, found[split]) for split in (*self._others, self.split) if split in found), None)

    def _add(self, row, path, label, *, reason="", detail="", flags="", found="", otherwise=False):
        values = [self.split, row, printable(path), int(label), reason, printable(detail), flags, found, int(otherwise)]
        self._journal.execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def _all(self, query) -> Iterator[tuple]:
        return self._journal.execute(query, [self.split])

    def _one(self, query) -> int:
        return self._journal.execute(query, [self.split]).fetchone()[0]


def _write(place, *parts) -> None:
    with place.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for rows in parts:
            writer.writerows(rows)
