"""The page of all versions of maps: who fits people best, under which choices. Its prose is in the folder `report`."""

import pathlib

import numpy as np
import pandas as pd

from experiments.study import template
from experiments.study.open_choices import methods_first, paper_of
from fer_jax import figures
from fer_jax.compare import multiverse
from fer_jax.explanation import METHOD_NAMES, METHODS

_REPORT = pathlib.Path(__file__).parent / "report"


def measure(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the table of `multiverse`, the winners by target and area, and what each choice decides."""
    known = table[table["winner"] != ""]
    rows = []
    for (target, area), own in known.groupby(["target", "area"], sort=False):
        wins = {name: (own["winner"] == method).mean() for method, name in METHOD_NAMES.items()}
        dice = {f"Dice of {name}": own[f"dice_{method}"].mean() for method, name in METHOD_NAMES.items()}
        above = {"over baseline": own["over_baseline"].median()}
        rows.append({"target": target, "area": area, "specifications": len(own), **wins, **dice, **above})
    shares = multiverse.turning(known) if len(known) else pd.Series(dtype="float64")
    decided = pd.DataFrame({"choice": shares.index, "share of variation": shares.to_numpy()})
    return {"multiverse": table, "winners": pd.DataFrame(rows), "choices": decided}


def write(folder, measured: dict[str, pd.DataFrame], run, weak: str) -> str:
    """Draw the figure, write `report.html`, and return its first paragraph.

    Args:
      folder: a `LockedFolder`.
      measured: by `measure`.
      run: whose maps these are.
      weak: members near chance in words, "" for none.
    """
    table = measured["multiverse"]
    paper = paper_of(table) | {"area": run.config.area}
    marked = pd.Series(np.all([table[name] == value for name, value in paper.items()], 0))
    drawn = figures.draw_multiverse(
        table, methods_first(), multiverse.choices_of(table), paper=marked, provenance=run.provenance
    )
    figures.save(drawn, folder.file("figures", "multiverse"))
    values = {
        "answer": " ".join(multiverse.sentences(table, METHOD_NAMES, paper=paper)),
        "who": run.provenance.who,
        "simulated": run.provenance.people == "simulated",
        "images": len(run.study_table),
        "source": run.provenance.source or "the run's pictures",
        "area": f"{run.config.area:g}",
        "areas": ", ".join(f"{area:g}" for area in table["area"].unique()),
        "targets": ", ".join(table["target"].unique()),
        "methods": ", ".join(METHOD_NAMES[method] for method in METHODS),
        "specifications": f"{len(table):,}",
        "weak": weak,
    }
    section = template.section(
        "versions", values, pictures=folder.path / "figures", table=measured.__getitem__, folder=_REPORT
    )
    figures.write_report(folder.file("report.html"), "Maps of people and networks", figures.Headline(), [section])
    return section.text.partition("\n\n")[0]
