"""AffectNet's later eight-class release: cropped pictures with one `.npy` file an annotation.

Contract: `<set>/images/<id>.jpg`, `<set>/annotations/<id>_{exp,val,aro,lnd}.npy`, each a number (as number or text) or
136 numbers. Nothing is ever unpickled.
"""

import functools
import io
import math
from collections.abc import Iterator

import numpy as np

from fer_jax.data.file_tree import Tree, is_document
from fer_jax.data.listing import NO_QUALITY, Listing, Quality, Rejection, Row
from fer_jax.data.pictures.decode import ImageRejected
from fer_jax.data.sources.affectnet.annotations import ABSENT, annotated_row, points
from fer_jax.data.tables import real
from fer_jax.errors import DataError
from fer_jax.expressions import DROP, LABEL_TABLES
from fer_jax.frame import LANDMARKS

SETS = {"train_set": "train", "val_set": "validation", "valid_set": "validation"}
_LABELS = LABEL_TABLES["affectnet"]
_UNREADABLE = (ValueError, EOFError, OSError, OverflowError, MemoryError, SyntaxError, TypeError, KeyError)


def sets_of(tree: Tree) -> dict[str, str]:
    """Find the folders of sets at the root, in whatever case, and the split that each is.

    Raises:
      DataError: two are one split.
    """
    found: dict[str, str] = {}
    for name in tree.folders():
        split = SETS.get(name.lower())
        if split is None or f"{name}/annotations" not in tree.folders(name):
            continue
        if split in found.values():
            raise DataError(
                f"`path`: {tree.name} holds {name}/ and another set that is {split}; give a folder with one."
            )
        found[name] = split
    return {name: found[name] for name in sorted(found, key=lambda one: list(SETS).index(one.lower()))}


def list_arrays(tree: Tree) -> Listing:
    """Return the listing of the sets, in the order of the pictures' numbers."""
    sets = sets_of(tree)
    splits = {split: functools.partial(_rows, tree, name) for name, split in sets.items()}
    return Listing("affectnet set8", splits, exif="ignore")


def _rows(tree, name) -> Iterator[Row | Rejection]:
    paths, alone = _paths(tree, name)
    for row, path in enumerate(paths):
        if is_document(path):
            yield Rejection(row, path, "document", "a text or side file, no picture")
        else:
            yield _row(tree, name, row, path)
    for row, stem in enumerate(alone, start=len(paths)):
        yield Rejection(row, f"{name}/images/{stem}", "missing", f"{name}/annotations/{stem}_exp.npy has no picture")


def _paths(tree, name) -> tuple[list[str], list[str]]:
    """Return the pictures of a set in the order of their numbers, and the stems of labels without one."""
    paths = sorted(tree.files(f"{name}/images"), key=_number)
    pictured = {_stem(path) for path in paths}
    labels = (path for path in tree.files(f"{name}/annotations") if path.endswith("_exp.npy"))
    annotated = {_stem(path).removesuffix("_exp") for path in labels}
    return paths, sorted(annotated - pictured)


def _stem(path):
    return path.rpartition("/")[2].rpartition(".")[0]


def _number(path):
    stem = _stem(path)
    return (0, int(stem), path) if stem.isascii() and stem.isdecimal() else (1, 0, path)


def _row(tree, name, row, path) -> Row | Rejection:
    files = {kind: f"{name}/annotations/{_stem(path)}_{kind}.npy" for kind in ("exp", "val", "aro", "lnd")}
    try:
        value = _scalar(tree.read(files["exp"]))
    except ImageRejected as error:
        return Rejection(row, path, "label_unknown", f"{files['exp']}: {error.detail or error.reason}")
    if not value.is_integer() or not 0 <= value < len(_LABELS):
        return Rejection(row, path, "label_unknown", f"{files['exp']}: wanted a number in 0..{len(_LABELS) - 1}")
    if _LABELS[int(value)] == DROP:
        return Rejection(row, path, "label_dropped", f"label {int(value)}")
    notes: list[str] = []
    valence, arousal = (_affect(tree, files[kind], notes) for kind in ("val", "aro"))
    landmarks = _landmarks(tree, files["lnd"], notes)
    return annotated_row(
        int(value),
        valence=valence,
        arousal=arousal,
        quality=NO_QUALITY if landmarks is not None else Quality.NO_LANDMARKS,
        row=row,
        path=path,
        load=functools.partial(tree.read, path),
        landmarks=landmarks,
        notes=tuple(notes),
    )


def _affect(tree, path, notes) -> float:
    try:
        value = _scalar(tree.read(path))
    except ImageRejected as error:
        value, told = math.nan, error.detail or error.reason
    else:
        told = "wanted a number in -1..1"
    if -1 <= value <= 1:
        return value
    if value != ABSENT:
        notes.append(f"{path}: {told}")
    return math.nan


def _landmarks(tree, path, notes) -> np.ndarray | None:
    try:
        values = small_array(tree.read(path), at_most=2 * LANDMARKS).astype(np.float64)
        found = points(values)
        if found is not None:
            return found
        notes.append(f"{path}: wanted {2 * LANDMARKS} finite numbers, got {values.size}")
    except ValueError:
        notes.append(f"{path}: wanted numbers, got text")
    except ImageRejected as error:
        notes.append(f"{path}: {error.detail or error.reason}")
    return None


def _scalar(data: bytes) -> float:
    """Return the one number of a file, as number or text, NaN if it holds something else."""
    array = small_array(data, at_most=1)
    if array.size != 1:
        return math.nan
    value = array.reshape(())[()]
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return real(value.strip()) if isinstance(value, str) else float(np.real(value))


def small_array(data: bytes, *, at_most: int) -> np.ndarray:
    """Read a NumPy file of a few numbers or texts. What the header claims is checked first.

    Args:
      data: the whole `.npy` file.
      at_most: elements.

    Raises:
      ImageRejected: no such file, objects that would have to be unpickled, or more elements.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        count = math.prod(shape)
        if dtype.hasobject:
            raise ImageRejected("label_unknown", "wanted numbers, got pickled objects, which are never read")
        if dtype.kind not in "biufUS" or count > at_most or dtype.itemsize > 1024:
            raise ImageRejected("label_unknown", f"wanted at most {at_most} numbers, got {dtype} {shape}"[:160])
        return np.frombuffer(data, dtype, count, stream.tell())
    except _UNREADABLE as error:
        if isinstance(error, ImageRejected):
            raise
        raise ImageRejected("label_unknown", f"no NumPy file ({type(error).__name__})") from None
