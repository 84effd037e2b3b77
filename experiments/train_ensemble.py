"""Train the binary networks, one for each pair of expressions (paper §5.1, Fig. 5).

    python -m experiments.train_ensemble --out=runs/net --dataset=ferplus --data_dir=PATH
    python -m experiments.train_ensemble --out=runs/a --members=0-6 ...      # one job of many, see merge_members
    python -m experiments.train_ensemble --out=runs/thirty --stop_accuracy=0 --max_epochs=30 ...
    python -m experiments.train_ensemble --out=runs/tuned --init_from=resnet50.safetensors --preset=paper ...

Stages data, design (the study pictures are held out) and members of the study. Then experiments.reproduce goes on in
the same folder. Leaves tables/members.csv, metrics.jsonl, tables/metrics_ensemble.csv and networks in ensemble/.
Two CPU cores: two and a half minutes on the drawn faces. The paper's members reach 90 % in training.
"""

import sys

from experiments.config import StudyConfig
from experiments.harness import command
from experiments.study.stages import run_part

STAGES = ("data", "design", "members")


def main(config: StudyConfig) -> int:
    """Train the members, then print their table's path."""
    return run_part(config, STAGES, "members")


if __name__ == "__main__":
    sys.exit(command.run(main, StudyConfig, usage=__doc__))
