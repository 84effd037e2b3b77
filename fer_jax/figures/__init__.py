"""Every figure of the study as `draw_x(...) -> Axes` (or a Figure of several panels), and the report: one HTML file.

Needs the extra `figures` (matplotlib). Functions take tables and arrays, never a run folder, and need no screen.
"""

from fer_jax.errors import MissingPackage

try:
    import matplotlib as _  # noqa: F401
except ImportError as error:
    raise MissingPackage(f"`fer_jax.figures`: wants matplotlib ({error}): pip install 'fer-jax[figures]'.") from None

from fer_jax.figures.agreement import draw_confusion_scatter, draw_correlations
from fer_jax.figures.confusion import draw_confusion, draw_pair_matrix
from fer_jax.figures.dice import draw_dice
from fer_jax.figures.face_cells import draw_face_cells, draw_face_frame
from fer_jax.figures.gaze import draw_people_curve
from fer_jax.figures.localisation import draw_localisation, draw_localisation_score, draw_pair_scores
from fer_jax.figures.multiverse import draw_multiverse
from fer_jax.figures.people import draw_click_sequence, draw_stimuli
from fer_jax.figures.report import Headline, Section, write_report
from fer_jax.figures.saliency import draw_saliency, draw_saliency_grid
from fer_jax.figures.style import save
from fer_jax.figures.training import draw_members, draw_recall, draw_training

__all__ = [
    "Headline",
    "Section",
    "draw_click_sequence",
    "draw_confusion",
    "draw_confusion_scatter",
    "draw_correlations",
    "draw_dice",
    "draw_face_cells",
    "draw_face_frame",
    "draw_localisation",
    "draw_localisation_score",
    "draw_members",
    "draw_multiverse",
    "draw_pair_matrix",
    "draw_pair_scores",
    "draw_people_curve",
    "draw_recall",
    "draw_saliency",
    "draw_saliency_grid",
    "draw_stimuli",
    "draw_training",
    "save",
    "write_report",
]
