"""The folder of one run: its configuration, its lock, and files written whole or not at all."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import platform
import secrets
import zipfile
import zlib
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import numpy as np
import pandas as pd

from experiments.harness.command import restored
from experiments.harness.locked_folder import LockedFolder, plain
from experiments.harness.numerics import numerics, tell_changes
from experiments.study.stage_records import StageRecords
from experiments.study.stage_table import LIMITS, left_out
from fer_jax.categories import Categories
from fer_jax.errors import StorageError, UsageError
from fer_jax.expressions import EXPRESSIONS

SCHEMA = 2
PICTURES_RECORD = "data/pictures.json"  # where the data stage notes what the pictures are
# Where a run lies and what it does next is the next command's to say. Everything else is recorded and repeated.
_NOT_REPEATED = ("out", "stages", "overwrite", "dry_run")
_RUN = "_run"  # of the arrays of an NPZ, the identity of their run


_ANEW = "Restore it from a copy, or make the run anew: --overwrite, or another --out."


@contextlib.contextmanager
def _whole(file: pathlib.Path) -> Iterator[pathlib.Path]:
    """Read a file of ours: what is wrong with it is one line, and no bug.

    Raises:
      StorageError: it is missing, damaged or cannot be read.
    """
    try:
        yield file
    except FileNotFoundError:
        raise StorageError(f"`{file}`: is missing. {_ANEW}") from None
    except OSError as error:
        raise StorageError(f"`{file}`: cannot be read: {error.strerror or error}.") from error
    except (
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        told = str(error).strip().splitlines()
        raise StorageError(f"`{file}`: is damaged ({told[0] if told else type(error).__name__}). {_ANEW}") from error


class FinishedFiles:
    """The finished files of a run, read without its lock, so also while the run goes on.

    Args:
      path: the run folder.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)

    def read_json(self, name: str) -> Any:
        """Read what `write_json` wrote."""
        with _whole(self.path / name) as file:
            return json.loads(file.read_text(encoding="utf-8"))

    def read_table(self, name: str) -> pd.DataFrame:
        """Read a table from `tables/`."""
        with _whole(self.path / "tables" / f"{name}.csv") as file:
            return pd.read_csv(file, keep_default_na=True)

    def read_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Read what `write_arrays` wrote."""
        # Opened here: NumPy leaves a damaged file open.
        path = self.path / f"{name}.npz"
        with _whole(path), open(path, "rb") as file, np.load(file, allow_pickle=False) as saved:
            arrays = dict(saved)
        self.refuse_another_run(f"{name}.npz", str(arrays.pop(_RUN)) if _RUN in arrays else None)
        return arrays

    @property
    def categories(self) -> Categories:
        """The categories of the run's pictures: the paper's eight for a run of before there were others."""
        names = self.read_json(PICTURES_RECORD).get("categories") if self.has(PICTURES_RECORD) else None
        return EXPRESSIONS if names is None else Categories(tuple(names))

    @property
    def run(self) -> str | None:
        """The run's identity. None for a run older than identities, and for other folders."""
        return self.read_json("run.json").get("run") if self.has("run.json") else None

    def refuse_another_run(self, name: str, run: str | None) -> None:
        """Refuse a file that was copied here out of another run.

        Args:
          name: of the file or checkpoint, inside the folder.
          run: the identity of the run that it says it is from.

        Raises:
          StorageError: it is not from this one.
        """
        if run != self.run:
            raise StorageError(
                f"`{self.path / name}`: wanted a file of this run ({self.run}), got one of another ({run}). "
                "Put the right one back, or remove it to have it made again."
            )

    def has(self, name: str) -> bool:
        """Return whether a file is there, and so is whole."""
        return (self.path / name).exists()

    def finished(self, stage: str) -> bool:
        """Return whether a stage has ended."""
        return self.has(f"stages/{stage}.json")

    def unfinished(self, what: str, stage: str) -> UsageError:
        """Return the error of what a stage has not left yet."""
        return UsageError(
            f"`--run`: {self.path} has no {what} yet (stage {stage}); finish it: "
            f"python -m experiments.reproduce --flagfile={self.path}/flags.txt --out={self.path}"
        )


class RunFolder(LockedFolder, FinishedFiles):
    """A locked run folder.

    Args:
      config: the resolved configuration, a dataclass with `out` and `overwrite`.

    Raises:
      UsageError: the folder holds another configuration, other files, or is in use.
      StorageError: it cannot be written.
    """

    def __init__(self, config: Any):
        super().__init__(
            config.out,
            record="run.json",
            holds="run of ours",
            leftovers=("LOCK", "flags.txt"),
            overwrite=config.overwrite,
        )
        self.config = config
        self._identity: dict[str, Any] = {"run": None, "numerics": None}
        try:
            self._check_config()
        except BaseException:
            self.close()
            raise

    @property
    def run(self) -> str | None:
        """The run's identity."""
        return self._identity["run"]

    def _check_config(self):
        wanted = {k: v for k, v in dataclasses.asdict(self.config).items() if k not in _NOT_REPEATED}
        file = self.path / "run.json"
        self.stages, self._coming = StageRecords(self, self.config), None
        self._identity = {"run": secrets.token_hex(8), "numerics": numerics()}
        if file.exists():
            saved = self.read_json("run.json")
            if not isinstance(saved, dict) or not isinstance(saved.get("config", {}), dict):
                raise StorageError(f"`{file}`: is damaged: wanted the record of a run. {_ANEW}")
            if saved.get("schema") == 1:
                self._adopt(saved.get("config", {}))
            elif saved.get("schema") != SCHEMA:
                raise StorageError(
                    f"`{file}`: wanted run schema {SCHEMA}, got {saved.get('schema')}: another version made it. Choose "
                    "another folder, or --overwrite to start anew."
                )
            # Once a run, always the same run. A run older than identities has none.
            self._identity = {name: saved.get(name) for name in self._identity}
            tell_changes(str(self.path), self._identity["numerics"])
            self.stages.refuse_changes()
            if saved["config"] == plain(wanted) and saved["schema"] == SCHEMA:
                return
        self._coming = wanted
        begun = file.exists() and any((self.path / "stages").glob("*.json"))
        if not begun or saved["schema"] != SCHEMA:
            self.keep_config()

    def keep_config(self) -> None:
        """Record the configuration. In a run with results it waits for this call, for it may be refused."""
        if self._coming is not None:
            self._write_config(self._coming)
            self._coming = None

    def _write_config(self, config):
        repeated = {name: value for name, value in config.items() if value is not None}
        limited = set(LIMITS) - set(left_out(config["people"]))
        if limited <= set(self.read_json("limits.json") if self.has("limits.json") else ()):
            del repeated["minutes"]  # what they came to stands among the flags
        self.write_text("flags.txt", "".join(f"--{name}={value}\n" for name, value in repeated.items()))
        self.write_json("run.json", {"schema": SCHEMA, **self._identity, "config": config, "versions": versions()})

    def reconfigure(self, config: Any, stage: str) -> None:
        """Go on with another configuration, in a stage that is made with it from its beginning."""
        self.config = config
        self.stages.reconfigure(config, stage)
        self._write_config({k: v for k, v in dataclasses.asdict(config).items() if k not in _NOT_REPEATED})

    def _adopt(self, config):
        """Take over a run of the first schema: what was no flag then had its default."""
        StageRecords(self, restored(type(self.config), config)).adopt()

    def write_table(self, name: str, table: pd.DataFrame) -> pathlib.Path:
        """Write a table as CSV under `tables/`."""
        return self.write_text(f"tables/{name}.csv", table.to_csv(index=False, lineterminator="\n"))

    def write_arrays(self, name: str, **arrays: np.ndarray) -> pathlib.Path:
        """Write arrays as one NPZ, which says whose it is."""
        return super().write_arrays(name, **arrays, **({_RUN: np.asarray(self.run)} if self.run else {}))


def sha256(file: pathlib.Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of everything that can change a number."""
    names = (
        "fer-jax",
        "jax",
        "jaxlib",
        "flax",
        "optax",
        "safetensors",
        "numpy",
        "scipy",
        "pandas",
        "opencv-python-headless",
    )
    return {"python": platform.python_version(), **{name: _version(name) for name in names}}


def _version(name) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
