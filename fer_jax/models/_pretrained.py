"""Weights under the names of other libraries, torchvision, timm and Hugging Face transformers, as our variables.

Contract: `arrays` maps tensor names to arrays in the layout of those libraries: convolutions (out, in, kh, kw), linear
layers (out, in). Files are read elsewhere (`fer_jax.checkpoints.read_safetensors`).

timm gives its plain ResNets the names of torchvision. Names and shapes do not tell where a stage has its stride (here
on the 3×3 convolution), nor ε, nor how pictures were normalised: that the file fits these is the caller's to know.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fer_jax.errors import UsageError, check_one_of
from fer_jax.models._resnet import HEAD_INIT, ResNet

HEADS = ("keep", "new")

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
# What wrappers (data parallelism, compilation, training frameworks) put in front of every name.
_PREFIXES = re.compile(r"^((module|_orig_mod|model|resnet)\.)+")
_SHOWN = 3


def from_state_dict(
    arrays: Mapping[str, Any], model: ResNet, *, head: str = "keep", key: jax.Array | None = None
) -> dict[str, Any]:
    """Return a ResNet's variables from another library's tensors. Every tensor is used and every leaf filled.

    Prefixes such as "module." are taken off. Counters (num_batches_tracked) are left out. Half precision becomes
    float32.

    Args:
      arrays: tensors by name, under the names of torchvision, timm or Hugging Face transformers.
      model: the ResNet they are for.
      head: "keep" takes the classifier of `arrays`. "new" draws a fresh one, whatever `arrays` has there.
      key: typed random key of a fresh head.

    Returns:
      {"params", "batch_stats"}.

    Raises:
      UsageError: tensors that are missing, left over, of another shape or not floating point, a folded model, or a
        new head without a key.
    """
    _check(model, head, key)
    given = _bare(arrays)
    if head == "new":
        given = {name: array for name, array in given.items() if not name.startswith(("fc.", "classifier."))}
    library, name_of = "torchvision", _torchvision_name
    if any(name.startswith(("embedder.", "encoder.")) for name in given):
        library, name_of = "Hugging Face", _hugging_face_name
    slots, structure = _slots(model)
    names = [f"{name_of(module)}.{_LEAVES[leaf]}" for module, leaf, _ in slots]
    fresh = [head == "new" and module == ("fc",) for module, _, _ in slots]
    _compare(given, [name for name, new in zip(names, fresh, strict=True) if not new], library, name_of(("fc",)))
    leaves = [
        _fresh(key, leaf, shape) if new else _ours(given[name], name, shape)
        for (_, leaf, shape), name, new in zip(slots, names, fresh, strict=True)
    ]
    return jax.tree.unflatten(structure, leaves)


def to_state_dict(model: ResNet, variables) -> dict[str, np.ndarray]:
    """Return a ResNet's variables under the names and in the layout of torchvision, as `from_state_dict` reads them.

    Args:
      model: a ResNet.
      variables: its {"params", "batch_stats"}.

    Returns:
      Tensors by name, contiguous, as safetensors files want them.

    Raises:
      UsageError: a folded model, or variables that are not the model's.
    """
    _check(model, "keep", None)
    slots, structure = _slots(model)
    leaves = jax.tree.leaves(variables)
    if jax.tree.structure(variables) != structure or [leaf.shape for leaf in leaves] != [shape for *_, shape in slots]:
        raise UsageError("`variables`: wanted the params and batch_stats of this one model, got another tree.")
    return {
        f"{_torchvision_name(module)}.{_LEAVES[leaf]}": np.ascontiguousarray(np.asarray(array).transpose(_axes(shape)))
        for (module, leaf, shape), array in zip(slots, leaves, strict=True)
    }


def _slots(model):
    """List (modules, leaf, shape) of every leaf of the variables, with their tree."""
    like = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3))))
    leaves, structure = jax.tree_util.tree_flatten_with_path(like)
    slots = []
    for path, leaf in leaves:
        _, *module, name = (part.key for part in path)
        slots.append((tuple(module), name, leaf.shape))
    return slots, structure


def _torchvision_name(module):
    """Name ("layer1_0", "downsample_bn") as layer1.0.downsample.1."""
    name = re.sub(r"^(layer\d+)_", r"\1.", ".".join(module))
    return name.replace("downsample_conv", "downsample.0").replace("downsample_bn", "downsample.1")


def _hugging_face_name(module):
    """Name ("layer1_0", "conv2") as encoder.stages.0.layers.0.layer.1.convolution."""
    *block, name = module
    if name == "fc":
        return "classifier.1"
    kind = "convolution" if "conv" in name else "normalization"
    if not block:
        return f"embedder.embedder.{kind}"
    stage, index = block[0].removeprefix("layer").split("_")
    place = "shortcut" if "downsample" in name else f"layer.{int(name[-1]) - 1}"
    return f"encoder.stages.{int(stage) - 1}.layers.{index}.{place}.{kind}"


def _bare(arrays):
    """Strip prefixes and counters."""
    bare = {}
    for full, array in arrays.items():
        name = _PREFIXES.sub("", full)
        if name in bare:
            raise UsageError(f"`arrays`: wanted one network, got {name} twice, once as {full}; pass one of them.")
        if not name.endswith("num_batches_tracked"):
            bare[name] = array
    return bare


def _axes(shape):
    """Return the order of our axes (kh, kw, in, out) in their layout (out, in, kh, kw)."""
    return {4: (3, 2, 0, 1), 2: (1, 0)}.get(len(shape), (0,))


def _ours(array, name, shape):
    array, axes = np.asarray(array), _axes(shape)
    wanted = tuple(shape[axis] for axis in axes)
    if array.shape != wanted:
        classes = name.startswith(("fc.", "classifier.")) and array.shape[1:] == wanted[1:]
        advice = '; for another number of classes use head="new"' if classes else ""
        raise UsageError(f"`arrays`: {name}: wanted shape {wanted}, got {array.shape}{advice}.")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise UsageError(f"`arrays`: {name}: wanted floating point, got {array.dtype}.")
    if array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    return jnp.array(array.transpose(np.argsort(axes)))


def _fresh(key, leaf, shape):
    return HEAD_INIT(key, shape, jnp.float32) if leaf == "kernel" else jnp.zeros(shape, jnp.float32)


def _check(model, head, key):
    if model.folded:
        raise UsageError("`model`: wanted one with BatchNorm, got a folded one; fold what you have loaded.")
    check_one_of("head", head, HEADS)
    if head == "new" and (key is None or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise UsageError("`key`: a new head wants a typed key, such as jax.random.key(0).")


def _compare(given, wanted, library, head):
    missing = [name for name in wanted if name not in given]
    left = sorted(given.keys() - set(wanted))
    if not missing and not left:
        return
    parts = [f"{what} {_listed(names)}" for what, names in (("missing", missing), ("left over", left)) if names]
    advice = (
        '; for a file without classifier use head="new"' if missing and all(head in name for name in missing) else ""
    )
    raise UsageError(f"`arrays`: wanted this ResNet's tensors under {library} names: {', '.join(parts)}{advice}.")


def _listed(names):
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
