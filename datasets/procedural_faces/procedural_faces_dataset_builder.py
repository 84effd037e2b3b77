"""Procedural faces into ArrayRecord shards, without TensorFlow: drawn while building, nothing is read.

Build with `experiments/prepare_data.py`; read with `tfds.builder_from_directory(path).as_data_source(split)`.
"""

import dataclasses
import hashlib

import cv2
import numpy as np
import tensorflow_datasets as tfds
from array_record_builder import ArrayRecordBuilder

from fer_jax import data, faces
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS, NUM_EXPRESSIONS

_DESCRIPTION = (
    "Faces of eight expressions drawn from action units, with landmarks and action units known. Synthetic: for "
    "testing methods and pipelines, never for claims about people."
)
_LANDMARKS = 68


@dataclasses.dataclass(eq=False, kw_only=True)
class ProceduralFacesConfig(tfds.core.BuilderConfig):
    """What is drawn.

    Attributes:
      preset: a name in `faces.PRESETS`.
      image_size: side, pixels.
      seed: of the data set.
      images: split -> number of pictures; a split of 0 is left out.
    """

    preset: str = "study"
    image_size: int = 96
    seed: int = 0
    images: dict[str, int] = dataclasses.field(default_factory=lambda: {"train": 1920, "validation": 760, "stimuli": 0})


class Builder(ArrayRecordBuilder):
    """One config for each preset; other sizes, seeds and numbers through a `ProceduralFacesConfig` of one's own."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  TFDS' own form
    BUILDER_CONFIGS = [  # noqa: RUF012
        ProceduralFacesConfig(name=name, description=f"Preset {name}.", preset=name)
        for name in ("study", *(name for name in faces.PRESETS if name != "study"))
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(config.image_size, config.image_size, 3), encoding_format="png"
                    ),
                    "expression": tfds.features.ClassLabel(names=list(EXPRESSIONS)),
                    "shown_expression": tfds.features.ClassLabel(names=list(EXPRESSIONS)),
                    "soft_label": tfds.features.Tensor(shape=(NUM_EXPRESSIONS,), dtype=np.float32),
                    "action_units": tfds.features.Tensor(shape=(2, len(faces.ACTION_UNITS)), dtype=np.float32),
                    "landmarks": tfds.features.Tensor(shape=(_LANDMARKS, 2), dtype=np.float32),
                    "landmarks_visible": tfds.features.Tensor(shape=(_LANDMARKS,), dtype=np.bool_),
                    "intensity": np.float32,
                    "difficulty": np.float32,
                    "identity": np.int64,
                    "occluder": tfds.features.ClassLabel(names=list(faces.OCCLUDERS)),
                    "file_name": tfds.features.Text(),
                    "row": np.int64,
                    "content_hash": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "expression"),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        config = self.builder_config
        images = {split: number for split, number in config.images.items() if number}
        if not images or not set(images) <= set(faces.SPLITS) or min(images.values()) < 0:
            raise UsageError(f"`images`: wanted numbers for some of {', '.join(faces.SPLITS)}, got {config.images}.")
        self.info.metadata.update(
            synthetic=True,
            preset=config.preset,
            seed=config.seed,
            image_size=config.image_size,
            render_version=faces.RENDER_VERSION,
            opencv=cv2.__version__,
        )
        return {split: self._generate_examples(split, number) for split, number in images.items()}

    def _generate_examples(self, split: str, number: int):
        config = self.builder_config
        for row in range(number):
            face = faces.render(faces.draw(config.seed, split, row, preset=config.preset, size=config.image_size))
            name = f"{split}/{row:06d}"
            yield (
                name,
                {
                    "image": data.encode_png(face.image),
                    "expression": face.label,
                    "shown_expression": face.expression,
                    "soft_label": face.soft_label,
                    "action_units": face.au,
                    "landmarks": face.landmarks,
                    "landmarks_visible": face.visible,
                    "intensity": face.intensity,
                    "difficulty": face.difficulty,
                    "identity": face.identity_seed,
                    "occluder": face.occluder,
                    "file_name": f"{name}.png",
                    "row": row,
                    "content_hash": hashlib.sha256(face.image.tobytes()).hexdigest(),
                },
            )
