"""A data set into TFDS shards, once; then every script reads it by row, without decoding surprises.

    python -m experiments.prepare_data --dataset=ferplus --manual_dir=ferplus.zip --data_dir=tfds
    python -m experiments.prepare_data --dataset=affectnet --manual_dir=AffectNet --data_dir=tfds --crop=box
    python -m experiments.prepare_data --dataset=class_folders --manual_dir=my_pictures --data_dir=tfds --crop=square
    python -m experiments.prepare_data --dataset=procedural_faces --preset=study --data_dir=tfds

No figure of the paper: §3's pictures, ready for §5. Two cores: FER+ (32,137 pictures) half a minute; procedural
faces about a hundred pictures a second and core. Prints where the set lies, how many pictures each class has, and how
these counts differ from the published ones. Beside the shards: rejected.csv, each row that was left out and why;
flagged.csv, what was odd about rows that were kept; stimuli.csv, the study images, if any were held out.
`--audit_labels=sheet.png` draws eight pictures of each class as labelled: a wrong label table is seen at a glance.
Then: `python -m experiments.reproduce --dataset=prepared --data_dir=<printed path>`, or in code
`fer_jax.data.PreparedSplit(<printed path>, "train")`, or without this library
`tfds.builder_from_directory(<printed path>).as_data_source("train")`.
"""

import contextlib
import dataclasses
import importlib
import io
import os
import pathlib
import shutil
import sys

from experiments import command
from experiments.command import option
from fer_jax.errors import StorageError, UsageError

DATASETS = ("affectnet", "ferplus", "ckplus", "rafdb", "class_folders", "procedural_faces")
PHOTOGRAPHS = {  # data set -> its default configuration, and the flags that only it knows
    "affectnet": ("original", ("release", "votes", "drop_bad_box")),
    "ferplus": ("plurality", ("target",)),
    "ckplus": ("apex", ("apex_frames", "folds", "fold")),
    "rafdb": ("aligned", ()),
    "class_folders": ("named", ("label_table",)),
}
RELEASES = ("original", "original_with_auto", "set8", "folders", "named", "relabelled", "plus_experimental")
PRESETS = ("easy", "medium", "hard", "study", "very_hard")
_THUMBNAILS, _TILE = 8, 96


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """What to build, from what, to where."""

    dataset: str = option("ferplus", "Data set to build.", choices=DATASETS)
    manual_dir: str | None = option(None, "Photographs: your copy, a folder or a zip.", unset="none")
    source: str | None = option(None, "The same as --manual_dir.", unset="none")
    data_dir: str | None = option(None, "Folder the built sets go to, such as tfds.", unset="none")
    release: str = option("original", "AffectNet: which copy it is.", choices=RELEASES)
    votes: str | None = option(None, "AffectNet: AffectNetC25's csv, 25 people's labels as soft labels.", unset="none")
    drop_bad_box: bool = option(False, "AffectNet: leave out rows without a usable box.")
    target: str = option("plurality", "FER+: label from the votes.", choices=("plurality", "majority", "votes"))
    apex_frames: int = option(1, "CK+: last frames of a sequence that show its label.")
    folds: int = option(10, "CK+: folds that people are dealt into.")
    fold: int = option(0, "CK+: the fold that becomes validation.")
    label_table: str | None = option(None, "Class folders: whose numbers their names are.", unset="names only")
    crop: str = option("none", "Photographs: what is kept.", choices=("none", "square", "box", "eyes"))
    box_margin: float = option(1.25, "Photographs: side of the crop, in units of the face's box.")
    detector: str = option("given", "Photographs: boxes as given, or found by haar, lbp or yunet=FILE.onnx.")
    exif: str = option(
        "source", "Photographs: orientation tags, as the source wants it.", choices=("source", "apply", "ignore")
    )
    encoding: str = option("png", "Photographs: what is written anew.", choices=("png", "jpeg95"))
    stimuli: str | None = option(
        None, "Photographs: study images to hold out, a csv with image,true_label,false_label.", unset="none"
    )
    pick_stimuli: str = option(
        "none", "Photographs: draw a stand-in for that list from validation.", choices=("none", "seeded")
    )
    dedupe: bool = option(False, "Photographs: drop training pictures that are in validation or test, too.")
    max_reject_frac: float = option(0.01, "Photographs: largest share of unusable rows of a split.")
    preset: str = option("study", "Procedural faces: difficulty.", choices=PRESETS)
    image_size: int | None = option(
        None, "Side, pixels.", unset="procedural faces 96; photographs 224 with a crop, as they are without"
    )
    train_images: int = option(1920, "Procedural faces: pictures for training.")
    validation_images: int = option(760, "Procedural faces: pictures for validation.")
    stimuli_images: int = option(0, "Procedural faces: pictures for a study with people.")
    seed: int = option(0, "Seed of the procedural faces, or of the drawn study images.")
    workers: int = option(0, "Threads or processes that work side by side; 0: one for each core.")
    audit_labels: str | None = option(None, "Also draw eight pictures of each class to this PNG.", unset="none")
    overwrite: bool = option(False, "Build anew what is there already.")


def prepare(config: PrepareConfig) -> None:
    """Build, and print where to find it and what it holds."""
    if not config.data_dir:
        raise UsageError("`--data_dir`: wanted a folder for the built sets, such as --data_dir=tfds, got none.")
    if config.dataset in PHOTOGRAPHS and not (config.manual_dir or config.source):
        raise UsageError(
            f"`--manual_dir`: --dataset={config.dataset} wants the zip or folder your copy lies in, got none."
        )
    bounds = {"max_reject_frac": (0.0, 1.0), "box_margin": (1.0, 4.0), "workers": (0, 1024), "seed": (0, 2**63)}
    command.check_bounds(config, bounds)
    stop = command.StopRequest().install()
    import absl.logging
    import tensorflow_datasets as tfds

    from experiments.progress import Progress

    progress = Progress(f"preparing {config.dataset}", None, unit="rows")

    def tell(done):
        progress.update(done)
        stop.check()

    builder = _builder(config, tell)
    _remove_leftovers(builder.data_path)
    if config.overwrite or not builder.data_path.exists():
        mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
        tfds.disable_progress_bar()
        absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns of every configuration that is not standard
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints that it downloads, which it does not
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(download_mode=mode))
        progress.finish(f"{sum(split.num_examples for split in builder.info.splits.values())} pictures stored")
    else:
        sys.stderr.write(f"{builder.data_path} is there already; --overwrite builds it anew.\n")
    _report(builder)
    if config.audit_labels:
        print(_audit(builder, pathlib.Path(config.audit_labels)))


def _report(builder) -> None:
    """Where it lies, what is in it, and what a user should know of it."""
    import numpy as np

    from fer_jax.data import PreparedSplit
    from fer_jax.expressions import EXPRESSIONS, NUM_EXPRESSIONS

    metadata = builder.info.metadata or {}
    print(builder.data_path)
    for split in builder.info.splits:
        counts = np.bincount(PreparedSplit(builder.data_path, split).labels, minlength=NUM_EXPRESSIONS)
        shown = ", ".join(f"{name} {count}" for name, count in zip(EXPRESSIONS, counts, strict=True))
        print(f"{split}: {counts.sum()} pictures: {shown}")
    if metadata.get("rejected"):
        left_out = ", ".join(f"{reason} {count}" for reason, count in metadata["rejected"].items())
        print(f"left out: {left_out}")
    for split, lines in (metadata.get("differs_from_published") or {}).items():
        if lines is not None:
            print(f"{split}: {'; '.join(lines) if lines else 'counts equal the published ones'}")
    kept = "dropped" if metadata.get("dedupe") else "kept; --dedupe drops them"
    for split, found in (metadata.get("duplicates") or {}).items():
        for where, count in found.items():
            told = "occur before in it (kept)" if where == split else f"are in {where}, too ({kept})"
            print(f"{split}: {count} pictures {told}")
    if metadata.get("stimuli", "none") != "none":
        print(f"study images: {metadata['stimuli']}")
    for remark in metadata.get("remarks", ()):
        print(remark)


def _builder(config, tell):
    # TFDS wants a folder of its own for each builder, without a package around them.
    folder = str(pathlib.Path(__file__).resolve().parent.parent / "datasets")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if config.dataset in PHOTOGRAPHS:
        return _photographs(config, tell)
    from procedural_faces import procedural_faces_dataset_builder as procedural_faces

    images = {
        "train": config.train_images,
        "validation": config.validation_images,
        "stimuli": config.stimuli_images,
    }
    size = config.image_size or 96
    standard = procedural_faces.ProceduralFacesConfig(name=config.preset)
    if (size, config.seed, images) == (standard.image_size, standard.seed, standard.images):
        return procedural_faces.Builder(config=config.preset, data_dir=config.data_dir)
    numbers = "_".join(map(str, images.values()))
    wanted = procedural_faces.ProceduralFacesConfig(
        name=f"{config.preset}_{size}px_seed{config.seed}_{numbers}",
        preset=config.preset,
        image_size=size,
        seed=config.seed,
        images=images,
    )
    return procedural_faces.Builder(config=wanted, data_dir=config.data_dir)


def _photographs(config, tell):
    module = importlib.import_module(f"{config.dataset}.{config.dataset}_dataset_builder")
    name, own = PHOTOGRAPHS[config.dataset]
    chosen = {"affectnet": config.release, "ferplus": config.target}.get(config.dataset, name)
    defaults = PrepareConfig()
    for other, flag in ((other, flag) for other, (_, flags) in PHOTOGRAPHS.items() for flag in flags):
        if other != config.dataset and getattr(config, flag) != getattr(defaults, flag):
            raise UsageError(f"`--{flag}`: goes with --dataset={other} only; leave it out.")
    base = module.Builder.builder_configs[chosen]
    options = {flag: getattr(config, flag) for flag in own if getattr(config, flag) != getattr(defaults, flag)}
    if config.stimuli and config.pick_stimuli != "none":
        raise UsageError("`--pick_stimuli`: --stimuli names the study images already; leave one of the two out.")
    size = config.image_size or (224 if config.crop != "none" else None)
    changes = {
        "crop": config.crop,
        "image_size": size,
        "encoding": config.encoding,
        "exif": config.exif,
        "detector": config.detector,
        "stimuli": config.stimuli or ("seeded" if config.pick_stimuli == "seeded" else None),
        "dedupe": config.dedupe,
        "options": base.options | options,
    }
    if config.crop == "box":
        changes["box_margin"] = config.box_margin
    if changes["stimuli"] == "seeded":
        changes["seed"] = config.seed
    return module.Builder(
        config=base.variant(**changes) if base.differs(**changes) else base.name,
        data_dir=config.data_dir,
        source=config.manual_dir or config.source,
        max_reject_frac=config.max_reject_frac,
        workers=config.workers or os.cpu_count(),
        progress=tell,
    )


def _remove_leftovers(path):
    """Half-built folders of builds that were killed; TFDS leaves them for ever."""
    if path.parent.is_dir():
        for leftover in pathlib.Path(path.parent).glob(f"incomplete.*_{path.name}"):
            shutil.rmtree(leftover)


def _audit(builder, path) -> pathlib.Path:
    """A sheet with a row for each expression, as labelled."""
    import cv2
    import numpy as np

    from fer_jax.data import PreparedSplit
    from fer_jax.expressions import EXPRESSIONS, NUM_EXPRESSIONS

    sheet = np.full((NUM_EXPRESSIONS, _TILE, _THUMBNAILS + 1, _TILE, 3), 255, np.uint8)
    split = PreparedSplit(builder.data_path, next(iter(builder.info.splits)), size=_TILE)
    for expression, name in enumerate(EXPRESSIONS):
        rows = np.flatnonzero(split.labels == expression)[:_THUMBNAILS]
        for place, tile in enumerate(split.images(rows), start=1):
            sheet[expression, :, place] = tile
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
