"""AffectNet's annotations beside the label, in all its layouts: landmarks, valence, arousal, and their flags."""

import math
from typing import Any

import numpy as np

from fer_jax.data.listing import NO_QUALITY, Quality, Row
from fer_jax.expressions import EXPRESSIONS, LABEL_TABLES
from fer_jax.frame import LANDMARKS

ABSENT = -2  # valence and arousal of Uncertain and No-Face


def annotated_row(number: int, *, valence: float, arousal: float, quality: Quality = NO_QUALITY, **fields: Any) -> Row:
    """Return a row of AffectNet with what its annotations say of its quality.

    Args:
      number: AffectNet's number of a label that is among the eight.
      valence: −1..1, NaN where absent.
      arousal: −1..1, NaN where absent.
      quality: flags known already.
      **fields: the rest of `Row`.
    """
    label = LABEL_TABLES["affectnet"][number]
    if not consistent(label, valence, arousal):
        quality |= Quality.VA_INCONSISTENT
    return Row(label=label, source_label=number, valence=valence, arousal=arousal, quality=quality, **fields)


def points(values: np.ndarray) -> np.ndarray | None:
    """Return 136 numbers as landmarks float32 (68, 2), or None if they are none."""
    if values.size == 2 * LANDMARKS and np.isfinite(values).all() and np.abs(values).max() < 1e6:
        return values.reshape(LANDMARKS, 2).astype(np.float32)
    return None


def consistent(label: int, valence: float, arousal: float) -> bool:
    """Check a label by EmoNet's rule for AffectNet (Toisoul et al. 2021, 10.1038/s42256-020-00280-0).

    Args:
      label: index into `EXPRESSIONS`.
      valence: −1..1, NaN where absent.
      arousal: −1..1, NaN where absent.

    Returns:
      Whether the label fits, True where one of the two numbers is absent.
    """
    if math.isnan(valence) or math.isnan(arousal):
        return True
    strength = float(np.hypot(valence, arousal))
    return {
        "neutral": strength < 0.2,
        "happy": valence > 0,
        "sad": valence < 0,
        "surprise": arousal > 0,
        "fear": valence <= 0 and arousal >= 0,
        "disgust": valence < 0 and strength > 0.3,
        "anger": arousal > 0,
        "contempt": valence < 0,
    }[EXPRESSIONS[label]] and (label == 0 or strength > 0.2)
