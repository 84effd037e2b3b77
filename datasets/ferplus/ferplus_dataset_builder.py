"""FER+ from the user's copy into ArrayRecord shards, without TensorFlow."""

from photographs import PhotographBuilder, configs_of


class Builder(PhotographBuilder):
    """See `PhotographBuilder`. `MANUAL_DOWNLOAD_INSTRUCTIONS` says what the copies look like."""

    SOURCE = "ferplus"
    DESCRIPTION = (
        "FER+ (Barsoum et al. 2016): 48 px grey photographs of faces in the wild, each labelled by ten people."
    )
    HOMEPAGE = "https://github.com/microsoft/FERPlus"
    BUILDER_CONFIGS = configs_of(
        "target",
        plurality="The largest of ten counts; ties left out.",
        majority="More than half, single votes dropped.",
        votes="The eight counts as a distribution.",
    )
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Give one of
      a zip or folder with [data/]FER2013Train, FER2013Valid, FER2013Test, each with label.csv and ferNNNNNNN.png
        (what the tool at github.com/microsoft/FERPlus writes), or
      a folder with fer2013.csv (FER2013) and fer2013new.csv (FER+),
    as `source`, or a folder of one of these forms as `manual_dir`."""
