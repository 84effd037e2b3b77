"""The whole study in one command: pictures in, a report out (every table and figure of the paper, in its order).

    python -m experiments.reproduce --out=runs/first
    python -m experiments.reproduce --out=runs/ferplus --dataset=ferplus --data_dir=ferplus_train_valid.zip
    python -m experiments.reproduce --out=runs/paper --preset=paper --dataset=... --data_dir=...

Stages: data, design (§3), members and multiclass (§5.1), vote (§5.2), people (§4; simulated here), saliency and
compare (§5.3), finetune (§5.1), figures, report. Each leaves its results in the run folder when it ends; the same
command goes on where it was stopped. `summary.json` holds the numbers, `report.html` is for reading.

The default draws its own faces and takes under six minutes on two CPU cores. The paper's numbers on AffectNet, to
compare with: simple and weighted vote 49 and 50 %, multiclass 54 %, people 83.9 %.
"""

import contextlib
import pathlib
import sys
from collections.abc import Sequence

from experiments import command
from experiments.config import StudyConfig, chosen_stages, resolve
from fer_jax.errors import MemberFailed, UsageError


def reproduce(config: StudyConfig) -> int:
    """Run the stages that are not finished yet; print the report's path.

    Returns:
      An exit code: 0, or 4 if a member failed.
    """
    config = resolve(config)
    if config.members != "all" and set(chosen_stages(config)) - {"data", "design", "members"}:
        raise UsageError(
            f"`--members`: {config.members} only is a job for experiments.train_ensemble; once all members are "
            "trained, experiments.merge_members joins the runs and experiments.reproduce goes on."
        )
    code = run_stages(config, chosen_stages(config))
    report = pathlib.Path(config.out) / "report.html"
    if report.exists():
        print(report)
    return code


def run_part(config: StudyConfig, names: Sequence[str], table: str) -> int:
    """What a card of some stages does: run them, print the path of the table they leave; returns an exit code.

    Raises:
      UsageError: `--stages` was given, and others than the card's.
    """
    if config.stages not in ("all", ",".join(names)):
        raise UsageError(f"`--stages`: this card runs {', '.join(names)}; leave it out, got {config.stages!r}.")
    code = run_stages(resolve(config), names)
    print(f"{config.out}/tables/{table}.csv")
    return code


def run_stages(config: StudyConfig, names: Sequence[str]) -> int:
    """Run some stages of a resolved configuration, each unless it has ended; returns an exit code, 0 or 4.

    Raises:
      UsageError: a stage whose forerunners have not run.
    """
    stop = command.StopRequest().install()
    from experiments.run_folder import RunFolder
    from experiments.stages import WORK, Study, failed_members

    with contextlib.closing(RunFolder(config)) as folder:
        study = Study(config, folder, stop)
        for name in names:
            missing = [before for before in WORK[name].needs if not folder.finished(before)]
            if missing:
                raise UsageError(f"`--stages`: {name} wants {missing[0]} to have run in {config.out}; add it.")
            folder.stage(name, lambda work=WORK[name]: work.run(study))
            stop.check()
        return tell_failed(failed_members(folder))


def tell_failed(members: Sequence[str]) -> int:
    """Name the members that failed, if any; returns an exit code, 0 or 4."""
    if not members:
        return 0
    sys.stderr.write(f"error: {len(members)} member(s) failed (loss not finite): {', '.join(members)}.\n")
    return MemberFailed.exit_code


if __name__ == "__main__":
    sys.exit(command.run(reproduce, StudyConfig, usage=__doc__))
