"""Train the binary networks by several processes, on one host or on many, as one run (paper §5.1).

    srun python -m experiments.train_distributed --out=runs/net --preset=paper ...              # SLURM
    mpirun python -m experiments.train_distributed --out=runs/net --preset=paper ...            # Open MPI to 4
    python -m experiments.train_distributed --num_processes=4 --coordinator=net-0.net:12321 ... # Kubernetes indexed job
    python -m experiments.train_distributed --num_processes=2 --process_id=0 --coordinator=node0:12321 ... # by hand

The processes are joined by `jax.distributed`: their devices are one mesh, over which members are dealt out, and by
--data_devices each member's batch as well. They share a file system for the run folder. Members come out bit for bit as
those of one process (BUILD.md). SIGTERM to any of them stops all, saved, with exit code 75. So does the loss of one.
The same command goes on from the last checkpoint, with as many processes as there are then.
"""

import dataclasses
import os
import sys

from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.harness.command import option
from experiments.harness.launchers import find_place
from fer_jax.errors import Preempted, UsageError

STAGES = ("data", "design", "members")
# Flags of a study that are left out here: the value they have then, and why.
_LEFT_OUT = {
    "members": ("all", "processes share out all members themselves; leave it out"),
    "stages": ("all", f"processes make {', '.join(STAGES)}; leave it out"),
    "overwrite": (
        False,
        "the same command goes on after a stop, and would delete all; remove the folder first",
    ),
    "minutes": (0.0, "the steps that one process times are not those of all; give --max_images"),
    "dry_run": (False, "experiments.train_ensemble --dry_run --over_devices=shard_map tells it, of one host"),
}


@dataclasses.dataclass(frozen=True)
class DistributedConfig(StudyConfig):
    """A study, and which of how many processes this one is. None means: as the launcher says."""

    distributed: str = option(
        "auto", "Whether processes work together: auto, as the launcher says; off, each alone.", choices=("auto", "off")
    )
    coordinator: str | None = option(None, "HOST:PORT of process 0.", unset="as the launcher says")
    num_processes: int | None = option(None, "How many processes there are.", unset="as the launcher says")
    process_id: int | None = option(None, "Which of them this one is, from 0.", unset="as the launcher says")
    wait_s: int = option(300, "Seconds to wait at the start for all processes.", low=2, high=100_000)
    heartbeat_s: int = option(30, "Seconds after which a process that is silent counts as lost.", low=2, high=3600)


def main(config: DistributedConfig) -> int:
    """Train the members together with the other processes. The first one prints the run folder. Return an exit code."""
    run = _whole_run(config)
    place = find_place(config.process_id, config.num_processes, config.coordinator, os.environ, mode=config.distributed)
    if place.count == 1:
        from experiments.study.stages import run_stages

        code = run_stages(run, STAGES)
        print(run.out)
        return code
    if run.over_members == "loop":
        raise UsageError("`--over_members`: wanted map or vmap with several processes, got loop.")
    from experiments.harness.supervised import supervise

    return supervise(lambda stop: _work(run, place, stop))


def _whole_run(config) -> StudyConfig:
    """Return the configuration of the run itself, which is that of a run by one process."""
    names = [field.name for field in dataclasses.fields(StudyConfig)]
    run = resolve(StudyConfig(**{name: getattr(config, name) for name in names}))
    for name, (wanted, why) in _LEFT_OUT.items():
        if getattr(run, name) != wanted:
            raise UsageError(f"`--{name}`: {why}.")
    return run


def _work(run, place, stop) -> int:
    """Join the other processes, take part in the run, and part from them."""
    from experiments.harness.hosts import join

    joined, ended = [], []

    def card(config):
        hosts = join(place, heartbeat_s=config.heartbeat_s, wait_s=config.wait_s)
        joined.append(hosts)
        try:
            code = _take_part(run, hosts, stop)
        except Preempted:  # as all have agreed
            if hosts.leads:
                hosts.end(Preempted.exit_code)
            raise
        except BaseException as error:
            told = hosts.explained(error)
            ended.append(told)
            raise told from error
        if hosts.leads:  # all have ended: whether somebody reads this is no matter of the others
            print(run.out)
        return code

    code = command.run(card, DistributedConfig, usage=__doc__)
    return joined[0].leave(code, ended[0] if ended else None) if joined else code


def _take_part(run, hosts, stop) -> int:
    from experiments.study.stages import check_alike, follow_stages, run_stages, tell_place

    check_alike(run, hosts)
    tell_place(run, hosts)
    if not hosts.leads:
        return follow_stages(run, hosts, stop)
    hosts.hear_stop(stop)
    code = run_stages(run, STAGES, stop=stop, hosts=hosts)
    hosts.end(code)
    return code


if __name__ == "__main__":
    sys.exit(command.run(main, DistributedConfig, usage=__doc__))
