"""The base of all our builders: ArrayRecord shards that are the same bytes each time, without TensorFlow."""

import functools
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable

import tensorflow_datasets as tfds
from shards import Shards
from tensorflow_datasets.core import example_serializer
from tensorflow_datasets.proto import tf_example_pb2

import fer_jax
from fer_jax.errors import DataError, UsageError

FILE_FORMAT = "array_record"


class ArrayRecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder that writes ArrayRecord only: tfrecord needs TensorFlow, and parquet ignores slices when read.

    TFDS' writer keeps a split in memory, and one of more than 1,000 MiB needs TensorFlow. So shards are written
    here, as their rows come, and never sorted: `_split_generators` gives, for each split, a function of the number of
    rows done that yields the following ones, each an example, or None for a row of which nothing is stored.

    Args:
      progress: called with the number of rows done. It may raise to end the build.

    Attributes:
      work: where a build that is killed leaves its whole shards, so that the next one goes on. None keeps none. Only
        one build at a time may use the folder.
      in_all: rows that are to be done, as far as known.
      made_from: a description of the sources that differs for other or changed sources.
    """

    # Splits that are written before the others and in this order, whatever theirs in the set.
    FIRST: tuple[str, ...] = ()

    def __init__(
        self, *, file_format: str = FILE_FORMAT, progress: Callable[[int], None] = lambda done: None, **kwargs
    ):
        if file_format != FILE_FORMAT:
            raise UsageError(f"`file_format`: wanted {FILE_FORMAT}, got {file_format!r}.")
        self._progress, self._done = progress, 0
        self.work: pathlib.Path | None = None
        self.in_all: int | None = None
        self.made_from: dict = {}
        self.shards: Shards | None = None
        super().__init__(file_format=file_format, **kwargs)

    def one_done(self) -> None:
        """Count a row."""
        self._done += 1
        self._progress(self._done)

    def copy_of(self, what: str, dl_manager, source: str | os.PathLike | None) -> str | os.PathLike:
        """Return where the user's copy lies: the source given, or TFDS' manual folder.

        Raises:
          DataError: neither is there. The message shows what copies look like.
        """
        if source is not None:
            return source
        try:
            return dl_manager.manual_dir
        except AssertionError:  # TFDS' word for an empty or missing folder
            wanted = " ".join((self.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
            raise DataError(f"`manual_dir`: no {what} there. {wanted}") from None

    def _download_and_prepare(self, dl_manager, download_config):
        del download_config
        splits: dict[str, Callable[[int], Iterable]] = self._split_generators(dl_manager)
        folder = self.work or pathlib.Path(self.data_path) / "unfinished"
        place = str(pathlib.Path(self.data_path).parent)
        with Shards(folder, self._identity(), place=place) as self.shards:
            self._done = self.shards.rows_done()
            features = self.info.features
            serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
            record = functools.partial(_record, features, serializer)
            first = [split for split in self.FIRST if split in splits]
            for split in dict.fromkeys([*first, *splits]):
                self.shards.write(split, splits[split], record)
            self._finish(list(splits))
            self.info.set_splits(tfds.core.splits.SplitDict([self._placed(split) for split in splits]))
        if self.work is None:
            shutil.rmtree(folder)

    def _finish(self, splits: list[str]) -> None:
        """Say of a set what is known only when all of it is written: its metadata, files beside its shards."""

    def _placed(self, split) -> tfds.core.SplitInfo:
        template = self._get_filename_template(split_name=split)
        lengths, size = self.shards.place(
            split, lambda number, of: template.sharded_filepath(shard_index=number, num_shards=of)
        )
        return tfds.core.SplitInfo(name=split, shard_lengths=lengths, num_bytes=size, filename_template=template)

    def _identity(self) -> str:
        """Return what two builds must agree on for one to go on where the other stopped."""
        told = [self.info.full_name, fer_jax.__version__, tfds.__version__, self.made_from, dict(self.info.metadata)]
        return json.dumps(told, default=str, sort_keys=True)


def _record(features, serializer, example) -> bytes:
    """Return an example as it is stored, its features in sorted order.

    They are a protobuf map, whose order on the wire otherwise changes from process to process.
    """
    record = serializer.serialize_example(features.encode_example(example))
    return tf_example_pb2.Example.FromString(record).SerializeToString(deterministic=True)
