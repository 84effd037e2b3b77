"""Photographs for the stage `data`: read into memory from the user's copy, or by row from a prepared set."""

import collections
import dataclasses
import hashlib
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments import data_report
from experiments.harness.progress import Progress
from experiments.study import people_pictures
from experiments.study.run import COPIES, STUDY_LIST, Run
from experiments.study.run_folder import PICTURES_RECORD
from fer_jax import data
from fer_jax.data.published import differences
from fer_jax.errors import DataError, UsageError

# Of a set without a validation split so many pictures of each expression are held out, at random (ours).
HELD_OUT = 0.2
_FINDS_FACES = "--detector=face_api=FILE.tgz"

Splits = dict[str, dict[str, np.ndarray]]


def read(run: Run) -> tuple[Splits, pd.DataFrame]:
    """Read the splits "train" and "validation" (images, labels, names), and what was left out."""
    config = run.config
    progress = Progress("reading pictures", None, unit="rows")

    def tell(done, total):
        progress.update(done, total=total)
        run.stop.check()

    detector = None if config.detector == "given" else data.face_detector(config.detector)
    seen = people_pictures.seen_by(config.people)
    options: dict[str, Any] = {} if config.label_table is None else {"label_table": config.label_table}
    options |= {"categories": config.categories, "class_map": config.class_map}
    if seen and config.dataset == "class_folders" and not any(options.values()):
        options |= _meant(seen, config.data_dir)
    if config.dataset == "ferplus":
        options["target"] = config.target
        if config.targets == "votes":
            options["with_votes"] = True
    elif config.dataset == "ckplus":
        # The usual tenth of CK+'s people shows too few faces of the rarest expression for a balanced study.
        options["folds"] = round(1 / HELD_OUT)
    try:
        found = data.read(
            config.dataset,
            config.data_dir,
            size=config.image_size,
            crop=config.crop,
            detector=detector,
            complete=("train", "validation"),
            max_reject_frac=config.max_reject_frac,
            progress=tell,
            **options,
        )
    except data.TooManyRejected as error:
        raise DataError(f"{error} All of them: {_write_rows(run, 'rejected.csv', error.rejected)}.") from None
    if "train" not in found.splits:
        raise DataError(f"`--data_dir`: {config.data_dir} has no training pictures, only {', '.join(found.splits)}.")
    known: dict[str, int] = {}
    if seen:
        names = [name for part in found.splits.values() for name in part.names.tolist()]
        people_pictures.refuse_missing(seen, names, found.rejected)
        same = {"size": config.image_size, "crop": config.crop, "options": options}
        known = _known(seen, people_pictures.digests_of_source(config.dataset, config.data_dir, seen, **same))
    pooled = "validation" not in found.splits
    if pooled:
        pool = found.splits["train"]
        apart = seen.among(pool.names) if seen else ()
        parts = {split: pool.select(rows) for split, rows in _parted(pool.labels, config.seed, apart).items()}
        found = dataclasses.replace(found, splits=found.splits | parts)
    if seen:
        found, told = people_pictures.hold_out(found, seen, dataset=config.dataset)
        sys.stderr.write(f"{told}\n")
    copies = 0
    if config.dedupe:
        whole, found = found, _without_shared(found)
        copies = len(whole.splits["train"]) - len(found.splits["train"])
    splits = {split: found.splits[split] for split in ("train", "validation")}
    run.folder.write_json(
        PICTURES_RECORD,
        {
            "release": found.release,
            "crop": config.crop,
            "detector": config.detector,
            "categories": list(found.categories),
            "synthetic": False,
            COPIES: copies,
            "fingerprint": {split: data.fingerprint(part) for split, part in splits.items()},
            **known,
        },
    )
    progress.finish(", ".join(f"{split} {len(part)}" for split, part in splits.items()))
    _tell(
        run,
        _metadata(found, pooled=pooled),
        {split: part.labels for split, part in found.splits.items()},
        found.categories,
    )
    _tell_crops(splits, config)
    _write_rows(run, "flagged.csv", found.flagged)
    _write_labels(run, data_report.tiles_of(splits["train"], seed=config.seed), found.categories)
    arrays = {s: {"images": part.images, "labels": part.labels, "names": part.names} for s, part in splits.items()}
    if config.targets == "votes":
        arrays["train"]["votes"] = _checked_votes(splits["train"].soft_labels, config)
    if splits["validation"].landmarks is not None:
        arrays["validation"]["landmarks"] = splits["validation"].landmarks
    return arrays, found.rejected


def _meant(seen: people_pictures.Seen, path: str) -> dict[str, Any]:
    """Return categories and class map as the study has named its folders, and say so."""
    meant = people_pictures.folders_meant(seen, path)
    if meant:
        renamed = ",".join(f"{folder}:{label}" for folder, label in meant["class_map"].items())
        told = f"--categories='{','.join(meant['categories'])}'" + (f" --class_map='{renamed}'" if renamed else "")
        sys.stderr.write(f"people: class folders are called as in their study ({told})\n")
    return meant


def _checked_votes(votes: np.ndarray | None, config) -> np.ndarray:
    """Return the shares of the votes of pictures to train on, unless each of these has one label only."""
    if votes is None or (votes.max(1) == 1).all():
        raise UsageError(
            f"`--targets`: votes wants pictures that several people have named, those in {config.data_dir} have one "
            "label each. Give --targets=labels, or FER+ (prepared with --target=votes)."
        )
    return votes


def prepared(run: Run) -> tuple[Splits, pd.DataFrame]:
    """Open the splits of a prepared set: pictures to train on stay there, to be read by row. Validation is read."""
    config, seen = run.config, people_pictures.seen_by(run.config.people)
    train = data.PreparedSplit(config.data_dir, "train", size=config.image_size)
    known, metadata = set(train.info.splits), train.info.metadata or {}
    train_rows = np.arange(len(train))
    if "validation_minus_stimuli" in known:
        validation = data.PreparedSplit(config.data_dir, "validation_minus_stimuli+stimuli", size=config.image_size)
    elif "validation" in known:
        validation = data.PreparedSplit(config.data_dir, "validation", size=config.image_size)
    else:
        validation = train
    held = np.arange(len(validation))
    pool = _PreparedPool(train, validation, seen) if seen else None
    if validation is train:
        parts = _parted(train.labels, config.seed, pool.rows["train"] if pool else ())
        train_rows, held = parts["train"], parts["validation"]
    train_rows, rejected, copies = _without_copies(train, train_rows, validation, held, dedupe=config.dedupe)
    names = validation.names(held)
    held_out = {"images": validation.images(held), "labels": validation.labels[held], "names": names}
    held_out["landmarks"] = validation.landmarks(held)
    known: dict[str, int] = {}
    if pool:
        known = _known(seen, pool.digests())
        train_rows, dropped = pool.apart(train_rows)
        rejected = pd.concat([rejected, dropped], ignore_index=True)
        held_out = pool.added(held_out)
    if np.isnan(held_out["landmarks"]).all():
        del held_out["landmarks"]
    kept = ("crop", "image_size", "preset", "seed", "render_version", "fingerprint", "counts")
    record = {name: metadata[name] for name in kept if name in metadata}
    own = {
        COPIES: copies,
        "categories": list(train.categories),
        "release": metadata.get("release", train.info.name),
        "path": str(train.path.resolve()),
        "set": train.info.full_name,
        "synthetic": bool(metadata.get("synthetic", False)),
    }
    run.folder.write_json(PICTURES_RECORD, record | own | known)
    if (train.path / "stimuli.csv").is_file():
        place = {row: at for at, row in enumerate(validation.feature("row", held))}
        table = pd.read_csv(train.path / "stimuli.csv", encoding_errors="surrogateescape")
        table = table.assign(row=[place[row] for row in table["row"]])
        table["image"] = names[table["row"]]
        run.folder.write_table(STUDY_LIST, table[["image", "true_label", "false_label", "row"]])
    train_names = np.asarray([f"train/{row:06d}" for row in train_rows])
    sys.stderr.write(f"prepared pictures: train {len(train_rows)}, read by row; validation {len(held_out['labels'])}\n")
    if not metadata.get("synthetic"):
        held_apart = {} if validation is train else {"validation": validation.labels}
        _tell(run, metadata, {"train": train.labels} | held_apart, train.categories)
        if metadata.get("crop") in ("none", "square"):
            _tell_square(config)
        sized = data.PreparedSplit(train.path, "train", size=data_report.TILE)
        _write_labels(run, data_report.tiles_of_split(sized, seed=config.seed), train.categories)
    rejected = pd.concat([_beside(train, "rejected.csv"), rejected], ignore_index=True)
    _write_rows(run, "flagged.csv", _beside(train, "flagged.csv"))
    splits = {
        "train": {"labels": train.labels[train_rows], "names": train_names, "rows": train_rows},
        "validation": held_out,
    }
    if config.targets == "votes":
        told = train.soft_labels(train_rows) if "soft_label" in train.info.features else None
        splits["train"]["votes"] = _checked_votes(told, config)
    return splits, rejected


class _PreparedPool:
    """The pictures of a prepared set that people saw, whatever split they are in.

    Args:
      train: the split to train on.
      validation: the split to evaluate on, perhaps the same.
      seen: what people saw.

    Raises:
      DataError: pictures that the set lacks.
    """

    def __init__(self, train: data.PreparedSplit, validation: data.PreparedSplit, seen: people_pictures.Seen):
        self._seen = seen
        self.splits = {"train": train} | ({} if validation is train else {"validation": validation})
        others = {"test", "stimuli"} if "validation_minus_stimuli" not in train.info.splits else {"test"}
        for split in sorted(others & set(train.info.splits)):
            self.splits[split] = data.PreparedSplit(train.path, split, size=train.size)
        names = {split: each.names(np.arange(len(each))) for split, each in self.splits.items()}
        known = np.concatenate(list(names.values())).tolist()
        people_pictures.refuse_missing(seen, known, _beside(train, "rejected.csv"))
        self.rows = {split: seen.among(each) for split, each in names.items()}
        self._names, self._pooled = names, validation is train

    def digests(self) -> dict[str, set[str]]:
        """Hash the pictures at the side of people's stimuli."""
        found = {}
        for split, each in self.splits.items():
            sized = data.PreparedSplit(each.path, each.split, size=self._seen.side or each.size)
            for row, told in zip(self.rows[split], each.feature("content_hash", self.rows[split]), strict=True):
                found[str(self._names[split][row])] = {told, *people_pictures.digests_of(sized.images([row])[0])}
        return found

    def apart(self, train_rows: np.ndarray) -> tuple[np.ndarray, pd.DataFrame]:
        """Return the rows to train on without what people saw, its copies and its persons, and say so."""
        train, dataset = self.splits["train"], self.splits["train"].info.name
        kept = np.setdiff1d(train_rows, self.rows["train"])
        copies = _copies(train, kept, {split: (each, self.rows[split]) for split, each in self.splits.items()})
        shown = [name for split, rows in self.rows.items() for name in self._names[split][rows]]
        same = kept[people_pictures.same_persons(self._names["train"][kept], shown, dataset)]
        same = np.setdiff1d(same, list(copies))
        counts = {split: len(rows) for split, rows in self.rows.items() if len(rows)}
        sys.stderr.write(f"{people_pictures.line(counts, len(copies), len(same))}\n")
        told = dict.fromkeys(copies, "the same picture is in study") | dict.fromkeys(same, "a person of the study")
        rows = np.asarray(list(told), np.int64)
        listed, files = train.feature("row", rows), train.feature("file_name", rows)
        table = [
            ("train", row, file, "duplicate", why) for row, file, why in zip(listed, files, told.values(), strict=True)
        ]
        return np.setdiff1d(kept, rows), pd.DataFrame(table, columns=list(data.REJECTED_COLUMNS))

    def added(self, held: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the validation pictures with those that people saw of other splits."""
        for split, each in self.splits.items():
            rows = self.rows[split]
            if split != "validation" and not self._pooled and len(rows):
                more = {"images": each.images(rows), "labels": each.labels[rows], "names": self._names[split][rows]}
                more["landmarks"] = each.landmarks(rows)
                held = {name: np.concatenate([held[name], more[name]]) for name in held}
        return held


def _metadata(found: data.Read, *, pooled: bool) -> dict[str, Any]:
    """Return what the builders of prepared sets note of the same pictures."""
    reasons, duplicates, flags, differs = {}, {}, {}, {}
    otherwise = collections.Counter()
    for rows in (found.rejected, found.flagged):
        otherwise.update(rows.loc[rows["detail"].astype(str).str.contains(r"the same picture is in \w+ as "), "split"])
    for split, rows in found.rejected.groupby("split", sort=False):
        counts = rows["reason"].value_counts().sort_index()
        reasons |= {f"{split}/{reason}": int(count) for reason, count in counts.items()}
    for split, rows in found.flagged.groupby("split", sort=False):
        counts = collections.Counter(flag for flag in "|".join(rows["flags"]).split("|") if flag)
        duplicates[split] = {split: count} if (count := counts["duplicate"]) else {}
        flags[split] = dict(sorted(counts.items()))
    for split, part in found.splits.items():
        kept = np.bincount(part.labels, minlength=len(found.categories))
        left_out = found.left_out.get(split, collections.Counter())
        differs[split] = (
            None if pooled else differences(found.release, split, kept, left_out, categories=found.categories)
        )
    counts = {split: np.bincount(part.labels, minlength=len(found.categories)) for split, part in found.splits.items()}
    return {
        "release": found.release,
        "counts": counts,
        "rejected": reasons,
        "differs_from_published": differs,
        "duplicates": duplicates,
        "labelled_otherwise": dict(otherwise),
        "flags": flags,
        "remarks": found.remarks,
    }


def _tell(run: Run, metadata, labels, categories) -> None:
    """Say what `experiments.prepare_data` says of pictures."""
    for line in data_report.picture_lines(metadata, labels, categories):
        sys.stderr.write(f"{line}\n")


def _beside(split: data.PreparedSplit, name: str) -> pd.DataFrame:
    """Read a table beside a prepared set, empty where there is none."""
    columns = data.REJECTED_COLUMNS if name == "rejected.csv" else data.FLAGGED_COLUMNS
    if not (split.path / name).is_file():
        return pd.DataFrame(columns=list(columns))
    return pd.read_csv(split.path / name, keep_default_na=False, encoding_errors="backslashreplace")


def _write_rows(run: Run, name: str, table: pd.DataFrame) -> pathlib.Path:
    return run.folder.write_text(name, table.to_csv(index=False, lineterminator="\n"))


def _write_labels(run: Run, tiles, categories) -> None:
    """Write the sheet on which wrong labels are seen at a glance."""
    path = run.folder.write_bytes("labels.png", data.encode_png(data_report.sheet(tiles, categories)))
    sys.stderr.write(f"{path}: eight pictures of each category, as labelled; look at it before you train\n")


def _tell_crops(splits: dict[str, data.FaceSet], config) -> None:
    """Say what was kept of the pictures, and of how many a crop could not be made."""
    if config.crop == "square":
        _tell_square(config)
        return
    without = data.Quality.BAD_BOX | data.Quality.UNDETECTED
    for split, part in splits.items():
        lost = np.count_nonzero(part.quality & int(without))
        if lost:
            told = f"no box of a face in {lost} of {len(part)} pictures; their central squares were kept"
            if config.detector == "given":
                told += f" ({_FINDS_FACES} finds faces, see BUILD.md)"
            sys.stderr.write(f"{split}: {told}\n")
        unaligned = np.count_nonzero(part.quality & int(data.Quality.NO_LANDMARKS))
        if config.crop == "eyes" and unaligned:
            sys.stderr.write(f"{split}: no landmarks in {unaligned} of {len(part)} pictures; they were not turned\n")


def _tell_square(config) -> None:
    maker = " of prepare_data" if config.dataset == "prepared" else ""
    sys.stderr.write(
        f"pictures: each one's central square, scaled to {config.image_size} px. Where faces fill less of it: "
        f"--crop=box {_FINDS_FACES}{maker} (see BUILD.md)\n"
    )


def _without_shared(found: data.Read) -> data.Read:
    """Leave out training pictures that are held out, too, and say so."""
    kept = data.without_shared(found)
    for split, part in found.splits.items():
        lost = len(part) - len(kept.splits[split])
        if lost:
            told = f"{lost} of {len(part)} pictures are in validation or test, too; they were left out"
            sys.stderr.write(f"{split}: {told} (--nodedupe keeps them)\n")
    return kept


def _without_copies(train, rows, validation, held, *, dedupe) -> tuple[np.ndarray, pd.DataFrame, int]:
    """Drop rows of held-out pictures: (rows to train on, those dropped, how many were dropped now or at the build)."""
    metadata = train.info.metadata or {}
    shared = {where: n for where, n in metadata.get("duplicates", {}).get("train", {}).items() if where != "train"}
    none, earlier = pd.DataFrame(columns=list(data.REJECTED_COLUMNS)), sum(shared.values())
    if metadata.get("dedupe") and shared:
        sys.stderr.write(f"train: {earlier} pictures were left out when the set was built: they are held out, too\n")
    here = validation is train or bool(shared and not metadata.get("dedupe"))
    if not (here and dedupe):
        return rows, none, earlier if metadata.get("dedupe") else 0
    others = {"validation": (validation, held)}
    if "test" in train.info.splits:
        test = data.PreparedSplit(train.path, "test", size=train.size)
        others["test"] = test, np.arange(len(test))
    found = _copies(train, rows, others)
    if found:
        told = f"{len(found)} of {len(rows)} pictures are in validation or test, too; they were left out"
        sys.stderr.write(f"train: {told} (--nodedupe keeps them)\n")
    again = np.asarray(list(found), np.int64)
    listed, files = train.feature("row", again), train.feature("file_name", again)
    table = [
        ("train", row, file, "duplicate", f"the same picture is in {where}")
        for row, file, where in zip(listed, files, found.values(), strict=True)
    ]
    return np.setdiff1d(rows, again), pd.DataFrame(table, columns=list(data.REJECTED_COLUMNS)), len(found)


def _copies(train, rows, others) -> dict[int, str]:
    """Return rows whose pixels another split has, too, with its name. Splits of other sources are not looked at."""
    hashes = np.asarray(train.feature("content_hash", rows))
    found: dict[int, str] = {}
    for where, (split, held) in others.items():
        theirs = np.asarray(split.feature("content_hash", held))
        faces = {_pixels(split, row) for row in held[np.isin(theirs, hashes)]}
        again = (row for row in rows[np.isin(hashes, theirs)] if _pixels(train, row) in faces)
        found = dict.fromkeys(map(int, again), where) | found
    return dict(sorted(found.items()))


def _pixels(split, row) -> bytes:
    return hashlib.sha256(split[int(row)]["image"].tobytes()).digest()


def _known(seen, digests) -> dict[str, int]:
    """Return what the record of the pictures says of those that people saw."""
    known = people_pictures.check_content(seen, digests)
    return {people_pictures.SEEN: len(seen.names), people_pictures.KNOWN: known}


def _parted(labels: np.ndarray, seed: int, apart: Sequence[int] | np.ndarray = ()) -> dict[str, np.ndarray]:
    """Split the rows of a pool: a fifth of each expression is validation, drawn by the seed.

    Args:
      labels: of the pool.
      seed: of the draw.
      apart: rows that people saw. Where the draw misses one, all of them are validation, beside a fifth of the others.
    """
    validation = _fifth(labels, np.arange(len(labels)), seed)
    if not np.isin(apart, validation).all():
        rest = np.setdiff1d(np.arange(len(labels)), apart)
        validation = np.union1d(_fifth(labels, rest, seed), apart).astype(np.int64)
    sys.stderr.write(
        f"no validation split: {len(validation)} of {len(labels)} pictures were drawn for it. If a person is on "
        "several pictures, make train/ and validation/ folders by person instead.\n"
    )
    return {"train": np.setdiff1d(np.arange(len(labels)), validation), "validation": validation}


def _fifth(labels, rows, seed) -> np.ndarray:
    chosen = []
    for label in np.unique(labels):
        own = rows[labels[rows] == label]
        order = data.epoch_order(len(own), seed=seed, member=int(label), epoch=0)
        chosen.append(own[order[: round(HELD_OUT * len(own))]])
    return np.sort(np.concatenate(chosen))
