"""The pictures that people saw: found by name among those of a run, known by their content, held out of training.

Contract: held-out pictures are validation pictures of the run, whatever split they came from. Neither they, nor their
copies, nor other pictures of their persons (where a data set says who is on a picture) are left in training.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.study import people_tables
from experiments.study.people_flag import folders_of
from fer_jax import data
from fer_jax.data.pictures.framing import frame, pixels
from fer_jax.data.sources.ckplus import person_of
from fer_jax.data.sources.class_folders import bare_name, class_folder_of
from fer_jax.errors import DataError
from fer_jax.expressions import canonical_name, paper_first
from fer_jax.frame import LANDMARKS
from fer_jax.human.trials import Trials

# In the record of the pictures: how many people saw, and how many of these are known by their content.
SEEN, KNOWN = "pictures_people_saw", "known_by_content"
_SHOWN = 3
# Data sets whose file names say who is on a picture.
_PERSONS: dict[str, Callable[[str], str]] = {"ckplus": person_of}


@dataclasses.dataclass(frozen=True)
class Seen:
    """Pictures that people saw.

    Attributes:
      names: each once, in the order met.
      hashes: name -> SHA-256 that the trials say of it, in lower case. Only of those whose trials say one.
      side: of the stimuli, pixels. None where the trials do not say one.
      labels: name -> true label.
      categories: all labels of the trials, true and false, the paper's first.
    """

    names: list[str]
    hashes: dict[str, str]
    side: int | None
    labels: dict[str, str]
    categories: tuple[str, ...]

    def among(self, names: Iterable[str]) -> np.ndarray:
        """Return the rows of the pictures that people saw in a list of names."""
        return np.flatnonzero(np.isin(np.asarray(list(names), np.str_), self.names))


def taking_part(people: str) -> Trials:
    """Read the trials of all whom the participants' tables do not exclude."""
    everyone = people_tables.read(people)
    out = everyone.participants["participant"][everyone.participants["excluded"].fillna(False).astype(bool)]
    return everyone.of(set(everyone.trials["participant"]) - set(out))


def seen_by(people: str) -> Seen | None:
    """Return the pictures that the people of a study's tables saw, None where `--people` names no tables."""
    return seen_in(taking_part(people).trials) if folders_of(people) else None


def seen_in(trials: pd.DataFrame) -> Seen:
    """Return the pictures of a table of trials."""
    first = trials.drop_duplicates("image")
    said = trials.dropna(subset=["image_sha256"]).drop_duplicates("image")
    sides = trials["image_px"].dropna().unique()
    return Seen(
        [str(name) for name in first["image"]],
        dict(zip(said["image"], said["image_sha256"].str.lower(), strict=True)),
        int(sides[0]) if len(sides) == 1 and sides[0] > 0 else None,
        dict(zip(first["image"].astype(str), first["true_label"], strict=True)),
        tuple(paper_first({*trials["true_label"].dropna(), *trials["false_label"].dropna()})),
    )


def folders_meant(seen: Seen, path: str) -> dict[str, Any]:
    """Return the categories and the class map of class folders, as the study that people saw has named them.

    Args:
      seen: what people saw. The folder of a picture is called what its trials call the true label.
      path: of the class folders.

    Returns:
      Options of `data.read`. None of them where the folders' names say as much.
    """
    meant: dict[str, set[str]] = {}
    for name, label in seen.labels.items():
        if folder := class_folder_of(name):
            meant.setdefault(folder, set()).add(label)
    renamed = {
        folder: next(iter(labels))
        for folder, labels in meant.items()
        if len(labels) == 1 and canonical_name(bare_name(folder)) not in labels and folder not in labels
    }
    if not renamed:
        try:
            with data.open_source("class_folders", path):
                return {}
        except DataError:  # names of expressions and others stand together, or what the reader will tell again
            pass
    return {"categories": seen.categories, "class_map": renamed}


def refuse_missing(seen: Seen, known: Collection[str], rejected: pd.DataFrame | None = None) -> None:
    """Refuse pictures that people saw and the run's pictures lack.

    Args:
      seen: what people saw.
      known: names of the run's pictures.
      rejected: pictures that were left out, with their reasons.

    Raises:
      DataError: how many of how many, the first names, and what to do.
    """
    there = set(known)
    missing = [name for name in seen.names if name not in there]
    if not missing:
        return
    reasons = {} if rejected is None else dict(zip(rejected["path"], rejected["reason"], strict=True))
    told = [f"{name!r}" + (f" (left out: {reasons[name]})" if name in reasons else "") for name in missing[:_SHOWN]]
    examples = ", ".join(repr(name) for name in sorted(there)[:2])
    raise DataError(
        f"`--people`: {len(missing)} of the {len(seen.names)} pictures that people saw are not among the {len(there)} "
        f"of --data_dir: {', '.join(told)}{', ...' if len(missing) > _SHOWN else ''}. Give the pictures that the study "
        f"was made from, named as its tables name them (pictures there are called {examples})."
    )


def check_content(seen: Seen, digests: Mapping[str, Collection[str]]) -> int:
    """Compare pictures with the hashes that people's trials say.

    Args:
      seen: what people saw.
      digests: name -> SHA-256 that its picture may have: of its file, its stimulus and its pixels.

    Returns:
      How many pictures are known by their content. 0 where no hash agrees: another program made the stimuli.

    Raises:
      DataError: some hashes agree and others do not, so there are other pictures under the same names.
    """
    other = [name for name, told in seen.hashes.items() if told not in digests.get(name, ())]
    if other and len(other) < len(seen.hashes):
        raise DataError(
            f"`--people`: {len(other)} of the {len(seen.hashes)} pictures have the names of what people saw, but other "
            f"content (SHA-256): {', '.join(map(repr, other[:_SHOWN]))}. Put the study's pictures back under their "
            "names."
        )
    return len(seen.hashes) - len(other)


def hold_out(found: data.Read, seen: Seen, *, dataset: str) -> tuple[data.Read, str]:
    """Move what people saw from every split into validation, and drop copies and other pictures of its persons.

    Args:
      found: a set as read, with training and validation pictures.
      seen: what people saw. All of it is there.
      dataset: which set it is.

    Returns:
      The set, with a row of `rejected` for each training picture that was dropped. And a line that says so.
    """
    splits, moved, counts = dict(found.splits), [], {}
    for split, faces in found.splits.items():
        rows = seen.among(faces.names)
        if len(rows):
            counts[split] = len(rows)
            if split != "validation":
                moved.append(faces.select(rows))
                splits[split] = faces.select(np.setdiff1d(np.arange(len(faces)), rows))
    splits["validation"] = joined([splits["validation"], *moved])
    shown = splits["validation"].select(seen.among(splits["validation"].names))
    pair = dataclasses.replace(found, splits={"train": splits["train"], "study": shown})
    apart = data.without_shared(pair, held_out=("study",))
    train = apart.splits["train"]
    same = same_persons(train.names, shown.names, dataset)
    persons = [
        ("train", -1 if train.rows is None else train.rows[row], train.names[row], "duplicate", "a person of the study")
        for row in same
    ]
    rejected = pd.concat(
        [apart.rejected, pd.DataFrame(persons, columns=list(data.REJECTED_COLUMNS))], ignore_index=True
    )
    copies = len(splits["train"]) - len(train)
    splits["train"] = train.select(np.setdiff1d(np.arange(len(train)), same)) if len(same) else train
    left_out = dataclasses.replace(found, splits=splits, rejected=rejected, left_out=apart.left_out)
    return left_out, line(counts, copies, len(same))


def same_persons(names: Iterable[str], shown: Iterable[str], dataset: str) -> np.ndarray:
    """Return the rows of pictures that show a person of the study, where the names of a data set say who it is."""
    if dataset not in _PERSONS:
        return np.zeros(0, np.int64)
    person = _PERSONS[dataset]
    known = {person(name) for name in shown} - {""}
    return np.flatnonzero([person(name) in known for name in names])


def line(counts: Mapping[str, int], copies: int, persons: int) -> str:
    """Say in one line what was held out, and where it came from."""
    parts = ", ".join(f"{count} of {split}" for split, count in counts.items())
    dropped = [f"copies ({copies})" if copies else "", f"others of the same persons ({persons})" if persons else ""]
    too = ", ".join(filter(None, dropped))
    return (
        f"people: the {sum(counts.values())} pictures that they saw ({parts}) are held out of training and evaluation"
        + (f"; left out of training, too: {too}" if too else "")
    )


def joined(parts: list[data.FaceSet]) -> data.FaceSet:
    """Return several splits as one, named after the first."""
    first = parts[0]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        if all(getattr(part, name) is not None for part in parts)
        else None
        for name in ("images", "labels", "names", "soft_labels", "rows", "quality")
    }
    if any(part.landmarks is not None for part in parts):
        unknown = [np.full((len(part), LANDMARKS, 2), np.nan, np.float32) for part in parts]
        known = [none if part.landmarks is None else part.landmarks for part, none in zip(parts, unknown, strict=True)]
        arrays["landmarks"] = np.concatenate(known)
    return dataclasses.replace(first, **arrays)


def digests_of_source(
    name: str, path: str, seen: Seen, *, size: int, crop: str | None, options: Mapping
) -> dict[str, set[str]]:
    """Hash the pictures that people saw, read anew from their source.

    Args:
      name: of the source.
      path: of the copy.
      seen: what people saw.
      size: side of the run's pictures, for stimuli whose side nobody says.
      crop: of the run. Stimuli may have it, or be central squares, as a study of ours shows them.
      options: of the source, with categories and class_map.

    Returns:
      Name -> digests of its file, and of each stimulus as PNG and as RGB bytes.
    """
    found: dict[str, set[str]] = {}
    wanted = set(seen.hashes)
    with data.open_source(name, path, **options) as listing:
        framings = [
            data.Framing(crop=kind, size=seen.side or size, exif=listing.exif) for kind in {"square", crop or "square"}
        ]
        for rows in listing.splits.values():
            for row in rows():
                names = {row.path, f"{row.path}#{row.row}"} & wanted
                if not names or not isinstance(row, data.Row):
                    continue
                loaded = row.load()
                images = [frame(pixels(loaded, listing.exif), row, framing).image for framing in framings]
                told = {_sha256(loaded)} if isinstance(loaded, bytes) else set()
                for one in names:
                    found.setdefault(one, set()).update(told.union(*map(digests_of, images)))
    return found


def digests_of(image: np.ndarray) -> set[str]:
    """Return the SHA-256 of a picture's RGB bytes and of its PNG."""
    return {_sha256(np.ascontiguousarray(image).tobytes()), _sha256(data.encode_png(image))}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
