"""The stages of a run, in order. Each reads what earlier ones left in the run folder and leaves results there."""

import importlib
from collections.abc import Callable

from experiments.study import compare, design, explain, finetune, people, pictures, train, vote
from experiments.study.run import Run


def _with_figures(module: str, name: str) -> Callable[[Run], None]:
    """Return a stage that needs the extra of figures, imported when it runs: tables are written without it."""

    def stage(run: Run) -> None:
        getattr(importlib.import_module(f"experiments.study.{module}"), name)(run)

    return stage


WORK: dict[str, Callable[[Run], None]] = {
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
