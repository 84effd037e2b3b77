"""Procedural faces into ArrayRecord shards, without TensorFlow. They are drawn while building. Nothing is read.

Build with `experiments/prepare_data.py`, read with `tfds.builder_from_directory(path).as_data_source(split)`.
"""

import dataclasses
import functools
import hashlib

import cv2
import numpy as np
import tensorflow_datasets as tfds
from array_record_builder import ArrayRecordBuilder

from fer_jax import data, faces, parallel
from fer_jax.categories import Categories
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.frame import LANDMARKS

_DESCRIPTION = (
    "Faces of eight expressions drawn from action units, with landmarks and action units known. Synthetic: for "
    "testing methods and pipelines, never for claims about people."
)
_IMAGES = {"train": 8_000, "validation": 1_600, "stimuli": 280}
STANDARD_PX, SMALL_PX = 224, 96
_POSE = ("yaw", "pitch", "roll", "scale", "centre_x", "centre_y")


@dataclasses.dataclass(eq=False, kw_only=True)
class ProceduralFacesConfig(tfds.core.BuilderConfig):
    """A mixture of faces, their size and number.

    Attributes:
      preset: a name in `faces.PRESETS`.
      image_size: side, pixels.
      seed: of the data set.
      images: split -> number of pictures. A split of 0 is left out.
      categories: some of the eight expressions, in the order of the labels.
    """

    preset: str = "study"
    image_size: int = STANDARD_PX
    seed: int = 0
    images: dict[str, int] = dataclasses.field(default_factory=_IMAGES.copy)
    categories: Categories = EXPRESSIONS


class Builder(ArrayRecordBuilder):
    """Builder with a config for each preset and size. Another `ProceduralFacesConfig` gives seeds, numbers, categories.

    Args:
      workers: processes that draw. The shards do not depend on it. See `parallel.map_ordered`.
    """

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {  # noqa: RUF012  TFDS' own form
        "1.0.0": "First release.",
        "2.0.0": "224 px by default, 8,000 + 1,600 + 280 pictures, with pose and region masks.",
    }
    BUILDER_CONFIGS = [  # noqa: RUF012
        ProceduralFacesConfig(
            name=name + suffix, description=f"Preset {name}, {size} px.", preset=name, image_size=size
        )
        for size, suffix in ((STANDARD_PX, ""), (SMALL_PX, f"_{SMALL_PX}px"))
        for name in ("study", *(name for name in faces.PRESETS if name != "study"))
    ]

    def __init__(self, *, workers: int | None = None, **kwargs):
        self._workers = workers
        super().__init__(**kwargs)

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
                    "expression": tfds.features.ClassLabel(names=list(config.categories)),
                    "shown_expression": tfds.features.ClassLabel(names=list(config.categories)),
                    "soft_label": tfds.features.Tensor(shape=(len(config.categories),), dtype=np.float32),
                    "action_units": tfds.features.Tensor(shape=(2, len(faces.ACTION_UNITS)), dtype=np.float32),
                    "landmarks": tfds.features.Tensor(shape=(LANDMARKS, 2), dtype=np.float32),
                    "landmarks_visible": tfds.features.Tensor(shape=(LANDMARKS,), dtype=np.bool_),
                    "region_mask": tfds.features.Image(
                        shape=(config.image_size, config.image_size, 1), encoding_format="png"
                    ),
                    "pose": tfds.features.FeaturesDict(dict.fromkeys(_POSE, np.float32)),
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
            numpy=np.__version__,
            regions=["none", *faces.REGIONS],
        )
        return {split: functools.partial(self._generate_examples, split, number) for split, number in images.items()}

    def _generate_examples(self, split: str, number: int, done: int):
        config = self.builder_config
        job = functools.partial(_example, config.seed, split, config.preset, config.image_size, config.categories)
        for example in parallel.map_ordered(job, range(done, number), workers=self._workers):
            self.one_done()
            self.shards.note(split, f"{example['expression']} {example['content_hash']}\n".encode())
            yield example

    def _finish(self, splits):
        self.info.metadata["fingerprint"] = {split: self.shards.fingerprint(split) for split in splits}


def _example(seed: int, split: str, preset: str, size: int, categories: Categories, row: int) -> dict:
    """Draw one picture and return its features, encoded in the process that draws it."""
    face = faces.render(faces.draw(seed, split, row, preset=preset, size=size, categories=categories))
    shown, pose = faces.expression_indices(categories), face.pose
    return {
        "image": data.encode_png(face.image),
        "expression": shown.index(face.label),
        "shown_expression": shown.index(face.expression),
        "soft_label": face.soft_label[list(shown)],
        "action_units": face.au,
        "landmarks": face.landmarks,
        "landmarks_visible": face.visible,
        "region_mask": faces.encode_mask(faces.region_mask(face, size)),
        "pose": dict(zip(_POSE, (pose.yaw, pose.pitch, pose.roll, pose.scale, *pose.centre), strict=True)),
        "intensity": face.intensity,
        "difficulty": face.difficulty,
        "identity": face.identity_seed,
        "occluder": face.occluder,
        "file_name": f"{split}/{row:06d}.png",
        "row": row,
        "content_hash": hashlib.sha256(face.image.tobytes()).hexdigest(),
    }
