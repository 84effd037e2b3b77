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
import functools
import json
import shutil
import sys
from typing import Any

import numpy as np

from experiments.harness import command
from experiments.harness.command import option
from experiments.study.stage_table import FREE, TABLE
from fer_jax.errors import DataError, UsageError

# What the stages data and design leave, and the whole run takes from the first of the others.
_PICTURES = {
    "data": ("data", "tables/class_counts.csv", "tables/study_images_given.csv", *TABLE["data"].parts),
    "design": ("tables/study_images.csv",),
}
_MAY_DIFFER = ("members", *FREE)


@dataclasses.dataclass(frozen=True)
class MergeConfig:
    """The flags of a merge."""

    runs: str = option("", "Comma-separated run folders of experiments.train_ensemble.")
    out: str = option("", "Run folder for all members, such as runs/all.")


def merge(config: MergeConfig) -> int:
    """Check that the runs fit, write the merged run, print its folder, and return an exit code."""
    for name in ("runs", "out"):
        if not getattr(config, name):
            raise UsageError(f"`--{name}`: wanted a path, got none.")
    import pandas as pd

    from experiments.harness.metrics_log import LOG, read_rows
    from experiments.study.run import Run, open_run
    from experiments.study.run_folder import RunFolder
    from experiments.study.stages import tell_failed
    from experiments.study.train import failed_members, load_part

    runs = [open_run(path.strip()) for path in config.runs.split(",") if path.strip()]
    _check_alike(runs)
    categories = runs[0].categories
    trained: dict[int, tuple[str, Any, Any]] = {}
    for run in runs:
        numbers, members = load_part(run)
        table = run.folder.read_table("members").set_index("pair")
        for number, variables in zip(numbers, members, strict=True):
            if number in trained:
                raise UsageError(
                    f"`--runs`: {categories.pair_name(number)} was trained in {trained[number][0]} and in "
                    f"{run.folder.path}; leave one of them out."
                )
            trained[number] = (str(run.folder.path), variables, table.loc[categories.pair_name(number)])
    missing = [categories.pair_name(number) for number in range(categories.num_pairs) if number not in trained]
    if missing:
        raise UsageError(
            f"`--runs`: {len(missing)} members are in none of these runs ({', '.join(missing[:3])}, ...); train them "
            "with experiments.train_ensemble --members=..."
        )
    whole = dataclasses.replace(runs[0].config, out=config.out, members="all")
    with contextlib.closing(RunFolder(whole)) as folder:
        if folder.finished("members"):
            raise UsageError(f"`--out`: {config.out} has its members already; choose another folder.")
        for stage, files in _PICTURES.items():
            folder.stages.make(stage, functools.partial(_take_over, runs[0].folder, folder, files))
        lines = [json.dumps(row) for run in runs for row in read_rows(run.folder.path / LOG)]
        folder.write_text(LOG, "".join(f"{line}\n" for line in lines))
        run = Run(whole, folder, command.StopRequest())
        tables = pd.concat([run.folder.read_table("metrics_ensemble") for run in runs], ignore_index=True)
        work = functools.partial(_write, run, [trained[number] for number in range(categories.num_pairs)], tables)
        folder.stages.make("members", work)
        code = tell_failed(failed_members(folder))
    print(config.out)
    return code


def _write(run, trained, epochs):
    import pandas as pd

    from experiments.study.train import save_members

    save_members(run, [variables for _, variables, _ in trained], list(range(len(trained))))
    rows = pd.DataFrame([row for _, _, row in trained]).rename_axis("pair").reset_index()
    run.folder.write_table("members", rows)
    run.folder.write_table("metrics_ensemble", epochs)


def _check_alike(runs):
    """Return the first run's configuration after a check that all runs share it, and the pictures."""
    from experiments.study.run_folder import PICTURES_RECORD

    if not runs:
        raise UsageError("`--runs`: wanted run folders, separated by commas, got none.")
    first = runs[0]
    for run in runs[1:]:
        for field in dataclasses.fields(first.config):
            wanted, got = getattr(first.config, field.name), getattr(run.config, field.name)
            if wanted != got and field.name not in _MAY_DIFFER:
                raise UsageError(
                    f"`--runs`: {run.folder.path} was made with --{field.name}={got}, {first.folder.path} with "
                    f"--{field.name}={wanted}; only runs made alike are joined."
                )
        if first.config.dataset == "prepared":
            prepared, other = (each.folder.read_json(PICTURES_RECORD).get("fingerprint") for each in (first, run))
            if prepared != other:
                raise DataError(f"`--runs`: {run.folder.path} saw another prepared set than {first.folder.path}.")
        pictures, others = (each.folder.read_arrays("data/pictures") for each in (first, run))
        if not all(np.array_equal(pictures[name], others.get(name)) for name in pictures):
            raise DataError(f"`--runs`: {run.folder.path} saw other pictures than {first.folder.path}.")


def _take_over(source, target, names):
    """Copy files of another run, its arrays among them."""
    for name in names:
        path = source.path / name
        if path.is_dir():
            shutil.copytree(path, target.file(name), dirs_exist_ok=True)
        elif path.exists():
            shutil.copyfile(path, target.file(name))
    if "data" in names:
        target.write_arrays("data/pictures", **source.read_arrays("data/pictures"))


if __name__ == "__main__":
    sys.exit(command.run(merge, MergeConfig, usage=__doc__))
