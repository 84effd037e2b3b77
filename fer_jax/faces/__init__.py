"""Procedural faces: eight expressions drawn from action units, with everything about each picture known.

Synthetic: for testing methods and pipelines, never for claims about people.
"""

from fer_jax.action_units import ACTION_UNITS, PROTOTYPES
from fer_jax.faces.geometry.camera import Light
from fer_jax.faces.oracle import oracle, pair_units, twin, unit_mask
from fer_jax.faces.painting.photometry import Photometry
from fer_jax.faces.person.identity import Identity, average, draw_identity
from fer_jax.faces.person.regions import REGIONS, encode_mask, region_mask
from fer_jax.faces.presets import PRESETS, Preset
from fer_jax.faces.render import RENDER_VERSION, Face, render, render_batch
from fer_jax.faces.scene import OCCLUDERS, SPLITS, Parameters, draw, expression_indices
from fer_jax.faces.table import face_row

__all__ = [
    "ACTION_UNITS",
    "OCCLUDERS",
    "PRESETS",
    "PROTOTYPES",
    "REGIONS",
    "RENDER_VERSION",
    "SPLITS",
    "Face",
    "Identity",
    "Light",
    "Parameters",
    "Photometry",
    "Preset",
    "average",
    "draw",
    "draw_identity",
    "encode_mask",
    "expression_indices",
    "face_row",
    "oracle",
    "pair_units",
    "region_mask",
    "render",
    "render_batch",
    "twin",
    "unit_mask",
]
