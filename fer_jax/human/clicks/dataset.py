"""A click study as one data set: answers, clicks and the sharp pictures, checked against each other.

Contract: T images, N trials. A set is the trial tables of `human.trials`, a study table in the order of the pictures,
and pictures uint8 (T, S, S, 3), RGB. Masks are not kept: the union of discs of a trial's clicks is redrawn exactly.
`human.clicks.examples` says what a builder stores of it.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fer_jax.categories import Categories
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human.clicks import checks
from fer_jax.human.columns import typed
from fer_jax.human.stimuli import reveal_mask
from fer_jax.human.study import COLUMNS, check_images
from fer_jax.human.trials import Trials, person_counts, typed_tables
from fer_jax.provenance import UNKNOWN, Provenance

FOLDS = 5

# What an example holds of the tables. The rest (sides, screen, pauses) stays with the study.
STORED_TRIALS = (
    "participant", "simulated", "block", "trial", "image", "true_label", "false_label", "n_options", "response",
    "correct", "n_clicks", "rt_decision_ms", "image_px", "reveal_radius_px", "blur_k", "source",
)  # fmt: skip
STORED_CLICKS = ("participant", "trial", "image", "click", "x_px", "y_px", "t_ms", "inside", "chosen")


@dataclasses.dataclass(frozen=True, eq=False)
class ClickSet:
    """Trials, clicks and pictures that `assemble` checked.

    Attributes:
      trials: the tables, with the columns of `STORED_TRIALS` and `STORED_CLICKS` filled. Points and times are
        float32 numbers, and a point lies in the pixel that was clicked.
      study: one row an image: image, true_label, false_label, pair (of `categories`), fold (0..4), content_hash
        (SHA-256 of the RGB bytes).
      pictures: uint8 (T, S, S, 3), RGB, sharp.
      provenance: what the pictures are, whether people or programs answered, and how many there are of each.
      categories: the K names of the labels, in their order.
    """

    trials: Trials
    study: pd.DataFrame
    pictures: np.ndarray
    provenance: Provenance
    categories: Categories = EXPRESSIONS

    @property
    def image_px(self) -> int:
        """Side of the pictures."""
        return self.pictures.shape[1]

    @property
    def reveal_radius(self) -> int:
        """Radius of the discs, pixels."""
        return int(self.trials.trials["reveal_radius_px"].iloc[0])

    @property
    def blur_k(self) -> int:
        """Side of the blur window, pixels."""
        return int(self.trials.trials["blur_k"].iloc[0])


def assemble(
    trials: Trials,
    pictures: np.ndarray,
    study: pd.DataFrame | None = None,
    *,
    categories: Categories = EXPRESSIONS,
    allow_mixed: bool = False,
    provenance: Provenance = UNKNOWN,
    file_hashes: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
) -> ClickSet:
    """Check that answers, clicks and pictures fit together, and make one set of them.

    Args:
      trials: of a study with two options.
      pictures: uint8 (T, S, S, 3), RGB, sharp, as shown.
      study: a study table of T images in their order, balanced or not. None takes `study_of(trials)`.
      categories: the names of the labels, in their order.
      allow_mixed: take people's and simulated trials at once.
      provenance: what the pictures are. Who answered is read from the trials.
      file_hashes: T SHA-256 digests of the pictures' files, 64 hex digits. An image_sha256 of the trials may name the
        file or the RGB bytes.
      names: how messages call each table. None takes its name.

    Returns:
      The set.

    Raises:
      DataError: the first rule of `human.clicks.checks` that does not hold, with table, row and column.
    """
    told = {} if names is None else {"names": dict(names)}
    trials = typed_tables(trials, **told)
    checks.check_options(trials, categories=categories, **told)
    study = study_of(trials, categories=categories) if study is None else study
    check_images(study)
    study = study[list(COLUMNS)].reset_index(drop=True)
    if pictures.dtype != np.uint8 or pictures.shape != (len(study), *pictures.shape[1:2] * 2, 3):
        raise DataError(
            f"`pictures`: wanted uint8 ({len(study)}, S, S, 3), one for each image of the study, got "
            f"{pictures.dtype} {pictures.shape}."
        )
    image_px = pictures.shape[1]
    checks.check_trials(trials, study, image_px=image_px, **told)
    checks.check_clicks(trials, image_px=image_px, **told)
    provenance = dataclasses.replace(
        provenance,
        people=checks.check_kind(trials, allow_mixed=allow_mixed, **told),
        num_pictures=len(study),
        num_people=trials.trials["participant"].nunique(),
    )
    content = [hashlib.sha256(np.ascontiguousarray(picture).data).hexdigest() for picture in pictures]
    accepted = [{digest} for digest in content]
    if file_hashes is not None:
        accepted = [{*known, digest} for known, digest in zip(accepted, file_hashes, strict=True)]
    checks.check_hashes(trials, study, accepted, **told)
    labels = [
        [categories.index_of(name) for name in names] for names in study[list(COLUMNS[1:])].itertuples(index=False)
    ]
    study = study.assign(
        pair=[categories.pair_index(*pair) for pair in labels],
        fold=folds(study),
        content_hash=pd.Series(content, dtype="str"),
    )
    return ClickSet(_stored(trials), study, pictures, provenance, categories)


def study_of(trials: Trials, *, categories: Categories = EXPRESSIONS) -> pd.DataFrame:
    """Return the study table that the trials imply: each image once, by ordered pair, then by name.

    Args:
      trials: that `checks.check_options` let pass. Of those that contradict each other the first counts.
      categories: the names of the labels, in their order.

    Returns:
      A study table with a fresh index.
    """
    seen = trials.trials.drop_duplicates("image")[list(COLUMNS)]
    order = {(categories[true], categories[false]): row for row, (true, false) in enumerate(categories.ordered_pairs)}
    cells = [order[cell] for cell in zip(seen["true_label"], seen["false_label"], strict=True)]
    return seen.assign(cell=cells).sort_values(["cell", "image"], ignore_index=True)[list(COLUMNS)]


def folds(study: pd.DataFrame) -> np.ndarray:
    """Deal images to folds for cross-validation, the same for an image whoever saw it.

    Each ordered pair deals its images, sorted by name, to the five folds in turn (ours). With the paper's five, a fold
    holds two images of an unordered pair, one of each expression. With fewer, the last folds hold none.

    Args:
      study: a study table of T images, in any order.

    Returns:
      int64 (T,), 0..4.
    """
    by_name = study.sort_values("image", kind="stable")
    dealt = by_name.groupby(["true_label", "false_label"]).cumcount() % FOLDS
    return dealt.reindex(study.index).to_numpy(np.int64)


def masks(click_set: ClickSet, trials: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """Rebuild the masks that people had opened when they answered: bool (N, S, S), of all trials or those at some
    positions.
    """
    points = opening_points(click_set)
    chosen = range(len(points)) if trials is None else trials
    size = (click_set.image_px, click_set.image_px)
    drawn = [reveal_mask(points[trial], size, click_set.reveal_radius) for trial in chosen]
    return np.stack(drawn) if drawn else np.zeros((0, *size), bool)


def opening_points(click_set: ClickSet) -> list[np.ndarray]:
    """Return the clicks that opened a disc, trial by trial: float32 (K, 2), x then y, in the order clicked."""
    return [points[inside] for points, _, inside in clicks_of(click_set)]


def clicks_of(click_set: ClickSet) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return all clicks, trial by trial, in the order clicked.

    Args:
      click_set: as `assemble` left it.

    Returns:
      For each of N trials: points float32 (K, 2), times float32 (K,) in ms, and bool (K,), whether it opened a disc.
    """
    trials, clicks, keys = click_set.trials.trials, click_set.trials.clicks, ["participant", "trial"]
    trial_of = pd.MultiIndex.from_frame(trials[keys]).get_indexer(pd.MultiIndex.from_frame(clicks[keys]))
    ends = np.cumsum(np.bincount(trial_of, minlength=len(trials)))[:-1]
    columns = (
        clicks[["x_px", "y_px"]].to_numpy(np.float32),
        clicks["t_ms"].to_numpy(np.float32),
        clicks["inside"].to_numpy(bool),
    )
    return list(zip(*(np.split(column, ends) for column in columns), strict=True))


def _stored(trials: Trials) -> Trials:
    """Return the tables as a data set stores them: clicks in the order of trials, numbers that float32 can hold."""
    table = trials.trials[list(STORED_TRIALS)]
    table = table.assign(n_clicks=checks.opened_clicks(trials), rt_decision_ms=_single(table["rt_decision_ms"]))
    keys = ["participant", "trial"]
    trial_of = pd.MultiIndex.from_frame(table[keys]).get_indexer(pd.MultiIndex.from_frame(trials.clicks[keys]))
    order = np.lexsort((trials.clicks["click"].to_numpy(np.int64), trial_of))
    clicks = trials.clicks[list(STORED_CLICKS)].iloc[order]
    points = {name: _single(clicks[name], same_pixel=True) for name in ("x_px", "y_px")}
    clicks = clicks.assign(**points, t_ms=_single(clicks["t_ms"]))
    programs = table.drop_duplicates("participant").set_index("participant")["simulated"]
    people = person_counts(table)
    people["simulated"] = programs.reindex(people["participant"]).array
    return Trials(typed("participants", people), typed("trials", table), typed("clicks", clicks), typed("events", {}))


def _single(column: pd.Series, *, same_pixel: bool = False) -> np.ndarray:
    """Round values to float32, in float64. 223.999999 would become 224, the next pixel, and is kept below."""
    values = column.to_numpy(np.float64)
    single = values.astype(np.float32)
    if same_pixel:
        single = np.where(np.floor(single) > np.floor(values), np.nextafter(single, np.float32(-np.inf)), single)
    return single.astype(np.float64)
