"""AffectNet from the user's copy into ArrayRecord shards, without TensorFlow."""

from photographs import PhotographBuilder, configs_of


class Builder(PhotographBuilder):
    """See `PhotographBuilder`. `MANUAL_DOWNLOAD_INSTRUCTIONS` says what the copies look like."""

    SOURCE = "affectnet"
    DESCRIPTION = "AffectNet (Mollahosseini et al. 2017): faces of the web, labelled by one person each."
    HOMEPAGE = "https://www.mohammadmahoor.com/affectnet/"
    BUILDER_CONFIGS = configs_of(
        "release",
        original="Picture folders with csv lists, boxes and 68 landmarks.",
        original_with_auto="The same, and the automatically annotated.",
        set8="The later eight-class release, cropped.",
        folders="Class folders made from either.",
        named="Labels in the file names.",
        relabelled="Class folders with a model's labels.",
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Ask its authors for a copy (mohammadmahoor.com). Give one of
      original: Manually_Annotated_Images/<n>/<hash>.jpg with training.csv and validation.csv beside or in
        Manually_Annotated_file_lists/ (original_with_auto: Automatically_Annotated_Images/ and
        automatically_annotated.csv, too),
      set8: train_set/ and val_set/, each with images/<id>.jpg and annotations/<id>_{exp,val,aro,lnd}.npy,
      folders: train/ and val/ with folders of the expressions' names, or 0..7 with the name of a label table,
      named: <id>s<expression>s<1000 valence>s<1000 arousal>.jpg,
      relabelled: class folders with labels.csv,
    a folder or a zip, as `source`, or its folder as `manual_dir`."""
