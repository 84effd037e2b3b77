"""What a run would take, told before anything starts: members, steps, operations, memory, and hours by a timed step."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.config import StudyConfig, chosen_members, parse_categories
from experiments.harness.numerics import choose_precision
from experiments.harness.text_table import aligned
from experiments.study import feed, time_limit, train
from experiments.study.photographs import HELD_OUT
from experiments.study.run import Run
from experiments.study.run_folder import FinishedFiles
from experiments.study.slots import GIB, layout_of, memory_of, slots_of
from fer_jax import compiler, training
from fer_jax.categories import Categories
from fer_jax.data.published import PUBLISHED
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS

# The release whose counts stand for a set of which nothing was read yet.
_RELEASES = {
    "affectnet": "affectnet original",
    "ferplus": "ferplus {target} of label.csv",
    "rafdb": "rafdb basic aligned",
}


def tell(config: StudyConfig, stages: Sequence[str]) -> str:
    """Return what these stages of a run would take on this machine. A step is compiled and timed.

    Nothing is written but compiled programs.

    Args:
      config: resolved.
      stages: to be run.

    Raises:
      UsageError: nothing is known of how many pictures there are, or memory holds no member.
    """
    categories, counts, source = counts_of(config)
    pairs = np.asarray(categories.pairs)[chosen_members(config, categories.num_pairs)]
    epochs = 2 * counts["train"][pairs].min(axis=1)
    if not epochs.all():
        lacking = [name for name, count in zip(categories, counts["train"], strict=True) if not count]
        raise UsageError(
            f"`--categories`: no training picture of {', '.join(lacking)} ({source}); name the others by --categories."
        )
    choose_precision(config.matmul_precision)
    step = _Step(config, len(pairs), int(counts["train"].sum()))
    lines = [
        ("pictures", ", ".join(f"{split} {each.sum():,}" for split, each in counts.items()) + f" ({source})"),
        ("members", f"{len(pairs)} of {categories.num_pairs}, {config.model} of {step.parameters:,} parameters"),
        (
            "side by side",
            f"{step.slots} in layout {step.layout}, on {jax.device_count()} {jax.default_backend()} device(s)",
        ),
        ("memory", f"{step.memory / GIB:.2f} GiB a device, {step.free / GIB:.1f} GiB free"),
        ("a step", step.told()),
    ]
    work = _work(config, stages, categories, counts, epochs)
    told = f"{aligned(lines)}\n\n{aligned(_hours(config, work, step.seconds), right=True)}"
    return told + _until_converged(config, work, step.seconds)


def counts_of(config: StudyConfig) -> tuple[Categories, dict[str, np.ndarray], str]:
    """Return categories, pictures of each by split, and where the numbers are from.

    Args:
      config: resolved.

    Raises:
      UsageError: the run folder has no pictures yet, and no counts of the set are published.
    """
    folder = FinishedFiles(config.out)
    if (folder.path / "tables" / "class_counts.csv").exists():
        table = folder.read_table("class_counts")
        counts = {split: table[split].to_numpy(int) for split in table.columns[1:]}
        return folder.categories, counts, "of the run folder"
    categories = EXPRESSIONS if config.categories is None else Categories(parse_categories(config.categories))
    if config.dataset == "procedural_faces":
        each = {"train": config.train_per_expression, "validation": config.validation_per_expression}
        return categories, {split: np.full(len(categories), count) for split, count in each.items()}, "to be drawn"
    release = _RELEASES.get(config.dataset, "").format(target=config.target)
    if release not in PUBLISHED or set(categories) - set(EXPRESSIONS):
        raise UsageError(
            f"`--dry_run`: wanted to know how many pictures there are, but no counts of --dataset={config.dataset} are "
            "published; read them first with --stages=data, and give --dry_run then."
        )
    published = {split: np.asarray(each) for split, each in PUBLISHED[release].items()}
    if config.categories is None:  # as a run takes those that there are
        categories = Categories(
            tuple(name for name, count in zip(EXPRESSIONS, published["train"], strict=True) if count)
        )
    places = [EXPRESSIONS.index(name) for name in categories]
    counts = {split: each[places] for split, each in published.items()}
    if "validation" not in counts:
        held = np.rint(HELD_OUT * counts["train"]).astype(int)
        counts = {"train": counts["train"] - held, "validation": held}
    return categories, counts, f"published counts of {release}"


class _Step:
    """One member's step, compiled once and timed.

    Args:
      config: resolved.
      members: to be trained.
      pictures: to train on.
    """

    def __init__(self, config, members, pictures):
        run = Run(config, folder=None, stop=None)
        optimiser, size = optax.adam(config.learning_rate), config.image_size
        step, like = train.member_step(run, optimiser), run.state_like(2, optimiser)
        batch = {
            "image": np.zeros((config.batch_size, size, size, 3), np.uint8),
            "labels": np.arange(config.batch_size, dtype=np.int32) % 2,
        }
        if config.targets == "votes":
            batch["votes"] = np.eye(2, dtype=np.float32)[batch["labels"]]
        memory = functools.cache(lambda: training.slots_memory(step, like, batch, **layout_of(config)))
        size_of_all = feed.bytes_of(config, pictures)
        on_device = size_of_all if feed.place_of(config, size_of_all) == "device" else 0
        self.free = memory_of(config)  # before anything of its own is there
        room = self.free - on_device
        where = slots_of(config, step, like, batch, members=members, memory=memory, room=room)
        self.slots, self.layout = where["width"], where["over_members"]
        at_once = where["at_once"] if self.layout == "loop" else 1
        self.memory = memory().needed(self.slots, at_once=at_once) + on_device
        self.parameters = sum(leaf.size for leaf in jax.tree.leaves(training.variables_of(like)["params"]))
        self.images, self.pixels = config.batch_size, size
        compiled = (
            jax.jit(step, compiler_options=compiler.options())
            .lower(like, batch, jax.random.key(0, impl="threefry2x32"), True)
            .compile()
        )
        self.operations = (compiled.cost_analysis() or {}).get("flops", math.nan)
        # Of zeros: a fresh member would be one more program to compile, and numbers take no part in the time.
        state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
        self.seconds = time_limit.seconds_an_image(config, step, state, batch, at_once=at_once)

    def told(self) -> str:
        """Say what a step is."""
        seconds = self.seconds * self.images
        rate = f", {self.operations / seconds / 1e9:,.0f} GFLOP/s" if math.isfinite(self.operations) else ""
        operations = f" {self.operations / 1e9:,.1f} GFLOP," if math.isfinite(self.operations) else ""
        return f"{self.images} images of {self.pixels} px,{operations} {seconds:.3f} s measured here{rate}"


def _work(config, stages, categories, counts, epochs) -> dict[str, tuple[int, int, float]]:
    """Return for each stage that computes: images, steps, and training images that take as long."""
    members = train.most_images(config, epochs.tolist())
    steps = sum(
        math.ceil(size * train.stop_rule(config).epochs_for(size) / config.batch_size) for size in epochs.tolist()
    )
    trained = time_limit.trained_images(config, categories.num_pairs, int(counts["train"].sum()))
    other = time_limit.other_work(
        config, categories.num_pairs, int(counts["validation"].sum()) if "validation" in counts else 0
    )
    found = {"members": (members, steps, float(members))}
    for stage, images in trained.items():
        found[stage] = (images, math.ceil(images / config.batch_size), images + other.get(stage, 0.0))
    shown = 2 * categories.num_pairs * config.per_ordered_pair
    found["saliency"] = (shown, shown * time_limit.expected_iterations(config), other["saliency"])
    found["vote"] = (int(sum(each.sum() for split, each in counts.items() if split != "train")), 0, other["vote"])
    return {stage: found[stage] for stage in stages if stage in found}


def _hours(config, work, seconds) -> list[tuple[str, ...]]:
    lines = [("stage", "images", "steps", "hours")]
    for stage, (images, steps, as_long) in work.items():
        most = " at most" if stage == "members" and config.stop_accuracy else ""
        lines.append((stage + most, f"{images:,}", f"{steps:,}" if steps else "", _told(as_long * seconds)))
    total = sum(as_long for *_, as_long in work.values()) * seconds
    return [*lines, ("together", "", "", _told(total))]


def _until_converged(config, work, seconds) -> str:
    """Say what the steps of explanations rest on where each ends by itself."""
    if config.ep_stop == "never" or "saliency" not in work:
        return ""
    images, steps, as_long = work["saliency"]
    few, many = time_limit.CONVERGED
    most = images * config.ep_iterations
    return (
        f"\n\nsaliency: with --ep_stop={config.ep_stop} a picture took {few} iterations on average on FER+ and "
        f"{many} on\ndrawn faces (measured, of 800). {steps // max(1, images)} are counted. If none converges it is "
        f"{most:,} steps, {_told(as_long * seconds * most / max(1, steps))} hours."
    )


def _told(seconds) -> str:
    return f"{seconds / 3600:,.2f}" if seconds < 36000 else f"{seconds / 3600:,.0f}"
