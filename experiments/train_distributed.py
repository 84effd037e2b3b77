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
from collections.abc import Callable, Mapping, Sequence

from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.harness.command import option
from fer_jax.errors import UsageError, check_count, check_range
from fer_jax.expressions import EXPRESSIONS, parse_categories

STAGES = ("data", "design", "members")
# What launchers tell a process: its number, and how many there are (Kubernetes does not say). The innermost is first:
# mpirun inside an allocation leaves the variables of SLURM's or Kubernetes' own task as they were.
LAUNCHERS = {
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MVAPICH2": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    "MPICH": ("PMI_RANK", "PMI_SIZE"),
    "SLURM": ("SLURM_PROCID", "SLURM_NTASKS"),
    "Kubernetes": ("JOB_COMPLETION_INDEX", None),
}
_LOOK_EVERY_S, _TELL_EVERY_S = 0.5, 60.0


@dataclasses.dataclass(frozen=True)
class DistributedConfig(StudyConfig):
    """A study, and which of how many processes this one is. None means: as the launcher says."""

    num_processes: int | None = option(None, "How many processes there are.", unset="as the launcher says")
    process_id: int | None = option(None, "Which of them this one is, from 0.", unset="as the launcher says")


def train_distributed(config: DistributedConfig) -> int:
    """Train this process's members. The first process joins all parts. Print the run folder and return an exit code."""
    study = _study(config)
    index, count = which_process(config.process_id, config.num_processes, os.environ)
    if study.categories is not None or study.dataset == "procedural_faces":  # other sets say it themselves, later
        known = EXPRESSIONS if study.categories is None else parse_categories(study.categories)
        check_range("--num_processes", count, 1, known.num_pairs)
    from experiments.merge_members import MergeConfig, merge
    from experiments.reproduce import run_stages
    from experiments.study.run_folder import FinishedFiles

    sys.stderr.write(f"process {index} of {count}\n")
    whole = FinishedFiles(study.out)
    parts = [FinishedFiles(f"{study.out}.parts/{other}-of-{count}") for other in range(count)]
    if not whole.finished("members"):
        mine = f"{index}/{count}" if count > 1 else "all"
        run_stages(dataclasses.replace(study, out=str(parts[index].path), members=mine), STAGES)
        _wait_for(parts if index == 0 else [whole])
    code = 0
    if index == 0 and not whole.finished("members"):
        with contextlib.redirect_stdout(sys.stderr):  # it would print the folder as well
            code = merge(MergeConfig(runs=",".join(str(part.path) for part in parts), out=study.out))
        shutil.rmtree(parts[0].path.parent)
    print(study.out)
    return code


def which_process(index: int | None, count: int | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """Number of this process and how many there are: as given, else as a launcher says.

    Raises:
      UsageError: neither says, or they do not fit.
    """
    given, asked = index, count
    number, size = next((names for names in LAUNCHERS.values() if names[0] in environment), (None, None))
    index = _number(environment, number) if index is None else index
    count = _number(environment, size) if count is None else count
    if index is None or count is None:
        raise UsageError(
            f"`--num_processes`: wanted it and --process_id, or a launcher ({', '.join(LAUNCHERS)}) that says them; "
            f"got {asked} and {given}."
        )
    check_count("--num_processes", count, 1)
    check_range("--process_id", index, 0, count - 1)
    return index, count


def _number(environment, name) -> int | None:
    """Read a variable of a launcher, if it is set."""
    if name is None or name not in environment:
        return None
    try:
        return int(environment[name])
    except ValueError:
        raise UsageError(
            f"`{name}`: wanted a whole number from the launcher, got {environment[name]!r}; give --num_processes and "
            "--process_id."
        ) from None


def _study(config) -> StudyConfig:
    """Return the configuration of the run itself, which is that of a run by one process."""
    names = [field.name for field in dataclasses.fields(StudyConfig)]
    study = resolve(StudyConfig(**{name: getattr(config, name) for name in names}))
    for name, wanted in (("members", "all"), ("stages", "all"), ("overwrite", False), ("minutes", 0.0)):
        if getattr(study, name) != wanted:
            raise UsageError(f"`--{name}`: processes share out all members themselves and alike; leave it out.")
    return study


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
    sys.exit(command.run(train_distributed, DistributedConfig, usage=__doc__))
