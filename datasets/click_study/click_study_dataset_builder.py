"""Click data of a study into ArrayRecord shards, without TensorFlow: what people opened of each picture, and answered.

Build with `experiments/prepare_data.py`. Read with `tfds.builder_from_directory(path).as_data_source(split)`, or back
into tables with `fer_jax.human.clicks.from_examples`.
"""

import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np
import tensorflow_datasets as tfds
from array_record_builder import ArrayRecordBuilder

from fer_jax import data, human
from fer_jax.categories import Categories
from fer_jax.expressions import EXPRESSIONS

_DESCRIPTION = (
    "A click-reveal study of facial expressions: blurred faces that participants uncover click by click until they "
    "choose between two labels. One example a trial, and every picture once unmasked."
)
# What metadata say of a set's provenance: which trials programs answered, and whether faces are drawn.
_SIMULATED = {"real": "none", "simulated": "all", "mixed": "mixed"}
_SYNTHETIC = {"photographs": False, "drawn": True, "unknown": None}


class Builder(ArrayRecordBuilder):
    """Splits `trials`, all of them, right and wrong, and `originals`, the unmasked pictures."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  TFDS' own form
    MANUAL_DOWNLOAD_INSTRUCTIONS = """Give a study's folder with dataset_description.json and
      data/study-fer2afc_description-{participants,trials,clicks,events}_data.csv (what fer_jax.human.trials.write
      leaves), and the sharp stimuli as PNGs called as the trials call their images, in its folder images or in
      `images`, as `source` or as `manual_dir`. `source` may also be a function that returns a checked `ClickSet`."""

    def __init__(
        self,
        *,
        source: str | os.PathLike | Callable[[], human.clicks.ClickSet] | None = None,
        images: str | os.PathLike | None = None,
        allow_mixed: bool = False,
        categories: Sequence[str] = EXPRESSIONS,
        **kwargs,
    ):
        self._source, self._images, self._allow_mixed = source, images, allow_mixed
        self.categories = Categories(tuple(categories))
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                    "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                    "clicks": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
                    "click_ms": tfds.features.Tensor(shape=(None,), dtype=np.float32),
                    "click_inside": tfds.features.Tensor(shape=(None,), dtype=np.bool_),
                    "true_label": tfds.features.ClassLabel(names=list(self.categories)),
                    "false_label": tfds.features.ClassLabel(names=list(self.categories)),
                    "response": tfds.features.ClassLabel(names=list(self.categories)),
                    "correct": np.bool_,
                    "simulated": np.bool_,
                    "pair": np.int32,
                    "participant": tfds.features.Text(),
                    "image_id": tfds.features.Text(),
                    "source": tfds.features.Text(),
                    "content_hash": tfds.features.Text(),
                    "trial": np.int32,
                    "block": np.int32,
                    "fold": np.int32,
                    "rt_decision_ms": np.float32,
                    "image_px": np.int32,
                    "reveal_radius_px": np.int32,
                    "blur_k": np.int32,
                }
            ),
            supervised_keys=("image", "true_label"),
            homepage="https://arxiv.org/abs/2110.04481",
            citation=pathlib.Path(__file__).with_name("CITATIONS.bib").read_text(encoding="utf-8"),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager):
        if callable(self._source):
            clicked = self._source()
        else:
            clicked = human.clicks.load(
                self.copy_of("click study", dl_manager, self._source),
                images=self._images,
                allow_mixed=self._allow_mixed,
                categories=self.categories,
            )
        table, hashes = clicked.trials.trials, clicked.study["content_hash"]
        self.info.metadata.update(
            simulated=_SIMULATED[clicked.provenance.people],
            synthetic=_SYNTHETIC[clicked.provenance.pictures],
            trials=len(table),
            correct=int(table["correct"].sum()),
            participants=clicked.provenance.num_people,
            images=clicked.provenance.num_pictures,
            equal_images=int(hashes.duplicated().sum()),
            image_px=clicked.image_px,
            reveal_radius_px=clicked.reveal_radius,
            blur_k=clicked.blur_k,
            opencv=cv2.__version__,
        )
        encoded = {
            name: data.encode_png(picture)
            for name, picture in zip(clicked.study["image"], clicked.pictures, strict=True)
        }
        kinds = {
            "trials": human.clicks.trial_examples,
            "originals": human.clicks.original_examples,
        }
        return {
            split: functools.partial(self._generate_examples, split, functools.partial(examples, clicked), encoded)
            for split, examples in kinds.items()
        }

    def _generate_examples(
        self, split: str, examples: Callable[[], Iterable[dict]], encoded: dict[str, bytes], done: int
    ) -> Iterator[dict]:
        for row, example in enumerate(itertools.islice(examples(), done, None), start=done):
            self.one_done()
            mask = data.encode_png(example["mask"])
            if split == "trials":  # the bytes that are stored, against the clicks that are stored
                human.stimuli.check_mask(
                    cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_UNCHANGED),
                    example["clicks"][example["click_inside"]],
                    image_px=example["image_px"],
                    radius=example["reveal_radius_px"],
                    where=f"`trials`: row {row + 1}",
                )
            yield example | {"image": encoded[example["image_id"]], "mask": mask}
