"""One run, as its stages share it: configuration, run folder, pictures and the networks rebuilt from it."""

import dataclasses
import functools
import json
import pathlib
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd

from experiments.config import StudyConfig
from experiments.harness.command import StopRequest, restored
from experiments.harness.hosts import ALONE, Hosts
from experiments.harness.numerics import choose_precision, numerics, tell_changes
from experiments.study.run_folder import PICTURES_RECORD, FinishedFiles, RunFolder
from fer_jax import checkpoints, compiler, data, ensemble, human, images, masks, models
from fer_jax.categories import Categories
from fer_jax.cores import usable_cores
from fer_jax.errors import StorageError, UsageError
from fer_jax.provenance import Provenance
from fer_jax.training import MemberState, init_state, variables_of

# One stream of random keys for each use, so that no two stages share bits.
STREAMS = ("members", "member_training", "multiclass", "multiclass_training", "finetune", "saliency")

EVALUATION_BATCH = 128

# In the record of the pictures: how many training pictures were left out because they are held out, too.
COPIES = "copies_left_out"
# The study images that a prepared set holds out.
STUDY_LIST = "study_images_given"

# Where the stage `people` notes who the people are, and the discs and the blur of their stimuli.
PEOPLE_RECORD = "people.json"

# What the pictures of a data set are called in a sentence.
SOURCE_NAMES = {
    "procedural_faces": "procedural (synthetic) faces",
    "ferplus": "FER+ photographs",
    "fer2013": "FER2013 photographs",
    "affectnet": "AffectNet photographs",
    "ckplus": "CK+ photographs",
    "rafdb": "RAF-DB photographs",
    "expw": "ExpW photographs",
    "class_folders": "photographs in class folders",
}


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Bytes (N, H, W, 3) with canonical labels (N,) and names. `images` may be read when indexed by rows.

    `votes` are the shares of the votes (N, K) where networks learn from these. `landmarks` are float32 (N, 68, 2),
    pixels, all NaN of a picture without, None where no picture has any.
    """

    images: "np.ndarray | StoredPictures"
    labels: np.ndarray
    names: np.ndarray
    votes: np.ndarray | None = None
    landmarks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: np.ndarray) -> "Pictures":
        """Return some rows, in the order given."""
        some = (None if each is None else each[rows] for each in (self.votes, self.landmarks))
        return Pictures(self.images[rows], self.labels[rows], self.names[rows], *some)


class StoredPictures:
    """Pictures of a prepared split that are read from its shards when they are asked for.

    Args:
      split: where they are.
      rows: int (N,), which of its rows are meant.
    """

    def __init__(self, split: data.PreparedSplit, rows: np.ndarray):
        self._split, self._rows = split, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return self._split.images(self._rows[rows])


class Run:
    """One run, as its stages see it.

    Args:
      config: resolved configuration.
      folder: the run folder. Its finished files only where another process writes it.
      stop: asked between pieces of work.
      hosts: the processes that train together, of which only the first writes anything but states of members.
    """

    def __init__(self, config: StudyConfig, folder: RunFolder | FinishedFiles, stop: StopRequest, hosts: Hosts = ALONE):
        self.config, self.stop, self.hosts = config, stop, hosts
        self.folder = cast(RunFolder, folder)  # those without the lock do not come to where it is written

    def key(self, stream: str) -> jax.Array:
        """Return the typed random key of one stream."""
        return jax.random.fold_in(jax.random.key(self.config.seed, impl="threefry2x32"), STREAMS.index(stream))

    @functools.cached_property
    def provenance(self) -> Provenance:
        """What the pictures and the people of the run are."""
        drawn = self.config.dataset == "procedural_faces"
        if self.config.dataset == "prepared":
            drawn = bool(self.folder.read_json(PICTURES_RECORD)["synthetic"])
        who = {"people": "none"} if self.config.people == "none" else self._people
        return Provenance(
            pictures="drawn" if drawn else "photographs",
            people=who["people"],
            source=self._source(),
            num_people=who.get("num_people"),
        )

    @property
    def num_simulated(self) -> int:
        """How many of the people who are analysed are programs."""
        return self._people["num_simulated"]

    @property
    def profile(self) -> str | None:
        """Where the people whom this run has simulated look, None where its people come from tables."""
        return self._people.get("profile", "typical") if self.config.people == "simulated" else None

    @property
    def without_landmarks(self) -> int:
        """At how many study images the people whom this run has simulated aimed without knowing where the face is."""
        if self.profile is None or human.observers.PROFILES[self.profile].aim != "region":
            return 0
        return self._people.get("without_landmarks", 0 if self.provenance.drawn else len(self.study_table))

    @property
    def reveal_radius(self) -> int:
        """Radius of the discs that people opened, pixels of the run's pictures."""
        return self._people["reveal_radius_px"]

    @property
    def blur_size(self) -> int:
        """Side of the blur window that people looked through, pixels of the run's pictures."""
        return self._people["blur_k"]

    @functools.cached_property
    def _people(self) -> dict:
        """What the stage `people` says of the people who are analysed. Older runs, all simulated, say nothing."""
        if self.folder.has(PEOPLE_RECORD):
            return self.folder.read_json(PEOPLE_RECORD)
        if self.config.people != "simulated":
            raise self.folder.unfinished("people", "people")
        size = self.config.image_size
        return {"people": "simulated", "reveal_radius_px": masks.reveal_radius(size), "blur_k": masks.blur_size(size)}

    def _source(self) -> str:
        if self.config.dataset == "prepared":
            return f"prepared pictures ({self.folder.read_json(PICTURES_RECORD)['release']})"
        return SOURCE_NAMES[self.config.dataset]

    @functools.cached_property
    def categories(self) -> Categories:
        """The categories of the run's pictures, from the stage `data`."""
        return self.folder.categories

    # Pictures

    def pictures(self, split: str) -> Pictures:
        """Read a split as the data stage left it: "train" or "validation"."""
        return self._pictures[split]

    @functools.cached_property
    def _pictures(self) -> dict[str, Pictures]:
        arrays = self.folder.read_arrays("data/pictures")
        splits = {}
        for split in ("train", "validation"):
            pixels = arrays.get(f"{split}_images")
            if pixels is None:
                pixels = self._stored(split, arrays[f"{split}_rows"])
            elif pixels.shape[-1] == 1:
                pixels = np.repeat(pixels, 3, -1)
            own = (arrays[f"{split}_{name}"] for name in ("labels", "names"))
            more = (arrays.get(f"{split}_{name}") for name in ("votes", "landmarks"))
            splits[split] = Pictures(pixels, *own, *more)
        return splits

    def _stored(self, split, rows) -> StoredPictures:
        """Open the pictures left in a prepared set, if it is still the one that the run began with."""
        record = self.folder.read_json(PICTURES_RECORD)
        moved = self.config.data_dir and not pathlib.Path(record["path"]).exists()
        path = self.config.data_dir if moved else record["path"]
        found = data.PreparedSplit(path, split, size=self.config.image_size, workers=usable_cores())
        same = (found.info.metadata or {}).get("fingerprint") == record.get("fingerprint")
        if not same or rows.max(initial=-1) >= len(found):
            raise StorageError(f"`{path}`: is not the set any more that this run began with; prepare it anew.")
        return StoredPictures(found, rows)

    @functools.cached_property
    def study_table(self) -> pd.DataFrame:
        """The study images: image, true_label, false_label, and `row` in the validation split."""
        return self.folder.read_table("study_images")

    @functools.cached_property
    def study_pictures(self) -> Pictures:
        """The study images' pixels, in the table's order."""
        return self.pictures("validation").select(self.study_table["row"].to_numpy())

    @functools.cached_property
    def evaluation_pictures(self) -> Pictures:
        """Validation without the study images (paper §3), and without pictures equal to one of them."""
        validation = self.pictures("validation")
        shown = {picture.tobytes() for picture in self.study_pictures.images}
        others = np.setdiff1d(np.arange(len(validation)), self.study_table["row"])
        return validation.select([row for row in others if validation.images[row].tobytes() not in shown])

    @functools.cached_property
    def study_pairs(self) -> np.ndarray:
        """(T,) the unordered pair of each study image."""
        table = self.study_table
        return np.asarray(
            [
                self.categories.pair_index(self.categories.index_of(a), self.categories.index_of(b))
                for a, b in zip(table["true_label"], table["false_label"], strict=True)
            ]
        )

    # Networks

    def network(self, num_classes: int, *, lowering: str | None = None):
        """Return a module of the configured architecture."""
        extra = {} if lowering is None else {"lowering": lowering}
        dtype = jnp.dtype(self.config.compute_dtype)
        return models.MODELS[self.config.model](num_classes=num_classes, dtype=dtype, **extra)

    def state_like(self, num_classes: int, optimiser) -> MemberState:
        """Return the shapes of one member's training state, without computing anything."""
        size = self.config.image_size
        sample = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)

        def build(sample):
            return init_state(self.network(num_classes).init(jax.random.key(0), sample), optimiser)

        return jax.eval_shape(build, sample)

    def variables_like(self, num_classes: int, members: int | None = None) -> dict:
        """Return the shapes of a network's variables, or of a stack of them."""
        like = variables_of(self.state_like(num_classes, optax.identity()))
        if members is None:
            return like
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), like)

    def facts(self, kind: str) -> dict:
        """Return what a checkpoint of this run says about itself."""
        return self._wanted(kind) | {"run": self.folder.run, "numerics": numerics()}

    def load(self, name: str, like, kind: str, *, member: int | None = None):
        """Read a checkpoint of this run, or one member of it, and say what has changed since in how JAX computes.

        Args:
          name: where it lies in the run folder.
          like: what it holds, or what one member does.
          kind: see `facts`.
          member: which.

        Raises:
          StorageError: none, a damaged one, one made otherwise or by another run.
        """
        path = self.folder.path / name
        facts = checkpoints.facts(path)
        self.folder.refuse_another_run(name, facts.get("run"))
        tell_changes(str(path), facts.get("numerics"))
        wanted = self._wanted(kind)
        if "categories" not in facts:  # the name that older runs give them
            wanted["expressions"] = wanted.pop("categories")
        if member is None:
            return checkpoints.load(path, like, facts=wanted)
        return checkpoints.load_member(path, like, member, facts=wanted)

    def _wanted(self, kind):
        return {
            "kind": kind,
            "categories": list(self.categories),
            "pairs": [list(pair) for pair in self.categories.pairs],
            "model": self.config.model,
            "image_size": self.config.image_size,
            "normalise": [list(images.IMAGENET_MEAN), list(images.IMAGENET_STD)],
        }

    def load_ensemble(self, name: str = "ensemble"):
        """Load the stacked variables of all members ("ensemble" or "finetuned")."""
        like = self.variables_like(2, self.categories.num_pairs)
        return jax.device_put(self.load(name, like, name))

    def load_member(self, pair: int, name: str = "ensemble"):
        """Load one member's variables, of "ensemble" or "finetuned". The others' are not read."""
        return jax.device_put(self.load(name, self.variables_like(2), name, member=pair))

    def load_multiclass(self):
        """Load the multiclass model's variables."""
        like = self.variables_like(len(self.categories))
        return jax.device_put(self.load("multiclass", like, "multiclass"))

    def ensemble_logits(self, variables, pictures: np.ndarray) -> np.ndarray:
        """Return every member's logits (M, N, 2) for byte images (N, H, W, 3)."""
        predict = self._predict(2)
        members = ensemble.unstack(variables)
        return np.stack([_in_batches(predict, member, pictures) for member in members])

    def multiclass_logits(self, variables, pictures: np.ndarray) -> np.ndarray:
        """Return the multiclass logits (N, K) for byte images (N, H, W, 3)."""
        return _in_batches(self._predict(len(self.categories)), variables, pictures)

    def _predict(self, num_classes):
        model = self.network(num_classes)

        def predict(variables, pictures):
            return model.apply(variables, images.normalise(images.to_float(pictures))).logits

        return jax.jit(predict, compiler_options=compiler.options())


def open_run(path: str, *, flag: str = "run") -> Run:
    """Open a run's configuration, pictures and networks, to read only.

    Args:
      path: the run folder.
      flag: where it was named, for messages.

    Raises:
      UsageError: no run folder.
      StorageError: a record that is damaged or was made by another version.
    """
    return Run(_config(path, flag), FinishedFiles(path), None)


def open_to_compute(path: str) -> Run:
    """Open a run whose networks are to compute, and multiply in this process as they did in training.

    Args:
      path: the run folder, from `--run`.

    Raises:
      UsageError, StorageError: see `open_run`.
    """
    run = open_run(path)
    choose_precision(run.config.matmul_precision)
    return run


def _config(path, flag) -> StudyConfig:
    file = pathlib.Path(path) / "run.json"
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))["config"]
        config = restored(StudyConfig, saved)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"`--{flag}`: wanted a run folder of experiments.reproduce, got {path}, which has no run.json."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(f"`{file}`: cannot be read: {type(error).__name__}: {error}.") from error
    for name in ("model", "image_size", "ep_iterations", "ep_score", "ep_reward_scale"):
        if getattr(config, name) is None:
            raise StorageError(f"`{file}`: lacks {name}: the run was made by another version. Run it anew.")
    return config


def _in_batches(predict, variables, pictures) -> np.ndarray:
    """Predict in fixed batches, the last one padded and cut, so that one program serves any number of pictures."""
    parts = []
    for first in range(0, len(pictures), EVALUATION_BATCH):
        part = pictures[first : first + EVALUATION_BATCH]
        spare = EVALUATION_BATCH - len(part)
        full = np.concatenate([part, np.zeros((spare, *part.shape[1:]), part.dtype)]) if spare else part
        parts.append(np.asarray(predict(variables, full))[: len(part)])
    return np.concatenate(parts)
