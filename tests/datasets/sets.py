"""Builders without TensorFlow, and copies to build from."""

import hashlib
import sys

import pytest

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("array_record", reason="no array_record on this platform: the readers work without it")

from affectnet import affectnet_dataset_builder as affectnet  # noqa: E402
from ckplus import ckplus_dataset_builder as ckplus  # noqa: E402
from class_folders import class_folders_dataset_builder as class_folders  # noqa: E402
from rafdb import rafdb_dataset_builder as rafdb  # noqa: E402

BUILDERS = {"affectnet": affectnet, "ckplus": ckplus, "class_folders": class_folders, "rafdb": rafdb}

# The prepare card as a process of its own, its options to follow: a warning or TensorFlow's import fails it. The
# environment's SHARD_BYTES makes shards that small.
PREPARE_WITHOUT_TENSORFLOW = (
    sys.executable,
    "-W",
    "error",
    "-c",
    "import os, sys\n"
    "sys.path.insert(0, 'datasets')\n"
    "import shards\n"
    "shards.SHARD_BYTES = int(os.environ.get('SHARD_BYTES', shards.SHARD_BYTES))\n"
    "from experiments import prepare_data\n"
    "from experiments.harness import command\n"
    "code = command.run(prepare_data.main, prepare_data.PrepareConfig, usage='')\n"
    "assert 'tensorflow' not in sys.modules\n"
    "sys.exit(code)",
)


def build(dataset, source, place, *, config=None, max_reject_frac=0.5, workers=2, **changes):
    """Build a set and read it back by TFDS alone."""
    module = BUILDERS[dataset]
    base = module.Builder.builder_configs[config] if config else module.Builder.BUILDER_CONFIGS[0]
    builder = module.Builder(
        config=base.variant(**changes) if changes else base.name,
        source=source,
        data_dir=place,
        max_reject_frac=max_reject_frac,
        workers=workers,
    )
    builder.download_and_prepare()
    return tfds.builder_from_directory(builder.data_path)


def digests(place):
    """File -> SHA-256 of all files below a folder."""
    files = [path for path in place.rglob("*") if path.is_file()]
    return {path.relative_to(place): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
