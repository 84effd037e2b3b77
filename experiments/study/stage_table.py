"""The table of what each stage reads and leaves: on which flags and files a result depends.

Contract: a stage reads no flag and no stage's files but those named here, so it stays as it is while these do.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class StageEntry:
    """One stage's line of the table.

    Attributes:
      reads: flags its results depend on.
      needs: stages whose files it reads.
      leaves: patterns of the files it leaves. One with a slash at its end is a network's folder.
      parts: what it keeps while it is under way, and what is there to look at only: nothing depends on these.
      tables: it reads the tables that `--people` names, so its results depend on their content.
      kept: what it leaves is never replaced because a flag has changed: training may have taken days.
      quick: takes seconds, so it is made again whenever `--stages` names it.
      at_first: flags that count when it is made and not afterwards. A later stage refuses a value that does not fit.
    """

    reads: tuple[str, ...]
    needs: tuple[str, ...]
    leaves: tuple[str, ...]
    parts: tuple[str, ...] = ()
    tables: bool = False
    kept: bool = False
    quick: bool = False
    at_first: tuple[str, ...] = ()


# How and where members run. Under loop and map any number of slots and devices gives the same bits, on a CPU in as many
# threads (see `numerics`), and under map pictures on the device and several steps a call, too. Loop, map, vmap, a batch
# that devices share, a loop's pictures on the device and blocks that are computed again differ by rounding, so a stage
# that goes on in another of them tells.
PLACEMENT = (
    "slots",
    "memory_gb",
    "over_members",
    "over_devices",
    "devices",
    "data_devices",
    "remat",
    "pictures_on",
    "steps_per_call",
)
# Where a run lies, what it does next, when it saves, how bad a copy it takes: no result depends on these.
FREE = ("out", "stages", "overwrite", "dry_run", "minutes", "data_dir", "max_reject_frac", "save_every_s", *PLACEMENT)
# Checkpoints of networks under way, among a stage's parts: removed when it has ended.
CHECKPOINTS = "training/"
# Stages that `--minutes` shortens, and the flag by which it does.
LIMITS = {"members": "max_images", "multiclass": "multiclass_epochs", "finetune": "finetune_images"}

_NETWORK = ("model", "image_size", "compute_dtype", "matmul_precision")
_TRAINING = (*_NETWORK, "accumulate", "seed", "learning_rate", "batch_size", "init_from")

TABLE: dict[str, StageEntry] = {
    "data": StageEntry(
        reads=(
            "dataset",
            "image_size",
            "seed",
            "faces",
            "train_per_expression",
            "validation_per_expression",
            "target",
            "targets",  # the votes lie beside the pictures: training depends on them as on these
            "label_table",
            "categories",
            "class_map",
            "dedupe",
            "crop",
            "detector",
        ),
        needs=(),
        leaves=(
            "data/pictures.npz",
            "data/pictures.json",
            "tables/class_counts.csv",
            "tables/study_images_given.csv",
        ),
        parts=("rejected.csv", "flagged.csv", "labels.png"),
        kept=True,
        at_first=("people",),  # whose pictures are held out. Design refuses others
    ),
    "design": StageEntry(
        reads=("seed", "per_ordered_pair", "people"),
        needs=("data",),
        leaves=("tables/study_images.csv",),
        tables=True,
        quick=True,
    ),
    # Study images come from validation, so training does not read which they are.
    "members": StageEntry(
        reads=(
            *_TRAINING,
            "members",
            "undersample",
            "stop_accuracy",
            "max_epochs",
            "max_images",
            "batch_statistics",
        ),
        needs=("data",),
        leaves=("ensemble/", "part/", "tables/members.csv", "tables/metrics_ensemble.csv"),
        parts=("training/ensemble",),
        kept=True,
    ),
    "multiclass": StageEntry(
        reads=(*_TRAINING, "multiclass_epochs", "class_weights", "multiclass_schedule"),
        needs=("data",),
        leaves=("multiclass/", "tables/multiclass.csv", "tables/metrics_multiclass.csv"),
        parts=("training/multiclass",),
        kept=True,
    ),
    "vote": StageEntry(
        reads=_NETWORK,
        needs=("data", "design", "members", "multiclass"),
        leaves=(
            "predictions.npz",
            "tables/confusion_ensemble_*.csv",
            "tables/confusion_multiclass.csv",
            "tables/members_validated.csv",
        ),
        quick=True,
    ),
    "people": StageEntry(
        reads=("dataset", "faces", "seed", "image_size", "participants", "people", "profile"),
        needs=("data", "design"),
        leaves=("people/**/*", "people.json", "tables/people_*.csv", "people_confusion.npz", "attention.npz"),
        tables=True,
        quick=True,
    ),
    "saliency": StageEntry(
        reads=(*_NETWORK, "area", "ep_iterations", "ep_stop", "ep_score", "ep_reward_scale"),
        needs=("data", "design", "members"),
        leaves=("maps.npz",),
        parts=("saliency",),
    ),
    "finetune": StageEntry(
        reads=(
            *_NETWORK,
            "accumulate",
            "seed",
            "batch_size",
            "masked_ratio",
            "finetune_images",
            "finetune_learning_rate",
        ),
        needs=("data", "design", "members", "people"),
        leaves=(
            "finetuned/",
            "predictions_finetuned.npz",
            "tables/members_finetuned.csv",
            "tables/metrics_finetuned.csv",
            "tables/confusion_finetuned_*.csv",
        ),
        parts=("training/finetuned",),
    ),
    "compare": StageEntry(
        reads=("dataset", "image_size", "model", "seed", "participants", "undersample", "people"),
        needs=("data", "design", "vote", "people", "saliency", "finetune"),
        leaves=(
            "tables/dice*.csv",
            "tables/multiverse.csv",
            "tables/anova.csv",
            "tables/tukey.csv",
            "tables/confusion_correlation*.csv",
            "tables/agreement*.csv",
            "tables/pair_answers.csv",
            "tables/effects.csv",
            "tables/contrasts.csv",
        ),
        quick=True,
    ),
    "figures": StageEntry(
        reads=("dataset", "image_size", "stop_accuracy", "people", "seed"),
        needs=("data", "design", "members", "vote", "people", "saliency", "finetune", "compare"),
        leaves=("figures/*",),
        quick=True,
    ),
    "report": StageEntry(
        reads=(
            "dataset",
            "preset",
            "model",
            "image_size",
            "seed",
            "undersample",
            "dedupe",
            "people",
            "participants",
            "stop_accuracy",
            "max_epochs",
            "max_images",
            "area",
            "ep_iterations",
            "ep_stop",
            "ep_score",
            "ep_reward_scale",
            # The methods paragraph names these.
            "learning_rate",
            "batch_size",
            "compute_dtype",
            "init_from",
            "targets",
            "batch_statistics",
            "multiclass_epochs",
            "multiclass_schedule",
            "class_weights",
            "finetune_images",
            "finetune_learning_rate",
            "masked_ratio",
        ),
        needs=("data", "design", "members", "vote", "people", "saliency", "finetune", "compare", "figures"),
        leaves=("report.html", "summary.json"),
        quick=True,
    ),
}
STAGES = tuple(TABLE)


def left_out(people: str) -> tuple[str, ...]:
    """Return the stages that a run without people leaves out, none where there are people, real or simulated."""
    return ("people", "finetune") if people == "none" else ()
