"""Join runs that trained some of the members each into one run with all of them (no table of the paper).

    python -m experiments.train_ensemble --out=runs/a --members=0-13 ...
    python -m experiments.train_ensemble --out=runs/b --members=14-27 ...
    python -m experiments.merge_members --runs=runs/a,runs/b --out=runs/all
    python -m experiments.reproduce --flagfile=runs/all/flags.txt --out=runs/all

The runs never talk and may run anywhere. They must have been made with the same flags and the same pictures. The result
is bit for bit what one run of all members leaves on the same kind of machine, on a CPU in as many threads (BUILD.md).
Missing and doubled members are refused.
"""

import contextlib
import dataclasses
import json
import sys

from experiments.harness import command
from experiments.harness.command import option
from fer_jax.errors import UsageError


@dataclasses.dataclass(frozen=True)
class MergeConfig:
    """The flags of a merge."""

    runs: str = option("", "Comma-separated run folders of experiments.train_ensemble.")
    out: str = option("", "Run folder for all members, such as runs/all.")


def main(config: MergeConfig) -> int:
    """Check that the runs fit, write the merged run, print its folder, and return an exit code."""
    for name in ("runs", "out"):
        if not getattr(config, name):
            raise UsageError(f"`--{name}`: wanted a path, got none.")
    from experiments.harness.metrics_log import LOG, read_rows
    from experiments.study import parts
    from experiments.study.run import Run, open_run
    from experiments.study.run_folder import RunFolder
    from experiments.study.stages import tell_failed
    from experiments.study.train import failed_members

    runs = [open_run(path.strip()) for path in config.runs.split(",") if path.strip()]
    parts.check_alike(runs)
    members = parts.members_of(runs)
    whole = dataclasses.replace(runs[0].config, out=config.out, members="all")
    with contextlib.closing(RunFolder(whole)) as folder:
        if folder.finished("members"):
            raise UsageError(f"`--out`: {config.out} has its members already; choose another folder.")
        parts.take_pictures(runs[0].folder, folder)
        lines = [json.dumps(row) for run in runs for row in read_rows(run.folder.path / LOG)]
        folder.write_text(LOG, "".join(f"{line}\n" for line in lines))
        run = Run(whole, folder, command.StopRequest())
        folder.stages.make("members", lambda: parts.write_members(run, members, runs))
        code = tell_failed(failed_members(folder))
    print(config.out)
    return code


if __name__ == "__main__":
    sys.exit(command.run(main, MergeConfig, usage=__doc__))
