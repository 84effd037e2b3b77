"""FER+ from the user's copy into ArrayRecord shards, without TensorFlow.

Build with `experiments/prepare_data.py`. Read with `tfds.builder_from_directory(path).as_data_source(split)`.
"""

import pathlib

import tensorflow_datasets as tfds
from photographs import PhotographBuilder, PhotographConfig


class Builder(PhotographBuilder):
    """See `PhotographBuilder`. `MANUAL_DOWNLOAD_INSTRUCTIONS` says what the copies look like."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  TFDS' own form
    SOURCE = "ferplus"
    DESCRIPTION = (
        "FER+ (Barsoum et al. 2016): 48 px grey photographs of faces in the wild, each labelled by ten people."
    )
    CITATION = pathlib.Path(__file__).with_name("CITATIONS.bib").read_text(encoding="utf-8")
    HOMEPAGE = "https://github.com/microsoft/FERPlus"
    BUILDER_CONFIGS = [  # noqa: RUF012
        PhotographConfig(name=target, description=text, options={"target": target})
        for target, text in (
            ("plurality", "The largest of ten counts; ties left out."),
            ("majority", "More than half, single votes dropped."),
            ("votes", "The eight counts as a distribution."),
        )
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Give one of
      a zip or folder with [data/]FER2013Train, FER2013Valid, FER2013Test, each with label.csv and ferNNNNNNN.png
        (what the tool at github.com/microsoft/FERPlus writes), or
      a folder with fer2013.csv (FER2013) and fer2013new.csv (FER+),
    as `source`, or a folder of one of these forms as `manual_dir`."""
