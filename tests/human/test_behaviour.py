import math
import statistics

import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.errors import UsageError
from fer_jax.expressions import EXPRESSIONS
from fer_jax.human.columns import typed


def answered(accuracies, n=20, **columns):
    """People who answered n trials of one block, each with a share of correct answers."""
    rows = [
        {"participant": f"P{p:02d}", "trial": t + 1, "block": t // 10, "correct": t < round(share * n), **columns}
        for p, share in enumerate(accuracies)
        for t in range(n)
    ]
    people = {"participant": [f"P{p:02d}" for p in range(len(accuracies))]}
    return human.Trials(
        typed("participants", people), typed("trials", pd.DataFrame(rows)), typed("clicks", {}), typed("events", {})
    )


def dropped(trials, participant, keep):
    table = trials.trials
    return human.Trials(
        trials.participants, table[(table["participant"] != participant) | keep(table)], trials.clicks, trials.events
    )


def test_the_papers_two_exclusions(cohort):
    kept, table = human.exclusion.exclude(cohort, n_expected=280)
    assert table["reason"].tolist() == ["incomplete", "outlier"]
    assert len(kept.participants) == 22
    assert len(kept.trials) == 6160
    assert set(kept.clicks["participant"]) == set(kept.participants["participant"])
    z = table["z"].iloc[1]
    complete = cohort.participants["accuracy"][:23]
    assert z == pytest.approx((complete.iloc[22] - complete.mean()) / complete.std())
    assert z < -3


def test_incomplete_people_leave_before_the_outlier_rule_looks():
    trials = dropped(answered([0.9] * 20 + [0.2, 0.85]), "P21", lambda table: table["block"] < 1)
    kept, table = human.exclusion.exclude(trials)
    assert table["participant"].tolist() == ["P21", "P20"]
    assert table["detail"].iloc[0] == "10 of 20 trials, 1 of 2 blocks"
    assert len(kept.participants) == 20
    _, of_all = human.exclusion.exclude(trials, outlier_sample="all")
    assert of_all["z"].iloc[1] != table["z"].iloc[1]
    # One missing trial is enough, even with all blocks there.
    _, one_less = human.exclusion.exclude(dropped(answered([0.9] * 4), "P02", lambda table: table["trial"] > 1))
    assert one_less["reason"].tolist() == ["incomplete", "rule cannot fire"]


def test_people_who_see_some_of_the_images_each_are_complete_with_as_many_as_most(study, cohort):
    few = cohort.trials[cohort.trials["trial"] <= 210]  # three of four blocks
    more = cohort.trials[(cohort.trials["participant"] == "P01") & (cohort.trials["trial"] > 210)]
    less = few.index[(few["participant"] == "P02") & (few["trial"] > 200)]
    trials = human.Trials(
        cohort.participants, pd.concat([few.drop(less), more], ignore_index=True), cohort.clicks, cohort.events
    )
    kept, table = human.exclusion.exclude(trials, study=study, n_expected=human.exclusion.USUAL)
    assert "P02" in set(table.loc[table["reason"] == "incomplete", "participant"]) and "P01" in set(
        kept.participants["participant"]
    )
    assert "too many trials" not in set(table["reason"])
    assert set(human.exclusion.exclude(trials, study=study)[0].trials["participant"]) == {"P01"}


def test_many_who_stopped_early_do_not_make_the_others_too_diligent(cohort):
    """Nobody says how many trials there were: five of seven stopped after a block, two saw every image."""
    names = cohort.participants["participant"][:7]
    part = cohort.of(names)
    for name in names[:5]:
        part = dropped(part, name, lambda table: table["block"] == 1)
    people = pd.concat([part.participants, pd.DataFrame({"participant": ["Q1", "Q2", "Q3"]})])
    part = human.Trials(typed("participants", people), part.trials, part.clicks, part.events)
    kept, table = human.exclusion.exclude(part)
    assert kept.participants["participant"].tolist() == ["P06", "P07"]
    left = table[table["participant"].notna()]
    assert set(left["reason"]) == {"incomplete"} and len(left) == 8
    assert left["detail"].iloc[0] == "70 of 280 trials, 1 of 4 blocks"
    assert left.set_index("participant").loc["Q1", "detail"] == "0 of 280 trials, 0 of 4 blocks"


def test_people_without_an_answer_do_not_say_what_complete_is():
    silent = pd.DataFrame({"participant": [f"Q{number}" for number in range(9)]})
    some = answered([0.9] * 4)
    people = typed("participants", pd.concat([some.participants, silent]))
    kept, _ = human.exclusion.exclude(human.Trials(people, some.trials, some.clicks, some.events))
    assert len(kept.participants) == 4


def test_nobody_is_excluded_twice():
    trials = dropped(answered([0.9] * 20 + [0.0]), "P20", lambda table: table["block"] < 1)
    for sample in ("complete", "all"):
        _, table = human.exclusion.exclude(trials, outlier_sample=sample, sd_ddof=0)
        assert table[["participant", "reason"]].to_numpy().tolist() == [["P20", "incomplete"]]


def test_good_outliers_stay():
    _, table = human.exclusion.exclude(answered([0.5] * 20 + [1.0]))
    assert table.empty


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("n", [2, 5, 10, 11, 12, 24])
def test_the_largest_z_is_reached_by_one_against_all_others(n, ddof):
    values = np.append(np.ones(n - 1), 0)
    z = (1 - values.mean() - 1) / values.std(ddof=ddof)
    assert -z == pytest.approx(human.exclusion.largest_z(n, sd_ddof=ddof))


def test_small_samples_say_that_the_rule_cannot_fire():
    assert human.exclusion.largest_z(24) == pytest.approx(4.69, abs=0.005)
    assert human.exclusion.largest_z(10) < 3 < human.exclusion.largest_z(11)
    kept, table = human.exclusion.exclude(answered([1.0] * 9 + [0.0]))
    assert len(kept.participants) == 10
    assert table["reason"].tolist() == ["rule cannot fire"]
    assert "no z can exceed 2.85" in table["detail"].iloc[0]
    _, eleven = human.exclusion.exclude(answered([1.0] * 10 + [0.0]))
    assert eleven["reason"].tolist() == ["outlier"]
    assert human.exclusion.exclude(answered([0.9] * 12))[1].empty  # no spread at all


def test_unknown_options(small_cohort, small_study):
    with pytest.raises(UsageError, match="`outlier_sample`"):
        human.exclusion.exclude(small_cohort, outlier_sample="some")
    with pytest.raises(UsageError, match="`sd_ddof`"):
        human.exclusion.exclude(small_cohort, sd_ddof=2)
    with pytest.raises(UsageError, match="`time`"):
        human.behaviour.pair_table(small_cohort, small_study, time="mode")
    with pytest.raises(UsageError, match="`time_trials`"):
        human.behaviour.pair_table(small_cohort, small_study, time_trials="fast")


def test_the_pair_table_is_what_a_loop_gives(study, cohort):
    table = human.behaviour.pair_table(cohort, study)
    assert len(table) == 56
    trials = cohort.trials
    for (true, false), row in zip(EXPRESSIONS.ordered_pairs, table.itertuples(), strict=True):
        own = trials[(trials["true_label"] == EXPRESSIONS[true]) & (trials["false_label"] == EXPRESSIONS[false])]
        assert (row.true_label, row.false_label, row.n) == (EXPRESSIONS[true], EXPRESSIONS[false], len(own))
        assert row.accuracy == pytest.approx(own["correct"].mean())
        assert row.clicks == pytest.approx(own["n_clicks"].mean())
        assert row.time_ms == pytest.approx(own["rt_decision_ms"].mean())
    images = human.behaviour.image_table(cohort, study)
    assert images["image"].tolist() == study["image"].tolist()
    assert (images["accuracy"] * images["n"]).sum() == pytest.approx(trials["correct"].sum())


def test_times_of_disturbed_trials_do_not_count_but_their_accuracy_does(small_study, small_cohort):
    table = small_cohort.trials.copy()
    first = table.groupby(["true_label", "false_label"]).head(1).index
    table.loc[first, "rt_decision_ms"] = 1e9
    table.loc[first[::2], "focus_lost"] = True
    table.loc[first[1::2], "resumed"] = True
    trials = human.Trials(small_cohort.participants, table, small_cohort.clicks, small_cohort.events)
    clean = human.behaviour.pair_table(trials, small_study)
    dirty = human.behaviour.pair_table(trials, small_study, time_trials="all")
    assert clean["time_ms"].max() < 1e6 < dirty["time_ms"].min()
    pd.testing.assert_frame_equal(clean[["accuracy", "clicks", "n"]], dirty[["accuracy", "clicks", "n"]])
    assert (clean["n_times"] == clean["n"] - 1).all()
    assert (dirty["n_times"] == dirty["n"]).all()
    middle = human.behaviour.pair_table(trials, small_study, time="median", time_trials="all")
    log = human.behaviour.pair_table(trials, small_study, time="log", time_trials="all")
    assert middle["time_ms"].max() < 1e6
    assert (log["time_ms"] < dirty["time_ms"]).all()


def test_cells_without_answers_are_empty(small_study, small_cohort):
    seen = small_cohort.trials["true_label"] != "fear"
    trials = human.Trials(
        small_cohort.participants, small_cohort.trials[seen], small_cohort.clicks, small_cohort.events
    )
    table = human.behaviour.pair_table(trials, small_study)
    assert table["n"][table["true_label"] == "fear"].tolist() == [0] * 7
    assert table["accuracy"].isna().sum() == 7
    assert human.behaviour.correlations(table)["n_clicks_time"] == 49
    sensitive = human.behaviour.sensitivity(table)
    assert sensitive["d_prime"].isna().tolist() == [
        "fear" in pair for pair in zip(sensitive["first"], sensitive["second"], strict=True)
    ]
    assert np.isnan(human.behaviour.confusion(trials)[0][EXPRESSIONS.index("fear")]).all()


def test_correlations_and_their_reasons():
    table = pd.DataFrame({"accuracy": [0.9, 0.8, 0.6], "clicks": [2.0, 3.0, 7.0], "time_ms": [10.0, 30.0, 20.0]})
    found = human.behaviour.correlations(table)
    assert found["r_clicks_accuracy"] == pytest.approx(-0.8 / math.sqrt(14 * 0.14 / 3))
    assert found["r_clicks_time"] == pytest.approx(np.corrcoef([2, 3, 7], [10, 30, 20])[0, 1])
    assert found["reason"] == ""
    flat = human.behaviour.correlations(table.assign(accuracy=0.8))
    assert math.isnan(flat["r_clicks_accuracy"])
    assert math.isnan(flat["r_time_accuracy"])
    assert flat["r_clicks_time"] == found["r_clicks_time"]
    assert flat["reason"] == "constant: accuracy"
    alone = human.behaviour.correlations(table[:1])
    assert math.isnan(alone["r_clicks_time"])
    assert alone["reason"].split("; ")[0] == "clicks and time: 1 cells have both"


def test_confusion(cohort):
    shares, counts = human.behaviour.confusion(cohort)
    np.testing.assert_allclose(shares.sum(1), 1)
    assert counts.sum() == len(cohort.trials)
    assert np.trace(counts) == cohort.trials["correct"].sum()
    # A foil is offered in a seventh of the trials, so no error can be more frequent than that (statistics, trap 7).
    off = shares[~np.eye(8, dtype=bool)]
    assert off.max() <= 0.16


def test_a_face_with_two_labels_is_a_yes_no_task():
    sensitivity, bias = human.behaviour.d_prime(0.839, 0.161)
    assert sensitivity == pytest.approx(1.98, abs=0.005)
    assert bias == pytest.approx(0, abs=1e-12)
    assert human.behaviour.d_prime(0.5, 0.5) == (0, 0)
    lenient = human.behaviour.d_prime(0.95, 0.4)
    assert lenient[1] < 0
    swapped = human.behaviour.d_prime(1 - 0.4, 1 - 0.95)
    assert swapped == pytest.approx((lenient[0], -lenient[1]))


def test_sensitivity_of_pairs(cohort, study):
    table = human.behaviour.pair_table(cohort, study)
    found = human.behaviour.sensitivity(table).set_index("pair").loc["neutral-contempt"]
    cell = table.set_index(["true_label", "false_label"])
    neutral, contempt = cell.loc[("neutral", "contempt")], cell.loc[("contempt", "neutral")]
    hit = (neutral["accuracy"] * neutral["n"] + 0.5) / (neutral["n"] + 1)
    false_alarm = ((1 - contempt["accuracy"]) * contempt["n"] + 0.5) / (contempt["n"] + 1)
    assert (found["d_prime"], found["criterion"]) == pytest.approx(human.behaviour.d_prime(hit, false_alarm))
    perfect = human.behaviour.sensitivity(table.assign(accuracy=1.0))
    assert np.isfinite(perfect["d_prime"]).all()
    assert (perfect["d_prime"] > 4).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_perfect_chance_and_inverted_answers_have_a_finite_d_prime(share):
    pairs = pd.DataFrame([(EXPRESSIONS[a], EXPRESSIONS[b], share, 20) for a, b in EXPRESSIONS.ordered_pairs])
    found = human.behaviour.sensitivity(pairs.set_axis(["true_label", "false_label", "accuracy", "n"], axis=1))
    assert np.isfinite(found[["d_prime", "criterion"]]).all(axis=None)
    rate = (20 * share + 0.5) / 21  # the log-linear correction
    hit, false_alarm = (statistics.NormalDist().inv_cdf(each) for each in (rate, 1 - rate))
    assert found["d_prime"].tolist() == pytest.approx([hit - false_alarm] * 28)
    assert np.sign(found["d_prime"].round(9)).unique().tolist() == [np.sign(share - 0.5)]
    assert found["criterion"].abs().max() < 1e-12


def test_the_table_of_answers_gives_the_means_of_people_and_blocks(small_cohort):
    table = human.behaviour.answer_table(small_cohort)
    people = human.behaviour.person_table(small_cohort).set_index("participant")
    means = table.groupby("participant")[["accuracy", "clicks"]].mean().astype("float64")
    pd.testing.assert_frame_equal(means, people.loc[means.index, ["accuracy", "clicks"]])
    blocks = human.behaviour.block_table(small_cohort)
    assert blocks.groupby("participant")["n"].sum().equals(people.loc[means.index, "n_trials"].rename("n"))


def test_pairs_forced_out_of_two_options_are_the_rows_themselves():
    counts = np.array([[8, 2], [3, 7]])
    table = human.behaviour.forced_pairs(counts, categories=EXPRESSIONS.select(["happy", "sad"]))
    assert table["accuracy"].tolist() == [0.8, 0.7]
    assert table["n"].tolist() == [10, 10]
    nobody = human.behaviour.forced_pairs(np.zeros((8, 8), int))
    assert nobody["accuracy"].isna().all()
    assert (nobody["n"] == 0).all()
