"""Maps of people and networks under every choice that the paper leaves open, with areas and targets (paper §5.3).

    python -m experiments.reproduce --out=runs/first
    python -m experiments.compare_attention --run=runs/first --out=attention
    python -m experiments.compare_attention --run=runs/first --each_area=.05,.2 --each_target=true --out=attention

Which method's maps are most like people's, and what does the answer hang on? The run's table `multiverse` varies the
Dice protocol and people's maps. Here the area that Extremal Perturbation keeps and the score that is explained vary,
too: the logit of the true label, of the label that the member predicts, or their difference. The run's study images are
explained anew for that, through their own members. The run's own maps are taken as they are.

Writes tidy tables (CSV), the curve of all specifications (PNG and SVG) and report.html, whose first paragraph is the
answer, and prints that paragraph. Takes as long as the run's stage `saliency` for each area beside the run's, and for
each area of the difference. The same command goes on where it was stopped. The paper: Extremal Perturbation fits best
(F = 85.45). It names neither its area nor its target.
"""

import contextlib
import dataclasses
import sys

from experiments.config import OfRun
from experiments.explain_options import parse_areas
from experiments.harness import command
from experiments.harness.command import again, option
from experiments.harness.locked_folder import LockedFolder
from fer_jax.errors import UsageError

_RECORD = "settings.json"
_TARGETS = "true,predicted,difference"


@dataclasses.dataclass(frozen=True)
class CompareAttentionConfig:
    """Whose maps to compare, and under which choices."""

    run: str = again(OfRun, "run")
    each_area: str = option(
        "0.05,0.1,0.15,0.2", "Shares of the picture that Extremal Perturbation keeps. The run's is always among them."
    )
    each_target: str = option(_TARGETS, "What is explained, some of these. The true label is always among them.")
    out: str = option("", "Folder for tables, figures and report.html.")


def main(config: CompareAttentionConfig) -> None:
    """Explain what the run has not explained, compare under every choice, draw, write the page, print the answer."""
    for name, wanted in (("run", "runs/first"), ("out", "attention")):
        if not getattr(config, name):
            raise UsageError(f"`--{name}`: wanted a folder, such as --{name}={wanted}, got none.")
    areas = parse_areas(config.each_area, flag="each_area")
    targets = command.parse_names("each_target", f"true,{config.each_target}", _TARGETS.split(","), wanted="some of")
    stop = command.StopRequest().install()
    from experiments.people_and_networks import versions, versions_page
    from experiments.study.effects import cells_of
    from experiments.study.open_choices import people_versions
    from experiments.study.people import analysed, read_everybody
    from experiments.study.run import open_to_compute
    from experiments.study.write import weak_members
    from fer_jax.compare import multiverse
    from fer_jax.human.table_files import as_csv

    run = open_to_compute(config.run)
    if run.config.people == "none":
        raise UsageError(f"`--run`: wanted a run with people, got {config.run}, which was made with --people=none.")
    for name, stage in (("people.json", "people"), ("maps.npz", "saliency")):
        if not run.folder.has(name):
            raise run.folder.unfinished(name, stage)
    everybody = read_everybody(run)
    people = people_versions(run, analysed(run, everybody)[0], everybody)
    leftovers = ("LOCK", _RECORD, "figures", "maps", "report.html", "multiverse.csv", "winners.csv", "choices.csv")
    folder = LockedFolder(config.out, record=_RECORD, holds="comparison of attention", leftovers=leftovers)
    with contextlib.closing(folder):
        networks = versions.network_versions(run, folder, versions.with_own(areas, run), targets, check=stop.check)
        measured = versions_page.measure(multiverse.multiverse(people, networks, run.study_pairs, cells_of(run)))
        for name, table in measured.items():
            folder.write_text(f"{name}.csv", as_csv(table))
        answer = versions_page.write(folder, measured, run, ", ".join(weak_members(run).values()))
        folder.write_json(_RECORD, {**dataclasses.asdict(config), "answer": answer})
    print(f"{answer}\n\n{folder.path}")


if __name__ == "__main__":
    sys.exit(command.run(main, CompareAttentionConfig, usage=__doc__))
