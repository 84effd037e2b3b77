"""The stages of the study. Each reads what earlier ones left in the run folder and leaves its own results there."""

import importlib
from collections.abc import Callable

from experiments.stages import compare, design, explain, finetune, people, pictures, train, vote
from experiments.stages.study import Stage, Study
from experiments.stages.train import failed_members


def _with_figures(module: str, name: str) -> Callable[[Study], None]:
    """A stage that needs the figures extra, imported when it runs: without the extra all tables are still written."""

    def run(study: Study) -> None:
        getattr(importlib.import_module(f"experiments.stages.{module}"), name)(study)

    return run


WORK: dict[str, Stage] = {
    "data": Stage(pictures.prepare, ()),
    "design": Stage(design.draw_study, ("data",)),
    "members": Stage(train.train_members, ("data", "design")),
    "multiclass": Stage(train.train_multiclass, ("data", "design")),
    "vote": Stage(vote.vote, ("members", "multiclass")),
    "people": Stage(people.simulate, ("design",)),
    "saliency": Stage(explain.explain, ("members",)),
    "finetune": Stage(finetune.finetune, ("members", "people")),
    "compare": Stage(compare.compare, ("vote", "people", "saliency", "finetune")),
    "figures": Stage(_with_figures("draw", "draw_figures"), ("compare",)),
    "report": Stage(_with_figures("write", "write_report"), ("figures",)),
}

__all__ = ["WORK", "Stage", "Study", "failed_members"]
