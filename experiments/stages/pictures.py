"""Stage `data`: pictures of eight expressions, rendered or read, on disk as one file; prepared ones stay in place."""

import numpy as np
import pandas as pd

from experiments.progress import Progress
from experiments.stages import photographs
from experiments.stages.study import Study
from fer_jax import faces
from fer_jax.expressions import EXPRESSIONS, NUM_EXPRESSIONS

RENDER_CHUNK = 160


def prepare(study: Study) -> None:
    """Render or read both splits; write pictures, class counts and rejects."""
    read = {"procedural_faces": _rendered, "prepared": photographs.prepared}.get(study.config.dataset, photographs.read)
    splits, rejected = read(study)
    arrays = {}
    for split, (images, labels, names) in splits.items():
        if images is None:
            arrays |= {f"{split}_labels": labels, f"{split}_names": np.asarray(names)}
            continue
        grey = (images == images[..., :1]).all()
        arrays |= {
            f"{split}_images": images[..., :1] if grey else images,
            f"{split}_labels": labels,
            f"{split}_names": np.asarray(names),
        }
    study.folder.write_arrays("data/pictures", **arrays)
    counts = {split: np.bincount(labels, minlength=NUM_EXPRESSIONS) for split, (_, labels, _) in splits.items()}
    study.folder.write_table("class_counts", pd.DataFrame({"expression": EXPRESSIONS, **counts}))
    study.folder.write_text("rejected.csv", rejected.to_csv(index=False, lineterminator="\n"))


def _rendered(study):
    config = study.config
    wanted = {"train": config.train_per_expression, "validation": config.validation_per_expression}
    total = NUM_EXPRESSIONS * sum(wanted.values())
    progress, done, splits = Progress("drawing faces", total, unit="pictures"), 0, {}
    for split, each in wanted.items():
        parts = []
        for first in range(0, NUM_EXPRESSIONS * each, RENDER_CHUNK):
            indices = range(first, min(first + RENDER_CHUNK, NUM_EXPRESSIONS * each))
            parts.append(
                faces.render_batch(config.seed, split, indices, preset=config.faces, size=config.image_size, workers=1)
            )
            done += len(indices)
            progress.update(done)
            study.stop.check()
        images, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
        splits[split] = images, labels, [f"{split}/{index:06d}" for index in range(len(labels))]
    progress.finish(f"{total} pictures")
    return splits, pd.DataFrame(columns=["split", "row", "path", "reason", "detail"])
