"""Whether a label agrees with the valence and arousal given beside it."""

import math

import numpy as np

from fer_jax.expressions import EXPRESSIONS


def consistent(label: int, valence: float, arousal: float) -> bool:
    """EmoNet's rule for AffectNet (Toisoul et al. 2021, 10.1038/s42256-020-00280-0).

    Args:
      label: index into `EXPRESSIONS`.
      valence: −1..1, NaN where absent.
      arousal: −1..1, NaN where absent.

    Returns:
      Whether the label fits; True where one of the two is absent.
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
