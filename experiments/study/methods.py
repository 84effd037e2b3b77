"""The methods paragraph of a report: the resolved flags of the run as its template names them."""

import pathlib
import shlex

from experiments.study.paper_numbers import FIXED
from experiments.study.run import Run
from fer_jax.augment import Augmentation

_AS_THEY_ARE = (
    "undersample", "targets", "batch_statistics", "multiclass_schedule", "class_weights", "compute_dtype", "batch_size",
    "multiclass_epochs",
)  # fmt: skip


def values(run: Run, participants: int) -> dict:
    """Return what the template `methods` names and others do not.

    Args:
      run: any.
      participants: people who are analysed.
    """
    config, used = run.config, run.folder.read_json("run.json")["versions"]
    told = {name: getattr(config, name) for name in _AS_THEY_ARE}
    told |= {
        "init_from": config.init_from or "",
        "learning_rate": f"{config.learning_rate:g}",
        "versions": ", ".join(f"{name} {version}" for name, version in used.items()),
        "fer_jax": used["fer-jax"],
    }
    ranges = Augmentation()
    told |= {name: f"{getattr(ranges, name):.0%}" for name in ("shift", "scale", "brightness", "contrast")}
    told["rotation"] = f"{ranges.rotation:g}"
    if run.provenance.has_people:
        excluded = int(run.folder.read_table("people_exclusions")["participant"].notna().sum())
        told |= {
            "excluded": excluded,
            "invited": participants + excluded,
            "blur": f"{run.blur_size} × {run.blur_size}",
            "radius": run.reveal_radius,
            "finetune_images": f"{config.finetune_images:,}",
            "masked_share": f"{config.masked_ratio:.0%}",
            "finetune_rate": f"{config.finetune_learning_rate:g}",
        }
    return told


def other_ensemble(run: Run) -> dict:
    """Return the command that trains the paper's other ensemble: for 30 epochs (Fig. 6), or to 90 % (Fig. 5)."""
    fixed = run.config.stop_accuracy == 0
    given = run.folder.path / "flags.txt"
    out = pathlib.Path(run.config.out)
    to = {
        "to_target": (f"{out.name}_to_90", "--stop_accuracy=0.9 --max_epochs=150"),
        "to_fixed": (f"{out.name}_{FIXED}_epochs", f"--stop_accuracy=0 --max_epochs={FIXED} --max_images=0"),
    }
    commands = {
        name: f"python -m experiments.reproduce --flagfile={shlex.quote(str(given))} "
        f"--out={shlex.quote(str(out.with_name(folder)))} {flags}"
        for name, (folder, flags) in to.items()
    }
    return {"fixed": fixed, **commands}
