"""The flags that say something of some pictures only: which of them go together."""

from collections.abc import Iterable
from typing import Any

from fer_jax.errors import UsageError

READ_AT_ONCE = ("ferplus", "fer2013", "affectnet", "ckplus", "rafdb", "expw", "class_folders")
DATASETS = ("procedural_faces", *READ_AT_ONCE, "prepared")
# Flags -> the pictures that they say something of.
OWNERS = {
    "data_dir": (*READ_AT_ONCE, "prepared"),
    "max_reject_frac": READ_AT_ONCE,
    "class_map": READ_AT_ONCE,
    "categories": ("procedural_faces", *READ_AT_ONCE),  # a prepared set brings its own
    "target": ("ferplus",),
    "label_table": ("class_folders", "affectnet", "ckplus"),
    **dict.fromkeys(("faces", "train_per_expression", "validation_per_expression"), ("procedural_faces",)),
}


def refuse_strangers(config: Any, flags: Iterable[str] = OWNERS) -> None:
    """Refuse flags that other pictures would take: pictures nobody asked for would be studied in silence."""
    for flag in flags:
        owners = OWNERS[flag]
        if config.dataset not in owners and getattr(config, flag) != getattr(type(config), flag):
            raise UsageError(
                f"`--{flag}`: goes with --dataset={' or '.join(owners)}, got --dataset={config.dataset}. Name the set, "
                "or leave the flag out."
            )


def refuse_votes(config: Any) -> None:
    """Refuse to learn the shares of votes from pictures that have one label each."""
    if config.targets == "votes" and config.dataset not in ("ferplus", "prepared"):
        raise UsageError(
            "`--targets`: votes wants pictures that several people have named: --dataset=ferplus, or a set prepared "
            f"with --target=votes; got --dataset={config.dataset}. Give --targets=labels."
        )


def checked_crop(config: Any) -> str | None:
    """Return the crop of photographs that are read at once, None for pictures that are cropped already."""
    if config.dataset in ("procedural_faces", "prepared"):
        if config.crop or config.detector != "given":
            name = "crop" if config.crop else "detector"
            why = "prepare_data cropped them" if config.dataset == "prepared" else "they are drawn as crops"
            raise UsageError(f"`--{name}`: goes with photographs read at once; of --dataset={config.dataset} {why}.")
        return None
    crop = config.crop or ("box" if config.dataset in ("affectnet", "expw") else "square")
    if crop == "square" and config.detector != "given":
        raise UsageError(f"`--detector`: goes with --crop=box or eyes, got {config.detector} with --crop=square.")
    return crop
