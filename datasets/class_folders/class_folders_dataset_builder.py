"""Pictures of your own into ArrayRecord shards, without TensorFlow."""

from photographs import PhotographBuilder, configs_of


class Builder(PhotographBuilder):
    """See `PhotographBuilder`. `MANUAL_DOWNLOAD_INSTRUCTIONS` says what the copies look like."""

    SOURCE = "class_folders"
    DESCRIPTION = "Pictures of your own, in folders named after their expression."
    HOMEPAGE = "https://arxiv.org/abs/2110.04481"
    BUILDER_CONFIGS = configs_of(named="Folders named after expressions.")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Give a folder or a zip with
      happy/, sad/, ... alone, or below train/, validation/, test/
    as `source`, or its folder as `manual_dir`. Numbered folders want the name of a label table."""
