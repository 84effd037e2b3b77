"""The page of people against networks: its first paragraph is the answer. Its prose is in the folder `report`."""

import pathlib

import numpy as np
import pandas as pd

from experiments.people_and_networks import tables
from experiments.study import template
from experiments.study.answer import SIGNIFICANT, interval
from experiments.study.draw import MODEL_NAMES
from fer_jax import figures
from fer_jax.compare import statistics
from fer_jax.explanation import METHOD_NAMES
from fer_jax.figures.style import number

_REPORT = pathlib.Path(__file__).parent / "report"
_SECTIONS = ("answer", "maps", "frame", "confusions", "limits")
EDGES = "edges"
_SCORES = {"pearson": "Pearson's r", "spearman": "Spearman's r", "dice": "Dice of the top quarter"}
_MODELS = {name: MODEL_NAMES[name] for name in ("ensemble_simple_vote", "ensemble_weighted_vote", "multiclass")}


def write(folder, compared: tables.Compared, provenance, weak: str) -> str:
    """Draw the figures, write `report.html`, and return its first paragraph.

    Args:
      folder: a `LockedFolder`.
      compared: what was measured.
      provenance: of pictures and people.
      weak: members near chance in words, "" for none.
    """
    _draw(folder, compared, provenance)
    values = sentences(compared) | {"weak": weak, "source": provenance.source or "the run's pictures"}
    sections = [
        template.section(
            name, values, pictures=folder.path / "figures", table=lambda name: _table(compared, name), folder=_REPORT
        )
        for name in _SECTIONS
    ]
    figures.write_report(folder.file("report.html"), "People and networks", figures.Headline(), sections)
    return sections[0].text.partition("\n\n")[0]


def sentences(compared: tables.Compared) -> dict:
    """Return what the templates name. The three sentences of the answer follow from the tables by rule."""
    table = compared.tables["agreement"].query("unit == 'expression' and score == 'pearson'").set_index("method")
    differences = compared.tables["differences"].query("unit == 'expression' and score == 'pearson'")
    methods = [name for name in table.index if table.loc[name, "kind"] == "method"]
    references = [name for name in table.index if table.loc[name, "kind"] == "reference"]
    known = table["value"].fillna(-np.inf)
    best, base = known[methods].idxmax(), known[references].idxmax()
    found = differences.set_index(["first", "second"])
    special = compared.tables["specificity"].set_index("method").loc[best]
    errors = compared.tables["confusion_agreement"].set_index("model")
    models = errors.loc[list(_MODELS)]
    closest = models["r_off_diagonal"].fillna(-np.inf).idxmax()
    # The closest of several models is named, so its p is one of several.
    errors_p = dict(zip(models.index, statistics.holm(models["p_qap"].to_numpy()), strict=True))[closest]
    ceiling = compared.tables["ceiling"]["best_score"]
    return {
        "num_people": compared.num_people,
        "num_trials": f"{compared.num_trials:,}",
        "num_pictures": compared.num_pictures,
        "num_categories": len(compared.categories),
        "categories": ", ".join(compared.categories),
        "tiles": int(np.isfinite(compared.maps[tables.PEOPLE][0]).sum()),
        "all_tiles": compared.maps[tables.PEOPLE][0].size,
        "best": best,
        "best_value": _interval(table.loc[best], "value"),
        "rest": "; ".join(f"{name} {_interval(table.loc[name], 'value')}" for name in methods if name != best),
        "base": base,
        "base_value": _interval(table.loc[base], "value"),
        "verdict": _verdict(found.loc[(best, base)]),
        "difference": _interval(found.loc[(best, base)], "difference"),
        "edges": base != EDGES,
        "edges_value": _interval(table.loc[EDGES], "value"),
        "edges_verdict": _verdict(found.loc[(best, EDGES)]),
        "edges_difference": _interval(found.loc[(best, EDGES)], "difference"),
        "all_repeat": bool(ceiling.notna().all()),
        "among": _among(methods, found),
        "ceiling": number(ceiling.mean()),
        "ceiling_known": int(ceiling.notna().sum()),
        "specific": bool(special["p"] <= SIGNIFICANT),
        "about_faces": bool(table.loc[best, "low"] > 0),
        "matched": number(special["matched"]),
        "others": number(special["others"]),
        "specific_p": _p(special["p"]),
        "orders": f"{np.prod(np.arange(1, len(compared.categories) + 1)):,}",
        "closest": _MODELS[closest][0].lower() + _MODELS[closest][1:],
        "errors_r": number(models.loc[closest, "r_off_diagonal"]),
        "errors_all": number(models.loc[closest, "r_all"]),
        "errors_p": _p(errors_p),
        "errors_agree": bool(errors_p <= SIGNIFICANT and models.loc[closest, "r_off_diagonal"] > 0),
        "people_right": _percent(errors.loc[tables.PEOPLE, "mean_recall"]),
        "network_right": _percent(models.loc[closest, "mean_recall"]),
        "frame_range": _range(compared.tables["frame"], best),
        "frame_first": _firsts(compared.tables["frame"], methods),
    }


def _verdict(row) -> str:
    if pd.isna(row["low"]) or row["low"] <= 0 <= row["high"]:
        return "does not differ from it reliably"
    return "is better" if row["difference"] > 0 else "is worse"


def _among(methods, found) -> str:
    """Return which methods differ from each other, after Holm's correction."""
    two = [(one, other) for one in methods for other in methods if (one, other) in found.index]
    sure = [(pair, found.loc[pair]) for pair in two if found.loc[pair, "p_holm"] <= SIGNIFICANT]
    if not sure:
        return "The methods do not differ from each other reliably"
    words = [
        "{} exceeds {} by {}".format(*(pair if row["difference"] > 0 else pair[::-1]), number(abs(row["difference"])))
        for pair, row in sure
    ]
    return " and ".join(words)


def _range(frame, method) -> str:
    own = frame.loc[frame["method"] == method, "pearson"]
    return f"{number(own.min())} to {number(own.max())}"


def _firsts(frame, methods) -> str:
    """Return which method is first in how many of the frames."""
    first = frame[frame["method"].isin(methods)].pivot(index="frame", columns="method", values="pearson").idxmax(axis=1)
    counts = first.value_counts()
    return ", ".join(f"{name} in {count} of {len(first)}" for name, count in counts.items())


def _draw(folder, compared, provenance) -> None:
    notes = [f"{compared.num_people} people", f"{compared.num_pictures} pictures"]
    shown = {name.capitalize() if name == tables.PEOPLE else name: maps for name, maps in compared.maps.items()}
    drawn = {
        "maps": figures.draw_face_cells(shown, list(compared.categories), notes=notes, provenance=provenance),
        "frame": figures.draw_face_frame(
            compared.face, compared.points, cell_px=tables.GRID["cell_px"],
            shape=(tables.GRID["rows"], tables.GRID["columns"]), title="Mean picture of the networks in people's frame",
            provenance=provenance,
        ),
        "agreement": figures.draw_localisation(
            _for_figure(compared), names=_SCORES, title="Agreement with people, mean over expressions",
            notes=[*notes, "95 % interval over people and pictures"], provenance=provenance,
        ),
    }  # fmt: skip
    counts = compared.tables["confusions"]
    for name, words in {tables.PEOPLE: "People", **_MODELS}.items():
        own = counts[counts["model"] == name].pivot(index="true_label", columns="response", values="count")
        own = own.loc[list(compared.categories), list(compared.categories)].to_numpy()
        drawn[f"confusion_{name}"] = figures.draw_confusion(
            own, title=words, categories=compared.categories, provenance=provenance
        )
    for name, drawing in drawn.items():
        figures.save(drawing, folder.file("figures", name))


def _for_figure(compared) -> pd.DataFrame:
    table = compared.tables["agreement"].query("unit == 'expression'")
    kinds = {"method": "network", "reference": "no network"}
    chance = {"pearson": 0.0, "spearman": 0.0, "dice": 0.25}
    return table.assign(
        kind=table["kind"].map(kinds), mean=table["value"], ci_low=table["low"], ci_high=table["high"],
        chance=table["score"].map(chance),
    )  # fmt: skip


def _table(compared, name) -> pd.DataFrame:
    table = compared.tables[name]
    if name == "confusion_agreement":
        table = table.assign(model=table["model"].map({tables.PEOPLE: "people", **_MODELS}))
    if name == "frame":
        table = table.pivot(index="frame", columns="method", values="pearson").reindex(
            table["frame"].unique(), columns=[*METHOD_NAMES.values(), *tables.REFERENCES]
        )
        return table.reset_index()
    empty = "reason" in table and (table["reason"].isna() | (table["reason"] == "")).all()
    return table.drop(columns="reason") if empty else table


def _interval(row, value) -> str:
    return interval(*row[[value, "low", "high"]])


def _percent(value) -> str:
    return f"{100 * value:.0f} %"


def _p(value) -> str:
    return "p unknown" if pd.isna(value) else "p < .001" if value < 0.001 else f"p = {number(value, 3)}"
