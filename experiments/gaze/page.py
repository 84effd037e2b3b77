"""The page of `experiments.clicks_and_gaze`: its first paragraph is the answer. Its prose is in the folder `report`.

Contract: the verdict on a source is a rule over its correlation with held-out gaze: no better than a floor whose paired
interval reaches 0, as good as the ceiling if that interval does, else something between.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.study import template
from fer_jax import figures
from fer_jax.compare.gaze import ANOTHER, CEILING, CENTRE, CHANCE, GAZE, OTHERS
from fer_jax.figures.style import count, number
from fer_jax.human import gaze as human_gaze
from fer_jax.human.gaze import OSIE_PX_A_DEGREE
from fer_jax.provenance import Provenance

REPORT = pathlib.Path(__file__).parent / "report"
_SECTIONS = ("agreement", "people", "pictures", "limits", "method")
_NAMES = {
    "nss": "NSS",
    "auc_judd": "AUC, Judd",
    "auc_shuffled": "AUC, shuffled",
    "cc": "CC",
    "sim": "SIM",
    "kl": "KL, nats (less is better)",
    "information_gain": "information gain, bits",
}
# Clicks of BubbleView (Kim et al. 2017, 10.1145/3131275) on photographs of OSIE, scored in the same manner.
_PUBLISHED = {
    ("clicks", "nss"): 2.92,
    ("clicks", "auc_judd"): 0.91,
    ("clicks", "cc"): 0.79,
    (CEILING, "cc"): 0.89,
    (CENTRE, "cc"): 0.28,
    ("clicks" + ANOTHER, "cc"): 0.07,
}
_SHOWN = 3  # pictures


def beside_published(scores: pd.DataFrame) -> pd.DataFrame:
    """Return map, score, what BubbleView's clicks reach, and what each source here does."""
    mean = scores.set_index(["predictor", "score"])["mean"]
    sources = _sources(scores)
    rows = []
    for (name, score), value in _PUBLISHED.items():
        row = {"map": name.replace("clicks", "people's places"), "score": _NAMES[score], "BubbleView clicks": value}
        rows.append(row | {source: mean[name.replace("clicks", source), score] for source in sources})
    return pd.DataFrame(rows)


def write(folder, tables, gaze, sources, config, held_out) -> str:
    """Draw the figures, write `report.html`, and return its first paragraph.

    Args:
      folder: a `LockedFolder`.
      tables: by name, as the card writes them.
      gaze: where people looked.
      sources: name -> where others clicked or moved a mouse.
      config: the card's.
      held_out: people in a half.
    """
    pictures = sorted(set(tables["pictures"]["picture"]))
    provenance = Provenance(
        pictures="photographs", people="real", source="OSIE photographs", num_pictures=len(pictures),
        num_people=len(gaze.participants),
    )  # fmt: skip
    _draw(folder, tables, gaze, sources, config, provenance)
    shared = {
        "num_pictures": len(pictures),
        "num_lookers": len(gaze.participants),
        "held_out": held_out,
        "sigma": f"{config.sigma_px:g}",
        "degrees": f"{config.sigma_px / OSIE_PX_A_DEGREE:.2g}",
        "cell": config.cell_px,
        "halves": config.halves,
        "by_people": config.weight == "people",
        "tolerance": number(config.tolerance),
        "resamples": f"{config.resamples:,}",
        "places": _places(gaze, sources),
        "other_sources": " and ".join(sources),
        "clicks": "clicks" in sources,
        "check": _check_of_fit(tables["plan"]),
    }
    answers = [
        template.section("answer", shared | answer_values(name, tables, tolerance=config.tolerance), folder=REPORT)
        for name in sources
    ]
    answer = figures.Section(answers[0].title, "\n\n".join(each.text for each in answers))
    rest = [
        template.section(
            name, shared, pictures=folder.path / "figures", table=lambda name: _table(tables, name), folder=REPORT
        )
        for name in _SECTIONS
    ]
    title = "Do clicks stand for gaze?"
    figures.write_report(folder.file("report.html"), title, figures.Headline(), [answer, *rest])
    return answer.text.partition("\n\n")[0]


def _sources(scores) -> list[str]:
    names = list(dict.fromkeys(scores["predictor"]))
    return [name for name in names if name + ANOTHER in names]


def answer_values(name: str, tables: Mapping[str, pd.DataFrame], *, tolerance: float) -> dict[str, Any]:
    """Return what the template of the answer names, for one source.

    Args:
      name: of the source.
      tables: by name, as the card writes them.
      tolerance: of the planner.
    """
    scores = tables["scores"].query("score == 'cc'").set_index("predictor")
    apart = tables["differences"].query("score == 'cc' and a == @name").set_index("b")
    plan = tables["plan"]
    row = plan[(plan["source"] == name) & np.isclose(plan["tolerance"], tolerance)].iloc[0]
    floors = (OTHERS, CENTRE, name + ANOTHER)
    reached = [floor for floor in floors if not apart.loc[floor, "ci_low"] > 0]
    gap = apart.loc[CEILING]
    verdict = "none" if reached else "full" if not gap["ci_high"] < 0 else "part"
    own = tables["pictures"].query("predictor == @name")["people"]
    return {
        "source": name,
        "source_people": _span(own.min(), own.max(), count),
        "value": number(scores.loc[name, "mean"]),
        "interval": _span(*scores.loc[name, ["ci_low", "ci_high"]]),
        "ceiling": number(scores.loc[CEILING, "mean"]),
        "others": number(scores.loc[OTHERS, "mean"]),
        "centre": number(scores.loc[CENTRE, "mean"]),
        "another": number(scores.loc[name + ANOTHER, "mean"]),
        "verdict": verdict,
        "reached": " and ".join(reached),
        "gap": number(abs(gap["difference"])),
        "gap_interval": _span(*sorted(abs(gap[["ci_low", "ci_high"]]))),
        "change": number(gap["difference"]),
        "change_interval": _span(*gap[["ci_low", "ci_high"]]),
        # A correlation that was extrapolated may pass 1 by noise.
        "share": number(min(row["of_gaze"], 1)),
        "share_interval": _span(min(row["of_gaze_low"], 1), min(row["of_gaze_high"], 1)),
        "largest": int(row["largest"]),
        "worth": f"{row['gaze_people']:.1f}" if np.isfinite(row["gaze_people"]) else "",
        "worth_interval": _span(row["gaze_people_low"], row["gaze_people_high"], "{:.1f}".format),
        "needed": count(row["people"]) if np.isfinite(row["people"]) else "",
        "needed_interval": _span(row["people_low"], row["people_high"], count),
        "beyond": bool(row["people"] > row["largest"]),
        "pictures_needed": count(row["pictures"]),
    }


def _span(low, high, text=number) -> str:
    """Return two ends in words, one if they read alike."""
    if np.isinf(high):
        return f"{text(low)} or more"
    first, last = text(low), text(high)
    return first if first == last else f"{first} to {last}"


def _places(gaze, sources) -> str:
    """Return how many places were read, and how many of them were off their picture."""
    parts = [
        f"{len(each.table):,} of {name}, {each.outside:,} more outside the pictures and left out"
        for name, each in {GAZE: gaze, **sources}.items()
    ]
    return "; ".join(parts)


def _check_of_fit(plan) -> str:
    """Return how well the fit without the largest group foretold it, in words."""
    rows = plan.drop_duplicates("source").dropna(subset=["checked"])
    return "; ".join(
        f"{row.source}, {row.checked:.0f} people: {number(row.predicted, 3)} foretold, {number(row.seen, 3)} seen"
        for row in rows.itertuples()
    )


def _table(tables, name):
    table = tables[name]
    if name == "scores":
        words = (
            table["mean"].map(number) + " (" + table["ci_low"].map(number) + " to " + table["ci_high"].map(number) + ")"
        )
        wide = table.assign(words=words, score=table["score"].map(_NAMES))
        wide = wide.pivot(index="predictor", columns="score", values="words")
        order = list(dict.fromkeys(table["predictor"]))
        return wide.loc[order, list(_NAMES.values())].reset_index(names="map").rename_axis(columns=None)
    if name == "plan":
        columns = ["source", "tolerance", "people", "people_low", "people_high", "pictures", "limit", "limit_low"]
        return table[[*columns, "limit_high"]]
    if name == "published":
        return table.assign(**{column: table[column].map(number) for column in table.columns[2:]})
    return table.assign(score=table["score"].map(_NAMES)) if name in ("differences", "people") else table


def _draw(folder, tables, gaze, sources, config, provenance):
    """Draw the scores, the curve over people, and some pictures with their maps."""
    scores = tables["scores"]
    kinds = dict.fromkeys(sources, "uncovering people") | {CEILING: "ceiling"}
    table = scores.rename(columns={"predictor": "method"}).assign(
        kind=scores["predictor"].map(kinds).fillna("floor"), chance=scores["score"].map(CHANCE)
    )
    notes = [f"n = {provenance.num_pictures} photographs", "bars: 95 % bootstrap over pictures"]
    drawn = figures.draw_localisation(
        table, names=_NAMES, title="Which maps foretell where people look", notes=notes, provenance=provenance
    )
    figures.save(drawn, folder.file("figures", "scores"))
    cc = scores[scores["score"] == "cc"].set_index("predictor")["mean"]
    curve = figures.draw_people_curve(
        tables["people"],
        "cc",
        plan=tables["plan"],
        tolerance=config.tolerance,
        floors={OTHERS: cc[OTHERS]},
        name="correlation with held-out gaze",
        title="How many people a map needs",
        notes=[*notes, "lines: fit, dashed beyond the data"],
        provenance=provenance,
    )
    figures.save(curve, folder.file("figures", "people"))
    grid = figures.draw_saliency_grid(
        [_row(image, words, gaze, sources, config) for image, words in _chosen(tables, next(iter(sources)))],
        title="The best, the middle and the worst picture",
        provenance=provenance,
    )
    figures.save(grid, folder.file("figures", "pictures"))


def _chosen(tables, source):
    """Return the pictures of the highest, the middle and the lowest correlation, each with its value in words."""
    own = tables["pictures"].query("predictor == @source").sort_values("cc", ascending=False, kind="stable")
    places = np.unique(np.linspace(0, len(own) - 1, _SHOWN).round().astype(int))
    return [(row.picture, f"{row.picture}\nCC {number(row.cc)}") for row in own.iloc[places].itertuples()]


def _row(image, words, gaze, sources, config):
    size = {"sigma_px": config.sigma_px, "cell_px": config.cell_px}
    maps = {name: human_gaze.person_maps(each, image, **size).sum(0) for name, each in {GAZE: gaze, **sources}.items()}
    return human_gaze.osie_picture(config.data_dir, image), maps, words
