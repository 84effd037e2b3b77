"""People: the click study's design, stimuli, trials, maps and measures, and simulated observers."""

from fer_jax.human import (
    accumulation,
    attention,
    behaviour,
    click_checks,
    click_examples,
    click_files,
    click_set,
    click_views,
    cohort,
    columns,
    evidence,
    observers,
    plan,
    readers,
    stimuli,
    study,
    trials,
)
from fer_jax.human.trials import Trials

__all__ = [
    "Trials",
    "accumulation",
    "attention",
    "behaviour",
    "click_checks",
    "click_examples",
    "click_files",
    "click_set",
    "click_views",
    "cohort",
    "columns",
    "evidence",
    "observers",
    "plan",
    "readers",
    "stimuli",
    "study",
    "trials",
]
