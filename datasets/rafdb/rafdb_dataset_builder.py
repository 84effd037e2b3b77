"""RAF-DB from the user's copy into ArrayRecord shards, without TensorFlow."""

from photographs import PhotographBuilder, configs_of


class Builder(PhotographBuilder):
    """See `PhotographBuilder`. `MANUAL_DOWNLOAD_INSTRUCTIONS` says what the copies look like."""

    SOURCE = "rafdb"
    DESCRIPTION = "RAF-DB basic (Li, Deng & Du 2017): faces of the web, about forty labels each; no contempt."
    HOMEPAGE = "http://www.whdeng.cn/raf/model1.html"
    BUILDER_CONFIGS = configs_of(aligned="The faces aligned to 100 px.")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Ask its authors for a copy (whdeng.cn/raf). Give a folder or a zip with
      EmoLabel/list_patition_label.txt and Image/aligned/<name>_aligned.jpg, or
      train_labels.csv and test_labels.csv (image, label) and train/<label>/, test/<label>/
    as `source`, or its folder as `manual_dir`."""
