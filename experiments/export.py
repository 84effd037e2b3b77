"""Take networks out of a run: safetensors files under torchvision's names, for other libraries and other people.

    python -m experiments.export --run=runs/first --pair=happy-sad --out=happy-sad.safetensors
    python -m experiments.export --run=runs/first --pair=all --out=members
    python -m experiments.export --run=runs/first --out=multiclass.safetensors

No figure of the paper, which published no networks. A file also says its architecture, its classes in the order of the
logits, the side of its input in pixels and how that is normalised, so that experiments.explain --weights=FILE and
--init_from=FILE need nothing more. Where torch is installed, safetensors.torch.load_file reads it. Seconds.
"""

import dataclasses
import pathlib
import sys

from experiments.config import OfRun
from experiments.harness import command
from experiments.harness.command import option
from fer_jax.errors import UsageError

_SUFFIX = ".safetensors"


@dataclasses.dataclass(frozen=True)
class ExportConfig(OfRun):
    """The flags of an export. An empty string means: not given."""

    out: str = option("", "File to write, NAME.safetensors; a folder with --pair=all. What lies there is replaced.")


def main(config: ExportConfig) -> None:
    """Write the files, and print what was asked for."""
    every = config.pair == "all"
    out = pathlib.Path(config.out)
    if not config.run:
        raise UsageError("`--run`: wanted a run folder, such as --run=runs/first, got none.")
    if every and (not config.out or out.is_file() or out.suffix == _SUFFIX):
        raise UsageError(f"`--out`: wanted a folder for a file a member, such as --out=members, got {config.out!r}.")
    if not every and (out.suffix != _SUFFIX or out.is_dir()):
        raise UsageError(f"`--out`: wanted a file that ends in {_SUFFIX}, got {config.out!r}.")
    from experiments import networks
    from experiments.study.run import open_run

    names = open_run(config.run).categories if every else None
    pairs = [config.pair] if names is None else [names.pair_name(index) for index in range(names.num_pairs)]
    for pair in pairs:
        network = networks.from_run(config.run, pair, finetuned=config.finetuned)
        networks.to_file(network, out / f"{pair}{_SUFFIX}" if every else out)
    print(config.out)


if __name__ == "__main__":
    sys.exit(command.run(main, ExportConfig, usage=__doc__))
