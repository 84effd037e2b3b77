"""Tables as laboratories have them. A number, a NaN with its reason, or one line that says what is wrong."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest

from fer_jax import human
from fer_jax.errors import DataError, FerError, UsageError
from fer_jax.human.columns import TABLES, typed

PX, RADIUS = 64, 6
MAPS = {"image_px": PX, "radius": RADIUS}


def with_table(trials, /, **tables):
    return human.Trials(**{name: tables.get(name, getattr(trials, name)) for name in TABLES})


def with_trials(trials, /, **columns):
    return with_table(trials, trials=trials.trials.assign(**columns))


# Who is analysed


def test_a_row_that_is_there_twice_is_named_and_costs_nobody_else(small_cohort, small_study):
    table = small_cohort.trials
    doubled = with_table(small_cohort, trials=pd.concat([table, table[3:4]], ignore_index=True))
    with pytest.raises(DataError, match=r"trial: wanted each participant and trial once, got 4"):
        human.exclusion.exclude(doubled, study=small_study)
    # The same image under a further trial number: the design shows each image once.
    again = with_table(small_cohort, trials=pd.concat([table, table[3:4].assign(trial=99)], ignore_index=True))
    with pytest.raises(DataError, match=r"\(participant 'P01', trial 99\): image: wanted each image once for a person"):
        human.exclusion.exclude(again, study=small_study)
    # Without a study a repeated image may be meant; the one with a trial too many is named, the others stay.
    kept, out = human.exclusion.exclude(again)
    named = out[out["participant"].notna()].set_index("participant")
    assert named.loc["P01", "reason"] == "too many trials"
    assert named.loc["P01", "detail"].startswith("57 of 56 trials")
    assert set(named.index) == {"P01", "P06"}  # P06 skipped a block
    assert len(kept.participants) == 4


def test_trials_without_an_answer_do_not_make_a_person_complete(small_cohort, small_study):
    table = small_cohort.trials.copy()
    skipped = (table["participant"] == "P02") & (table["block"] == 2)
    table.loc[skipped, ["response", "correct"]] = [None, pd.NA]
    _, out = human.exclusion.exclude(with_table(small_cohort, trials=table), study=small_study)
    row = out.set_index("participant").loc["P02"]
    assert (row["reason"], row["detail"]) == ("incomplete", "42 of 56 trials, 3 of 4 blocks")


def test_who_never_answered_is_a_row(small_cohort, small_study):
    nobody = typed("participants", pd.concat([small_cohort.participants, pd.DataFrame({"participant": ["P99"]})]))
    kept, out = human.exclusion.exclude(with_table(small_cohort, participants=nobody), study=small_study)
    assert out.set_index("participant").loc["P99", "detail"] == "0 of 56 trials, 0 of 4 blocks"
    assert "P99" not in set(kept.participants["participant"])


def test_practice_on_other_images_counts_for_nobody(small_cohort, small_study):
    practice = small_cohort.trials[:2].assign(trial=[101, 102], image=["practice_1", "practice_2"])
    more = with_table(small_cohort, trials=pd.concat([small_cohort.trials, practice], ignore_index=True))
    _, out = human.exclusion.exclude(more, study=small_study)
    pd.testing.assert_frame_equal(out, human.exclusion.exclude(small_cohort, study=small_study)[1])


def test_what_a_laboratory_excluded_stays_out(cohort, study):
    people = cohort.participants.assign(
        excluded=cohort.participants["participant"].isin(["P03", "P04"]),
        exclusion_reason=[{"P03": "told us of a migraine"}.get(name) for name in cohort.participants["participant"]],
    )
    kept, out = human.exclusion.exclude(with_table(cohort, participants=typed("participants", people)), study=study)
    recorded = out[out["reason"] == "recorded"].set_index("participant")
    assert recorded["detail"].to_dict() == {"P03": "told us of a migraine", "P04": "no reason given"}
    assert not {"P03", "P04"} & set(kept.trials["participant"])
    # The mean that decides on outliers is that of the others.
    others = cohort.participants.query("participant not in ['P03', 'P04', 'P24']")["accuracy"]
    z = out.set_index("participant").loc["P23", "z"]
    assert z == pytest.approx((others.iloc[-1] - others.mean()) / others.std())


def test_exclusions_are_written_down_and_found_again(cohort, study, tmp_path):
    kept, out = human.exclusion.exclude(cohort, study=study)
    marked = human.exclusion.mark_excluded(cohort, out)
    human.trials.write(tmp_path, marked)
    again = human.trials.read(tmp_path)
    people = again.participants.set_index("participant")
    assert people.index[people["excluded"]].tolist() == ["P23", "P24"]  # was 0 for everybody
    assert people.loc["P24", "exclusion_reason"] == "incomplete: 210 of 280 trials, 3 of 4 blocks"
    assert people["exclusion_reason"].isna().sum() == 22
    kept_again, out_again = human.exclusion.exclude(again, study=study)
    pd.testing.assert_frame_equal(out_again, out)
    pd.testing.assert_frame_equal(kept_again.trials, kept.trials)
    pd.testing.assert_frame_equal(human.exclusion.mark_excluded(again, out_again).participants, again.participants)


def test_nobody_at_all():
    empty = human.Trials(**{name: typed(name, {}) for name in TABLES})
    with pytest.raises(DataError, match="wanted at least one participant"):
        human.exclusion.exclude(empty)
    assert human.behaviour.person_table(empty).empty


# What they did


def test_a_missing_time_costs_only_the_correlations_of_time(cohort, study):
    whole = human.behaviour.pair_table(cohort, study)
    lost = whole.assign(time_ms=whole["time_ms"].where(whole.index % 3 > 0))
    one, other = human.behaviour.correlations(whole), human.behaviour.correlations(lost)
    assert one["r_clicks_accuracy"] == other["r_clicks_accuracy"]
    assert (other["n_clicks_accuracy"], other["n_clicks_time"], other["n_time_accuracy"]) == (56, 37, 37)
    known = lost.dropna()
    assert other["r_clicks_time"] == pytest.approx(np.corrcoef(known["clicks"], known["time_ms"])[0, 1])
    none = human.behaviour.correlations(whole.assign(time_ms=np.nan))
    assert math.isnan(none["r_clicks_time"])
    assert none["r_clicks_accuracy"] == one["r_clicks_accuracy"]
    assert none["reason"] == "clicks and time: 0 cells have both; time and accuracy: 0 cells have both"


def test_unanswered_trials_count_nowhere(small_cohort, small_study):
    table = small_cohort.trials.copy()
    lost = table["participant"].isin(["P01", "P02"])
    table.loc[lost, "response"] = None
    table.loc[lost, "correct"] = pd.NA
    table.loc[lost, "n_clicks"] = 1000
    table.loc[lost, "rt_decision_ms"] = 1e8
    found = human.behaviour.pair_table(with_table(small_cohort, trials=table), small_study)
    wanted = human.behaviour.pair_table(with_table(small_cohort, trials=table[~lost]), small_study)
    pd.testing.assert_frame_equal(found, wanted)
    sensitive = human.behaviour.sensitivity(found)
    pd.testing.assert_frame_equal(sensitive, human.behaviour.sensitivity(wanted))
    assert sensitive["n_first"].max() <= 4
    # A timeout that is coded as wrong is no answer either where the table has responses.
    coded = with_trials(with_table(small_cohort, trials=table), correct=table["correct"].fillna(False))
    pd.testing.assert_frame_equal(human.behaviour.pair_table(coded, small_study), wanted)
    assert human.behaviour.confusion(coded)[1].sum() == (~lost).sum()


def test_correct_follows_from_the_response_and_may_not_contradict_it(small_cohort, small_study):
    told = human.behaviour.pair_table(small_cohort, small_study)
    silent = with_trials(small_cohort, correct=pd.array([pd.NA] * len(small_cohort.trials), "boolean"))
    pd.testing.assert_frame_equal(human.behaviour.pair_table(silent, small_study), told)
    table = small_cohort.trials.copy()
    table.loc[5, "correct"] = ~table.loc[5, "correct"]
    with pytest.raises(DataError, match=r"row 6 .*: correct: wanted 1 where the response is the truth"):
        human.behaviour.pair_table(with_table(small_cohort, trials=table), small_study)
    table = small_cohort.trials.copy()
    table.loc[5, "response"] = "happy" if table.loc[5, "true_label"] != "happy" else "sad"
    table.loc[5, "false_label"], table.loc[5, "correct"] = "neutral", False
    with pytest.raises(DataError, match=r"response: wanted the true or the false label"):
        human.behaviour.confusion(with_table(small_cohort, trials=table))


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("true_label", "Happiness", "true_label: wanted the truth that the study gives the image, got 'Happiness'"),
        ("false_label", "neutral", "false_label: wanted the foil that the study gives the image"),
        ("rt_decision_ms", -5.0, "rt_decision_ms: wanted a number from 0, or nothing, got -5"),
        ("n_clicks", -1, "n_clicks: wanted a number from 0, or nothing, got -1"),
        ("n_options", 7, "n_options: wanted 2 options; a trial of more has no foil, got 7"),
    ],
)
def test_a_row_that_cannot_be_is_named(small_cohort, small_study, column, value, told):
    table = small_cohort.trials.copy()
    row = int((table["false_label"] != "neutral").argmax())
    table.loc[row, column] = value
    for measure in (human.behaviour.pair_table, human.behaviour.image_table):
        with pytest.raises(DataError, match=rf"row {row + 1} .*{told}"):
            measure(with_table(small_cohort, trials=table), small_study)


def test_sensitivity_takes_what_pairs_there_are(small_cohort, small_study):
    pairs = human.behaviour.pair_table(small_cohort, small_study)
    some = human.behaviour.sensitivity(pairs[:7])
    assert some["d_prime"].isna().all()
    assert (some["n_second"] == 0).all()
    unknown = human.behaviour.sensitivity(pairs.assign(accuracy=np.nan))
    assert unknown[["d_prime", "n_first"]].fillna(0).eq(0).all(axis=None)
    for bad in (pairs.assign(accuracy=83.9), pd.concat([pairs, pairs[:1]])):
        with pytest.raises(UsageError, match="`pairs`"):
            human.behaviour.sensitivity(bad)
    with pytest.raises(UsageError, match=r"`hit_rate`: wanted a rate inside \(0, 1\)"):
        human.behaviour.d_prime(1.0, 0.2)


def test_everybody_right_or_one_person_alone(small_cohort, small_study):
    table = small_cohort.trials
    right = with_trials(small_cohort, response=table["true_label"], correct=True)
    assert (
        human.behaviour.correlations(human.behaviour.pair_table(right, small_study))["reason"] == "constant: accuracy"
    )
    alone = small_cohort.of(["P01"])
    kept, out = human.exclusion.exclude(alone, study=small_study)
    assert out["reason"].tolist() == ["rule cannot fire"]
    assert len(kept.trials) == 56
    sensitive = human.behaviour.sensitivity(human.behaviour.pair_table(alone, small_study))
    assert np.isfinite(sensitive["d_prime"]).all()
    assert (sensitive["n_first"] == 1).all()


# Where they clicked


@pytest.mark.parametrize("size", [48, 224])
def test_maps_of_another_size_than_recorded_are_refused(small_cohort, small_study, size):
    options = MAPS | {"image_px": size}
    with pytest.raises(DataError, match=rf"`image_px`: got {size}, but trials were run with 64"):
        human.attention.attention_maps(small_cohort, small_study, **options)
    with pytest.raises(DataError, match=r"`radius`: got 20, but trials were run with 6"):
        human.attention.attention_maps(small_cohort, small_study, image_px=PX, radius=20)
    unsaid = with_trials(small_cohort, image_px=pd.array([pd.NA] * len(small_cohort.trials), "Int64"))
    if size > PX:
        assert human.attention.attention_maps(unsaid, small_study, **options).shape == (56, size, size)


@pytest.mark.parametrize("human_map", human.attention.HUMAN_MAPS)
@pytest.mark.parametrize(("x", "y"), [(-3.0, 10.0), (10.0, 64.0), (np.nan, 10.0), (1e9, 10.0)])
def test_a_click_off_the_image_is_outside_for_every_map(small_cohort, small_study, human_map, x, y):
    clicks = small_cohort.clicks.copy()
    row = int(small_cohort.clicks.merge(small_cohort.trials, on=["participant", "trial"])["correct"].argmax())
    clicks.loc[row, ["x_px", "y_px"]] = x, y
    dirty = with_table(small_cohort, clicks=clicks)
    told = r"row .*x_px, y_px: wanted a point on the image, or inside = 0, got "
    with pytest.raises(DataError, match=told):
        human.attention.attention_maps(dirty, small_study, human_map=human_map, **MAPS)
    with pytest.raises(DataError, match=told):
        human.attention.revealed(dirty, small_study)
    with pytest.raises(DataError, match=told):
        human.attention.click_sequence(dirty, clicks["image"][row], **MAPS)
    # Flagged as outside it opens nothing, as if it had not been made.
    clicks.loc[row, "inside"] = False
    fewer = small_cohort.trials.assign(n_clicks=pd.array([pd.NA] * len(small_cohort.trials), "Int64"))
    flagged = human.Trials(small_cohort.participants, fewer, clicks, small_cohort.events)
    without = human.Trials(small_cohort.participants, fewer, clicks.drop(index=row), small_cohort.events)
    options = MAPS | {"human_map": human_map}
    np.testing.assert_array_equal(
        human.attention.attention_maps(flagged, small_study, **options),
        human.attention.attention_maps(without, small_study, **options),
    )


def test_clicks_that_are_counted_but_lost_are_missed(small_cohort, small_study):
    fewer = with_table(small_cohort, clicks=small_cohort.clicks[:-40])
    with pytest.raises(DataError, match="n_clicks: wanted as many clicks inside the image as the clicks' table has"):
        human.attention.attention_maps(fewer, small_study, trials_used="all", **MAPS)


def test_nobody_clicking_is_a_map_of_zeros_and_nobody_at_all_is_none(small_cohort, small_study):
    still = with_table(with_trials(small_cohort, n_clicks=0), clicks=typed("clicks", {}))
    for kind in human.attention.HUMAN_MAPS:
        maps = human.attention.attention_maps(still, small_study, human_map=kind, trials_used="all", **MAPS)
        assert (maps == 0).all()
    image = small_study["image"][0]
    others = with_table(small_cohort, trials=small_cohort.trials[small_cohort.trials["image"] != image])
    maps = human.attention.attention_maps(others, small_study, trials_used="all", **MAPS)
    assert np.isnan(maps[0]).all()
    assert np.isfinite(maps[1:]).all()


def test_clicks_without_answers_make_maps_of_all_trials_only(small_cohort, small_study):
    logs = with_trials(small_cohort, response=None, correct=pd.array([pd.NA] * len(small_cohort.trials), "boolean"))
    logs = with_table(logs, trials=typed("trials", logs.trials))
    with pytest.raises(DataError, match="no answer says whether it was right"):
        human.attention.attention_maps(logs, small_study, **MAPS)
    np.testing.assert_array_equal(
        human.attention.attention_maps(logs, small_study, trials_used="all", **MAPS),
        human.attention.attention_maps(small_cohort, small_study, trials_used="all", **MAPS),
    )


def test_an_image_that_nobody_was_right_about_has_no_sequence(small_cohort, small_study):
    image = small_study["image"][0]
    wrong = small_cohort.trials["image"] == image
    table = small_cohort.trials.assign(
        response=small_cohort.trials["response"].where(~wrong, small_cohort.trials["false_label"]),
        correct=small_cohort.trials["correct"] & ~wrong,
    )
    dirty = with_table(small_cohort, trials=table)
    with pytest.raises(DataError, match="nobody was right about"):
        human.attention.click_sequence(dirty, image, **MAPS)
    assert human.attention.click_sequence(dirty, image, trials_used="all", **MAPS)[..., 3].any()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"radius": -1}, "`radius`: wanted whole pixels from 0, got -1"),
        ({"radius": 2.5}, r"`radius`: wanted whole pixels from 0, got 2\.5"),
        ({"human_map": "gaussian", "sigma_px": 0}, "`sigma_px`: wanted pixels above 0"),
        ({"human_map": "gaussian", "sigma_px": -2.0}, "`sigma_px`: wanted pixels above 0"),
        ({"human_map": "gaussian", "sigma_px": math.nan}, "`sigma_px`: wanted pixels above 0"),
        ({"image_px": 0}, "`image_px`: wanted pixels from 1"),
        ({"image_px": (64, 64, 3)}, "`image_px`: wanted one side"),
    ],
)
def test_sizes_that_cannot_be(small_cohort, small_study, options, told):
    with pytest.raises(UsageError, match=told):
        human.attention.attention_maps(small_cohort, small_study, **MAPS | options)


def test_pictures_need_not_be_square():
    click = {"participant": "P01", "trial": 1, "image": "a", "click": 1, "inside": True, "chosen": True}
    trials = human.Trials(
        typed("participants", {}),
        typed("trials", {"participant": ["P01"], "trial": 1, "image": "a", "correct": True, "image_px": 30}),
        typed("clicks", pd.DataFrame([click | {"x_px": 20.5, "y_px": 45.5}])),
        typed("events", {}),
    )
    study = pd.DataFrame({"image": ["a"]})
    for kind in human.attention.HUMAN_MAPS:
        one = human.attention.attention_maps(trials, study, image_px=(50, 30), radius=3, human_map=kind)[0]
        assert one.shape == (50, 30)
        assert np.unravel_index(one.argmax(), one.shape) in [(45, 20), (42, 20)]  # a disc's first highest is its top
    picture = human.attention.click_sequence(trials, "a", image_px=(50, 30), radius=3)
    assert picture.shape == (50, 30, 4)
    with pytest.raises(DataError, match="wanted a point on the image"):
        human.attention.attention_maps(trials, study, image_px=(40, 30), radius=3)


# The files


def spreadsheet(folder, between, decimal, *, mark="﻿"):
    """The tables as a spreadsheet would save them."""
    for path in (folder / "data").iterdir():
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        table = path.name.split("-")[2].removesuffix("_data.csv")
        for name, (kind, _) in TABLES[table].items():
            if kind == "float64":
                frame[name] = frame[name].str.replace(".", decimal)
        text = mark + frame.to_csv(sep=between, index=False, lineterminator="\r\n") + "\r\n"
        path.write_bytes(text.encode())


@pytest.mark.parametrize(("between", "decimal"), [(",", "."), (";", ","), (";", "."), ("\t", ",")])
def test_what_a_spreadsheet_saved_is_read(small_cohort, tmp_path, between, decimal):
    human.trials.write(tmp_path, small_cohort)
    spreadsheet(tmp_path, between, decimal)
    again = human.trials.read(tmp_path)
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(again, table), getattr(small_cohort, table))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("P01;1;", "P01;1,0;", r":2:trial: wanted a whole number, got '1,0'"),
        (",", ".", r"wanted one decimal mark, got"),  # one cell of many keeps its point
        ("x_px", "y_px", r":1:x_px: wanted this column, got none"),
        ("x_px", "click", r":1:x_px: wanted this column, got none"),
        ("t_ms", "t_ms;notes", r":2:10: wanted 11 cells, got 10"),
    ],
)
def test_what_a_spreadsheet_spoilt_is_named(small_cohort, tmp_path, old, new, told):
    human.trials.write(tmp_path, small_cohort)
    spreadsheet(tmp_path, ";", ",")
    path = tmp_path / human.trials.file_name("clicks")
    path.write_text(path.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=told):
        human.trials.read(tmp_path)


def test_files_of_the_first_schema_are_read_and_age_and_gender_are_kept(small_cohort, tmp_path):
    people = small_cohort.participants.assign(age=[23, None, 31, 24, 25, 26], gender=["female", None, *["male"] * 4])
    told = with_table(small_cohort, participants=typed("participants", people))
    human.trials.write(tmp_path, told)
    assert human.trials.read(tmp_path).participants["age"].sum() == 129
    path = tmp_path / human.trials.file_name("participants")
    frame = pd.read_csv(path, dtype=str).drop(columns=["age", "gender", "vision"])
    frame.to_csv(path, index=False)
    again = human.trials.read(tmp_path).participants
    pd.testing.assert_frame_equal(again, small_cohort.participants)


@pytest.mark.parametrize("table", ["participants", "trials", "clicks"])
def test_nothing_is_written_that_reading_would_refuse(small_cohort, tmp_path, table):
    frame = getattr(small_cohort, table)
    for bad, told in (
        (pd.concat([frame, frame[:1]]), "once"),
        (frame.assign(participant=None), "wanted a value, got none"),
        (frame.assign(participant=pd.Series(["\ud800"] * len(frame), dtype=object)), "surrogates"),
    ):
        with pytest.raises(DataError, match=told):
            human.trials.write(tmp_path, with_table(small_cohort, **{table: bad}))
    assert not list(tmp_path.rglob("*.csv"))
    with pytest.raises(DataError, match="t_ms: wanted finite numbers"):
        human.trials.write(tmp_path, with_table(small_cohort, clicks=small_cohort.clicks.assign(t_ms=math.inf)))
    # Numbers of another kind that mean the same are written as what they are.
    human.trials.write(tmp_path, with_trials(small_cohort, n_clicks=small_cohort.trials["n_clicks"].astype(float)))
    pd.testing.assert_frame_equal(human.trials.read(tmp_path).trials, small_cohort.trials)


@pytest.mark.parametrize(
    ("flags", "kind"),
    [([True] * 6, "all"), ([False] * 6, "none"), ([True, *[False] * 5], "mixed"), ([None] * 6, "unknown")],
)
def test_the_description_says_who_answered(small_cohort, tmp_path, flags, kind):
    flag = dict(zip(small_cohort.participants["participant"], flags, strict=True))
    marked = {
        name: getattr(small_cohort, name).assign(
            simulated=getattr(small_cohort, name)["participant"].map(flag).astype("boolean")
        )
        for name in ("participants", "trials")
    }
    human.trials.write(tmp_path, with_table(small_cohort, **marked))
    told = json.loads((tmp_path / "dataset_description.json").read_text())
    assert told["additionalProperty"]["value"] == kind
    assert ("simulated" in told["name"]) == (kind in ("all", "mixed"))
    assert ("no evidence about people" in told["description"]) == (kind == "all")
    assert human.trials.simulated(human.trials.read(tmp_path)) == kind


def test_numbers_that_are_words_are_named():
    for column, values, told in (
        ("n_clicks", ["three"], "n_clicks: wanted whole numbers"),
        ("n_clicks", [2.5], "n_clicks: wanted whole numbers"),
        ("rt_total_ms", ["soon"], "rt_total_ms: wanted finite numbers"),
        ("rt_total_ms", [math.inf], "got infinity in row 1"),
        ("correct", ["perhaps"], "correct: wanted 0 and 1"),
        ("correct", [2], "correct: wanted 0 and 1"),
        ("correct", ["False"], "correct: wanted 0 and 1"),
    ):
        with pytest.raises(DataError, match=told):
            typed("trials", {"participant": ["P01"], "trial": [1], column: values})


# Any dirt


def measures(trials, study):
    """Everything that is computed of people, as arrays of numbers."""
    kept, out = human.exclusion.exclude(trials, study=study)
    pairs = human.behaviour.pair_table(kept, study)
    yield out["z"]
    yield pairs[["accuracy", "clicks", "time_ms"]]
    yield human.behaviour.image_table(kept, study)["accuracy"]
    yield human.behaviour.person_table(kept)["accuracy"]
    yield human.behaviour.sensitivity(pairs)["d_prime"]
    found = human.behaviour.correlations(pairs)
    values = [value for name, value in found.items() if name.startswith("r_")]
    assert all(map(np.isfinite, values)) or found["reason"]
    yield values
    yield human.behaviour.confusion(kept)[0]
    yield human.attention.attention_maps(kept, study, trials_used="all", **MAPS)
    yield human.attention.revealed(kept, study)[1]


DIRT = [
    None,
    "",
    "x",
    "1,5",
    "0",
    "1",
    "True",
    -1,
    0,
    2,
    1.5,
    1e9,
    math.inf,
    math.nan,
    True,
    "P01",
    "happy",
    "Happiness",
]


CELLS = [
    pytest.param(table, every, marks=marks, id=f"{table}-{name}")
    for table in ("participants", "trials", "clicks")
    for every, name, marks in ((41, "some", ()), (1, "all", pytest.mark.slow))
]


@pytest.mark.parametrize(("table", "every"), CELLS)
def test_any_cell_may_be_dirty(small_cohort, small_study, table, every):
    """One cell after the other takes every value: numbers without infinity come of it, or one of our own lines."""
    frame = getattr(small_cohort, table)
    refused = taken = 0
    for place, (column, value) in enumerate(itertools.product(frame, DIRT)):
        if place % every == 0:
            row = (0, 1, len(frame) - 1)[place % 3]
            cells = frame[column].astype(object)
            cells.iloc[row] = value
            try:
                dirty = typed(table, frame.assign(**{column: cells}))
                found = list(measures(with_table(small_cohort, **{table: dirty}), small_study))
            except FerError as error:
                assert "\n" not in str(error)
                refused += 1
            else:
                taken += 1
                assert not any(np.isinf(np.asarray(values, float)).any() for values in found)
    assert taken
    assert refused or every > 1


def test_any_rows_may_be_missing(small_cohort, small_study):
    random = np.random.default_rng(0)
    for share in (0.02, 0.3, 0.9, 1.0):
        for table in ("trials", "clicks", "participants"):
            frame = getattr(small_cohort, table)
            part = frame[random.random(len(frame)) >= share]
            try:
                found = list(measures(with_table(small_cohort, **{table: part}), small_study))
            except FerError as error:
                assert "\n" not in str(error)
            else:
                assert not any(np.isinf(np.asarray(values, float)).any() for values in found)
