"""Analyse a click study: how right, how fast and where people looked, with intervals (paper §4.3, Figs 2-4).

    python -m experiments.analyse_study --people=runs/first/people --aligned --out=analysis
    python -m experiments.analyse_study --people=seoul,tuebingen --prefixes=s_,t_ --out=analysis
    python -m experiments.analyse_study --people=LOGS --log_format=wegrzyn2017 --out=analysis
    python -m experiments.analyse_study --people=clicks.csv --log_format=bubbleview --picture_px=800x600 --out=analysis

Reads the folder of one study, or of several sites, as `fer_jax.human.trials.write` leaves it, or logs of another
laboratory. Leaves out people by the paper's two rules, and gives every number with and without the exclusions (column
`sample`). Writes tidy tables (CSV), figures (PNG and SVG) and report.html, whose first paragraph is the answer. Prints
that paragraph. Simulated people are called simulated in every table, caption and sentence. Chance is in --seed alone.
22 people and 280 images of 224 pixels take 10 s of one core.
The paper's numbers: 83.9 % right, and over 56 ordered pairs r(clicks, time) .93, r(clicks, accuracy) -.56,
r(time, accuracy) -.65.
"""

import contextlib
import dataclasses
import sys

from experiments.config import Command, Resampling
from experiments.harness import command
from experiments.harness.command import again, option
from experiments.harness.locked_folder import LockedFolder

_RECORD = "settings.json"
_FORMATS = ("study", "bubbleview", "jspsych", "model_vs_human", "fixations", "wegrzyn2017")


@dataclasses.dataclass(frozen=True)
class AnalyseConfig:
    """Whose answers to analyse, and how."""

    people: str = option(
        "", "Folder of a study's tables (fer-study export), or several, separated by commas; of a log, files, too."
    )
    out: str = option("", "Folder for tables, figures and report.html.")
    prefixes: str = option("", "Put before the participants' names, one a folder, separated by commas.")
    log_format: str = option("study", "What the folders hold.", choices=_FORMATS)
    log_columns: str = option(
        "", "Columns of a log with unusual names, such as image=bild,participant=wer.", fills=("columns",)
    )
    log_answers: str = option(
        "", "Labels of a log's buttons in their order, or of its keys: happy,sad or f=happy,j=sad.", fills=("answers",)
    )
    log_scale: str = option(
        "", "Picture pixels per unit of a log's places: 1, or 800x600 for fractions.", fills=("scale",)
    )
    picture_px: str = option("", "Width and height of a log's pictures, such as 800x600, where the log lacks them.")
    pictures: str = option("", "CSV of a log's pictures: image and true_label, false_label, width_px, height_px.")
    reveal_radius: int | None = option(
        None,
        "Radius that a click or fixation of a log sees, pixels.",
        unset="from the log",
        low=0,
        high=10_000,
        fills=("radius",),
    )
    aligned: bool = option(
        False,
        "The faces stand in the standard crop (drawn faces, or pictures made with --crop=eyes), so that clicks have "
        "regions.",
    )
    trials_used: str = option(
        "correct", "Attention maps: trials that count (the paper: correct ones).", choices=("correct", "all")
    )
    time_trials: str = option(
        "clean", "Trials whose times count: without a reload or lost focus, or all.", choices=("clean", "all")
    )
    time_from: str = option(
        "first_click",
        "Times count from the first click, as the paper's, or from the onset.",
        choices=("first_click", "onset"),
    )
    rt_rule: str = option(
        "mark",
        "Times under 200 ms or far from the person's others: counted and marked, dropped, or not looked for.",
        choices=("mark", "drop", "none"),
    )
    halves: int = option(200, "Random halves of the people, for split-half reliability.", low=1, high=100_000)
    resamples: int = again(Resampling, "resamples")
    seed: int = again(Command, "seed")


def main(config: AnalyseConfig) -> None:
    """Read, exclude, measure with and without exclusions, draw, and write the page."""
    from experiments.people_study import logs

    folders = logs.folders_of(config)
    command.check_bounds(config)
    from experiments.people_study import page, tables
    from fer_jax import human
    from fer_jax.human.table_files import as_csv

    everyone = human.trials.join(logs.read(config, folders))
    kept, exclusions = human.exclusion.exclude(everyone)
    measured = tables.measure({"after exclusions": kept, "everybody": everyone}, exclusions, config)
    leftovers = ("LOCK", _RECORD, "figures", "report.html", *(f"{name}.csv" for name in measured.tables))
    with contextlib.closing(LockedFolder(config.out, record=_RECORD, holds="analysis", leftovers=leftovers)) as folder:
        for name, table in measured.tables.items():
            folder.write_text(f"{name}.csv", as_csv(table))
        answer = page.write(folder, measured, kept, config)
        folder.write_json(_RECORD, {**dataclasses.asdict(config), "answer": answer, "left_out": measured.left_out})
    print(f"{answer}\n\n{folder.path}")


if __name__ == "__main__":
    sys.exit(command.run(main, AnalyseConfig, usage=__doc__))
