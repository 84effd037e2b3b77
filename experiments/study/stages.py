"""The stages of a run, in order. Each reads what earlier ones left in the run folder and leaves results there."""

import importlib
from collections.abc import Callable

from experiments.study import compare, design, explain, finetune, people, pictures, train, vote
from experiments.study.study import Study


def _with_figures(module: str, name: str) -> Callable[[Study], None]:
    """A stage that needs the figures extra, imported when it runs: without the extra all tables are still written."""

    def run(study: Study) -> None:
        getattr(importlib.import_module(f"experiments.study.{module}"), name)(study)

    return run


WORK: dict[str, Callable[[Study], None]] = {
    "data": pictures.prepare,
    "design": design.draw_study,
    "members": train.train_members,
    "multiclass": train.train_multiclass,
    "vote": vote.vote,
    "people": people.simulate,
    "saliency": explain.explain,
    "finetune": finetune.finetune,
    "compare": compare.compare,
    "figures": _with_figures("draw", "draw_figures"),
    "report": _with_figures("write", "write_report"),
}
