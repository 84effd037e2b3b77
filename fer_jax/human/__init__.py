"""People: the click study's design, stimuli, trials, maps and measures, and simulated observers."""

from fer_jax.human import (
    attention,
    behaviour,
    bids,
    clicks,
    columns,
    exclusion,
    gaze,
    observers,
    plan,
    readers,
    regions,
    reliability,
    stimuli,
    study,
    table_files,
    tiles,
    trials,
)
from fer_jax.human.trials import Trials

__all__ = [
    "Trials",
    "attention",
    "behaviour",
    "bids",
    "clicks",
    "columns",
    "exclusion",
    "gaze",
    "observers",
    "plan",
    "readers",
    "regions",
    "reliability",
    "stimuli",
    "study",
    "table_files",
    "tiles",
    "trials",
]
