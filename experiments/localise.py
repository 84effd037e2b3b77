"""Saliency against a known truth: do CAM, Grad-CAM and Extremal Perturbation find the pixels that matter?

    python -m experiments.localise --out=localisation.json
    python -m experiments.localise --run=runs/first --out=localisation.json

No figure of the paper: photographs have no truth, drawn faces do. The same person is drawn a second time showing the
pair's other expression, everything else equal. The oracle is the smoothed Lab difference of the two, and the truth
region the --truth_area of pixels in which it is largest. Each face is of a person no network has seen, and is
explained for the expression it shows by its pair's member of a run of drawn faces, by an untrained member (what does
training add?), and by maps that ask no network: edges, a centre Gaussian, a random field, the mean truth of other
people for the pair and for all pairs, and the picture's own truth in cells as coarse as the network's features.
Without --run, a run of the defaults is made in runs/localisation first, and kept.

Scores, each the better the higher: pointing game (is the maximum in the region?), energy (share of the positive mass
in it), AUC and Dice at equal area against it, Spearman's correlation with the oracle itself, and swap: by how much the
member's probability of the shown expression falls when the pixels that the map puts first, as many as the region has,
are exchanged for those of the second drawing. Swap asks the network, so it tells a map that errs from a network that
looks elsewhere. Means over the pictures of a pair, then over 28 pairs. 95 % bootstrap intervals over pairs, and
Holm's correction over all comparisons of a score. The faces are synthetic: this is about methods, not about people.

Prints the tables. --out writes them as JSON, and beside it as CSV (_scores, _contrasts, _pairs, _pictures) and figures
(_scores, _pairs, _faces, as PNG and SVG). Two CPU cores: about ten minutes with the networks of the
first run. docs/localisation.md reads its tables.
"""

import dataclasses
import importlib.util
import pathlib
import sys
import time

from experiments.config import Command, Explain, OfRun, Resampling
from experiments.harness import command
from experiments.harness.command import again, option
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS

MADE_RUN = "runs/localisation"
_METHODS = "cam,grad_cam,extremal_perturbation"


@dataclasses.dataclass(frozen=True)
class LocalisationConfig:
    """What to score, and how."""

    run: str = again(OfRun, "run", text=f"Run folder, of drawn faces; none given: {MADE_RUN} is made or used.")
    out: str = option("", "JSON file for all tables, such as localisation.json; none given: printed alone.")
    num_images: int = option(
        280,
        "Faces to explain, a multiple of 56: as many of each (true, foil).",
        low=len(EXPRESSIONS.ordered_pairs),
        high=1_000_000,
        aliases=("images",),
    )
    truth_area: float = option(
        0.1, "Share of the pixels that counts as evident.", low=0.001, high=0.999, aliases=("area",)
    )
    methods: str = option(_METHODS, "Comma-separated methods.")
    score: str = option(
        "logit", "Grad-CAM, its kin and gradients: score to explain.", choices=("logit", "difference", "probability")
    )
    ep_iterations: int | None = again(Explain, "ep_iterations", unset="the run's", aliases=("iterations",))
    resamples: int = again(Resampling, "resamples")
    seed: int = again(Command, "seed")


def main(config: LocalisationConfig) -> int:
    """Draw, explain, score, print and write the tables. Returns an exit code."""
    methods = _check(config)
    out = pathlib.Path(config.out) if config.out else None
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
    from experiments.localisation import drawn_run, known_truth, truth_report, truth_scores
    from experiments.study.explain import settings_of

    if not config.run and (code := drawn_run.make(MADE_RUN)):
        return code
    run = drawn_run.opened(config.run or MADE_RUN)
    began = time.monotonic()
    settings = settings_of(run.config)
    options = dataclasses.replace(settings.extremal, iterations=config.ep_iterations or run.config.ep_iterations)
    settings = dataclasses.replace(settings, methods=methods, score=config.score, extremal=options)
    known = known_truth.draw(run, config.num_images)
    maps = known_truth.explained(run, known, settings, seed=config.seed)
    maps |= known_truth.reference_of(run, known, seed=config.seed)
    readers = truth_scores.Readers(run, known)
    table = truth_scores.score(known, maps, readers, area=config.truth_area)
    findings = truth_report.Findings.of(table, known, readers, config, run, methods)
    print(findings.page())
    if out:
        findings.write(out)
        if importlib.util.find_spec("matplotlib") is None:
            sys.stderr.write("no figures: matplotlib is not installed; pip install 'fer-jax[figures]'.\n")
        else:
            truth_report.draw(findings, known, maps, out)
    sys.stderr.write(f"localisation: done in {round(time.monotonic() - began)} s\n")
    return 0


def _check(config) -> tuple[str, ...]:
    """Return the methods, and refuse flags that are wrong whatever the run."""
    command.check_bounds(config)
    cells = len(EXPRESSIONS.ordered_pairs)
    if config.num_images % cells:
        raise UsageError(
            f"`--num_images`: wanted a multiple of {cells}, as many of each (true, foil), got {config.num_images}."
        )
    out = pathlib.Path(config.out)
    if config.out and (out.suffix != ".json" or out.is_dir()):
        raise UsageError(f"`--out`: wanted a name that ends in .json, got {config.out}.")
    return command.parse_names("methods", config.methods, _METHODS.split(","), wanted="some of")


if __name__ == "__main__":
    sys.exit(command.run(main, LocalisationConfig, usage=__doc__))
