"""Stage `compare`: where people and networks meet: maps, confusions, and answers on the same images (paper §5.3)."""

import itertools

import numpy as np
import pandas as pd

from experiments.study.effects import cells_of, write_effects
from experiments.study.explain import METHODS
from experiments.study.open_choices import write_open_choices
from experiments.study.people import analysed, read_everybody
from experiments.study.run import Run
from experiments.study.run_folder import PICTURES_RECORD
from experiments.study.vote import decided, scores
from fer_jax import compare as comparing
from fer_jax.streams import stream

MODELS = (
    "ensemble_simple_vote",
    "ensemble_weighted_vote",
    "multiclass",
    "finetuned_simple_vote",
    "finetuned_weighted_vote",
)


def models_of(run: Run) -> tuple[str, ...]:
    """Return the models that the run has: without people nothing is fine-tuned."""
    return MODELS if run.provenance.has_people else tuple(name for name in MODELS if "finetuned" not in name)


def compare(run: Run) -> None:
    """Write every table of the comparison, and `summary.json`, which is all that there is without people.

    Columns:
      unit: the pair of expressions whose maps were averaged.
      method: of explanation.
      design: "between" groups, as in the paper, or "repeated" over the same pairs.
      df1, df2: degrees of freedom of F.
    """
    if run.provenance.has_people:
        human, maps = run.folder.read_arrays("attention")["maps"], run.folder.read_arrays("maps")
        everybody = read_everybody(run)
        kept, _ = analysed(run, everybody)
        _dice(run, human, maps)
        _anova(run)
        _confusions(run, kept)
        write_effects(run, human, maps)
        _agreement(run, kept, human, maps)
        write_open_choices(run, kept, everybody, maps)
    write_summary(run)


def write_summary(run: Run) -> None:
    """Write `summary.json`, the contract with other programs: all numbers, and the seconds of the stages so far."""
    run.folder.write_json("summary.json", summary(run) | {"seconds": run.folder.stages.seconds()})


def _dice(run, human, maps):
    pairs = run.study_pairs
    found = {method: comparing.dice.dice_per_pair(human, maps[method], pairs) for method in METHODS}
    tables, grids = [], []
    for method, table in found.items():
        table = _with_every_pair(table, run.categories.num_pairs)
        tables.append(table.assign(unit=[run.categories.pair_name(unit) for unit in table["unit"]], method=method))
        grids.append(comparing.dice.dice_grid(human, maps[method], pairs).assign(method=method))
    run.folder.write_table("dice", pd.concat(tables, ignore_index=True))
    run.folder.write_table("dice_options", pd.concat(grids, ignore_index=True))
    per_pair = comparing.dice.baselines_per_pair(human, pairs)
    run.folder.write_table("dice_baselines", comparing.dice.over_pairs(per_pair))
    of_methods = {method: table.set_index("unit")["dice"] for method, table in found.items()}
    of_baselines = {name: table.set_index("unit")["dice"] for name, table in per_pair.groupby("baseline", sort=False)}
    run.folder.write_table("dice_over_baselines", over_baselines(of_methods, of_baselines, run.config.seed))


def over_baselines(methods, baselines, seed) -> pd.DataFrame:
    """Compare the Dice of each method with that of each map that asks no network, over the pairs that have both.

    Columns:
      baseline: a map that asks no network.
      difference: mean over pairs of the method's Dice less the baseline's.
      low, high: 95 % bootstrap interval over pairs.
      n: pairs with both.
    """
    rows = []
    for (method, own), (baseline, other) in itertools.product(methods.items(), baselines.items()):
        lead = (own - other).dropna().to_numpy()
        low, high = comparing.intervals.mean_interval(stream(seed), lead)
        mean = lead.mean() if len(lead) else np.nan
        rows.append(
            {"method": method, "baseline": baseline, "difference": mean, "low": low, "high": high, "n": len(lead)}
        )
    return pd.DataFrame(rows)


def _with_every_pair(table, num_pairs):
    """Return a Dice table with a row for each pair that people saw no picture of, too: NaN, and why."""
    absent = sorted(set(range(num_pairs)) - set(table["unit"]))
    if not absent:
        return table
    rows = pd.DataFrame({"unit": absent, "n_images": 0, "n_missing": 0, "reason": "no study image"})
    return pd.concat([table, rows], ignore_index=True).sort_values("unit", ignore_index=True)


def _anova(run):
    """Compare the methods over the pairs in which every method has a Dice."""
    wide = run.folder.read_table("dice").pivot(index="unit", columns="method", values="dice")
    whole = wide[list(METHODS)].dropna()
    if len(whole) < 2:
        _write_no_anova(run, f"only {len(whole)} pairs have a Dice for every method")
        return
    groups, rows = {method: whole[method].to_numpy() for method in METHODS}, []
    for design in ("between", "repeated"):
        result = comparing.statistics.anova(groups, design=design)
        first, second = result.pop("df")
        rows.append({"design": design, "df1": first, "df2": second, **result})
    run.folder.write_table("anova", pd.DataFrame(rows))
    run.folder.write_table("tukey", comparing.statistics.tukey(groups))


def _write_no_anova(run, reason):
    """Write tables without a number, and why: a run is not lost for want of maps to compare."""
    unknown = {**dict.fromkeys(("df1", "df2", "F", "p", "eta2", "omega2", "n"), np.nan), "reason": reason}
    run.folder.write_table("anova", pd.DataFrame([{"design": d, **unknown} for d in ("between", "repeated")]))
    unknown = {**dict.fromkeys(("difference", "t", "p", "d", "n"), np.nan), "reason": reason}
    rows = [{"a": a, "b": b, **unknown} for a, b in itertools.combinations(METHODS, 2)]
    run.folder.write_table("tukey", pd.DataFrame(rows))


def _confusions(run, people):
    given = comparing.confusion.given_answers(people, run.study_table, categories=run.categories)
    found, labels = decided(run)
    predicted = {model: found[model] for model in MODELS}
    correlations, differences = comparing.confusion.compare_models(
        given, cells_of(run), predicted, labels, categories=run.categories
    )
    run.folder.write_table("confusion_correlation", correlations)
    run.folder.write_table("confusion_correlation_differences", differences)


def human_shares(run: Run) -> np.ndarray:
    """Return people's confusion as shares (K, K). A false label that was never offered with a true one is NaN."""
    counts = run.folder.read_arrays("people_confusion")["counts"]
    return comparing.confusion.offered_shares(counts, cells_of(run), categories=run.categories)


def _agreement(run, people, human, maps):
    """Write how maps agree with people beside floors and ceiling, and how members answer beside people."""
    table, seed = run.study_table, run.config.seed
    pairs, cells, size = run.study_pairs, cells_of(run), run.config.image_size
    clicks = comparing.clicks.clicks_of(people, table, image_px=size, radius=run.reveal_radius)
    baselines = comparing.reference_maps.of_study(human, pairs, run.study_pictures.images)
    methods = {method: maps[method] for method in METHODS}
    scores, differences = comparing.agreement.agreement(
        clicks, methods, baselines, pairs, cells, seed=seed, check=run.stop.check
    )
    run.folder.write_table("agreement", scores)
    run.folder.write_table("agreement_differences", differences)
    answers = comparing.pair_answers.compare_answers(
        comparing.pair_answers.right_answers(people, table),
        _members_right(run),
        cells,
        seed=seed,
        categories=run.categories,
    )
    run.folder.write_table("pair_answers", answers)


def _members_right(run) -> np.ndarray:
    """Return whether the member of each study image's pair is right, 1 or 0, NaN where it failed: (T,)."""
    predicted, pairs = run.folder.read_arrays("predictions"), run.study_pairs
    logits = predicted["study_ensemble_logits"][pairs, np.arange(len(pairs))]
    second = np.asarray(run.categories.pairs)[pairs, 1]
    right = logits.argmax(-1) == (predicted["study_labels"] == second)
    return np.where(np.isfinite(logits).all(-1), right, np.nan)


def _pictures(run):
    """Say which pictures these are. Without this the figures of two runs cannot be compared."""
    record = run.folder.read_json(PICTURES_RECORD) if run.folder.has(PICTURES_RECORD) else {}
    kept = {name: value for name, value in record.items() if name not in ("path", "counts", "categories")}
    return kept | {"undersample": run.config.undersample}


def summary(run: Run) -> dict:
    """Return what `summary.json` says, without the seconds."""
    folder, config = run.folder, run.config
    members, simulated = folder.read_table("members_validated"), run.provenance.simulated
    told = {
        "dataset": config.dataset,
        "pictures": _pictures(run),
        "categories": list(run.categories),
        "simulated_people": simulated,
        "image_size": config.image_size,
        "model": config.model,
        "seed": config.seed,
        "members": [_member(row) for row in members.to_dict("records")],
        "ensemble": _votes(run, "ensemble"),
        "multiclass": scores(run, "multiclass"),
    }
    if not run.provenance.has_people:
        return told | dict.fromkeys(("finetuned", "people", "confusion_correlation", "dice", "anova", "tukey", *_ADDED))
    people = folder.read_table("people_correlations").iloc[0]
    counts = folder.read_arrays("people_confusion")["counts"]
    correlations = folder.read_table("confusion_correlation").set_index("model")
    anova = folder.read_table("anova").set_index("design").loc["between"]
    return told | {
        "finetuned": _votes(run, "finetuned"),
        "people": {
            "participants": _participants(run),
            "simulated": run.num_simulated if run.provenance.people == "mixed" else _participants(run) * simulated,
            "provenance": run.provenance.people,
            "profile": run.profile,
            "trials": int(counts.sum()),
            "accuracy": np.diag(counts).sum() / counts.sum() if counts.any() else None,
            **{name: people[name] for name in ("r_clicks_time", "r_clicks_accuracy", "r_time_accuracy", "reason")},
        },
        "confusion_correlation": {
            model: {name: correlations.loc[model].get(name) for name in _CORRELATED} for model in MODELS
        },
        "dice": {method: _dice_summary(run, method) for method in METHODS},
        "anova": {"F": anova["F"], "df": [_whole(anova["df1"]), _whole(anova["df2"])], "p": anova["p"]},
        "tukey": folder.read_table("tukey")[["a", "b", "t", "p"]].to_dict("records"),
        **_added(folder),
    }


_CORRELATED = ("r_all", "r_off_diagonal", "ci_low", "ci_high", "p_qap", "reason")
_ADDED = ("category_effect", "agreement", "pair_answers")


def _added(folder) -> dict:
    """Return what a run of before these tables does not say."""
    if not folder.has("tables/pair_answers.csv"):
        return dict.fromkeys(_ADDED)
    scores, answers = folder.read_table("agreement"), folder.read_table("pair_answers")
    interval = ["value", "low", "high"]
    return {
        "category_effect": main_effect(folder.read_table("effects")),
        "agreement": {
            metric: own.set_index("source")[interval].to_dict("index") for metric, own in scores.groupby("metric")
        },
        "pair_answers": answers.set_index("statistic")[[*interval, "p_qap"]].to_dict("index"),
    }


def main_effect(effects: pd.DataFrame) -> dict:
    """Return the category's main effect over ordered pairs, as the paper seems to have tested it (F = 1.34)."""
    wanted = {"unit": "ordered pair", "test": "category", "effect": "main", "design": "between"}
    row = effects[(effects[list(wanted)] == pd.Series(wanted)).all(axis=1)].iloc[0]
    return {
        "F": row["F"],
        "df": [_whole(row["df1"]), _whole(row["df2"])],
        **{name: row[name] for name in ("p", "omega2", "low_90", "high_90")},
    }


def _member(row):
    return {
        "pair": [row["first"], row["second"]],
        **{name: row[name] for name in ("train_images", "epochs", "steps", "train_accuracy", "stopped_by")},
        "validation_accuracy": row["validation_accuracy"],
    }


def _votes(run, name):
    return {rule: scores(run, f"{name}_{rule}") for rule in ("simple_vote", "weighted_vote")}


def _participants(run):
    if run.provenance.num_people is not None:
        return run.provenance.num_people
    excluded = run.folder.read_table("people_exclusions")
    return run.config.participants - int(excluded["participant"].notna().sum())


def _whole(value):
    return None if pd.isna(value) else int(value)


def _dice_summary(run, method):
    table = run.folder.read_table("dice")
    own = table[table["method"] == method].set_index("unit")["dice"]
    return {"mean": own.mean(), "per_pair": dict(own.items())}
