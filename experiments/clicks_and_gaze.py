"""Clicks and gaze: do places that people uncover stand for places that people look at, as the paper assumes?

    python -m experiments.clicks_and_gaze --data_dir=osie --out=gaze
    python -m experiments.clicks_and_gaze --data_dir=osie --clicks=STUDY --out=gaze
    python -m experiments.clicks_and_gaze --data_dir=osie --clicks=clicks.csv --log_format=bubbleview --out=gaze

The paper takes clicks for attention (its references 5 and 14). OSIE (Xu et al. 2014, MIT licence) has photographs with
the eye fixations of 15 people and the mouse traces of others, who moved a sharp window over the blurred photograph.
The gaze of a random half of the people is held out. On every picture it is predicted by the map of the mouse traces
(and of --clicks, a study's or another laboratory's clicks on the same photographs), by an equal half of the other gaze
(the ceiling), and by three floors: the traces on another picture, the mean gaze on all other pictures, and a Gaussian
in the centre. Seven scores, all of `fer_jax.metrics`. Means over pictures, 95 % bootstrap intervals over pictures,
paired differences with Holm's correction. Then the same for 1, 2, 4 ... people, and how many a map needs.

Writes tidy tables (CSV), figures (PNG and SVG) and report.html, whose first paragraph is the answer. Prints that
paragraph. Two CPU cores: four minutes. On 51 photographs of OSIE expect, as correlation with held-out gaze, .74 for
mouse traces, .88 for the other half of the gaze, .27 for the gaze on other pictures, .26 for the centre and .11 for the
traces on another picture.
"""

import contextlib
import dataclasses
import sys

from experiments.config import Command, Pictures, Resampling
from experiments.harness import command
from experiments.harness.command import again, option
from experiments.harness.locked_folder import LockedFolder
from fer_jax.errors import UsageError

_RECORD = "settings.json"
_FORMATS = ("study", "bubbleview", "jspsych")
_TABLES = ("scores", "differences", "people", "plan", "pictures", "published")


@dataclasses.dataclass(frozen=True)
class GazeConfig:
    """What to compare, and how."""

    data_dir: str | None = again(Pictures, "data_dir", text="Folder of OSIE: stimuli, fixations.mat, mouse_lab.")
    out: str = option("", "Folder for tables, figures and report.html.")
    clicks: str = option(
        "", "Clicks on the same photographs: a study's folder, or a log; none given: mouse traces alone."
    )
    log_format: str = option("study", "What --clicks holds.", choices=_FORMATS)
    sigma_px: float = option(24.0, "Blur of every place, deviation in pixels (24 is one degree).", low=1, high=1000)
    cell_px: int = option(8, "Side of the cells on which maps are made, pixels.", low=1, high=100)
    halves: int = option(20, "Random halves of the people whose gaze is known.", low=1, high=100_000)
    weight: str = option("places", "What counts alike in a map.", choices=("places", "people"))
    tolerance: float = option(0.03, "How far below its limit a map may score, for the planner.", low=0.001, high=0.5)
    resamples: int = again(Resampling, "resamples")
    seed: int = again(Command, "seed")


def main(config: GazeConfig) -> None:
    """Read, score, plan, draw, and write the page."""
    _check(config)
    from experiments.gaze import page
    from fer_jax import compare, human
    from fer_jax.compare.gaze import TOLERANCES

    gaze = human.gaze.read_osie_gaze(config.data_dir)
    sources = {"clicks": _clicks(config, gaze.sizes)} if config.clicks else {}
    sources["mouse traces"] = human.gaze.read_osie_mouse(config.data_dir)
    names = ("sigma_px", "cell_px", "halves", "weight")
    options = compare.gaze.GazeOptions(**{name: getattr(config, name) for name in names})
    found = compare.gaze.agreement(gaze, sources, seed=config.seed, options=options)
    chance = {"seed": config.seed, "resamples": config.resamples}
    tolerances = sorted({*TOLERANCES, config.tolerance}, reverse=True)
    tables = {
        "scores": compare.gaze.summarise(found, **chance),
        "differences": compare.gaze.contrasts(found, **chance),
        "people": compare.gaze.people_curve(found, **chance),
        "plan": compare.gaze.plan(found, tolerances=tolerances, **chance),
        "pictures": found.pictures,
    }
    tables["published"] = page.beside_published(tables["scores"])
    leftovers = ("LOCK", _RECORD, "figures", "report.html", *(f"{name}.csv" for name in _TABLES))
    with contextlib.closing(LockedFolder(config.out, record=_RECORD, holds="gaze", leftovers=leftovers)) as folder:
        for name in _TABLES:
            folder.write_text(f"{name}.csv", human.table_files.as_csv(tables[name]))
        answer = page.write(folder, tables, gaze, sources, config, found.held_out)
        folder.write_json(_RECORD, {**dataclasses.asdict(config), "answer": answer})
    print(f"{answer}\n\n{folder.path}")


def _clicks(config, sizes):
    """Return the places that people of a study, or of another laboratory, clicked."""
    from fer_jax import human

    if config.log_format == "study":
        return human.gaze.from_trials(human.trials.read(config.clicks), sizes)
    height, width = next(iter(sizes.values()))  # photographs of OSIE have one size
    options = human.readers.LogOptions(picture_px=(width, height))
    return human.gaze.from_trials(human.readers.read_log(config.clicks, config.log_format, options), sizes)


def _check(config):
    """Refuse flags that are wrong whatever the folder holds."""
    command.check_bounds(config)
    if not config.data_dir:
        raise UsageError("`--data_dir`: wanted the folder of OSIE, such as --data_dir=osie, got none.")
    if not config.out:
        raise UsageError("`--out`: wanted a folder for the tables, such as --out=gaze, got none.")
    if config.cell_px > config.sigma_px:
        raise UsageError(f"`--cell_px`: wanted at most --sigma_px, {config.sigma_px:g}, got {config.cell_px}.")


if __name__ == "__main__":
    sys.exit(command.run(main, GazeConfig, usage=__doc__))
