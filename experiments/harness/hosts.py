"""The processes that work together on one run, joined by `jax.distributed`, and what they agree on.

Contract: processes talk through the key-value store of JAX's coordination service, on the hosts. No device waits for
another one meanwhile, however long one process works alone.
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from experiments.harness.command import StopRequest
from experiments.harness.kept_programs import keep_no_programs
from experiments.harness.launchers import Place, only_device
from fer_jax.errors import FerError, Preempted, UsageError

_T = TypeVar("_T")
# Python answers signals between two looks into the store.
_LOOK_MS = 1000
# Processes look about so often if one of them was asked to stop.
_AGREE_EVERY_S = 1.0
# The first process keeps the store, and so leaves last where something went wrong, after at most so long.
_LEAVE_S = 5.0
_FAILED, _CALL, _GONE, _ROUND, _STOP = (f"fer_jax/{name}" for name in ("failed", "call", "gone", "round", "stop"))
# How errors of JAX begin to tell that another process is gone.
_LOST = ("Gloo", "NCCL", "UNAVAILABLE", "heartbeat", "CoordinationService", "coordination service", "Connection reset")


class Hosts:
    """This process alone.

    Attributes:
      index: the number of this process.
      count: how many there are.
    """

    index, count = 0, 1

    @property
    def leads(self) -> bool:
        """Whether this process writes what only one may write."""
        return self.index == 0

    def exchange(self, value: Any) -> list:
        """Return the values of all processes, in their order. Each waits for all. Values are JSON-ready."""
        return [value]

    def call(self, work: str) -> None:
        """Tell the other processes to take part in some work, as the first one is about to."""
        del work

    def deals(self, items: Sequence[_T]) -> Sequence[_T]:
        """Return this process's share of items that are dealt out."""
        return items[self.index :: self.count]


ALONE = Hosts()


class OtherFailed(FerError):
    """Another process ended with an error, which it has told: so does this one, with the same exit code."""

    def __init__(self, index: int, code: int, text: str):
        super().__init__(text if code == Preempted.exit_code else f"Process {index} ended: {text}")
        self.exit_code = code


class JoinedHosts(Hosts):
    """This process among those that `join` has joined.

    Args:
      index: the number of this process.
      count: how many there are.
      client: of JAX's coordination service.
    """

    def __init__(self, index: int, count: int, client: Any):
        self.index, self.count, self._client = index, count, client
        self._round = self._called = 0
        self._leaving = threading.Event()

    def exchange(self, value: Any) -> list:
        """Return the values of all processes, in their order, by way of the first one."""
        self._round += 1
        place = f"{_ROUND}/{self._round}"
        self._client.key_value_set(f"{place}/{self.index}", json.dumps(value))
        if self.leads:
            told = [self._get(f"{place}/{index}") for index in range(self.count)]
            self._client.key_value_set(f"{place}/all", f"[{','.join(told)}]")
            # Whoever has said something in this round has read all of the last one.
            self._client.key_value_delete(f"{_ROUND}/{self._round - 1}/")
        return json.loads(self._get(f"{place}/all"))

    def call(self, work: str) -> None:
        """Tell the other processes to take part in some work, as the first one is about to."""
        self._called += 1
        self._client.key_value_set(f"{_CALL}/{self._called}", json.dumps(work))

    def end(self, code: int) -> None:
        """Tell the other processes that there is no more work, and the exit code."""
        self._called += 1
        self._client.key_value_set(f"{_CALL}/{self._called}", json.dumps(code))

    def next_call(self, stop: StopRequest | None = None) -> str | int:
        """Wait for the first process to call, and return the work, or the exit code where there is no more.

        Args:
          stop: what asks this process to stop. The first one, which works alone meanwhile, is told.

        Raises:
          OtherFailed: another process has failed.
        """
        self._called += 1
        return json.loads(self._get(f"{_CALL}/{self._called}", stop))

    def hear_stop(self, stop: StopRequest) -> None:
        """Ask this first process to stop when one that waits for its call was asked to, from now on."""

        def listen():
            while not self._leaving.wait(_LOOK_MS / 1000):
                try:
                    number = int(self._client.key_value_try_get(_STOP))
                except Exception as error:
                    if "NOT_FOUND" in str(error):
                        continue
                    return  # the store is gone, which whoever works will see
                if stop.signal is None:  # a launcher may have asked all
                    stop.ask(number)
                return

        threading.Thread(target=listen, daemon=True).start()

    def leave(self, code: int, error: BaseException | None) -> int:
        """Leave the other processes, and return the exit code. After an error this ends the process.

        Args:
          code: the exit code.
          error: what ended this process alone. The other ones are told. None where all end together.
        """
        self._leaving.set()
        if error is None:
            import jax

            try:
                jax.distributed.shutdown()  # waits for all
            except Exception:  # another process has gone since all agreed on the end: nothing is lost
                _flush()
                os._exit(code)
            return code
        _flush()
        try:
            if not isinstance(error, OtherFailed):
                told = {
                    "index": self.index,
                    "code": code,
                    "text": str(error).splitlines()[0][:300] if str(error) else "",
                }
                with contextlib.suppress(Exception):  # where two fail, the first one is told
                    self._client.key_value_set(_FAILED, json.dumps(told))
            self._client.key_value_set(f"{_GONE}/{self.index}", "")
            deadline = time.monotonic() + _LEAVE_S
            while self.leads and len(self._client.key_value_dir_get(_GONE)) < self.count:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
        finally:
            os._exit(code)  # what JAX does at the end would wait for processes that are gone

    def _get(self, key, stop=None):
        """Wait for a value, and meanwhile tell the first process if this one was asked to stop.

        Raises:
          OtherFailed: another process has failed.
        """
        while True:
            try:
                return self._client.blocking_key_value_get(key, _LOOK_MS)
            except Exception as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
            self.check()
            if stop is not None and stop.signal is not None:
                with contextlib.suppress(Exception):  # told already
                    self._client.key_value_set(_STOP, str(stop.signal))
                stop = None

    def check(self) -> None:
        """Raise `OtherFailed` if another process has told that it failed."""
        try:
            told = json.loads(self._client.key_value_try_get(_FAILED))
        except Exception as error:
            if "NOT_FOUND" in str(error):
                return
            raise
        raise OtherFailed(**told)

    def explained(self, error: BaseException) -> BaseException:
        """Return what is to be told of an error: one of JAX's may be that another process is gone."""
        if isinstance(error, FerError | OSError) or not any(word in str(error) for word in _LOST):
            return error
        try:
            self.check()
        except OtherFailed as other:
            return other
        except Exception:  # the first process, which keeps the store, is gone as well
            pass
        return lost("", str(error))


def _flush():
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()


def lost(which: str, why: str = "") -> Preempted:
    """Return the error of a process that was lost.

    Args:
      which: its number, if known.
      why: what JAX says of it. Its first line is told: one that comes again at every start has another cause.
    """
    who = f"Process {which}" if which else "Another process"
    cause = f" (JAX says: {why.strip().splitlines()[0][:200]})" if why.strip() else ""
    return Preempted(f"{who} was lost; all checkpoints are whole{cause}. Run the same command again to go on.")


def never_came() -> Preempted:
    """Return the error of processes that have waited in vain for all to come."""
    return Preempted("Not all processes came within --wait_s seconds. Run the same command again, all of them.")


def join(place: Place, *, heartbeat_s: int, wait_s: int) -> JoinedHosts:
    """Start `jax.distributed`, before JAX looks for devices. Waits for all processes.

    Args:
      place: of this process.
      heartbeat_s: seconds after which a process that says nothing counts as lost.
      wait_s: seconds to wait for all. After these JAX ends the process, see `supervised`.

    Raises:
      UsageError: JAX cannot find the other processes.
    """
    import jax
    from jax._src import distributed  # its store has no public name

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            place.coordinator,
            place.count if place.coordinator else None,
            place.index if place.coordinator else None,
            only_device(os.environ),
            cluster_detection_method=place.method or ("deactivate" if place.coordinator else None),
            initialization_timeout=wait_s,
            heartbeat_timeout_seconds=heartbeat_s,
        )
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0][:240]
        raise UsageError(
            f"`--distributed`: the processes cannot find each other ({told}); give --coordinator, --num_processes and "
            "--process_id, or --distributed=off for a process alone."
        ) from error
    if jax.process_count() > 1 and jax.default_backend() == "gpu":
        keep_no_programs()
    return JoinedHosts(jax.process_index(), jax.process_count(), distributed.global_state.client)


class Turns:
    """The steps after which a checkpoint is written, the same in all processes.

    Several processes agree on them after a number of steps that takes about a second, the same in all.

    Args:
      hosts: the processes.
      stop: what asks this one to stop.
      every_s: seconds between two checkpoints, by the clock of the first process.
    """

    def __init__(self, hosts: Hosts, stop: StopRequest, every_s: float):
        self._hosts, self._stop, self._every_s = hosts, stop, every_s
        self._saved = self._looked = time.monotonic()
        self._steps = self._left = 1
        self._stopping = False

    def save_now(self) -> bool:
        """Tell after each step if a checkpoint is due, or one of the processes was asked to stop."""
        if self._hosts.count == 1:
            return self._stop.signal is not None or time.monotonic() - self._saved >= self._every_s
        self._left -= 1
        if self._left:
            return False
        now = time.monotonic()
        own = [self._stop.signal, now - self._saved >= self._every_s, now - self._looked]
        told = self._hosts.exchange(own)
        self._stopping = any(signal is not None for signal, _, _ in told)
        _, due, seconds = told[0]
        wanted = self._steps * min(_AGREE_EVERY_S, self._every_s) / max(seconds, 1e-6)
        self._steps = self._left = max(1, min(2 * self._steps, int(wanted)))
        self._looked = time.monotonic()
        return due or self._stopping

    def saved(self) -> None:
        """Start the seconds until the next one.

        Raises:
          Preempted: this process, or one of several, was asked to stop.
        """
        self._saved = time.monotonic()
        if self._hosts.count == 1 or self._stopping:
            self._stop.check(asked=self._stopping)
