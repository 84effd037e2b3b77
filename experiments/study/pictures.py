"""Stage `data`: pictures of each category, rendered or read, on disk as one file. Prepared ones stay in place."""

import numpy as np
import pandas as pd

from experiments.harness.progress import Progress
from experiments.study import photographs
from experiments.study.run import Run
from experiments.study.run_folder import PICTURES_RECORD
from fer_jax import data, faces
from fer_jax.errors import DataError
from fer_jax.expressions import EXPRESSIONS, parse_categories

RENDER_CHUNK = 160


def prepare(run: Run) -> None:
    """Render or read both splits, and write pictures, class counts and rejects.

    Columns:
      expression: of the pictures.
      train, validation: pictures of that split.
    """
    read = {"procedural_faces": _rendered, "prepared": photographs.prepared}.get(run.config.dataset, photographs.read)
    splits, rejected = read(run)
    categories = run.categories  # as the record that was just written says
    arrays, counts = {}, {}
    for split, parts in splits.items():
        counts[split] = np.bincount(parts["labels"], minlength=len(categories))
        images = parts.get("images")
        if images is not None and (images == images[..., :1]).all():
            parts = parts | {"images": images[..., :1]}
        arrays |= {f"{split}_{name}": np.asarray(values) for name, values in parts.items()}
    _check_all_there(counts, categories)
    run.folder.write_arrays("data/pictures", **arrays)
    run.folder.write_table("class_counts", pd.DataFrame({"expression": list(categories), **counts}))
    run.folder.write_text("rejected.csv", rejected.to_csv(index=False, lineterminator="\n"))


def _check_all_there(counts, categories):
    """Refuse a category without pictures, here and not after an hour of training."""
    for split, numbers in counts.items():
        if not numbers.all():
            missing = [name for name, number in zip(categories, numbers, strict=True) if not number]
            raise DataError(
                f"`--data_dir`: wanted pictures of all {len(categories)} categories in {split}, got none of "
                f"{', '.join(missing)}."
            )


def _rendered(run):
    config = run.config
    categories = EXPRESSIONS if config.categories is None else EXPRESSIONS.select(parse_categories(config.categories))
    wanted = {"train": config.train_per_expression, "validation": config.validation_per_expression}
    total = len(categories) * sum(wanted.values())
    progress, done, splits = Progress("drawing faces", total, unit="pictures"), 0, {}
    for split, each in wanted.items():
        parts = []
        for first in range(0, len(categories) * each, RENDER_CHUNK):
            indices = range(first, min(first + RENDER_CHUNK, len(categories) * each))
            parts.append(
                faces.render_batch(
                    config.seed,
                    split,
                    indices,
                    preset=config.faces,
                    size=config.image_size,
                    workers=1,
                    categories=categories,
                )
            )
            done += len(indices)
            progress.update(done)
            run.stop.check()
        images, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
        names = [f"{split}/{index:06d}" for index in range(len(labels))]
        splits[split] = {"images": images, "labels": labels, "names": names}
    run.folder.write_json(
        PICTURES_RECORD,
        {
            "release": "procedural_faces",
            "categories": list(categories),
            "preset": config.faces,
            "render_version": faces.RENDER_VERSION,
            "synthetic": True,
        },
    )
    progress.finish(f"{total} pictures")
    return splits, pd.DataFrame(columns=list(data.REJECTED_COLUMNS))
