"""Benchmarks: ours and its peers in turns on the same machine, as ratios.

    python -m benchmarks saliency --out=saliency.json
    python -m benchmarks training --out=training.json

No figure of the paper. Every number is a median of paired runs (A B A B). What is claimed is their ratio.
`saliency`: ResNet-50 at 224 px against peers in JAX and, where torch is installed, torch running the same mathematics.
With --run also what stopping on convergence saves and costs on a run's study pictures.
`training`: the stacked ensemble against its members one by one, plain stacking and torch. Then a whole run of 28 small
members, useful slot-steps, memory and the data path. Either suite takes five to ten minutes on two cores.
--out writes the rows as JSON: a list of {"name", "ours", "theirs", "unit", "ratio", "goal", "holds"}.
"""

import dataclasses
import functools
import importlib
import json
import pathlib
import sys

from experiments.harness import command
from experiments.harness.command import option
from fer_jax.errors import UsageError

SUITES = ("saliency", "training")


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """The flags of a benchmark."""

    out: str = option("", "JSON file for the rows, such as saliency.json; none given: the table alone.")
    only: str = option("", "Measure the groups of rows whose name holds this text, or the group of a row.")
    model: str = option("resnet50", "Network; mini has a few blocks, for a quick look.", choices=("resnet50", "mini"))
    size: int = option(224, "Side of the pictures, pixels.", low=32, high=1024)
    repeats: int = option(5, "Pairs of runs.", low=1, high=1000)
    iterations: int = option(8, "Extremal Perturbation: iterations in a timed run.", low=1, high=10_000)
    run: str = option("", "Run folder of experiments.reproduce, for the rows on stopping early.")
    images: int = option(56, "With --run: pictures, evenly from the run's study pictures.", low=1, high=100_000)


def benchmark(suite: str | None, config: BenchmarkConfig) -> None:
    """Measure, print the table as it grows, write the rows."""
    if suite not in SUITES:
        raise UsageError(f"`suite`: wanted one of {', '.join(SUITES)} as the first argument, got {suite or 'none'}.")
    command.check_bounds(config)
    out = pathlib.Path(config.out) if config.out else None
    if out and (out.suffix != ".json" or out.is_dir()):
        raise UsageError(f"`--out`: wanted a name that ends in .json, got {out}.")
    from benchmarks import pairing

    measured = importlib.import_module(f"benchmarks.{suite}")

    rows = []
    for row in measured.rows(config):
        rows.append(row)
        sys.stderr.write(pairing.table([row]).splitlines()[1] + "\n")
        if out:  # after every row: a long suite that is stopped has printed what it measured
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps([dataclasses.asdict(each) for each in rows], indent=1) + "\n", encoding="utf-8")
    print(pairing.table(rows))


def main(argv: list[str]) -> int:
    """Take the suite's name off the arguments, run, answer errors, and return the exit code."""
    name, *rest = argv
    suite = rest.pop(0) if rest and not rest[0].startswith("-") else None
    return command.run(functools.partial(benchmark, suite), BenchmarkConfig, usage=__doc__, argv=[name, *rest])


if __name__ == "__main__":
    sys.exit(main(sys.argv))
