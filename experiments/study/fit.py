"""A queue of members run to its end: progress, metrics, checkpoints on the way, and going on after a stop."""

import contextlib
import dataclasses
import datetime
import pathlib
import shutil
import sys
import time
from collections.abc import Callable

import jax
import pandas as pd

from experiments.harness.metrics_log import LOG, MetricsLog, read_rows
from experiments.harness.progress import Progress
from experiments.study.run import Run
from fer_jax import checkpoints, ensemble, placement, training
from fer_jax.errors import Damaged

# Of a table without rows, its log being lost.
_COLUMNS = ("model", "member", "pair", "epoch", "step", "images", "train_loss", "train_accuracy")


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


def fit(run: Run, plan: Plan) -> dict[int, tuple[dict, dict]]:
    """Run a plan to its end, going on from the last checkpoint there is.

    Args:
      run: the run.
      plan: what to train.

    Returns:
      member -> (its variables, a row for the members table: epochs, steps, train_accuracy, stopped_by).
    """
    with contextlib.closing(MetricsLog(run.folder.file(LOG), plan.name)) as metrics:
        left: dict[int, tuple[dict, dict]] = {}
        seen = _resume(run, plan, left, metrics)
        if not seen:
            metrics.keep(0)
        left = _run(run, plan, left, seen, metrics)
    write_metrics_table(run.folder, plan.name)
    return left


def _run(run, plan, left, seen, metrics):
    progress = Progress(f"training {plan.name}", plan.most_images, unit="images at most", done=seen)
    saved = time.monotonic()
    rates = Rates()
    for event in plan.trainer.run():
        match event:
            case training.MemberStarted():
                rates.start(event.member, event.images)
            case training.Stepped():
                seen += event.images
                progress.update(seen, f"{event.running} running, {event.waiting} waiting, {len(left)} done")
                due = time.monotonic() - saved >= run.config.save_every_s
                # With nobody running the next members are about to start: there is nothing to save yet.
                if event.running and (due or run.stop.signal is not None):
                    metrics.flush()
                    _checkpoint(run, plan, left, seen, metrics.rows)
                    run.stop.check()
                    saved = time.monotonic()
            case training.EpochEnded():
                metrics.write(_metrics_row(run.config, plan, event, *rates.end_epoch(event.member, event.images)))
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


class Rates:
    """The pace of each member since it was last looked at, whenever it began and however often it was stopped.

    Args:
      clock: seconds, ever growing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._seen: dict[int, tuple[int, float]] = {}

    def start(self, member: int, images: int) -> None:
        """Start a member's clock here, or go on with it after so many images."""
        self._seen[member] = images, self._clock()

    def end_epoch(self, member: int, images: int) -> tuple[float, float]:
        """Return images a second and seconds since the member began or ended its last epoch here."""
        before, then = self._seen[member]
        self._seen[member] = images, self._clock()
        seconds = max(self._seen[member][1] - then, 1e-9)
        return (images - before) / seconds, seconds


def write_metrics_table(folder, name):
    """Write the epochs of one plan's members as a table. They stand in `metrics.jsonl`, too.

    Columns:
      run: name of the run folder.
      model: "ensemble", "multiclass" or "finetuned".
      member: its number, 0 for the multiclass network.
      pair: the member's two expressions.
      epoch, step, images: how far the member was when the epoch ended.
      train_loss: mean over the epoch's batches.
      train_accuracy: over the epoch's augmented pictures, 0 to 1.
      images_per_s: of this member in this epoch, or since it went on within it.
      wall_s: seconds of this epoch, or since the member went on within it.
      time_utc: when the epoch ended.
    """
    rows = [row for row in read_rows(folder.path / LOG) if row["model"] == name]
    folder.write_table(f"metrics_{name}", pd.DataFrame(rows, columns=None if rows else list(_COLUMNS)))


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
        "images_per_s": round(rate, 1),
        "wall_s": round(wall, 2),
        "time_utc": now,
    }


# Checkpoints of a running plan: training/<name>/<number>/{running,left}, the two newest kept.


def _snapshots(folder, name):
    found = (folder.path / "training" / name).glob("[0-9]*")
    return sorted((path for path in found if checkpoints.exists(path)), key=lambda path: int(path.name))


def _checkpoint(run, plan, left, seen, metrics_rows):
    states, account = plan.trainer.snapshot()
    members = sorted(left)
    tree = {"running": placement.host_stack(states)}
    if members:
        tree["left"] = placement.host_stack([left[member][0] for member in members])
    facts = run.facts(f"training {plan.name}") | {
        "account": account,
        "left": [[member, left[member][1]] for member in members],
        "seen": seen,
        "metrics_rows": metrics_rows,
    }
    done = _snapshots(run.folder, plan.name)
    number = int(done[-1].name) + 1 if done else 1
    checkpoints.save(run.folder.file("training", plan.name, str(number)), tree, facts=facts)
    for old in done[:-1]:
        shutil.rmtree(old)


def _resume(run, plan, left, metrics):
    """Load the newest whole checkpoint into the trainer. A damaged one is named and the one before it used.

    Raises:
      StorageError: one that cannot be read for another reason: to go back, or to start anew, would lose what it holds.
    """
    there = _snapshots(run.folder, plan.name)
    for path in reversed(there):
        try:
            facts = checkpoints.facts(path)
            rows, running = facts["left"], len(facts["account"]["running"])
            like = {"running": _stacked_like(plan.like, running)}
            if rows:
                like["left"] = _stacked_like(training.variables_of(plan.like), len(rows))
            tree = run.load(str(path.relative_to(run.folder.path)), like, f"training {plan.name}")
        except Damaged as error:
            sys.stderr.write(f"{error} Going back to the checkpoint before it.\n")
            continue
        plan.trainer.resume(ensemble.unstack(tree["running"]), facts["account"])
        for (member, row), variables in zip(rows, ensemble.unstack(tree["left"]) if rows else [], strict=True):
            left[member] = (variables, row)
        rows = facts.get("metrics_rows")
        metrics.keep(metrics.rows_within(facts["metrics_bytes"]) if rows is None else rows)
        return facts["seen"]
    if there or any((run.folder.path / "training" / plan.name).glob("[0-9]*")):
        sys.stderr.write(f"No checkpoint of {plan.name} is whole: its training starts anew.\n")
    return 0


def _stacked_like(like, members):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), like)


def clear(run: Run, name: str) -> None:
    """Forget the checkpoints of a plan whose result is saved."""
    shutil.rmtree(run.folder.path / "training" / name, ignore_errors=True)
