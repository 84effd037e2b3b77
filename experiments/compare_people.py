"""People against the networks of a run on photographs: do they look at the same parts, and err alike (paper §5.3)?

    python -m experiments.reproduce --out=runs/ferplus7 --dataset=ferplus --data_dir=ferplus_train_valid.zip \
        --categories=neutral,happy,sad,surprise,fear,disgust,anger --people=none
    python -m experiments.compare_people --run=runs/ferplus7 --people=wegrzyn2017 --out=people_and_networks

People are real: the tile logs of Wegrzyn et al. 2017 (public domain, 10.1371/journal.pone.0177239), in which two posed
faces were uncovered tile by tile at random until one of seven expressions could be named. Their weight maps, and the
maps of CAM, Grad-CAM and Extremal Perturbation of the run's study images, are laid on each other at eyes and mouth, and
compared over 8 x 6 tiles: by expression and by pair, with intervals over people and pictures, beside maps that ask no
network (edges, centre, people's maps of the other expressions) and the ceiling that people set themselves. The test of
the same expression against others is exact, as is that of the confusions (5,040 relabellings).

Writes tidy tables (CSV), figures (PNG and SVG) and report.html, whose first paragraph is the answer, and prints that
paragraph. Two CPU cores: about a minute, beside the run itself. The paper, with people's clicks on the networks' own
pictures: Extremal Perturbation fits best (F = 85.45), r of confusions over all cells .80 to .93.
"""

import contextlib
import dataclasses
import sys

from experiments.config import Command, OfRun
from experiments.harness import command
from experiments.harness.command import again, option
from experiments.harness.locked_folder import LockedFolder
from fer_jax.errors import UsageError

_RECORD = "settings.json"
# Ours: read off the peaks of all people's weight maps, shares of 300 x 400 pixels.
_PEOPLE_POINTS = "0.25,0.3125,0.75,0.3125,0.5,0.7"
# Ours: medians of the landmarks that a detector finds in 106 of 120 FER+ photographs, shares of the side.
_PICTURE_POINTS = "0.31,0.38,0.68,0.37,0.5,0.77"


@dataclasses.dataclass(frozen=True)
class ComparePeopleConfig:
    """Which people and which networks to compare, and how."""

    run: str = again(OfRun, "run")
    people: str = option("", "Folder of the tile logs pandas_logfileNNN.csv.")
    out: str = option("", "Folder for tables, figures and report.html.")
    people_points: str = option(
        _PEOPLE_POINTS, "Left eye, right eye and mouth of people's face: x,y,x,y,x,y, shares of width and height."
    )
    picture_points: str = option(
        _PICTURE_POINTS, "The same of the networks' mean picture; the default is that of FER+ photographs."
    )
    seed: int = again(Command, "seed")


def main(config: ComparePeopleConfig) -> None:
    """Read people and run, compare, draw, write the page, and print the answer."""
    for name, wanted in (("run", "runs/ferplus7"), ("people", "wegrzyn2017"), ("out", "people_and_networks")):
        if not getattr(config, name):
            raise UsageError(f"`--{name}`: wanted a folder, such as --{name}={wanted}, got none.")
    command.check_bounds(config)
    from experiments.people_and_networks import page, tables
    from experiments.study.run import open_to_compute
    from experiments.study.write import weak_members
    from fer_jax import human
    from fer_jax.human.table_files import as_csv

    trials = human.readers.read_wegrzyn2017(config.people)
    run = open_to_compute(config.run)
    compared = tables.compare_people(run, trials, config)
    provenance = dataclasses.replace(
        run.provenance, people="real", num_people=compared.num_people, num_pictures=compared.num_pictures
    )
    leftovers = ("LOCK", _RECORD, "figures", "report.html", *(f"{name}.csv" for name in compared.tables))
    record = LockedFolder(config.out, record=_RECORD, holds="comparison of people and networks", leftovers=leftovers)
    with contextlib.closing(record) as folder:
        for name, table in compared.tables.items():
            folder.write_text(f"{name}.csv", as_csv(table))
        answer = page.write(folder, compared, provenance, ", ".join(weak_members(run).values()))
        folder.write_json(_RECORD, {**dataclasses.asdict(config), "answer": answer})
    print(f"{answer}\n\n{folder.path}")


if __name__ == "__main__":
    sys.exit(command.run(main, ComparePeopleConfig, usage=__doc__))
