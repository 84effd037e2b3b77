"""Pictures of your own into ArrayRecord shards, without TensorFlow.

Build with `experiments/prepare_data.py`. Read with `tfds.builder_from_directory(path).as_data_source(split)`.
"""

import pathlib

import tensorflow_datasets as tfds
from photographs import PhotographBuilder, PhotographConfig


class Builder(PhotographBuilder):
    """See `PhotographBuilder`. `MANUAL_DOWNLOAD_INSTRUCTIONS` says what the copies look like."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  TFDS' own form
    SOURCE = "class_folders"
    DESCRIPTION = "Pictures of your own, in folders named after their expression."
    CITATION = pathlib.Path(__file__).with_name("CITATIONS.bib").read_text(encoding="utf-8")
    HOMEPAGE = "https://arxiv.org/abs/2110.04481"
    BUILDER_CONFIGS = [  # noqa: RUF012
        PhotographConfig(name="named", description="Folders named after expressions.", options={}),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Give a folder or a zip with
      happy/, sad/, ... alone, or below train/, validation/, test/
    as `source`, or its folder as `manual_dir`. Numbered folders want the name of a label table."""
