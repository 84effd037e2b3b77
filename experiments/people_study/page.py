"""The page of a click study: its first paragraph is the answer. Its prose is in the folder `report`.

Contract: each function for a section returns what the section's template names. Figures and all tables but those that
say otherwise are of the people who are analysed.
"""

import pathlib

import pandas as pd

from experiments.people_study.tables import shapes_of
from experiments.study import template
from experiments.study.draw import pair_figures, sequence_panels
from fer_jax import figures
from fer_jax.figures.style import MISSING, number

_REPORT = pathlib.Path(__file__).parent / "report"
_SECTIONS = ("answer", "people", "answers", "pairs", "learning", "clicks", "left_out")
_UNANSWERED = ("answer", "people", "clicks", "left_out")
_BOTH = ("overall", "times", "correlations", "learning", "exclusions")  # on the page with and without exclusions
_SCALED = ("value", "change", *(f"{end}{over}" for end in ("low", "high") for over in ("", "_people", "_images")))
_OF_MAPS = ("split_half", "spearman_brown", "best_score", "loo_lower", "loo_upper")


def write(folder, measured, kept, config) -> str:
    """Draw the figures, write `report.html`, and return its first paragraph.

    Args:
      folder: a `LockedFolder`.
      measured: `tables.Measured`.
      kept: trials of the people who are analysed.
      config: trials_used, time_trials, rt_rule and time_from.
    """
    answered = measured.categories is not None
    drawn = _draw(folder, measured, kept, config) if answered else set()
    values = _of_people(measured, kept) | (_values(measured, kept) if answered else _of_places(kept))
    values |= {name: name in drawn for name in ("fig03b_clicks", "fig03c_time_s")}
    values |= {name: getattr(config, name) for name in ("trials_used", "time_trials", "rt_rule", "time_from")}
    values |= {"answered": answered, "left_out": _left_out(measured)}
    values["from_onset"] = config.time_from != "onset" and kept.trials["rt_total_ms"].notna().any()
    values |= {"sequences": "fig04_click_sequences" in drawn}
    sections = [
        template.section(
            name, values, pictures=folder.path / "figures", table=lambda name: _table(measured, name), folder=_REPORT
        )
        for name in (_SECTIONS if answered else _UNANSWERED)
    ]
    title = f"A click study of {values['who']}"
    figures.write_report(folder.file("report.html"), title, figures.Headline(), sections)
    return sections[0].text.partition("\n\n")[0]


def _draw(folder, measured, kept, config) -> set[str]:
    """Draw Figs 2 to 4 and return their names."""
    over = {"categories": measured.categories, "provenance": measured.provenance}
    overall = measured.of("overall").set_index("measure")
    interval = tuple(overall.loc["accuracy", ["low", "high"]])
    made = {
        "fig02_confusion": figures.draw_confusion(
            measured.counts, title="People", interval=interval if all(map(pd.notna, interval)) else None, **over
        )
    }
    for name, table, value, title, form in pair_figures(
        measured.of("pairs"), time_from=config.time_from.replace("_", " ")
    ):
        if table[value].notna().any():
            made[name] = figures.draw_pair_matrix(table, value, title=title, fmt=form, **over)
    if "images" in measured.tables and "reliability" in measured.tables:
        shapes, radius = shapes_of(kept.trials), int(kept.trials["reveal_radius_px"].dropna().iloc[0])
        told = {"trials_used": config.trials_used}
        if panels := sequence_panels(kept, measured.of("images"), shapes, radius, **told):
            made["fig04_click_sequences"] = figures.draw_click_sequence(panels, provenance=measured.provenance)
    for name, drawing in made.items():
        figures.save(drawing, folder.file("figures", name))
    return set(made)


def _of_people(measured, kept):
    """Return what the templates name of the people and of their clicks."""
    people = kept.participants["simulated"]
    simulated = int(people.fillna(False).sum())
    return {
        "who": _who(measured.people),
        "num_people": len(people),
        "simulated": simulated,
        "all_simulated": simulated == len(people),
        "silent": int(people.isna().sum()),
        "excluded": int(measured.of("exclusions")["participant"].notna().sum()),
        "regions": "regions" in measured.tables,
        "reliability": "reliability" in measured.tables,
        "chosen": kept.clicks["chosen"].fillna(False).any() or kept.clicks.empty,
    }


def _of_places(kept):
    """Return what the templates name where nobody answered."""
    counts = kept.trials["n_clicks"].dropna().astype(float)
    looked = kept.trials["source"].eq("fixations").all()
    return {
        "clicks": f"{counts.mean():.1f}" if len(counts) else "",
        "places": f"{int(counts.sum()):,}",
        "looked": looked,
        "pictures": kept.trials["image"].nunique(),
    }


def _left_out(measured) -> str:
    return "\n\n".join(f"{what[0].upper()}{what[1:]}: {why}." for what, why in measured.left_out.items())


def _values(measured, kept):
    """Return what the templates name of the answers."""
    overall = measured.of("overall").set_index("measure")
    accuracy, clicks, time = (overall.loc[name] for name in ("accuracy", "clicks", "time_ms"))
    table = kept.trials
    options = table["n_options"].where(table["n_options"].notna() | table["false_label"].isna(), 2).dropna().unique()
    return {
        "accuracy": _percent(accuracy["value"]),
        "accuracy_interval": _span(accuracy, 100, 1),
        "answers": f"{accuracy['n']:,}",
        "chance": f"{100 / int(options[0]):.3g}" if len(options) == 1 else "",
        "clicks": "" if pd.isna(clicks["value"]) else f"{clicks['value']:.1f}",
        "clicks_interval": _span(clicks, 1, 1),
        "seconds": "" if pd.isna(time["value"]) else f"{time['value'] / 1000:.1f}",
        "seconds_interval": _span(time, 1e-3, 1),
        "time_reason": time["reason"],
        "confusion": _commonest(measured),
        "ordered_pairs": len(measured.categories.ordered_pairs),
        **_correlated(measured),
        "foils": "correlations" in measured.tables,
    }


def _who(people) -> str:
    return {
        "simulated": "simulated people",
        "mixed": "people, some of them simulated",
        "unknown": "people of whom the tables do not say whether they are simulated",
    }.get(people, "people")


def _correlated(measured):
    names = {("clicks", "time_ms"): "r_clicks_time", ("clicks", "accuracy"): "r_clicks_accuracy"}
    names |= {("time_ms", "accuracy"): "r_time_accuracy"}
    found = dict.fromkeys(names.values(), MISSING)
    for first, second, r in (
        measured.of("correlations").reindex(columns=["first", "second", "r"]).itertuples(index=False)
    ):
        found[names.get((first, second)) or names[second, first]] = number(r)
    return found


def _commonest(measured) -> str:
    """Return the confusion with the greatest share in words, "" where nobody was wrong. Of equals the first counts."""
    if "correlations" in measured.tables:
        table = measured.of("pairs")
        table = table.assign(error=1 - table["accuracy"], given=table["false_label"])
        where = "answers that had the choice"
    else:
        table = measured.of("confusion")
        table = table[table["true_label"] != table["response"]]
        table = table.assign(error=table["share"], given=table["response"])
        where = "answers"
    if not (table["error"] > 0).any():
        return ""
    row = table.loc[table["error"].idxmax()]
    wrong = round(row["error"] * row["n"])
    often = f"{_percent(row['error'])} of the {where} ({wrong} of {row['n']})"
    return f"{row['true_label']} taken for {row['given']}, in {often}"


def _table(measured, name):
    if name == "reliability":
        table = measured.of(name)
        means = table[list(_OF_MAPS)].agg(["mean", "min", "max", "count"]).T.reset_index(names="of a map")
        return means.assign(correlation=table["correlation"].iloc[0], scaling=table["scaling"].iloc[0])
    table = measured.tables[name] if name in _BOTH else measured.of(name)
    if "measure" in table:  # in seconds all numbers of a column have a size, and are rounded alike
        numbers = [column for column in _SCALED if column in table]
        factor = table["measure"].map({"time_ms": 1e-3}).fillna(1.0)
        table = table.assign(**{column: table[column] * factor for column in numbers})
        table["measure"] = table["measure"].replace({"time_ms": "time, s"})
    empty = "reason" in table and name != "exclusions" and (table["reason"].isna() | (table["reason"] == "")).all()
    return table.drop(columns="reason") if empty else table


def _percent(value) -> str:
    return MISSING if pd.isna(value) else f"{100 * value:.1f} %"


def _span(row, scale, decimals) -> str:
    """Return an interval in words, "" where there is none."""
    if pd.isna(row["low"]):
        return ""
    return f"{scale * row['low']:.{decimals}f} to {scale * row['high']:.{decimals}f}"
