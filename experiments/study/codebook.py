"""The meaning of every column of a run's tables, read from the docstrings of the functions that make them.

Contract: a docstring's section `Columns:` holds one entry a column, `name: meaning.`, or `a, b: meaning.` for
several. EXPRESSION stands for one column for each of the eight.
"""

import csv
import inspect
import re
from collections.abc import Callable, Iterable

import pandas as pd

from experiments.study import compare, effects, finetune, fit, open_choices, people, pictures, train, vote
from experiments.study.run_folder import RunFolder
from fer_jax import compare as comparing
from fer_jax import human
from fer_jax.expressions import EXPRESSIONS

NAME = "codebook"
_METRICS = (fit.write_metrics_table,)
_CATEGORY = (comparing.statistics.category_effect,)
_CONFUSION = (vote.write_confusion,)
# Table -> the functions that describe its columns. Where two describe one, the first counts.
TABLES: dict[str, tuple[Callable, ...]] = {
    "class_counts": (pictures.prepare,),
    "study_images": (human.study.make_study,),
    "study_images_given": (human.study.make_study,),
    "members": (train.train_members,),
    "members_validated": (vote.vote, train.train_members),
    "members_finetuned": (finetune.finetune, train.train_members),
    "multiclass": (train.train_multiclass, train.train_members),
    "metrics_ensemble": _METRICS,
    "metrics_multiclass": _METRICS,
    "metrics_finetuned": _METRICS,
    **{f"confusion_{model}": _CONFUSION for model in compare.MODELS},
    "people_exclusions": (human.exclusion.exclude,),
    "people_images": (people.image_answers,),
    "people_pairs": (human.behaviour.pair_table,),
    "people_correlations": (human.behaviour.correlations,),
    "dice": (compare.compare, comparing.dice.dice_per_pair),
    "dice_options": (compare.compare, comparing.dice.dice_grid),
    "dice_baselines": (comparing.dice.baselines,),
    "dice_over_baselines": (compare.over_baselines, compare.compare),
    "anova": (compare.compare, comparing.statistics.anova),
    "tukey": (comparing.statistics.tukey,),
    "effects": (effects.write_effects, comparing.effects.share_of_variance, *_CATEGORY),
    "contrasts": (effects.write_effects, comparing.effects.standardised_difference, comparing.statistics.tukey),
    "agreement": (comparing.agreement.agreement,),
    "agreement_differences": (comparing.agreement.agreement,),
    "pair_answers": (comparing.pair_answers.compare_answers,),
    "multiverse": (comparing.multiverse.multiverse, open_choices.write_open_choices),
    "confusion_correlation": (comparing.confusion.correlation, comparing.confusion.compare_models),
    "confusion_correlation_differences": (comparing.confusion.compare_models,),
}


def write(folder: RunFolder) -> None:
    """Write `tables/codebook.csv` for the tables there are, unless it says so already."""
    heads = {}
    for path in (folder.path / "tables").glob("*.csv"):
        if path.stem != NAME:
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                heads[path.stem] = next(csv.reader(file), [])
    text = codebook(heads).to_csv(index=False, lineterminator="\n")
    name = f"tables/{NAME}.csv"
    if not folder.has(name) or (folder.path / name).read_bytes() != text.encode(errors="replace"):
        folder.write_text(name, text)


def codebook(tables: dict[str, Iterable[str]]) -> pd.DataFrame:
    """Describe the columns of some tables.

    Args:
      tables: name -> its columns.

    Returns:
      One row a column: table, column, meaning ("" for what no function describes).
    """
    rows = []
    for table, columns in sorted(tables.items()):
        known: dict[str, str] = {}
        for function in reversed(TABLES.get(table, ())):
            known |= described(function)
        rows += [(table, column, known.get(column, "")) for column in columns]
    return pd.DataFrame(rows, columns=["table", "column", "meaning"])


def described(function: Callable) -> dict[str, str]:
    """Return column -> meaning, from the section `Columns:` of a docstring."""
    section = re.search(r"^Columns:\n((?:  .*\n?|\n(?=  ))*)", inspect.getdoc(function) or "", re.M)
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=  \S)", section[1].rstrip() if section else ""):
        names, colon, meaning = entry.strip().partition(": ")
        if colon:
            meaning = " ".join(meaning.split())
            for name in names.split(", "):
                found |= dict.fromkeys(EXPRESSIONS if name == "EXPRESSION" else [name], meaning)
    return found
