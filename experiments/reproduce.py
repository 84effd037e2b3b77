"""The whole study in one command: pictures in, a report out (every table and figure of the paper, in its order).

    python -m experiments.reproduce --out=runs/first
    python -m experiments.reproduce --out=runs/ferplus --dataset=ferplus --data_dir=ferplus_train_valid.zip
    python -m experiments.reproduce --out=runs/people --dataset=class_folders --data_dir=... --people=FOLDER
    python -m experiments.reproduce --out=runs/paper --preset=paper --dataset=... --data_dir=...

Stages: data, design (§3), members and multiclass (§5.1), vote (§5.2), people (§4, simulated unless --people names a
study's tables), saliency (§5.3), finetune (§5.1), compare (§5.3), figures, report. Each leaves its results in the run
folder when it ends. The same command goes on where it was stopped. What is missing, and what has read a flag or a file
that has changed, is made again, and the rest stays: --masked_ratio=0.9 fine-tunes again, --stages=figures draws again.
Pictures and trained networks are never replaced. `summary.json` holds the numbers, `report.html` is for reading. Of
pictures of yours: `labels.png`, eight of each expression as labelled, `rejected.csv` and `flagged.csv`.

The default draws its own faces and takes under six minutes on two CPU cores. The paper's numbers on AffectNet, to
compare with: simple and weighted vote 49 and 50 %, multiclass 54 %, people 83.9 %.
"""

import pathlib
import sys

from experiments.config import StudyConfig, chosen_stages, resolve
from experiments.harness import command
from experiments.study.stages import run_stages
from fer_jax.errors import UsageError


def main(config: StudyConfig) -> int:
    """Run the stages that are not finished yet, and print the report's path.

    Returns:
      An exit code: 0, or 4 if a member failed.
    """
    config = resolve(config)
    if config.members != "all" and set(chosen_stages(config)) - {"data", "design", "members"}:
        raise UsageError(
            f"`--members`: {config.members} only is a job for experiments.train_ensemble; once all members are "
            "trained, experiments.merge_members joins the runs and experiments.reproduce goes on."
        )
    code = run_stages(config, chosen_stages(config), named=config.stages != "all")
    report = pathlib.Path(config.out) / "report.html"
    if report.exists() and not config.dry_run:
        print(report)
    return code


if __name__ == "__main__":
    sys.exit(command.run(main, StudyConfig, usage=__doc__))
