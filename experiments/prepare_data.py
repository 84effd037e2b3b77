"""A data set into TFDS shards, once. Then every script reads it by row, without decoding surprises.

    python -m experiments.prepare_data --dataset=ferplus --manual_dir=ferplus.zip --data_dir=tfds
    python -m experiments.prepare_data --dataset=affectnet --manual_dir=AffectNet --data_dir=tfds --crop=box
    python -m experiments.prepare_data --dataset=class_folders --manual_dir=my_pictures --data_dir=tfds --crop=square
    python -m experiments.prepare_data --dataset=procedural_faces --faces=study --data_dir=tfds
    python -m experiments.prepare_data --dataset=click_study --manual_dir=runs/first --data_dir=tfds

No figure of the paper: §3's pictures, ready for §5. Two cores: FER+ (32,137 pictures) half a minute, procedural faces
about seventy of 224 px a second and core, the same bytes from any number of --workers. Memory does not grow with the
set (0.33 GB at 200,000 rows of 224 px). A build that was stopped goes on when the command is given again, to the same
bytes. Prints where the set lies, how many pictures each class has, and how these counts differ from the published
ones. Beside the shards rejected.csv lists each row that was left out and why, flagged.csv what was odd about rows that
were kept, and stimuli.csv the study images, if any were held out. --audit_labels shows a wrong label table at a glance.
Then: `python -m experiments.reproduce --dataset=prepared --data_dir=PATH`, or `fer_jax.data.PreparedSplit(PATH,
"train")`, or without this library `tfds.builder_from_directory(PATH).as_data_source("train")`. click_study: §4's clicks
and answers with their pictures, checked against each other, for §5.1. People's and simulated trials are not mixed.
"""

import dataclasses
import pathlib
import sys

from experiments.config import Command, Pictures, Workers
from experiments.harness import command
from experiments.harness.command import again, option
from fer_jax.errors import UsageError
from fer_jax.frame import BOX_MARGIN

DATASETS = ("affectnet", "ferplus", "ckplus", "rafdb", "class_folders", "procedural_faces", "click_study")
RELEASES = ("original", "original_with_auto", "set8", "folders", "named", "relabelled")


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
    target: str = again(Pictures, "target", choices=("plurality", "majority", "votes"))
    apex_frames: int = option(1, "CK+: last frames of a sequence that show its label.")
    folds: int = option(10, "CK+: folds that people are dealt into.")
    fold: int = option(0, "CK+: the fold that becomes validation.")
    label_table: str | None = again(Pictures, "label_table")
    categories: str | None = again(Pictures, "categories")
    class_map: str | None = again(Pictures, "class_map")
    crop: str = again(Pictures, "crop", default="none", choices=("none", "square", "box", "eyes"))
    box_margin: float = option(BOX_MARGIN, "Photographs: side of the crop, in boxes.", low=1.0, high=4.0)
    detector: str = again(Pictures, "detector")
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
    dedupe: bool = again(Pictures, "dedupe")
    max_reject_frac: float = again(Pictures, "max_reject_frac")
    faces: str = again(Pictures, "faces", default="study", aliases=("preset",))
    image_size: int | None = again(
        Pictures,
        "image_size",
        unset="procedural faces 224; photographs 224 with a crop, as they are without",
        low=1,
        high=4096,
    )
    train_images: int = option(8_000, "Procedural faces: pictures for training.", fills=("images",))
    validation_images: int = option(1_600, "Procedural faces: pictures for validation.", fills=("images",))
    stimuli_images: int = option(280, "Procedural faces: pictures for a study with people.", fills=("images",))
    seed: int = again(Command, "seed")
    workers: int = again(Workers, "workers")
    audit_labels: str | None = option(
        None, "Also put eight pictures of each class, drawn at random, on this PNG.", unset="none"
    )
    overwrite: bool = again(Command, "overwrite")


def main(config: PrepareConfig) -> None:
    """Build, and print where to find it and what it holds."""
    if not config.data_dir:
        raise UsageError("`--data_dir`: wanted a folder for the built sets, such as --data_dir=tfds, got none.")
    if config.dataset != "procedural_faces" and not config.manual_dir:
        raise UsageError(
            f"`--manual_dir`: --dataset={config.dataset} wants the folder (pictures: or zip) of yours, got none."
        )
    command.check_bounds(config)
    if "://" in config.data_dir:
        raise UsageError(f"`--data_dir`: wanted a folder of this machine, got {config.data_dir}.")
    if config.audit_labels and pathlib.Path(config.audit_labels).suffix != ".png":
        raise UsageError(f"`--audit_labels`: wanted a name that ends in .png, got {config.audit_labels}.")
    stop = command.StopRequest().install()
    from experiments import data_builders, data_report

    builder = data_builders.built(config, stop)
    print("\n".join(data_report.report(builder)))
    if config.audit_labels:
        print(data_report.audit(builder, pathlib.Path(config.audit_labels), seed=config.seed))


if __name__ == "__main__":
    sys.exit(command.run(main, PrepareConfig, usage=__doc__))
