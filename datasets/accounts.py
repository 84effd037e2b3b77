"""What became of the rows of a split: counted, and written down beside the shards."""

import collections
import csv
import dataclasses
import hashlib
import io
import pathlib

import numpy as np
from study_images import StudyImages, face_key

from fer_jax import data
from fer_jax.data.prepared import EXPRESSIONS_FILE
from fer_jax.data.published import differences
from fer_jax.expressions import EXPRESSIONS, NUM_EXPRESSIONS

_REJECTED = list(data.REJECTED_COLUMNS)
_FLAGGED = ["split", "row", "path", "flags", "detail"]


def start_account(folder, chosen: StudyImages) -> None:
    """Write the headers, once for all splits, and the study images.

    Args:
      folder: where the shards go.
      chosen: the study's, perhaps none.
    """
    folder = pathlib.Path(folder)
    (folder / "rejected.csv").write_text(_csv([_REJECTED]), encoding="utf-8")
    (folder / "flagged.csv").write_text(_csv([_FLAGGED]), encoding="utf-8")
    if chosen.rows:
        (folder / "stimuli.csv").write_text(_csv(chosen.table()), encoding="utf-8")


class Account:
    """What became of the rows of one split, and its files beside the shards."""

    def __init__(self, folder, split: str):
        self._folder, self.split = pathlib.Path(folder), split
        self.rows = 0
        self.rejected: list[data.Rejection] = []
        self.expressions: list[int] = []
        self._flagged: list[list] = []
        self._seen: dict[bytes, int] = {}
        self._contradicted = 0
        self._duplicates, self._flags = collections.Counter(), collections.Counter()
        self._digest = hashlib.sha256()

    def take(self, row, stored, others, dedupe) -> data.Stored | None:
        """Count a row; what is to be stored of it, or None."""
        self.rows += 1
        if isinstance(stored, data.Rejection):
            self.rejected.append(stored)
            return None
        key = face_key(row, stored)
        where, label = others.get(key) or (self.split if key in self._seen else "", self._seen.get(key, row.label))
        notes = list(row.notes)
        if where:
            self._duplicates[where] += 1
            if label != row.label:
                self._contradicted += 1
                notes.append(f"the same picture is in {where} as {EXPRESSIONS[label]}")
            if dedupe and key in others:
                told = notes[-1] if label != row.label else f"the same picture is in {where}"
                self.rejected.append(data.Rejection(row.row, row.path, "duplicate", told, row.label))
                return None
            stored = dataclasses.replace(stored, quality=stored.quality | data.Quality.DUPLICATE)
        self._seen.setdefault(key, row.label)
        self.expressions.append(row.label)
        self._digest.update(f"{row.row} {row.label} {row.path}\n".encode(errors="surrogateescape"))
        self._digest.update(hashlib.sha256(stored.data).digest())
        worth = stored.quality & ~(data.Quality.RE_ENCODED | data.Quality.WAS_GREY)
        if notes or worth:
            flags = [flag.name.lower() for flag in worth if flag.name]
            self._flags.update(flags)
            self._flagged.append([self.split, row.row, row.path, "|".join(flags), "; ".join(notes)])
        return stored

    def write_rejected(self, place: pathlib.Path) -> None:
        """The rejected rows as a file of their own."""
        place.write_text(_csv([_REJECTED, *self._rejected_rows()]), encoding="utf-8", errors="surrogateescape")

    def _rejected_rows(self):
        return [[self.split, one.row, one.path, one.reason, one.detail] for one in self.rejected]

    def finish(self, metadata, release, beside) -> None:
        """Write this split's part of the account.

        Args:
          metadata: the set's, added to.
          release: see `fer_jax.data.Listing`.
          beside: int (8,), study images taken out of the split, which count as there.
        """
        for name, rows in (("rejected.csv", self._rejected_rows()), ("flagged.csv", self._flagged)):
            with (self._folder / name).open("a", encoding="utf-8", newline="", errors="surrogateescape") as stream:
                stream.write(_csv(rows))
        labels = np.asarray(self.expressions, np.uint8)
        np.save(self._folder / EXPRESSIONS_FILE.format(split=self.split), labels)
        reasons = collections.Counter(one.reason for one in self.rejected)
        counts = np.bincount(labels, minlength=NUM_EXPRESSIONS)
        metadata.setdefault("rejected", {}).update(
            {f"{self.split}/{reason}": count for reason, count in sorted(reasons.items())}
        )
        metadata.setdefault("duplicates", {})[self.split] = dict(sorted(self._duplicates.items()))
        metadata.setdefault("labelled_otherwise", {})[self.split] = self._contradicted
        metadata.setdefault("counts", {})[self.split] = counts.tolist()
        metadata.setdefault("flags", {})[self.split] = dict(sorted(self._flags.items()))
        metadata.setdefault("fingerprint", {})[self.split] = self._digest.hexdigest()
        left_out = collections.Counter((one.label, one.reason) for one in self.rejected)
        official = self.split.removesuffix("_minus_stimuli")
        told = differences(release, official, counts + beside, left_out)
        metadata.setdefault("differs_from_published", {})[self.split] = told
        if len(labels) + len(self.rejected) != self.rows:
            raise AssertionError(
                f"{self.split}: {self.rows} rows in, {len(labels)} stored, {len(self.rejected)} left out"
            )


def _csv(rows) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
