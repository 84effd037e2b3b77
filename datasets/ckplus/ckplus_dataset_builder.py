"""CK+ from the user's copy into ArrayRecord shards, without TensorFlow.

Build with `experiments/prepare_data.py`. Read with `tfds.builder_from_directory(path).as_data_source(split)`.
"""

import pathlib

import tensorflow_datasets as tfds
from photographs import PhotographBuilder, PhotographConfig


class Builder(PhotographBuilder):
    """See `PhotographBuilder`. `MANUAL_DOWNLOAD_INSTRUCTIONS` says what the copies look like."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  TFDS' own form
    SOURCE = "ckplus"
    DESCRIPTION = "CK+ (Lucey et al. 2010): posed sequences from a neutral face to an expression's peak."
    CITATION = pathlib.Path(__file__).with_name("CITATIONS.bib").read_text(encoding="utf-8")
    HOMEPAGE = "https://www.jeffcohn.net/Resources/"
    BUILDER_CONFIGS = [  # noqa: RUF012
        PhotographConfig(
            name="apex", description="A sequence's last frame, its first as neutral; split by people.", options={}
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Ask its authors for a copy (jeffcohn.net). Give one of
      cohn-kanade-images/S<person>/<sequence>/*.png with Emotion/S<person>/<sequence>/*_emotion.txt,
      class folders (anger/, contempt/, ...) of pictures that others made, or
      ckextended.csv (emotion, pixels) with the name of a label table,
    a folder or a zip, as `source`, or its folder as `manual_dir`."""
