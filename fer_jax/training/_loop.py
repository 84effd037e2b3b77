"""The host's side of training: a queue of members, slots to run them in, and events for whoever writes things down.

Contract: everything a member meets (its data, its augmentation, its first weights) is a pure function of the seed,
the member and its own step, so its numbers do not depend on the slots, the queue, or an interruption. Epoch k of a
member with n images ends at step ceil(k n / B). Its counters are read only then.

Several processes (`jax.distributed`) run the same loop with the same jobs. Each keeps the whole queue and makes batches
and states of the slots on its own devices only. As all read the same counters, all decide alike.
"""

import concurrent.futures
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import jax

from fer_jax.errors import UsageError, check_count
from fer_jax.read_ahead import ReadAhead
from fer_jax.training._calls import joined
from fer_jax.training._slots import make_slots
from fer_jax.training._step import MemberState


@dataclasses.dataclass(frozen=True)
class Job:
    """One member to train: its number, and how many images make its epoch."""

    member: int
    num_images: int


@dataclasses.dataclass(frozen=True)
class StopRule:
    """The conditions on which a member leaves.

    Attributes:
      target: training accuracy at which it leaves (paper §5.1: 0.9), or None to run all its epochs.
      max_epochs: at most this many epochs, or None where `max_images` is the limit. Paper §5.1: 150, then 30 for the
        second ensemble and 40 for the multiclass model.
      max_images: at most this many images seen, whole epochs, at least one (ours, to bound the time on a CPU).

    Raises:
      UsageError: a value out of range, or no limit at all.
    """

    target: float | None = 0.9
    max_epochs: int | None = 150
    max_images: int | None = None

    def __post_init__(self):
        if self.target is not None and not 0 < self.target <= 1:
            raise UsageError(f"`target`: wanted a training accuracy in (0, 1] or None, got {self.target}.")
        for name in ("max_epochs", "max_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"`{name}`: wanted at least 1, or None for no limit, got {value}.")
        if self.max_epochs is None and self.max_images is None:
            raise UsageError("`max_epochs`: wanted a limit here or in `max_images`, got None for both.")

    def epochs_for(self, num_images: int) -> int:
        """Return the last epoch of a member whose epoch has `num_images` images."""
        return min(self._limits(num_images).values())

    def limit_for(self, num_images: int) -> str:
        """Return the limit that sets this last epoch, "max_epochs" or "max_images"."""
        limits = self._limits(num_images)
        return min(limits, key=lambda name: limits[name])

    def _limits(self, num_images):
        limits = {} if self.max_epochs is None else {"max_epochs": self.max_epochs}
        if self.max_images is not None:
            limits["max_images"] = max(1, self.max_images // num_images)
        return limits

    def reached(self, correct: int, seen: int) -> bool:
        """Tell if correct / seen is at least the target, compared in whole numbers."""
        if self.target is None:
            return False
        share = Fraction(str(self.target))
        return share.denominator * correct >= share.numerator * seen


@dataclasses.dataclass(frozen=True)
class Stepped:
    """Every running member took a step, or several: images seen, members still running after it, members waiting."""

    images: int
    running: int
    waiting: int


@dataclasses.dataclass(frozen=True)
class MemberStarted:
    """One member is about to step in a slot: images it has seen already, 0 unless it goes on from a snapshot."""

    member: int
    images: int


@dataclasses.dataclass(frozen=True)
class EpochEnded:
    """One member ended an epoch. Accuracy and loss are over the images since its last epoch's end."""

    member: int
    epoch: int
    step: int
    images: int
    loss: float
    accuracy: float


@dataclasses.dataclass(frozen=True)
class MemberLeft:
    """One member is done: status is "target", "max_epochs", "max_images" or "failed".

    Its state may lie on the host. It is None where another process holds it.
    """

    member: int
    status: str
    state: MemberState | None
    epochs: int
    steps: int
    accuracy: float


@dataclasses.dataclass
class _Cursor:
    """The place of a running member. Plain numbers, so that a snapshot is one JSON object."""

    member: int
    step: int = 0
    epoch: int = 0
    correct: int = 0
    seen: int = 0
    loss: float = 0.0
    loss_step: int = 0
    accuracy: float = float("nan")


class Trainer:
    """Runs members through slots, longest first, yielding events.

    Args:
      step: one member's step function, see `make_step`.
      jobs: the members to train.
      start: member -> its state before the first step.
      batch_of: (member, step) -> a dict of numpy arrays with a leading `batch_size`.
      key: typed random key. Member i uses `fold_in(key, i)`.
      batch_size: images a step, B.
      stop: when a member leaves.
      width: slots, all members at once by default.
      over_members: how slots run, see `make_slots`.
      over_devices: how slots are split over devices, see `make_slots`.
      devices: how many devices to use.
      data_devices: of them, how many share each member's batch.
      at_once: members of a loop that step at the same time, see `make_slots`.
      meet: waits for all processes, where there are several, see `make_slots`.
      pictures: on the device, see `make_slots`. Batches then have `row`, int32 (B,), in their place.
      steps_per_call: with them, steps that one program takes, fewer before an epoch's end.
      ahead: batches of each member that a thread makes before they are asked for, where they take time to read.

    Raises:
      UsageError: a member whose epoch is smaller than one batch, or several steps a call without pictures.
    """

    def __init__(
        self,
        step: Callable,
        jobs: Sequence[Job],
        *,
        start: Callable[[int], MemberState],
        batch_of: Callable[[int, int], dict],
        key: jax.Array,
        batch_size: int,
        stop: StopRule,
        width: int | None = None,
        over_members: str | None = None,
        over_devices: str = "none",
        devices: int | None = None,
        data_devices: int = 1,
        at_once: int | None = None,
        meet: Callable[[], object] | None = None,
        pictures: Mapping[str, jax.Array] | None = None,
        steps_per_call: int = 1,
        ahead: int = 0,
    ):
        if batch_size % data_devices:
            raise UsageError(f"`data_devices`: wanted a divisor of the batch size {batch_size}, got {data_devices}.")
        for job in jobs:
            if job.num_images < batch_size:
                raise UsageError(
                    f"`batch_size`: member {job.member} has {job.num_images} training images, fewer than one batch of "
                    f"{batch_size}; lower the batch size or add images."
                )
        check_count("steps_per_call", steps_per_call, 1, what="a number of steps")
        if pictures is None and steps_per_call > 1:
            raise UsageError(f"`steps_per_call`: wanted 1 without `pictures` on the device, got {steps_per_call}.")
        self._ahead, self._reading = ahead, dict[int, ReadAhead]()
        self._pool = concurrent.futures.ThreadPoolExecutor(1) if ahead else None
        self._columns = None if pictures is None else steps_per_call
        self._start, self._batch_of, self._key = start, batch_of, key
        self._batch_size, self._stop = batch_size, stop
        self._sizes = {job.member: job.num_images for job in jobs}
        self._waiting = [job.member for job in sorted(jobs, key=lambda job: (-job.num_images, job.member))]
        self._width = max(1, min(width or len(jobs), len(jobs)))
        self._slots = make_slots(
            step,
            self._width,
            over_members=over_members,
            over_devices=over_devices,
            devices=devices,
            data_devices=data_devices,
            at_once=at_once,
            meet=meet,
            pictures=pictures,
        )
        self._state_like: MemberState | None = None
        self._batch_like: dict | None = None
        self._cursors: list[_Cursor | None] = [None] * self._width
        # Members that ran before an interruption and found no slot after it.
        self._begun: dict[int, _Cursor] = {}
        self._resumed: Callable[[int], MemberState] = start

    def run(self) -> Iterator[MemberStarted | Stepped | EpochEnded | MemberLeft]:
        """Train until every member has left, telling what happens as it happens."""
        keys = [self._key] * self._width
        loaded: list[int | None] = [None] * self._width
        while True:
            self._refill()
            running = [cursor for cursor in self._cursors if cursor is not None]
            if not running:
                self._resumed = self._start  # whoever reads checkpoints may hold this trainer
                return
            for slot, cursor in enumerate(self._cursors):
                if cursor is not None and loaded[slot] != cursor.member:
                    keys[slot], loaded[slot] = jax.random.fold_in(self._key, cursor.member), cursor.member
                    yield MemberStarted(cursor.member, cursor.step * self._batch_size)
            steps = [0 if cursor is None else self._steps(cursor) for cursor in self._cursors]
            batches = [self._batch(slot, c, steps[slot]) if c else None for slot, c in enumerate(self._cursors)]
            self._slots.step(batches, keys)
            for slot, cursor in enumerate(self._cursors):
                if cursor is not None:
                    cursor.step += steps[slot]
                    if cursor.step == self._epoch_end(cursor):
                        yield from self._end_epoch(slot, cursor)
            still = sum(cursor is not None for cursor in self._cursors)
            yield Stepped(self._batch_size * sum(steps), still, len(self._waiting))

    def snapshot(self) -> dict:
        """Return an account of the queue, JSON-ready. With the states of its running members it is all to go on from.

        Its `running` are the members begun, with their `member` and `step`. `state_of` gives their states.
        """
        slots = (cursor for cursor in self._cursors if cursor is not None)
        cursors: list[dict[str, Any]] = [dataclasses.asdict(cursor) for cursor in (*slots, *self._begun.values())]
        for cursor in cursors:  # JSON has no NaN
            cursor["accuracy"] = None if math.isnan(cursor["accuracy"]) else cursor["accuracy"]
        waiting = [member for member in self._waiting if member not in self._begun]
        return {"running": cursors, "waiting": waiting}

    def state_of(self, member: int) -> MemberState | None:
        """Return the state of a member begun, as it is now. None where another process holds it."""
        if member in self._begun:
            return self._resumed(member)
        return self._slots.take(next(slot for slot, cursor in enumerate(self._cursors) if _is_of(cursor, member)))

    def resume(self, account: dict, state_of: Callable[[int], MemberState]) -> None:
        """Go on from a snapshot, before `run`. Those that find no slot go first when one is free.

        Args:
          account: of `snapshot`.
          state_of: member -> its state, asked for when the member comes into a slot of this process.
        """
        for saved in account["running"]:
            accuracy = float("nan") if saved["accuracy"] is None else saved["accuracy"]
            cursor = _Cursor(**(saved | {"accuracy": accuracy}))
            self._begun[cursor.member] = cursor
        self._resumed = state_of
        self._waiting = [*self._begun, *account["waiting"]]

    def _refill(self):
        for slot, cursor in enumerate(self._cursors):
            if cursor is None and self._waiting:
                member = self._waiting.pop(0)
                begun = self._begun.pop(member, None)
                self._slots.load(slot, self._state(slot, member, begun))
                self._cursors[slot] = begun or _Cursor(member)

    def _state(self, slot, member, begun):
        """Return the state that a member begins or goes on with, its shapes alone where another process holds it."""
        if self._slots.holds(slot):
            return self._resumed(member) if begun else self._start(member)
        if self._state_like is None:
            self._state_like = _shapes(self._start(member))
        return self._state_like

    def _epoch_end(self, cursor):
        return math.ceil((cursor.epoch + 1) * self._sizes[cursor.member] / self._batch_size)

    def _steps(self, cursor):
        return min(self._columns or 1, self._epoch_end(cursor) - cursor.step)

    def _batch(self, slot, cursor, steps):
        """Return the batch of a slot's next step or steps, its shapes alone where another process holds the slot."""
        if not self._slots.holds(slot):
            if self._batch_like is None:
                self._batch_like = _shapes(self._made(cursor, steps, self._batch_of))
            return self._batch_like
        return self._made(cursor, steps, self._read)

    def _read(self, member, step):
        """Return one step's batch, and begin to make those after it, none beyond the member's last."""
        if self._pool is None:
            return self._batch_of(member, step)
        if member not in self._reading:
            self._reading[member] = ReadAhead(functools.partial(self._batch_of, member), self._ahead, self._pool)
        size = self._sizes[member]
        return self._reading[member].get(step, math.ceil(self._stop.epochs_for(size) * size / self._batch_size))

    def _made(self, cursor, steps, read):
        batches = [read(cursor.member, cursor.step + step) for step in range(steps)]
        return batches[0] if self._columns is None else joined(batches, self._columns)

    def _end_epoch(self, slot, cursor):
        correct, seen, loss, bad = self._slots.counters(slot)
        new_correct, new_seen = correct - cursor.correct, seen - cursor.seen
        steps = cursor.step - cursor.loss_step
        cursor.accuracy = new_correct / new_seen if new_seen else float("nan")
        mean_loss = (loss - cursor.loss) / steps
        cursor.epoch += 1
        cursor.correct, cursor.seen, cursor.loss, cursor.loss_step = correct, seen, loss, cursor.step
        yield EpochEnded(cursor.member, cursor.epoch, cursor.step, seen, mean_loss, cursor.accuracy)
        if bad:
            status = "failed"
        elif self._stop.reached(new_correct, new_seen):
            status = "target"
        elif cursor.epoch >= self._stop.epochs_for(self._sizes[cursor.member]):
            status = self._stop.limit_for(self._sizes[cursor.member])
        else:
            return
        self._cursors[slot] = None
        if cursor.member in self._reading:
            self._reading.pop(cursor.member).drop()
        state = self._slots.take(slot)
        yield MemberLeft(cursor.member, status, state, cursor.epoch, cursor.step, cursor.accuracy)


def _is_of(cursor, member) -> bool:
    return cursor is not None and cursor.member == member


def _shapes(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
