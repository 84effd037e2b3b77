"""The stages of a run that are up to date, and why others are not: by what each has read and left.

Contract: `stages/NAME.json` stands for a stage that has ended, `stages/NAME.begun.json` for one under way. Both
say the flags and the inputs it was made from. An input is known by the content of its files, so a stage that is made
again and comes out the same changes nothing that follows. The tables that `--people` names are an input, too.
"""

import dataclasses
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from experiments.harness.command import upgrade, value_before
from experiments.study import people_tables
from experiments.study.stage_table import CHECKPOINTS, PLACEMENT, STAGES, TABLE, left_out
from fer_jax.errors import StorageError, UsageError


class StageRecords:
    """The stages of one run folder, seen with one configuration.

    Args:
      folder: where. Whoever makes stages locks it.
      config: resolved.
    """

    def __init__(self, folder: Any, config: Any):
        self._folder, self.config = folder, config
        self._started = time.monotonic()

    def adopt(self) -> None:
        """Take over the stages of a run of the first schema, which noted no more of them than their seconds.

        Those of a few seconds are made again: their tables have other columns now.
        """
        for name in STAGES:
            ended, clock = (self._folder.path / f"stages/{name}.{end}" for end in ("json", "seconds"))
            if TABLE[name].quick and name != "design":
                ended.unlink(missing_ok=True)
            elif ended.exists():
                seconds = self._folder.read_json(f"stages/{name}.json")["seconds"]
                self._folder.write_json(
                    f"stages/{name}.json", self._now(name) | {"seconds": seconds, "files": self._left(name)}
                )
            elif self._has_parts(name):
                seconds = self._folder.read_json(f"stages/{name}.seconds") if clock.exists() else 0.0
                self._folder.write_json(f"stages/{name}.begun.json", self._now(name) | {"seconds": seconds})

    def refuse_changes(self) -> None:
        """Refuse flags that pictures or trained networks in the folder were not made with.

        Raises:
          UsageError: names the flags and what to do.
        """
        changed, remove = {}, []
        for name in (name for name in STAGES if TABLE[name].kept):
            ended, begun = self._record(name), self._begun(name)
            if ended and not any((self._folder.path / file).exists() for file in ended["files"]):
                ended = None  # somebody has removed all of it, to have it made anew
            made = ended or (begun if self._has_parts(name) else None)
            if made and (differ := self._flags_changed(name, made)):
                changed[name] = differ
                left = TABLE[name].leaves if ended else TABLE[name].parts
                remove += [pattern for pattern in left if any(self._matching([pattern], parts=True))]
        if changed:
            flags = dict.fromkeys(flag for differ in changed.values() for flag in differ)
            # All networks hang on the pictures: where these change nothing can stay.
            stages = "data" if "data" in changed else " and ".join(changed)
            anew = "" if "data" in changed else f"remove {', '.join(remove)} to train {stages} anew, "
            raise UsageError(
                f"`--out`: {self._folder.path} was made with another configuration ({'; '.join([*flags][:5])}; stage "
                f"{stages}). Choose another folder, {anew}or --overwrite, which deletes the whole run."
            )

    def finished(self, name: str) -> bool:
        """Return whether a stage has ended, up to date or not."""
        return self._record(name) is not None

    def why(self, name: str) -> str | None:
        """Say why a stage is to be made, None if it has ended and is up to date.

        Raises:
          UsageError: a trained network whose pictures or tables are not those it was trained with.
        """
        record = self._record(name)
        if record is None:
            return "not made yet"
        missing = [file for file in record["files"] if not (self._folder.path / file).exists()]
        if missing:
            self._refuse_half_lost(name, missing)
            return f"{missing[0]} is missing"
        differ = self._flags_changed(name, record)
        if differ:
            return "; ".join(differ)
        inputs = self._inputs(name)
        changed = [need for need in inputs if inputs[need] != record["inputs"].get(need)]
        if changed and TABLE[name].kept:
            raise UsageError(
                f"`--out`: {self._folder.path} holds other {changed[0]} than its {name} were trained on. Put them "
                "back, choose another folder, or --overwrite to start anew."
            )
        return f"{changed[0]} has changed" if changed else None

    def check_needs(self, name: str, coming: Sequence[str] = ()) -> None:
        """Refuse to make a stage from results that are missing or out of date.

        Args:
          name: the stage.
          coming: stages that are made before it.

        Raises:
          UsageError: names the stage to add and why.
        """
        for need in STAGES:
            if need in _all_needs(name) and need not in coming and need not in left_out(self.config.people):
                reason = self.why(need)
                if reason:
                    told = "to have run" if reason == "not made yet" else f"made again ({reason})"
                    raise UsageError(f"`--stages`: {name} wants {need} {told} in {self._folder.path}; add it.")

    def make(self, name: str, work: Callable[[], None]) -> None:
        """Make a stage: go on with it if it was begun with the same flags and inputs, else from its beginning.

        Raises:
          UsageError: that would remove training whose record is lost, or whose pictures are no longer there.
          StorageError: a record cannot be written.
        """
        entry, now = TABLE[name], self._now(name)
        begun = self._begun(name)
        if entry.kept:
            self._refuse_to_lose(name, begun, now)
        if begun is None or self._flags_changed(name, begun) or begun.get("inputs") != now["inputs"]:
            if self._has_parts(name) and not (begun is None and self.finished(name)):
                told = [f"stages/{name}.begun.json is missing"] if begun is None else self._flags_changed(name, begun)
                told = told or ["its inputs have changed"]
                sys.stderr.write(f"{name}: begins anew: {'; '.join(told)}\n")
            (self._folder.path / f"stages/{name}.json").unlink(missing_ok=True)
            self._remove([*entry.leaves, *entry.parts])
            before = 0.0
        else:
            before = begun.get("seconds", 0.0)
            moved = [f"--{flag} was {begun['placed'].get(flag)}" for flag in _rounding(begun["placed"], now["placed"])]
            if moved:
                sys.stderr.write(f"{name}: goes on in another layout ({', '.join(moved)}), which rounds otherwise\n")
        mark = f"stages/{name}.begun.json"
        self._folder.write_json(mark, now | {"seconds": before})
        self._started = start = time.monotonic()
        try:
            work()
        except BaseException:
            self._folder.write_json(mark, self._now(name) | {"seconds": before + time.monotonic() - start})
            raise
        ended = self._now(name) | {"seconds": round(before + time.monotonic() - start, 2), "files": self._left(name)}
        self._folder.write_json(f"stages/{name}.json", ended)
        # Not before: whoever is killed in between would train again.
        self._remove([part for part in entry.parts if part.startswith(CHECKPOINTS)])
        (self._folder.path / mark).unlink(missing_ok=True)

    def reconfigure(self, config: Any, name: str) -> None:
        """Go on with another configuration, in a stage under way that is made with it from its beginning."""
        self.config = config
        begun = self._begun(name) or {"seconds": 0.0}
        self._folder.write_json(f"stages/{name}.begun.json", self._now(name) | {"seconds": begun["seconds"]})

    def spent(self) -> float:
        """Sum the seconds of all stages so far, with those of the one under way."""
        begun = (self._begun(name) for name in STAGES)
        before = sum(mark.get("seconds", 0.0) for mark in begun if mark)
        return sum(self.seconds().values()) + before + time.monotonic() - self._started

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each stage that has ended (those of a killed process are not counted)."""
        records = {name: self._record(name) for name in STAGES}
        return {name: record["seconds"] for name, record in records.items() if record}

    def _record(self, name):
        return self._read(f"stages/{name}.json")

    def _begun(self, name):
        return self._read(f"stages/{name}.begun.json")

    def _read(self, name):
        path = self._folder.path / name
        if not path.exists():
            return None
        try:
            record = self._folder.read_json(name)
            if isinstance(record["inputs"], dict):
                return record | {"reads": upgrade(type(self.config), record["reads"])}
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            pass
        raise StorageError(
            f"`{path}`: is damaged, or was written by another version. Put it back, or remove it to make its stage "
            "again."
        )

    def _has_parts(self, name):
        """Return whether a stage under way has done something worth keeping."""
        folders = (self._folder.path / part for part in TABLE[name].parts)
        return any(folder.is_dir() and any(folder.iterdir()) for folder in folders)

    def _refuse_half_lost(self, name, missing):
        """Refuse to train for days again, and to remove the network, for want of a table."""
        networks = [leaf for leaf in TABLE[name].leaves if leaf.endswith("/") and (self._folder.path / leaf).exists()]
        if TABLE[name].kept and networks:
            raise UsageError(
                f"`--out`: {self._folder.path} has lost {missing[0]}, but {networks[0]} is there. Put the file back, "
                f"or remove {networks[0]} as well to train it again."
            )

    def _refuse_to_lose(self, name, begun, now):
        """Refuse to remove what was trained for a lost record or a damaged input."""
        path, entry = self._folder.path, TABLE[name]
        if begun is None:
            folders = [leaf for leaf in entry.leaves if leaf.endswith("/") and (path / leaf).exists()]
            record = f"stages/{name}.json" if folders else f"stages/{name}.begun.json"
            folders += entry.parts if self._has_parts(name) else ()
            if folders and self._record(name) is None:
                raise UsageError(
                    f"`--out`: {path} has lost {record}, but {folders[0]} is there. Put the file back, or remove "
                    f"{folders[0]} as well to train it again."
                )
            return
        changed = [need for need, digest in now["inputs"].items() if begun["inputs"].get(need) != digest]
        if changed and self._has_parts(name):
            raise UsageError(
                f"`--out`: {path} holds other {changed[0]} than its {name} are being trained on. Put them back, remove "
                f"{entry.parts[0]} to begin anew, choose another folder, or --overwrite."
            )

    def _flags_changed(self, name, record):
        """List the flags that changed. A run made before a flag existed was made with its default."""
        fields = {field.name: value_before(field) for field in dataclasses.fields(self.config)}
        known = {flag: record["reads"].get(flag, fields[flag]) for flag in TABLE[name].reads}
        return [
            f"--{flag} was {was!r}, is {getattr(self.config, flag)!r}"
            for flag, was in known.items()
            if was != getattr(self.config, flag)
        ]

    def _now(self, name):
        return {
            "reads": {flag: getattr(self.config, flag) for flag in TABLE[name].reads},
            "inputs": self._inputs(name),
            "placed": {flag: getattr(self.config, flag) for flag in PLACEMENT},
        }

    def _inputs(self, name):
        without = left_out(self.config.people)
        inputs = {need: self._digest(need) for need in TABLE[name].needs if need not in without}
        tables = people_tables.digest(self.config.people) if TABLE[name].tables else None
        return inputs if tables is None else inputs | {"content of --people": tables}

    def _digest(self, name):
        """Hash the content of all that a stage has left, as it is now, None if it has not ended."""
        record = self._record(name)
        if record is None:
            return None
        digest = hashlib.sha256()
        for file, known in sorted(record["files"].items()):
            path = self._folder.path / file
            content = None if not path.exists() else known["sha256"] if _unchanged(path, known) else _sha256(path)
            digest.update(f"{file} {content}\n".encode())
        return digest.hexdigest()

    def _left(self, name):
        """Describe the files that a stage has left: what shows a change without reading them, and their content."""
        files = {}
        for path in self._matching(TABLE[name].leaves):
            path = path / "manifest.json" if path.is_dir() else path  # it says the hash of every array of a network
            status = path.stat()
            files[str(path.relative_to(self._folder.path))] = {
                "bytes": status.st_size,
                "modified_ns": status.st_mtime_ns,
                "sha256": _sha256(path),
            }
        return files

    def _remove(self, patterns):
        for path in self._matching(patterns, parts=True):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _matching(self, patterns, *, parts=False):
        """Yield existing files of patterns, and folders where they are meant."""
        for pattern in patterns:
            folder = parts or pattern.endswith("/")
            found = sorted(self._folder.path.glob(pattern.rstrip("/")))
            yield from (path for path in found if folder or path.is_file())


def _all_needs(name) -> set[str]:
    direct = TABLE[name].needs
    return set(direct).union(*(_all_needs(need) for need in direct)) if direct else set()


def _rounding(before, now):
    """Return the changed flags of a layout, which show in the last digits."""
    how = ("over_members", "over_devices", "data_devices", "remat", "pictures_on")
    return [flag for flag in how if before.get(flag) != now[flag]]


def _unchanged(path, known):
    status = path.stat()
    return (status.st_size, status.st_mtime_ns) == (known["bytes"], known["modified_ns"])


def _sha256(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
