"""A data set into TFDS shards, once; then every script reads it by row, without decoding surprises.

    python -m experiments.prepare_data --dataset=ferplus --source=ferplus.zip --data_dir=tfds
    python -m experiments.prepare_data --dataset=procedural_faces --preset=study --data_dir=tfds

No figure of the paper: §3's pictures, ready for §5. One core: FER+ (32,137 pictures) half a minute, procedural faces
about seventy pictures of 224 px a second; they are the same bytes from any number of --workers. Prints where the set
lies and how many pictures each class has; what was left out is in rejected.csv there.
`--audit_labels=sheet.png` draws eight pictures of each class as labelled: a wrong label table is seen at a glance. Read
with `tfds.builder_from_directory(<printed path>).as_data_source("train")`.
"""

import contextlib
import dataclasses
import os
import pathlib
import sys

from experiments import command
from experiments.command import option
from fer_jax.errors import StorageError, UsageError

DATASETS = ("ferplus", "procedural_faces")
PRESETS = ("easy", "medium", "hard", "study", "very_hard")
_THUMBNAILS, _TILE = 8, 96


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """What to build, from what, to where."""

    dataset: str = option("ferplus", "Data set to build.", choices=DATASETS)
    source: str | None = option(None, "FER+: the zip, the folder, or the folder of the csv pair.")
    data_dir: str | None = option(None, "Folder the built sets go to, such as tfds.")
    target: str = option("plurality", "FER+: label from the votes.", choices=("plurality", "majority", "votes"))
    max_reject_frac: float = option(0.01, "FER+: largest share of unusable rows of a split.")
    preset: str = option("study", "Procedural faces: difficulty.", choices=PRESETS)
    image_size: int = option(224, "Procedural faces: side, pixels.")
    train_images: int = option(8_000, "Procedural faces: pictures for training.")
    validation_images: int = option(1_600, "Procedural faces: pictures for validation.")
    stimuli_images: int = option(280, "Procedural faces: pictures for a study with people.")
    seed: int = option(0, "Procedural faces: seed of the set.")
    workers: int | None = option(None, "Procedural faces: processes that draw.", unset="one a core")
    audit_labels: str | None = option(None, "Also draw eight pictures of each class to this PNG.")
    overwrite: bool = option(False, "Build anew what is there already.")


def prepare(config: PrepareConfig) -> None:
    """Build, and print where to find it and what it holds."""
    if not config.data_dir:
        raise UsageError("`--data_dir`: wanted a folder for the built sets, such as --data_dir=tfds, got none.")
    if config.dataset == "ferplus" and not config.source:
        raise UsageError("`--source`: --dataset=ferplus wants the zip or folder your copy lies in, got none.")
    import numpy as np
    import tensorflow_datasets as tfds

    from fer_jax.expressions import EXPRESSIONS, NUM_EXPRESSIONS

    builder = _builder(config)
    _remove_leftovers(builder.data_path)
    if config.overwrite or not builder.data_path.exists():
        mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
        with contextlib.redirect_stdout(sys.stderr):  # TFDS prints; stdout is for results
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(download_mode=mode))
    else:
        sys.stderr.write(f"{builder.data_path} is there already; --overwrite builds it anew.\n")
    print(builder.data_path)
    for split in builder.info.splits:
        source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        labels = [int(example["expression"]) for example in source]
        counts = np.bincount(labels, minlength=NUM_EXPRESSIONS)
        shown = ", ".join(f"{name} {count}" for name, count in zip(EXPRESSIONS, counts, strict=True))
        print(f"{split}: {len(labels)} pictures: {shown}")
    if config.audit_labels:
        print(_audit(builder, pathlib.Path(config.audit_labels)))


def _builder(config):
    # TFDS wants a folder of its own for each builder, without a package around them.
    folder = str(pathlib.Path(__file__).resolve().parent.parent / "datasets")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if config.dataset == "ferplus":
        from ferplus import ferplus_dataset_builder as ferplus

        return ferplus.Builder(
            config=config.target,
            data_dir=config.data_dir,
            source=config.source,
            max_reject_frac=config.max_reject_frac,
        )
    from procedural_faces import procedural_faces_dataset_builder as procedural_faces

    images = {
        "train": config.train_images,
        "validation": config.validation_images,
        "stimuli": config.stimuli_images,
    }
    wanted = (config.preset, config.image_size, config.seed, images)
    for standard in procedural_faces.Builder.BUILDER_CONFIGS:
        if (standard.preset, standard.image_size, standard.seed, standard.images) == wanted:
            break
    else:
        numbers = "_".join(map(str, images.values()))
        standard = procedural_faces.ProceduralFacesConfig(
            name=f"{config.preset}_{config.image_size}px_seed{config.seed}_{numbers}",
            preset=config.preset,
            image_size=config.image_size,
            seed=config.seed,
            images=images,
        )
    workers = os.cpu_count() if config.workers is None else config.workers
    return procedural_faces.Builder(config=standard, data_dir=config.data_dir, workers=workers)


def _remove_leftovers(path):
    """Half-built folders of builds that were killed; TFDS leaves them for ever."""
    import shutil

    if path.parent.is_dir():
        for leftover in pathlib.Path(path.parent).glob(f"incomplete.*_{path.name}"):
            shutil.rmtree(leftover)


def _audit(builder, path) -> pathlib.Path:
    """A sheet with a row for each expression, as labelled."""
    import cv2
    import numpy as np

    from fer_jax.expressions import EXPRESSIONS, NUM_EXPRESSIONS

    sheet = np.full((NUM_EXPRESSIONS, _TILE, _THUMBNAILS + 1, _TILE, 3), 255, np.uint8)
    filled = [0] * NUM_EXPRESSIONS
    for example in builder.as_data_source(next(iter(builder.info.splits))):
        expression = int(example["expression"])
        if filled[expression] < _THUMBNAILS:
            filled[expression] += 1
            tile = cv2.resize(example["image"], (_TILE, _TILE), interpolation=cv2.INTER_AREA)
            sheet[expression, :, filled[expression]] = tile
        if min(filled) == _THUMBNAILS:
            break
    for expression, name in enumerate(EXPRESSIONS):
        label = np.full((_TILE, _TILE, 3), 255, np.uint8)
        cv2.putText(label, name, (4, _TILE // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        sheet[expression, :, 0] = label
    flat = sheet.reshape(NUM_EXPRESSIONS * _TILE, -1, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        written = cv2.imwrite(str(path), flat[..., ::-1])
    except cv2.error:  # no encoder for the suffix
        written = False
    if not written:
        raise StorageError(f"`--audit_labels`: could not write {path}; give a name that ends in .png.")
    return path


if __name__ == "__main__":
    sys.exit(command.run(prepare, PrepareConfig, usage=__doc__))
