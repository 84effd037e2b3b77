"""Prepared sets read by row: any picture at any time, no shuffle buffer, no index in memory but the labels.

Contract: a prepared set is a folder of ArrayRecord shards with TFDS' description beside them, as
`experiments.prepare_data` leaves it. Pictures come out as uint8 (H, W, 3) RGB.
"""

import collections
import concurrent.futures
import functools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fer_jax.categories import Categories
from fer_jax.data.pictures.decode import ImageRejected, decode, square
from fer_jax.data.pictures.image_header import image_header
from fer_jax.errors import DataError, StorageError, UsageError, check_one_of
from fer_jax.frame import LANDMARKS, square_matrix, transform

# Labels of a split beside its shards, so that they need not be gathered from every record.
EXPRESSIONS_FILE = "expressions-{split}.npy"
_AT_ONCE = 1024  # records in memory while something is gathered from all of them


class PreparedSplit:
    """One split of a prepared set, by row.

    Args:
      path: the set's folder (with dataset_info.json).
      split: a split, or several or a part of one in TFDS' words: "train", "train[:10%]", "validation+test".
      size: side of the central squares that pictures become, None for pictures as stored.
      workers: threads that decode a batch. One thread decodes small pictures faster.

    Raises:
      UsageError: no such split, or TFDS is not installed.
      DataError: no prepared set.
    """

    def __init__(self, path: str | os.PathLike, split: str, *, size: int | None = None, workers: int = 1):
        if size is not None and (isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1):
            raise UsageError(f"`size`: wanted a side in pixels, got {size!r}.")
        if not isinstance(split, str):
            raise UsageError(f"`split`: wanted a split's name, got {split!r}.")
        self._builder: Any = open_prepared(path)
        self.path, self.split, self.size = pathlib.Path(self._builder.data_path), split, size
        known = list(self._builder.info.splits)
        try:
            self._source = _raw(self._builder, split)
        except Exception as error:  # TFDS raises what its parser happens to meet
            raise UsageError(f"`split`: wanted some of {', '.join(known)}, got {split!r}.") from error
        self._pool = concurrent.futures.ThreadPoolExecutor(workers) if workers > 1 else None

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return one picture with its label: image uint8 (H, W, 3), expression int32."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"`row`: wanted -{len(self)}..{len(self) - 1}, got {row}.")
        record = self._records([row % len(self)])[0]
        return {"image": self._image(record), "expression": np.int32(self._label(record))}

    @property
    def info(self):
        """TFDS' description: splits, features, metadata."""
        return self._builder.info

    @functools.cached_property
    def categories(self) -> Categories:
        """Categories that labels are indices into."""
        return Categories(tuple(self.info.features["expression"].names))

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """int32 (N,), 0..K-1, of the whole split."""
        file = self.path / EXPRESSIONS_FILE.format(split=self.split)
        if file.is_file():
            counts = (self.info.metadata or {}).get("counts", {}).get(self.split)
            labels = _stored_labels(file, len(self), len(self.categories), counts)
            if labels is not None:
                return labels
        starts = range(0, len(self), _AT_ONCE)
        parts = (self._records(list(range(at, min(at + _AT_ONCE, len(self))))) for at in starts)
        return np.asarray([self._label(record) for part in parts for record in part], np.int32)

    def images(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the pictures of some rows, in the order given.

        Args:
          rows: int (B,), 0..N−1.

        Returns:
          uint8 (B, H, W, 3).

        Raises:
          UsageError: pictures of several sizes and no `size` to bring them to.
        """
        rows = np.asarray(rows)
        if rows.ndim != 1 or (len(rows) and not np.issubdtype(rows.dtype, np.integer)):
            raise UsageError(f"`rows`: wanted whole numbers (B,), got {rows.dtype} {rows.shape}.")
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"`rows`: wanted 0..{len(self) - 1}, got {rows.min()}..{rows.max()}.")
        records = self._records(rows.tolist()) if len(rows) else []
        found = list((self._pool.map if self._pool else map)(self._image, records))
        if len({image.shape for image in found}) > 1:
            raise UsageError("`size`: the pictures differ in size; name the side they are to be brought to.")
        side = self.size or 0
        return np.stack(found) if found else np.zeros((0, side, side, 3), np.uint8)

    def feature(self, name: str, rows: Sequence[int] | np.ndarray) -> list:
        """Read one text or whole number of some rows, without decoding their pictures.

        Args:
          name: such as "file_name", "row" or "content_hash".
          rows: int (B,).

        Returns:
          B of str or int.

        Raises:
          UsageError: the set stores no such feature.
        """
        check_one_of("name", name, self.info.features)
        found = []
        for record in self._each(rows):
            value = _feature(record, name)
            texts, numbers = value.bytes_list.value, value.int64_list.value
            found.append(texts[0].decode() if texts else int(numbers[0]))
        return found

    def soft_labels(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read the shares of the votes of some rows, without decoding their pictures.

        Args:
          rows: int (B,).

        Returns:
          float32 (B, K), rows that sum to 1. A picture with one label has a single 1.

        Raises:
          UsageError: the set stores no such feature.
        """
        check_one_of("name", "soft_label", self.info.features)
        found = [_feature(record, "soft_label").float_list.value for record in self._each(rows)]
        return np.asarray(found, np.float32).reshape(-1, len(self.categories))

    def landmarks(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Read the landmarks of some rows, without decoding their pictures.

        Args:
          rows: int (B,).

        Returns:
          float32 (B, 68, 2), iBUG order, in pixels of what `images` returns. All NaN of a picture without, and of all
          where the set stores none.
        """
        found = np.full((len(rows), LANDMARKS, 2), np.nan, np.float32)
        if "landmarks" not in self.info.features:
            return found
        for place, record in enumerate(self._each(rows)):
            points = np.asarray(_feature(record, "landmarks").float_list.value, np.float32).reshape(LANDMARKS, 2)
            found[place] = points if self.size is None else self._in_square(points, record)
        return found

    def _in_square(self, points, record: bytes) -> np.ndarray:
        """Return points of a stored picture in pixels of the square that it becomes. A damaged picture has none."""
        header = image_header(_feature(record, "image").bytes_list.value[0])
        if header is None or self.size is None:
            return np.full_like(points, np.nan)
        _, width, height = header
        side = min(width, height)
        return transform(points, square_matrix((width - side) // 2, (height - side) // 2, scale=self.size / side))

    def names(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Name the pictures of some rows as `data.read` does: by their file, with the row where it has several faces.

        Args:
          rows: int (B,).

        Returns:
          str (B,).
        """
        files = self.feature("file_name", np.arange(len(self)))
        times = collections.Counter(files)
        told = ((files[row], number) for row, number in zip(rows, self.feature("row", rows), strict=True))
        return np.asarray([file if times[file] == 1 else f"{file}#{number}" for file, number in told], np.str_)

    def examples(self, rows: Sequence[int] | np.ndarray) -> list[dict]:
        """Read everything that is stored of some rows, as TFDS decodes it."""
        source = self._builder.as_data_source(self.split)
        return [source[int(row)] for row in rows]

    def _label(self, record: bytes) -> int:
        label = _feature(record, "expression").int64_list.value[0]
        if not 0 <= label < len(self.categories):
            raise DataError(f"`expression`: wanted 0..{len(self.categories) - 1}, got {label}.")
        return int(label)

    def _each(self, rows: Sequence[int] | np.ndarray) -> Iterator[bytes]:
        """Yield the records of some rows, a part of them in memory at a time."""
        for part in np.array_split(np.asarray(rows, np.int64), max(1, len(rows) // _AT_ONCE)):
            yield from self._records(part.tolist()) if len(part) else ()

    def _records(self, rows: list[int]) -> list[bytes]:
        try:
            return self._source.__getitems__(rows)
        except (RuntimeError, ValueError, IndexError, OSError) as error:  # ArrayRecord's words for damage
            raise StorageError(
                f"`{self.path}`: its shards are damaged ({' '.join(str(error).split())[:120]}). Build the set anew."
            ) from None

    def _image(self, record: bytes) -> np.ndarray:
        try:
            image = decode(_feature(record, "image").bytes_list.value[0])
        except ImageRejected as error:
            raise StorageError(f"`{self.path}`: a stored picture is damaged ({error}). Build the set anew.") from None
        return image if self.size is None else square(image, self.size)


def open_prepared(path: str | os.PathLike):
    """Return TFDS' builder of a prepared set.

    Args:
      path: its folder, or one above it that holds a single set.

    Raises:
      UsageError: TFDS is not installed.
      DataError: no set there, several, or one without pictures and expressions.
      StorageError: a description that is damaged.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        raise UsageError("`path`: a prepared set wants tensorflow-datasets: pip install tensorflow-datasets.") from None
    path = pathlib.Path(path)
    found = [path] if (path / "dataset_info.json").is_file() else sorted(_below(path))
    if not found:
        raise DataError(
            f"`path`: wanted a prepared set (a folder with dataset_info.json, as experiments.prepare_data prints it), "
            f"got {path}."
        )
    if len(found) > 1:
        raise DataError(f"`path`: {path} holds {len(found)} prepared sets; name one: {', '.join(map(str, found[:5]))}.")
    try:
        builder = tfds.builder_from_directory(found[0])
        features = builder.info.features
    except Exception as error:  # TFDS raises what its parsers happen to meet
        told = " ".join(str(error).split())[:120]
        raise StorageError(f"`path`: the description in {found[0]} is damaged ({told}). Build the set anew.") from None
    names = getattr(features["expression"], "names", None) if "expression" in features else None
    if "image" not in features or not names or len(names) < 2:
        raise DataError(f"`path`: {found[0]} holds no pictures with labels of two or more categories.")
    return builder


def _below(path):
    """Yield the sets a few folders down. Half-built ones of killed builds are not visible."""
    for depth in range(1, 4):
        for file in path.glob("*/" * depth + "dataset_info.json"):
            if not any(part.startswith("incomplete.") for part in file.parts):
                yield file.parent


def _stored_labels(file, count, categories, wanted) -> np.ndarray | None:
    """Return the list of labels beside the shards, if it is whole and of these shards."""
    try:
        labels = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if labels.shape != (count,) or labels.dtype != np.uint8 or (count and labels.max() >= categories):
        return None
    counts = np.bincount(labels, minlength=categories).tolist()
    return labels.astype(np.int32) if wanted is None or counts == list(wanted) else None


def _raw(builder, split):
    import tensorflow_datasets as tfds

    method = tfds.core.decode.DeserializeMethod.RAW_BYTES
    return builder.as_data_source(split, deserialize_method=method)


def _feature(record: bytes, name: str):
    """Decode one feature of a record. TFDS' decoder makes arrays of all of them, at a tenth of the speed."""
    return _example_class().FromString(record).features.feature[name]


@functools.cache
def _example_class():
    from tensorflow_datasets.proto import tf_example_pb2

    messages: Any = tf_example_pb2  # generated: type checkers do not see into it
    return messages.Example
