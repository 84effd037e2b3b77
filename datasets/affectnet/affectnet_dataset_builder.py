"""AffectNet from the user's copy into ArrayRecord shards, without TensorFlow.

Build with `experiments/prepare_data.py`. Read with `tfds.builder_from_directory(path).as_data_source(split)`.
"""

import pathlib

import tensorflow_datasets as tfds
from photographs import PhotographBuilder, PhotographConfig


class Builder(PhotographBuilder):
    """See `PhotographBuilder`. `MANUAL_DOWNLOAD_INSTRUCTIONS` says what the copies look like."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  TFDS' own form
    SOURCE = "affectnet"
    DESCRIPTION = "AffectNet (Mollahosseini et al. 2017): faces of the web, labelled by one person each."
    CITATION = pathlib.Path(__file__).with_name("CITATIONS.bib").read_text(encoding="utf-8")
    HOMEPAGE = "https://www.mohammadmahoor.com/affectnet/"
    BUILDER_CONFIGS = [  # noqa: RUF012
        PhotographConfig(
            name="original",
            description="Picture folders with csv lists, boxes and 68 landmarks.",
            options={"release": "original"},
        ),
        PhotographConfig(
            name="original_with_auto",
            description="The same, and the automatically annotated.",
            options={"release": "original_with_auto"},
        ),
        PhotographConfig(
            name="set8", description="The later eight-class release, cropped.", options={"release": "set8"}
        ),
        PhotographConfig(name="folders", description="Class folders made from either.", options={"release": "folders"}),
        PhotographConfig(name="named", description="Labels in the file names.", options={"release": "named"}),
        PhotographConfig(
            name="relabelled", description="Class folders with a model's labels.", options={"release": "relabelled"}
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Ask its authors for a copy (mohammadmahoor.com). Give one of
      original: Manually_Annotated_Images/<n>/<hash>.jpg with training.csv and validation.csv beside or in
        Manually_Annotated_file_lists/ (original_with_auto: Automatically_Annotated_Images/ and
        automatically_annotated.csv, too),
      set8: train_set/ and val_set/, each with images/<id>.jpg and annotations/<id>_{exp,val,aro,lnd}.npy,
      folders: train/ and val/ with folders of the expressions' names, or 0..7 with the name of a label table,
      named: <id>s<expression>s<1000 valence>s<1000 arousal>.jpg,
      relabelled: class folders with labels.csv,
    a folder or a zip, as `source`, or its folder as `manual_dir`."""
