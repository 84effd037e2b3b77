"""FER+ from the user's own copy into ArrayRecord shards, without TensorFlow.

Build with `experiments/prepare_data.py`; read with `tfds.builder_from_directory(path).as_data_source(split)`.
"""

import collections
import dataclasses
import hashlib
import os

import cv2
import numpy as np
import tensorflow_datasets as tfds
from array_record_builder import ArrayRecordBuilder

from fer_jax import data
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS, LABEL_TABLES, NUM_EXPRESSIONS

_DESCRIPTION = "FER+ (Barsoum et al. 2016): 48 px grey photographs of faces in the wild, each labelled by ten people."
_CITATION = """@inproceedings{barsoum2016ferplus,
  title={Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution},
  author={Barsoum, Emad and Zhang, Cha and Canton Ferrer, Cristian and Zhang, Zhengyou},
  booktitle={ACM International Conference on Multimodal Interaction (ICMI)},
  year={2016}
}"""


@dataclasses.dataclass(eq=False, kw_only=True)
class FerplusConfig(tfds.core.BuilderConfig):
    """How votes become a label; see `fer_jax.data.read_ferplus`."""

    target: str = "plurality"


class Builder(ArrayRecordBuilder):
    """Splits train, validation and test, those that the copy has; pictures in the order of its lists."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  TFDS' own form
    BUILDER_CONFIGS = [  # noqa: RUF012
        FerplusConfig(name="plurality", description="The largest of ten counts; ties left out."),
        FerplusConfig(name="majority", description="More than half, single votes dropped.", target="majority"),
        FerplusConfig(name="votes", description="The eight counts as a distribution.", target="votes"),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Give one of
      a zip or folder with [data/]FER2013Train, FER2013Valid, FER2013Test, each with label.csv and ferNNNNNNN.png
        (what the tool at github.com/microsoft/FERPlus writes), or
      a folder with fer2013.csv (FER2013) and fer2013new.csv (FER+),
    as `source`, or a folder of one of these forms as `manual_dir`."""

    def __init__(
        self,
        *,
        source: str | os.PathLike | None = None,
        max_reject_frac: float = 0.01,
        **kwargs,
    ):
        self._source, self._max_reject_frac = source, max_reject_frac
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "expression": tfds.features.ClassLabel(names=list(EXPRESSIONS)),
                    "source_label": np.int32,
                    "soft_label": tfds.features.Tensor(shape=(NUM_EXPRESSIONS,), dtype=np.float32),
                    "file_name": tfds.features.Text(),
                    "row": np.int64,
                    "content_hash": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "expression"),
            homepage="https://github.com/microsoft/FERPlus",
            citation=_CITATION,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager):
        found = data.read_ferplus(
            self._place(dl_manager), target=self.builder_config.target, max_reject_frac=self._max_reject_frac
        )
        (self.data_path / "rejected.csv").write_text(found.rejected.to_csv(index=False, lineterminator="\n"))
        reasons = found.rejected.groupby(["split", "reason"]).size()
        self.info.metadata.update(
            target=self.builder_config.target,
            opencv=cv2.__version__,
            rejected={f"{split}/{reason}": int(count) for (split, reason), count in reasons.items()},
            fingerprint={split: data.fingerprint(faces) for split, faces in found.splits.items()},
        )
        return {split: self._generate_examples(faces) for split, faces in found.splits.items()}

    def _generate_examples(self, faces: data.FaceSet):
        one_hot = np.eye(NUM_EXPRESSIONS, dtype=np.float32)
        soft = one_hot[faces.labels] if faces.soft_labels is None else faces.soft_labels
        keys = collections.Counter(faces.rows.tolist())
        if len(keys) != len(faces):
            raise DataError(f"`rows`: wanted different rows in {faces.split}, got {keys.most_common(1)[0][0]} twice.")
        for index in range(len(faces)):
            image, row = faces.images[index], int(faces.rows[index])
            yield (
                f"{faces.split}/{row:06d}",
                {
                    "image": data.encode_png(image),
                    "expression": int(faces.labels[index]),
                    "source_label": LABEL_TABLES["ferplus"].index(faces.labels[index]),
                    "soft_label": soft[index],
                    "file_name": str(faces.names[index]),
                    "row": row,
                    # Of the pixels, not of the file: the same picture has one hash in zip, folder and csv.
                    "content_hash": hashlib.sha256(image.tobytes()).hexdigest(),
                },
            )

    def _place(self, dl_manager):
        if self._source is not None:
            return self._source
        try:
            return dl_manager.manual_dir
        except AssertionError:  # TFDS' word for an empty or missing folder
            raise DataError(
                f"`manual_dir`: no FER+ there. {' '.join(self.MANUAL_DOWNLOAD_INSTRUCTIONS.split())}"
            ) from None
