"""Networks to explain or to give away: one that a run trained, or anybody's weights.

Contract: every network takes (B, size, size, 3) normalised by ImageNet's statistics and ends in global average pooling
and one linear layer.
"""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.study.explain import settings_of
from experiments.study.run import open_to_compute
from experiments.study.run_folder import PICTURES_RECORD, sha256
from fer_jax import checkpoints, explanation, images, models, saliency
from fer_jax.categories import Categories
from fer_jax.errors import DataError, UsageError
from fer_jax.expressions import EXPRESSIONS, canonical_name, index_of

WEIGHTS_PX = 224
_SAID = "fer_jax"  # entry of a file's metadata: a JSON object


@dataclasses.dataclass(frozen=True)
class Network:
    """A network with what is known about it.

    Attributes:
      build: (lowering=...) -> module.
      variables: its parameters and batch statistics.
      class_names: in the order of its logits.
      image_size: side of its input, pixels.
      identity: JSON-ready, equal for equal networks only.
      settings: of its explanation: those of its run, or the published ones.
      crop: what its run kept of each photograph, "" where unknown.
    """

    build: Callable[..., Any]
    variables: Any
    class_names: tuple[str, ...]
    image_size: int
    identity: dict[str, Any]
    settings: explanation.Settings
    crop: str = ""

    def computing_in(self, dtype: str | None) -> "Network":
        """Return the same network with arithmetic in float32 or bfloat16, or as it is. Its parameters stay float32."""
        if dtype is None:
            return self

        def build(**options):
            return self.build(**options).clone(dtype=jnp.dtype(dtype))

        return dataclasses.replace(self, build=build, identity=self.identity | {"compute_dtype": dtype})


def from_run(path: str, pair: str, *, finetuned: bool = False) -> Network:
    """Load the member of a pair, or the multiclass network, of a run of `experiments.reproduce`.

    Args:
      path: the run folder.
      pair: such as "happy-sad", in either order, "" for the multiclass network.
      finetuned: the member after fine-tuning on what people uncovered.

    Raises:
      UsageError: no run, an unknown pair, `finetuned` without a pair, or a network that is not trained yet.
      StorageError: a checkpoint that is damaged or was made by another version.
    """
    if finetuned and not pair:
        raise UsageError("`--finetuned`: only members were fine-tuned; add --pair, such as --pair=happy-sad.")
    run = open_to_compute(path)
    config, categories = run.config, run.categories
    chosen = parse_pair(pair, categories) if pair else None
    if chosen is None:
        name, stage, what = "multiclass", "multiclass", "multiclass network"
    elif finetuned:
        name, stage, what = "finetuned", "finetune", "fine-tuned members"
    else:
        name, stage, what = "ensemble", "members", "members"
    folder = run.folder.path / name
    if not checkpoints.exists(folder):
        raise run.folder.unfinished(what, stage)
    identity = {"checkpoint": name, "sha256": sha256(folder / "manifest.json"), "model": config.model}
    if chosen is None:
        variables, names = run.load_multiclass(), categories.names
    else:
        _warn_of_member(run.folder, categories.pair_name(chosen), finetuned)
        variables = run.load_member(chosen, name)
        names = tuple(categories[index] for index in categories.pairs[chosen])
        identity["pair"] = categories.pair_name(chosen)
    pictures = run.folder.read_json(PICTURES_RECORD) if run.folder.has(PICTURES_RECORD) else {}
    return Network(
        build=lambda **options: run.network(len(names), **options),
        variables=variables,
        class_names=names,
        image_size=config.image_size,
        identity=identity,
        settings=settings_of(config),
        crop=pictures.get("crop") or "",
    )


def from_weights(path: str, arch: str | None, class_names: str, image_size: int) -> Network:
    """Load a classifier from a safetensors file, of anybody's or one that `to_file` wrote.

    Args:
      path: the file, with the parameter names of torchvision or timm.
      arch: key of `models.MODELS`. None takes what the file says, or resnet50.
      class_names: comma-separated, in the order of the logits. "" takes the file's, or "class 0", "class 1", ...
      image_size: side of its input, pixels. 0 takes the file's, or 224.

    Raises:
      UsageError: no such file, names that do not fit, or tensors that do not fit the architecture.
      DataError: a damaged file.
    """
    if not pathlib.Path(path).is_file():
        raise UsageError(f"`--weights`: wanted a safetensors file, got {path}, which is not there.")
    arrays = checkpoints.read_safetensors(path)
    said = _said(path)
    count = _head_rows(arrays, path)
    given = tuple(name.strip() for name in class_names.split(",")) if class_names else said.get("class_names")
    names = tuple(given or _numbered(count))
    if len(names) != count or len(set(names)) != count or not all(names):
        raise UsageError(
            f"`--class_names`: wanted {count} different names, one for each logit, got {class_names or names!r}."
        )
    image_size = image_size or said.get("image_size", WEIGHTS_PX)
    arch = arch or said.get("arch", "resnet50")
    build = models.MODELS[arch]
    return Network(
        build=lambda **options: build(num_classes=count, **options),
        variables=models.from_state_dict(arrays, build(num_classes=count), head="keep"),
        class_names=names,
        image_size=image_size,
        identity={"weights": pathlib.Path(path).name, "sha256": sha256(pathlib.Path(path)), "model": arch},
        settings=explanation.Settings(extremal=saliency.ExtremalOptions().at_size(image_size)),
    )


def to_file(network: Network, path: pathlib.Path) -> None:
    """Write a network of a run as safetensors, under torchvision's names, with what `from_weights` wants to know.

    Raises:
      StorageError: the file cannot be written.
    """
    said = {
        "arch": network.identity["model"],
        "class_names": network.class_names,
        "image_size": network.image_size,
        "normalise": [images.IMAGENET_MEAN, images.IMAGENET_STD],
        "source": network.identity,
    }
    arrays = models.to_state_dict(network.build(), network.variables)
    checkpoints.write_safetensors(path, arrays, metadata={"format": "pt", _SAID: json.dumps(said)})


def parse_pair(text: str, categories: Categories) -> int:
    """Return the index of a pair given as two categories with a hyphen, in either order.

    Raises:
      UsageError: it is none.
    """
    parts = text.split("-")
    # A name of the user's choice may have hyphens, too.
    splits = [("-".join(parts[:cut]), "-".join(parts[cut:])) for cut in range(1, len(parts))]
    known = [split for split in splits if all(canonical_name(name) in categories for name in split)]
    if not splits:
        example = categories.pair_name(0)
        raise UsageError(f"`--pair`: wanted two categories with a hyphen, such as {example}, got {text!r}.")
    first, second = (_category("pair", name, categories) for name in (known or splits)[0])
    if first == second:
        raise UsageError(f"`--pair`: wanted two different categories, got {text!r}.")
    return categories.pair_index(first, second)


def parse_target(text: str, class_names: tuple[str, ...]) -> int:
    """Return the index of the class to explain, given by its name, by an alias of an expression's, or by its number.

    Nothing given stands for the class that is predicted.

    Raises:
      UsageError: the network has no such class.
    """
    if not text:
        return explanation.PREDICTED
    if text in class_names:
        return class_names.index(text)
    if text.isascii() and text.isdecimal() and int(text) < len(class_names):
        return int(text)
    shown = ", ".join(class_names[: len(EXPRESSIONS)]) + (", ..." if len(class_names) > len(EXPRESSIONS) else "")
    wanted = f"wanted one of {shown} (or a number in 0..{len(class_names) - 1}), got {text!r}"
    try:
        named = EXPRESSIONS[index_of(text)]
    except DataError:
        raise UsageError(f"`--explain_class`: {wanted}.") from None
    if named in class_names:
        return class_names.index(named)
    if class_names == _numbered(len(class_names)):
        raise UsageError(f"`--explain_class`: {wanted}; a weights file names no classes: give --class_names as well.")
    raise UsageError(f"`--explain_class`: {wanted}; this network does not know it.")


def _category(flag, name, categories) -> int:
    try:
        if categories == EXPRESSIONS:
            return index_of(name)
        return categories.index_of(canonical_name(name))
    except DataError as error:
        raise UsageError(f"`--{flag}`: {str(error).partition(': ')[2]}") from None


def _warn_of_member(folder, name, finetuned):
    """Say what makes an explanation of a member worth little."""
    from experiments.study.vote import named_by_members, near_chance

    if folder.has("tables/members.csv"):
        members = folder.read_table("members").set_index("pair")
        if name in members.index and members.loc[name, "stopped_by"] == "failed":
            sys.stderr.write(f"The member of {name} failed in training; its last finite state is explained.\n")
    if all(folder.has(f"{each}.npz") for each in ("predictions", "predictions_finetuned")[: 1 + finetuned]):
        pairs = [folder.categories.pair_name(pair) for pair in range(folder.categories.num_pairs)]
        logits = folder.read_arrays("predictions_finetuned" if finetuned else "predictions")["ensemble_logits"]
        labels = folder.read_arrays("predictions")["labels"]
        right, images = (each[pairs.index(name)] for each in named_by_members(logits, labels, folder.categories.pairs))
        if images.all() and near_chance(right, images):
            sys.stderr.write(
                f"The member of {name} is not shown to be better than guessing (balanced accuracy "
                f"{np.mean(right / images):.0%} on {images[0]} and {images[1]} pictures); its maps explain a guess.\n"
            )


def _head_rows(arrays, path) -> int:
    """Count the classes of a file: rows of its linear head's weight."""
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


def _said(path) -> dict[str, Any]:
    """Return what a file that `to_file` wrote says of its network, nothing for files of others."""
    text = checkpoints.read_safetensors_metadata(path).get(_SAID)
    if text is None:
        return {}
    try:
        said = json.loads(text)
        known = said["arch"] in models.MODELS and isinstance(said["image_size"], int)
        if known and all(isinstance(name, str) for name in said["class_names"]):
            return said
    except (ValueError, KeyError, TypeError):
        pass
    raise DataError(f"`{path}`: what it says of its network cannot be read; was it written by another version?")
