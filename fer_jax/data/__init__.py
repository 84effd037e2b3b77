"""Pictures of faces from the user's own copies: read, checked, labelled, cropped, balanced and put in order."""

from fer_jax.data.affectnet import read_affectnet
from fer_jax.data.batches import Batches, evaluation_batches, grain_source
from fer_jax.data.ckplus import read_ckplus
from fer_jax.data.crops import Crop, crop_box, crop_eyes
from fer_jax.data.detect import face_detector
from fer_jax.data.draws import Draw
from fer_jax.data.encoding import Stored, store
from fer_jax.data.expw import read_expw
from fer_jax.data.face_set import (
    FLAGGED_COLUMNS,
    REJECTED_COLUMNS,
    FaceSet,
    Read,
    class_weights,
    fingerprint,
    without_shared,
)
from fer_jax.data.fer2013 import read_fer2013
from fer_jax.data.ferplus import ferplus_labels, read_ferplus
from fer_jax.data.folders import read_folders
from fer_jax.data.framing import CROPS, Framing
from fer_jax.data.gather import TooManyRejected
from fer_jax.data.image_header import image_header
from fer_jax.data.order import epoch_order, pair_subset, stream_indices
from fer_jax.data.prepared import PreparedSplit, open_prepared
from fer_jax.data.rafdb import read_rafdb
from fer_jax.data.rows import Listing, Quality, Rejection, Row
from fer_jax.data.sanitise import REASONS, ImageRejected, decode, encode_png, square
from fer_jax.data.sources import SOURCES, open_source, read_source

__all__ = [
    "CROPS",
    "FLAGGED_COLUMNS",
    "REASONS",
    "REJECTED_COLUMNS",
    "SOURCES",
    "Batches",
    "Crop",
    "Draw",
    "FaceSet",
    "Framing",
    "ImageRejected",
    "Listing",
    "PreparedSplit",
    "Quality",
    "Read",
    "Rejection",
    "Row",
    "Stored",
    "TooManyRejected",
    "class_weights",
    "crop_box",
    "crop_eyes",
    "decode",
    "encode_png",
    "epoch_order",
    "evaluation_batches",
    "face_detector",
    "ferplus_labels",
    "fingerprint",
    "grain_source",
    "image_header",
    "open_prepared",
    "open_source",
    "pair_subset",
    "read_affectnet",
    "read_ckplus",
    "read_expw",
    "read_fer2013",
    "read_ferplus",
    "read_folders",
    "read_rafdb",
    "read_source",
    "square",
    "store",
    "stream_indices",
    "without_shared",
]
