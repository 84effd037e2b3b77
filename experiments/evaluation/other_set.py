"""A set of pictures read for the networks of a run: cropped and sized as the run's own."""

import collections
import dataclasses
import sys
from typing import Any

import numpy as np

from experiments.harness.progress import Progress
from experiments.study.run import Run, StoredPictures
from experiments.study.run_folder import PICTURES_RECORD
from fer_jax import data
from fer_jax.data.sources import BOXED
from fer_jax.errors import UsageError
from fer_jax.expressions import DROPPED, parse_class_map


@dataclasses.dataclass(frozen=True)
class Found:
    """Pictures as read.

    Attributes:
      images: uint8 (N, H, W, 3), perhaps read when indexed by rows.
      labels: (N,), indices into `categories`.
      names: (N,).
      categories: names.
      left_out: (reason, category or "") -> rows that could not be used or that a class map drops.
      release: which copy of which set.
      told: the copy, the splits and the crop in words.
      remarks: what a user should know of the copy.
    """

    images: "np.ndarray | StoredPictures"
    labels: np.ndarray
    names: np.ndarray
    categories: tuple[str, ...]
    left_out: dict[tuple[str, str], int]
    release: str
    told: str
    remarks: tuple[str, ...] = ()


def found_in(run: Run, config: Any) -> Found:
    """Read the splits asked for: `--split`, else test where the set has one, else all of them.

    Args:
      run: whose networks are to see the pictures.
      config: the resolved flags of `experiments.evaluate`.

    Raises:
      UsageError: flags that do not fit the set.
      DataError: no such set or split.
    """
    return _prepared(run, config) if config.dataset == "prepared" else _photographs(run, config)


def _photographs(run, config) -> Found:
    options: dict[str, Any] = {} if config.label_table is None else {"label_table": config.label_table}
    options["class_map"] = config.class_map
    if config.dataset == "ferplus":
        options["target"] = config.target
    with data.open_source(config.dataset, config.data_dir, **options) as listing:
        splits = _chosen(config.split, tuple(listing.splits))
    crop, detector = _cropped(run, config)
    progress = Progress("reading pictures", None, unit="rows")
    found = data.read(
        config.dataset,
        config.data_dir,
        size=run.config.image_size,
        only=splits,
        crop=crop,
        detector=None if detector == "given" else data.face_detector(detector),
        max_reject_frac=config.max_reject_frac,
        progress=lambda done, total: progress.update(done, total=total),
        **options,
    )
    parts = list(found.splits.values())
    progress.finish(", ".join(f"{part.split} {len(part)}" for part in parts))
    without = int(data.Quality.BAD_BOX | data.Quality.UNDETECTED)
    lost = sum(np.count_nonzero(part.quality & without) for part in parts if part.quality is not None)
    if crop != "square" and lost:
        sys.stderr.write(f"no box of a face in {lost} pictures; their central squares were kept\n")
    left_out: collections.Counter[tuple[str, str]] = collections.Counter()
    for counts in found.left_out.values():
        for (label, reason), number in counts.items():
            left_out[reason, found.categories[label] if label >= 0 else ""] += number
    return Found(
        np.concatenate([part.images for part in parts]) if len(parts) > 1 else parts[0].images,
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.names for part in parts]),
        found.categories.names,
        dict(left_out),
        found.release,
        f"{found.release}, {_in_words(found.splits)}, crop {crop}",
        found.remarks,
    )


def _prepared(run, config) -> Found:
    known = tuple(data.open_prepared(config.data_dir).info.splits)
    main = [name for name in ("train", "validation", "test", "stimuli") if name in known]
    if "validation_minus_stimuli" in known:
        main = [name for name in ("train", "validation_minus_stimuli", "stimuli", "test") if name in known]
    elif "stimuli" in main and "validation" in main:
        main.remove("stimuli")
    named = {"validation": [name for name in main if name.startswith(("validation", "stimuli"))]}
    chosen = named.get(config.split, [config.split]) if config.split else ["test"] if "test" in known else main
    split = data.PreparedSplit(config.data_dir, "+".join(chosen), size=run.config.image_size)
    metadata = split.info.metadata or {}
    renamed = parse_class_map(config.class_map) if config.class_map else {}
    strange = next((name for name in renamed if name not in split.categories), None)
    if strange is not None:
        raise UsageError(f"`--class_map`: wanted classes that are there ({split.categories}), got {strange!r}.")
    names = [renamed.get(name, name) for name in split.categories]
    categories = tuple(dict.fromkeys(name for name in names if name != DROPPED))
    place = np.asarray([categories.index(name) if name != DROPPED else -1 for name in names])
    labels = place[split.labels]
    dropped = collections.Counter(split.categories[label] for label in split.labels[labels < 0])
    rows = np.flatnonzero(labels >= 0)
    release = metadata.get("release", split.info.name)
    return Found(
        StoredPictures(split, rows),
        labels[rows],
        split.names(rows),
        categories,
        {("label_dropped", name): number for name, number in dropped.items()},
        release,
        f"{release}, prepared, {_in_words(chosen)}, crop {metadata.get('crop', 'as drawn')}",
    )


def _chosen(asked: str | None, there: tuple[str, ...]) -> tuple[str, ...]:
    if asked is not None:
        return (asked,)
    return ("test",) if "test" in there else there


def _in_words(splits) -> str:
    return f"split {' and '.join(splits)}"


def _cropped(run, config) -> tuple[str, str]:
    """Return the crop and the detector: as asked, else as the run's. Whole photographs are cut to the face's box."""
    record = run.folder.read_json(PICTURES_RECORD) if run.folder.has(PICTURES_RECORD) else {}
    own = record.get("crop") if record.get("crop") in data.CROPS else None
    crop = config.crop or own or "square"
    if config.crop is None and crop in ("square", "none") and config.dataset in BOXED:
        crop = "box"
    crop = "square" if crop == "none" else crop
    asked = config.detector if config.detector is not None else run.config.detector
    if crop == "square":
        if config.detector not in (None, "given"):
            raise UsageError(f"`--detector`: goes with --crop=box or eyes, got {config.detector} with --crop=square.")
        asked = "given"
    return crop, asked
