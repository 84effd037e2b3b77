"""CK+ from the user's copy into ArrayRecord shards, without TensorFlow."""

from photographs import PhotographBuilder, configs_of


class Builder(PhotographBuilder):
    """See `PhotographBuilder`. `MANUAL_DOWNLOAD_INSTRUCTIONS` says what the copies look like."""

    SOURCE = "ckplus"
    DESCRIPTION = "CK+ (Lucey et al. 2010): posed sequences from a neutral face to an expression's peak."
    HOMEPAGE = "https://www.jeffcohn.net/Resources/"
    BUILDER_CONFIGS = configs_of(apex="A sequence's last frame, its first as neutral; split by people.")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Ask its authors for a copy (jeffcohn.net). Give one of
      cohn-kanade-images/S<person>/<sequence>/*.png with Emotion/S<person>/<sequence>/*_emotion.txt,
      class folders (anger/, contempt/, ...) of pictures that others made, or
      ckextended.csv (emotion, pixels) with the name of a label table,
    a folder or a zip, as `source`, or its folder as `manual_dir`."""
