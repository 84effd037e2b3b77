"""What all our builders share: ArrayRecord shards that are the same bytes each time, without TensorFlow."""

import os
from collections.abc import Callable

import tensorflow_datasets as tfds
from tensorflow_datasets.core import writer
from tensorflow_datasets.proto import tf_example_pb2

from fer_jax.errors import DataError, StorageError, UsageError

FILE_FORMAT = "array_record"


class ArrayRecordBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A builder that writes ArrayRecord only: tfrecord needs TensorFlow, and parquet ignores slices when read.

    Args:
      progress: called with the number of rows done; may raise to end the build.
    """

    def __init__(
        self, *, file_format: str = FILE_FORMAT, progress: Callable[[int], None] = lambda done: None, **kwargs
    ):
        if file_format != FILE_FORMAT:
            raise UsageError(f"`file_format`: wanted {FILE_FORMAT}, got {file_format!r}.")
        self._progress, self._done = progress, 0
        super().__init__(file_format=file_format, **kwargs)

    def one_done(self) -> None:
        """Count a row."""
        self._done += 1
        self._progress(self._done)

    def copy_of(self, what: str, dl_manager, source: str | os.PathLike | None) -> str | os.PathLike:
        """Where the user's copy lies: the source given, or TFDS' manual folder.

        Raises:
          DataError: neither is there; the message shows what copies look like.
        """
        if source is not None:
            return source
        try:
            return dl_manager.manual_dir
        except AssertionError:  # TFDS' word for an empty or missing folder
            wanted = " ".join((self.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
            raise DataError(f"`manual_dir`: no {what} there. {wanted}") from None

    def _example_writer(self):
        return _ReproducibleWriter(self.info.file_format)


class _ReproducibleWriter(writer.ExampleWriter):
    """Writes the features of an example in sorted order.

    They are a protobuf map, whose order on the wire otherwise changes from process to process.
    """

    def write(self, path, examples):
        try:
            return super().write(path, ((key, _sorted(record)) for key, record in examples))
        except RuntimeError as error:  # ArrayRecord's word for a disk that is full
            told, place = str(error).partition(";")[0], os.path.dirname(os.path.dirname(path))
            raise StorageError(
                f"`data_dir`: {place} cannot be written: {told}. Nothing half-built is left; free the disk and run "
                "again."
            ) from error


def _sorted(record: bytes) -> bytes:
    return tf_example_pb2.Example.FromString(record).SerializeToString(deterministic=True)
