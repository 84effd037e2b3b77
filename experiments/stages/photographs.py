"""Photographs for the stage `data`: read into memory from the user's copy, or by row from a prepared set."""

import sys

import numpy as np
import pandas as pd

from experiments.progress import Progress
from experiments.stages.study import PREPARED_RECORD, STUDY_LIST, Study
from fer_jax import data
from fer_jax.errors import DataError
from fer_jax.expressions import NUM_EXPRESSIONS

# Of a set without a validation split so many pictures of each expression are held out, at random (ours).
HELD_OUT = 0.2

Split = tuple[np.ndarray | None, np.ndarray, np.ndarray]


def read(study: Study) -> tuple[dict[str, Split], pd.DataFrame]:
    """Splits "train" and "validation" (images, labels, names), and what was left out."""
    config = study.config
    progress = Progress("reading pictures", None, unit="pictures")
    options = {"target": config.target} if config.dataset == "ferplus" else {}
    crop = "box" if config.dataset == "affectnet" else "square"
    found = data.read_source(config.dataset, config.data_dir, size=config.image_size, crop=crop, **options)
    if "validation" not in found.splits:
        found = data.Read(found.splits | _held_out(found.splits["train"], config.seed), found.rejected)
    if config.dedupe:
        found = _without_shared(found)
    splits = found.splits
    parts = {split: splits[split] for split in ("train", "validation")}
    progress.finish(", ".join(f"{split} {len(part)}" for split, part in parts.items()))
    return {split: (part.images, part.labels, part.names) for split, part in parts.items()}, found.rejected


def _without_shared(found: data.Read) -> data.Read:
    """Leave out training pictures that are held out, too, and say so."""
    kept = data.without_shared(found)
    for split, part in found.splits.items():
        lost = len(part) - len(kept.splits[split])
        if lost:
            told = f"{lost} of {len(part)} pictures are in validation or test, too; they were left out"
            sys.stderr.write(f"{split}: {told} (--nodedupe keeps them)\n")
    return kept


def prepared(study: Study) -> tuple[dict[str, Split], pd.DataFrame]:
    """The same of a prepared set: pictures to train on stay there, to be read by row; only validation is kept."""
    config = study.config
    train = data.PreparedSplit(config.data_dir, "train", size=config.image_size)
    known = set(train.info.splits)
    wanted = "validation_minus_stimuli+stimuli" if "validation_minus_stimuli" in known else "validation"
    if not set(wanted.split("+")) <= known:
        raise DataError(
            f"`--data_dir`: {train.path} has the splits {', '.join(sorted(known))}; wanted train and validation."
        )
    validation = data.PreparedSplit(config.data_dir, wanted, size=config.image_size)
    rows = np.arange(len(validation))
    names = np.asarray([_name(example, row) for row, example in enumerate(validation.examples(rows))])
    metadata = train.info.metadata or {}
    shared = {where: n for where, n in metadata.get("duplicates", {}).get("train", {}).items() if where != "train"}
    if shared and not metadata.get("dedupe"):
        told = ", ".join(f"{n} in {where}" for where, n in shared.items())
        sys.stderr.write(
            f"train: pictures that are held out, too: {told}; experiments.prepare_data --dedupe drops them\n"
        )
    study.folder.write_json(
        PREPARED_RECORD,
        {
            "path": str(train.path),
            "fingerprint": metadata.get("fingerprint"),
            "synthetic": bool(metadata.get("synthetic", False)),
            "release": metadata.get("release", train.info.name),
        },
    )
    stimuli = train.path / "stimuli.csv"
    if stimuli.is_file():
        table = pd.read_csv(stimuli, dtype={"row": str})
        order = validation_rows(validation, len(rows))
        table = table.assign(row=[order[int(row)] for row in table["row"]])
        table["image"] = names[table["row"]]
        study.folder.write_table(STUDY_LIST, table[["image", "true_label", "false_label", "row"]])
    train_names = np.asarray([f"train/{row:06d}" for row in range(len(train))])
    splits = {
        "train": (None, train.labels, train_names),
        "validation": (validation.images(rows), validation.labels, names),
    }
    sys.stderr.write(f"prepared pictures: train {len(train)}, read by row; validation {len(rows)}\n")
    return splits, pd.DataFrame(columns=list(data.REJECTED_COLUMNS))


def validation_rows(validation, count: int) -> dict[int, int]:
    """Row in the source's list -> place in the split."""
    return {int(example["row"]): place for place, example in enumerate(validation.examples(np.arange(count)))}


def _name(example, row) -> str:
    """The file's name; with its row where one file has several faces."""
    return f"{example['file_name'].decode()}#{int(example['row']) if 'row' in example else row}"


def _held_out(pool: data.FaceSet, seed: int) -> dict[str, data.FaceSet]:
    """A fifth of each expression as validation, drawn by the seed."""
    chosen = []
    for label in range(NUM_EXPRESSIONS):
        own = np.flatnonzero(pool.labels == label)
        order = data.epoch_order(len(own), seed=seed, member=label, epoch=0) if len(own) else own
        chosen.append(own[order[: round(HELD_OUT * len(own))]])
    validation = np.sort(np.concatenate(chosen))
    train = np.setdiff1d(np.arange(len(pool)), validation)
    sys.stderr.write(
        f"no validation split: {len(validation)} of {len(pool)} pictures were drawn for it. If a person is on several "
        "pictures, make train/ and validation/ folders by person instead.\n"
    )
    return {"train": pool.select(train), "validation": pool.select(validation)}
