"""Networks on disk: checkpoints whose every byte is checked, and the weights of other libraries."""

from fer_jax.checkpoints._safetensors import read_safetensors, read_safetensors_metadata, write_safetensors
from fer_jax.checkpoints._trees import exists, facts, load, load_member, save

__all__ = [
    "exists",
    "facts",
    "load",
    "load_member",
    "read_safetensors",
    "read_safetensors_metadata",
    "save",
    "write_safetensors",
]
