"""RAF-DB from the user's copy into ArrayRecord shards, without TensorFlow.

Build with `experiments/prepare_data.py`. Read with `tfds.builder_from_directory(path).as_data_source(split)`.
"""

import pathlib

import tensorflow_datasets as tfds
from photographs import PhotographBuilder, PhotographConfig


class Builder(PhotographBuilder):
    """See `PhotographBuilder`. `MANUAL_DOWNLOAD_INSTRUCTIONS` says what the copies look like."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  TFDS' own form
    SOURCE = "rafdb"
    DESCRIPTION = "RAF-DB basic (Li, Deng & Du 2017): faces of the web, about forty labels each; no contempt."
    CITATION = pathlib.Path(__file__).with_name("CITATIONS.bib").read_text(encoding="utf-8")
    HOMEPAGE = "http://www.whdeng.cn/raf/model1.html"
    BUILDER_CONFIGS = [  # noqa: RUF012
        PhotographConfig(name="aligned", description="The faces aligned to 100 px.", options={}),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Ask its authors for a copy (whdeng.cn/raf). Give a folder or a zip with
      EmoLabel/list_patition_label.txt and Image/aligned/<name>_aligned.jpg, or
      train_labels.csv and test_labels.csv (image, label) and train/<label>/, test/<label>/
    as `source`, or its folder as `manual_dir`."""
