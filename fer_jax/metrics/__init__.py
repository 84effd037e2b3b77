"""How well maps agree with maps and with clicks, and labels with labels and probabilities.

Contract: a map is float (H, W) of any scale. A region or binary map is bool (H, W). Where two maps play different
parts the model's comes first and the people's second. Clicks are float (N, 2), x then y in image pixels, as in
`fer_jax.masks`. A click with a NaN coordinate or outside the image is left out, so lists can be padded. What is
undefined is NaN, never a silent zero. The few zeros by convention are named. Formulas and constants are those of the
MIT saliency benchmark (Bylinskii et al., arXiv 1604.03605). One pair of maps is the unit: batch with `jax.vmap`.
"""

from fer_jax.metrics._binary import (
    COMPARISONS,
    EMPTY,
    NORMALISATIONS,
    PAPER_THRESHOLD,
    ROUNDINGS,
    dice,
    dice_at_area,
    dice_at_threshold,
    iou,
    most_salient,
    salience_rank,
    threshold,
    to_bytes,
)
from fer_jax.metrics._calibration import (
    TEMPERATURE_BOUNDS,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
)
from fer_jax.metrics._clicks import at_clicks, auc_judd, auc_region, auc_shuffled, auc_uniform, information_gain, nss
from fer_jax.metrics._labels import (
    accuracy,
    balanced_accuracy,
    confusion,
    confusion_accuracy,
    f1,
    macro_f1,
    precision,
    recall,
    row_shares,
)
from fer_jax.metrics._localisation import Localisation, evident_region, localisation
from fer_jax.metrics._maps import cc, density, kendall, kl, pearson, sim, spearman
from fer_jax.metrics._regions import energy_pointing, pointing_game, relevance_rank
from fer_jax.metrics._structure import SSIM_WINDOW, ssim

__all__ = [
    "COMPARISONS",
    "EMPTY",
    "NORMALISATIONS",
    "PAPER_THRESHOLD",
    "ROUNDINGS",
    "SSIM_WINDOW",
    "TEMPERATURE_BOUNDS",
    "Localisation",
    "accuracy",
    "at_clicks",
    "auc_judd",
    "auc_region",
    "auc_shuffled",
    "auc_uniform",
    "balanced_accuracy",
    "brier_score",
    "cc",
    "confusion",
    "confusion_accuracy",
    "density",
    "dice",
    "dice_at_area",
    "dice_at_threshold",
    "energy_pointing",
    "evident_region",
    "expected_calibration_error",
    "f1",
    "fit_temperature",
    "information_gain",
    "iou",
    "kendall",
    "kl",
    "localisation",
    "macro_f1",
    "most_salient",
    "negative_log_likelihood",
    "nss",
    "pearson",
    "pointing_game",
    "precision",
    "recall",
    "relevance_rank",
    "row_shares",
    "salience_rank",
    "sim",
    "spearman",
    "ssim",
    "threshold",
    "to_bytes",
]
