"""Pictures as people saw them when they were right: the views that members are fine-tuned on (paper §5.1).

Contract: a view is a study image under a trial's mask, moved by one of nine moves, or unmasked. Views are numbered,
trial by trial, move by move, so that orders can be drawn elsewhere. What `shown` computes on the host equals, byte for
byte, what `fer_jax.training.revealed_view` computes on the device from the same batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from fer_jax import masks
from fer_jax.errors import DataError, check_index, check_range
from fer_jax.human import stimuli
from fer_jax.human.attention import revealed
from fer_jax.human.clicks.dataset import FOLDS, ClickSet

# Rows and columns: unmoved, and by one pixel in eight directions (§5.1).
MOVES = ((0, 0), *masks.SHIFTS)

# (kind of view, how many there are, first place in the stream, how many places) -> int (places,) numbers of views.
Draw = Callable[[str, int, int, int], np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class RevealedViews:
    """The views that one member may see.

    Attributes:
      rows: int (N,), study image of each correct trial.
      points: float32 (N, K, 2), its opening clicks, then NaN, as `fer_jax.masks.reveal` takes them.
      whole: int (W,), study images that are shown unmasked.
    """

    rows: np.ndarray
    points: np.ndarray
    whole: np.ndarray

    @property
    def masked(self) -> int:
        """Number of masked views: nine for each trial."""
        return len(self.rows) * len(MOVES)

    def batch(self, step: int, batch_size: int, *, masked_ratio: float, draw: Draw) -> dict[str, np.ndarray]:
        """Return the views of one step: first masked ones, then unmasked ones.

        Args:
          step: from 0.
          batch_size: B views.
          masked_ratio: share of masked views, 0..1. Without a correct trial all are unmasked.
          draw: the order of each kind, "masked" or "whole", such as a stretch of `fer_jax.data.stream_indices`.

        Returns:
          row int (B,), study image, points float32 (B, K, 2), NaN throughout where unmasked, shift int32 (B, 2),
          rows and columns by which the mask moves, and masked bool (B,).

        Raises:
          UsageError: a ratio out of range.
        """
        check_range("masked_ratio", masked_ratio, 0, 1)
        count = round(masked_ratio * batch_size) if self.masked else 0
        rest = batch_size - count
        views = _drawn(draw, "masked", self.masked, step * count, count)
        whole = self.whole[_drawn(draw, "whole", len(self.whole), step * rest, rest)]
        trial, move = views // len(MOVES), views % len(MOVES)
        blank = np.full((rest, *self.points.shape[1:]), np.nan, np.float32)
        return {
            "row": np.concatenate([self.rows[trial], whole]),
            "points": np.concatenate([self.points[trial], blank]),
            "shift": np.concatenate([np.asarray(MOVES, np.int32)[move], np.zeros((rest, 2), np.int32)]),
            "masked": np.arange(batch_size) < count,
        }


def views_of_pair(click_set: ClickSet, pair: int, *, held_out: int | None = None) -> RevealedViews:
    """Return the fine-tuning views of one member: the correct trials of its pair's images, and these images unmasked.

    Args:
      click_set: checked. Participants to be left out are taken out of the trials before.
      pair: index into the pairs of the set's categories.
      held_out: a fold, 0..4, whose images are kept for scoring. None keeps none.

    Returns:
      Views whose rows count in `click_set.study`.

    Raises:
      UsageError: a pair or fold out of range.
      DataError: the study has no image of the pair outside that fold.
    """
    categories = click_set.categories
    check_index("pair", pair, categories.num_pairs)
    if held_out is not None:
        check_index("held_out", held_out, FOLDS)
    study = click_set.study
    whole = np.flatnonzero((study["pair"] == pair) & (study["fold"] != (-1 if held_out is None else held_out)))
    if not len(whole):
        raise DataError(
            f"`held_out`: wanted images of {categories.pair_name(pair)} to learn from outside fold {held_out}, "
            "got none."
        )
    return select_views(*revealed(click_set.trials, study), whole)


def select_views(rows: np.ndarray, points: np.ndarray, whole: np.ndarray) -> RevealedViews:
    """Select the views of some images out of `attention.revealed`'s of all.

    Args:
      rows: int (N,), study image of each correct trial.
      points: float32 (N, K, 2), its clicks, then NaN.
      whole: int (W,), the images wanted.

    Returns:
      Views of these images only.
    """
    own = np.isin(rows, whole)
    return RevealedViews(rows[own], points[own], whole)


def shown(batch: dict[str, Any], pictures: np.ndarray, *, radius: int, blur_k: int) -> np.ndarray:
    """Return the pictures of a batch of views, on the host.

    Args:
      batch: as `RevealedViews.batch` returns it.
      pictures: uint8 (T, S, S, 3), the study's, sharp.
      radius: of the discs, pixels.
      blur_k: side of the blur window, pixels.

    Returns:
      uint8 (B, S, S, 3): sharp where the moved mask is open, blurred and grey elsewhere, sharp throughout if unmasked.
    """
    found = pictures[batch["row"]]
    for view in np.flatnonzero(batch["masked"]):
        opened = stimuli.reveal_mask(batch["points"][view], found.shape[1:3], radius)
        moved = stimuli.shift(opened, *batch["shift"][view].tolist())
        found[view] = stimuli.composite(found[view], stimuli.blurred(found[view], blur_k), moved)
    return found


def _drawn(draw, kind, size, start, count) -> np.ndarray:
    return np.asarray(draw(kind, size, start, count)) if count else np.zeros(0, np.int32)
