"""The configuration of a whole study, and its presets."""

import dataclasses
from typing import Any

from experiments.harness.command import check_bounds, option, parse_names
from experiments.study.people_flag import check_folders, refuse_profile, tell_idle
from experiments.study.picture_flags import DATASETS, checked_crop, refuse_strangers, refuse_votes
from experiments.study.stage_table import STAGES, left_out
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS, parse_categories, parse_class_map
from fer_jax.provenance import PROFILES

FACE_PRESETS = ("easy", "medium", "hard", "study", "very_hard")


@dataclasses.dataclass(frozen=True)
class Command:
    """A run's folder, and how much of it is made."""

    out: str | None = option(None, "Run folder, such as runs/first.", unset="none")
    preset: str = option(
        "small",
        "small: a small network from scratch, ours. paper: ResNet-50 as the paper trains it, as far as it says how.",
        choices=("small", "paper"),
    )
    seed: int = option(0, "Seed of everything random.", low=0, high=2**63 - 1)
    stages: str = option(
        "all",
        f"Comma-separated stages to run, of {', '.join(STAGES)}, in this order; those of a few seconds are made again.",
    )
    minutes: float = option(
        0.0,
        "Minutes the whole study may take, about: training and fine-tuning are shortened to fit (ours; 0: as long as "
        "it takes). The limits given stand in limits.json and in flags.txt, which repeats the run.",
        low=0.0,
        high=1e6,
    )
    dry_run: bool = option(
        False,
        "Only say what the run would take on this machine: members, steps, operations, memory, and hours from a step "
        "that is timed, not shortened by --minutes. Until stage data has run in --out, a set has its published counts.",
    )
    overwrite: bool = option(False, "Begin anew: what is there already is deleted.")


@dataclasses.dataclass(frozen=True)
class Pictures:
    """What is studied."""

    dataset: str = option(
        "procedural_faces",
        "Pictures to study: drawn ones, a copy of a known set, class folders of your own, or what "
        "experiments.prepare_data built.",
        choices=DATASETS,
    )
    data_dir: str | None = option(
        None, "Where the pictures lie: a folder or a zip, or the prepared set.", unset="none", fills=("path",)
    )
    image_size: int | None = option(
        None,
        "Side of the pictures the networks and the participants see, pixels (ours: the paper gives none).",
        low=32,
        high=1024,
        fills=("size",),
    )
    faces: str = option("easy", "Difficulty of the procedural faces.", choices=FACE_PRESETS)
    train_per_expression: int = option(
        240, "Procedural faces drawn for training, per expression.", low=8, high=1_000_000
    )
    validation_per_expression: int = option(
        95, "Procedural faces drawn for validation, per expression.", low=12, high=1_000_000
    )
    target: str = option(
        "plurality",
        "FER+ label: plurality of the votes, more than half, or (prepare_data) all votes.",
        choices=("plurality", "majority"),
    )
    label_table: str | None = option(
        None, "Numbered class folders, or CK+ as a csv: whose numbers, such as affectnet.", unset="names only"
    )
    categories: str | None = option(
        None,
        "Categories to study, in this order, such as happy,sad,anger or the names of your folders.",
        unset="all that the pictures have, the paper's in the paper's order",
    )
    class_map: str | None = option(
        None,
        "Photographs: classes of the set under other names, or left out, such as angry_faces:anger,unknown:drop.",
        unset="none",
    )
    crop: str | None = option(
        None,
        "Photographs: what is seen of each. square: its central square, whatever that shows; box: the square around "
        "the face; eyes: turned and scaled so that the eyes lie alike; none, where a card has it: all of it.",
        choices=("square", "box", "eyes"),
        unset="box for AffectNet and ExpW, square elsewhere",
    )
    detector: str = option(
        "given",
        "With --crop=box or eyes: faces as the set gives them, or found by face_api=FILE.tgz (with landmarks), lbp, "
        "haar or yunet=FILE.onnx; see BUILD.md.",
    )
    max_reject_frac: float = option(0.01, "Photographs: largest share of unusable rows of a split.", low=0.0, high=1.0)
    dedupe: bool = option(True, "Photographs: leave out training pictures that are in validation or test, too (ours).")


@dataclasses.dataclass(frozen=True)
class Training:
    """Networks, and how they learn."""

    model: str | None = option(
        None, "Architecture of the members and the multiclass model.", choices=("tiny", "small", "medium", "resnet50")
    )
    learning_rate: float | None = option(None, "Adam's learning rate.", low=1e-8, high=10.0)
    batch_size: int | None = option(None, "Images a step and member.", low=2, high=4096)
    members: str = option(
        "all",
        "Members to train: all, pairs by number such as 0-6,9, or 1/4 for every fourth from 1. "
        "experiments.merge_members joins such runs.",
    )
    targets: str | None = option(
        None,
        "What networks learn: each picture's label, or the shares of its votes (FER+; Barsoum et al. 2016). Members "
        "learn the shares within their pair. Pictures, stopping, scores and fine-tuning go by labels.",
        choices=("labels", "votes"),
        before="labels",
    )
    undersample: str = option(
        "fixed",
        "Pictures of a pair's larger class: drawn once a member, or anew each epoch (the paper is silent).",
        choices=("fixed", "per_epoch"),
    )
    init_from: str | None = option(
        None,
        "Start from these weights: a safetensors file (ImageNet's, say; heads are new), or a run folder, each network "
        "from its namesake there (cascaded fine-tuning).",
        unset="from scratch (ours: the paper does not say)",
        fills=("path",),
    )
    compute_dtype: str = option(
        "float32",
        "Arithmetic of the networks; parameters stay float32. bfloat16 is for accelerators.",
        choices=("float32", "bfloat16"),
    )
    matmul_precision: str | None = option(
        None,
        "How accelerators multiply float32: tensorfloat32 keeps 10 bits of each factor, float32 all 23. A CPU always "
        "keeps all.",
        choices=("tensorfloat32", "float32"),
        unset="tensorfloat32 on a GPU, JAX's elsewhere",
    )
    accumulate: int = option(
        1,
        "Parts of a batch that pass through the network one after another, for memory; BatchNorm sees each part by "
        "itself (ours).",
        low=1,
        high=4096,
    )
    remat: bool = option(
        False, "Compute the inside of blocks again in the backward pass instead of keeping it: less memory, more time."
    )
    stop_accuracy: float = option(
        0.9,
        "Training accuracy at which a member stops (paper §5.1); 0: at its limit only (the paper's second ensemble: "
        "--max_epochs=30).",
        low=0.0,
        high=1.0,
    )
    max_epochs: int | None = option(
        None,
        "Epochs after which a member stops in any case; 0: no limit.",
        unset="from the preset, without limit where only --max_images is given",
        low=0,
        high=100_000,
    )
    max_images: int | None = option(
        None,
        "Images after which a member stops in any case, whole epochs (ours); 0: no limit.",
        unset="from the preset, without limit where only --max_epochs is given",
        low=0,
        high=10**12,
    )
    multiclass_epochs: int | None = option(None, "Epochs of the multiclass model.", low=1, high=100_000)
    class_weights: str | None = option(
        None,
        "Weights of the multiclass loss (paper §5.2, without a formula): N/(K n), its root (both ours), or none.",
        choices=("balanced", "sqrt", "none"),
    )
    multiclass_schedule: str | None = option(
        None,
        "Learning rate of the multiclass model: constant, or falling to zero as a cosine (ours).",
        choices=("constant", "cosine"),
    )
    batch_statistics: str | None = option(
        None,
        "BatchNorm of a finished member: its running average, or one pass over training pictures (ours).",
        choices=("running", "population"),
    )
    save_every_s: float = option(60.0, "Seconds between two checkpoints of running members.", low=0.0, high=1e9)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Members side by side, on one device or many."""

    slots: int = option(
        0,
        "Members trained side by side; 0: all on a CPU, one a device elsewhere, fewer where memory ends.",
        low=0,
        high=28,
    )
    memory_gb: float = option(
        0.0, "Memory that training may take, GiB; 0: what the device or the machine has free.", low=0.0, high=1e6
    )
    over_members: str | None = option(
        None, "How slots run on a device.", choices=("loop", "map", "vmap"), unset="by platform"
    )
    over_devices: str = option("none", "How slots are split over devices.", choices=("none", "shard_map", "pmap"))
    devices: int = option(0, "Devices to split over; 0: all of them.", low=0, high=100_000)
    data_devices: int = option(
        1, "Of them, devices that share each member's batch (with --over_devices=shard_map).", low=1, high=100_000
    )
    pictures_on: str | None = option(
        None,
        "Where pictures of members and multiclass lie: on the device, all as bytes, or on the host, each batch "
        "travelling.",
        choices=("device", "host"),
        unset="device on an accelerator where they take half of its free memory at most",
    )
    steps_per_call: int | None = option(
        None,
        "Steps that one program takes where pictures lie on the device.",
        unset="on an accelerator 8 divided by the members side by side, at least 1; on a CPU 1",
        low=1,
        high=10_000,
    )


@dataclasses.dataclass(frozen=True)
class People:
    """The experiment with people."""

    per_ordered_pair: int = option(5, "Study images per (true, foil), fewer where a set has few.", low=1, high=1000)
    people: str = option(
        "simulated",
        "Who uncovers the study images: simulated people, who know the paper's eight expressions; the people of a "
        "study, as the folder of its tables or a prepared click study, several separated by commas; or none, which "
        "leaves out people, fine-tuning and the comparison.",
        fills=("folder",),
        aliases=("clicks",),
    )
    participants: int = option(24, "Simulated participants.", low=4, high=10_000)
    profile: str = option(
        "typical",
        "Where simulated people look: at eyes and mouth as people mostly do, mostly at the eyes or at the mouth, where "
        "the two expressions differ (oracle), anywhere (random), or around the centre.",
        choices=PROFILES,
    )


@dataclasses.dataclass(frozen=True)
class Explain:
    """Saliency maps."""

    area: float = option(0.1, "Extremal Perturbation: share of the image to keep.", low=1e-3, high=0.999)
    ep_iterations: int | None = option(
        None,
        "Extremal Perturbation: steps in which the published schedule of 800 iterations is taken (fewer is ours). With "
        "--ep_stop=converged: iterations of it, at most.",
        unset="from the preset, 800 with --ep_stop=converged",
        low=1,
        high=100_000,
    )
    ep_stop: str = option(
        "never",
        "Extremal Perturbation: stop early. converged (ours): each picture when its mask has settled at its area.",
        choices=("never", "converged"),
    )
    ep_score: str | None = option(
        None,
        "Extremal Perturbation: keep the true label's logit, its lead over the foil (difference), or its probability.",
        choices=("logit", "difference", "probability"),
        aliases=("ep_target",),
        old_values={"true": "logit"},
    )
    ep_reward_scale: float | None = option(
        None,
        "Extremal Perturbation: factor on the score, which competes with an area weight of 300 upward (ours).",
        low=1e-3,
        high=1e6,
    )


@dataclasses.dataclass(frozen=True)
class Finetune:
    """Learning from what people uncovered."""

    finetune_images: int | None = option(
        None, "Fine-tuning: images each member sees (ours: the paper gives no length).", low=1, high=10**9
    )
    finetune_learning_rate: float | None = option(
        None, "Fine-tuning: Adam's learning rate (ours: the paper gives none).", low=1e-8, high=10.0
    )
    masked_ratio: float = option(
        0.5, "Fine-tuning: share of click-revealed images, the rest unmasked (ours).", low=0.0, high=1.0
    )


@dataclasses.dataclass(frozen=True)
class StudyConfig(Finetune, Explain, People, Placement, Training, Pictures, Command):
    """Every choice a run depends on, the last group first in `--help`. None: from `--preset`, or from the data set."""


@dataclasses.dataclass(frozen=True)
class Resampling:
    """Bootstrap intervals."""

    resamples: int = option(2000, "Bootstrap resamples.", low=40, high=1_000_000)


@dataclasses.dataclass(frozen=True)
class Workers:
    """Work side by side on the host."""

    workers: int = option(0, "Threads or processes that work side by side; 0: one for each core.", low=0, high=1024)


@dataclasses.dataclass(frozen=True)
class OfRun:
    """Networks of a run."""

    run: str = option("", "Run folder of experiments.reproduce.")
    pair: str = option(
        "", "The member of this pair, such as happy-sad (export: or all); without: the multiclass network."
    )
    finetuned: bool = option(False, "Members after fine-tuning on what people uncovered.")


# `paper` takes from §5.1 and §5.2 the architecture, Adam's 1e-4, the batch of 64 and the epochs, and the saliency
# methods' published settings. Ours in it, for the paper does not say: the side of the pictures, the start from
# scratch, the formula of the class weights, the constant rate, the length and the rate of fine-tuning. `small` is
# ours altogether: what two CPU cores can do from scratch in minutes.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "model": "resnet50",
        "image_size": 224,
        "learning_rate": 1e-4,
        "batch_size": 64,
        "targets": "labels",
        "max_epochs": 150,
        "max_images": 0,
        "multiclass_epochs": 40,
        "class_weights": "balanced",
        "multiclass_schedule": "constant",
        "batch_statistics": "running",
        "ep_iterations": 800,
        "ep_score": "logit",
        "ep_reward_scale": 1.0,
        "finetune_images": 12_800,
        "finetune_learning_rate": 1e-4,
    },
    "small": {
        "model": {"procedural_faces": "tiny", "ferplus": "medium", "photographs": "small"},
        "image_size": {"procedural_faces": 64, "ferplus": 48, "fer2013": 48, "ckplus": 48, "photographs": 64},
        "learning_rate": {"ferplus": 1.5e-3, "photographs": 1e-3},
        "batch_size": {"procedural_faces": 16, "photographs": 32},
        "targets": {"ferplus": "votes", "photographs": "labels"},
        "max_epochs": 150,
        "max_images": {"procedural_faces": 6_240, "ferplus": 32_000, "photographs": 64_000},
        "multiclass_epochs": {"procedural_faces": 16, "photographs": 24},
        "class_weights": {"ferplus": "none", "photographs": "sqrt"},
        "multiclass_schedule": "cosine",
        "batch_statistics": "population",
        "ep_iterations": {"procedural_faces": 150, "photographs": 300},
        "ep_score": "logit",
        "ep_reward_scale": 1.0,
        "finetune_images": {"procedural_faces": 640, "photographs": 1_280},
        "finetune_learning_rate": 2e-4,
    },
}


def resolve(config: StudyConfig) -> StudyConfig:
    """Fill every None from the preset and check what can be checked before any work.

    Raises:
      UsageError: a value that cannot be used.
    """
    if not config.out:
        raise UsageError("`--out`: wanted a run folder, such as --out=runs/first, got none.")
    preset = {
        name: value.get(config.dataset, value["photographs"]) if isinstance(value, dict) else value
        for name, value in PRESETS[config.preset].items()
    }
    if config.ep_stop != "never":  # the presets' few steps are long ones
        preset["ep_iterations"] = PRESETS["paper"]["ep_iterations"]
    tell_idle(config.people, vars(config), vars(StudyConfig()) | preset)
    chosen = _other_limit(config)
    chosen |= {name: value for name, value in preset.items() if getattr(config, name) is None and name not in chosen}
    config = dataclasses.replace(config, **chosen)
    refuse_strangers(config)
    refuse_votes(config)
    if config.dataset != "procedural_faces" and not config.data_dir and not config.dry_run:
        raise UsageError(
            f"`--data_dir`: --dataset={config.dataset} wants the folder or zip its pictures lie in, got none."
        )
    config = dataclasses.replace(config, crop=checked_crop(config))
    check_bounds(config)
    if not config.max_epochs and not config.max_images:
        raise UsageError("`--max_epochs`: wanted a limit of epochs, or of images by --max_images, got 0 for both.")
    wanted = EXPRESSIONS if config.categories is None else parse_categories(config.categories)
    if config.dataset == "procedural_faces" or config.categories is not None:  # other sets may have any number
        chosen_members(config, wanted.num_pairs)
    if config.dataset == "procedural_faces":
        EXPRESSIONS.select(wanted)
    if config.class_map is not None:
        parse_class_map(config.class_map)
    if config.over_members == "loop" and config.over_devices != "none":
        raise UsageError("`--over_members`: wanted map or vmap with --over_devices, got loop.")
    if config.batch_size % config.accumulate:
        raise UsageError(
            f"`--accumulate`: wanted a divisor of --batch_size={config.batch_size}, got {config.accumulate}."
        )
    if config.pictures_on == "device" and config.over_devices == "pmap":
        raise UsageError("`--pictures_on`: wanted host with --over_devices=pmap, got device.")
    if (config.steps_per_call or 1) > 1 and (config.pictures_on == "host" or config.over_devices == "pmap"):
        instead = "" if config.over_devices == "pmap" else ", or give --pictures_on=device"
        got = f"got {config.steps_per_call}; leave it out{instead}."
        raise UsageError(f"`--steps_per_call`: wanted 1 with pictures on the host, {got}")
    if config.accumulate > 1 and config.data_devices > 1:
        raise UsageError(f"`--accumulate`: wanted 1 with --data_devices, got {config.accumulate}; leave one out.")
    chosen_stages(config)
    check_folders(config.people)
    refuse_profile(config)
    for name, shared in (("members", config.members != "all"), ("data_devices", config.data_devices > 1)):
        if config.minutes and shared:
            raise UsageError(
                f"`--minutes`: cannot be shared out with --{name}; give --max_images, the same to every run."
            )
    return config


def _other_limit(config) -> dict[str, int]:
    """Lift the preset's other limit where one was asked for: nothing ends a member earlier."""
    if config.max_epochs and config.max_images is None:
        return {"max_images": 0}
    if config.max_images and config.max_epochs is None:
        return {"max_epochs": 0}
    return {}


def chosen_members(config: StudyConfig, num_pairs: int) -> list[int]:
    """Return the members to train, ascending.

    Args:
      config: resolved, or about to be.
      num_pairs: members of a whole ensemble.

    Raises:
      UsageError: `members` is neither all nor numbers and ranges below `num_pairs`.
    """
    if config.members == "all":
        return list(range(num_pairs))
    first, _, step = (
        int(text) if text.isascii() and text.isdecimal() else -1 for text in config.members.partition("/")
    )
    if 0 <= first < step <= num_pairs:
        return list(range(first, num_pairs, step))
    chosen: set[int] = set()
    for part in config.members.split(","):
        first, _, last = part.strip().partition("-")
        ends = [int(end) if end.isascii() and end.isdecimal() else -1 for end in (first, last or first)]
        if not 0 <= ends[0] <= ends[1] < num_pairs:
            raise UsageError(
                f"`--members`: wanted all, or numbers and ranges in 0..{num_pairs - 1} such as 0-6,9, got {part!r}."
            )
        chosen.update(range(ends[0], ends[1] + 1))
    return sorted(chosen)


def chosen_stages(config: StudyConfig) -> list[str]:
    """Return the stages to run, in order.

    Raises:
      UsageError: an unknown stage, or one of people with `--people=none`.
    """
    if config.stages == "all":
        return [name for name in STAGES if name not in left_out(config.people)]
    chosen = list(parse_names("stages", config.stages, STAGES, wanted="all or some of"))
    without = next((name for name in chosen if name in left_out(config.people)), None)
    if without is not None:
        raise UsageError(f"`--stages`: {without} wants people, got --people=none. Leave one of them out.")
    return chosen
