"""Where people and networks meet: through plain tables and arrays, knowing neither models nor run folders."""

from fer_jax.compare import (
    confusion,
    decisions,
    dice,
    face_cells,
    intervals,
    localisation,
    people,
    reference_maps,
    statistics,
)

__all__ = [
    "confusion",
    "decisions",
    "dice",
    "face_cells",
    "intervals",
    "localisation",
    "people",
    "reference_maps",
    "statistics",
]
