"""The base of the builders of photographs: a listing streamed through checks and crops into ArrayRecord shards.

Contract: rows in = pictures stored + rows of `rejected.csv`, for each split. What was odd about a stored row is
in `flagged.csv`. Both lie beside the shards. Equal sources and options give equal bytes, whatever the number of
workers, and whether or not the build was killed on the way.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow_datasets as tfds
from accounts import Account, write_accounts
from array_record_builder import ArrayRecordBuilder
from study_images import StudyImages, choose, survey

from fer_jax import data
from fer_jax.categories import Categories
from fer_jax.cores import usable_cores
from fer_jax.errors import DataError, UsageError, check_one_of, check_range
from fer_jax.expressions import EXPRESSIONS
from fer_jax.frame import LANDMARKS

EXIF = ("source", "apply", "ignore")
# What no picture to train on may be in, too.
HELD_OUT = ("validation", "test")
_AHEAD = 16  # rows in work for each worker
_HOPELESS_AFTER, _HOPELESS_SHARE = 1000, 0.5


@dataclasses.dataclass(eq=False, kw_only=True)
class PhotographConfig(tfds.core.BuilderConfig):
    """The options of a set of photographs.

    Attributes:
      options: of the source, see `fer_jax.data.SOURCES`.
      crop: see `fer_jax.data.Framing`.
      image_size: side, pixels. None keeps the source's (only without a crop).
      box_margin: for the crop "box".
      encoding: of what has to be written anew, "png" or "jpeg95".
      exif: "source", as the source wants it, or "apply" or "ignore" (see `fer_jax.data.decode`).
      detector: "given" or the name of a `fer_jax.data.face_detector`.
      stimuli: the study images, held out of everything else: a csv (image, true_label, false_label), "seeded" for a
        stand-in drawn from validation, or None for none.
      seed: of the stand-in.
      dedupe: drop pictures that are in a split held out from theirs, too: training pictures that are in validation or
        test, validation pictures that are study images.
      categories: see `fer_jax.data.read`.
      class_map: see `fer_jax.data.read`.
    """

    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    crop: str = "none"
    image_size: int | None = None
    box_margin: float = data.Framing("none").box_margin
    encoding: str = "png"
    exif: str = "source"
    detector: str = "given"
    stimuli: str | None = None
    seed: int = 0
    dedupe: bool = True
    categories: str | None = None
    class_map: str | None = None

    def differs(self, **changes) -> dict[str, Any]:
        """Return those of some fields' values that differ from this configuration's."""
        return {name: value for name, value in changes.items() if getattr(self, name) != value}

    def variant(self, **changes) -> "PhotographConfig":
        """Return a copy with some fields changed, and a name that says which."""
        differ = self.differs(**changes)
        marks = [_mark(name, value, self.options) for name, value in sorted(differ.items())]
        return dataclasses.replace(self, **differ, name="_".join([self.name, *marks]))


def configs_of(option: str = "", **descriptions: str) -> list[PhotographConfig]:
    """Return a configuration for each name, which is a value of the source's option, if one is given."""
    return [
        PhotographConfig(name=value, description=description, options={option: value} if option else {})
        for value, description in descriptions.items()
    ]


def _mark(name, value, usual) -> str:
    if name == "options":
        own = {option: one for option, one in value.items() if usual.get(option) != one}
        return "_".join(_mark(option, one, {}) for option, one in sorted(own.items()))
    if value is True or value is False:
        return name if value else f"no{name}"
    return f"{'' if name in ('crop', 'encoding') else name}{_plain(name, value)}"


def _plain(name, value) -> str:
    """Return an option's value for a folder's name. A file is named by a hash of its content."""
    text = str(value)
    file = text.removeprefix("yunet=").removeprefix("face_api=")
    files = [file] if os.path.isfile(file) else [part.strip() for part in file.split(",")]
    if name in ("stimuli", "votes", "detector") and all(map(os.path.isfile, files)):
        return hashlib.sha256(b"".join(pathlib.Path(file).read_bytes() for file in files)).hexdigest()[:8]
    return "".join(letter for letter in text if letter.isalnum())


class _Part(NamedTuple):
    """A split to be made: its rows, the splits whose pictures it should not hold and how they are called, which rows
    are meant, and how many study images of each category were taken out."""

    rows: Callable[[], Iterable[data.Row | data.Rejection]]
    others: dict[str, str]
    keep: Callable[[data.Row | data.Rejection], bool] = lambda row: True
    beside: np.ndarray | int = 0


class PhotographBuilder(ArrayRecordBuilder, skip_registration=True):
    """Splits as the source names them. Study images turn "validation" into "validation_minus_stimuli" and "stimuli".

    Args:
      source: the user's copy, a folder or zip, by default TFDS' manual folder.
      max_reject_frac: largest share of rows of a split that may be rejected for an unexpected reason.
      workers: threads that decode, crop and encode.
    """

    # So that what is held out is known when its copies come along in the rest.
    FIRST = ("stimuli", "validation_minus_stimuli", "validation", "test")
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012  TFDS' own form
    SOURCE: str  # a key of `fer_jax.data.SOURCES`
    DESCRIPTION: str
    HOMEPAGE: str

    def __init__(
        self,
        *,
        source: str | os.PathLike | None = None,
        max_reject_frac: float = 0.01,
        workers: int | None = None,
        **kwargs,
    ):
        check_range("max_reject_frac", max_reject_frac, 0, 1)
        self._source, self._max_reject_frac = source, max_reject_frac
        self._workers = workers or usable_cores()
        self._held = contextlib.ExitStack()
        self.categories = EXPRESSIONS
        super().__init__(**kwargs)
        if self.is_prepared():
            names = tfds.features.FeaturesDict.from_config(self.data_dir)["expression"].names
            self._promise(Categories(tuple(names)))

    def _promise(self, categories: Categories) -> None:
        """Set what labels are indices into: a copy's categories are known only when the set is built, or read again."""
        self.categories = categories
        self.info._features = self._features()  # TFDS asks for features when a builder is made

    def _features(self) -> tfds.features.FeaturesDict:
        return tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "expression": tfds.features.ClassLabel(names=list(self.categories)),
                "source_label": np.int32,
                "soft_label": tfds.features.Tensor(shape=(len(self.categories),), dtype=np.float32),
                "valence": np.float32,
                "arousal": np.float32,
                "bbox": tfds.features.BBoxFeature(),
                "landmarks": tfds.features.Tensor(shape=(LANDMARKS, 2), dtype=np.float32),
                "subject": tfds.features.Text(),
                "file_name": tfds.features.Text(),
                "release": tfds.features.Text(),
                "crop": tfds.features.Text(),
                "row": np.int64,
                "content_hash": tfds.features.Text(),
                "quality": np.uint32,
            }
        )

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.DESCRIPTION,
            features=self._features(),
            supervised_keys=("image", "expression"),
            homepage=self.HOMEPAGE,
            citation=self.get_metadata().citation,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _download_and_prepare(self, dl_manager, download_config):
        with self._held:  # a zip stays open until its last picture is stored
            super()._download_and_prepare(dl_manager, download_config)

    def _split_generators(self, dl_manager):
        config = self.builder_config
        source = self.copy_of(self.SOURCE, dl_manager, self._source)
        names = {"categories": config.categories, "class_map": config.class_map}
        listing = self._held.enter_context(data.open_source(self.SOURCE, source, **names, **config.options))
        self._promise(listing.categories)
        self._release, self._framed = listing.release, self._framing(listing)
        splits, self._chosen = dict(listing.splits), StudyImages()
        if config.stimuli is not None:
            if "validation" not in splits:
                raise UsageError(f"`stimuli`: {listing.release} has no validation split to take study images from.")
            self.in_all = listing.count("validation")
            usable = survey(self._stored(splits["validation"]()))
            self._chosen = choose(usable, config.stimuli, seed=config.seed, categories=self.categories)
        self.info.metadata.update(_settings(config, listing, self._chosen))
        self._parts = _parts(splits, self._chosen, self.categories)
        self.in_all = sum(map(listing.count, splits))
        return {split: functools.partial(self._generate_examples, split) for split in self._parts}

    def _framing(self, listing) -> data.Framing:
        config = self.builder_config
        check_one_of("exif", config.exif, EXIF)
        return data.Framing(
            crop=config.crop,
            size=config.image_size,
            box_margin=config.box_margin,
            exif=listing.exif if config.exif == "source" else config.exif,
            detector=None if config.detector == "given" else data.face_detector(config.detector),
        )

    def _stored(self, rows: Iterable[data.Row | data.Rejection]):
        """Yield (row, what is stored of it or its rejection), in order, several in work at a time."""
        encoding, framing = self.builder_config.encoding, self._framed

        def store(row):
            if isinstance(row, data.Rejection):
                return row, row
            try:
                return row, data.store(row, framing, encoding=encoding)
            except data.ImageRejected as error:
                return row, data.Rejection(row.row, row.path, error.reason, error.detail, row.label)

        with concurrent.futures.ThreadPoolExecutor(self._workers) as pool:
            for done in _in_order(pool, store, rows, ahead=self._workers * _AHEAD):
                self.one_done()
                yield done

    def _generate_examples(self, split: str, done: int) -> Iterator[dict[str, Any] | None]:
        part, account = self._parts[split], self._account(split)
        for row, stored in self._stored(itertools.islice(filter(part.keep, part.rows()), done, None)):
            found = account.take(row, stored)
            if account.rows == _HOPELESS_AFTER:  # pictures that are nowhere: no need to look for all of them
                self._check(account, max(self._max_reject_frac, _HOPELESS_SHARE))
            yield (
                None
                if found is None
                else _example(row, found, self._release, self.builder_config, len(self.categories))
            )
        self._check(account, self._max_reject_frac, ended=True)

    def _account(self, split) -> Account:
        dedupe = self.builder_config.dedupe and split not in HELD_OUT
        return Account(self.shards, split, self._parts[split].others, self.categories, dedupe=dedupe)

    def _finish(self, splits):
        accounts = [self._account(split) for split in splits]
        for account in accounts:  # also of a split that an earlier build, which was killed, allowed more
            self._check(account, self._max_reject_frac, ended=True)
            account.tell(self.info.metadata, self._release, self._parts[account.split].beside)
        write_accounts(self.data_path, accounts, self._chosen)
        self._refused.unlink(missing_ok=True)  # an earlier build's, which allowed less

    def _check(self, account, allowed, *, ended=False):
        """Check the account, and put that of a failed build where clearing away leaves it."""
        try:
            account.check(allowed, ended=ended)
        except DataError as error:
            account.write_rejected(self._refused)
            raise DataError(f"{error} All of them: {self._refused}.") from None

    @property
    def _refused(self) -> pathlib.Path:
        return pathlib.Path(self._data_dir_root) / f"{self.name}-{self.builder_config.name}-rejected.csv"


def _parts(splits, chosen, categories) -> dict[str, _Part]:
    """Return what is made of a source's splits, with the study images taken out of validation."""
    held = {"validation": "validation", "test": "test"}
    if chosen.rows:
        held = {"stimuli": "validation", "validation_minus_stimuli": "validation", "test": "test"}
    parts = {}
    for split, rows in splits.items():
        others = {other: told for other, told in held.items() if split not in HELD_OUT or told != "test"}
        parts[split] = _Part(rows, {} if split == "validation" else others)
    if not chosen.rows:
        return parts
    whole = parts.pop("validation")
    labels = [categories.index(true) for _, true, _ in chosen.rows.values()]
    parts["validation_minus_stimuli"] = whole._replace(
        others={"stimuli": "stimuli"},
        keep=lambda row: row.row not in chosen.rows,
        beside=np.bincount(labels, minlength=len(categories)),
    )
    parts["stimuli"] = whole._replace(keep=lambda row: row.row in chosen.rows)
    return parts


def _example(row, stored: data.Stored, release, config, categories) -> dict[str, Any]:
    height, width = stored.size
    soft = np.eye(categories, dtype=np.float32)[row.label] if row.soft_label is None else row.soft_label
    left, top, across, down = stored.box or (0.0, 0.0, float(width), float(height))
    landmarks = stored.landmarks
    return {
        "image": stored.data,
        "expression": row.label,
        "source_label": row.source_label,
        "soft_label": soft,
        "valence": row.valence,
        "arousal": row.arousal,
        "bbox": tfds.features.BBox(
            ymin=max(top / height, 0.0),
            xmin=max(left / width, 0.0),
            ymax=min((top + down) / height, 1.0),
            xmax=min((left + across) / width, 1.0),
        ),
        "landmarks": np.full((LANDMARKS, 2), np.nan, np.float32) if landmarks is None else landmarks,
        "subject": row.subject,
        "file_name": row.path.encode(errors="backslashreplace").decode(),
        "release": release,
        "crop": config.crop,
        "row": row.row,
        "content_hash": stored.content_hash,
        "quality": int(stored.quality),
    }


def _settings(config, listing, chosen) -> dict[str, Any]:
    """Return what must be known to compare two results: written into the set, and from there into every result."""
    plain = {
        name: getattr(config, name) for name in ("crop", "image_size", "box_margin", "encoding", "exif", "detector")
    }
    return plain | {
        "release": listing.release,
        "remarks": list(listing.remarks),
        "options": {name: str(value) for name, value in config.options.items()},
        "categories": list(listing.categories),
        "dedupe": config.dedupe,
        "stimuli": chosen.origin,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
    }


def _in_order(pool, work, items, *, ahead) -> Iterator:
    """Map on a pool that draws no more items than `ahead` of the one wanted next."""
    items = iter(items)
    waiting = collections.deque(pool.submit(work, item) for item in itertools.islice(items, ahead))
    while waiting:
        done = waiting.popleft()
        yield done.result()
        for item in itertools.islice(items, 1):
            waiting.append(pool.submit(work, item))
