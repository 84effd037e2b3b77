"""A data set into TFDS shards, once. Then every script reads it by row, without decoding surprises.

    python -m experiments.prepare_data --dataset=ferplus --manual_dir=ferplus.zip --data_dir=tfds
    python -m experiments.prepare_data --dataset=affectnet --manual_dir=AffectNet --data_dir=tfds --crop=box
    python -m experiments.prepare_data --dataset=class_folders --manual_dir=my_pictures --data_dir=tfds --crop=square
    python -m experiments.prepare_data --dataset=procedural_faces --preset=study --data_dir=tfds
    python -m experiments.prepare_data --dataset=click_study --manual_dir=runs/first --data_dir=tfds

No figure of the paper: §3's pictures, ready for §5. Two cores: FER+ (32,137 pictures) half a minute, procedural faces
about seventy of 224 px a second and core, the same bytes from any number of --workers. Memory does not grow with the
set (0.33 GB at 200,000 rows of 224 px). A build that was killed or stopped goes on when the command is given again, to
the same bytes. Prints where the set lies, how many pictures each class has, and how these counts differ from the
published ones. Beside the shards rejected.csv lists each row that was left out and why, flagged.csv what was
odd about rows that were kept, and stimuli.csv the study images, if any were held out.
`--audit_labels=sheet.png` draws eight pictures of each class as labelled: a wrong label table is seen at a glance.
Then: `python -m experiments.reproduce --dataset=prepared --data_dir=<printed path>`, or in code
`fer_jax.data.PreparedSplit(<printed path>, "train")`, or without this library
`tfds.builder_from_directory(<printed path>).as_data_source("train")`. click_study: §4's clicks and answers with their
pictures, checked against each other, for the fine-tuning of §5.1. People's and simulated trials are not mixed unasked.
"""

import contextlib
import dataclasses
import io
import pathlib
import sys

from experiments.harness import command
from experiments.harness.command import option
from fer_jax.errors import Preempted, UsageError
from fer_jax.frame import BOX_MARGIN

DATASETS = ("affectnet", "ferplus", "ckplus", "rafdb", "class_folders", "procedural_faces", "click_study")
RELEASES = ("original", "original_with_auto", "set8", "folders", "named", "relabelled")
PRESETS = ("easy", "medium", "hard", "study", "very_hard")
# Which data sets are read from a copy of the user's.
READ = tuple(name for name in DATASETS if name != "procedural_faces")


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """The flags of a build: what, from what, to where."""

    dataset: str = option("ferplus", "Data set to build.", choices=DATASETS)
    manual_dir: str | None = option(
        None,
        "Photographs: your copy, a folder or a zip. Clicks: the folder of a study's tables, or a run's.",
        unset="none",
        fills=("path", "folder", "source"),
    )
    images: str | None = option(
        None, "Clicks: folder of the sharp stimuli, PNGs (not for a run).", unset="MANUAL_DIR/images"
    )
    allow_mixed: bool = option(False, "Clicks: take people's and simulated trials into one set.")
    data_dir: str | None = option(None, "Folder the built sets go to, such as tfds.", unset="none")
    release: str = option("original", "AffectNet: which copy it is.", choices=RELEASES)
    votes: str | None = option(
        None, "AffectNet: AffectNetC25's csv (or both: a.csv,b.csv), 25 people's labels as soft labels.", unset="none"
    )
    drop_bad_box: bool = option(False, "AffectNet: leave out rows without a usable box.")
    target: str = option("plurality", "FER+: label from the votes.", choices=("plurality", "majority", "votes"))
    apex_frames: int = option(1, "CK+: last frames of a sequence that show its label.")
    folds: int = option(10, "CK+: folds that people are dealt into.")
    fold: int = option(0, "CK+: the fold that becomes validation.")
    label_table: str | None = option(
        None, "Numbered class folders, or CK+ as a csv: whose numbers they are.", unset="names only"
    )
    categories: str | None = option(
        None,
        "Photographs: categories to take, in this order, such as happy,sad,anger. A click study: its categories.",
        unset="those that are there",
    )
    class_map: str | None = option(
        None, "Photographs: classes to rename or drop, such as angry_faces:anger,unknown:drop.", unset="none"
    )
    crop: str = option("none", "Photographs: what is kept.", choices=("none", "square", "box", "eyes"))
    box_margin: float = option(BOX_MARGIN, "Photographs: side of the crop, in boxes.", low=1.0, high=4.0)
    detector: str = option(
        "given",
        "Photographs: boxes as given, or found by face_api=FILE.tgz, lbp, haar or yunet=FILE.onnx; see BUILD.md.",
    )
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
    dedupe: bool = option(True, "Photographs: drop training pictures that are in validation or test, too (ours).")
    max_reject_frac: float = option(0.01, "Photographs: largest share of unusable rows of a split.", low=0.0, high=1.0)
    preset: str = option("study", "Procedural faces: difficulty.", choices=PRESETS)
    image_size: int | None = option(
        None,
        "Side, pixels.",
        unset="procedural faces 224; photographs 224 with a crop, as they are without",
        low=1,
        high=4096,
    )
    train_images: int = option(8_000, "Procedural faces: pictures for training.", fills=("images",))
    validation_images: int = option(1_600, "Procedural faces: pictures for validation.", fills=("images",))
    stimuli_images: int = option(280, "Procedural faces: pictures for a study with people.", fills=("images",))
    seed: int = option(0, "Seed of the procedural faces, or of the drawn study images.", low=0, high=2**63)
    workers: int = option(0, "Threads or processes that work side by side; 0: one for each core.", low=0, high=1024)
    audit_labels: str | None = option(
        None, "Also put eight pictures of each class, drawn at random, on this PNG.", unset="none"
    )
    overwrite: bool = option(False, "Build anew what is there already.")


def prepare(config: PrepareConfig) -> None:
    """Build, and print where to find it and what it holds."""
    if not config.data_dir:
        raise UsageError("`--data_dir`: wanted a folder for the built sets, such as --data_dir=tfds, got none.")
    if config.dataset in READ and not config.manual_dir:
        raise UsageError(
            f"`--manual_dir`: --dataset={config.dataset} wants the folder (pictures: or zip) of yours, got none."
        )
    command.check_bounds(config)
    if "://" in config.data_dir:
        raise UsageError(f"`--data_dir`: wanted a folder of this machine, got {config.data_dir}.")
    if config.audit_labels and pathlib.Path(config.audit_labels).suffix != ".png":
        raise UsageError(f"`--audit_labels`: wanted a name that ends in .png, got {config.audit_labels}.")
    stop = command.StopRequest().install()
    import absl.logging
    import tensorflow_datasets as tfds

    from experiments import data_report
    from experiments.data_builders import builder_of
    from experiments.harness.progress import Progress
    from experiments.prepared_set import build
    from fer_jax import faces

    progress = Progress(f"preparing {config.dataset}", None, unit="rows")

    def tell(done):
        progress.update(done, total=builder.in_all)
        if stop.signal is not None:
            raise Preempted("Stopped on request; nothing half-built is visible. The same command goes on.")

    tfds.disable_progress_bar()
    absl.logging.set_verbosity(absl.logging.ERROR)  # TFDS warns of every configuration that is not standard
    builder = builder_of(config, tell)

    def make(work, seen):
        builder.work, builder.made_from = work, seen
        mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints that it downloads, which it does not
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(download_mode=mode))
        progress.finish(f"{sum(split.num_examples for split in builder.info.splits.values())} examples stored")

    path = pathlib.Path(builder.data_path)
    sources = [place for place in (config.manual_dir, config.images) if place]
    version = faces.RENDER_VERSION if config.dataset == "procedural_faces" else None
    if not build(path, make, sources=sources, version=version, overwrite=config.overwrite):
        builder = tfds.builder_from_directory(path)
    print("\n".join(data_report.report(builder)))
    if config.audit_labels:
        print(data_report.audit(builder, pathlib.Path(config.audit_labels), seed=config.seed))


if __name__ == "__main__":
    sys.exit(command.run(prepare, PrepareConfig, usage=__doc__))
