"""The whole study in one command: pictures in, a report out (every table and figure of the paper, in its order).

    python -m experiments.reproduce --out=runs/first
    python -m experiments.reproduce --out=runs/ferplus --dataset=ferplus --data_dir=ferplus_train_valid.zip
    python -m experiments.reproduce --out=runs/paper --preset=paper --dataset=... --data_dir=...

Stages: data, design (§3), members and multiclass (§5.1), vote (§5.2), people (§4, simulated here), saliency and
compare (§5.3), finetune (§5.1), figures, report. Each leaves its results in the run folder when it ends. The
same command goes on where it was stopped. What is missing, and what has read a flag or a file that has changed, is made
again, and the rest stays: --masked_ratio=0.9 fine-tunes again, --stages=figures draws again. Pictures and trained
networks are never replaced. `summary.json` holds the numbers, `report.html` is for reading. Of pictures of yours:
`labels.png`, eight of each expression as labelled, `rejected.csv` and `flagged.csv`.

The default draws its own faces and takes under six minutes on two CPU cores. The paper's numbers on AffectNet, to
compare with: simple and weighted vote 49 and 50 %, multiclass 54 %, people 83.9 %.
"""

import contextlib
import pathlib
import sys
from collections.abc import Sequence

from experiments.config import StudyConfig, chosen_stages, resolve
from experiments.harness import command
from experiments.study.stage_table import STAGES, TABLE
from fer_jax.errors import MemberFailed, UsageError


def reproduce(config: StudyConfig) -> int:
    """Run the stages that are not finished yet, and print the report's path.

    Returns:
      An exit code: 0, or 4 if a member failed.
    """
    config = resolve(config)
    if config.members != "all" and set(chosen_stages(config)) - {"data", "design", "members"}:
        raise UsageError(
            f"`--members`: {config.members} only is a job for experiments.train_ensemble; once all members are "
            "trained, experiments.merge_members joins the runs and experiments.reproduce goes on."
        )
    code = run_stages(config, chosen_stages(config), named=config.stages != "all")
    report = pathlib.Path(config.out) / "report.html"
    if report.exists():
        print(report)
    return code


def run_part(config: StudyConfig, names: Sequence[str], table: str) -> int:
    """Run the stages of a card, print the path of the table they leave, and return an exit code.

    Raises:
      UsageError: `--stages` was given, and others than the card's.
    """
    if config.stages not in ("all", ",".join(names)):
        raise UsageError(f"`--stages`: this card runs {', '.join(names)}; leave it out, got {config.stages!r}.")
    code = run_stages(resolve(config), names)
    print(f"{config.out}/tables/{table}.csv")
    return code


def run_stages(config: StudyConfig, names: Sequence[str], *, named: bool = False) -> int:
    """Make some stages of a resolved configuration, each unless it is up to date. Returns an exit code, 0 or 4.

    Args:
      config: resolved.
      names: in the order of the study.
      named: they were asked for by name: quick ones are made again in any case, and a message names others that stay.

    Raises:
      UsageError: flags that the folder's networks were not trained with, or a stage whose forerunners have not run.
    """
    stop = command.StopRequest().install()
    from experiments.study import codebook, time_limit
    from experiments.study.run import Run
    from experiments.study.run_folder import RunFolder
    from experiments.study.stages import WORK
    from experiments.study.train import failed_members

    config = time_limit.as_recorded(config)
    with contextlib.closing(RunFolder(config)) as folder:
        run, stages, made = Run(config, folder, stop), folder.stages, 0
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
            stages.make(name, lambda work=WORK[name]: work(run))
            made += 1
            stop.check()
        codebook.write(folder)
        if not made and not named:
            sys.stderr.write(f"{config.out}: everything is up to date\n")
        if named:
            _tell_outdated(stages, names)
        return tell_failed(failed_members(folder))


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
    sys.stderr.write(f"error: {len(members)} member(s) failed (loss not finite): {', '.join(members)}.\n")
    return MemberFailed.exit_code


if __name__ == "__main__":
    sys.exit(command.run(reproduce, StudyConfig, usage=__doc__))
