"""The checkpoints of a queue of members under way: an account of the queue, and the state of each member by itself.

Contract: `training/NAME/` holds accounts under numbers, the two newest kept, `running/MEMBER-STEP` and
`finished/MEMBER`. A member's state is written by the process that holds it, a finished one once, and the account by the
first process when all are there. So an account stands for a whole checkpoint, which any number of processes and devices
reads. Checkpoints of before held all states in one stack beside the account and are read all the same.
"""

import contextlib
import pathlib
import shutil
import sys
from typing import Any

import jax

from experiments.study.run import Run
from fer_jax import checkpoints, ensemble, training
from fer_jax.errors import Damaged


class Resumption:
    """The checkpoints of one queue.

    Args:
      run: the run.
      name: of the queue: "ensemble", "multiclass" or "finetuned".
      trainer: of its members.
      like: shapes of one member's training state.
    """

    def __init__(self, run: Run, name: str, trainer: training.Trainer, like: training.MemberState):
        self._run, self._trainer, self._like = run, trainer, like
        self._kind, self._place = f"training {name}", pathlib.PurePath("training", name)
        self._written: set[str] = set()  # by this process, or read by it and found whole

    def save(self, left: dict[int, tuple[Any, dict]], facts: dict) -> None:
        """Write a checkpoint.

        Args:
          left: member -> (its variables, a row for its table), of all members that have left. Variables are None where
            another process holds them.
          facts: what else the account says, JSON-ready.

        Raises:
          StorageError: the disk is full or cannot be written.
        """
        account = self._trainer.snapshot()
        for cursor in account["running"]:
            if _running(cursor) not in self._written:
                self._write(_running(cursor), self._trainer.state_of(cursor["member"]))
        self.keep(left)
        self._run.hosts.exchange("written")
        if self._run.hosts.leads:
            self._write_account(account, left, facts)
        self._run.hosts.exchange("kept")  # before this no process may say that all is saved

    def _write_account(self, account, left, facts):
        done = self._accounts()
        number = int(done[-1].name) + 1 if done else 1
        said = {"account": account, "left": [[member, left[member][1]] for member in sorted(left)], "apart": True}
        checkpoints.save(
            self._run.folder.file(*self._place.parts, str(number)), {}, facts=self._run.facts(self._kind) | said | facts
        )
        for old in done[:-1]:
            shutil.rmtree(old)
        self._clean()

    def keep(self, left: dict[int, tuple[Any, dict]]) -> None:
        """Write the finished members that this process holds and that are not written yet."""
        for member, (variables, _) in left.items():
            self._write(_finished(member), variables)

    def load_finished(self, member: int) -> dict:
        """Read the variables of a finished member.

        Raises:
          StorageError: they are damaged, or not there.
        """
        return self._read(_finished(member), training.variables_of(self._like))

    def resume(self) -> tuple[dict[int, tuple[Any, dict]], dict, list[int]] | None:
        """Load the newest whole checkpoint into the trainer. A damaged one is named and the one before it used.

        A finished member whose file is damaged begins anew. The others stay finished.

        Returns:
          The members that have left, as `save` took them, the facts, and the members that begin anew. None where no
          checkpoint is whole.

        Raises:
          StorageError: one that cannot be read for another reason: to go back, or to start anew, would lose what it
            holds.
        """
        hosts = self._run.hosts
        there = hosts.exchange([path.name for path in self._accounts()])[0]
        for number in reversed(there):
            opened, errors = self._attempt(self._account, number)
            checked, more = self._attempt(self._checked, opened) if not errors else (None, errors)
            if not more:
                return self._resumed(opened, *checked)
            self._tell(f"{more[0]} Going back to the checkpoint before it.")
        if there or any(self._folder.glob("[0-9]*")):
            self._tell(f"No checkpoint of {self._place.name} is whole: its training starts anew.")
        return None

    def _attempt(self, work, argument):
        """Try the same in all processes. Returns this one's result, and what any of them found damaged."""
        result, error = None, None
        try:
            result = work(argument)
        except Damaged as damage:
            error = str(damage)
        return result, [each for each in self._run.hosts.exchange(error) if each]

    def _account(self, number) -> dict:
        """Read an account. States in a stack beside it are written apart by the first process."""
        name = str(self._place / number)
        facts = checkpoints.facts(self._run.folder.path / name)
        rows, running = facts["left"], facts["account"]["running"]
        if facts.get("apart"):
            self._run.load(name, {}, self._kind)
        elif self._run.hosts.leads:
            like = {"running": _stacked_like(self._like, len(running))}
            if rows:
                like["left"] = _stacked_like(training.variables_of(self._like), len(rows))
            tree = self._run.load(name, like, self._kind)
            for cursor, state in zip(running, ensemble.unstack(tree["running"]), strict=True):
                self._write(_running(cursor), state)
            for (member, _), variables in zip(rows, ensemble.unstack(tree["left"]) if rows else [], strict=True):
                self._write(_finished(member), variables)
        return facts

    def _checked(self, facts):
        """Read this process's share of the states: those of finished and of running members, and the damaged ones."""
        deals, finished, lost = self._run.hosts.deals, {}, []
        for member in deals([member for member, _ in facts["left"]]):
            try:
                finished[member] = self.load_finished(member)
            except Damaged as error:
                sys.stderr.write(f"{error} That member begins anew.\n")
                lost.append(member)
        states = {}
        for cursor in deals(facts["account"]["running"]):
            state = self._read(_running(cursor), self._like)
            if self._run.hosts.count == 1:  # of several processes another one may train this member
                states[cursor["member"]] = state
        return finished, states, lost

    def _resumed(self, facts, finished, states, lost):
        """Go on from an account whose states are checked."""
        lost = sorted(member for each in self._run.hosts.exchange(lost) for member in each)
        account = facts["account"]
        names = {cursor["member"]: _running(cursor) for cursor in account["running"]}
        self._written |= {*names.values(), *(_finished(member) for member, _ in facts["left"] if member not in lost)}

        def state_of(member):
            return states.pop(member) if member in states else self._read(names[member], self._like)

        self._trainer.resume(account | {"waiting": [*lost, *account["waiting"]]}, state_of)
        left = {member: (finished.get(member), row) for member, row in facts["left"] if member not in lost}
        return left, facts, lost

    @property
    def _folder(self) -> pathlib.Path:
        return self._run.folder.path / self._place

    def _accounts(self) -> list[pathlib.Path]:
        found = (path for path in self._folder.glob("[0-9]*") if checkpoints.exists(path))
        return sorted(found, key=lambda path: int(path.name))

    def _write(self, name, tree):
        """Write what this process holds (None: another one does), unless it lies there already."""
        if tree is not None and name not in self._written:
            checkpoints.save(self._run.folder.path / self._place / name, tree, facts=self._run.facts(self._kind))
            self._written.add(name)

    def _read(self, name, like):
        tree = self._run.load(str(self._place / name), like, self._kind)
        self._written.add(name)
        return tree

    def _clean(self):
        """Remove states that no checkpoint needs, and what a killed process has left."""
        needed = set()
        for path in self._accounts():
            with contextlib.suppress(Damaged):
                needed |= {_running(cursor) for cursor in checkpoints.facts(path)["account"]["running"]}
        for path in (self._folder / "running").glob("*"):
            if f"running/{path.name}" not in needed:
                shutil.rmtree(path)

    def _tell(self, text):
        if self._run.hosts.leads:
            sys.stderr.write(f"{text}\n")


def _running(cursor) -> str:
    return f"running/{cursor['member']}-{cursor['step']}"


def _finished(member) -> str:
    return f"finished/{member}"


def _stacked_like(like, members):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), like)
