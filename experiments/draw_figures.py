"""Draw the figures of a run again, for a journal or a talk: from its tables, without computing anything anew.

    python -m experiments.draw_figures --run=runs/first --out=figures --width_mm=180 --format=pdf
    python -m experiments.draw_figures --run=runs/first --out=figures --figures=fig10_dice,recall --style=grayscale

Figures 1 to 10 of the paper and what is beside them. What is drawn stands in the run's `tables` and maps, so the files
show what the report shows. Simulated people and synthetic faces are named in every heading. Seconds a figure.
"""

import dataclasses
import math
import pathlib
import sys

from experiments.config import OfRun
from experiments.harness import command
from experiments.harness.command import again, option
from fer_jax.errors import UsageError

_FORMATS = "png,svg,pdf,eps"
READABLE_PT = 5  # what journals ask of the smallest text in print


@dataclasses.dataclass(frozen=True)
class DrawConfig:
    """Which figures to draw, and how."""

    run: str = again(OfRun, "run")
    out: str = option("", "Folder for the figures. What has their names there is replaced.")
    figures: str = option("all", "Comma-separated names, such as fig10_dice; a wrong one lists them.")
    format: str = option("pdf", f"Comma-separated formats: {_FORMATS}.")
    style: str = option(
        "house", "house, a style of matplotlib such as grayscale, or a .mplstyle file, on top of the house's."
    )
    width_mm: float = option(0.0, "Width of every figure, millimetres; 0: as in the report.", low=0, high=1000)
    dpi: int = option(300, "Dots an inch of a PNG.", low=30, high=2400)


def main(config: DrawConfig) -> None:
    """Draw, and print every file."""
    for name, wanted in (("run", "runs/first"), ("out", "figures")):
        if not getattr(config, name):
            raise UsageError(f"`--{name}`: wanted a folder, such as --{name}={wanted}, got none.")
    command.check_bounds(config)
    formats = command.parse_names("format", config.format, _FORMATS.split(","), wanted="some of")
    from experiments.study.draw import drawings
    from experiments.study.run import open_run
    from fer_jax.figures import style

    run = open_run(config.run)
    if not run.folder.has("summary.json"):
        raise run.folder.unfinished("comparison", "compare")
    every = dict(drawings(run))
    chosen = list(every)
    if config.figures != "all":
        chosen = command.parse_names("figures", config.figures, list(every), wanted="all, or some of")
    with style.restyled(config.style):
        for name in chosen:
            drawn = every[name]()
            if config.width_mm:
                smallest = style.resize(drawn, config.width_mm)
                if smallest < READABLE_PT:
                    sys.stderr.write(
                        f"{name}: text of {smallest:.1f} pt at {config.width_mm:g} mm; {READABLE_PT} pt want "
                        f"--width_mm={math.ceil(config.width_mm * READABLE_PT / smallest)}.\n"
                    )
            for file in style.save(drawn, pathlib.Path(config.out) / name, formats=formats, dpi=config.dpi):
                print(file)


if __name__ == "__main__":
    sys.exit(command.run(main, DrawConfig, usage=__doc__))
