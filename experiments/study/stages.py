"""The stages of a run, in order, each made unless it is up to date. They read and leave files in the run folder."""

import contextlib
import dataclasses
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from experiments.config import StudyConfig, resolve
from experiments.harness import command
from experiments.harness.command import StopRequest
from experiments.harness.hosts import ALONE, Hosts, JoinedHosts
from experiments.harness.numerics import choose_precision
from experiments.study.stage_table import STAGES, TABLE
from fer_jax.errors import MemberFailed, Preempted, UsageError

if TYPE_CHECKING:
    from experiments.study.run_folder import FinishedFiles


def _stage(module: str, name: str) -> Callable[[Any], None]:
    """Return a stage whose module is imported when it runs: tables are written without the extra of figures."""

    def stage(run: Any) -> None:
        getattr(importlib.import_module(f"experiments.study.{module}"), name)(run)

    return stage


WORK: dict[str, Callable[[Any], None]] = {
    "data": _stage("pictures", "prepare"),
    "design": _stage("design", "draw_study"),
    "members": _stage("train", "train_members"),
    "multiclass": _stage("train", "train_multiclass"),
    "vote": _stage("vote", "vote"),
    "people": _stage("people", "record_people"),
    "saliency": _stage("explain", "explain"),
    "finetune": _stage("finetune", "finetune"),
    "compare": _stage("compare", "compare"),
    "figures": _stage("draw", "draw_figures"),
    "report": _stage("write", "write_report"),
}
# Stages that several processes make together. The others are the first one's alone.
TOGETHER = ("members",)
# Each host may name these as it sees them.
_OF_A_HOST = ("out", "data_dir")


def run_part(config: StudyConfig, names: Sequence[str], table: str) -> int:
    """Run the stages of a card, print the path of the table they leave, and return an exit code.

    Raises:
      UsageError: `--stages` was given, and others than the card's.
    """
    if config.stages not in ("all", ",".join(names)):
        raise UsageError(f"`--stages`: this card runs {', '.join(names)}; leave it out, got {config.stages!r}.")
    code = run_stages(resolve(config), names)
    if not config.dry_run:
        print(f"{config.out}/tables/{table}.csv")
    return code


def run_stages(
    config: StudyConfig,
    names: Sequence[str],
    *,
    named: bool = False,
    stop: StopRequest | None = None,
    hosts: Hosts = ALONE,
) -> int:
    """Make some stages of a resolved configuration, each unless it is up to date. Returns an exit code, 0 or 4.

    Args:
      config: resolved.
      names: in the order of the study.
      named: they were asked for by name: quick ones are made again in any case, and a message names others that stay.
      stop: what asks to stop. By default, signals to this process.
      hosts: the processes of which this one is the first. The others `follow_stages`.

    Raises:
      UsageError: flags that the folder's networks were not trained with, or a stage whose forerunners have not run.
    """
    if config.dry_run:
        from experiments.study import dry_run

        print(dry_run.tell(config, names))
        return 0
    stop = stop or command.StopRequest().install()
    from experiments.study import codebook, time_limit
    from experiments.study.run import Run
    from experiments.study.run_folder import RunFolder
    from experiments.study.train import failed_members

    config = time_limit.as_recorded(config)
    choose_precision(config.matmul_precision)
    with contextlib.closing(RunFolder(config)) as folder:
        run, stages, made = Run(config, folder, stop, hosts), folder.stages, 0
        for place, name in enumerate(names):
            stages.check_needs(name, coming=names[:place])
        folder.keep_config()
        for name in names:
            stages.check_needs(name)
            reason = stages.why(name) or ("named in --stages" if named and TABLE[name].quick else None)
            if reason is None:
                if named:
                    sys.stderr.write(f"{name}: up to date, stays as it is\n")
                continue
            if stages.finished(name):
                sys.stderr.write(f"{name}: made again: {reason}\n")
            if hosts.count > 1 and name in TOGETHER:
                stages.config = _in_layout_of_all(config)
            stages.make(name, lambda name=name: _make(name, run, hosts))
            made += 1
            stop.check()
        codebook.write(folder)
        if not made and not named:
            sys.stderr.write(f"{config.out}: everything is up to date\n")
        if named:
            _tell_outdated(stages, names)
        return tell_failed(failed_members(folder))


def _make(name, run, hosts) -> None:
    """Make one stage of a run, together with other processes where there are any."""
    if hosts.count == 1 or name not in TOGETHER:
        WORK[name](run)
        return
    from experiments.study.run import Run

    hosts.call(name)
    check_shared(run.folder, hosts)
    WORK[name](Run(_dealt_out(run.config), run.folder, run.stop, hosts))


def follow_stages(config: StudyConfig, hosts: JoinedHosts, stop: StopRequest) -> int:
    """Take part in the stages that the first process calls. Returns its exit code.

    Args:
      config: resolved, the same in all processes.
      hosts: the processes.
      stop: what asks this one to stop. While no stage is made the first process is told.

    Raises:
      UsageError: the run folder of this process is another one.
      Preempted: the first process, or one of those that work, was asked to stop.
      OtherFailed: another process has failed.
    """
    from experiments.study.run import Run
    from experiments.study.run_folder import FinishedFiles

    choose_precision(config.matmul_precision)
    while isinstance(called := hosts.next_call(stop), str):
        folder = FinishedFiles(config.out)
        check_shared(folder, hosts)
        WORK[called](Run(_dealt_out(config), folder, stop, hosts))
    if called == Preempted.exit_code:
        stop.check(asked=True)
    return called


def _dealt_out(config) -> StudyConfig:
    """Return the configuration of a stage whose members are dealt out to the devices of all processes."""
    return config if config.over_devices != "none" else dataclasses.replace(config, over_devices="shard_map")


def _in_layout_of_all(config) -> StudyConfig:
    """Return the configuration that the record of a stage names: with the layout that several processes train in."""
    from experiments.study.slots import layout

    there = layout(_dealt_out(config))
    return config if layout(config) == there else dataclasses.replace(config, over_members=there)


def check_alike(config: StudyConfig, hosts: Hosts) -> None:
    """Refuse processes that were started with different flags or packages. Each process calls this.

    Args:
      config: resolved, of this process.
      hosts: the processes.

    Raises:
      UsageError: names the first difference.
    """
    from experiments.study.run_folder import versions

    flags = {f"--{name}": value for name, value in dataclasses.asdict(config).items() if name not in _OF_A_HOST}
    first, *others = hosts.exchange({**flags, **{f"version of {name}": each for name, each in versions().items()}})
    for index, other in enumerate(others, start=1):
        for name in (name for name in first | other if first.get(name) != other.get(name)):
            raise UsageError(
                f"`{name}`: wanted the same in all processes, got {first.get(name)} in process 0 and {other.get(name)} "
                f"in process {index}."
            )


def check_shared(folder: "FinishedFiles", hosts: Hosts) -> None:
    """Refuse processes that do not see the run folder of the first one. Each process calls this.

    Raises:
      UsageError: names a process that sees another folder.
    """
    first, *others = hosts.exchange([folder.has("run.json"), folder.run])
    for index, other in enumerate(others, start=1):
        if other != first:
            lies = "another run" if other[0] else "none"
            raise UsageError(
                f"`--out`: wanted one run folder on a disk that all processes share, but process {index} finds {lies} "
                "there."
            )


def tell_place(config: StudyConfig, hosts: Hosts) -> None:
    """Say which process of how many this is, its devices, and the mesh of all.

    Raises:
      UsageError: devices that cannot be split as asked.
    """
    import jax

    from fer_jax import placement

    how, devices = _dealt_out(config).over_devices, config.devices or None
    mesh = placement.row_sharding(how, devices, data_devices=config.data_devices).mesh
    shape = ", ".join(f"{size} {name}" for name, size in mesh.shape.items())
    sys.stderr.write(
        f"process {hosts.index} of {hosts.count}: {jax.local_device_count()} of {jax.device_count()} devices "
        f"({jax.devices()[0].device_kind}), mesh {shape}\n"
    )


def _tell_outdated(stages, made) -> None:
    """Name what no longer follows from what lies in the folder."""
    rest = [name for name in STAGES if name not in made and not TABLE[name].kept and stages.finished(name)]
    old = [name for name in rest if stages.why(name)]
    if old:
        sys.stderr.write(f"out of date now: {', '.join(old)}; the same command without --stages makes them again\n")


def tell_failed(members: Sequence[str]) -> int:
    """Name the members that failed, if any. Returns an exit code, 0 or 4."""
    if not members:
        return 0
    sys.stderr.write(
        f"error: {len(members)} member(s) failed (loss not finite): {', '.join(members)}. Train anew in another --out "
        "with a lower --learning_rate.\n"
    )
    return MemberFailed.exit_code
