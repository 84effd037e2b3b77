"""Scores against the truth as tables to read and files to keep, and their figures."""

import dataclasses
import itertools
import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd

from experiments.harness.text_table import aligned
from experiments.localisation import truth_scores
from experiments.localisation.known_truth import CEILING, CELLS, REFERENCES, KnownFaces, untrained
from experiments.localisation.truth_scores import SCORES, SWAP
from experiments.study.run_folder import plain, versions
from fer_jax.compare import localisation
from fer_jax.explanation import METHOD_NAMES
from fer_jax.expressions import EXPRESSIONS
from fer_jax.provenance import Provenance

DRAWN = Provenance(pictures="drawn")

SIGNIFICANT = 0.05
SCORE_NAMES = {
    "pointing": "pointing game",
    "energy": "energy inside",
    "auc": "AUC",
    "dice": "Dice",
    "spearman": "Spearman",
    SWAP: "swap",
}
REFERENCE_NAMES = {
    "pair_mean": "mean truth of the pair",
    "face_mean": "mean truth of all pairs",
    "edges": "edges of the picture",
    "centre": "centre Gaussian",
    "random_field": "random field",
    CELLS: "the truth in cells",
    CEILING: "the truth itself",
}
NAMES = {
    **METHOD_NAMES,
    **{untrained(method): f"{name}, untrained" for method, name in METHOD_NAMES.items()},
    **REFERENCE_NAMES,
}
KINDS = {
    **dict.fromkeys(METHOD_NAMES, "trained member"),
    **dict.fromkeys(map(untrained, METHOD_NAMES), "untrained member"),
    **dict.fromkeys(REFERENCES, "no network"),
    **dict.fromkeys((CELLS, CEILING), "the truth"),
}


@dataclasses.dataclass(frozen=True)
class Findings:
    """The results of the benchmark.

    Attributes:
      facts: about faces, region, networks and settings.
      pictures: a score table, see `truth_scores.score`.
      scores: means with intervals, see `compare.localisation.summarise`, and chance.
      scores_right: the same over the pictures that the trained member classifies rightly.
      contrasts: see `compare.localisation.contrasts`.
      pairs: means within pairs, and how much evidence a pair has.
    """

    facts: dict[str, Any]
    pictures: pd.DataFrame
    scores: pd.DataFrame
    scores_right: pd.DataFrame
    contrasts: pd.DataFrame
    pairs: pd.DataFrame

    @classmethod
    def of(cls, table, known, readers, config, run, methods) -> "Findings":
        """Reduce a score table."""
        options = {"seed": config.seed, "resamples": config.resamples, "scores": SCORES}
        regions = truth_scores.regions(known, area=config.truth_area)
        one = table[table["method"] == CEILING]
        facts = {
            "area": config.truth_area,
            "images": config.num_images,
            "faces": run.config.faces,
            "image_size": run.config.image_size,
            "model": run.config.model,
            "run": str(run.folder.path),
            "run_seed": run.config.seed,
            "n_pictures": len(known),
            "n_right": int(one["right"].sum()),
            "accuracy": one["right"].mean(),
            "region_share": regions.mean(),
            "evidence_inside": float((known.truths * regions).sum() / known.truths.sum()),
            "whole_swap": float((readers.of_true_class(known.pictures) - readers.of_true_class(known.twins)).mean()),
            "ep_iterations": config.ep_iterations or run.config.ep_iterations,
            "ep_score": run.config.ep_score,
            "ep_reward_scale": run.config.ep_reward_scale,
            "ep_area": run.config.area,
        }
        expected = localisation.chance(facts["region_share"])
        summary = localisation.summarise(table, **options)
        right = localisation.summarise(table[table["right"]], **options)
        pairs = localisation.per_pair(table, scores=SCORES)
        pairs = truth_scores.pair_evidence(known).merge(pairs, on="pair")
        return cls(
            facts=dataclasses.asdict(config) | facts | {"versions": versions()},
            pictures=table,
            scores=summary.assign(chance=summary["score"].map(expected)),
            scores_right=right,
            contrasts=localisation.contrasts(table, comparisons(methods), **options),
            pairs=pairs[["method", "pair", "pair_name", "n", *SCORES, "evidence"]],
        )

    def page(self) -> str:
        """Return the tables as text."""
        facts, heads = self.facts, ("", *SCORE_NAMES.values())
        methods = list(dict.fromkeys(self.scores["method"]))
        explained = [method for method in methods if method in METHOD_NAMES]
        rows = [heads]
        for kind, own in itertools.groupby(methods, key=KINDS.__getitem__):
            rows += [_group(kind), *(_line(self.scores, method) for method in own)]
        chance = self.scores.drop_duplicates("score").set_index("score")["chance"]
        rows += [_group("chance"), ("  expected", *(_number(chance[score]) for score in SCORES))]
        right = [heads, *(_line(self.scores_right, method) for method in explained)]
        against = [heads]
        for first, own in self.contrasts.groupby("a", sort=False):
            against.append(_group(f"{NAMES[first]} minus"))
            for second, both in own.groupby("b", sort=False):
                cells = both.set_index("score").loc[list(SCORES)].to_dict("records")
                against.append((f"  {NAMES[second]}", *map(_difference, cells)))
        count = len(self.contrasts) // len(SCORES)
        return "\n".join(
            [
                f"Saliency against the oracle: {facts['n_pictures']} synthetic faces ({facts['faces']}, "
                f"{facts['image_size']} px) of people no network has seen, 28 pairs.",
                f"The pair's member is right on {facts['n_right']} of them ({_number(facts['accuracy'])}). Truth: "
                f"{_number(facts['region_share'])} of the pixels, with {_number(facts['evidence_inside'])} of the "
                "difference.",
                f"Exchanged as a whole for its twin, a picture loses {_number(facts['whole_swap'])} of the shown "
                "expression's probability: the most that swap can reach.",
                "",
                "Mean over pairs (95 % bootstrap interval over 28 pairs)",
                aligned(rows),
                f"without a score, pictures: {self._gaps() or 'none'}",
                "",
                f"Only the {facts['n_right']} pictures that the member classifies rightly",
                aligned(right),
                "",
                f"Differences, paired by picture; * Holm-corrected p < {_number(SIGNIFICANT)} among a column's {count}",
                aligned(against),
                "",
                *(self._extremes(method) for method in explained),
            ]
        )

    def _gaps(self) -> str:
        """Count each method's pictures without a score: a constant map has none at all, one without mass no energy."""
        missing = self.scores.pivot(index="method", columns="score", values="missing")
        return "; ".join(
            f"{NAMES[method]} {row['dice']}" + (f" ({row['energy']} for energy)" if row["energy"] > row["dice"] else "")
            for method, row in missing.iterrows()
            if row["energy"]
        )

    def _extremes(self, method):
        """Name the pairs a method does best and worst in. Correlate its Dice with the evidence there is to find."""
        own = self.pairs[self.pairs["method"] == method].dropna(subset=["dice"]).sort_values("dice", ascending=False)
        if len(own) < 6:
            return f"{NAMES[method]}: too few pairs with a Dice to name the best and the worst ({len(own)})."
        named = [f"{row.pair_name} {_number(row.dice)}" for row in own.itertuples()]
        rank = own["dice"].corr(own["evidence"], method="spearman")
        return (
            f"{NAMES[method]}: Dice is highest in {', '.join(named[:3])}, lowest in {', '.join(named[-3:])}; its rank "
            f"correlation with how much the pair's faces differ is {_number(rank)} (n = {len(own)} pairs)."
        )

    def write(self, out: pathlib.Path) -> None:
        """Write everything as JSON, and each table as CSV beside it."""
        tables = {
            "scores": self.scores,
            "scores_right": self.scores_right,
            "contrasts": self.contrasts,
            "pairs": self.pairs,
            "pictures": self.pictures,
        }
        for name, table in tables.items():
            beside(out, name).with_suffix(".csv").write_text(
                table.to_csv(index=False, lineterminator="\n"), encoding="utf-8"
            )
        content = {"facts": self.facts} | {name: table.to_dict("records") for name, table in tables.items()}
        out.write_text(json.dumps(plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _group(name):
    return (name,) + ("",) * len(SCORES)


def _line(summary, method):
    own = summary[summary["method"] == method].set_index("score").loc[list(SCORES)]
    name = METHOD_NAMES.get(method.removesuffix(untrained("")), NAMES[method])
    return f"  {name}", *map(_with_interval, own.to_dict("records"))


def _number(value):
    return f"{value:.2f}".replace("0.", ".", 1) if np.isfinite(value) else "-"


def _with_interval(cell):
    low, high = _number(cell["ci_low"]), _number(cell["ci_high"])
    return f"{_number(cell['mean'])} ({low}, {high})"


def _difference(cell):
    if not np.isfinite(cell["difference"]):
        return "-"
    low, high = (f"{cell[end]:+.2f}".replace("0.", ".", 1) for end in ("ci_low", "ci_high"))
    star = "*" if cell["p_holm"] < SIGNIFICANT else ""
    return f"{cell['difference']:+.2f} ({low}, {high}){star}".replace("0.", ".", 1)


def comparisons(methods) -> list[tuple[str, str]]:
    """Return what is compared, decided before any result: each method with what it should beat, and with the others."""
    against = [(method, other) for method in methods for other in ("centre", "edges", "face_mean", "pair_mean")]
    control = [(method, untrained(method)) for method in methods]
    return [*control, *against, *itertools.combinations(methods, 2)]


def beside(out: pathlib.Path, name: str) -> pathlib.Path:
    """Name a file next to the JSON, without suffix."""
    return out.with_name(f"{out.stem}_{name}")


def draw(findings: Findings, known: KnownFaces, maps: dict[str, np.ndarray], out: pathlib.Path) -> None:
    """Draw three figures beside the JSON: scores, pairs, and faces with their maps."""
    from fer_jax import figures

    facts = findings.facts
    table = findings.scores[~findings.scores["method"].isin((CELLS, CEILING))]
    table = table.assign(kind=table["method"].map(KINDS), method=table["method"].map(NAMES))
    notes = [
        f"n = {facts['n_pictures']} pictures in 28 pairs",
        f"faces {facts['faces']}, {facts['image_size']} px",
        "bars: 95 % bootstrap over pairs",
    ]
    scores = figures.draw_localisation(table, names=SCORE_NAMES, notes=notes, provenance=DRAWN)
    figures.save(scores, beside(out, "scores"))
    pairs = findings.pairs[findings.pairs["method"] != CEILING]
    pairs = pairs.assign(method=pairs["method"].map(NAMES))
    title = f"Dice with the truth at equal area, by pair (chance {facts['region_share']:.2f})"
    matrix = figures.draw_pair_scores(pairs, "dice", title=title, notes=notes[:2], provenance=DRAWN)
    figures.save(matrix, beside(out, "pairs"))
    shown = [name for name in (*METHOD_NAMES, "pair_mean", "edges") if name in maps]
    regions = truth_scores.regions(known, area=facts["area"])
    rows, outlines = [], []
    for expression, name in enumerate(EXPRESSIONS):  # each against the next
        foil = (expression + 1) % len(EXPRESSIONS)
        place = int(np.flatnonzero((known.shown == expression) & (known.foils == foil))[0])
        panels = {"oracle (truth)": known.truths[place]} | {NAMES[each]: maps[each][place] for each in shown}
        rows.append((known.pictures[place], panels, f"{name},\nnot {EXPRESSIONS[foil]}"))
        outlines.append(regions[place])
    title = "The evidence (outlined), and where each map puts it"
    grid = figures.draw_saliency_grid(rows, outlines=outlines, title=title, provenance=DRAWN)
    figures.save(grid, beside(out, "faces"))
