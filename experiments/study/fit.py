"""A queue of members run to its end: progress, metrics, checkpoints on the way, and going on after a stop."""

import contextlib
import dataclasses
import datetime
import pathlib
import time
from collections.abc import Callable

import pandas as pd

from experiments.harness.hosts import Turns
from experiments.harness.metrics_log import LOG, MetricsLog, NoLog, read_rows
from experiments.harness.progress import Progress
from experiments.study.resumption import Resumption
from experiments.study.run import Run
from fer_jax import training

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

    Where several processes train together each of them calls this. They take the same steps and the same decisions.

    Args:
      run: the run.
      plan: what to train.

    Returns:
      member -> (its variables, a row for the members table: epochs, steps, train_accuracy, stopped_by). Of several
      processes only the first has all variables. The others have None for members that they do not hold.
    """
    log = MetricsLog(run.folder.path / LOG, plan.name) if run.hosts.leads else NoLog()
    saves = Resumption(run, plan.name, plan.trainer, plan.like)
    with contextlib.closing(log) as metrics:
        resumed = saves.resume()
        if resumed is None:
            left, seen = {}, 0
            metrics.keep(0)
        else:
            left, facts, lost = resumed
            seen, rows = facts["seen"], facts.get("metrics_rows")
            metrics.keep(metrics.rows_within(facts["metrics_bytes"]) if rows is None else rows, without=lost)
        _run(run, plan, saves, left, seen, metrics)
    if run.hosts.count > 1:
        saves.keep(left)
        run.hosts.exchange("trained")
    if run.hosts.leads:
        left = {member: (saves.load_finished(member) if of is None else of, row) for member, (of, row) in left.items()}
        write_metrics_table(run.folder, plan.name)
    return left


def _run(run, plan, saves, left, seen, metrics):
    shown = {"unit": "images at most", "done": seen, "quiet": not run.hosts.leads}
    progress = Progress(f"training {plan.name}", plan.most_images, **shown)
    turns = Turns(run.hosts, run.stop, run.config.save_every_s)
    rates = Rates()
    for event in plan.trainer.run():
        match event:
            case training.MemberStarted():
                rates.start(event.member, event.images)
            case training.Stepped():
                seen += event.images
                progress.update(seen, f"{event.running} running, {event.waiting} waiting, {len(left)} done")
                # With nobody running the next members are about to start: there is nothing to save yet.
                if event.running and turns.save_now():
                    metrics.flush()
                    saves.save(left, {"seen": seen, "metrics_rows": metrics.rows})
                    turns.saved()
            case training.EpochEnded():
                metrics.write(_metrics_row(run.config, plan, event, *rates.end_epoch(event.member, event.images)))
            case training.MemberLeft():
                row = {
                    "epochs": event.epochs,
                    "steps": event.steps,
                    "train_accuracy": event.accuracy,
                    "stopped_by": event.status,
                }
                held = None if event.state is None else training.variables_of(event.state)
                left[event.member] = (held, row)
    progress.finish(f"{seen} images")


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
