"""Analyse a click study: how right, how fast and where people looked, with intervals (paper §4.3, Figs 2-4).

    python -m experiments.analyse_study --people=runs/first/people --aligned --out=analysis
    python -m experiments.analyse_study --people=seoul,tuebingen --prefixes=s_,t_ --out=analysis
    python -m experiments.analyse_study --people=LOGS --log_format=wegrzyn2017 --out=analysis

Reads the folder of one study, or of several sites, as `fer_jax.human.trials.write` leaves it, or logs of another
laboratory. Leaves out people by the paper's two rules, and gives every number with and without the exclusions (column
`sample`). Writes tidy tables (CSV), figures (PNG and SVG) and report.html, whose first paragraph is the answer. Prints
that paragraph. Simulated people are called simulated in every table, caption and sentence. Chance is in --seed alone.
Two CPU cores: 20 seconds for 22 people and 280 images of 64 pixels, some minutes at 224 pixels.
The paper's numbers: 83.9 % right, and over 56 ordered pairs r(clicks, time) .93, r(clicks, accuracy) -.56,
r(time, accuracy) -.65.
"""

import contextlib
import dataclasses
import pathlib
import sys

from experiments.config import Command, Resampling
from experiments.harness import command
from experiments.harness.command import again, option
from experiments.harness.locked_folder import LockedFolder
from fer_jax.errors import UsageError

_RECORD = "settings.json"
_FORMATS = ("study", "wegrzyn2017")


@dataclasses.dataclass(frozen=True)
class AnalyseConfig:
    """Whose answers to analyse, and how."""

    people: str = option("", "Folder of a study with people, or several, separated by commas.")
    out: str = option("", "Folder for tables, figures and report.html.")
    prefixes: str = option("", "Put before the participants' names, one a folder, separated by commas.")
    log_format: str = option("study", "What the folders hold.", choices=_FORMATS)
    aligned: bool = option(
        False,
        "The faces stand in the standard crop (drawn faces, or pictures made with --crop=eyes), so that clicks have "
        "regions.",
    )
    trials_used: str = option(
        "correct", "Attention maps: trials that count (the paper: correct ones).", choices=("correct", "all")
    )
    halves: int = option(200, "Random halves of the people, for split-half reliability.", low=1, high=100_000)
    resamples: int = again(Resampling, "resamples")
    seed: int = again(Command, "seed")


def main(config: AnalyseConfig) -> None:
    """Read, exclude, measure with and without exclusions, draw, and write the page."""
    folders = _folders(config)
    command.check_bounds(config)
    from experiments.people_study import page, tables
    from fer_jax import human
    from fer_jax.human.table_files import as_csv

    everyone = human.trials.join(_read(config, folders))
    kept, exclusions = human.exclusion.exclude(everyone)
    measured = tables.measure({"after exclusions": kept, "everybody": everyone}, exclusions, config)
    leftovers = ("LOCK", _RECORD, "figures", "report.html", *(f"{name}.csv" for name in measured.tables))
    with contextlib.closing(LockedFolder(config.out, record=_RECORD, holds="analysis", leftovers=leftovers)) as folder:
        for name, table in measured.tables.items():
            folder.write_text(f"{name}.csv", as_csv(table))
        answer = page.write(folder, measured, kept)
        folder.write_json(_RECORD, {**dataclasses.asdict(config), "answer": answer, "left_out": measured.left_out})
    print(f"{answer}\n\n{folder.path}")


def _folders(config) -> list[str]:
    """Return the folders, and refuse flags that are wrong whatever they hold."""
    folders = [name.strip() for name in config.people.split(",") if name.strip()]
    if not folders:
        raise UsageError("`--people`: wanted the folder of a study, such as --people=runs/first/people, got none.")
    if not config.out:
        raise UsageError("`--out`: wanted a folder for the tables, such as --out=analysis, got none.")
    if config.prefixes and len(config.prefixes.split(",")) != len(folders):
        raise UsageError(f"`--prefixes`: wanted {len(folders)}, one a folder of --people, got {config.prefixes!r}.")
    if len(set(map(_place, folders))) < len(folders):
        raise UsageError(f"`--people`: wanted each folder once, got {config.people}.")
    return folders


def _read(config, folders):
    from fer_jax import human

    read = human.trials.read if config.log_format == "study" else human.readers.read_wegrzyn2017
    prefixes = config.prefixes.split(",") if config.prefixes else [""] * len(folders)
    return {name: human.trials.prefixed(read(name), prefix) for name, prefix in zip(folders, prefixes, strict=True)}


def _place(folder) -> pathlib.Path:
    return pathlib.Path(folder).resolve()


if __name__ == "__main__":
    sys.exit(command.run(main, AnalyseConfig, usage=__doc__))
