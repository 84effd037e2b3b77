"""Train the eight-way network with weighted cross-entropy (paper §5.2, Fig. 7).

    python -m experiments.train_multiclass --out=runs/net --dataset=ferplus --data_dir=PATH

Stages data, design (the study pictures are held out) and multiclass of the study. Then experiments.reproduce and
experiments.train_ensemble go on in the same folder. Leaves tables/multiclass.csv, metrics.jsonl and
tables/metrics_multiclass.csv, and the network in multiclass/. Two CPU cores: under a minute on the drawn faces.
The paper's network reaches 54 % on AffectNet's validation pictures.
"""

import sys

from experiments.config import StudyConfig
from experiments.harness import command
from experiments.study.stages import run_part

STAGES = ("data", "design", "multiclass")


def main(config: StudyConfig) -> int:
    """Train the network, then print its table's path."""
    return run_part(config, STAGES, "multiclass")


if __name__ == "__main__":
    sys.exit(command.run(main, StudyConfig, usage=__doc__))
