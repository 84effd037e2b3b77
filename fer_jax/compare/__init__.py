"""Where people and networks meet: through plain tables and arrays, knowing neither models nor run folders."""

from fer_jax.compare import (
    agreement,
    clicks,
    confusion,
    decisions,
    dice,
    effects,
    face_cells,
    gaze,
    intervals,
    localisation,
    multiverse,
    pair_answers,
    people,
    reference_maps,
    sensitivity,
    statistics,
)

__all__ = [
    "agreement",
    "clicks",
    "confusion",
    "decisions",
    "dice",
    "effects",
    "face_cells",
    "gaze",
    "intervals",
    "localisation",
    "multiverse",
    "pair_answers",
    "people",
    "reference_maps",
    "sensitivity",
    "statistics",
]
