"""Every figure of the study as a function of plain tables and arrays, and the report that holds them."""

from fer_jax.errors import UsageError

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError as error:
    raise UsageError("figures want matplotlib: pip install 'fer-jax[figures]'.") from error

from fer_jax.figures._charts import draw_correlations, draw_dice, draw_members, draw_recall, draw_training
from fer_jax.figures._matrices import draw_confusion, draw_confusion_scatter, draw_pair_matrix
from fer_jax.figures._pictures import draw_click_sequence, draw_saliency, draw_saliency_grid, draw_stimuli
from fer_jax.figures._report import Headline, Section, write_report
from fer_jax.figures._style import save

__all__ = [
    "Headline",
    "Section",
    "draw_click_sequence",
    "draw_confusion",
    "draw_confusion_scatter",
    "draw_correlations",
    "draw_dice",
    "draw_members",
    "draw_pair_matrix",
    "draw_recall",
    "draw_saliency",
    "draw_saliency_grid",
    "draw_stimuli",
    "draw_training",
    "save",
    "write_report",
]
