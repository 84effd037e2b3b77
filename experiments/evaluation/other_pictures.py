"""The scores of a run's networks on another set of pictures, or on another split of its own set.

Contract: labels of the pictures kept are indices into the run's categories. Pictures in = pictures kept + pictures
that `left_out` counts with their reason.
"""

import collections
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from experiments.evaluation.other_set import Found, found_in
from experiments.evaluation.own_pictures import scored
from experiments.harness.progress import Progress
from experiments.scores_page import other_page, page
from experiments.study.picture_flags import refuse_strangers
from experiments.study.run import SOURCE_NAMES, Run, StoredPictures, open_run, open_to_compute
from experiments.study.run_folder import sha256, versions
from fer_jax import checkpoints, metrics
from fer_jax.categories import DROP
from fer_jax.compare import decisions as deciding
from fer_jax.errors import DataError, StorageError, UsageError

SCHEMA = 1
_AT_ONCE = 1024  # pictures in memory while their pixels are compared
_LACKS, _LEARNT = "the run has no such category", "the run has learned from this picture"
_CHECKPOINTS = {"ensemble": "members", "finetuned": "finetune"}


@dataclasses.dataclass(frozen=True)
class OtherPictures:
    """What a run's networks are to name.

    Attributes:
      run: the run.
      found: the set as read.
      images: uint8 (N, H, W, 3), perhaps read when indexed by rows.
      labels: (N,), indices into the run's categories.
      names: (N,).
      shared: the categories of both, as indices into the run's, ascending.
      left_out: one row for each reason and category: reason, category, n.
    """

    run: Run
    found: Found
    images: Any
    labels: np.ndarray
    names: np.ndarray
    shared: list[int]
    left_out: pd.DataFrame


def resolve(config: Any) -> Any:
    """Fill in which pictures are meant, from the run where only `--split` is given.

    Raises:
      UsageError: flags that do not go together, or drawn faces, of which there is no further split.
    """
    if config.data_dir and not config.dataset:
        raise UsageError("`--dataset`: --data_dir wants the kind of set beside it, such as --dataset=rafdb, got none.")
    if config.dataset:
        if not config.data_dir:
            raise UsageError(f"`--data_dir`: --dataset={config.dataset} wants the folder or zip it lies in, got none.")
        refuse_strangers(config, ("target", "label_table"))
    else:
        run = open_run(config.run).config
        if run.dataset == "procedural_faces":
            raise UsageError(
                f"`--split`: {config.run} has drawn faces, which have no further split; name another set with "
                "--dataset and --data_dir."
            )
        given = ("dataset", "data_dir", "class_map", "label_table", "target")
        config = dataclasses.replace(config, **{name: getattr(run, name) for name in given})
    if config.dataset == "prepared" and (config.crop or config.detector):
        raise UsageError("`--crop`: goes with photographs read at once; prepare_data cropped those of a prepared set.")
    return config


def read(config: Any) -> OtherPictures:
    """Read the pictures, and leave out what the networks cannot know or have learned from.

    Raises:
      UsageError: no run, networks that are not trained yet, or fewer than two shared categories.
      DataError: no such set or split, or nothing left of it.
    """
    run = open_to_compute(config.run)
    for name in _networks(config):
        if not checkpoints.exists(run.folder.path / name):
            raise run.folder.unfinished("trained members", _CHECKPOINTS[name])
    found = found_in(run, config)
    ours = list(run.categories)
    lookup = np.asarray([ours.index(name) if name in ours else DROP for name in found.categories], np.int64)
    labels = lookup[found.labels]
    counts = collections.Counter(found.left_out)
    counts.update((_LACKS, found.categories[label]) for label in found.labels[labels == DROP])
    shared = sorted(set(labels[labels != DROP].tolist()))
    if len(shared) < 2:
        both = ", ".join(ours[label] for label in shared) or "none"
        raise UsageError(
            f"`--dataset`: wanted two or more categories that both have, got {both}. The run has {', '.join(ours)}; "
            f"these pictures have {', '.join(found.categories)}. Bring them together with --class_map."
        )
    known = labels != DROP
    known[known] = ~_learnt(run, found.images, np.flatnonzero(known), finetuned=config.finetuned)
    counts.update((_LEARNT, ours[label]) for label in labels[(labels != DROP) & ~known])
    rows = np.flatnonzero(known)
    if not len(rows):
        raise DataError(
            f"`--data_dir`: wanted pictures that the run has not learned from, all {len(labels)} in {config.data_dir} "
            "are among its training pictures. Choose another --split or set."
        )
    table = pd.DataFrame([(*key, n) for key, n in counts.items()], columns=["reason", "category", "n"])
    table = table.sort_values(["reason", "category"], ignore_index=True)
    return OtherPictures(run, found, found.images[rows], labels[rows], found.names[rows], shared, table)


def score(sources: OtherPictures, config: Any) -> tuple[dict[str, pd.DataFrame], dict, str]:
    """Score every rule on the other pictures, and on the run's own of the same categories where stage `vote` has ended.

    Returns:
      Tables by name, the record of how they were made, and what is printed.
    """
    run, shared = sources.run, sources.shared
    progress = Progress("naming pictures", None, unit="networks")
    ensembles = {name: run.ensemble_logits(run.load_ensemble(name), sources.images) for name in _networks(config)}
    has_multiclass = checkpoints.exists(run.folder.path / "multiclass")
    multiclass = run.multiclass_logits(run.load_multiclass(), sources.images) if has_multiclass else None
    for name, logits in {**ensembles, "multiclass": multiclass}.items():
        if logits is not None and not np.isfinite(logits).all():
            raise StorageError(
                f"`{run.folder.path / name}`: wanted finite logits, got NaN or infinity: a network failed."
            )
    progress.finish(f"{len(sources.labels)} pictures")
    categories = run.categories.select(run.categories[label] for label in shared)
    labels = np.searchsorted(shared, sources.labels).astype(np.int32)
    made, members = _decisions(run, ensembles, multiclass, labels, shared, config.seed)
    scores = [scored(made, labels, categories, config).assign(pictures="other")]
    own = _own(run, config, shared)
    if own is not None:
        scores.append(scored(own[0], own[1], categories, config).assign(pictures="own"))
    table = pd.concat(scores, ignore_index=True)
    table = table[["pictures", *table.columns.drop("pictures")]]
    named = pd.DataFrame({"name": sources.names, "true": np.asarray(categories.names)[labels]})
    for rule, each in made.items():
        named[rule] = np.asarray(categories.names)[each.predicted]
    tables = {
        "scores": table,
        "members": members,
        "confusion": _confusion(made, labels, categories),
        "decisions": named,
        "left_out": sources.left_out,
    }
    sentence = _sentence(sources, config)
    text = "\n".join([sentence, "", page(scores[0], members), "", *other_page(table, tables["confusion"])])
    return tables, _record(sources, config, sentence), text


def _networks(config) -> tuple[str, ...]:
    return ("ensemble", "finetuned") if config.finetuned else ("ensemble",)


def _learnt(run, images, rows, *, finetuned) -> np.ndarray:
    """Tell which pictures have the pixels of one that the networks have learned from."""
    seen = {digest for part in _parts(run.pictures("train").images) for digest in map(_pixels, part)}
    if finetuned:
        seen |= set(map(_pixels, run.study_pictures.images))
    starts = range(0, len(rows), _AT_ONCE)
    told = [_pixels(image) in seen for at in starts for image in images[rows[at : at + _AT_ONCE]]]
    return np.asarray(told, bool)


def _parts(images: "np.ndarray | StoredPictures") -> Iterator[np.ndarray]:
    for at in range(0, len(images), _AT_ONCE):
        yield images[np.arange(at, min(at + _AT_ONCE, len(images)))]


def _pixels(image) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def _decisions(run, ensembles, multiclass, labels, shared, seed):
    """Return the decisions of every rule among the shared categories, and the table of the members of shared pairs."""
    half = deciding.split_halves(labels, seed)
    pairs = deciding.shared_pairs(shared, run.categories)
    made, members = {}, []
    categories = run.categories.select(run.categories[label] for label in shared)
    for name, logits in ensembles.items():
        rules = deciding.ensemble_decisions(logits[pairs], labels, half)
        if len(shared) < len(run.categories):
            rules |= deciding.all_member_decisions(logits, shared)
        prefix = "finetuned_" if name == "finetuned" else ""
        made |= {f"{prefix}{rule}": each for rule, each in rules.items()}
        ensemble = "finetuned" if prefix else "trained"
        members.append(deciding.member_table(logits[pairs], labels, half, categories).assign(ensemble=ensemble))
    if multiclass is not None:
        made |= deciding.multiclass_decisions(multiclass[:, shared], labels, half)
    table = pd.concat(members, ignore_index=True)
    return made, table[["ensemble", *table.columns.drop("ensemble")]]


def _own(run, config, shared):
    """Return the same rules' decisions on the run's evaluation pictures of shared categories, with their labels."""
    if not run.folder.has("predictions.npz"):
        return None
    saved = run.folder.read_arrays("predictions")
    kept = np.isin(saved["labels"], shared)
    if not kept.any():
        return None
    labels = np.searchsorted(shared, saved["labels"][kept]).astype(np.int32)
    ensembles = {"ensemble": saved["ensemble_logits"][:, kept]}
    made, _ = _decisions(run, ensembles, saved["multiclass_logits"][kept], labels, shared, config.seed)
    return made, labels


def _confusion(made, labels, categories):
    size = len(categories)
    names = np.asarray(categories.names)
    parts = []
    for rule, each in made.items():
        counts = np.asarray(metrics.confusion(labels, each.predicted, classes=size))
        columns = {"true": names.repeat(size), "predicted": np.tile(names, size), "n": counts.ravel()}
        parts.append(pd.DataFrame({"rule": rule, **columns}))
    return pd.concat(parts, ignore_index=True)


def _sentence(sources: OtherPictures, config) -> str:
    """Say what the two sets are, what they share, and what was left out."""
    run, found = sources.run, sources.found
    ours = list(run.categories)
    told = [
        f"Networks of {config.run}, trained on {run.provenance.source or SOURCE_NAMES[run.config.dataset]} of "
        f"{len(ours)} categories ({', '.join(ours)}), name {len(sources.labels)} pictures of {config.dataset} "
        f"({found.told}; {run.config.image_size} px) of {len(sources.shared)} shared categories."
    ]
    lacking = [name for label, name in enumerate(ours) if label not in sources.shared]
    if lacking:
        told.append(f"{config.dataset} shows no {', no '.join(lacking)}.")
    by_reason = sources.left_out.groupby("reason", sort=False)
    parts = []
    for reason, rows in by_reason:
        names = ", ".join(f"{n} {name}".strip() for name, n in zip(rows["category"], rows["n"], strict=True))
        parts.append(f"{names} ({reason})")
    told.append(f"Left out: {'; '.join(parts)}." if parts else "Nothing was left out.")
    if lacking:
        pairs = len(deciding.shared_pairs(sources.shared, run.categories))
        told.append(
            f"The {pairs} members of shared pairs vote; under all_members_* all {run.categories.num_pairs} do, and the "
            "shared categories are decided among."
        )
    return " ".join(told)


def _record(sources: OtherPictures, config, sentence) -> dict[str, Any]:
    run = sources.run
    networks = [*_networks(config), *(["multiclass"] if checkpoints.exists(run.folder.path / "multiclass") else [])]
    return {
        "schema": SCHEMA,
        "run": str(pathlib.Path(config.run).resolve()),
        "pictures": sentence,
        "shared": [run.categories[label] for label in sources.shared],
        "release": sources.found.release,
        "remarks": list(sources.found.remarks),
        "sha256": {name: sha256(run.folder.path / name / "manifest.json") for name in networks},
        **{name: value for name, value in dataclasses.asdict(config).items() if name not in ("run", "out")},
        "interval": "95 % percentile bootstrap over pictures, drawn within each category, temperatures as fitted; "
        "ece has none",
        "temperatures": "fitted on one random half of the other pictures (halved within each category), used on the "
        "other half",
        "versions": versions(),
    }
