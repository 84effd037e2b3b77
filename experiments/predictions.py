"""The logits that a run left of its evaluation pictures, read and checked."""

import pathlib

import numpy as np

from experiments.study.run_folder import FinishedFiles
from fer_jax.errors import StorageError, UsageError

_STAGES = {"predictions": "vote", "predictions_finetuned": "finetune"}


def read_predictions(run: str, name: str) -> dict[str, np.ndarray]:
    """Read the logits of a run's evaluation pictures.

    Args:
      run: the run folder.
      name: "predictions" or "predictions_finetuned".

    Returns:
      ensemble_logits (M, N, 2), labels (N,) int32 and, of the first, multiclass_logits (N, K).

    Raises:
      UsageError: no run folder, or a stage that has not ended.
      StorageError: a file that is damaged or was made by another version.
    """
    folder, file = FinishedFiles(run), pathlib.Path(run) / f"{name}.npz"
    if not folder.has(file.name):
        if not folder.has("run.json"):
            raise UsageError(
                f"`--run`: wanted a run folder of experiments.reproduce, got {run}, which has no run.json."
            )
        what = "fine-tuned predictions" if name == "predictions_finetuned" else "predictions"
        raise folder.unfinished(what, _STAGES[name])
    saved, categories = folder.read_arrays(name), folder.categories
    try:
        count = len(saved["labels"])
        wanted = {"ensemble_logits": (categories.num_pairs, count, 2), "labels": (count,)}
        if name == "predictions":
            wanted["multiclass_logits"] = (count, len(categories))
        arrays = {each: saved[each] for each in wanted}
    except (KeyError, TypeError) as error:
        raise StorageError(f"`{file}`: cannot be read: {type(error).__name__}: {error}.") from error
    for each, shape in wanted.items():
        if arrays[each].shape != shape or not count:
            raise StorageError(f"`{file}`: wanted {each} {shape}, N > 0 pictures, got {arrays[each].shape}.")
    labels = arrays["labels"]
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(categories):
        raise StorageError(f"`{file}`: wanted labels in 0..{len(categories) - 1}, got {labels.min()}..{labels.max()}.")
    for each in wanted:
        if not np.isfinite(arrays[each]).all():
            raise StorageError(f"`{file}`: wanted finite {each}, got NaN or infinity: a network failed. Train it anew.")
    return arrays
