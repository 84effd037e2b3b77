"""Pictures of faces from the user's own copies: read, checked, labelled, balanced and put in order."""

from fer_jax.data.face_set import REJECTED_COLUMNS, FaceSet, Read, class_weights, fingerprint
from fer_jax.data.fer2013 import read_fer2013
from fer_jax.data.ferplus import ferplus_labels, read_ferplus
from fer_jax.data.folders import read_folders
from fer_jax.data.image_header import image_header
from fer_jax.data.order import epoch_order, pair_subset, stream_indices
from fer_jax.data.sanitise import REASONS, ImageRejected, decode, encode_png, square

__all__ = [
    "REASONS",
    "REJECTED_COLUMNS",
    "FaceSet",
    "ImageRejected",
    "Read",
    "class_weights",
    "decode",
    "encode_png",
    "epoch_order",
    "ferplus_labels",
    "fingerprint",
    "image_header",
    "pair_subset",
    "read_fer2013",
    "read_ferplus",
    "read_folders",
    "square",
    "stream_indices",
]
