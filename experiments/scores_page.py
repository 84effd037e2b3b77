"""The tables of experiments.evaluate as text: every rule's scores, and what temperatures did to the members."""

import numpy as np
import pandas as pd

from experiments.harness.text_table import aligned


def page(scores: pd.DataFrame, members: pd.DataFrame) -> str:
    """Return what is printed: scores with intervals in percent, recalls, and what temperatures did to the members."""
    cells = scores.set_index(["rule", "measure"])
    rules = list(dict.fromkeys(scores["rule"]))

    def column(measure, scale=100.0, interval=True):
        return [_cell(cells, (rule, measure), scale, interval) for rule in rules]

    main = {
        "accuracy %": column("accuracy"),
        "less simple_vote": column("accuracy_minus_simple_vote"),
        "balanced %": column("balanced_accuracy"),
        "macro-F1 %": column("macro_f1"),
        "ECE %": column("ece", interval=False),
        "Brier": column("brier", scale=1.0, interval=False),
    }
    measures = scores.loc[scores["rule"] == rules[0], "measure"]
    names = list(measures[measures.str.startswith("recall_")].str.removeprefix("recall_"))
    recalls = {name: column(f"recall_{name}", interval=False) for name in names}
    count = cells.loc[(rules[0], "accuracy"), "n"]
    sizes = ", ".join(f"{name} {cells.loc[(rules[0], f'recall_{name}'), 'n']}" for name in names)
    lines = [f"{count} pictures; in brackets 95 % intervals over pictures", _table(rules, main), ""]
    lines += [f"Recall, % (pictures: {sizes})", _table(rules, recalls)]
    for name, table in members.groupby("ensemble", sort=False):
        accuracy, ece, after = table[["accuracy", "ece", "ece_calibrated"]].mean()
        lines += [
            "",
            f"Members ({name}), means over pairs: accuracy {accuracy:.1%}, ECE {ece:.1%}, with temperatures "
            f"{after:.1%}; median temperature {table['temperature'].median():.2f}",
        ]
    return "\n".join(lines)


def other_page(scores: pd.DataFrame, confusion: pd.DataFrame) -> list[str]:
    """Return lines that set another set beside the run's own pictures, and the confusion of the simple vote.

    Args:
      scores: with the column `pictures`, "other" or "own".
      confusion: rule, true, predicted, n.
    """
    lines = []
    accuracy = scores[scores["measure"] == "accuracy"].set_index(["pictures", "rule"])
    if "own" in accuracy.index:
        rules = list(accuracy.loc["own"].index)
        both = {
            f"{pictures} ({accuracy.loc[(pictures, rules[0]), 'n']})": [
                _cell(accuracy, (pictures, rule), 100.0, interval=True) for rule in rules
            ]
            for pictures in ("other", "own")
        }
        told = "Accuracy, %, beside that on the run's own evaluation pictures of these categories (pictures)"
        lines += [told, _table(rules, both), ""]
    simple = confusion[confusion["rule"] == "simple_vote"]
    names = list(dict.fromkeys(simple["true"]))
    columns = {name: list(map(str, simple.loc[simple["predicted"] == name, "n"])) for name in names}
    table = aligned([["true", *columns], *zip(names, *columns.values(), strict=True)], right=True)
    return [*lines, "Confusion of simple_vote, pictures: rows true, columns named so", table]


def _cell(cells, key, scale, interval):
    if key not in cells.index or np.isnan(cells.loc[key, "value"]):
        return "-"
    value, low, high = (scale * cells.loc[key, name] for name in ("value", "low", "high"))
    digits = 1 if scale > 1 else 3
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]" if interval else f"{value:.{digits}f}"


def _table(rules, columns):
    lines = [["rule", *columns], *zip(rules, *columns.values(), strict=True)]
    return aligned(lines, right=True)
