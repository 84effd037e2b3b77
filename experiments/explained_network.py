"""Which network `experiments.explain` explains: one that a run trained, or somebody's own weights.

Contract: every network takes (B, size, size, 3) normalised by ImageNet's statistics and ends in global average pooling
and one linear layer.
"""

import dataclasses
import hashlib
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from experiments.explanations import score_of_config
from experiments.stages.study import open_run
from fer_jax import checkpoints, models
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS, NUM_EXPRESSIONS, PAIRS, index_of, pair_index, pair_name

WEIGHTS_PX = 224


@dataclasses.dataclass(frozen=True)
class Explained:
    """A network with what is known about it.

    Attributes:
      build: (lowering=...) -> module.
      variables: its parameters and batch statistics.
      class_names: in the order of its logits.
      image_size: side of its input, pixels.
      identity: JSON-ready; equal for equal networks only.
      defaults: settings of Extremal Perturbation that its run used: areas, iterations, ep_score, ep_reward_scale.
    """

    build: Callable[..., Any]
    variables: Any
    class_names: tuple[str, ...]
    image_size: int
    identity: dict[str, Any]
    defaults: dict[str, Any]


def from_run(path: str, pair: str) -> Explained:
    """The member of a pair, or the multiclass network, of a run of `experiments.reproduce`.

    Args:
      path: the run folder.
      pair: such as "happy-sad", in either order; "" for the multiclass network.

    Raises:
      UsageError: no run, an unknown pair, or a network that is not trained yet.
      StorageError: a checkpoint that is damaged or was made by another version.
    """
    chosen = parse_pair(pair) if pair else None
    study = open_run(path)
    config = study.config
    name, stage = ("multiclass", "multiclass") if chosen is None else ("ensemble", "members")
    folder = study.folder.path / name
    if not checkpoints.exists(folder):
        raise UsageError(
            f"`--run`: {path} has no {'multiclass network' if chosen is None else 'members'} yet (stage {stage}); "
            f"finish it: python -m experiments.reproduce --flagfile={path}/flags.txt --out={path}"
        )
    identity = {"checkpoint": name, "sha256": _sha256(folder / "manifest.json"), "model": config.model}
    if chosen is None:
        variables, names = study.load_multiclass(), EXPRESSIONS
    else:
        _warn_if_failed(study.folder.path, chosen)
        variables = study.load_member(chosen)
        names = tuple(EXPRESSIONS[index] for index in PAIRS[chosen])
        identity["pair"] = pair_name(chosen)
    return Explained(
        build=lambda **options: study.network(len(names), **options),
        variables=variables,
        class_names=names,
        image_size=config.image_size,
        identity=identity,
        defaults={
            "areas": (config.area,),
            "iterations": config.ep_iterations,
            "ep_score": score_of_config(config.ep_target),
            "ep_reward_scale": config.ep_reward_scale,
        },
    )


def from_weights(path: str, arch: str, class_names: str, image_size: int) -> Explained:
    """Somebody's own classifier, from a safetensors file.

    Args:
      path: the file, with the parameter names of torchvision or timm.
      arch: key of `models.MODELS`.
      class_names: comma-separated, in the order of the logits; "" for "class 0", "class 1", ...
      image_size: side of its input, pixels; 0 for 224.

    Raises:
      UsageError: no such file, names that do not fit, or tensors that do not fit the architecture.
      DataError: a damaged file.
    """
    if not pathlib.Path(path).is_file():
        raise UsageError(f"`--weights`: wanted a safetensors file, got {path}, which is not there.")
    arrays = checkpoints.read_safetensors(path)
    count = _head_rows(arrays, path)
    names = tuple(name.strip() for name in class_names.split(",")) if class_names else _numbered(count)
    if len(names) != count or len(set(names)) != count or not all(names):
        raise UsageError(f"`--class_names`: wanted {count} different names, one for each logit, got {class_names!r}.")
    build = models.MODELS[arch]
    return Explained(
        build=lambda **options: build(num_classes=count, **options),
        variables=models.from_state_dict(arrays, build(num_classes=count), head="keep"),
        class_names=names,
        image_size=image_size or WEIGHTS_PX,
        identity={"weights": pathlib.Path(path).name, "sha256": _sha256(pathlib.Path(path)), "model": arch},
        defaults={},
    )


def parse_pair(text: str) -> int:
    """Index 0..27 of a pair given as two expressions with a hyphen, in either order.

    Raises:
      UsageError: it is none.
    """
    parts = text.split("-")
    if len(parts) != 2:
        raise UsageError(f"`--pair`: wanted two expressions with a hyphen, such as happy-sad, got {text!r}.")
    first, second = (_expression("pair", part) for part in parts)
    if first == second:
        raise UsageError(f"`--pair`: wanted two different expressions, got {text!r}.")
    return pair_index(first, second)


def parse_target(text: str, class_names: tuple[str, ...]) -> int:
    """Index of the class to explain, given by its name, by an alias of an expression's, or by its number.

    Raises:
      UsageError: the network has no such class.
    """
    if text in class_names:
        return class_names.index(text)
    if text.isascii() and text.isdecimal() and int(text) < len(class_names):
        return int(text)
    shown = ", ".join(class_names[:NUM_EXPRESSIONS]) + (", ..." if len(class_names) > NUM_EXPRESSIONS else "")
    wanted = f"wanted one of {shown} (or a number in 0..{len(class_names) - 1}), got {text!r}"
    try:
        named = EXPRESSIONS[index_of(text)]
    except DataError:
        raise UsageError(f"`--target`: {wanted}.") from None
    if named in class_names:
        return class_names.index(named)
    if class_names == _numbered(len(class_names)):
        raise UsageError(f"`--target`: {wanted}; a weights file names no classes: give --class_names as well.")
    raise UsageError(f"`--target`: {wanted}; this network does not know it.")


def _expression(flag, name) -> int:
    try:
        return index_of(name)
    except DataError as error:
        raise UsageError(f"`--{flag}`: {str(error).partition(': ')[2]}") from None


def _warn_if_failed(path, pair):
    table = path / "tables" / "members.csv"
    if not table.is_file():
        return
    import pandas as pd

    members = pd.read_csv(table)
    if ((members["pair"] == pair_name(pair)) & (members["stopped_by"] == "failed")).any():
        sys.stderr.write(f"The member of {pair_name(pair)} failed in training; its last finite state is explained.\n")


def _head_rows(arrays, path) -> int:
    """Classes of a file: rows of its linear head's weight."""
    heads = [
        array
        for name, array in arrays.items()
        if name.endswith("weight") and array.ndim == 2 and {"fc", "classifier", "head"} & set(name.split("."))
    ]
    if len(heads) != 1:
        raise UsageError(f"`--weights`: wanted one linear head (fc.weight) in {path}, found {len(heads)}.")
    return heads[0].shape[0]


def _numbered(count) -> tuple[str, ...]:
    return tuple(f"class {index}" for index in range(count))


def _sha256(file: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
