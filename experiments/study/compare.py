"""Stage `compare`: where people and networks meet: Dice of maps, correlations of confusions (paper §5.3)."""

import itertools

import numpy as np
import pandas as pd

from experiments.study.explain import METHODS
from experiments.study.run_folder import PICTURES_RECORD
from experiments.study.study import Study
from experiments.study.vote import confusion_counts, scores
from fer_jax import compare as comparing

MODELS = (
    "ensemble_simple_vote",
    "ensemble_weighted_vote",
    "multiclass",
    "finetuned_simple_vote",
    "finetuned_weighted_vote",
)


def models_of(study: Study) -> tuple[str, ...]:
    """Return the models that the run has: without people nothing is fine-tuned."""
    return MODELS if study.provenance.has_people else tuple(name for name in MODELS if "finetuned" not in name)


def compare(study: Study) -> None:
    """Write every table of the comparison, and `summary.json`, which is all that there is without people.

    Columns:
      unit: the pair of expressions whose maps were averaged.
      method: of explanation.
      model: whose confusions are compared with people's.
      design: "between" groups, as in the paper, or "repeated" over the same pairs.
      df1, df2: degrees of freedom of F.
    """
    if study.provenance.has_people:
        _dice(study)
        _anova(study)
        _confusions(study)
    write_summary(study)


def write_summary(study: Study) -> None:
    """Write `summary.json`, the contract with other programs: all numbers, and the seconds of the stages so far."""
    study.folder.write_json("summary.json", summary(study) | {"seconds": study.folder.stages.seconds()})


def _dice(study):
    human = study.folder.read_arrays("attention")["maps"]
    maps = study.folder.read_arrays("maps")
    pairs = study.study_pairs
    tables, grids = [], []
    for method in METHODS:
        table = comparing.dice.dice_per_pair(human, maps[method], pairs)
        tables.append(table.assign(unit=[study.categories.pair_name(unit) for unit in table["unit"]], method=method))
        grids.append(comparing.dice.dice_grid(human, maps[method], pairs).assign(method=method))
    study.folder.write_table("dice", pd.concat(tables, ignore_index=True))
    study.folder.write_table("dice_options", pd.concat(grids, ignore_index=True))
    study.folder.write_table("dice_baselines", comparing.dice.baselines(human, pairs))


def dice_groups(study: Study) -> dict[str, np.ndarray]:
    """Return Dice by method, over the pairs in which every method has a number."""
    wide = study.folder.read_table("dice").pivot(index="unit", columns="method", values="dice")
    whole = wide[list(METHODS)].dropna()
    return {method: whole[method].to_numpy() for method in METHODS}


def _anova(study):
    groups = dice_groups(study)
    pairs = len(next(iter(groups.values())))
    if pairs < 2:
        _write_no_anova(study, f"only {pairs} pairs have a Dice for every method")
        return
    rows = [
        {"design": design, **_flat(comparing.statistics.anova(groups, design=design))}
        for design in ("between", "repeated")
    ]
    study.folder.write_table("anova", pd.DataFrame(rows))
    study.folder.write_table("tukey", comparing.statistics.tukey(groups))


def _write_no_anova(study, reason):
    """Write tables without a number, and why: a run is not lost for want of maps to compare."""
    unknown = {**dict.fromkeys(("df1", "df2", "F", "p", "eta2", "omega2", "n"), np.nan), "reason": reason}
    study.folder.write_table("anova", pd.DataFrame([{"design": d, **unknown} for d in ("between", "repeated")]))
    unknown = {**dict.fromkeys(("difference", "t", "p", "d", "n"), np.nan), "reason": reason}
    rows = [{"a": a, "b": b, **unknown} for a, b in itertools.combinations(METHODS, 2)]
    study.folder.write_table("tukey", pd.DataFrame(rows))


def _confusions(study):
    people = study.folder.read_arrays("people_confusion")["counts"]
    human = comparing.confusion.shares(people)
    rows = []
    for model in MODELS:
        share = comparing.confusion.shares(confusion_counts(study, model))
        rows.append({"model": model, **comparing.confusion.correlation(human, share)})
    study.folder.write_table("confusion_correlation", pd.DataFrame(rows))


def _pictures(study):
    """Say which pictures these are. Without this the figures of two runs cannot be compared."""
    record = study.folder.read_json(PICTURES_RECORD) if study.folder.has(PICTURES_RECORD) else {}
    kept = {name: value for name, value in record.items() if name not in ("path", "counts", "categories")}
    return kept | {"undersample": study.config.undersample}


def summary(study: Study) -> dict:
    """Return what `summary.json` says, without the seconds."""
    folder, config = study.folder, study.config
    members = folder.read_table("members_validated")
    told = {
        "dataset": config.dataset,
        "pictures": _pictures(study),
        "categories": list(study.categories),
        "simulated_people": study.provenance.simulated,
        "image_size": config.image_size,
        "model": config.model,
        "seed": config.seed,
        "members": [_member(row) for row in members.to_dict("records")],
        "ensemble": _votes(study, "ensemble"),
        "multiclass": scores(study, "multiclass"),
    }
    if not study.provenance.has_people:
        return told | dict.fromkeys(("finetuned", "people", "confusion_correlation", "dice", "anova", "tukey"))
    people = folder.read_table("people_correlations").iloc[0]
    counts = folder.read_arrays("people_confusion")["counts"]
    correlations = folder.read_table("confusion_correlation").set_index("model")
    anova = folder.read_table("anova").set_index("design").loc["between"]
    return told | {
        "finetuned": _votes(study, "finetuned"),
        "people": {
            "participants": _participants(study),
            "trials": int(counts.sum()),
            "accuracy": np.diag(counts).sum() / counts.sum() if counts.any() else None,
            **{name: people[name] for name in ("r_clicks_time", "r_clicks_accuracy", "r_time_accuracy", "reason")},
        },
        "confusion_correlation": {
            model: {name: correlations.loc[model, name] for name in ("r_all", "r_off_diagonal", "p_qap", "reason")}
            for model in MODELS
        },
        "dice": {method: _dice_summary(study, method) for method in METHODS},
        "anova": {"F": anova["F"], "df": [_whole(anova["df1"]), _whole(anova["df2"])], "p": anova["p"]},
        "tukey": folder.read_table("tukey")[["a", "b", "t", "p"]].to_dict("records"),
    }


def _member(row):
    return {
        "pair": [row["first"], row["second"]],
        **{name: row[name] for name in ("train_images", "epochs", "steps", "train_accuracy", "stopped_by")},
        "validation_accuracy": row["validation_accuracy"],
    }


def _votes(study, name):
    return {rule: scores(study, f"{name}_{rule}") for rule in ("simple_vote", "weighted_vote")}


def _participants(study):
    excluded = study.folder.read_table("people_exclusions")
    return study.config.participants - int(excluded["participant"].notna().sum())


def _whole(value):
    return None if pd.isna(value) else int(value)


def _dice_summary(study, method):
    table = study.folder.read_table("dice")
    own = table[table["method"] == method].set_index("unit")["dice"]
    return {"mean": own.mean(), "per_pair": dict(own.items())}


def _flat(result):
    """Return an ANOVA's result as one row: the two degrees of freedom become columns."""
    first, second = result["df"]
    return {"df1": first, "df2": second, **{k: v for k, v in result.items() if k != "df"}}
