"""Networks on disk: checkpoints whose every byte is checked, and the weights of other libraries."""

from fer_jax.checkpoints._safetensors import read_safetensors, write_safetensors
from fer_jax.checkpoints._trees import exists, facts, load, load_member, save

__all__ = ["exists", "facts", "load", "load_member", "read_safetensors", "save", "write_safetensors"]
