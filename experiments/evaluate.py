"""Score a run's decisions: votes, intervals, calibration (paper §5.2, Figs 5-8), here or on another set of pictures.

    python -m experiments.evaluate --run=runs/first
    python -m experiments.evaluate --run=runs/ferplus --finetuned --resamples=10000 --out=scores
    python -m experiments.evaluate --run=runs/ferplus --split=test
    python -m experiments.evaluate --run=runs/ferplus --dataset=rafdb --data_dir=RAF-DB

Without --dataset and --split it reads the logits that stage `vote` left (with --finetuned also those of stage
`finetune`), so a run may be read while it goes on. Rules: the paper's two votes, votes weighted by probability or by
margin, the sum of the members' probabilities, and the same with a temperature for each member (ours), and the
multiclass network, with and without one. Temperatures are cross-fitted: the pictures are halved at random within each
expression, and each half is scored with temperatures fitted on the other. Intervals are 95 % percentile bootstraps over
pictures, drawn within each expression. Writes scores.csv (rule, measure, value, low, high, n), members.csv and
settings.json, and prints the tables. A few seconds on two CPU cores. The paper's numbers on AffectNet: simple and
weighted vote 49 and 50 %, multiclass 54 %.

With them the run's networks name the pictures of another set, or of the official test split of their own, cropped and
sized as the run's. Categories meet by name (--class_map, --label_table). Those of one side only, and pictures that the
networks have learned from (equal pixels), are left out and counted. The members of shared pairs vote, which are the
ensemble that training with the shared categories would give: no picture shows the others, so a vote on one says
nothing. Rules named all_members_* let every member vote, and decide among the shared categories. Beside the tables:
confusion.csv, decisions.csv (a line a picture), left_out.csv. In scores.csv, `pictures` says other, or own: the run's
own evaluation pictures of the same categories. Small networks take a minute, and a ResNet-50 wants a GPU.
"""

import contextlib
import dataclasses
import pathlib
import sys

from experiments.config import Command, OfRun, Pictures, Resampling
from experiments.harness import command
from experiments.harness.command import again, option
from experiments.harness.locked_folder import LockedFolder
from experiments.study.picture_flags import READ_AT_ONCE
from fer_jax.errors import UsageError

_RECORD = "settings.json"
_OURS = ("LOCK", _RECORD, *(f"{name}.csv" for name in ("members", "scores", "confusion", "decisions", "left_out")))


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """The flags of a scoring."""

    run: str = again(OfRun, "run")
    dataset: str | None = again(
        Pictures,
        "dataset",
        text="Pictures to name: a copy of a known set, class folders, or what experiments.prepare_data built.",
        default=None,
        choices=(*READ_AT_ONCE, "prepared"),
        unset="the run's own set with --split, else the run's evaluation pictures",
    )
    data_dir: str | None = again(Pictures, "data_dir", unset="the run's own")
    split: str | None = option(
        None,
        "Pictures of this split only.",
        choices=("train", "validation", "test"),
        unset="test where the set has one, else all of them",
    )
    class_map: str | None = again(Pictures, "class_map")
    label_table: str | None = again(Pictures, "label_table")
    target: str = again(Pictures, "target")
    crop: str | None = again(Pictures, "crop", unset="as the run's; box for AffectNet and ExpW")
    detector: str | None = again(Pictures, "detector", default=None, unset="as the run's")
    max_reject_frac: float = again(Pictures, "max_reject_frac")
    out: str = option("", "Folder for the tables; none given: the run's own, evaluation/ or evaluation_on_SET/.")
    resamples: int = again(Resampling, "resamples")
    seed: int = again(Command, "seed")
    finetuned: bool = again(OfRun, "finetuned")


def main(config: EvaluateConfig) -> None:
    """Score every rule, write the tables, and print them and their folder."""
    if not config.run:
        raise UsageError("`--run`: wanted a run folder, such as --run=runs/first, got none.")
    command.check_bounds(config)
    if config.dataset or config.data_dir or config.split:
        from experiments.evaluation import other_pictures as pictures

        config = pictures.resolve(config)
    else:
        from experiments.evaluation import own_pictures as pictures
    sources = pictures.read(config)
    name = f"evaluation_on_{config.dataset}" if config.dataset else "evaluation"
    out = pathlib.Path(config.out or pathlib.Path(config.run) / name)
    with contextlib.closing(LockedFolder(out, record=_RECORD, holds="scores", leftovers=_OURS)) as folder:
        tables, record, text = pictures.score(sources, config)
        for name, table in tables.items():
            folder.write_text(f"{name}.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.6f"))
        folder.write_json(_RECORD, record)
    print(f"{text}\n\n{out}")


if __name__ == "__main__":
    sys.exit(command.run(main, EvaluateConfig, usage=__doc__))
