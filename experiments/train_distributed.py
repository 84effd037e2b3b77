"""Train the binary networks by several processes, on one host or on many, and join what they trained (paper §5.1).

    srun python -m experiments.train_distributed --out=runs/net --preset=paper ...              # SLURM
    mpirun python -m experiments.train_distributed --out=runs/net --preset=paper ...            # Open MPI, MPICH
    python -m experiments.train_distributed --num_processes=4 --out=runs/net ...                # Kubernetes indexed job
    python -m experiments.train_distributed --num_processes=2 --process_id=0 --out=runs/net ... # by hand, each one

Process i of n takes members i, i + n, ... and trains them on its devices into OUT.parts/. The first one joins the
parts into OUT, bit for bit what experiments.train_ensemble leaves on the same kind of machine, on a CPU in as many
threads (BUILD.md). They share one file system and nothing else: members do not talk, so a process that is lost costs
the others nothing. Start the lost one again (or all of them, with as many processes as before): each goes on from its
own checkpoint, and the first one waits for all.
"""

import contextlib
import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence

from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.harness.command import option
from experiments.harness.launchers import which_process
from fer_jax.errors import UsageError, check_range
from fer_jax.expressions import EXPRESSIONS, parse_categories

STAGES = ("data", "design", "members")
_LOOK_EVERY_S, _TELL_EVERY_S = 0.5, 60.0


@dataclasses.dataclass(frozen=True)
class DistributedConfig(StudyConfig):
    """A study, and which of how many processes this one is. None means: as the launcher says."""

    num_processes: int | None = option(None, "How many processes there are.", unset="as the launcher says")
    process_id: int | None = option(None, "Which of them this one is, from 0.", unset="as the launcher says")


def main(config: DistributedConfig) -> int:
    """Train this process's members. The first process joins all parts. Print the run folder and return an exit code."""
    run = _whole_run(config)
    index, count = which_process(config.process_id, config.num_processes, os.environ)
    if run.categories is not None or run.dataset == "procedural_faces":  # other sets say it themselves, later
        known = EXPRESSIONS if run.categories is None else parse_categories(run.categories)
        check_range("--num_processes", count, 1, known.num_pairs)
    from experiments import merge_members
    from experiments.study.run_folder import FinishedFiles
    from experiments.study.stages import run_stages

    sys.stderr.write(f"process {index} of {count}\n")
    whole = FinishedFiles(run.out)
    parts = [FinishedFiles(f"{run.out}.parts/{other}-of-{count}") for other in range(count)]
    if not whole.finished("members"):
        mine = f"{index}/{count}" if count > 1 else "all"
        run_stages(dataclasses.replace(run, out=str(parts[index].path), members=mine), STAGES)
        _wait_for(parts if index == 0 else [whole])
    code = 0
    if index == 0 and not whole.finished("members"):
        with contextlib.redirect_stdout(sys.stderr):  # it would print the folder as well
            code = merge_members.main(
                merge_members.MergeConfig(runs=",".join(str(part.path) for part in parts), out=run.out)
            )
        shutil.rmtree(parts[0].path.parent)
    print(run.out)
    return code


def _whole_run(config) -> StudyConfig:
    """Return the configuration of the run itself, which is that of a run by one process."""
    names = [field.name for field in dataclasses.fields(StudyConfig)]
    run = resolve(StudyConfig(**{name: getattr(config, name) for name in names}))
    for name, wanted in (("members", "all"), ("stages", "all"), ("overwrite", False), ("minutes", 0.0)):
        if getattr(run, name) != wanted:
            raise UsageError(f"`--{name}`: processes share out all members themselves and alike; leave it out.")
    return run


def _wait_for(runs: Sequence) -> None:
    """Wait until other processes have trained their members, and name those that are awaited now and then."""
    stop: Callable[[], None] = command.StopRequest().install().check
    told = time.monotonic()
    while awaited := [run.path.name for run in runs if not run.finished("members")]:
        stop()
        if time.monotonic() - told >= _TELL_EVERY_S:
            sys.stderr.write(f"waiting for {', '.join(awaited)}\n")
            told = time.monotonic()
        time.sleep(_LOOK_EVERY_S)


if __name__ == "__main__":
    sys.exit(command.run(main, DistributedConfig, usage=__doc__))
