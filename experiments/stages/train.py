"""Stages `members` and `multiclass`: the 28 binary networks as one queue through the slots, and the eight-way one."""

import contextlib
import dataclasses
import datetime
import math
import pathlib
import shutil
import sys
import time
from collections.abc import Callable

import jax
import numpy as np
import optax
import pandas as pd

from experiments.progress import Progress
from experiments.run_folder import MetricsLog
from experiments.stages.study import Study
from fer_jax import checkpoints, data, ensemble, training
from fer_jax.augment import Augmentation
from fer_jax.errors import StorageError
from fer_jax.expressions import EXPRESSIONS, NUM_PAIRS, PAIRS, pair_name

# For the statistics of a finished member: enough for means and variances, little beside training.
STATISTICS_BATCH = 64
STATISTICS_IMAGES = 1024


@dataclasses.dataclass(frozen=True)
class Plan:
    """One queue of members to train, and how to name and account for them.

    Attributes:
      name: of the result: "ensemble", "multiclass" or "finetuned".
      trainer: fresh, not yet running.
      like: shapes of one member's training state.
      label: member -> its name in tables.
      most_images: images seen if every member runs to its last epoch.
    """

    name: str
    trainer: training.Trainer
    like: training.MemberState
    label: Callable[[int], str]
    most_images: int


def train_members(study: Study) -> None:
    """Train one member a pair on balanced images until 90 % or its last epoch (paper §5.1)."""
    config, train = study.config, study.pictures("train")
    rows = [data.pair_subset(train.labels, pair, seed=config.seed) for pair in range(NUM_PAIRS)]
    optimiser = optax.adam(config.learning_rate)
    model = study.network(2)
    fresh = jax.jit(model.init)
    sample = np.zeros((1, config.image_size, config.image_size, 3), np.float32)
    stop = training.StopRule(config.stop_accuracy, config.max_epochs, config.max_images or None)

    def start(member):
        return training.init_state(fresh(jax.random.fold_in(study.key("members"), member), sample), optimiser)

    def batch_of(member, step):
        chosen = rows[member][stream(study, len(rows[member]), member, step, config.batch_size)]
        labels = (train.labels[chosen] == PAIRS[member][1]).astype(np.int32)
        return {"image": train.images[chosen], "labels": labels}

    view = training.augmented_view(Augmentation())
    plan = Plan(
        name="ensemble",
        trainer=training.Trainer(
            training.make_step(model, optimiser, training.cross_entropy(), view),
            [training.Job(pair, len(rows[pair])) for pair in range(NUM_PAIRS)],
            start=start,
            batch_of=batch_of,
            key=study.key("member_training"),
            batch_size=config.batch_size,
            stop=stop,
            width=config.slots or (NUM_PAIRS if jax.default_backend() == "cpu" else 1),
        ),
        like=study.state_like(2, optimiser),
        label=pair_name,
        most_images=sum(len(r) * stop.epochs_for(len(r)) for r in rows),
    )
    left = fit(study, plan)
    members = [left[pair][0] for pair in range(NUM_PAIRS)]
    if config.batch_statistics == "population":
        members = [
            _at_rest(study, model, variables, pair, train.images[rows[pair]]) for pair, variables in enumerate(members)
        ]
    checkpoints.save(study.folder.path / "ensemble", ensemble.stack(members), facts=study.facts("ensemble"))
    table = pd.DataFrame(
        {
            "pair": pair_name(pair),
            "first": EXPRESSIONS[PAIRS[pair][0]],
            "second": EXPRESSIONS[PAIRS[pair][1]],
            "train_images": len(rows[pair]),
            **left[pair][1],
        }
        for pair in range(NUM_PAIRS)
    )
    study.folder.write_table("members", table)
    _clear(study, "ensemble")


def train_multiclass(study: Study) -> None:
    """Train the eight-way network with weighted cross-entropy (paper §5.2)."""
    config, train = study.config, study.pictures("train")
    weights = data.class_weights(train.labels)
    if config.class_weights == "sqrt":
        weights = np.sqrt(weights)
    steps = math.ceil(config.multiclass_epochs * len(train) / config.batch_size)
    rate = config.learning_rate
    if config.multiclass_schedule == "cosine":
        rate = optax.cosine_decay_schedule(rate, steps)
    optimiser = optax.adam(rate)
    model = study.network(len(EXPRESSIONS))
    sample = np.zeros((1, config.image_size, config.image_size, 3), np.float32)

    def batch_of(member, step):
        chosen = stream(study, len(train), NUM_PAIRS + member, step, config.batch_size)
        return {"image": train.images[chosen], "labels": train.labels[chosen].astype(np.int32)}

    objective = training.cross_entropy(class_weights=weights)
    plan = Plan(
        name="multiclass",
        trainer=training.Trainer(
            training.make_step(model, optimiser, objective, training.augmented_view(Augmentation())),
            [training.Job(0, len(train))],
            start=lambda member: training.init_state(jax.jit(model.init)(study.key("multiclass"), sample), optimiser),
            batch_of=batch_of,
            key=study.key("multiclass_training"),
            batch_size=config.batch_size,
            stop=training.StopRule(None, config.multiclass_epochs),
        ),
        like=study.state_like(len(EXPRESSIONS), optimiser),
        label=lambda member: "multiclass",
        most_images=len(train) * config.multiclass_epochs,
    )
    variables, row = fit(study, plan)[0]
    checkpoints.save(study.folder.path / "multiclass", variables, facts=study.facts("multiclass"))
    study.folder.write_table("multiclass", pd.DataFrame([{"train_images": len(train), **row}]))
    _clear(study, "multiclass")


def _at_rest(study, model, variables, member, pictures):
    """A member with the statistics of its own training pictures at its final weights."""
    size = min(STATISTICS_BATCH, len(pictures))
    count = max(1, min(STATISTICS_IMAGES, len(pictures)) // size)
    batches = (pictures[stream(study, len(pictures), member, step, size)] for step in range(count))
    return training.population_statistics(
        model, variables, (training.plain_view(None, {"image": batch}) for batch in batches)
    )


def stream(study: Study, size: int, member: int, step: int, batch_size: int) -> np.ndarray:
    """The rows of one batch: a place in the member's endless stream of epoch permutations."""
    return data.stream_indices(size, seed=study.config.seed, member=member, start=step * batch_size, count=batch_size)


def fit(study: Study, plan: Plan) -> dict[int, tuple[dict, dict]]:
    """Run a plan to its end, going on from the last checkpoint there is.

    Args:
      study: the run.
      plan: what to train.

    Returns:
      member -> (its variables, a row for the members table: epochs, steps, train_accuracy, stopped_by).
    """
    with contextlib.closing(MetricsLog(study.folder.file("metrics.jsonl"))) as metrics:
        metrics.cut(_metrics_start(study.folder, plan.name, metrics.length()))
        left: dict[int, tuple[dict, dict]] = {}
        seen = _resume(study, plan, left, metrics)
        return _run(study, plan, left, seen, metrics)


def _run(study, plan, left, seen, metrics):
    progress = Progress(f"training {plan.name}", plan.most_images, unit="images at most", done=seen)
    clock = saved = time.monotonic()
    for event in plan.trainer.run():
        match event:
            case training.Stepped():
                seen += event.images
                progress.update(seen, f"{event.running} running, {event.waiting} waiting, {len(left)} done")
                due = time.monotonic() - saved >= study.config.save_every_s
                # With nobody running the next members are about to start: there is nothing to save yet.
                if event.running and (due or study.stop.signal is not None):
                    _checkpoint(study, plan, left, seen, metrics.length())
                    study.stop.check()
                    saved = time.monotonic()
            case training.EpochEnded():
                wall = time.monotonic() - clock
                metrics.write(_metrics_row(study.config, plan, event, event.images / max(wall, 1e-9), wall))
            case training.MemberLeft():
                row = {
                    "epochs": event.epochs,
                    "steps": event.steps,
                    "train_accuracy": event.accuracy,
                    "stopped_by": event.status,
                }
                left[event.member] = (training.variables_of(event.state), row)
    progress.finish(f"{seen} images")
    return left


def failed_members(folder) -> list[str]:
    """Names of members whose loss or updates were not finite."""
    if not folder.has("tables/members.csv"):
        return []
    table = folder.read_table("members")
    return list(table.loc[table["stopped_by"] == "failed", "pair"])


def _metrics_start(folder, name, length):
    """Where this stage's lines begin, noted once: a stage killed before its first checkpoint starts anew from there."""
    mark = f"stages/{name}.metrics"
    if not folder.has(mark):
        folder.write_json(mark, length)
    return min(folder.read_json(mark), length) if not _snapshots(folder, name) else length


def _metrics_row(config, plan, event, rate, wall):
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {
        "run": pathlib.Path(config.out).name,
        "model": plan.name,
        "member": event.member,
        "pair": plan.label(event.member),
        "epoch": event.epoch,
        "step": event.step,
        "images": event.images,
        "train_loss": event.loss,
        "train_accuracy": event.accuracy,
        "val_accuracy": None,
        "images_per_s": round(rate, 1),
        "wall_s": round(wall, 2),
        "time_utc": now,
    }


# Checkpoints of a running plan: training/<name>/<number>/{running,left}, the two newest kept.


def _snapshots(folder, name):
    found = (folder.path / "training" / name).glob("[0-9]*")
    return sorted((path for path in found if checkpoints.exists(path)), key=lambda path: int(path.name))


def _checkpoint(study, plan, left, seen, metrics_bytes):
    states, account = plan.trainer.snapshot()
    members = sorted(left)
    tree = {"running": ensemble.stack(states)}
    if members:
        tree["left"] = ensemble.stack([left[member][0] for member in members])
    facts = study.facts(f"training {plan.name}") | {
        "account": account,
        "left": [[member, left[member][1]] for member in members],
        "seen": seen,
        "metrics_bytes": metrics_bytes,
    }
    done = _snapshots(study.folder, plan.name)
    number = int(done[-1].name) + 1 if done else 1
    checkpoints.save(study.folder.file("training", plan.name, str(number)), tree, facts=facts)
    for old in done[:-1]:
        shutil.rmtree(old)


def _resume(study, plan, left, metrics):
    """Load the newest whole checkpoint into the trainer; a damaged one is named and the one before it used."""
    for path in reversed(_snapshots(study.folder, plan.name)):
        try:
            facts = checkpoints.facts(path)
            rows, running = facts["left"], len(facts["account"]["running"])
            like = {"running": _stacked_like(plan.like, running)}
            if rows:
                like["left"] = _stacked_like(training.variables_of(plan.like), len(rows))
            tree = checkpoints.load(path, like, facts=study.facts(f"training {plan.name}"))
        except StorageError as error:
            sys.stderr.write(f"{error} Going back to the checkpoint before it.\n")
            continue
        plan.trainer.resume(ensemble.unstack(tree["running"]), facts["account"])
        for (member, row), variables in zip(rows, ensemble.unstack(tree["left"]) if rows else [], strict=True):
            left[member] = (variables, row)
        metrics.cut(facts["metrics_bytes"])
        return facts["seen"]
    return 0


def _stacked_like(like, members):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), like)


def _clear(study, name):
    shutil.rmtree(study.folder.path / "training" / name, ignore_errors=True)
