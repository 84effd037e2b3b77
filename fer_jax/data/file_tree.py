"""Files below one root, a folder or a zip, read in place.

Contract: paths are relative to the root, with "/". A zip whose entries could leave a folder is refused whole.
"""

import bisect
import contextlib
import functools
import itertools
import os
import pathlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Protocol

from fer_jax.data.pictures.decode import MAX_BYTES, ImageRejected
from fer_jax.errors import DataError, printable

_MAX_LINE = 1 << 20
_UTF8 = 0x800  # the flag of a zip's entry whose name is UTF-8
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError)

_ARCHIVE = re.compile(r".*\.(zip|rar|7z|tar|tgz|gz|bz2|xz|z\d\d|(zip|7z|part|rar)\.?\d{1,3})", re.ASCII | re.IGNORECASE)
_LEFT_BY_COMPUTERS = ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")
_PICTURES = re.compile(r".*\.(jpe?g|jfif|png|bmp|tiff?|webp|gif|heic|heif|avif)", re.ASCII | re.IGNORECASE)
# Files that lie beside pictures and are none.
_DOCUMENTS = re.compile(
    r"readme|licen[cs]e|copying|citation|changelog|authors|notice|makefile"
    r"|.*\.(txt|csv|tsv|md|rst|pdf|rtf|docx?|odt|xlsx?|ods|pptx?|json|jsonl|xml|ya?ml|toml|html?|bib|log|pts|npy|npz|mat"
    r"|pkl|pickle|h5|parquet|py|ipynb|sh|m|r|ini|cfg|url|lnk|lst|sha256|md5)",
    re.ASCII | re.IGNORECASE,
)


def is_document(path: str) -> bool:
    """Return whether a file's name is that of a text, a table or a picture's side file, not of a picture."""
    return bool(_DOCUMENTS.fullmatch(path.rpartition("/")[2]))


def is_picture(path: str) -> bool:
    """Return whether a file's name is that of a picture. Pictures under other names are recognised by their content."""
    return bool(_PICTURES.fullmatch(path))


def is_archive(path: str) -> bool:
    """Return whether a file's name is that of an archive."""
    return bool(_ARCHIVE.fullmatch(path))


def visible(name: str) -> bool:
    """Return whether a file is a person's, not one that a computer leaves beside them."""
    return not name.startswith(".") and name.lower() not in _LEFT_BY_COMPUTERS


class Tree(Protocol):
    """Read access to the files below a root, called `name` in messages."""

    name: str

    def files(self, under: str = "") -> list[str]:
        """Return the paths of all visible files below a folder, sorted."""
        ...

    def folders(self, under: str = "") -> list[str]:
        """Return the paths of the visible folders directly in a folder, sorted."""
        ...

    def listed(self, under: str = "") -> list[str]:
        """Return the paths of the visible files directly in a folder, sorted."""
        ...

    def has(self, path: str) -> bool:
        """Return whether there is such a file."""
        ...

    def read(self, path: str) -> bytes:
        """Read a whole file. `ImageRejected`: it is missing, outside, larger than `MAX_BYTES`, or damaged."""
        ...

    def open(self, path: str) -> IO[bytes]:
        """Open a file as a stream."""
        ...


@contextlib.contextmanager
def open_tree(path: str | os.PathLike) -> Iterator[Tree]:
    """Open a folder or zip as a `Tree`, for a `with` statement.

    Raises:
      DataError: there is nothing, neither a folder nor a zip, or a zip with entries that are absolute, go up, or link.
    """
    path = pathlib.Path(path)
    try:
        there, folder = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:
        raise DataError(f"`path`: wanted a folder or a zip, got a path that no file can have: {error}.") from None
    if folder:
        yield _Folder(path)
        return
    if not there:
        raise DataError(f"`path`: wanted a folder or a zip, got {path}, which does not exist.")
    if is_archive(path.name) and not zipfile.is_zipfile(path):
        raise DataError(
            f"`path`: wanted a folder or a zip, got {path}: another kind of archive, a part of one, or a damaged zip. "
            "Unpack it and give the folder."
        )
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise DataError(f"`path`: wanted a folder or a zip, got {path}, which is neither.")
    tree = _Zip(path)
    with tree.archive:
        yield tree


def lines(tree: Tree, path: str) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line that is not blank. Bytes that are no UTF-8 are replaced.

    Raises:
      DataError: the file cannot be read.
    """
    try:
        with tree.open(path) as stream:
            for number, line in enumerate(iter(lambda: stream.readline(_MAX_LINE), b""), start=1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace").strip()
                if text:
                    yield number, text
    except _ZIP_ERRORS as error:
        raise DataError(f"`path`: {tree.name}: {path} cannot be read: {error}.") from error


class _Folder:
    """Names that are no UTF-8 are shown with escapes. `_raw` leads back to the files."""

    def __init__(self, root: pathlib.Path):
        self.name, self._root = str(root), root
        self._raw: dict[str, str] = {}

    def files(self, under: str = "") -> list[str]:
        found = []
        top = str(self._at(under))
        above = {top: {_identity(top)}}  # folder -> it and those around it, by what they are
        for folder, folders, names in os.walk(top, followlinks=True, onerror=_unreadable):
            # Links are followed, for sets are often linked into place, but never back into a folder around them.
            around, kept = above.pop(folder), []
            for name in filter(visible, folders):
                below = os.path.join(folder, name)
                own = _identity(below)
                if own not in around:
                    above[below] = around | {own}
                    kept.append(name)
            folders[:] = kept
            found += [self._told(os.path.join(folder, name)) for name in names if visible(name)]
        return sorted(found)

    def folders(self, under: str = "") -> list[str]:
        return self._children(under, os.DirEntry.is_dir)

    def listed(self, under: str = "") -> list[str]:
        return self._children(under, os.DirEntry.is_file)

    def _children(self, under, wanted):
        top = self._at(under)
        if not top.is_dir():
            return []
        try:
            entries = list(os.scandir(top))
        except OSError as error:
            _unreadable(error)
            return []
        return sorted(self._told(entry.path) for entry in entries if visible(entry.name) and _is(entry, wanted))

    def _at(self, path) -> pathlib.Path:
        return self._root / self._raw.get(path, path)

    def _told(self, path) -> str:
        raw = pathlib.Path(path).relative_to(self._root).as_posix()
        told = printable(raw)
        if told != raw:
            self._raw[told] = raw
        return told

    def has(self, path: str) -> bool:
        try:
            return not _outside(path) and self._at(path).is_file()
        except (OSError, ValueError):  # a name too long, or with a NUL: no file has it
            return False

    def read(self, path: str) -> bytes:
        if _outside(path):
            raise ImageRejected("missing", "a path that leads out of its folder")
        try:
            status = self._at(path).stat()
            if not stat.S_ISREG(status.st_mode):
                raise ImageRejected("not_image", "not a regular file")
            if status.st_size > MAX_BYTES:
                raise ImageRejected("too_large", f"{status.st_size} bytes, limit {MAX_BYTES}")
            return self._at(path).read_bytes()
        except ImageRejected:
            raise
        except OSError as error:
            raise ImageRejected("missing", error.strerror or str(error)) from None
        except ValueError:  # a name with a NUL
            raise ImageRejected("missing", "a name that no file can have") from None

    def open(self, path: str) -> IO[bytes]:
        return self._at(path).open("rb")


class _Zip:
    def __init__(self, path: pathlib.Path):
        self.name = str(path)
        try:
            self.archive = zipfile.ZipFile(path)
        except _ZIP_ERRORS as error:
            raise DataError(f"`path`: {path} is a damaged zip: {error}. Fetch it again.") from None
        self._entries = {}
        for entry in self.archive.infolist():
            if entry.flag_bits & 1:
                raise DataError(f"`path`: {path} has a password; unpack it and give the folder.")
            name = _entry_name(entry)
            fault = _fault(entry) or ("occurs twice" if name in self._entries else "")
            if fault:
                raise DataError(f"`path`: {path} holds {entry.filename!r}, which {fault}. Nothing was read.")
            if not name.endswith("/"):
                self._entries[name] = entry

    @functools.cached_property
    def _names(self) -> list[str]:
        return sorted(name for name in self._entries if all(map(visible, name.split("/"))))

    @functools.cached_property
    def _inside(self) -> dict[str, tuple[list[str], list[str]]]:
        """Folder -> the folders and the files directly in it: a zip is asked for them often, and may be large."""
        inside: dict[str, tuple[list[str], list[str]]] = {"": ([], [])}
        for name in self._names:
            parts = name.split("/")
            for depth in range(1, len(parts)):
                folder = "/".join(parts[:depth])
                if folder not in inside:
                    inside[folder] = ([], [])
                    inside["/".join(parts[: depth - 1])][0].append(folder)
            inside["/".join(parts[:-1])][1].append(name)
        return inside

    def files(self, under: str = "") -> list[str]:
        start = f"{under}/" if under else ""
        first = bisect.bisect_left(self._names, start)
        return list(itertools.takewhile(lambda name: name.startswith(start), self._names[first:]))

    def folders(self, under: str = "") -> list[str]:
        return sorted(self._inside.get(under, ([], []))[0])

    def listed(self, under: str = "") -> list[str]:
        return list(self._inside.get(under, ([], []))[1])

    def has(self, path: str) -> bool:
        return path in self._entries

    def read(self, path: str) -> bytes:
        entry = self._entries.get(path)
        if entry is None:
            raise ImageRejected("missing", "not in the zip")
        if entry.file_size > MAX_BYTES:
            raise ImageRejected("too_large", f"{entry.file_size} bytes, limit {MAX_BYTES}")
        try:
            return self.archive.read(entry)
        except _ZIP_ERRORS as error:
            raise ImageRejected("decode_failed", f"zip: {error}") from None

    def open(self, path: str) -> IO[bytes]:
        return self.archive.open(self._entries[path])


def _entry_name(entry: zipfile.ZipInfo) -> str:
    """Return an entry's name as meant: some tools write Windows' separators, or UTF-8 without saying so."""
    name = entry.filename.replace("\\", "/")
    if entry.flag_bits & _UTF8 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _is(entry, wanted) -> bool:
    try:
        return wanted(entry)
    except OSError:  # a link to itself
        return False


def _identity(path: str) -> tuple[int, int] | None:
    """Return what identifies a folder, whatever path leads to it, or None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _unreadable(error: OSError) -> None:
    """Refuse a folder that cannot be looked into: what lies there would be lost without a word."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise DataError(f"`path`: the folder {error.filename} cannot be read: {error.strerror}. Make it readable.")


def _outside(path: str) -> bool:
    return path.startswith("/") or ".." in path.replace("\\", "/").split("/")


class Below:
    """A tree seen from one of its folders."""

    def __init__(self, tree: Tree, folder: str):
        self.name, self._tree, self._folder = f"{tree.name}/{folder}", tree, folder

    def files(self, under: str = "") -> list[str]:
        """See `Tree`."""
        return self._own(self._tree.files(self._at(under)))

    def folders(self, under: str = "") -> list[str]:
        """See `Tree`."""
        return self._own(self._tree.folders(self._at(under)))

    def listed(self, under: str = "") -> list[str]:
        """See `Tree`."""
        return self._own(self._tree.listed(self._at(under)))

    def has(self, path: str) -> bool:
        """See `Tree`."""
        return not _outside(path) and self._tree.has(self._at(path))

    def read(self, path: str) -> bytes:
        """See `Tree`."""
        return self._tree.read(self._at(path))

    def open(self, path: str) -> IO[bytes]:
        """See `Tree`."""
        return self._tree.open(self._at(path))

    def _at(self, path):
        if _outside(path):
            raise ImageRejected("missing", "a path that leads out of its folder")
        return f"{self._folder}/{path}" if path else self._folder

    def _own(self, paths):
        return [path.removeprefix(f"{self._folder}/") for path in paths]


def _fault(entry: zipfile.ZipInfo) -> str:
    parts = entry.filename.replace("\\", "/").split("/")
    if parts[0] == "" or ":" in parts[0]:
        return "is an absolute name"
    if ".." in parts:
        return "leads out of its folder"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link"
    return ""
