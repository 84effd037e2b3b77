"""Runs that trained some of the members each: whether they fit together, and one run made from them."""

import dataclasses
import functools
import shutil
from typing import Any

import numpy as np
import pandas as pd

from experiments.study.run import Run
from experiments.study.run_folder import PICTURES_RECORD, RunFolder
from experiments.study.stage_table import FREE, TABLE
from experiments.study.train import load_part, save_members
from fer_jax.errors import DataError, UsageError

# What the stages data and design leave, and the whole run takes from the first of the others.
_PICTURES = {
    "data": ("data", "tables/class_counts.csv", "tables/study_images_given.csv", *TABLE["data"].parts),
    "design": ("tables/study_images.csv",),
}
_MAY_DIFFER = ("members", *FREE)


def members_of(runs: list[Run]) -> list[tuple[str, Any, Any]]:
    """Return each member in order: where it was trained, its variables and its row of the table.

    Raises:
      UsageError: a member that is in two runs, or in none.
    """
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
    return [trained[number] for number in range(categories.num_pairs)]


def take_pictures(source: Any, target: RunFolder) -> None:
    """Take over what the stages of pictures and design have left in another run's folder."""
    for stage, files in _PICTURES.items():
        target.stages.make(stage, functools.partial(_take_over, source, target, files))


def write_members(run: Run, trained: list[tuple[str, Any, Any]], runs: list[Run]) -> None:
    """Write the networks and tables of all members."""
    save_members(run, [variables for _, variables, _ in trained], list(range(len(trained))))
    rows = pd.DataFrame([row for _, _, row in trained]).rename_axis("pair").reset_index()
    run.folder.write_table("members", rows)
    epochs = [run.folder.read_table("metrics_ensemble") for run in runs]
    run.folder.write_table("metrics_ensemble", pd.concat(epochs, ignore_index=True))


def check_alike(runs: list[Run]) -> None:
    """Refuse runs that do not share configuration and pictures.

    Raises:
      UsageError: no runs, or flags that differ.
      DataError: pictures that differ.
    """
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
