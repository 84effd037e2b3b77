"""Pictures of faces from the user's copies: read, checked, labelled, cropped, balanced and put in order."""

from fer_jax.data.batches import Batches, evaluation_batches, grain_source
from fer_jax.data.face_set import (
    FLAGGED_COLUMNS,
    REJECTED_COLUMNS,
    FaceSet,
    Read,
    class_weights,
    fingerprint,
    without_shared,
)
from fer_jax.data.listing import Listing, Quality, Rejection, Row
from fer_jax.data.pictures.decode import REASONS, ImageRejected, decode, encode_png, square
from fer_jax.data.pictures.detect import face_detector
from fer_jax.data.pictures.encode import Stored, store
from fer_jax.data.pictures.framing import CROPS, Crop, Framing, crop_box, crop_eyes
from fer_jax.data.pictures.image_header import image_header
from fer_jax.data.prepared import PreparedSplit, open_prepared
from fer_jax.data.read import TooManyRejected, open_source, read
from fer_jax.data.sampling import Draw, epoch_order, pair_shares, pair_subset, stream_indices
from fer_jax.data.sources import SOURCES
from fer_jax.data.sources.ferplus import ferplus_labels

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
    "pair_shares",
    "pair_subset",
    "read",
    "square",
    "store",
    "stream_indices",
    "without_shared",
]
