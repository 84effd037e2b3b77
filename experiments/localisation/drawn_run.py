"""The run whose members are compared with a known truth: made of the defaults, or opened and checked."""

import pathlib
import signal
import sys

from experiments import config
from experiments.study.run import Run, open_to_compute
from experiments.study.stages import run_stages
from experiments.study.train import failed_members
from fer_jax.errors import DataError, UsageError


def make(path: str) -> int:
    """Train the members of a run of the defaults, unless that has been done. Returns an exit code."""
    resolved = config.resolve(config.StudyConfig(out=path))
    if not (pathlib.Path(path) / "stages" / "members.json").exists():
        sys.stderr.write(f"no --run given: drawing faces and training 28 members in {path}.\n")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return run_stages(resolved, ("data", "design", "members"))
    finally:  # training stops politely. What follows keeps nothing, so it may stop at once
        for number, handler in handlers.items():
            signal.signal(number, handler)


def opened(path: str) -> Run:
    """Open a run of drawn faces, and refuse one whose members are not all trained."""
    run = open_to_compute(path)
    if run.config.dataset != "procedural_faces":
        raise UsageError(
            f"`--run`: wanted a run of drawn faces, got {path}, which is of {run.config.dataset}: photographs have "
            "no known truth."
        )
    if run.config.members != "all" or not run.folder.finished("members"):
        raise UsageError(
            f"`--run`: {path} does not hold all 28 trained members (stage members); finish or merge it first."
        )
    failed = failed_members(run.folder)
    if failed:
        raise DataError(f"`--run`: {path} has members whose training failed, {', '.join(failed)}; train it anew.")
    return run
