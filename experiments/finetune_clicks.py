"""Fine-tune the binary networks on pictures as people had uncovered them when they were right (paper §5.1, Fig. 8).

    python -m experiments.finetune_clicks --out=runs/net
    python -m experiments.finetune_clicks --out=runs/net --clicks=tfds/click_study/1.0.0

Stages data, design, members, people and finetune of the study. People are simulated unless --people (or --clicks)
names a study's tables, or the set that experiments.prepare_data --dataset=click_study made of them. What has run
already in the folder is not run again, and experiments.reproduce goes on in it. Each member sees click-revealed
pictures, their masks moved by a pixel in eight directions, and whole ones, which alone are augmented (§5.1). Ours: how
many of each (--masked_ratio), how many pictures and at what rate (--finetune_images, --finetune_learning_rate), and
that BatchNorm keeps the statistics of whole faces. Leaves tables/members_finetuned.csv and the networks in finetuned/.
The paper's votes fall from 49 to 43 % on AffectNet.
"""

import sys

from experiments.config import StudyConfig
from experiments.harness import command
from experiments.study.stages import run_part

STAGES = ("data", "design", "members", "people", "finetune")


def main(config: StudyConfig) -> int:
    """Fine-tune the members, then print their table's path."""
    return run_part(config, STAGES, "members_finetuned")


if __name__ == "__main__":
    sys.exit(command.run(main, StudyConfig, usage=__doc__))
