"""A study's clicks, answers and pictures as one checked set, its examples, and the views that members learn from."""

from fer_jax.human.clicks.dataset import FOLDS, ClickSet, assemble, clicks_of, folds, masks, study_of
from fer_jax.human.clicks.examples import from_examples, original_examples, trial_examples
from fer_jax.human.clicks.files import load, read_stimuli
from fer_jax.human.clicks.views import MOVES, RevealedViews, select_views, shown, views_of_pair

__all__ = [
    "FOLDS",
    "MOVES",
    "ClickSet",
    "RevealedViews",
    "assemble",
    "clicks_of",
    "folds",
    "from_examples",
    "load",
    "masks",
    "original_examples",
    "read_stimuli",
    "select_views",
    "shown",
    "study_of",
    "trial_examples",
    "views_of_pair",
]
