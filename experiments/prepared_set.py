"""A prepared set built so that it is there whole or not at all, once at a time, and from what its owner thinks it is.

Contract: beside the folder of a version lie LOCK, held while one is built, and source.json, what it was built from. An
old set gives way only when the new one is complete. What a killed build has done lies beside it, too, for the next one.
"""

import contextlib
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence

from fer_jax.data.file_tree import open_tree
from fer_jax.errors import DataError, StorageError, UsageError, printable
from fer_jax.files import lock


def build(
    path: pathlib.Path,
    make: Callable[[pathlib.Path, dict], None],
    *,
    sources: Sequence[str],
    version: int | None,
    overwrite: bool,
) -> bool:
    """Build a set, unless it is there already.

    Args:
      path: where the set will lie, its version's folder.
      make: builds it there. It is called with the folder in which a killed build leaves what it has done, and with what
        the sources are.
      sources: folders and files of the user's that it is made from.
      version: of what draws it, if it is drawn.
      overwrite: build anew what is there.

    Returns:
      Whether it was built.

    Raises:
      UsageError: another process builds it, or what is there was made from another copy.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent / "LOCK"):
        replaced = path.with_name(f"incomplete.replaced_{path.name}")
        if replaced.exists() and not path.exists():  # killed while it was built anew
            replaced.rename(path)
        work = path.with_name(f"incomplete.work_{path.name}")
        for leftover in path.parent.glob(f"incomplete.*_{path.name}"):  # TFDS leaves those of killed builds for ever
            if leftover != work:
                shutil.rmtree(leftover)
        if path.exists() and any(part.stat().st_nlink > 1 for part in work.glob("*")):  # killed when the set was whole
            shutil.rmtree(work)
        record = path.parent / "source.json"
        seen = {} if version is None else {"render_version": version}
        for source in sources:
            seen |= _seen(source)
        if path.exists() and not overwrite:
            _check_source(path, record, seen)
            goes_on = " (it goes on where a build was stopped)" if work.exists() else ""
            sys.stderr.write(f"{path} is there already; --overwrite builds it anew{goes_on}.\n")
            return False
        if path.exists():
            path.rename(replaced)
        try:
            make(work, seen)
        except BaseException:
            if replaced.exists() and not path.exists():
                replaced.rename(path)
            raise
        record.write_text(json.dumps(seen, indent=1) + "\n", encoding="utf-8")
        for old in (replaced, work):
            shutil.rmtree(old, ignore_errors=True)
        return True


@contextlib.contextmanager
def _locked(file: pathlib.Path) -> Iterator[None]:
    with file.open("a") as opened:
        if not lock(opened, f"`--data_dir`: {file.parent}"):
            raise UsageError(f"`--data_dir`: another process builds {file.parent}; wait for it to end.")
        yield


def _check_source(path, record, seen):
    try:
        before = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else seen
        differ = [name for name in seen if before.get(name) != seen[name]]
    except (ValueError, AttributeError) as error:
        raise StorageError(f"`{record}`: is damaged ({error}); --overwrite builds the set anew.") from None
    if differ:
        name = differ[0]
        raise UsageError(
            f"`--data_dir`: {path} was built from something else ({name}: {before.get(name, 'none')}, now "
            f"{seen[name]}); --overwrite builds it anew, another --data_dir keeps both."
        )


def _seen(source: str) -> dict:
    """Describe a copy, so that another or a changed one differs, without reading its pictures."""
    count = size = newest = 0
    for file in _files(source):
        with contextlib.suppress(OSError):
            status = os.stat(file)
            count, size, newest = count + 1, size + status.st_size, max(newest, status.st_mtime_ns)
    told = printable(os.path.realpath(source))
    return {f"files of {told}": count, f"bytes of {told}": size, f"newest file of {told}, ns": newest}


def _files(source) -> Iterator[str]:
    try:
        with open_tree(source) as tree:
            yield from (os.path.join(source, name) for name in tree.files()) if os.path.isdir(source) else [source]
    except DataError:  # the builder will say what is wrong with it
        return
